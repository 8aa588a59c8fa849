/**
 * ESP in TCP on the way in (RFC 9329; net/xfrm/espintcp.c: espintcp_rcv): what a message of the stream is.
 *
 *     | 0xff |              keepalive
 *     | fewer than 4 |      damaged, XfrmInHdrError
 *     | 0 0 0 0 | IKE |     to whoever has the connection, the four octets too
 *     | SPI ≠ 0 | … |       ESP
 *
 * Cutting the stream into messages is in @xfrm/wire (esp-in-tcp.ts), the stream itself somebody else's.
 */
import { EncapType, IpProto } from '@xfrm/wire/xfrm';
import type { Batch } from './batch.ts';
import { input } from './input.ts';
import { traceVerdict } from './input-trace.ts';
import type { Namespace } from './namespace.ts';
import { PacketAction, Verdict } from './verdict.ts';

const KEEPALIVE = 0xff;
const MARKER_OCTETS = 4;

/**
 * Sorts messages, each at `transportAt` of a packet with the IP header of the connection's segments and
 * `encapSport` the peer's port: Consume for a keepalive, ToSocket for IKE, Drop for what is neither; ESP goes
 * through `input`.
 *
 * @spec T-12 NT-7
 */
export function tcpEncapInput(net: Namespace, batch: Batch): void {
	const { datagrams } = net.inputPlan;
	datagrams.nowUs = batch.nowUs;
	datagrams.processor = batch.processor;
	for (const packet of batch.packets) {
		const { view, transportAt: at, end } = packet;
		packet.verdict = Verdict.Pass;
		if (end - at === 1 && view.getUint8(at) === KEEPALIVE) {
			packet.action = PacketAction.Consume;
		} else if (end - at < MARKER_OCTETS) {
			net.count(Verdict.InHdrError);
			traceVerdict(net, Verdict.InHdrError, 'in.stream.short', null);
			packet.verdict = Verdict.InHdrError;
			packet.action = PacketAction.Drop;
		} else if (view.getInt32(at) === 0) {
			packet.action = PacketAction.ToSocket;
		} else {
			packet.encapType = EncapType.EspInTcp;
			packet.proto = IpProto.Esp;
			datagrams.packets.push(packet);
		}
	}
	input(net, datagrams);
	datagrams.truncate(0);
}
