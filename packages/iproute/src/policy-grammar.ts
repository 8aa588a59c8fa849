/** `ip xfrm policy …` → requests, but for `add` and `update` (spec 5.1; iproute2's ip/xfrm_policy.c). */
import { attribute, MessageFlag, type XfrmAttribute } from '@xfrm/netlink';
import {
	anySelector,
	DefaultAction,
	Direction,
	Family,
	type Mark,
	PolicyAction,
	PolicyType,
	type Selector,
} from '@xfrm/wire/xfrm';
import type { PolicyFilter } from './dump-filter.ts';
import { POLICY_FLAG_WORDS } from './flag-words.ts';
import { readMark } from './identity-grammar.ts';
import { parseUnsigned, U8_MAX, U32_MAX } from './number-text.ts';
import { duplicateArgument, refuseCommand, type Word, wrongArgument } from './problem.ts';
import { type Reading, readFlags } from './reading.ts';
import { type ReadSelector, readSelector } from './selector-grammar.ts';
import {
	ACKNOWLEDGED,
	ANSWERED,
	familyOrIpv4,
	type Intent,
	lookupMark,
	requestOf,
} from './state-grammar.ts';
import { securityContext } from './state-modify.ts';

const DIRECTIONS: Readonly<Record<string, number>> = {
	in: Direction.In,
	out: Direction.Out,
	fwd: Direction.Fwd,
};
const TYPES: Readonly<Record<string, number>> = { main: PolicyType.Main, sub: PolicyType.Sub };
const ACTIONS: Readonly<Record<string, number>> = {
	allow: PolicyAction.Allow,
	block: PolicyAction.Block,
};

/** Goes to the next word and reads a policy's direction. */
export function readDirection(reading: Reading): number {
	return reading.choice(DIRECTIONS, 'DIR value is invalid');
}

/** Goes to the next word and reads a policy's type. */
export function readPolicyType(reading: Reading): number {
	return reading.choice(TYPES, 'PTYPE value is invalid');
}

/** Goes to the next word and reads a policy's action. */
export function readAction(reading: Reading): number {
	return reading.choice(ACTIONS, 'ACTION value is invalid\n');
}

/** Reads a keyword's value, once. */
export function once<T>(reading: Reading, before: T | undefined, read: (reading: Reading) => T): T {
	const { word } = reading.words;
	if (before !== undefined) {
		duplicateArgument(word, word.text);
	}
	return read(reading);
}

/** Goes to the next word and reads a label. */
export function readLabel(reading: Reading): XfrmAttribute {
	return securityContext(reading.words.next('a label').text);
}

/** POLICY_TYPE, only when it was said. @spec C-5 */
export function typeAttribute(type: number | undefined): XfrmAttribute[] {
	return type === undefined ? [] : [attribute('policyType', { type })];
}

/** Fails when no direction was named. @spec C-9 */
export function needDirection(word: Word, direction: number | undefined): number {
	const message = 'Not enough information: DIR is required.';
	return direction ?? refuseCommand(word, message, 'dir in, out or fwd');
}

/** The selector of a message: IPv4 when nothing said which family. @spec C-3 */
export function completeSelector(selector: Selector): Selector {
	return { ...selector, family: familyOrIpv4(selector.family) };
}

/** Reads a selector; the first address decides the family from then on. */
export function readPolicySelector(reading: Reading, family: number): ReadSelector {
	const read = readSelector(reading, family);
	if (reading.family === Family.Unspec) {
		reading.family = read.selector.family;
	}
	return read;
}

/** What names a policy in `delete` and `get`. */
interface PolicyName {
	direction: number | undefined;
	label: XfrmAttribute | undefined;
	mark: Mark | undefined;
	index: number | undefined;
	type: number | undefined;
	ifId: number | undefined;
	selector: Selector | undefined;
}

