/** A state in a dump of `ip xfrm state` → the NEWSA of the kernel's dump (the reverse of format-state.ts). */
import { attribute, MessageFlag, type NamedMessage, type XfrmAttribute } from '@xfrm/netlink';
import { anySelector, EncapType, type Selector } from '@xfrm/wire/xfrm';
import { type AlgorithmKeyword, readDumpedAlgorithm } from './dump-key.ts';
import {
	type DumpedLifetime,
	type DumpReading,
	passBits,
	readDumpedFlags,
	readDumpedLabel,
	readDumpedLifetime,
	readDumpedOffload,
	readDumpedSelector,
	readMarkPair,
	readTime,
	readTransform,
	UNTOLD_LIFETIME,
} from './dump-parts.ts';
import type { DumpWords } from './dump-words.ts';
import { EXTRA_FLAG_WORDS, STATE_FLAG_WORDS } from './flag-words.ts';
import { U8_MAX, U16_MAX, U32_MAX } from './number-text.ts';

/** Words of the circular window's bitmap: XFRMA_REPLAY_ESN_MAX bits. */
const BITMAP_WORDS_MAX = 128;

interface Draft {
	readonly family: number;
	readonly attributes: XfrmAttribute[];
	selector: Selector;
	lifetime: DumpedLifetime;
	stats: {
		readonly replayWindow: number;
		readonly replay: number;
		readonly integrityFailed: number;
	};
}

function readStats(reading: DumpReading): Draft['stats'] {
	const { words } = reading;
	words.expect('stats:');
	const replayWindow = words.named('replay-window');
	const replay = words.named('replay');
	return { replayWindow, replay, integrityFailed: words.named('failed') };
}

/** `anti-replay context: …` or `anti-replay esn context: …` */
function readReplay(reading: DumpReading): XfrmAttribute {
	const { words } = reading;
	words.expect('anti-replay');
	if (!words.takeIf('esn')) {
		words.expect('context:');
		const seq = words.named('seq');
		const oseq = words.named('oseq');
		return attribute('replayVal', { seq, oseq, bitmap: words.named('bitmap') });
	}
	words.expect('context:');
	const seqHi = words.named('seq-hi');
	const seq = words.named('seq');
	const oseqHi = words.named('oseq-hi');
	const oseq = words.named('oseq');
	const replayWindow = words.named('replay_window');
	const bmpLen = words.named('bitmap-length', BITMAP_WORDS_MAX);
	const bmp = new Uint32Array(bmpLen);
	for (let i = bmpLen - 1; i >= 0; i--) {
		const text = words.take('a word of the bitmap');
		if (!/^[0-9a-f]{8}$/.test(text)) {
			words.refuseLast('a word of the bitmap, eight hexadecimal digits');
		}
		bmp[i] = Number.parseInt(text, 16);
	}
	return attribute('replayEsnVal', { bmpLen, oseq, seq, oseqHi, seqHi, replayWindow, bmp });
}

const ENCAP_TYPES: Readonly<Record<string, number>> = {
	'espinudp-nonike': EncapType.EspInUdpNonIke,
	espinudp: EncapType.EspInUdp,
	espintcp: EncapType.EspInTcp,
};

function readEncap(reading: DumpReading): XfrmAttribute {
	const { words } = reading;
	words.expect('encap', 'type');
	const type = words.choice(ENCAP_TYPES, U16_MAX);
	const sport = words.named('sport', U16_MAX);
	const dport = words.named('dport', U16_MAX);
	words.expect('addr');
	return attribute('encap', { type, sport, dport, oa: words.address().address });
}

function readMarks(reading: DumpReading, attributes: XfrmAttribute[]): void {
	const { words } = reading;
	if (words.takeIf('mark')) {
		const { v, m } = readMarkPair(words);
		attributes.push(attribute('mark', { v, m: m ?? U32_MAX }));
		return;
	}
	words.expect('output-mark');
	const { v, m } = readMarkPair(words);
	attributes.push(attribute('setMark', v));
	if (m !== undefined) {
		attributes.push(attribute('setMarkMask', m));
	}
}

const ALGORITHMS: readonly AlgorithmKeyword[] = ['auth-trunc', 'auth', 'aead', 'enc', 'comp'];
const STATE_PARTS =
	'mark, auth, auth-trunc, aead, enc, comp, encap, coa, lastused, anti-replay, crypto offload, if_id, ' +
	'tfcpad, dir, pcpu-num, sel, lifetime config, stats or security context';

