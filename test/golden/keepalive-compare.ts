/**
 * Keepalives in what left: how many there are in a step depends on the clock, so that one more or less is
 * right, and over IPv6 each has a flow label of its own (golden/README.md).
 */
import { maskPacket } from './packet-mask.ts';

/** A UDP datagram of the one octet 0xff, behind a plain IP header. */
export function isKeepalive(packet: Uint8Array): boolean {
	const ipv4 = (packet[0] ?? 0) >> 4 === 4;
	const octets = ipv4 ? 20 : 40;
	return (
		packet.length === octets + 9 &&
		packet[ipv4 ? 9 : 6] === 17 &&
		packet[packet.length - 1] === 0xff
	);
}

/** What can be compared of a keepalive. */
export function keepaliveView(device: string, packet: Uint8Array): string {
	const copy = packet.slice();
	if ((copy[0] ?? 0) >> 4 === 6) {
		copy.set([0x60, 0, 0, 0]);
	}
	return `${device} ${maskPacket(copy)}`;
}

/** Do two lists have the same keepalives, each as often, one more or less? */
export function keepalivesAgree(want: readonly string[], have: readonly string[]): boolean {
	return [...new Set([...want, ...have])].every((one) => {
		const wanted = want.filter((other) => other === one).length;
		const got = have.filter((other) => other === one).length;
		return wanted > 0 === got > 0 && Math.abs(wanted - got) <= 1;
	});
}
