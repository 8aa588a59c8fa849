/**
 * IPTFS, output (RFC 9347 §2.2; net/xfrm/xfrm_iptfs.c: iptfs_output_queued): when the delay of a queue has
 * passed, all that waits is packed into outer packets, in order, and sent through the states of its
 * bundle. A packet that fits goes whole; one larger than a payload is cut, and behind its last piece
 * others follow; none is cut to fill a payload up, and no padding is added.
 *
 *     queue    | A | B |     C      | D |
 *     payloads [A B]  [C…]  [C… D]
 */
import { IPTFS_HEADER_OCTETS, PacketBuffer, writeIptfs } from '@xfrm/wire';
import type { Bundle, BundleStep } from '../bundle.ts';
import type { Namespace } from '../namespace.ts';
import { sendThrough } from '../output.ts';
import { noteVerdict } from '../output-trace.ts';
import { PacketAction, Verdict } from '../verdict.ts';
import { type IptfsQueue, iptfsPayloadOctets, type Queued } from './iptfs-queue.ts';

/**
 * Sends what waits in a queue; the outer packets are handed out by `pollPacket`.
 *
 * @spec M-33
 */
export function iptfsOutputTimeout(net: Namespace, queue: IptfsQueue): void {
	const packets = queue.takeAll();
	net.outputRun.seconds = net.nowSeconds();
	for (let next = 0; next < packets.length; ) {
		const first = packets[next++];
		const step = first?.bundle.first;
		if (first === undefined || step === undefined || step === null) {
			continue;
		}
		const room = iptfsPayloadOctets(step);
		// What must not be cut was refused when it came; on a path that takes no more than the headers nothing can go.
		if (room <= 0) {
			noteVerdict(net, Verdict.OutError, step.state, null, 'out.mtu.iptfs');
			continue;
		}
		const sent = sendPieces(net, first, step, room);
		if (sent < 0) {
			continue;
		}
		const rest = first.octets.subarray(sent);
		const blocks = [rest];
		let left = room - rest.length;
		for (let follower = packets[next]; follower !== undefined; follower = packets[next]) {
			if (follower.octets.length > left) {
				break;
			}
			blocks.push(follower.octets);
			left -= follower.octets.length;
			next++;
		}
		sendPayload(net, first, step, sent === 0 ? 0 : rest.length, blocks);
	}
}

/**
 * Sends all but the last piece of a packet that is longer than a payload; returns the octets sent, or -1
 * when one did not go: then the rest is of no use to anybody.
 */
function sendPieces(net: Namespace, packet: Queued, step: BundleStep, room: number): number {
	const { octets } = packet;
	let at = 0;
	for (; octets.length - at > room; at += room) {
		// The offset says how much is to come in all, be it in later payloads too.
		const blockOffset = at === 0 ? 0 : octets.length - at;
		if (!sendPayload(net, packet, step, blockOffset, [octets.subarray(at, at + room)])) {
			return -1;
		}
	}
	return at;
}

/** Makes an outer packet and sends it through the bundle; false when it was dropped, or is too long for its path. */
function sendPayload(
	net: Namespace,
	first: Queued,
	step: BundleStep,
	blockOffset: number,
	blocks: readonly Uint8Array[],
): boolean {
	const octets = blocks.reduce((sum, block) => sum + block.length, IPTFS_HEADER_OCTETS);
	const packet = PacketBuffer.from(new Uint8Array(octets));
	writeIptfs(packet.view, packet.start, blockOffset);
	let at = packet.start + IPTFS_HEADER_OCTETS;
	for (const block of blocks) {
		packet.bytes.set(block, at);
		at += block.length;
	}
	packet.mark = first.mark;
	leaveBy(packet, first.bundle);
	if (!sendThrough(net, packet, step)) {
		return false;
	}
	net.outputRun.release(packet, first.bundle);
	return packet.action === PacketAction.ToStream || packet.length <= first.bundle.route.mtu;
}

function leaveBy(packet: PacketBuffer, bundle: Bundle): void {
	packet.route = bundle.route;
	packet.mtu = bundle.mtu;
	packet.action = PacketAction.Transformed;
}
