/**
 * `ip xfrm state add` and `update` → NEWSA and UPDSA (spec 5.1; iproute2's ip/xfrm_state.c:
 * xfrm_state_modify). Attributes stand in the order in which iproute2 appends them: as they are named for
 * algorithms, ENCAP, COADDR and SEC_CTX, the rest behind.
 */
import { attribute, MessageFlag, type XfrmAttribute } from '@xfrm/netlink';
import { encodeUtf8 } from '@xfrm/wire';
import {
	anyAddress,
	anySelector,
	Family,
	IpProto,
	type Mark,
	Mode,
	type Selector,
	StateFlag,
} from '@xfrm/wire/xfrm';
import { readPrefix } from './address-text.ts';
import { type AlgorithmClasses, isAlgorithmWord, readAlgorithm } from './algorithm-grammar.ts';
import { EXTRA_FLAG_WORDS, STATE_FLAG_WORDS } from './flag-words.ts';
import {
	type Identity,
	readEncap,
	readMark,
	readMask,
	readMode,
	readReqid,
} from './identity-grammar.ts';
import { type LifetimeDraft, readLimit, unlimited } from './limit-grammar.ts';
import { U8_MAX, U16_MAX, U32_MAX } from './number-text.ts';
import { duplicateArgument, refuseCommand, type Word, wrongArgument } from './problem.ts';
import { isIpsec, isMobility, xfrmProtocolName } from './protocol-names.ts';
import { type Reading, readFlags } from './reading.ts';
import { readSelector } from './selector-grammar.ts';
import {
	ACKNOWLEDGED,
	type Intent,
	needIdentity,
	readIdentityOnce,
	readSeq,
	readStateDirection,
	requestOf,
	stateInfo,
} from './state-grammar.ts';

/** XFRMA_REPLAY_ESN_MAX: bits of a bitmap. */
const REPLAY_WINDOW_MAX = 4096;
/** Bits of the legacy bitmap. */
const LEGACY_WINDOW_MAX = 32;
const OFFLOAD_INBOUND = 2;
const OFFLOAD_PACKET = 4;

/** Everything a command has said so far. */
interface Draft {
	/** Attributes that stand where they were named. */
	readonly named: XfrmAttribute[];
	readonly lifetime: LifetimeDraft;
	readonly algorithms: AlgorithmClasses;
	readonly numbers: {
		window: number;
		seq: number;
		oseq: number;
		seqHi: number;
		oseqHi: number;
	};
	identity: Identity | undefined;
	selector: Selector;
	mode: number;
	mark: Mark | undefined;
	reqid: number;
	seq: number;
	flags: number;
	extraFlags: number;
	coa: Word | undefined;
	context: Word | undefined;
	outputMark: number;
	outputMask: number;
	ifId: number | undefined;
	tfcpad: number;
	direction: number;
	processor: number;
	offload: { readonly ifindex: number; readonly packet: boolean } | undefined;
	/** What ip has no words for: NAT keepalives, IPTFS. */
	readonly ours: XfrmAttribute[];
}

function emptyDraft(): Draft {
	return {
		named: [],
		lifetime: unlimited(),
		algorithms: { enc: false, auth: false, aead: false, comp: false },
		numbers: { window: 0, seq: 0, oseq: 0, seqHi: 0, oseqHi: 0 },
		identity: undefined,
		selector: anySelector(0),
		mode: 0,
		mark: undefined,
		reqid: 0,
		seq: 0,
		flags: 0,
		extraFlags: 0,
		coa: undefined,
		context: undefined,
		outputMark: 0,
		outputMask: 0,
		ifId: undefined,
		tfcpad: 0,
		direction: 0,
		processor: U32_MAX,
		offload: undefined,
		ours: [],
	};
}

/** `sel SELECTOR`: its addresses may be of another family, which is then preferred. @spec C-3 */
function readStateSelector(reading: Reading): Selector {
	reading.words.next('a selector');
	reading.family = Family.Unspec;
	const { selector } = readSelector(reading, Family.Unspec);
	reading.family = selector.family;
	return selector;
}

function readCareOf(reading: Reading, draft: Draft): void {
	const { words } = reading;
	if (draft.coa !== undefined) {
		duplicateArgument(words.word, 'coa');
	}
	draft.coa = words.word;
	const { word } = words.next('an address');
	const prefix = readPrefix(word, reading.family);
	if (prefix.family === Family.Unspec) {
		const complaint = 'value after "coa" has an unrecognized address family';
		wrongArgument(word, complaint, 'an address with a family');
	}
	const address = anyAddress();
	address.set(prefix.address);
	draft.named.push(attribute('coaddr', address));
}

