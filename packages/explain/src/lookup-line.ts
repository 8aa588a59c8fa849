/**
 * A flow a line, read fast: `src 10.0.0.1 dst 10.1.0.9 proto udp sport 5 dport 6 dir out [mark M] [if_id I]
 * [dev NAME] [via SPI…]`. Millions of lines are read without making an object for any; what this reader
 * does not understand at once (quotes, other spellings, mistakes) is read again by `parseFlow`, which also
 * says what is wrong. Both give the same flow.
 */
import { Direction, Family, IpProto, parseAddress } from '@xfrm/wire/xfrm';
import { type FlowQuestion, parseFlow } from './flow-text.ts';
import { InputError, type Word } from './input.ts';

/** A flow as a lookup needs it: refilled for every line. */
export class FlowLine {
	family: number = 0;
	/** As four words in network order of octets, as in a `Flow`. */
	readonly saddr: Int32Array = new Int32Array(4);
	readonly daddr: Int32Array = new Int32Array(4);
	proto: number = 0;
	sport: number = 0;
	dport: number = 0;
	direction: number = Direction.Out;
	mark: number = 0;
	ifId: number = 0;
	/** Empty for none. */
	device: string = '';
	/** SPIs of the states it came through, outermost first. */
	readonly via: number[] = [];

	clear(): void {
		this.family = 0;
		this.proto = UNTOLD;
		this.sport = UNTOLD;
		this.dport = UNTOLD;
		this.direction = Direction.Out;
		this.mark = 0;
		this.ifId = 0;
		this.device = '';
		this.via.length = 0;
	}
}

const UNTOLD = -1;
const SPORT_DEFAULT = 40000;
const BLANK = 32;
const TAB = 9;
const DOT = 46;
const ZERO = 48;

const PROTOCOLS: ReadonlyMap<string, number> = new Map([
	['any', IpProto.Udp],
	['udp', IpProto.Udp],
	['tcp', IpProto.Tcp],
	['icmp', IpProto.Icmp],
	['ipv6-icmp', IpProto.Icmpv6],
	['sctp', IpProto.Sctp],
	['gre', IpProto.Gre],
]);

const DIRECTIONS: ReadonlyMap<string, number> = new Map([
	['in', Direction.In],
	['out', Direction.Out],
	['fwd', Direction.Fwd],
]);

/** The dotted address between two places as a word, or NaN. */
function dottedWord(text: string, from: number, to: number): number {
	let word = 0;
	let octet = -1;
	let dots = 0;
	for (let i = from; i < to; i++) {
		const c = text.charCodeAt(i);
		if (c === DOT) {
			if (octet < 0 || octet > 255) {
				return Number.NaN;
			}
			word = (word << 8) | octet;
			octet = -1;
			dots++;
		} else if (c >= ZERO && c <= ZERO + 9 && octet !== 0) {
			octet = (octet < 0 ? 0 : octet * 10) + c - ZERO;
		} else {
			return Number.NaN;
		}
	}
	return dots === 3 && octet >= 0 && octet <= 255 ? (word << 8) | octet : Number.NaN;
}

/** A decimal or 0x number between two places, or NaN. */
function numberBetween(text: string, from: number, to: number): number {
	if (to - from > 2 && text.charCodeAt(from) === ZERO && (text.charCodeAt(from + 1) | 32) === 120) {
		return /^[0-9a-fA-F]{1,8}$/.test(text.slice(from + 2, to))
			? Number.parseInt(text.slice(from + 2, to), 16)
			: Number.NaN;
	}
	let value = 0;
	for (let i = from; i < to; i++) {
		const digit = text.charCodeAt(i) - ZERO;
		if (digit < 0 || digit > 9) {
			return Number.NaN;
		}
		value = value * 10 + digit;
	}
	return to > from && to - from <= 10 ? value : Number.NaN;
}

function within(value: number, max: number): boolean {
	return value <= max;
}

/** Reads a line of the usual form; false when it is not one, with `into` half filled. */
function readUsual(text: string, into: FlowLine): boolean {
	into.clear();
	let at = 0;
	let key = '';
	let seen = 0;
	for (;;) {
		while (text.charCodeAt(at) === BLANK || text.charCodeAt(at) === TAB) {
			at++;
		}
		if (at >= text.length) {
			break;
		}
		let end = at;
		while (end < text.length && text.charCodeAt(end) !== BLANK && text.charCodeAt(end) !== TAB) {
			end++;
		}
		if (key === '' || (key === 'via' && into.via.length > 0 && text.charCodeAt(at) > ZERO + 9)) {
			key = text.slice(at, end);
			if (key === 'via' && into.via.length > 0) {
				return false;
			}
		} else {
			const bit = readValue(text, at, end, key, into);
			if (bit === 0 || (seen & bit) !== 0) {
				return false;
			}
			seen |= bit === VIA ? 0 : bit;
			key = key === 'via' ? key : '';
		}
		at = end;
	}
	if ((seen & 3) !== 3 || (key !== '' && (key !== 'via' || into.via.length === 0))) {
		return false;
	}
	fillDefaults(into);
	return true;
}

const VIA = 1 << 10;

