/**
 * What the OUT lookup said of flows that were seen lately, so that the next packet of a flow meets no
 * table. Linux has had none since 4.14; here it is what makes the steady state cheap, and an entry is
 * good only as long as a lookup would give the same: no state, policy, default or route has changed, as
 * their generations tell (O-10, S-23).
 *
 * Direct mapped: a flow has one place, the newer one takes it.
 *
 * @hotpath
 */
import { Flow, type PacketBuffer, type Route } from '@xfrm/wire';
import { Family } from '@xfrm/wire/xfrm';
import type { Bundle } from './bundle.ts';
import { FLOW_CACHE_ENTRIES } from './limits.ts';
import type { XfrmPolicy } from './policy.ts';

// V8 compiles these in; an imported constant is read each time (CONTRIBUTING.md, Style).
const { Ipv4 } = Family;

export class CachedFlow {
	readonly flow: Flow = new Flow();
	ifId: number = 0;
	socketId: number = 0;
	/** null: the flow goes in clear. */
	bundle: Bundle | null = null;
	/** Policies that were met, and the Unix second up to which their use was noted. */
	policy: XfrmPolicy | null = null;
	secondPolicy: XfrmPolicy | null = null;
	usedAt: number = 0;

	// What has to be as it was for the answer to hold.

	route: Route | null = null;
	processor: number = 0;
	generation: number = 0;
	routeGeneration: number = 0;
}

export class FlowCache {
	private readonly entries: (CachedFlow | null)[] = new Array<CachedFlow | null>(
		FLOW_CACHE_ENTRIES,
	).fill(null);

	/** The entry found last: packets of a flow come in bursts, and need no hash then. */
	private latest: CachedFlow = new CachedFlow();

	/** The entry of this packet's flow, or null; whether it still holds is the caller's to see. */
	find(packet: PacketBuffer, socketId: number): CachedFlow | null {
		const { latest } = this;
		if (isOf(latest, packet, socketId)) {
			return latest;
		}
		const entry = this.entries[flowPlace(packet.flow)] ?? null;
		if (entry === null || !isOf(entry, packet, socketId)) {
			return null;
		}
		this.latest = entry;
		return entry;
	}

	/** The place for this packet's flow, with the flow filled in; the rest is the caller's. */
	claim(packet: PacketBuffer, socketId: number): CachedFlow {
		const at = flowPlace(packet.flow);
		let entry = this.entries[at] ?? null;
		if (entry === null) {
			entry = new CachedFlow();
			this.entries[at] = entry;
		}
		entry.flow.copyFrom(packet.flow);
		entry.ifId = packet.ifId;
		entry.socketId = socketId;
		return entry;
	}
}

function isOf(entry: CachedFlow, packet: PacketBuffer, socketId: number): boolean {
	return (
		entry.socketId === socketId && entry.ifId === packet.ifId && flowsEqual(entry.flow, packet.flow)
	);
}

/** Do all fields that a policy or a selector looks at agree? */
export function flowsEqual(a: Flow, b: Flow): boolean {
	if (
		a.family !== b.family ||
		a.proto !== b.proto ||
		a.sport !== b.sport ||
		a.dport !== b.dport ||
		a.mark !== b.mark ||
		a.oif !== b.oif ||
		a.saddr[0] !== b.saddr[0] ||
		a.daddr[0] !== b.daddr[0]
	) {
		return false;
	}
	return (
		a.family === Ipv4 ||
		(a.saddr[1] === b.saddr[1] &&
			a.saddr[2] === b.saddr[2] &&
			a.saddr[3] === b.saddr[3] &&
			a.daddr[1] === b.daddr[1] &&
			a.daddr[2] === b.daddr[2] &&
			a.daddr[3] === b.daddr[3])
	);
}

/** Place of a flow in a cache: its addresses, ports and protocol, stirred. */
export function flowPlace(flow: Flow): number {
	let hash = Math.imul((flow.saddr[0] ?? 0) ^ (flow.sport << 16), 0x9e3779b1 | 0);
	hash = Math.imul(hash ^ (hash >>> 15) ^ (flow.daddr[0] ?? 0), 0x85ebca6b | 0);
	hash ^= flow.dport ^ (flow.proto << 24);
	if (flow.family !== Ipv4) {
		hash = Math.imul(hash ^ (flow.saddr[1] ?? 0) ^ (flow.daddr[1] ?? 0), 0xc2b2ae35 | 0);
		hash = Math.imul(hash ^ (hash >>> 13) ^ (flow.saddr[2] ?? 0), 0x9e3779b1 | 0);
		hash = Math.imul(hash ^ (hash >>> 13) ^ (flow.daddr[2] ?? 0), 0x85ebca6b | 0);
		hash ^= Math.imul((flow.saddr[3] ?? 0) ^ ((flow.daddr[3] ?? 0) << 7), 0xc2b2ae35 | 0);
	}
	hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b | 0);
	return (hash ^ (hash >>> 13)) & (FLOW_CACHE_ENTRIES - 1);
}