/** A security label as `ip` sends it: algorithm and domain 1, NUL at its end. */
export function securityContext(label: string): XfrmAttribute {
	const text = encodeUtf8(label);
	const context = new Uint8Array(text.length + 1);
	context.set(text);
	return attribute('secCtx', {
		len: 8 + context.length,
		exttype: 8,
		ctxAlg: 1,
		ctxDoi: 1,
		ctxLen: context.length,
		context,
	});
}

function readContext(reading: Reading, draft: Draft): void {
	const { words } = reading;
	if (draft.context !== undefined) {
		duplicateArgument(words.word, 'ctx');
	}
	draft.context = words.word;
	draft.named.push(securityContext(words.next('a label').text));
}

/** `offload [crypto|packet] dev DEV dir {in|out}` */
function readOffload(reading: Reading, draft: Draft): void {
	const { words } = reading;
	words.next('crypto, packet or dev');
	const packet = words.text === 'packet';
	if (packet || words.text === 'crypto') {
		words.next('dev');
	}
	if (words.text !== 'dev') {
		wrongArgument(words.word, 'Missing dev keyword', 'dev');
	}
	const { word } = words.next('a device');
	const ifindex = reading.interfaceIndex(word.text);
	if (ifindex === 0) {
		wrongArgument(word, 'Invalid device name', 'a device');
	}
	if (words.next('dir').text !== 'dir') {
		wrongArgument(words.word, 'Missing DIR keyword', 'dir');
	}
	draft.direction = readStateDirection(reading);
	draft.offload = { ifindex, packet };
}

/** Keywords with one number, by where it goes. */
const NUMBERS: Readonly<Record<string, (draft: Draft, value: number) => void>> = {
	'replay-window': (draft, value) => {
		draft.numbers.window = value;
	},
	'replay-seq': (draft, value) => {
		draft.numbers.seq = value;
	},
	'replay-seq-hi': (draft, value) => {
		draft.numbers.seqHi = value;
	},
	'replay-oseq': (draft, value) => {
		draft.numbers.oseq = value;
	},
	'replay-oseq-hi': (draft, value) => {
		draft.numbers.oseqHi = value;
	},
	if_id: (draft, value) => {
		draft.ifId = value;
	},
	tfcpad: (draft, value) => {
		draft.tfcpad = value;
	},
	'pcpu-num': (draft, value) => {
		draft.processor = value;
	},
};

/** Keywords with more than a number. */
const KEYWORDS: Readonly<Record<string, (reading: Reading, draft: Draft) => void>> = {
	mode: (reading, draft) => {
		draft.mode = readMode(reading);
	},
	mark: (reading, draft) => {
		draft.mark = readMark(reading);
	},
	reqid: (reading, draft) => {
		draft.reqid = readReqid(reading);
	},
	seq: (reading, draft) => {
		draft.seq = readSeq(reading);
	},
	flag: (reading, draft) => {
		draft.flags |= readFlags(reading, STATE_FLAG_WORDS, U8_MAX, 'FLAG value is invalid');
	},
	'extra-flag': (reading, draft) => {
		const complaint = '"EXTRA-FLAG" is invalid';
		draft.extraFlags |= readFlags(reading, EXTRA_FLAG_WORDS, U32_MAX, complaint);
	},
	sel: (reading, draft) => {
		draft.selector = readStateSelector(reading);
	},
	limit: (reading, draft) => readLimit(reading, draft.lifetime),
	encap: (reading, draft) => {
		draft.named.push(attribute('encap', readEncap(reading)));
	},
	coa: readCareOf,
	ctx: readContext,
	offload: readOffload,
	'output-mark': (reading, draft) => {
		draft.outputMark = reading.number(U32_MAX, 'value after "output-mark" is invalid');
		draft.outputMask = readMask(reading, 'mask value is invalid\n') ?? draft.outputMask;
	},
	dir: (reading, draft) => {
		draft.direction = readStateDirection(reading);
	},
};

/** Keywords that `ip` lacks, each with one number: the attribute, and its largest value. */
const OUR_NUMBERS: Readonly<Record<string, readonly [name: OurNumber, max: number]>> = {
	'nat-keepalive': ['natKeepaliveInterval', U32_MAX],
	'iptfs-drop-time': ['iptfsDropTime', U32_MAX],
	'iptfs-reorder-window': ['iptfsReorderWindow', U16_MAX],
	'iptfs-init-delay': ['iptfsInitDelay', U32_MAX],
	'iptfs-max-queue-size': ['iptfsMaxQsize', U32_MAX],
	'iptfs-pkt-size': ['iptfsPktSize', U32_MAX],
};
type OurNumber =
	| 'natKeepaliveInterval'
	| 'iptfsDropTime'
	| 'iptfsReorderWindow'
	| 'iptfsInitDelay'
	| 'iptfsMaxQsize'
	| 'iptfsPktSize';

