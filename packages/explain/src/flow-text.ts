/**
 * A flow in words, `src 10.0.0.1 dst 10.1.0.9 proto udp sport 5 dport 6 dir out`, and the packet that is
 * made up for it: the smallest sound one with these addresses, protocol and ports, or one of a `length`, which may
 * be fragmented (`df 0`) or not.
 */
import {
	checksumAdd,
	checksumFold,
	ipv4PseudoSum,
	ipv6PseudoSum,
	writeIpv4,
	writeIpv6,
} from '@xfrm/wire';
import { type Address, Family, IpProto, parseAddress } from '@xfrm/wire/xfrm';
import { InputError, type Word } from './input.ts';

/** A flow as asked for. */
export interface FlowQuestion {
	readonly family: number;
	readonly source: Address;
	readonly destination: Address;
	readonly proto: number;
	/** Source port, ICMP type or MH type. */
	readonly sport: number;
	readonly dport: number;
	readonly direction?: 'in' | 'out' | 'fwd';
	readonly mark?: number;
	readonly ifId?: number;
	readonly device?: string;
	/** Octets of the packet made up for it, its IP header among them. */
	readonly length?: number;
	/** May IPv4 fragment it? */
	readonly fragmentable?: boolean;
}

const PROTOCOL_NUMBERS: Readonly<Record<string, number>> = {
	icmp: IpProto.Icmp,
	ipip: IpProto.Ipip,
	tcp: IpProto.Tcp,
	udp: IpProto.Udp,
	dccp: IpProto.Dccp,
	ipv6: IpProto.Ipv6,
	gre: IpProto.Gre,
	'ipv6-icmp': IpProto.Icmpv6,
	icmpv6: IpProto.Icmpv6,
	sctp: IpProto.Sctp,
	'mobility-header': IpProto.MobilityHeader,
	ospf: 89,
};

/** Source port of a made-up packet whose flow names none. */
const SPORT_DEFAULT = 40000;

/** Does a text look like a flow rather than hex? */
export function looksLikeFlow(words: readonly Word[]): boolean {
	return words.length > 1 && /^(src|dst|proto|dir|dev|from|to)$/.test(words[0]?.text ?? '');
}

const FLOW_WORDS = 'src, dst, proto, sport, dport, type, code, dir, mark, if_id';
const FLOW_KEYS = /^(src|dst|proto|sport|dport|type|code|dir|mark|if_id|dev)$/;
const PACKET_KEYS = /^(length|df)$/;
/** As `ip route get` has it. */
const OTHER_WORDS: Readonly<Record<string, string>> = { from: 'src', to: 'dst' };

/**
 * Reads a flow.
 *
 * @param of `packet`: of one that is made up, which may have a length
 * @throws InputError with the column of the word
 */
export function parseFlow(words: readonly Word[], of: 'packet' | 'flow' = 'packet'): FlowQuestion {
	const seen: Record<string, Word> = {};
	for (let i = 0; i < words.length; i += 2) {
		const [key, value] = [words[i], words[i + 1]];
		if (key === undefined) {
			break;
		}
		const name = OTHER_WORDS[key.text] ?? key.text;
		if (!FLOW_KEYS.test(name) && !(of === 'packet' && PACKET_KEYS.test(key.text))) {
			throw new InputError({
				column: key.column,
				found: `"${key.text}"`,
				expected: `${FLOW_WORDS}${of === 'packet' ? ', dev, length or df' : ' or dev'}`,
			});
		}
		if (value === undefined) {
			throw new InputError({
				column: key.column + key.text.length,
				found: 'the end of the flow',
				expected: `a value for ${key.text}`,
			});
		}
		seen[name] = value;
	}
	return flowOf(seen, words);
}

