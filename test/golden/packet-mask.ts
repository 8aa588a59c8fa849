/**
 * Fields of packets that leave that no two runs have in common and that nothing tells beforehand
 * (golden/README.md): identifications of fragments and of IPv4 headers made for ICMP errors, the flow
 * label of an ICMPv6 error.
 */
import { formatHex, parseHex, setIpv4Checksum } from '@xfrm/wire';

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

/**
 * The packet as `maskPacket` gives it, and without an identification that Linux puts beside DF into the
 * outer header of what a UDP socket sent: nobody can tell it beforehand, and ours is 0.
 */
export function maskWanted(packet: Uint8Array, have: Uint8Array): string {
	const isIpv4 = (packet[0] ?? 0) >> 4 === 4 && packet.length >= 20 && have.length >= 20;
	if (!isIpv4 || ((packet[6] ?? 0) & 0x40) === 0 || (have[4] ?? 0) !== 0 || (have[5] ?? 0) !== 0) {
		return maskPacket(packet);
	}
	const copy = packet.slice();
	const view = new DataView(copy.buffer);
	view.setUint16(4, 0);
	setIpv4Checksum(view, 0);
	return maskPacket(copy);
}

/**
 * An ICMP error about a UDP datagram, without what depends on how it was made: identification and header
 * checksum of the quote, its UDP checksum, which Linux leaves to the device and has not filled in yet when
 * a virtual device refuses the packet, and the checksum of the message.
 *
 * @param at where the ICMP header stands
 */
export function maskQuote(message: string, at: number): string {
	const bytes = parseHex(message);
	if (!(bytes instanceof Uint8Array)) {
		return message;
	}
	const ip = at + 8;
	const ipv4 = (bytes[ip] ?? 0) >> 4 === 4;
	const udp = ip + (ipv4 ? ((bytes[ip] ?? 0) & 15) * 4 : 40);
	const isError = bytes.length >= udp + 8 && (ipv4 ? ICMP_ERRORS.has(bytes[at] ?? 0) : true);
	if (!isError || bytes[ip + (ipv4 ? 9 : 6)] !== 17) {
		return message;
	}
	bytes.fill(0, at + 2, at + 4);
	bytes.fill(0, udp + 6, udp + 8);
	if (ipv4) {
		bytes.fill(0, ip + 4, ip + 6);
		bytes.fill(0, ip + 10, ip + 12);
	}
	return formatHex(bytes);
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