/** Reads a keyword that `ip` lacks; false when the current word is none. */
function readOurs(reading: Reading, draft: Draft): boolean {
	const { text } = reading.words;
	if (reading.release === '6.1') {
		return false;
	}
	if (text === 'iptfs') {
		// Instead of `mode`, whose value iptfs is refused by ip.
		draft.mode = Mode.Iptfs;
		return true;
	}
	if (text === 'iptfs-dont-frag') {
		draft.ours.push(attribute('iptfsDontFrag', true));
		return true;
	}
	const number = Object.hasOwn(OUR_NUMBERS, text) ? OUR_NUMBERS[text] : undefined;
	if (number === undefined) {
		return false;
	}
	const [name, max] = number;
	draft.ours.push(attribute(name, reading.number(max, `value after "${text}" is invalid`)));
	return true;
}

/** Words that 6.1 does not know. */
const NEWER_WORDS = new Set(['dir', 'pcpu-num']);

function readWord(reading: Reading, draft: Draft, family: number): void {
	const { text } = reading.words;
	const known = reading.release !== '6.1' || !NEWER_WORDS.has(text);
	const keyword = known && Object.hasOwn(KEYWORDS, text) ? KEYWORDS[text] : undefined;
	const number = known && Object.hasOwn(NUMBERS, text) ? NUMBERS[text] : undefined;
	if (keyword !== undefined) {
		keyword(reading, draft);
	} else if (number !== undefined) {
		number(draft, reading.number(U32_MAX, `value after "${text}" is invalid`));
	} else if (readOurs(reading, draft)) {
		// Read.
	} else if (isAlgorithmWord(text)) {
		draft.named.push(readAlgorithm(reading, text, draft.algorithms));
	} else {
		draft.identity = readIdentityOnce(reading, draft.identity, false, family);
	}
}

/** @spec C-4 */
function replayAttributes(draft: Draft): XfrmAttribute[] {
	const { window, seq, oseq, seqHi, oseqHi } = draft.numbers;
	if (isCircular(draft)) {
		const bmpLen = Math.ceil(window / 32);
		const bmp = new Uint32Array(0);
		return [
			attribute('replayEsnVal', { bmpLen, oseq, seq, oseqHi, seqHi, replayWindow: window, bmp }),
		];
	}
	return seq === 0 && oseq === 0 ? [] : [attribute('replayVal', { oseq, seq, bitmap: 0 })];
}

function isCircular(draft: Draft): boolean {
	return (draft.flags & StateFlag.Esn) !== 0 || draft.numbers.window > LEGACY_WINDOW_MAX;
}

function offloadAttributes(draft: Draft): XfrmAttribute[] {
	if (draft.offload === undefined) {
		return [];
	}
	const flags =
		(draft.direction === 1 ? OFFLOAD_INBOUND : 0) | (draft.offload.packet ? OFFLOAD_PACKET : 0);
	return [attribute('offloadDev', { ifindex: draft.offload.ifindex, flags })];
}

/** The number as an attribute, unless it is zero. */
function nonZero(
	name: 'saExtraFlags' | 'tfcpad' | 'setMark' | 'setMarkMask' | 'saDir',
	value: number,
): XfrmAttribute[] {
	return value === 0 ? [] : [attribute(name, value)];
}

/** @spec C-4 */
function checkReplay(draft: Draft, word: Word): void {
	const { window } = draft.numbers;
	const esn = (draft.flags & StateFlag.Esn) !== 0;
	if (esn && window === 0 && draft.direction !== 2) {
		const message = 'Error: esn flag set without replay-window.';
		refuseCommand(word, message, 'replay-window', 255);
	}
	if (window > REPLAY_WINDOW_MAX) {
		const message = `Error: replay-window (${window}) > XFRMA_REPLAY_ESN_MAX (${REPLAY_WINDOW_MAX}).`;
		refuseCommand(word, message, `a window of at most ${REPLAY_WINDOW_MAX}`, 255);
	}
}

