/**
 * IPTFS, input (RFC 9347 §2.2; net/xfrm/xfrm_iptfs.c: iptfs_input): payloads come out of ESP, inner packets
 * go to `pollPacket`. The steps of a payload:
 *
 *     iptfsInput     the reorder window (iptfs-window.ts): which payloads are next in order
 *       takePayload    header
 *         continuePacket the packet that was begun before, by consecutive sequence numbers
 *         takeBlocks     whole packets, and the beginning of one
 *
 * Whatever is wrong with a payload costs that payload, or the packet that was begun, and nothing else. One
 * packet a state is under reassembly, of its claimed length; the window is bounded in octets.
 */
import {
	checksumUpdate,
	fitsIptfs,
	IPTFS_CONGESTION_HEADER_OCTETS,
	IPTFS_HEADER_OCTETS,
	IPTFS_LENGTH_OCTETS,
	IptfsBlock,
	IptfsSubtype,
	iptfsBlockOctets,
	iptfsBlockOffset,
	iptfsPacketOctetsMin,
	iptfsReserved,
	iptfsSubtype,
	ipv4Checksum,
	ipv4Tos,
	ipv6TrafficClass,
	PacketBuffer,
	setIpv4Tos,
	setIpv6TrafficClass,
} from '@xfrm/wire';
import { Family, IpProto, StateFlag } from '@xfrm/wire/xfrm';
import { traceVerdict } from '../input-trace.ts';
import type { Namespace } from '../namespace.ts';
import type { XfrmState } from '../state.ts';
import { PacketAction, Verdict } from '../verdict.ts';
import { IptfsReceiver, Payload, type Waiting } from './iptfs-receiver.ts';
import { drainWindow, enterWindow } from './iptfs-window.ts';

const ECN_MASK = 3;

/**
 * Takes the payload of an opened packet. What it completes is handed out by `pollPacket`, each packet with
 * the sec path of the packet at hand.
 *
 * @param payloadAt offset of the IPTFS header in `packet`, whose padding is gone
 * @spec M-30 M-32
 */
export function iptfsInput(
	net: Namespace,
	packet: PacketBuffer,
	state: XfrmState,
	payloadAt: number,
	seqHi: number,
	seqLo: number,
): void {
	const receiver = receiverOf(state);
	const { reorderWindow = 0 } = state.config.iptfs ?? {};
	const payload = new Payload(packet, payloadAt, seqHi, seqLo);
	const { wanted } = receiver;
	if (net.tracer !== null && (wanted === null || payload.distanceFrom(wanted) >= 0)) {
		net.tracer.note({ kind: 'kept', state, code: 'in.iptfs.taken' });
	}
	if (reorderWindow === 0) {
		takePayload(net, receiver, payload);
		return;
	}
	for (const ready of enterWindow(net, receiver, payload, reorderWindow)) {
		takePayload(net, receiver, ready);
	}
}

function receiverOf(state: XfrmState): IptfsReceiver {
	if (state.iptfs instanceof IptfsReceiver) {
		return state.iptfs;
	}
	const receiver = new IptfsReceiver(state);
	state.iptfs = receiver;
	return receiver;
}

/**
 * The drop timer: the packet under reassembly is given up without a word, and so is what the window waits
 * for.
 *
 * @spec M-32
 */
export function iptfsInputTimeout(net: Namespace, receiver: IptfsReceiver): void {
	receiver.waiting = null;
	for (const ready of drainWindow(net, receiver)) {
		takePayload(net, receiver, ready);
	}
}

/** A payload whose turn has come. */
function takePayload(net: Namespace, receiver: IptfsReceiver, payload: Payload): void {
	const { view, start, end } = payload;
	if (!fitsIptfs(view, start, end)) {
		refuse(net, receiver, Verdict.InBufferError, 'in.iptfs.short');
		return;
	}
	const subtype = iptfsSubtype(view, start);
	let at = start + IPTFS_HEADER_OCTETS;
	if (subtype === IptfsSubtype.CongestionControl) {
		at = start + IPTFS_CONGESTION_HEADER_OCTETS;
		if (at > end) {
			refuse(net, receiver, Verdict.InBufferError, 'in.iptfs.short');
			return;
		}
	} else if (subtype !== IptfsSubtype.Basic) {
		refuse(net, receiver, Verdict.InHdrError, 'in.iptfs.header');
		return;
	}
	if (iptfsReserved(view, start) !== 0) {
		refuse(net, receiver, Verdict.InHdrError, 'in.iptfs.header');
		return;
	}
	const found: PacketBuffer[] = [];
	const blockOffset = iptfsBlockOffset(view, start);
	if (blockOffset !== 0 || receiver.isWaiting) {
		at = continuePacket(net, receiver, payload, at, blockOffset, found);
	}
	if (takeBlocks(net, receiver, payload, at, found)) {
		for (const one of found) {
			net.outputRun.release(one, null);
		}
	}
}

/**
 * What stands in front of the first block belongs to the packet that was begun before. Returns where the
 * first block is.
 *
 * @spec M-31 M-32
 */
