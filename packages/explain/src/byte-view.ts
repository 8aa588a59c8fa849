/**
 * A packet by its header fields: where each stands, its octets, what they say. The lengths of IV and ICV are not
 * in the packet: they are those of the state that sealed it.
 *
 *     ip … | esp.spi esp.seq esp.iv esp.ciphertext esp.icv
 */
import { formatHex, formatHex32 } from '@xfrm/wire';
import { addressFrom, Family, formatAddress, IpProto } from '@xfrm/wire/xfrm';
import type { ByteField } from './answer.ts';
import { hexNumber, protocolName } from './names.ts';

/** Octets of the state's algorithm. */
export interface SealSizes {
	readonly ivOctets: number;
	readonly icvOctets: number;
}

/** Extension headers that are walked through. */
const EXTENSIONS = new Set<number>([
	IpProto.HopByHop,
	IpProto.Routing,
	IpProto.Fragment,
	IpProto.DestinationOptions,
]);
/** A chain longer than this is not told to its end. */
const HEADERS_MAX = 12;

class FieldList {
	readonly fields: ByteField[] = [];
	readonly #packet: Uint8Array;
	readonly view: DataView;

	constructor(packet: Uint8Array) {
		this.#packet = packet;
		this.view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
	}

	/** Is so much of the packet there? */
	has(at: number, octets: number): boolean {
		return at + octets <= this.#packet.length;
	}

	add(at: number, octets: number, name: string, value: string | number = ''): void {
		const bytes = this.#packet.subarray(at, at + octets);
		if (bytes.length > 0) {
			this.fields.push({ at, name, hex: formatHex(bytes), value: `${value}` });
		}
	}