function flowOf(seen: Readonly<Record<string, Word>>, words: readonly Word[]): FlowQuestion {
	const source = addressOf(seen['src'], 'src', words);
	const destination = addressOf(seen['dst'], 'dst', words);
	if (source.family !== destination.family) {
		throw refused(seen['dst'], 'a destination of the same family as the source');
	}
	const proto = protocolOf(seen['proto']);
	const isIcmp = proto === IpProto.Icmp || proto === IpProto.Icmpv6;
	const echo = proto === IpProto.Icmp ? 8 : 128;
	const hasPorts = [IpProto.Tcp, IpProto.Udp, IpProto.Sctp, IpProto.Dccp].some((p) => p === proto);
	const direction = seen['dir']?.text;
	if (direction !== undefined && !/^(in|out|fwd)$/.test(direction)) {
		throw refused(seen['dir'], 'in, out or fwd');
	}
	const mark = seen['mark'];
	const ifId = seen['if_id'];
	const device = seen['dev']?.text;
	const length = seen['length'];
	const df = seen['df'];
	if (df !== undefined && source.family !== Family.Ipv4) {
		throw refused(df, 'df of IPv4 packets only: those of IPv6 are never fragmented on their way');
	}
	return {
		family: source.family,
		source: source.address,
		destination: destination.address,
		proto,
		sport: numberOf(
			seen['sport'] ?? seen['type'],
			isIcmp ? echo : hasPorts ? SPORT_DEFAULT : 0,
			65535,
		),
		dport: numberOf(seen['dport'] ?? seen['code'], 0, 65535),
		...(direction === undefined ? {} : { direction: direction as 'in' | 'out' | 'fwd' }),
		...(mark === undefined ? {} : { mark: numberOf(mark, 0, 0xffffffff) }),
		...(ifId === undefined ? {} : { ifId: numberOf(ifId, 0, 0xffffffff) }),
		...(device === undefined ? {} : { device }),
		...(length === undefined ? {} : { length: lengthOf(length, source.family, proto) }),
		...(df === undefined ? {} : { fragmentable: numberOf(df, 1, 1) === 0 }),
	};
}

/** Octets of a whole packet, its headers at least. */
function lengthOf(word: Word, family: number, proto: number): number {
	const least = headerOctets(family) + (UPPER_OCTETS[proto] ?? UPPER_OCTETS_DEFAULT);
	const length = numberOf(word, least, LENGTH_MAX);
	if (length < least) {
		throw refused(word, `a length of ${least} octets at least: IP header and what is behind it`);
	}
	return length;
}

function refused(word: Word | undefined, expected: string): InputError {
	return new InputError({
		column: word?.column ?? 1,
		found: word === undefined ? 'nothing' : `"${word.text}"`,
		expected,
	});
}

function addressOf(
	word: Word | undefined,
	key: string,
	words: readonly Word[],
): { address: Address; family: number } {
	if (word === undefined) {
		const last = words[words.length - 1];
		const column = last === undefined ? 1 : last.column + last.text.length;
		throw new InputError({ column, found: 'the end of the flow', expected: `${key} ADDRESS` });
	}
	const parsed = parseAddress(word.text.replace(/\/(32|128)$/, ''));
	if (parsed === undefined) {
		throw refused(word, 'an address');
	}
	return parsed;
}

function protocolOf(word: Word | undefined): number {
	if (word === undefined || word.text === 'any') {
		return IpProto.Udp;
	}
	const proto = protocolNumber(word.text);
	if (proto === undefined) {
		throw refused(word, 'a protocol: udp, tcp, icmp, ipv6-icmp, … or a number to 255');
	}
	return proto;
}

/** The number of a protocol by name or number; undefined for what is neither. */
export function protocolNumber(text: string): number | undefined {
	const isNumber = /^[0-9]{1,3}$/.test(text) && Number(text) <= 255;
	return PROTOCOL_NUMBERS[text] ?? (isNumber ? Number(text) : undefined);
}

function numberOf(word: Word | undefined, absent: number, max: number): number {
	if (word === undefined) {
		return absent;
	}
	const value = /^(0[xX][0-9a-fA-F]+|[0-9]+)$/.test(word.text) ? Number(word.text) : Number.NaN;
	if (!(value <= max)) {
		throw refused(word, `a number to ${max}`);
	}
	return value;
}