function continuePacket(
	net: Namespace,
	receiver: IptfsReceiver,
	payload: Payload,
	at: number,
	blockOffset: number,
	found: PacketBuffer[],
): number {
	const { end } = payload;
	const octets = Math.min(blockOffset, end - at);
	const firstBlock = at + octets;
	if (!receiver.isWaiting) {
		return firstBlock;
	}
	const ahead = payload.distanceFrom(receiver.nextSequence);
	if (ahead < 0) {
		// Only without a reorder window: an old payload neither continues nor begins anything.
		return end;
	}
	if (ahead > 0) {
		receiver.forget(net);
		refuse(net, receiver, Verdict.InIptfsError, 'in.iptfs.gap');
		return firstBlock;
	}
	if (blockOffset === 0) {
		// A payload put in between, of padding (RFC 9347 §2.2.3); Linux does not look whether it is.
		receiver.expectAfter(payload);
		return end;
	}
	const waiting = beginFromRunt(receiver, payload, at, octets);
	if (waiting === null || blockOffset < waiting.octetsMissing) {
		receiver.forget(net);
		refuse(net, receiver, Verdict.InIptfsError, 'in.iptfs.offset');
		return firstBlock;
	}
	waiting.append(payload.bytes, at, firstBlock);
	if (waiting.octetsMissing > 0) {
		receiver.expectAfter(payload);
	} else {
		receiver.forget(net);
		hand(payload, waiting.bytes, false, found, receiver.state);
	}
	return firstBlock;
}

/**
 * The packet under reassembly. Where only a few octets of it are known, its length comes to light now;
 * null: it does not, or is none.
 */
function beginFromRunt(
	receiver: IptfsReceiver,
	payload: Payload,
	at: number,
	octets: number,
): Waiting | null {
	const { waiting, runt, runtOctets } = receiver;
	if (waiting !== null || octets < IPTFS_LENGTH_OCTETS - runtOctets) {
		return waiting;
	}
	runt.set(payload.bytes.subarray(at, at + IPTFS_LENGTH_OCTETS - runtOctets), runtOctets);
	const view = new DataView(runt.buffer);
	const total = iptfsBlockOctets(view, 0, IPTFS_LENGTH_OCTETS);
	if (total < iptfsPacketOctetsMin(view.getUint8(0))) {
		return null;
	}
	return receiver.begin(total, runt, 0, runtOctets);
}

/**
 * Blocks from `at` on. False: one is nothing known, and the whole payload is given up, what it completed
 * included.
 *
 * @spec M-31 M-32 M-34
 */
function takeBlocks(
	net: Namespace,
	receiver: IptfsReceiver,
	payload: Payload,
	from: number,
	found: PacketBuffer[],
): boolean {
	const { view, bytes, end } = payload;
	let isFirst = true;
	for (let at = from; at < end; ) {
		const total = iptfsBlockOctets(view, at, end);
		if (total === IptfsBlock.Padding) {
			return true;
		}
		// A length of 0 leads nowhere: Linux 6.19 reads the same block for ever.
		if (total === IptfsBlock.Unknown || total === 0) {
			refuse(net, receiver, Verdict.InBufferError, 'in.iptfs.block');
			return false;
		}
		if (total === IptfsBlock.Unfinished) {
			receiver.runt.set(bytes.subarray(at, end));
			receiver.runtOctets = end - at;
			receiver.expectAfter(payload);
			return true;
		}
		// Shorter than its header is no packet, but the next block is where its length says.
		const isPacket = total >= iptfsPacketOctetsMin(view.getUint8(at));
		if (at + total > end) {
			if (isPacket) {
				receiver.begin(total, bytes, at, end);
				receiver.expectAfter(payload);
				receiver.startDropTimer(net);
			}
			return true;
		}
		if (isPacket) {
			hand(payload, bytes.subarray(at, at + total), isFirst, found, receiver.state);
		}
		isFirst = false;
		at += total;
	}
	return true;
}

/**
 * An inner packet is complete. Linux gives the first one of a payload the buffer of the outer packet, and
 * with it the mark; all others have new buffers, without mark, and with DECAP_DSCP without DSCP. What Linux
 * spoils by that is whole here.
 *
 * @spec M-34 M-32b
 */
function hand(
	payload: Payload,
	octets: Uint8Array,
	isFirst: boolean,
	found: PacketBuffer[],
	state: XfrmState,
): void {
	const inner = PacketBuffer.from(octets);
	const ipv4 = inner.view.getUint8(inner.start) >> 4 === 4;
	inner.family = ipv4 ? Family.Ipv4 : Family.Ipv6;
	inner.proto = ipv4 ? IpProto.Ipip : IpProto.Ipv6;
	inner.action = PacketAction.Reinject;
	inner.transportAt = inner.start;
	inner.nextHeaderAt = inner.start;
	payload.passOn(inner, isFirst);
	if (!isFirst && (state.flags & StateFlag.DecapDscp) !== 0) {
		clearDscp(inner, ipv4);
	}
	found.push(inner);
}

function clearDscp(packet: PacketBuffer, ipv4: boolean): void {
	const { view, start } = packet;
	if (!ipv4) {
		setIpv6TrafficClass(view, start, ipv6TrafficClass(view, start) & ECN_MASK);
		return;
	}
	const before = view.getUint16(start);
	setIpv4Tos(view, start, ipv4Tos(view, start) & ECN_MASK);
	const checksum = checksumUpdate(ipv4Checksum(view, start), before, view.getUint16(start));
	view.setUint16(start + 10, checksum);
}

/** Counts what is wrong; the state has opened the outer packet and stays as it is. */
function refuse(net: Namespace, receiver: IptfsReceiver, verdict: Verdict, code: string): void {
	net.count(verdict);
	traceVerdict(net, verdict, code, receiver.state);
}