	address(at: number, octets: number): string {
		const family = octets === 4 ? Family.Ipv4 : Family.Ipv6;
		return formatAddress(addressFrom(this.#packet, at, octets), family);
	}

	octet(at: number): number {
		return this.#packet[at] ?? 0;
	}

	get length(): number {
		return this.#packet.length;
	}
}

/** All fields of a packet in order; what cannot be told apart is `payload`. */
export function fieldsOf(packet: Uint8Array, sizes: SealSizes): readonly ByteField[] {
	const list = new FieldList(packet);
	let next: { proto: number; at: number } | undefined = { proto: versionOf(list, 0), at: 0 };
	for (let i = 0; next !== undefined && i < HEADERS_MAX; i++) {
		next = header(list, next.proto, next.at, sizes);
	}
	return list.fields;
}

function versionOf(list: FieldList, at: number): number {
	return list.octet(at) >> 4 === 6 ? IpProto.Ipv6 : IpProto.Ipip;
}

type Next = { proto: number; at: number } | undefined;

function header(list: FieldList, proto: number, at: number, sizes: SealSizes): Next {
	switch (proto) {
		case IpProto.Ipip:
			return list.has(at, 20) ? ipv4(list, at) : rest(list, at);
		case IpProto.Ipv6:
			return list.has(at, 40) ? ipv6(list, at) : rest(list, at);
		case IpProto.Esp:
			return list.has(at, 8) ? esp(list, at, sizes) : rest(list, at);
		case IpProto.Ah:
			return list.has(at, 12) ? ah(list, at) : rest(list, at);
		case IpProto.Comp:
			return list.has(at, 4) ? comp(list, at) : rest(list, at);
		case IpProto.Udp:
			return list.has(at, 8) ? udp(list, at, sizes) : rest(list, at);
		case IpProto.Icmp:
		case IpProto.Icmpv6:
			return list.has(at, 8) ? icmp(list, at) : rest(list, at);
		case IpProto.Tcp:
			return list.has(at, 20) ? tcp(list, at) : rest(list, at);
		default:
			return EXTENSIONS.has(proto) && list.has(at, 8) ? extension(list, proto, at) : rest(list, at);
	}
}

function rest(list: FieldList, at: number, name: string = 'payload'): undefined {
	list.add(at, list.length - at, name, `${list.length - at} bytes`);
}

function ipv4(list: FieldList, at: number): Next {
	const { view } = list;
	const octets = (list.octet(at) & 15) * 4;
	const fragment = view.getUint16(at + 6);
	const flags = [
		...((fragment & 0x4000) === 0 ? [] : ['DF']),
		...((fragment & 0x2000) === 0 ? [] : ['MF']),
	].join(' ');
	list.add(at, 1, 'ip.version/length', `4, ${octets} bytes`);
	list.add(at + 1, 1, 'ip.tos', hexNumber(list.octet(at + 1)));
	list.add(at + 2, 2, 'ip.total_length', view.getUint16(at + 2));
	list.add(at + 4, 2, 'ip.id', hexNumber(view.getUint16(at + 4)));
	list.add(
		at + 6,
		2,
		'ip.fragment',
		`${flags === '' ? 'no DF' : flags}, offset ${(fragment & 0x1fff) * 8}`,
	);
	list.add(at + 8, 1, 'ip.ttl', list.octet(at + 8));
	list.add(at + 9, 1, 'ip.protocol', protocolName(list.octet(at + 9)));
	list.add(at + 10, 2, 'ip.checksum');
	list.add(at + 12, 4, 'ip.src', list.address(at + 12, 4));
	list.add(at + 16, 4, 'ip.dst', list.address(at + 16, 4));
	list.add(at + 20, Math.max(0, octets - 20), 'ip.options');
	const later = (fragment & 0x1fff) !== 0;
	const proto = list.octet(at + 9);
	return later || octets < 20 ? rest(list, at + Math.max(20, octets)) : { proto, at: at + octets };
}

function ipv6(list: FieldList, at: number): Next {
	const { view } = list;
	const first = view.getUint32(at);
	list.add(
		at,
		4,
		'ip6.version/class/flow',
		`6, ${hexNumber((first >>> 20) & 0xff)}, ${hexNumber(first & 0xfffff)}`,
	);
	list.add(at + 4, 2, 'ip6.payload_length', view.getUint16(at + 4));
	list.add(at + 6, 1, 'ip6.next_header', protocolName(list.octet(at + 6)));
	list.add(at + 7, 1, 'ip6.hop_limit', list.octet(at + 7));
	list.add(at + 8, 16, 'ip6.src', list.address(at + 8, 16));
	list.add(at + 24, 16, 'ip6.dst', list.address(at + 24, 16));
	return { proto: list.octet(at + 6), at: at + 40 };
}

function extension(list: FieldList, proto: number, at: number): Next {
	const octets = proto === IpProto.Fragment ? 8 : (list.octet(at + 1) + 1) * 8;
	const name = protocolName(proto).replaceAll(' ', '_');
	const next = list.octet(at);
	list.add(at, 1, `${name}.next_header`, protocolName(next));
	list.add(at + 1, 1, `${name}.length`, `${octets} bytes`);
	list.add(at + 2, octets - 2, `${name}.data`);
	const later = proto === IpProto.Fragment && (list.view.getUint16(at + 2) & 0xfff8) !== 0;
	return later ? rest(list, at + octets) : { proto: next, at: at + octets };
}

function esp(list: FieldList, at: number, { ivOctets, icvOctets }: SealSizes): undefined {
	const { view } = list;
	const body = at + 8 + ivOctets;
	const icvAt = list.length - icvOctets;
	list.add(at, 4, 'esp.spi', formatHex32(view.getUint32(at)));
	list.add(at + 4, 4, 'esp.seq', view.getUint32(at + 4));
	if (icvAt < body) {
		return rest(list, at + 8);
	}
	list.add(at + 8, ivOctets, 'esp.iv');
	list.add(body, icvAt - body, 'esp.ciphertext', `${icvAt - body} bytes`);
	list.add(icvAt, icvOctets, 'esp.icv', `${icvOctets} bytes`);
}

function ah(list: FieldList, at: number): Next {
	const { view } = list;
	const octets = (list.octet(at + 1) + 2) * 4;
	list.add(at, 1, 'ah.next_header', protocolName(list.octet(at)));
	list.add(at + 1, 1, 'ah.length', `${octets} bytes`);
	list.add(at + 2, 2, 'ah.reserved');
	list.add(at + 4, 4, 'ah.spi', formatHex32(view.getUint32(at + 4)));
	list.add(at + 8, 4, 'ah.seq', view.getUint32(at + 8));
	list.add(at + 12, octets - 12, 'ah.icv', `${octets - 12} bytes`);
	return { proto: list.octet(at), at: at + octets };
}

function comp(list: FieldList, at: number): undefined {
	list.add(at, 1, 'comp.next_header', protocolName(list.octet(at)));
	list.add(at + 1, 1, 'comp.flags');
	list.add(at + 2, 2, 'comp.cpi', hexNumber(list.view.getUint16(at + 2)));
	return rest(list, at + 4, 'comp.data');
}

function udp(list: FieldList, at: number, sizes: SealSizes): Next {
	const { view } = list;
	list.add(at, 2, 'udp.sport', view.getUint16(at));
	list.add(at + 2, 2, 'udp.dport', view.getUint16(at + 2));
	list.add(at + 4, 2, 'udp.length', view.getUint16(at + 4));
	list.add(at + 6, 2, 'udp.checksum');
	const sealed = sizes.icvOctets > 0 && list.has(at + 8, 8) && view.getUint32(at + 8) !== 0;
	const encapsulated = view.getUint16(at) === 4500 || view.getUint16(at + 2) === 4500;
	return sealed && encapsulated ? { proto: IpProto.Esp, at: at + 8 } : rest(list, at + 8);
}

function icmp(list: FieldList, at: number): undefined {
	list.add(at, 1, 'icmp.type', list.octet(at));
	list.add(at + 1, 1, 'icmp.code', list.octet(at + 1));
	list.add(at + 2, 2, 'icmp.checksum');
	list.add(at + 4, 4, 'icmp.rest');
	return rest(list, at + 8);
}

function tcp(list: FieldList, at: number): undefined {
	const { view } = list;
	const octets = Math.max(20, (list.octet(at + 12) >> 4) * 4);
	list.add(at, 2, 'tcp.sport', view.getUint16(at));
	list.add(at + 2, 2, 'tcp.dport', view.getUint16(at + 2));
	list.add(at + 4, 4, 'tcp.seq', view.getUint32(at + 4));
	list.add(at + 8, 4, 'tcp.ack', view.getUint32(at + 8));
	list.add(at + 12, 2, 'tcp.length/flags', hexNumber(view.getUint16(at + 12)));
	list.add(at + 14, 2, 'tcp.window', view.getUint16(at + 14));
	list.add(at + 16, 2, 'tcp.checksum');
	list.add(at + 18, 2, 'tcp.urgent');
	list.add(at + 20, octets - 20, 'tcp.options');
	return rest(list, at + octets);
}
