/**
 * Plain packets for the cases: made here by hand, so that the judge's input does not depend on the
 * codecs under test.
 */
import type { Random } from './random.ts';

export type IpVersion = 4 | 6;

/** Octets of an address as text. */
export function addressOctets(text: string): number[] {
	if (!text.includes(':')) {
		return text.split('.').map(Number);
	}
	const [head = '', tail] = text.split('::');
	const words = (part: string): number[] =>
		part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16));
	const left = words(head);
	const right = words(tail ?? '');
	const middle =
		tail === undefined ? [] : new Array<number>(8 - left.length - right.length).fill(0);
	return [...left, ...middle, ...right].flatMap((word) => [word >> 8, word & 255]);
}

function sum16(octets: readonly number[], start = 0): number {
	let sum = start;
	for (let i = 0; i < octets.length; i += 2) {
		sum += ((octets[i] ?? 0) << 8) | (octets[i + 1] ?? 0);
	}
	while (sum > 0xffff) {
		sum = (sum & 0xffff) + (sum >>> 16);
	}
	return sum;
}

export interface PlainPacket {
	readonly src: string;
	readonly dst: string;
	readonly proto: 'udp' | 'icmp' | 'raw';
	readonly sport?: number;
	readonly dport?: number;
	readonly payload: Uint8Array;
	readonly tos?: number;
	readonly ttl?: number;
	readonly id?: number;
	readonly dontFragment?: boolean;
	readonly flowLabel?: number;
	/** IPv4 options, a multiple of 4 octets. */
	readonly options?: readonly number[];
	/** IPv6 extension headers, each without its first octet, by protocol. */
	readonly extensions?: readonly (readonly [proto: number, octets: readonly number[]])[];
	/** IPv4 flags and offset, or an IPv6 fragment header, in place of a whole packet. */
	readonly fragment?: { readonly offset: number; readonly more: boolean; readonly id: number };
}

/** The upper-layer octets with a right checksum. */
function upper(packet: PlainPacket, version: IpVersion): [proto: number, octets: number[]] {
	const payload = [...packet.payload];
	if (packet.proto === 'raw') {
		return [253, payload];
	}
	const [proto, header] =
		packet.proto === 'udp'
			? [17, udpHeader(packet, payload.length + 8)]
			: version === 4
				? [1, [packet.sport ?? 13, packet.dport ?? 0, 0, 0]]
				: [58, [packet.sport ?? 200, packet.dport ?? 0, 0, 0]];
	const octets = [...header, ...payload];
	const length = octets.length;
	const pseudo =
		proto === 1
			? []
			: version === 4
				? [
						...addressOctets(packet.src),
						...addressOctets(packet.dst),
						0,
						proto,
						length >> 8,
						length & 255,
					]
				: [
						...addressOctets(packet.src),
						...addressOctets(packet.dst),
						...[0, 0, length >> 8, length & 255, 0, 0, 0, proto],
					];
	let checksum = 0xffff ^ sum16(octets, sum16(pseudo));
	if (proto === 17 && checksum === 0) {
		checksum = 0xffff;
	}
	const at = proto === 17 ? 6 : 2;
	octets[at] = checksum >> 8;
	octets[at + 1] = checksum & 255;
	return [proto, octets];
}

function udpHeader(packet: PlainPacket, length: number): number[] {
	const sport = packet.sport ?? 0;
	const dport = packet.dport ?? 0;
	return [sport >> 8, sport & 255, dport >> 8, dport & 255, length >> 8, length & 255, 0, 0];
}

function ipv4(
	packet: PlainPacket,
	proto: number,
	payload: readonly number[],
	frag: number,
): number[] {
	const options = packet.options ?? [];
	const length = 20 + options.length + payload.length;
	const id = packet.fragment?.id ?? packet.id ?? 0;
	const header = [
		0x45 + options.length / 4,
		packet.tos ?? 0,
		length >> 8,
		length & 255,
		id >> 8,
		id & 255,
		frag >> 8,
		frag & 255,
		packet.ttl ?? 64,
		proto,
		0,
		0,
		...addressOctets(packet.src),
		...addressOctets(packet.dst),
		...options,
	];
	const checksum = 0xffff ^ sum16(header);
	header[10] = checksum >> 8;
	header[11] = checksum & 255;
	return [...header, ...payload];
}

