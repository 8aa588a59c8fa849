/**
 * The TCP header (RFC 9293 §3.1).
 *
 *     +-------------------------------+-------------------------------+
 *     |          Source Port          |       Destination Port        |  0
 *     |                        Sequence Number                        |  4
 *     |                    Acknowledgment Number                      |  8
 *     | Offset|  Rsrvd | CWR…FIN flags|            Window             | 12
 *     |           Checksum            |        Urgent Pointer         | 16
 *     |                           Options …                           | 20
 *
 * Only what segmentation, checksums and printing need; options stay bytes but for MSS.
 *
 * @hotpath
 */
import { checksumAddView, checksumFold, pseudoHeaderSum } from './checksum.ts';
import { IpProto } from './xfrm/constants.ts';

export const TCP_HEADER_OCTETS = 20;

export const TcpFlag = {
	Fin: 0x01,
	Syn: 0x02,
	Rst: 0x04,
	Psh: 0x08,
	Ack: 0x10,
	Urg: 0x20,
	Ece: 0x40,
	Cwr: 0x80,
} as const;

/** Is the header there, options included? */
export function fitsTcp(view: DataView, at: number, end: number): boolean {
	if (at + TCP_HEADER_OCTETS > end) {
		return false;
	}
	const octets = tcpHeaderOctets(view, at);
	return octets >= TCP_HEADER_OCTETS && at + octets <= end;
}

export function tcpSourcePort(view: DataView, at: number): number {
	return view.getUint16(at);
}
export function tcpDestinationPort(view: DataView, at: number): number {
	return view.getUint16(at + 2);
}
/** Sequence number as an int32. */
export function tcpSequence(view: DataView, at: number): number {
	return view.getInt32(at + 4);
}
/** Acknowledgment number as an int32. */
export function tcpAcknowledgment(view: DataView, at: number): number {
	return view.getInt32(at + 8);
}
export function tcpHeaderOctets(view: DataView, at: number): number {
	return (view.getUint8(at + 12) >> 4) * 4;
}
/** `TcpFlag` bits. */
export function tcpFlags(view: DataView, at: number): number {
	return view.getUint8(at + 13);
}
export function tcpWindow(view: DataView, at: number): number {
	return view.getUint16(at + 14);
}
export function tcpChecksum(view: DataView, at: number): number {
	return view.getUint16(at + 16);
}
export function setTcpSequence(view: DataView, at: number, sequence: number): void {
	view.setInt32(at + 4, sequence | 0);
}
export function setTcpFlags(view: DataView, at: number, flags: number): void {
	view.setUint8(at + 13, flags);
}
export function setTcpChecksum(view: DataView, at: number, checksum: number): void {
	view.setUint16(at + 16, checksum);
}

/** A TCP header without options as a value, for packets made up. */
export interface TcpHeader {
	readonly sport: number;
	readonly dport: number;
	readonly sequence: number;
	readonly acknowledgment: number;
	readonly flags: number;
	readonly window: number;
}

/** Writes 20 octets with checksum 0; returns how many. */
export function writeTcp(view: DataView, at: number, header: TcpHeader): number {
	view.setUint16(at, header.sport);
	view.setUint16(at + 2, header.dport);
	view.setInt32(at + 4, header.sequence | 0);
	view.setInt32(at + 8, header.acknowledgment | 0);
	view.setUint8(at + 12, (TCP_HEADER_OCTETS / 4) << 4);
	view.setUint8(at + 13, header.flags);
	view.setUint16(at + 14, header.window);
	view.setInt32(at + 16, 0);
	return TCP_HEADER_OCTETS;
}

/** Computes the checksum over pseudo header, header and data up to `end`, and stores it. */
export function fillTcpChecksum(
	_bytes: Uint8Array,
	view: DataView,
	family: number,
	sourceAt: number,
	destinationAt: number,
	at: number,
	end: number,
): void {
	view.setUint16(at + 16, 0);
	const pseudo = pseudoHeaderSum(view, family, sourceAt, destinationAt, end - at, IpProto.Tcp);
	view.setUint16(at + 16, checksumFold(checksumAddView(view, at, end - at, pseudo)));
}
