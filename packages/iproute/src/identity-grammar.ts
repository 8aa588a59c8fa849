/** What names a state in commands and templates: ID, MODE, mark, and ESP's encapsulation (spec 5.1). */
import {
	type Address,
	anyAddress,
	type Encap,
	EncapType,
	IpProto,
	type Mark,
	Mode,
} from '@xfrm/wire/xfrm';
import { readAddress, readPrefix } from './address-text.ts';
import { U16_MAX, U32_MAX } from './number-text.ts';
import { missingArgument, refuseCommand, wrongArgument } from './problem.ts';
import {
	isMobility,
	XFRM_PROTOCOL_WORDS,
	xfrmProtocolName,
	xfrmProtocolNumber,
} from './protocol-names.ts';
import { abbreviates, type Reading } from './reading.ts';

/** `[src ADDR] [dst ADDR] [proto XFRM-PROTO] [spi SPI]`; what was not given is zero. */
export interface Identity {
	readonly saddr: Address;
	readonly daddr: Address;
	readonly proto: number;
	readonly spi: number;
	/** Of the addresses; the family given to the parser when there are none. */
	readonly family: number;
	/** Prefix lengths, for filters; undefined when the address was not given. */
	readonly srcBits: number | undefined;
	readonly dstBits: number | undefined;
	/** Was there a word for it? */
	readonly hasProto: boolean;
	readonly hasSpi: boolean;
}

type Draft = { -readonly [K in keyof Identity]: Identity[K] };

const FAMILY_EXPECTED = 'an address with a family';

/** Reads the value of one of ID's keywords; false when the current word is none of them. */
function readPart(reading: Reading, id: Draft): boolean {
	const { words } = reading;
	switch (words.text) {
		case 'src':
		case 'dst': {
			const which = words.text;
			const { word } = words.next('an address');
			const prefix = readPrefix(word, reading.family);
			if (prefix.family === 0) {
				const complaint = `value after "${which}" has an unrecognized address family`;
				wrongArgument(word, complaint, FAMILY_EXPECTED);
			}
			id.family = prefix.family;
			if (which === 'src') {
				id.saddr = prefix.address;
				id.srcBits = prefix.prefixLength;
			} else {
				id.daddr = prefix.address;
				id.dstBits = prefix.prefixLength;
			}
			return true;
		}
		case 'proto': {
			const { word } = words.next(XFRM_PROTOCOL_WORDS);
			id.proto =
				xfrmProtocolNumber(word.text) ??
				wrongArgument(word, 'XFRM-PROTO value is invalid', XFRM_PROTOCOL_WORDS);
			id.hasProto = true;
			return true;
		}
		case 'spi':
			id.spi = reading.number(U32_MAX, 'SPI value is invalid');
			id.hasSpi = true;
			return true;
		default:
			return false;
	}
}

/**
 * Reads an ID. The cursor stands on its first word and ends on its last one.
 *
 * @param family what the ID has when it names no address
 * @param loose true where the protocol may be left out
 * @throws Unreadable
 * @spec C-2 C-3
 */
export function readIdentity(reading: Reading, family: number, loose: boolean): Identity {
	const { words } = reading;
	const id: Draft = {
		saddr: anyAddress(),
		daddr: anyAddress(),
		proto: 0,
		spi: 0,
		family,
		srcBits: undefined,
		dstBits: undefined,
		hasProto: false,
		hasSpi: false,
	};
	const families = new Set<number>();
	const first = words.word;
	for (;;) {
		const isAddress = words.text === 'src' || words.text === 'dst';
		if (!readPart(reading, id)) {
			words.back();
			break;
		}
		if (isAddress) {
			families.add(id.family);
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
	checkSpi(reading, id);
	if (!loose && id.proto === 0) {
		missingArgument(first, 'XFRM-PROTO');
	}
	return id;
}

/** @spec C-2 */
function checkSpi(reading: Reading, id: Identity): void {
	if (id.spi === 0 || id.proto === 0) {
		return;
	}
	const name = xfrmProtocolName(id.proto);
	const { word } = reading.words;
	if (isMobility(id.proto)) {
		refuseCommand(word, `"spi" is invalid with XFRM-PROTO value "${name}"`, 'no spi');
	}
	if (id.proto === IpProto.Comp && id.spi >= 0x10000) {
		const message = `SPI value is too large with XFRM-PROTO value "${name}"`;
		refuseCommand(word, message, 'an spi below 0x10000');
	}
}

/** In the order in which abbreviations are tried. */
const MODES: readonly (readonly [name: string, mode: number])[] = [
	['transport', Mode.Transport],
	['tunnel', Mode.Tunnel],
	['ro', Mode.RouteOptimization],
	['in_trigger', Mode.InTrigger],
	['beet', Mode.Beet],
];

/** Goes to the next word and reads it as a mode. */
export function readMode(reading: Reading): number {
	const expected = MODES.map(([name]) => name).join(', ');
	const { word } = reading.words.next(expected);
	const mode = MODES.find(([name]) => abbreviates(word.text, name))?.[1];
	return mode ?? wrongArgument(word, 'MODE value is invalid', expected);
}

/** The name of a mode as `ip` prints it: numbers for those that it does not know. */
export function modeName(mode: number): string {
	return MODES.find(([, number]) => number === mode)?.[0] ?? String(mode);
}

/** `mark V [mask M]`; the mask is all ones unless given. @spec C-5 */
export function readMark(reading: Reading): Mark {
	const v = reading.number(U32_MAX, 'MARK value is invalid\n');
	return { v, m: readMask(reading, 'MASK value is invalid\n') ?? U32_MAX };
}

/** The `mask M` behind a mark, if there is one. */
export function readMask(reading: Reading, complaint: string): number | undefined {
	const { words } = reading;
	if (!words.hasNext) {
		return undefined;
	}
	if (words.next('mask').text === 'mask') {
		return reading.number(U32_MAX, complaint);
	}
	words.back();
	return undefined;
}

/** Goes to the next word and reads a reqid. */
export function readReqid(reading: Reading): number {
	return reading.number(U32_MAX, 'REQID value is invalid');
}

const ENCAP_TYPES: Readonly<Record<string, number>> = {
	'espinudp-nonike': EncapType.EspInUdpNonIke,
	espinudp: EncapType.EspInUdp,
	espintcp: EncapType.EspInTcp,
};

/** `encap TYPE SPORT DPORT OADDR`, from the word behind `encap` on. */
export function readEncap(reading: Reading): Encap {
	const type = reading.choice(ENCAP_TYPES, 'ENCAP-TYPE value is invalid');
	const sport = reading.number(U16_MAX, 'SPORT value after "encap" is invalid');
	const dport = reading.number(U16_MAX, 'DPORT value after "encap" is invalid');
	const oa = readAddress(reading.words.next('an address').word);
	return { type, sport, dport, oa };
}

/** The name of an encapsulation as `ip` prints it. */
export function encapName(type: number): string {
	return Object.entries(ENCAP_TYPES).find(([, number]) => number === type)?.[0] ?? String(type);
}
