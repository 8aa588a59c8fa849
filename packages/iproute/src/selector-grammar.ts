/** SELECTOR and UPSPEC of states and policies (spec 5.1). */
import { anySelector, IpProto, type Selector } from '@xfrm/wire/xfrm';
import { readDottedQuad, readPrefix } from './address-text.ts';
import { parseUnsigned, U8_MAX, U16_MAX, U32_MAX } from './number-text.ts';
import { refuseCommand, wrongArgument } from './problem.ts';
import { protocolName, protocolNumber } from './protocol-names.ts';
import type { Reading } from './reading.ts';

/** A selector, and which parts of it were named: filters look at those only. */
export interface ReadSelector {
	readonly selector: Selector;
	readonly srcBits: number | undefined;
	readonly dstBits: number | undefined;
	readonly hasDev: boolean;
	readonly hasProto: boolean;
	readonly hasSport: boolean;
	readonly hasDport: boolean;
}

interface Draft {
	selector: { -readonly [K in keyof Selector]: Selector[K] };
	srcBits: number | undefined;
	dstBits: number | undefined;
	hasDev: boolean;
	hasProto: boolean;
	hasSport: boolean;
	hasDport: boolean;
}

/** Which kinds of ports a UPSPEC named. */
interface PortKinds {
	ports: boolean;
	typeCode: boolean;
	key: boolean;
}

const PORT_PROTOCOLS: ReadonlySet<number> = new Set([
	IpProto.Tcp,
	IpProto.Udp,
	IpProto.Sctp,
	IpProto.Dccp,
	0,
]);
const TYPE_PROTOCOLS: ReadonlySet<number> = new Set([
	IpProto.Icmp,
	IpProto.Icmpv6,
	IpProto.MobilityHeader,
]);

function readProtocol(reading: Reading): number {
	const { word } = reading.words.next('a protocol');
	if (word.text === 'any') {
		return 0;
	}
	return (
		protocolNumber(word.text) ??
		parseUnsigned(word.text, U8_MAX) ??
		wrongArgument(word, 'PROTO value is invalid', 'a protocol by name or number, or any')
	);
}

function setSport(draft: Draft, value: number, mask: number): void {
	draft.selector.sport = value;
	draft.selector.sportMask = mask;
	draft.hasSport = true;
}

function setDport(draft: Draft, value: number, mask: number): void {
	draft.selector.dport = value;
	draft.selector.dportMask = mask;
	draft.hasDport = true;
}

function readGreKey(reading: Reading): number {
	const { word } = reading.words.next('a key');
	if (word.text.includes('.')) {
		return readDottedQuad(word);
	}
	const key = parseUnsigned(word.text, U32_MAX);
	return key ?? refuseCommand(word, 'value after "key" is invalid', 'a number or A.B.C.D', 255);
}

/** Reads one part of a UPSPEC; false when the current word begins none. @spec C-1 */
function readUpperPart(reading: Reading, draft: Draft, kinds: PortKinds): boolean {
	const { selector } = draft;
	switch (reading.words.text) {
		case 'proto':
			selector.proto = readProtocol(reading);
			draft.hasProto = true;
			return true;
		case 'sport': {
			kinds.ports = true;
			const port = reading.number(U16_MAX, 'value after "sport" is invalid');
			// Port 0 leaves the mask as it was.
			setSport(draft, port, port === 0 ? selector.sportMask : U16_MAX);
			return true;
		}
		case 'dport': {
			kinds.ports = true;
			const port = reading.number(U16_MAX, 'value after "dport" is invalid');
			setDport(draft, port, port === 0 ? selector.dportMask : U16_MAX);
			return true;
		}
		case 'type':
			kinds.typeCode = true;
			setSport(draft, reading.number(U8_MAX, 'value after "type" is invalid'), U16_MAX);
			return true;
		case 'code':
			kinds.typeCode = true;
			setDport(draft, reading.number(U8_MAX, 'value after "code" is invalid'), U16_MAX);
			return true;
		case 'key': {
			kinds.key = true;
			const key = readGreKey(reading);
			const { hasSport } = draft;
			setSport(draft, key >>> 16, U16_MAX);
			setDport(draft, key & U16_MAX, U16_MAX);
			// As in ip, a filter by key looks at its low half only.
			draft.hasSport = hasSport;
			return true;
		}
		default:
			return false;
	}
}

