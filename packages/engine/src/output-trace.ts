/**
 * What the output path tells a tracer. Nothing here runs without one, but for `noteVerdict`, which
 * counts too, and tells a watcher of drops.
 */
import {
	Flow,
	formatHex,
	IPV6_HEADER_OCTETS,
	ipv4DontFragment,
	ipv4Id,
	ipv4Tos,
	ipv4Ttl,
	ipv6FlowLabel,
	ipv6HopLimit,
	ipv6TrafficClass,
	type PacketBuffer,
	setIpv4Checksum,
	setIpv4TotalLength,
	setIpv6PayloadLength,
} from '@xfrm/wire';
import {
	Direction,
	Family,
	formatAddress,
	IpProto,
	PolicyType,
	StateFlag,
	type Template,
} from '@xfrm/wire/xfrm';
import { type BundleStep, wordsAddress } from './bundle.ts';
import type { Namespace } from './namespace.ts';
import type { XfrmPolicy } from './policy.ts';
import { ReplayCounter } from './replay-window.ts';
import { scanPolicies } from './spd-scan.ts';
import { isTunnelFlagged, type XfrmState } from './state.ts';
import type { Tracer } from './trace.ts';
import type { Verdict } from './verdict.ts';

/** Counts a verdict and tells the tracer of it; `code` is one of docs/reasons.md. */
export function noteVerdict(
	net: Namespace,
	verdict: Verdict,
	state: XfrmState | null,
	policy: XfrmPolicy | null,
	code: string,
): void {
	net.count(verdict);
	net.tellDrop(verdict, state, policy, code);
	if (net.tracer !== null) {
		net.tracer.note({
			kind: 'verdict',
			verdict,
			state: state ?? undefined,
			policy: policy ?? undefined,
			code,
		});
	}
}

/**
 * A lookup in the SUB or MAIN table, told with all that lost. The scan is a second implementation of the
 * lookup, so the two have to agree.
 */
export function noteTableLookup(
	net: Namespace,
	tracer: Tracer,
	flow: Flow,
	type: number,
	ifId: number,
	winner: XfrmPolicy | null,
	embedded: boolean,
): void {
	const scan = scanPolicies(net.spd, flow, Direction.Out, type, ifId);
	if ((scan.winner ?? null) !== winner) {
		throw new RangeError(
			`policy lookup chose ${winner?.index ?? 'none'}, the scan ${scan.winner?.index ?? 'none'}`,
		);
	}
	tracer.note({
		kind: 'policy',
		table: type === PolicyType.Sub ? 'sub' : 'main',
		direction: Direction.Out,
		flow: copyFlow(flow),
		ifId,
		winner: winner ?? undefined,
		losers: scan.losers,
		embedded,
	});
}

/** A lookup among the policies of a socket. */
export function noteSocketLookup(
	tracer: Tracer,
	flow: Flow,
	ifId: number,
	winner: XfrmPolicy | null,
): void {
	tracer.note({
		kind: 'policy',
		table: 'socket',
		direction: Direction.Out,
		flow: copyFlow(flow),
		ifId,
		winner: winner ?? undefined,
		losers: [],
		embedded: false,
	});
}

/** No policy: the default decided. */
export function noteDefault(tracer: Tracer, accepted: boolean): void {
	tracer.note({ kind: 'default-policy', direction: Direction.Out, accepted });
}

/** A template is being resolved, with the addresses its state must have. */
export function noteTemplate(
	tracer: Tracer,
	policy: XfrmPolicy,
	position: number,
	template: Template,
	flow: Flow,
	saddr: Int32Array,
	daddr: Int32Array,
): void {
	tracer.note({
		kind: 'template',
		policy,
		position,
		count: policy.templates.length,
		template,
		family: template.family || flow.family,
		saddr: wordsAddress(saddr),
		daddr: wordsAddress(daddr),
	});
}

/** The packet as it was before the state in work, for the events of it. */
let before: Uint8Array = new Uint8Array(0);

/** Remembers the packet as it is before a state. */
export function keepBefore(packet: PacketBuffer): void {
	before = packet.copy();
}

