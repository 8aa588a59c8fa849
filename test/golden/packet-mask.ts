/**
 * Fields of packets that leave that no two runs have in common and that nothing tells beforehand
 * (golden/README.md): identifications of fragments and of IPv4 headers made for ICMP errors, the flow
 * label of an ICMPv6 error.
 */
import { formatHex, setIpv4Checksum } from '@xfrm/wire';

const ICMP_ERRORS: ReadonlySet<number> = new Set([3, 4, 5, 11, 12]);

/** The packet with those fields zero, IPv4 header checksum made right again if it was. */
export function maskPacket(packet: Uint8Array): string {
	const copy = packet.slice();
	const view = new DataView(copy.buffer);
	if ((copy[0] ?? 0) >> 4 === 4 && copy.length >= 20) {
		const fragment = view.getUint16(6);
		const isError = copy[9] === 1 && ICMP_ERRORS.has(copy[((copy[0] ?? 0) & 15) * 4] ?? 0);
		if ((fragment & 0x3fff) !== 0 || (isError && (fragment & 0x4000) === 0)) {
			view.setUint16(4, 0);
			setIpv4Checksum(view, 0);
		}
	} else if (copy.length >= 48) {
		if (copy[6] === 58 && (copy[40] ?? 255) < 128) {
			view.setUint32(0, view.getUint32(0) & 0xfff00000);
		}
		maskFragmentHeader(copy);
	}
	return formatHex(copy);
}

function maskFragmentHeader(copy: Uint8Array): void {
	let proto = copy[6] ?? 59;
	let at = 40;
	while ((proto === 0 || proto === 43 || proto === 60) && at + 8 <= copy.length) {
		proto = copy[at] ?? 59;
		at += ((copy[at + 1] ?? 0) + 1) * 8;
	}
	if (proto === 44) {
		copy.fill(0, at + 4, at + 8);
	}
}
