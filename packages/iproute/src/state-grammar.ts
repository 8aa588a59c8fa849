/** `ip xfrm state …` → requests (spec 5.1; iproute2's ip/xfrm_state.c). */
import {
	attribute,
	type MessageBodies,
	MessageFlag,
	type MessageName,
	type NamedMessage,
	type UserSaInfo,
	type XfrmAttribute,
	type XfrmMessage,
} from '@xfrm/netlink';
import {
	type Address,
	anyAddress,
	anySelector,
	Family,
	IpProto,
	type Mark,
	type Selector,
	UNUSED,
} from '@xfrm/wire/xfrm';
import type { Plan } from './command.ts';
import type { StateFilter } from './dump-filter.ts';
import { STATE_FLAG_WORDS } from './flag-words.ts';
import { type Identity, readIdentity, readMark, readMode, readReqid } from './identity-grammar.ts';
import { unlimited } from './limit-grammar.ts';
import { U8_MAX, U32_MAX } from './number-text.ts';
import { duplicateArgument, refuseCommand, type Word, wrongArgument } from './problem.ts';
import { xfrmProtocolNumber } from './protocol-names.ts';
import { type Reading, readFlags } from './reading.ts';

/** What a command comes to: messages without sequence numbers, and what to do with the answers. */
export interface Intent {
	readonly messages: readonly XfrmMessage[];
	readonly plan: Plan;
	readonly nokeys?: boolean;
}

/** A request; `run-command` and the sender fill in the numbers. */
export function requestOf<N extends MessageName>(
	name: N,
	flags: number,
	body: MessageBodies[N],
	attributes: readonly XfrmAttribute[],
): XfrmMessage {
	const message: NamedMessage<N> = {
		name,
		flags: MessageFlag.Request | flags,
		seq: 0,
		pid: 0,
		body,
		attributes,
	};
	// The compiler does not distribute the union over N; the parameters did.
	return message as unknown as XfrmMessage;
}

/** The plan and flags of a request that is acknowledged. */
export const ACKNOWLEDGED: Plan = { kind: 'acknowledged' };
export const ANSWERED: Plan = { kind: 'answered' };

/** The family of an address, IPv4 when nothing said which. @spec C-3 */
export function familyOrIpv4(family: number): number {
	return family === Family.Unspec ? Family.Ipv4 : family;
}

/** An `xfrm_usersa_info` with nothing but the given fields. */
export function stateInfo(fields: {
	readonly identity: Identity;
	readonly selector?: Selector;
	readonly lifetime?: UserSaInfo['lifetime'];
	readonly seq?: number;
	readonly reqid?: number;
	readonly mode?: number;
	readonly replayWindow?: number;
	readonly flags?: number;
}): UserSaInfo {
	const { identity } = fields;
	return {
		selector: fields.selector ?? anySelector(0),
		id: { daddr: identity.daddr, spi: identity.spi, proto: identity.proto },
		saddr: identity.saddr,
		lifetime: fields.lifetime ?? NO_LIFETIME,
		lifetimeCurrent: UNUSED,
		stats: { replayWindow: 0, replay: 0, integrityFailed: 0 },
		seq: fields.seq ?? 0,
		reqid: fields.reqid ?? 0,
		family: familyOrIpv4(identity.family),
		mode: fields.mode ?? 0,
		replayWindow: fields.replayWindow ?? 0,
		flags: fields.flags ?? 0,
	};
}

/** ALLOCSPI leaves the lifetimes zero. */
const NO_LIFETIME: UserSaInfo['lifetime'] = {
	...unlimited(),
	softByteLimit: 0,
	hardByteLimit: 0,
	softPacketLimit: 0,
	hardPacketLimit: 0,
};

/**
 * Reads an ID once: a second one is unknown. The first address decides the family from then on; `family` is
 * that of an ID without addresses.
 */
export function readIdentityOnce(
	reading: Reading,
	before: Identity | undefined,
	loose: boolean,
	family: number = reading.family,
): Identity {
	if (before !== undefined) {
		wrongArgument(reading.words.word, 'unknown', 'a keyword of this command');
	}
	const identity = readIdentity(reading, family, loose);
	if (reading.family === Family.Unspec) {
		reading.family = identity.family;
	}
	return identity;
}