/** Modes and algorithms fit the protocol. @spec C-2 */
function checkIpsec(draft: Draft, proto: number, word: Word): void {
	const name = xfrmProtocolName(proto);
	const { enc, auth, aead, comp } = draft.algorithms;
	const isOfEsp = draft.mode === Mode.Beet || draft.mode === Mode.Iptfs;
	const espOnly = isOfEsp && proto === IpProto.Esp;
	if (draft.mode !== Mode.Transport && draft.mode !== Mode.Tunnel && !espOnly) {
		refuseCommand(
			word,
			`MODE value is invalid with XFRM-PROTO value "${name}"`,
			'mode transport or tunnel',
		);
	}
	const refuse = (what: string, expected: string): never =>
		refuseCommand(word, `ALGO-TYPE ${what} with XFRM-PROTO value "${name}"`, expected);
	if (proto === IpProto.Esp) {
		if (comp) {
			refuse('value "comp" is invalid', 'enc or aead');
		}
		if (!enc && !aead) {
			refuse('value "enc" or "aead" is required', 'enc or aead');
		}
	} else if (proto === IpProto.Ah) {
		if (enc || aead || comp) {
			refuse('values "enc", "aead", and "comp" are invalid', 'auth or auth-trunc');
		}
		if (!auth) {
			refuse('value "auth" or "auth-trunc" is required', 'auth or auth-trunc');
		}
	} else {
		if (enc || auth || aead) {
			refuse('values "enc", "auth", "auth-trunc", and "aead" are invalid', 'comp');
		}
		if (!comp) {
			refuse('value "comp" is required', 'comp');
		}
	}
}

/** @spec C-2 */
function checkMobility(draft: Draft, proto: number, word: Word): void {
	const name = xfrmProtocolName(proto);
	if (draft.mode !== Mode.RouteOptimization && draft.mode !== Mode.InTrigger) {
		const message =
			draft.mode === 0
				? `"mode" is required with XFRM-PROTO value "${name}"`
				: `MODE value is invalid with XFRM-PROTO value "${name}"`;
		refuseCommand(word, message, 'mode ro');
	}
	if (draft.coa === undefined) {
		refuseCommand(word, `"coa" is required with XFRM-PROTO value "${name}"`, 'coa');
	}
}

function checkProtocol(draft: Draft, proto: number, word: Word): void {
	const { enc, auth, aead, comp } = draft.algorithms;
	const name = xfrmProtocolName(proto);
	if (isIpsec(proto)) {
		checkIpsec(draft, proto, word);
	} else if (enc || auth || aead || comp) {
		refuseCommand(word, `ALGO is invalid with XFRM-PROTO value "${name}"`, 'no algorithm');
	}
	if (isMobility(proto)) {
		checkMobility(draft, proto, word);
	} else if (draft.coa !== undefined) {
		const message = `"coa" is invalid with XFRM-PROTO value "${name}"`;
		refuseCommand(draft.coa, message, 'no coa');
	}
}

/** `add` and `update`. @throws Unreadable @spec C-2 C-3 C-4 C-5 */
export function readStateModify(reading: Reading, name: 'newsa' | 'updsa'): Intent {
	const { words } = reading;
	const draft = emptyDraft();
	const { family } = reading;
	for (; words.more; words.pass()) {
		readWord(reading, draft, family);
	}
	const { word } = words;
	checkReplay(draft, word);
	const identity = needIdentity(reading, draft.identity);
	checkProtocol(draft, identity.proto, word);
	const { mark } = draft;
	const attributes = [
		...draft.named,
		...offloadAttributes(draft),
		...replayAttributes(draft),
		...nonZero('saExtraFlags', draft.extraFlags),
		...(mark === undefined || mark.m === 0 ? [] : [attribute('mark', mark)]),
		...(draft.ifId === undefined ? [] : [attribute('ifId', draft.ifId)]),
		...nonZero('tfcpad', draft.tfcpad),
		...nonZero('setMark', draft.outputMark),
		...nonZero('setMarkMask', draft.outputMask),
		...(reading.release === '6.1' ? [] : nonZero('saDir', draft.direction)),
		...(draft.processor === U32_MAX ? [] : [attribute('saPcpu', draft.processor)]),
		...draft.ours,
	];
	const body = stateInfo({
		identity,
		selector: draft.selector,
		lifetime: draft.lifetime,
		seq: draft.seq,
		reqid: draft.reqid,
		mode: draft.mode,
		replayWindow: isCircular(draft) ? 0 : draft.numbers.window,
		flags: draft.flags,
	});
	const message = requestOf(name, MessageFlag.Ack, body, attributes);
	return { messages: [message], plan: ACKNOWLEDGED };
}
