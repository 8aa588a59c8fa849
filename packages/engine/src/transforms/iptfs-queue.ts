/**
 * IPTFS, the queue in front of an outbound state (RFC 9347 §2.2; net/xfrm/xfrm_iptfs.c:
 * iptfs_output_collect): packets wait here until the state's delay has passed since the first of them. Then
 * iptfs-output.ts makes outer packets of them.
 *
 * The queue keeps copies: the buffers of the packets given to the engine stay their owner's. Lifetimes and
 * sequence numbers are no business of the queue.
 */
import {
	checksumUpdate,
	ipv4Checksum,
	ipv4Tos,
	ipv6TrafficClass,
	type PacketBuffer,
	setIpv4Tos,
	setIpv6TrafficClass,
} from '@xfrm/wire';
import { Errno } from '@xfrm/wire/xfrm';
import type { Bundle, BundleStep } from '../bundle.ts';
import { iptfsPathOctets } from '../iptfs-settings.ts';
import { IPTFS_QUEUE_PACKETS_MAX } from '../limits.ts';
import type { Namespace } from '../namespace.ts';
import { noteVerdict } from '../output-trace.ts';
import type { XfrmState } from '../state.ts';
import { Timer, TimerKind } from '../timer-table.ts';
import { PacketAction, Verdict } from '../verdict.ts';

const ECN_CE = 3;
/** The queue is congested when it is fuller than this. */
const CONGESTED_PERCENT = 95;

/** A packet that waits, and what its lookup found. */
export interface Queued {
	readonly octets: Uint8Array;
	readonly mark: number;
	readonly bundle: Bundle;
}

export class IptfsQueue {
	readonly state: XfrmState;
	/** Oldest first. */
	packets: Queued[] = [];
	/** Octets of `packets`. */
	octets: number = 0;
	readonly timer: Timer = new Timer(TimerKind.Iptfs, this);

	constructor(state: XfrmState) {
		this.state = state;
	}

	/** Takes out all that waits. */
	takeAll(): Queued[] {
		const { packets } = this;
		this.packets = [];
		this.octets = 0;
		return packets;
	}
}

/**
 * Octets of data blocks that an outer packet on this path has: what the path takes, or less if the state says
 * so.
 *
 * @spec M-33 M-34
 */
export function iptfsPayloadOctets(step: BundleStep): number {
	const { state } = step;
	const fits = iptfsPathOctets(state, step.childMtu);
	const wanted = state.config.iptfs?.packetOctets ?? 0;
	return wanted === 0 ? fits : Math.min(fits, wanted - state.headerOctets);
}

/**
 * Takes a copy of a packet whose bundle begins with an IPTFS state. Answers in the packet's action: Consume;
 * or Drop, where it is larger than a payload and must not be cut, or the queue has no room for it. A local
 * sender is told nothing.
 *
 * @spec M-33
 */
export function queueIptfs(
	net: Namespace,
	packet: PacketBuffer,
	bundle: Bundle,
	step: BundleStep,
): void {
	const { state } = step;
	const { dontFragment = false, maxQueueOctets = 0, initDelayUs = 0 } = state.config.iptfs ?? {};
	packet.bundle = null;
	if (dontFragment && packet.length > iptfsPayloadOctets(step)) {
		refuseLong(net, packet, step);
		return;
	}
	const queue = queueOf(state);
	const octets = queue.octets + packet.length;
	if (octets > maxQueueOctets || queue.packets.length >= IPTFS_QUEUE_PACKETS_MAX) {
		noteVerdict(net, Verdict.OutNoQueueSpace, state, null, 'out.iptfs.queue');
		packet.verdict = Verdict.OutNoQueueSpace;
		packet.error = 0;
		packet.action = PacketAction.Drop;
		return;
	}
	if (octets > Math.floor((maxQueueOctets * CONGESTED_PERCENT) / 100)) {
		markCongestion(packet);
	}
	queue.packets.push({ octets: packet.copy(), mark: packet.mark, bundle });
	queue.octets = octets;
	if (!queue.timer.isSet) {
		net.timers.set(queue.timer, (net.now[0] ?? 0) + initDelayUs);
	}
	packet.action = PacketAction.Consume;
	if (net.tracer !== null) {
		net.tracer.note({ kind: 'kept', state, code: 'out.iptfs.queued' });
	}
}

/** What is forwarded is counted and told to its source; a local sender's packet just ends. */
function refuseLong(net: Namespace, packet: PacketBuffer, step: BundleStep): void {
	const verdict = packet.forwarded ? Verdict.OutError : Verdict.OutTooBig;
	noteVerdict(net, verdict, step.state, null, 'out.mtu.iptfs');
	packet.verdict = verdict;
	packet.error = packet.forwarded ? Errno.EMSGSIZE : 0;
	packet.mtu = iptfsPayloadOctets(step);
	packet.action = PacketAction.Drop;
}

function queueOf(state: XfrmState): IptfsQueue {
	if (state.iptfs instanceof IptfsQueue) {
		return state.iptfs;
	}
	const queue = new IptfsQueue(state);
	state.iptfs = queue;
	return queue;
}

/** Sets Congestion Experienced in a packet that is capable of it (RFC 3168 §5). */
function markCongestion(packet: PacketBuffer): void {
	const { view, start } = packet;
	if (view.getUint8(start) >> 4 === 4) {
		const tos = ipv4Tos(view, start);
		if ((tos & ECN_CE) !== 0) {
			const before = view.getUint16(start);
			setIpv4Tos(view, start, tos | ECN_CE);
			const checksum = checksumUpdate(ipv4Checksum(view, start), before, view.getUint16(start));
			view.setUint16(start + 10, checksum);
		}
		return;
	}
	const trafficClass = ipv6TrafficClass(view, start);
	if ((trafficClass & ECN_CE) !== 0) {
		setIpv6TrafficClass(view, start, trafficClass | ECN_CE);
	}
}
