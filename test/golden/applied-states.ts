/** Was a state applied to a packet? By what came out: as it came in but for TTL and checksum, or not. */
import { formatHex } from '@xfrm/wire';
import { bytesOf } from './laboratory.ts';
import type { DeliveredPacket, EmittedPacket } from './vector-case.ts';

/** Protocols of states. */
const SECURITY: ReadonlySet<number> = new Set([50, 51, 108]);

/** Something was taken off or put on, or addresses were exchanged. */
export function isTunneled(
	packet: Uint8Array,
	emitted: readonly EmittedPacket[],
	delivered: readonly DeliveredPacket[],
	encapPorts: ReadonlySet<number>,
): boolean {
	const chains = emitted.flatMap(({ fields }) => fields?.chain ?? []);
	if (isProtected(packet, encapPorts) || chains.some((proto) => SECURITY.has(proto))) {
		return true;
	}
	const [first] = emitted;
	if (first !== undefined) {
		return !isSameButTtl(packet, bytesOf(first.packet));
	}
	return delivered.some((one) => isOtherAddress(packet, one));
}

function isProtected(packet: Uint8Array, encapPorts: ReadonlySet<number>): boolean {
	const v4 = (packet[0] ?? 0) >> 4 === 4;
	let proto = packet[v4 ? 9 : 6] ?? 0;
	let at = v4 ? ((packet[0] ?? 0) & 15) * 4 : 40;
	while (!v4 && [0, 43, 44, 60].includes(proto) && at + 8 <= packet.length) {
		const next = packet[at] ?? 0;
		at += proto === 44 ? 8 : ((packet[at + 1] ?? 0) + 1) * 8;
		proto = next;
	}
	const port = ((packet[at + 2] ?? 0) << 8) | (packet[at + 3] ?? 0);
	const udpEncap = proto === 17 && encapPorts.has(port) && packet.length > at + 16;
	return SECURITY.has(proto) || udpEncap;
}

/** The packet as one that a router passed on. */
function isSameButTtl(packet: Uint8Array, other: Uint8Array): boolean {
	const plain = (bytes: Uint8Array): string => {
		const copy = bytes.slice();
		const v4 = (copy[0] ?? 0) >> 4 === 4;
		copy.fill(0, v4 ? 8 : 7, v4 ? 9 : 8);
		copy.fill(0, v4 ? 10 : 7, v4 ? 12 : 8);
		return formatHex(copy);
	};
	const fragment =
		(other[0] ?? 0) >> 4 === 4
			? ((other[6] ?? 0) & 0x3f) !== 0 || (other[7] ?? 0) !== 0
			: other[6] === 44;
	return plain(packet) === plain(other) || fragment;
}

/** The socket saw another source than the packet bears: a home address option was heeded. */
function isOtherAddress(packet: Uint8Array, { src, dst, family }: DeliveredPacket): boolean {
	if (family !== 6 || src === undefined || dst === undefined) {
		return false;
	}
	const words = (at: number): string => {
		const text: string[] = [];
		for (let i = 0; i < 16; i += 2) {
			text.push((((packet[at + i] ?? 0) << 8) | (packet[at + i + 1] ?? 0)).toString(16));
		}
		return text.join(':');
	};
	const canonical = (address: string): string => new URL(`http://[${address}]`).hostname;
	return canonical(words(8)) !== canonical(src) || canonical(words(24)) !== canonical(dst);
}