/** A mark that deletes and gets send: only when it says something. @spec C-5 */
export function lookupMark(mark: Mark | undefined): XfrmAttribute[] {
	return mark !== undefined && (mark.v & mark.m) !== 0 ? [attribute('mark', mark)] : [];
}

const DIRECTIONS: Readonly<Record<string, number>> = { in: 1, out: 2 };

/** `dir in|out` of a state (7.1). */
export function readStateDirection(reading: Reading): number {
	return reading.choice(DIRECTIONS, 'DIR value is not "in" or "out"');
}

/** Fails when no ID was named. */
export function needIdentity(reading: Reading, identity: Identity | undefined): Identity {
	const message = 'Not enough information: ID is required';
	return identity ?? refuseCommand(reading.words.word, message, 'src, dst, proto or spi');
}

interface SpiRange {
	min?: number;
	max?: number;
}

function readBound(reading: Reading, range: SpiRange, which: 'min' | 'max'): void {
	if (range[which] !== undefined) {
		duplicateArgument(reading.words.word, which);
	}
	range[which] = reading.number(U32_MAX, `value after "${which}" is invalid`);
}

/** @spec C-6 */
function completeRange(range: SpiRange, proto: number, word: Word): { min: number; max: number } {
	const { min, max } = range;
	if (min !== undefined && max !== undefined) {
		if (min > max) {
			const message = 'value after "min" is larger than value after "max"';
			refuseCommand(word, message, 'min not above max');
		}
		return { min, max };
	}
	if (min !== undefined) {
		refuseCommand(word, '"max" is missing', 'max');
	}
	if (max !== undefined) {
		refuseCommand(word, '"min" is missing', 'min');
	}
	return { min: 0x100, max: proto === IpProto.Comp ? 0xffff : 0x0fff_ffff };
}

/** `allocspi ID …` */
export function readAllocSpi(reading: Reading): Intent {
	const { words } = reading;
	const range: SpiRange = {};
	let identity: Identity | undefined;
	let mark: Mark | undefined;
	let direction = 0;
	let processor: number | undefined;
	let mode = 0;
	let reqid = 0;
	let seq = 0;
	for (; words.more; words.pass()) {
		const { text } = words;
		if (text === 'mode') {
			mode = readMode(reading);
		} else if (text === 'mark') {
			mark = readMark(reading);
		} else if (text === 'reqid') {
			reqid = readReqid(reading);
		} else if (text === 'seq') {
			seq = readSeq(reading);
		} else if (text === 'min' || text === 'max') {
			readBound(reading, range, text);
		} else if (text === 'dir' && reading.release !== '6.1') {
			direction = readStateDirection(reading);
		} else if (text === 'pcpu-num' && reading.release !== '6.1') {
			processor = reading.number(U32_MAX, 'value after "pcpu-num" is invalid');
		} else {
			identity = readIdentityOnce(reading, identity, false);
			if (identity.spi !== 0) {
				refuseCommand(words.word, '"spi" is invalid', 'no spi');
			}
		}
	}
	const id = needIdentity(reading, identity);
	const attributes = [
		...(direction === 0 ? [] : [attribute('saDir', direction)]),
		...lookupMark(mark),
		...(processor === undefined || processor === U32_MAX ? [] : [attribute('saPcpu', processor)]),
	];
	const body = {
		info: stateInfo({ identity: id, mode, reqid, seq }),
		...completeRange(range, id.proto, words.word),
	};
	return { messages: [requestOf('allocspi', 0, body, attributes)], plan: ANSWERED };
}

/** The number of an acquire, which `ip` puts on the wire in network order. */
export function readSeq(reading: Reading): number {
	const seq = reading.number(U32_MAX, 'SEQ value is invalid');
	const view = new DataView(new ArrayBuffer(4));
	view.setUint32(0, seq, false);
	return view.getUint32(0, true);
}

