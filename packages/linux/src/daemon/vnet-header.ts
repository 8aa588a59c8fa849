/**
 * The header in front of each packet of a TUN device with `IFF_VNET_HDR`: what the kernel, or we, leave to the
 * other to do (virtio 1.2, 5.1.6; here in the byte order of the machine, which is little-endian).
 *
 *     0       1      2                 4                 6                8                 10
 *     | flags | type | header octets   | segment octets  | checksum from  | checksum at     | packet …
 *
 * @hotpath
 */
import { checksumAddView, checksumFold, type PacketBuffer } from '@xfrm/wire';

export const VNET_HEADER_OCTETS = 10;

/** The checksum is a pseudo header's only: the rest is to be added from an offset on. */
const NEEDS_CHECKSUM = 1;

/** Offsets in the headers. */
const TCP_CHECKSUM_AT = 16;
const UDP_CHECKSUM_AT = 6;

export const SegmentType = { None: 0, Tcp4: 1, Tcp6: 4, Udp: 5 } as const;
/** Beside the type: the first segment alone has CWR. */
const ECN = 0x80;

/** How the packet behind the header at `at` is to be cut: a `SegmentType`. */
export function vnetSegmentType(view: DataView, at: number): number {
	return view.getUint8(at + 1) & ~ECN;
}
/** Payload of each segment. */
export function vnetSegmentOctets(view: DataView, at: number): number {
	return view.getUint16(at + 4, true);
}

/** Completes the checksum of a packet in one piece where that was left to us. False if the header lies. */
export function completeChecksum(packet: PacketBuffer, vnetAt: number): boolean {
	const { view, start, end } = packet;
	if ((view.getUint8(vnetAt) & NEEDS_CHECKSUM) === 0) {
		return true;
	}
	const from = start + view.getUint16(vnetAt + 6, true);
	const at = from + view.getUint16(vnetAt + 8, true);
	if (at + 2 > end) {
		return false;
	}
	const checksum = checksumFold(checksumAddView(view, from, end - from, 0));
	// UDP's 0 means that there is none (RFC 768).
	view.setUint16(
		at,
		checksum === 0 && view.getUint16(vnetAt + 8, true) === UDP_CHECKSUM_AT ? 0xffff : checksum,
	);
	return true;
}

/** Writes a header that leaves nothing to do. */
export function writePlainVnet(view: DataView, at: number): void {
	view.setInt32(at, 0);
	view.setInt32(at + 4, 0);
	view.setInt16(at + 8, 0);
}

/** Writes a header for segments or datagrams in one packet, whose checksum is the pseudo header's sum. */
export function writeSegmentVnet(
	view: DataView,
	at: number,
	type: number,
	upperOctets: number,
	headerOctets: number,
	segmentOctets: number,
): void {
	view.setUint8(at, NEEDS_CHECKSUM);
	view.setUint8(at + 1, type);
	view.setUint16(at + 2, headerOctets, true);
	view.setUint16(at + 4, segmentOctets, true);
	view.setUint16(at + 6, upperOctets, true);
	view.setUint16(at + 8, type === SegmentType.Udp ? UDP_CHECKSUM_AT : TCP_CHECKSUM_AT, true);
}
