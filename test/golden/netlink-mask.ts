/**
 * Octets of XFRM notifications that no two runs have in common: times of adding and use, sequence
 * numbers that the kernel counts over all namespaces (golden/README.md).
 */
import { formatHex, parseHex } from '@xfrm/wire';

/** Netlink header's seq and port id; then by message the spans [from, to) from the message's start. */
const SPANS: Readonly<Record<number, readonly (readonly [number, number])[]>> = {
	// ACQUIRE: curlft times of the policy, seq.
	23: [
		[248, 264],
		[292, 296],
	],
	// EXPIRE: curlft times of the state, seq.
	24: [
		[192, 208],
		[220, 224],
	],
	// POLEXPIRE: curlft times of the policy.
	27: [[152, 168]],
	// REPORT: padding behind the protocol, which the kernel does not clear.
	32: [[17, 20]],
};

const MAPPING = 38;
const REPORT = 32;
const EXPIRE = 24;

/**
 * The message with those octets as zeros.
 *
 * @param otherKernel it is compared with a kernel that decodes flows in another way: until 6.6 the ports
 * in a REPORT are read from the wrong place of an IPv6 packet, so they are left out
 * @param otherOctets states have protected what another compressor made: what an EXPIRE says they counted
 * is left out
 */
export function maskNotification(
	hex: string,
	otherKernel: boolean,
	otherOctets: boolean = false,
): string {
	const bytes = parseHex(hex);
	if (!(bytes instanceof Uint8Array) || bytes.length < 16) {
		return hex;
	}
	const type = (bytes[4] ?? 0) | ((bytes[5] ?? 0) << 8);
	const spans = [[8, 16] as const, ...(SPANS[type] ?? [])];
	if (type === MAPPING && bytes[36] === 2) {
		spans.push([64, 76]); // behind an IPv4 address the kernel sends what its stack held
	}
	if (type === EXPIRE && otherOctets) {
		spans.push([176, 184]);
	}
	if (type === REPORT && otherKernel) {
		spans.push([52, 60]);
	}
	for (const [from, to] of spans) {
		bytes.fill(0, from, Math.min(to, bytes.length));
	}
	return formatHex(bytes);
}
