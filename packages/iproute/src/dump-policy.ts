/** A policy in a dump of `ip xfrm policy` → the NEWPOLICY of the kernel's dump (the reverse of format-policy.ts). */
import { attribute, MessageFlag, type NamedMessage, type XfrmAttribute } from '@xfrm/netlink';
import type { Template } from '@xfrm/wire/xfrm';
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
	readTransform,
	UNTOLD_LIFETIME,
} from './dump-parts.ts';
import type { DumpWords } from './dump-words.ts';
import { POLICY_FLAG_WORDS } from './flag-words.ts';
import { U8_MAX, U32_MAX } from './number-text.ts';

const DIRECTIONS: Readonly<Record<string, number>> = { in: 0, out: 1, fwd: 2 };
/** A socket's policy has 3 more (P-19). */
const SOCKET_DIRECTION = 3;
const ACTIONS: Readonly<Record<string, number>> = { allow: 0, block: 1 };
const TYPES: Readonly<Record<string, number>> = { main: 0, sub: 1 };
const SHARES: Readonly<Record<string, number>> = { any: 0, session: 1, user: 2, unique: 3 };
const LEVELS: Readonly<Record<string, number>> = { required: 0, use: 1 };

function readDirection(words: DumpWords): number {
	if (words.takeIf('socket')) {
		return words.choice(DIRECTIONS, U8_MAX - SOCKET_DIRECTION) + SOCKET_DIRECTION;
	}
	if (words.text !== 'dir') {
		words.refuse('dir or socket');
	}
	words.expect('dir');
	return words.choice(DIRECTIONS, U8_MAX);
}

function readMask(words: DumpWords, keyword: string): number {
	words.expect(keyword);
	const text = words.take('a mask of hexadecimal digits');
	return /^[0-9a-f]{1,8}$/.test(text)
		? Number.parseInt(text, 16)
		: words.refuseLast('a mask of hexadecimal digits');
}

function readTemplate(reading: DumpReading): Template {
	const { words } = reading;
	words.expect('tmpl', 'src');
	const source = words.address();
	words.expect('dst');
	const destination = words.address();
	const { proto, spi, reqid, mode } = readTransform(words);
	const optional = words.takeIf('level') ? words.choice(LEVELS, U8_MAX) : 0;
	const share = words.takeIf('share') ? words.choice(SHARES, U8_MAX) : 0;
	const told = words.text === 'enc-mask';
	const ealgos = told ? readMask(words, 'enc-mask') : U32_MAX;
	const aalgos = told ? readMask(words, 'auth-mask') : U32_MAX;
	const calgos = told ? readMask(words, 'comp-mask') : U32_MAX;
	return {
		id: { daddr: destination.address, spi, proto },
		saddr: source.address,
		family: source.family,
		reqid,
		mode,
		share,
		optional,
		aalgos,
		ealgos,
		calgos,
	};
}

interface Head {
	readonly direction: number;
	readonly action: number;
	readonly index: number;
	readonly priority: number;
	readonly type: number | undefined;
	readonly share: number;
	readonly flags: number;
}

/** `dir D [action A] [index N] priority N [ptype T] [share S] [flag F] [(0x…)]` */
function readHead(reading: DumpReading): Head {
	const { words } = reading;
	const direction = readDirection(words);
	const action = words.takeIf('action') ? words.choice(ACTIONS, U8_MAX) : 0;
	const index = words.text === 'index' ? words.named('index') : 0;
	const priority = words.named('priority');
	const type = words.takeIf('ptype') ? words.choice(TYPES, U8_MAX) : undefined;
	const share = words.takeIf('share') ? words.choice(SHARES, U8_MAX) : 0;
	const flags = words.takeIf('flag') ? readDumpedFlags(reading, POLICY_FLAG_WORDS) : 0;
	passBits(reading);
	return { direction, action, index, priority, type, share, flags: flags & U8_MAX };
}

const POLICY_PARTS = 'tmpl, mark, if_id, lifetime config or crypto offload';

/** Reads a policy: the words from `src` to its end. */
export function readDumpedPolicy(reading: DumpReading): NamedMessage<'newpolicy'> {
	const { words } = reading;
	const selector = readDumpedSelector(reading);
	const attributes: XfrmAttribute[] = [];
	if (words.text === 'security') {
		attributes.push(readDumpedLabel(words));
	}
	const { type, ...head } = readHead(reading);
	const templates: Template[] = [];
	let lifetime: DumpedLifetime = UNTOLD_LIFETIME;
	while (words.more) {
		switch (words.text) {
			case 'tmpl':
				templates.push(readTemplate(reading));
				break;
			case 'mark': {
				words.expect('mark');
				const { v, m } = readMarkPair(words);
				attributes.push(attribute('mark', { v, m: m ?? U32_MAX }));
				break;
			}
			case 'if_id':
				attributes.push(attribute('ifId', words.named('if_id')));
				break;
			case 'lifetime':
				lifetime = readDumpedLifetime(reading);
				break;
			case 'crypto':
				attributes.push(readDumpedOffload(reading));
				break;
			default:
				words.refuse(POLICY_PARTS);
		}
	}
	if (templates.length > 0) {
		attributes.unshift(attribute('tmpl', templates));
	}
	if (type !== undefined) {
		attributes.push(attribute('policyType', { type }));
	}
	const body = { selector, ...lifetime, ...head };
	return { name: 'newpolicy', flags: MessageFlag.Request, seq: 0, pid: 0, body, attributes };
}
