/**
 * The Internet checksum (RFC 1071) and the pseudo headers it covers (RFC 768, RFC 8200 §8.1).
 *
 * A *sum* is a running ones' complement sum, folded to 16 bits between calls; a *checksum* is what
 * stands on the wire: the complement of the folded sum. Add pieces of even length, only the last one
 * may be odd. Not here: CRC-32c of SCTP, which no transform touches.
 *
 * @hotpath
 */
import { Family } from './xfrm/constants.ts';

/** Octets summed before the carry is folded, so that the sum stays an int32. */
const FOLD_OCTETS = 32768;

/** Folds the carries of a sum back in; 16 bits remain. */
function carry(sum: number): number {
	const once = (sum & 0xffff) + (sum >>> 16);
	return (once & 0xffff) + (once >>> 16);
}

/**
 * Adds the octets `from`…`to` to a running sum; an odd last octet counts as the high half of a word.
 *
 * @param sum 0 to begin with, or what an earlier call returned
 */
export function checksumAdd(bytes: Uint8Array, from: number, to: number, sum: number): number {
	let total = sum;
	let at = from;
	while (at < to) {
		const stop = Math.min(to, at + FOLD_OCTETS);
		for (; at + 1 < stop; at += 2) {
			total += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
		}
		if (at < stop) {
			total += (bytes[at] ?? 0) << 8;
			at++;
		}
		total = carry(total);
	}
	return carry(total);
}

/** Adds one 16-bit word to a running sum. */
export function checksumAddWord(word: number, sum: number): number {
	return carry(sum + (word & 0xffff));
}

/** The checksum of a finished sum: 16 bits, host order. */
export function checksumFold(sum: number): number {
	return ~carry(sum) & 0xffff;
}

/** The sum over `octets` at `at` in a view, four at a time; an odd last octet is the high half of a word. */
export function checksumAddView(view: DataView, at: number, octets: number, sum: number): number {
	let total = sum;
	let i = at;
	const end = at + octets;
	while (i + 4 <= end) {
		const stop = Math.min(end, i + FOLD_OCTETS) - 15;
		for (; i < stop; i += 16) {
			const a = view.getInt32(i);
			const b = view.getInt32(i + 4);
			const c = view.getInt32(i + 8);
			const d = view.getInt32(i + 12);
			total += (a >>> 16) + (b >>> 16) + (c >>> 16) + (d >>> 16);
			total += (a & 0xffff) + (b & 0xffff) + (c & 0xffff) + (d & 0xffff);
		}
		for (; i + 4 <= end && i < stop + 15; i += 4) {
			const word = view.getInt32(i);
			total += (word >>> 16) + (word & 0xffff);
		}
		total = carry(total);
	}
	if (i + 2 <= end) {
		total += view.getUint16(i);
		i += 2;
	}
	if (i < end) {
		total += view.getUint8(i) << 8;
	}
	return carry(total);
}

/**
 * The sum over a pseudo header, to begin a transport checksum with.
 *
 * @param sourceAt offset of the source address (4 or 16 octets by family)
 * @param destinationAt offset of the destination: with a routing header that of the last hop
 * @param octets length of transport header and data
 */
export function pseudoHeaderSum(
	view: DataView,
	family: number,
	sourceAt: number,
	destinationAt: number,
	octets: number,
	proto: number,
): number {
	const addressOctets = family === Family.Ipv4 ? 4 : 16;
	const source = checksumAddView(view, sourceAt, addressOctets, 0);
	const both = checksumAddView(view, destinationAt, addressOctets, source);
	return carry(both + (octets >>> 16) + (octets & 0xffff) + (proto & 0xff));
}

/** The pseudo header's sum for the IPv4 header at `ipAt`. */
export function ipv4PseudoSum(view: DataView, ipAt: number, octets: number, proto: number): number {
	return pseudoHeaderSum(view, Family.Ipv4, ipAt + 12, ipAt + 16, octets, proto);
}

/** The pseudo header's sum for the IPv6 header at `ipAt`, when no routing header changes its destination. */
export function ipv6PseudoSum(view: DataView, ipAt: number, octets: number, proto: number): number {
	return pseudoHeaderSum(view, Family.Ipv6, ipAt + 8, ipAt + 24, octets, proto);
}

/**
 * The checksum after one 16-bit word it covers has changed (RFC 1624 equation 3).
 *
 * @param checksum as it stands on the wire
 */
export function checksumUpdate(checksum: number, oldWord: number, newWord: number): number {
	return checksumFold((~checksum & 0xffff) + (~oldWord & 0xffff) + (newWord & 0xffff));
}