/** Reads a UPSPEC; the cursor stands on its first word and ends on its last one. @spec C-1 */
function readUpper(reading: Reading, draft: Draft): void {
	const { words } = reading;
	const kinds: PortKinds = { ports: false, typeCode: false, key: false };
	for (;;) {
		if (!readUpperPart(reading, draft, kinds)) {
			words.back();
			break;
		}
		if (!words.hasNext) {
			break;
		}
		words.next('a keyword');
	}
	const { proto } = draft.selector;
	const refuse = (what: string, expected: string): never =>
		refuseCommand(
			words.word,
			`${what} invalid with PROTO value "${protocolName(proto)}"`,
			expected,
		);
	if (kinds.ports && !PORT_PROTOCOLS.has(proto)) {
		refuse('"sport" and "dport" are', 'proto tcp, udp, sctp or dccp');
	}
	if (kinds.typeCode && !TYPE_PROTOCOLS.has(proto)) {
		refuse('"type" and "code" are', 'proto icmp, ipv6-icmp or mobility-header');
	}
	if (kinds.key && proto !== IpProto.Gre) {
		refuse('"key" is', 'proto gre');
	}
}

function readEnd(reading: Reading, draft: Draft, which: 'src' | 'dst'): void {
	const { word } = reading.words.next('a prefix');
	const prefix = readPrefix(word, reading.family);
	if (prefix.family === 0) {
		const complaint = `value after "${which}" has an unrecognized address family`;
		wrongArgument(word, complaint, 'a prefix with a family');
	}
	draft.selector.family = prefix.family;
	if (which === 'src') {
		draft.selector.saddr = prefix.address;
		draft.selector.prefixlenS = prefix.prefixLength;
		draft.srcBits = prefix.prefixLength;
	} else {
		draft.selector.daddr = prefix.address;
		draft.selector.prefixlenD = prefix.prefixLength;
		draft.dstBits = prefix.prefixLength;
	}
}

function readDevice(reading: Reading): number {
	const { word } = reading.words.next('a device or none');
	if (word.text === 'none') {
		return 0;
	}
	const index = reading.interfaceIndex(word.text);
	return index > 0 ? index : wrongArgument(word, 'DEV value is invalid', 'a device');
}

/**
 * Reads a SELECTOR. The cursor stands on its first word and ends on its last one; a first word that belongs
 * to none is given back, and the caller meets it again.
 *
 * @param family what the selector has when it names no address
 * @throws Unreadable
 * @spec C-1 C-3
 */
export function readSelector(reading: Reading, family: number): ReadSelector {
	const { words } = reading;
	const draft: Draft = {
		selector: { ...anySelector(family) },
		srcBits: undefined,
		dstBits: undefined,
		hasDev: false,
		hasProto: false,
		hasSport: false,
		hasDport: false,
	};
	const families = new Set<number>();
	let hasUpper = false;
	for (;;) {
		const { text } = words;
		if (text === 'src' || text === 'dst') {
			readEnd(reading, draft, text);
			families.add(draft.selector.family);
		} else if (text === 'dev') {
			draft.selector.ifindex = readDevice(reading);
			draft.hasDev = true;
		} else if (hasUpper) {
			words.back();
			break;
		} else {
			hasUpper = true;
			readUpper(reading, draft);
		}
		if (!words.hasNext) {
			break;
		}
		words.next('a keyword');
	}
	if (families.size > 1) {
		const complaint = 'the same address family is required between values after "src" and "dst"';
		wrongArgument(words.word, complaint, 'addresses of one family');
	}
	return draft;
}