function ipv6(packet: PlainPacket, proto: number, payload: readonly number[]): number[] {
	const tos = packet.tos ?? 0;
	const label = packet.flowLabel ?? 0;
	return [
		0x60 | (tos >> 4),
		((tos & 15) << 4) | (label >> 16),
		(label >> 8) & 255,
		label & 255,
		payload.length >> 8,
		payload.length & 255,
		proto,
		packet.ttl ?? 64,
		...addressOctets(packet.src),
		...addressOctets(packet.dst),
		...payload,
	];
}

/** Extension headers in front of the payload: the first one's number, and all octets. */
function extended(
	packet: PlainPacket,
	proto: number,
	payload: readonly number[],
): [proto: number, octets: readonly number[]] {
	return (packet.extensions ?? []).reduceRight<[number, readonly number[]]>(
		([next, octets], [header, body]) => [header, [next, ...body, ...octets]],
		[proto, payload],
	);
}

/** The packet as hex, whole. */
export function makePacket(version: IpVersion, packet: PlainPacket): string {
	const [proto, octets] = upper(packet, version);
	const bytes =
		version === 4
			? ipv4(packet, proto, octets, packet.dontFragment === true ? 0x4000 : 0)
			: ipv6(packet, ...extended(packet, proto, octets));
	return Buffer.from(bytes).toString('hex');
}

/** Header and payload put together, the header's length and checksum made right. */
export function rawPacket(
	version: IpVersion,
	header: number[],
	payload: readonly number[],
): string {
	if (version === 6) {
		header.splice(4, 2, payload.length >> 8, payload.length & 255);
		return Buffer.from([...header, ...payload]).toString('hex');
	}
	const length = header.length + payload.length;
	header.splice(2, 2, length >> 8, length & 255);
	header.splice(10, 2, 0, 0);
	const checksum = 0xffff ^ sum16(header);
	header.splice(10, 2, checksum >> 8, checksum & 255);
	return Buffer.from([...header, ...payload]).toString('hex');
}

/** Cuts any IP packet (hex, no extension headers) into fragments of `size` octets of payload, a multiple of 8. */
export function fragmentPacket(hex: string, size: number, id: number): string[] {
	const bytes = [...Buffer.from(hex, 'hex')];
	const version = (bytes[0] ?? 0) >> 4;
	const headerLength = version === 4 ? ((bytes[0] ?? 0) & 15) * 4 : 40;
	const payload = bytes.slice(headerLength);
	const out: string[] = [];
	for (let at = 0; at < payload.length; at += size) {
		const part = payload.slice(at, at + size);
		const more = at + size < payload.length;
		const header = bytes.slice(0, headerLength);
		out.push(
			Buffer.from(
				version === 4
					? fragment4(header, part, at, more, id)
					: fragment6(header, part, at, more, id),
			).toString('hex'),
		);
	}
	return out;
}

function fragment4(
	header: number[],
	part: number[],
	at: number,
	more: boolean,
	id: number,
): number[] {
	const length = header.length + part.length;
	const frag = (more ? 0x2000 : 0) | (at >> 3);
	header.splice(2, 6, length >> 8, length & 255, (id >> 8) & 255, id & 255, frag >> 8, frag & 255);
	header.splice(10, 2, 0, 0);
	const checksum = 0xffff ^ sum16(header);
	header.splice(10, 2, checksum >> 8, checksum & 255);
	return [...header, ...part];
}

function fragment6(
	header: number[],
	part: number[],
	at: number,
	more: boolean,
	id: number,
): number[] {
	const length = part.length + 8;
	const proto = header[6] ?? 0;
	header.splice(4, 3, length >> 8, length & 255, 44);
	const offset = at | (more ? 1 : 0);
	return [
		...header,
		...[proto, 0, offset >> 8, offset & 255],
		...[(id >>> 24) & 255, (id >>> 16) & 255, (id >>> 8) & 255, id & 255],
		...part,
	];
}

/** Payload that compresses well, badly or not at all. */
export function randomPayload(random: Random, length: number): Uint8Array {
	if (random.chance(0.5)) {
		return random.bytes(length);
	}
	const pattern = random.bytes(random.int(1, 9));
	return Uint8Array.from({ length }, (_, i) => pattern[i % pattern.length] ?? 0);
}