/** Takes the value of a key; its bit, or 0 for what is not understood. */
function readValue(text: string, at: number, end: number, key: string, into: FlowLine): number {
	switch (key) {
		case 'src':
			return readAddress(text, at, end, into, into.saddr) ? 1 : 0;
		case 'dst':
			return readAddress(text, at, end, into, into.daddr) ? 2 : 0;
		case 'proto': {
			const name = PROTOCOLS.get(text.slice(at, end));
			into.proto = name ?? numberBetween(text, at, end);
			return end - at <= 3 && within(into.proto, 255) ? 4 : name === undefined ? 0 : 4;
		}
		case 'sport':
		case 'type':
			into.sport = numberBetween(text, at, end);
			return within(into.sport, 0xffff) ? 8 : 0;
		case 'dport':
		case 'code':
			into.dport = numberBetween(text, at, end);
			return within(into.dport, 0xffff) ? 16 : 0;
		case 'dir': {
			const direction = DIRECTIONS.get(text.slice(at, end));
			into.direction = direction ?? 0;
			return direction === undefined ? 0 : 32;
		}
		case 'mark':
			into.mark = numberBetween(text, at, end);
			return within(into.mark, 0xffffffff) ? 64 : 0;
		case 'if_id':
			into.ifId = numberBetween(text, at, end);
			return within(into.ifId, 0xffffffff) ? 128 : 0;
		case 'dev':
			into.device = text.slice(at, end);
			return /^[\w.-]+$/.test(into.device) ? 256 : 0;
		case 'via': {
			const spi = numberBetween(text, at, end);
			into.via.push(spi);
			return within(spi, 0xffffffff) ? VIA : 0;
		}
		default:
			return 0;
	}
}

function readAddress(
	text: string,
	at: number,
	end: number,
	into: FlowLine,
	words: Int32Array,
): boolean {
	const word = dottedWord(text, at, end);
	if (!Number.isNaN(word)) {
		words[0] = word;
		words[1] = words[2] = words[3] = 0;
		const mixed = into.family === Family.Ipv6;
		into.family = Family.Ipv4;
		return !mixed;
	}
	const parsed = parseAddress(text.slice(at, end));
	if (parsed?.family !== Family.Ipv6) {
		return false;
	}
	setWords(words, parsed.address, Family.Ipv6);
	const mixed = into.family === Family.Ipv4;
	into.family = Family.Ipv6;
	return !mixed;
}

function setWords(words: Int32Array, address: Uint8Array, family: number): void {
	for (let i = 0; i < 4; i++) {
		const at = 4 * i;
		const [a = 0, b = 0, c = 0, d = 0] = address.subarray(at, at + 4);
		words[i] = family === Family.Ipv4 && i > 0 ? 0 : (a << 24) | (b << 16) | (c << 8) | d;
	}
}

/** What `parseFlow` takes for parts that are not told. */
function fillDefaults(into: FlowLine): void {
	into.proto = into.proto === UNTOLD ? IpProto.Udp : into.proto;
	const { proto } = into;
	if (into.sport === UNTOLD) {
		const echo = proto === IpProto.Icmp ? 8 : proto === IpProto.Icmpv6 ? 128 : 0;
		into.sport = hasPorts(proto) ? SPORT_DEFAULT : echo;
	}
	into.dport = into.dport === UNTOLD ? 0 : into.dport;
}

function hasPorts(proto: number): boolean {
	return (
		proto === IpProto.Tcp ||
		proto === IpProto.Udp ||
		proto === IpProto.Sctp ||
		proto === IpProto.Dccp
	);
}

/**
 * Reads a flow.
 *
 * @param split makes words of the line; only called when the line is not of the usual form
 * @throws InputError with the column of the word
 */
export function readFlowLine(
	text: string,
	into: FlowLine,
	split: (text: string) => readonly Word[],
): void {
	if (readUsual(text, into)) {
		return;
	}
	into.clear();
	const words = split(text);
	const via = words.findIndex((word) => word.text === 'via');
	const behind =
		via < 0 ? words.length : words.findIndex((word, i) => i > via && !/^[0-9]/.test(word.text));
	const end = behind < 0 ? words.length : behind;
	const rest = via < 0 ? words : [...words.slice(0, via), ...words.slice(end)];
	if (via >= 0) {
		readVia(words, via, end, into);
	}
	fill(into, parseFlow(rest, 'flow'));
}

function readVia(words: readonly Word[], via: number, end: number, into: FlowLine): void {
	const spis = words.slice(via + 1, end);
	for (const { text, column } of spis) {
		const spi = numberBetween(text, 0, text.length);
		if (!within(spi, 0xffffffff)) {
			throw new InputError({ column, found: `"${text}"`, expected: 'an SPI behind via' });
		}
		into.via.push(spi);
	}
	if (spis.length === 0) {
		const word = words[via];
		const next = words[via + 1];
		throw new InputError({
			column: next?.column ?? (word?.column ?? 1) + 3,
			found: next === undefined ? 'the end of the flow' : `"${next.text}"`,
			expected: 'the SPI of a state behind via',
		});
	}
}

function fill(into: FlowLine, flow: FlowQuestion): void {
	into.family = flow.family;
	setWords(into.saddr, flow.source, flow.family);
	setWords(into.daddr, flow.destination, flow.family);
	into.proto = flow.proto;
	into.sport = flow.sport;
	into.dport = flow.dport;
	into.direction = DIRECTIONS.get(flow.direction ?? 'out') ?? Direction.Out;
	into.mark = flow.mark ?? 0;
	into.ifId = flow.ifId ?? 0;
	into.device = flow.device ?? '';
}