/**
 * An outer header was put around the packet, or (BEET) in the place of the inner one. What is told is the
 * packet without the transform's room: an IP-in-IP packet for tunnels. Modes without a header of their own
 * tell nothing.
 */
export function noteMode(tracer: Tracer, packet: PacketBuffer, state: XfrmState): void {
	if (!isTunnelFlagged(state.mode)) {
		return;
	}
	const after = withoutRoom(packet, state);
	tracer.note({
		kind: 'transform',
		operation: 'mode',
		state,
		before,
		after,
		details: outerDetails(state, new DataView(after.buffer)),
	});
	before = after;
}

function outerDetails(state: XfrmState, view: DataView): Record<string, string | number> {
	const addresses = {
		source: formatAddress(state.config.saddr, state.family),
		destination: formatAddress(state.config.id.daddr, state.family),
	};
	if (state.family === Family.Ipv4) {
		return {
			...addresses,
			tos: ipv4Tos(view, 0),
			ttl: ipv4Ttl(view, 0),
			df: ipv4DontFragment(view, 0) ? 1 : 0,
			id: ipv4Id(view, 0),
		};
	}
	return {
		...addresses,
		tos: ipv6TrafficClass(view, 0),
		ttl: ipv6HopLimit(view, 0),
		flowLabel: ipv6FlowLabel(view, 0),
	};
}

/** The packet without the room that waits for the transform's header, its lengths right. */
function withoutRoom(packet: PacketBuffer, state: XfrmState): Uint8Array {
	const { bytes, start, end, transportAt } = packet;
	const headerOctets = transportAt - start;
	const payloadAt = transportAt + state.transformOctets;
	const whole = new Uint8Array(headerOctets + end - payloadAt);
	whole.set(bytes.subarray(start, transportAt));
	whole.set(bytes.subarray(payloadAt, end), headerOctets);
	const view = new DataView(whole.buffer);
	if (packet.family === Family.Ipv4) {
		setIpv4TotalLength(view, 0, whole.length);
		setIpv4Checksum(view, 0);
	} else {
		setIpv6PayloadLength(view, 0, whole.length - IPV6_HEADER_OCTETS);
	}
	return whole;
}

/** Named facts of a planned transform, read before sealing hides them. */
export function sealDetails(
	net: Namespace,
	packet: PacketBuffer,
	step: BundleStep,
): Readonly<Record<string, string | number>> {
	const { state } = step;
	const { jobs } = net;
	const details: Record<string, string | number> = {};
	if (state.proto === IpProto.Esp || state.proto === IpProto.Ah) {
		details['seq'] = (state.replay.counters[ReplayCounter.Oseq] ?? 0) >>> 0;
		if ((state.flags & StateFlag.Esn) !== 0) {
			details['seqHi'] = (state.replay.counters[ReplayCounter.OseqHi] ?? 0) >>> 0;
		}
		details['icvOctets'] = state.icvOctets;
	}
	if (state.proto === IpProto.Esp && jobs.count > 0) {
		const ivAt = jobs.ivAt[0] ?? 0;
		const textEnd = jobs.textEnd[0] ?? 0;
		details['iv'] = formatHex(packet.bytes.subarray(ivAt, ivAt + state.ivOctets));
		details['pad'] = packet.bytes[textEnd - 2] ?? 0;
		details['nextHeader'] = packet.bytes[textEnd - 1] ?? 0;
		if (state.encap !== undefined) {
			details['sport'] = state.encap.sport;
			details['dport'] = state.encap.dport;
		}
	}
	if (state.proto === IpProto.Comp) {
		details['octets'] = packet.end - packet.transportAt;
	}
	return details;
}

/** A transform was applied; the packet's lengths are right. */
export function noteSeal(
	net: Namespace,
	packet: PacketBuffer,
	state: XfrmState,
	details: Readonly<Record<string, string | number>>,
): void {
	net.tracer?.note({
		kind: 'transform',
		operation: 'seal',
		state,
		before,
		after: packet.copy(),
		details,
	});
}

function copyFlow(flow: Flow): Flow {
	const copy = new Flow();
	copy.copyFrom(flow);
	return copy;
}