/** `dir in`, `dir out`, `dir other (N)` */
function readDirection(words: DumpWords): number {
	const expected = 'in, out or other (N)';
	words.expect('dir');
	const text = words.take(expected);
	if (text === 'in' || text === 'out') {
		return text === 'in' ? 1 : 2;
	}
	const number = text === 'other' ? /^\(([0-9]{1,3})\)$/.exec(words.take('(N)'))?.[1] : undefined;
	return number === undefined ? words.refuseLast(expected) : Number(number) & U8_MAX;
}

/** Reads one part behind the first three lines, whichever comes. */
function readPart(reading: DumpReading, draft: Draft): void {
	const { words } = reading;
	const { attributes } = draft;
	const algorithm = ALGORITHMS.find((keyword) => keyword === words.text);
	if (algorithm !== undefined) {
		attributes.push(readDumpedAlgorithm(reading, algorithm));
		return;
	}
	switch (words.text) {
		case 'mark':
		case 'output-mark':
			readMarks(reading, attributes);
			break;
		case 'encap':
			attributes.push(readEncap(reading));
			break;
		case 'coa': {
			words.expect('coa');
			attributes.push(attribute('coaddr', words.address().address));
			break;
		}
		case 'lastused':
			words.expect('lastused');
			attributes.push(attribute('lastused', readTime(reading)));
			break;
		case 'anti-replay':
			attributes.push(readReplay(reading));
			break;
		case 'crypto':
			attributes.push(readDumpedOffload(reading));
			break;
		case 'if_id':
			attributes.push(attribute('ifId', words.named('if_id')));
			break;
		case 'tfcpad':
			attributes.push(attribute('tfcpad', words.named('tfcpad')));
			break;
		case 'dir':
			attributes.push(attribute('saDir', readDirection(words)));
			break;
		case 'pcpu-num':
			attributes.push(attribute('saPcpu', words.named('pcpu-num')));
			break;
		case 'sel':
			words.expect('sel');
			draft.selector = readDumpedSelector(reading);
			break;
		case 'lifetime':
			draft.lifetime = readDumpedLifetime(reading);
			break;
		case 'stats:':
			draft.stats = readStats(reading);
			break;
		case 'security':
			attributes.push(readDumpedLabel(words));
			break;
		default:
			words.refuse(STATE_PARTS);
	}
}

interface WindowLine {
	readonly replayWindow: number;
	readonly seq: number;
	readonly flags: number;
}

/** `replay-window N [seq 0xN] [flag …] [extra_flag …] [(0x…)]` */
function readWindow(reading: DumpReading, attributes: XfrmAttribute[]): WindowLine {
	const { words } = reading;
	const replayWindow = words.named('replay-window', U8_MAX);
	let seq = 0;
	if (words.text === 'seq') {
		words.expect('seq');
		const text = words.take('0x and decimal digits');
		// As ip prints it: a prefix of hexadecimal numbers and decimal digits.
		const digits = /^0x([0-9]{8,10})$/.exec(text)?.[1];
		seq = digits === undefined ? words.refuseLast('0x and decimal digits') : Number(digits) >>> 0;
		reading.statistics = true;
	}
	let flags = 0;
	if (words.takeIf('flag')) {
		flags = readDumpedFlags(reading, STATE_FLAG_WORDS);
	}
	// Without a blank in front of it when flags were printed.
	if (words.takeIf('extra_flag')) {
		attributes.push(attribute('saExtraFlags', readDumpedFlags(reading, EXTRA_FLAG_WORDS)));
	}
	passBits(reading);
	return { replayWindow, seq, flags: flags & U8_MAX };
}

/** Reads a state: the words from `src` to its end. */
export function readDumpedState(reading: DumpReading): NamedMessage<'newsa'> {
	const { words } = reading;
	words.expect('src');
	const source = words.address();
	words.expect('dst');
	const destination = words.address();
	if (destination.family !== source.family) {
		words.refuseLast('an address of the same family as the source');
	}
	const { family } = source;
	const { proto, spi, reqid, mode } = readTransform(words);
	const draft: Draft = {
		family,
		attributes: [],
		selector: anySelector(0),
		lifetime: UNTOLD_LIFETIME,
		stats: { replayWindow: 0, replay: 0, integrityFailed: 0 },
	};
	const window = readWindow(reading, draft.attributes);
	while (words.more) {
		readPart(reading, draft);
	}
	const body = {
		selector: draft.selector,
		id: { daddr: destination.address, spi, proto },
		saddr: source.address,
		...draft.lifetime,
		stats: draft.stats,
		seq: window.seq,
		reqid,
		family,
		mode,
		replayWindow: window.replayWindow,
		flags: window.flags,
	};
	const { attributes } = draft;
	return { name: 'newsa', flags: MessageFlag.Request, seq: 0, pid: 0, body, attributes };
}
