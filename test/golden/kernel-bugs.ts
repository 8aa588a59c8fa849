/**
 * A bug of Linux 6.19 that is in its packets: when a payload of IPTFS completes a packet and then has
 * another one, the Ethernet header in front of the latter is made anew over the last octets of the
 * former (docs/linux-xfrm.md, M-32b). Our packets are whole, so such ones are compared but for this.
 */

/** Addresses of the laboratory's Ethernet device, and IPv4 or IPv6. */
const LINK_HEADERS = ['0200000000010200000000020800', '02000000000102000000000286dd'];

/** Is `want` the packet `have` with a piece of a link header over its end? Both as hex. */
export function isOverwritten(want: string, have: string): boolean {
	if (want.length !== have.length) {
		return false;
	}
	for (let at = want.length - 2; at >= 0 && at >= want.length - 28; at -= 2) {
		if (want.slice(0, at) === have.slice(0, at)) {
			const over = want.slice(at);
			return LINK_HEADERS.some((header) => isPiece(header, over));
		}
	}
	return false;
}

/** Octets, so from an even place on. */
function isPiece(header: string, piece: string): boolean {
	for (let at = 0; at + piece.length <= header.length; at += 2) {
		if (header.startsWith(piece, at)) {
			return true;
		}
	}
	return false;
}