function readNamePart(reading: Reading, name: PolicyName): void {
	const { words } = reading;
	switch (words.text) {
		case 'dir':
			name.direction = once(reading, name.direction, readDirection);
			break;
		case 'ctx':
			name.label = once(reading, name.label, readLabel);
			break;
		case 'mark':
			name.mark = readMark(reading);
			break;
		case 'index':
			name.index = once(reading, name.index, () =>
				reading.number(U32_MAX, 'INDEX value is invalid'),
			);
			break;
		case 'ptype':
			name.type = once(reading, name.type, readPolicyType);
			break;
		case 'if_id':
			name.ifId = reading.number(U32_MAX, 'IF_ID value is invalid');
			break;
		default:
			if (name.selector !== undefined) {
				wrongArgument(words.word, 'unknown', 'a keyword of this command');
			}
			// As in ip, an address family that was asked for by -4 or -6 is not the selector's.
			name.selector = readPolicySelector(reading, Family.Unspec).selector;
	}
}

/** `delete {SELECTOR | index N} dir DIR …`, `get …` @spec C-9 */
export function readGetOrDeletePolicy(reading: Reading, action: 'get' | 'delete'): Intent {
	const { words } = reading;
	const name: PolicyName = {
		direction: undefined,
		label: undefined,
		mark: undefined,
		index: undefined,
		type: undefined,
		ifId: undefined,
		selector: undefined,
	};
	for (; words.more; words.pass()) {
		readNamePart(reading, name);
	}
	const { word } = words;
	const direction = needDirection(word, name.direction);
	if (name.selector === undefined && name.index === undefined) {
		const message = 'Not enough information: either SELECTOR or INDEX is required.';
		refuseCommand(word, message, 'a selector or index');
	}
	if (name.selector !== undefined && name.index !== undefined) {
		const message = 'Error: either "SELECTOR" is duplicate, or "INDEX" is a garbage.';
		refuseCommand(word, message, 'a selector or index, not both', 255);
	}
	const attributes = [
		...typeAttribute(name.type),
		...lookupMark(name.mark),
		...(name.label === undefined ? [] : [name.label]),
		...(name.ifId === undefined ? [] : [attribute('ifId', name.ifId)]),
	];
	const selector = completeSelector(name.selector ?? anySelector(Family.Unspec));
	const body = { selector, index: name.index ?? 0, direction };
	if (action === 'get') {
		return { messages: [requestOf('getpolicy', 0, body, attributes)], plan: ANSWERED };
	}
	const message = requestOf('delpolicy', MessageFlag.Ack, body, attributes);
	return { messages: [message], plan: ACKNOWLEDGED };
}

type FilterDraft = { -readonly [K in keyof PolicyFilter]: PolicyFilter[K] };

function readFilterPart(reading: Reading, filter: FilterDraft): void {
	const { words } = reading;
	switch (words.text) {
		case 'dir':
			filter.direction = readDirection(reading);
			break;
		case 'index':
			filter.index = reading.number(U32_MAX, 'INDEX value is invalid');
			break;
		case 'ptype':
			filter.type = readPolicyType(reading);
			break;
		case 'action':
			filter.action = readAction(reading);
			break;
		case 'priority':
			filter.priority = reading.number(U32_MAX, 'PRIORITY value is invalid');
			break;
		case 'flag':
			filter.flags = readFlags(reading, POLICY_FLAG_WORDS, U8_MAX, 'FLAG value is invalid');
			break;
		case 'nosock':
			filter.noSocket = true;
			break;
		default:
			if (filter.selector !== undefined) {
				wrongArgument(words.word, 'unknown', 'a keyword of this command');
			}
			filter.selector = readPolicySelector(reading, reading.family);
			filter.family = filter.selector.selector.family;
	}
}

