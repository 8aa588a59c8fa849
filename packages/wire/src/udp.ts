/**
 * The UDP header (RFC 768), also that of ESP in UDP (RFC 3948).
 *
 *     +-------------------------------+-------------------------------+
 *     |          Source Port          |       Destination Port        |  0
 *     |            Length             |           Checksum            |  4
 *     +-------------------------------+-------------------------------+
 *
 * @hotpath
 */
import { checksumAddView, checksumFold, pseudoHeaderSum } from './checksum.ts';
import { IpProto } from './xfrm/constants.ts';

export const UDP_HEADER_OCTETS = 8;

/** Is the header there? The length field is not looked at: ask `udpLengthIsSound`. */
export function fitsUdp(_view: DataView, at: number, end: number): boolean {
	return at + UDP_HEADER_OCTETS <= end;
}

/** Does the length field cover the header and end within the data? */
export function udpLengthIsSound(view: DataView, at: number, end: number): boolean {
	const octets = udpLength(view, at);
	return octets >= UDP_HEADER_OCTETS && at + octets <= end;
}

export function udpSourcePort(view: DataView, at: number): number {
	return view.getUint16(at);
}
export function udpDestinationPort(view: DataView, at: number): number {
	return view.getUint16(at + 2);
}
/** Octets of header and data. */
export function udpLength(view: DataView, at: number): number {
	return view.getUint16(at + 4);
}
export function udpChecksum(view: DataView, at: number): number {
	return view.getUint16(at + 6);
}
export function setUdpSourcePort(view: DataView, at: number, port: number): void {
	view.setUint16(at, port);
}
export function setUdpDestinationPort(view: DataView, at: number, port: number): void {
	view.setUint16(at + 2, port);
}
export function setUdpLength(view: DataView, at: number, octets: number): void {
	view.setUint16(at + 4, octets);
}
export function setUdpChecksum(view: DataView, at: number, checksum: number): void {
	view.setUint16(at + 6, checksum);
}

/** Writes a header without checksum (0); returns its octets. `octets` counts header and data. */
export function writeUdp(
	view: DataView,
	at: number,
	sport: number,
	dport: number,
	octets: number,
): number {
	view.setUint16(at, sport);
	view.setUint16(at + 2, dport);
	view.setUint16(at + 4, octets);
	view.setUint16(at + 6, 0);
	return UDP_HEADER_OCTETS;
}

/**
 * Computes the checksum over pseudo header, header and the data up to `end`, and stores it; a computed
 * 0 is stored as 0xffff (RFC 768).
 *
 * @param sourceAt offset of the source address
 * @param destinationAt offset of the destination address (of the last hop)
 */
export function fillUdpChecksum(
	_bytes: Uint8Array,
	view: DataView,
	family: number,
	sourceAt: number,
	destinationAt: number,
	at: number,
	end: number,
): void {
	view.setUint16(at + 6, 0);
	const pseudo = pseudoHeaderSum(view, family, sourceAt, destinationAt, end - at, IpProto.Udp);
	const checksum = checksumFold(checksumAddView(view, at, end - at, pseudo));
	view.setUint16(at + 6, checksum === 0 ? 0xffff : checksum);
}