/** Of a whole packet, as its header can tell. */
const LENGTH_MAX = 65535;
/** Don't fragment, and fragment offset 0. */
const DF = 0x4000;

function headerOctets(family: number): number {
	return family === Family.Ipv4 ? 20 : 40;
}

/** The packet of a flow: the smallest sound one, or of the length it tells, filled up with zeros. */
export function makePacket(flow: FlowQuestion): Uint8Array {
	const { family } = flow;
	const header = headerOctets(family);
	const upper = upperLayer(flow);
	const packet = new Uint8Array(Math.max(flow.length ?? 0, header + upper.length));
	const view = new DataView(packet.buffer);
	packet.set(upper, header);
	const { source, destination, proto } = flow;
	if (family === Family.Ipv4) {
		writeIpv4(view, 0, {
			tos: 0,
			totalLength: packet.length,
			id: 0x1234,
			fragmentWord: flow.fragmentable === true ? 0 : DF,
			ttl: 64,
			protocol: proto,
			source,
			destination,
			options: new Uint8Array(0),
		});
	} else {
		writeIpv6(view, 0, {
			trafficClass: 0,
			flowLabel: 0,
			payloadLength: packet.length - header,
			nextHeader: proto,
			hopLimit: 64,
			source,
			destination,
		});
	}
	setChecksum(packet, view, header, flow);
	return packet;
}

/** The header of the protocol, without its checksum. */
function upperLayer(flow: FlowQuestion): Uint8Array {
	const { family, proto, sport, dport, length } = flow;
	const bytes = new Uint8Array(UPPER_OCTETS[proto] ?? UPPER_OCTETS_DEFAULT);
	const view = new DataView(bytes.buffer);
	switch (proto) {
		case IpProto.Udp:
			view.setUint16(4, length === undefined ? bytes.length : length - headerOctets(family));
			break;
		case IpProto.Tcp:
			view.setUint32(4, 1);
			view.setUint16(12, 0x5002); // 20 octets, SYN
			view.setUint16(14, 65535);
			break;
		case IpProto.Icmp:
		case IpProto.Icmpv6:
			bytes[0] = sport;
			bytes[1] = dport;
			return bytes;
		case IpProto.MobilityHeader:
			bytes[0] = IpProto.NoNext;
			bytes[2] = sport;
			return bytes;
		default:
	}
	if (UPPER_OCTETS[proto] !== undefined) {
		view.setUint16(0, sport);
		view.setUint16(2, dport);
	}
	return bytes;
}

const UPPER_OCTETS_DEFAULT = 8;
/** Octets of the headers that have ports. */
const UPPER_OCTETS: Readonly<Record<number, number>> = {
	[IpProto.Udp]: 8,
	[IpProto.Tcp]: 20,
	[IpProto.Sctp]: 12,
	[IpProto.Dccp]: 16,
};

/** Where the checksum stands, by protocol. */
const CHECKSUM_AT: Readonly<Record<number, number>> = {
	[IpProto.Udp]: 6,
	[IpProto.Tcp]: 16,
	[IpProto.Icmp]: 2,
	[IpProto.Icmpv6]: 2,
	[IpProto.MobilityHeader]: 4,
};

function setChecksum(packet: Uint8Array, view: DataView, at: number, flow: FlowQuestion): void {
	const checksumAt = CHECKSUM_AT[flow.proto];
	if (checksumAt === undefined) {
		return;
	}
	const octets = packet.length - at;
	const pseudo =
		flow.proto === IpProto.Icmp
			? 0
			: flow.family === Family.Ipv4
				? ipv4PseudoSum(view, 0, octets, flow.proto)
				: ipv6PseudoSum(view, 0, octets, flow.proto);
	view.setUint16(at + checksumAt, checksumFold(checksumAdd(packet, at, packet.length, pseudo)));
}