/** `list`, `deleteall` with their filters. */
export function readListOrDeleteAllPolicies(
	reading: Reading,
	action: 'list' | 'deleteall',
): Intent {
	const { words } = reading;
	const filter: FilterDraft = {
		object: 'policy',
		active: words.more || reading.family !== Family.Unspec,
		family: reading.family,
		selector: undefined,
		direction: undefined,
		index: undefined,
		type: undefined,
		action: undefined,
		priority: undefined,
		flags: undefined,
		noSocket: false,
	};
	for (; words.more; words.pass()) {
		readFilterPart(reading, filter);
	}
	const messages = [requestOf('dumppolicy', MessageFlag.Dump, {}, [])];
	return { messages, plan: { kind: action, filter } };
}

/** `flush [ptype P]` */
export function readFlushPolicies(reading: Reading): Intent {
	const { words } = reading;
	let type: number | undefined;
	for (; words.more; words.pass()) {
		if (words.text !== 'ptype') {
			wrongArgument(words.word, 'unknown', 'ptype');
		}
		type = once(reading, type, readPolicyType);
	}
	const message = requestOf('flushpolicy', MessageFlag.Ack, {}, typeAttribute(type));
	return { messages: [message], plan: ACKNOWLEDGED };
}

/** `count` */
export function readCountPolicies(): Intent {
	return { messages: [requestOf('getspdinfo', 0, { flags: U32_MAX }, [])], plan: ANSWERED };
}

/** Goes to the next word and reads a number of prefix bits. */
function readBits(reading: Reading, max: number, what: string): number {
	const { word } = reading.words.next(`0 to ${max}`);
	const bits = parseUnsigned(word.text, max);
	return bits ?? wrongArgument(word, `${what} value is invalid`, `0 to ${max}`);
}

/** `set [hthresh4 L R] [hthresh6 L R]` */
export function readSetThresholds(reading: Reading): Intent {
	const { words } = reading;
	const attributes: XfrmAttribute[] = [];
	const seen = new Set<string>();
	for (; words.more; words.pass()) {
		const { word, text } = words;
		if (text !== 'hthresh4' && text !== 'hthresh6') {
			wrongArgument(word, 'unknown', 'hthresh4 or hthresh6');
		}
		if (seen.has(text)) {
			duplicateArgument(word, text);
		}
		seen.add(text);
		const max = text === 'hthresh4' ? 32 : 128;
		const lbits = readBits(reading, max, `${text} LBITS`);
		const rbits = readBits(reading, max, `${text} RBITS`);
		const name = text === 'hthresh4' ? 'spdIpv4Hthresh' : 'spdIpv6Hthresh';
		attributes.push(attribute(name, { lbits, rbits }));
	}
	const message = requestOf('newspdinfo', MessageFlag.Ack, { flags: U32_MAX }, attributes);
	return { messages: [message], plan: ACKNOWLEDGED };
}

const DEFAULTS: Readonly<Record<string, number>> = {
	block: DefaultAction.Block,
	accept: DefaultAction.Accept,
};
/** `allow` is understood since 6.1's successors. */
const NEWER_DEFAULTS: Readonly<Record<string, number>> = {
	...DEFAULTS,
	allow: DefaultAction.Accept,
};

/** `setdefault DIR ACTION …` */
export function readSetDefault(reading: Reading): Intent {
	const { words } = reading;
	const table = reading.release === '6.1' ? DEFAULTS : NEWER_DEFAULTS;
	const body = { in: 0, fwd: 0, out: 0 };
	for (; words.more; words.pass()) {
		const { word, text } = words;
		if (text !== 'in' && text !== 'fwd' && text !== 'out') {
			return wrongArgument(word, 'unknown direction', 'in, fwd or out');
		}
		if (body[text] !== 0) {
			duplicateArgument(word, text);
		}
		body[text] = reading.choice(table, `${text} policy value is invalid`);
	}
	const message = requestOf('setdefault', MessageFlag.Ack, body, []);
	return { messages: [message], plan: ACKNOWLEDGED };
}

/** `getdefault` */
export function readGetDefault(): Intent {
	const body = { in: 0, fwd: 0, out: 0 };
	return { messages: [requestOf('getdefault', 0, body, [])], plan: ANSWERED };
}