/** `delete ID [mark]`, `get ID [mark]` */
export function readGetOrDelete(reading: Reading, action: 'get' | 'delete'): Intent {
	const { words } = reading;
	let identity: Identity | undefined;
	let mark: Mark | undefined;
	for (; words.more; words.pass()) {
		if (words.text === 'mark') {
			mark = readMark(reading);
		} else {
			if (identity !== undefined) {
				wrongArgument(words.word, 'unknown', 'mark');
			}
			identity = readIdentity(reading, reading.family, false);
		}
	}
	// Without an ID `ip` asks for nothing in particular, and the kernel says no.
	const saddr: Address = identity?.saddr ?? anyAddress();
	const body = {
		daddr: identity?.daddr ?? anyAddress(),
		spi: identity?.spi ?? 0,
		proto: identity?.proto ?? 0,
		family: familyOrIpv4(identity?.family ?? reading.family),
	};
	const attributes = [
		...(identity === undefined ? [] : [attribute('srcaddr', saddr)]),
		...lookupMark(mark),
	];
	if (action === 'get') {
		return { messages: [requestOf('getsa', 0, body, attributes)], plan: ANSWERED };
	}
	const message = requestOf('delsa', MessageFlag.Ack, body, attributes);
	return { messages: [message], plan: ACKNOWLEDGED };
}

/** `list`, `deleteall` with their filters. @spec C-7 */
export function readListOrDeleteAll(reading: Reading, action: 'list' | 'deleteall'): Intent {
	const { words } = reading;
	const active = words.more || reading.family !== Family.Unspec;
	let nokeys = false;
	let identity: Identity | undefined;
	let mode: number | undefined;
	let reqid: number | undefined;
	let flags: number | undefined;
	let family = reading.family;
	for (; words.more; words.pass()) {
		const { text } = words;
		if (text === 'nokeys') {
			nokeys = true;
		} else if (text === 'mode') {
			mode = readMode(reading);
		} else if (text === 'reqid') {
			reqid = readReqid(reading);
		} else if (text === 'flag') {
			flags = readFlags(reading, STATE_FLAG_WORDS, U8_MAX, 'FLAG value is invalid');
		} else {
			identity = readIdentityOnce(reading, identity, true);
			family = identity.family;
		}
	}
	const filter: StateFilter = { object: 'state', active, family, identity, mode, reqid, flags };
	const dump = MessageFlag.Dump;
	if (action === 'deleteall') {
		const messages = [requestOf('dumpsa', dump, {}, [])];
		return { messages, plan: { kind: 'deleteall', filter } };
	}
	const addresses = {
		saddr: identity?.saddr ?? anyAddress(),
		daddr: identity?.daddr ?? anyAddress(),
		family,
		splen: identity?.srcBits ?? 0,
		dplen: identity?.dstBits ?? 0,
	};
	const proto = identity?.proto ?? 0;
	const attributes = [
		...(proto === 0 ? [] : [attribute('proto', proto)]),
		attribute('addressFilter', addresses),
	];
	const messages = [requestOf('dumpsa', dump, {}, attributes)];
	return { messages, plan: { kind: 'list', filter }, nokeys };
}

/** `flush [proto P]` */
export function readFlushStates(reading: Reading): Intent {
	const { words } = reading;
	let proto: number | undefined;
	for (; words.more; words.pass()) {
		if (words.text !== 'proto') {
			wrongArgument(words.word, 'unknown', 'proto');
		}
		if (proto !== undefined) {
			duplicateArgument(words.word, 'proto');
		}
		const { word } = words.next('a protocol of XFRM');
		proto =
			xfrmProtocolNumber(word.text) ??
			wrongArgument(word, 'XFRM-PROTO value is invalid', 'a protocol of XFRM');
	}
	const body = { proto: proto ?? 0 };
	const message = requestOf('flushsa', MessageFlag.Ack, body, []);
	return { messages: [message], plan: ACKNOWLEDGED };
}

/** `count` */
export function readCountStates(): Intent {
	return { messages: [requestOf('getsadinfo', 0, { flags: U32_MAX }, [])], plan: ANSWERED };
}
