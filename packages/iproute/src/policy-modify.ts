/** `ip xfrm policy add` and `update` → NEWPOLICY and UPDPOLICY, with their templates (spec 5.1). */
import { attribute, MessageFlag, type XfrmAttribute } from '@xfrm/netlink';
import {
	anySelector,
	Family,
	type Mark,
	Mode,
	type Selector,
	type Template,
	UNUSED,
} from '@xfrm/wire/xfrm';
import { POLICY_FLAG_WORDS } from './flag-words.ts';
import { type Identity, readIdentity, readMark, readMode, readReqid } from './identity-grammar.ts';
import { type LifetimeDraft, readLimit, unlimited } from './limit-grammar.ts';
import { U8_MAX, U32_MAX } from './number-text.ts';
import {
	completeSelector,
	needDirection,
	once,
	readAction,
	readDirection,
	readLabel,
	readPolicySelector,
	readPolicyType,
	typeAttribute,
} from './policy-grammar.ts';
import { duplicateArgument, refuseCommand, wrongArgument } from './problem.ts';
import { type Reading, readFlags } from './reading.ts';
import { ACKNOWLEDGED, type Intent, requestOf } from './state-grammar.ts';

const OFFLOAD_PACKET = 4;
/** What `ip` has room for; the kernel takes fewer (P-12), and says so itself. */
const TEMPLATES_MAX = 16;
const LEVELS: Readonly<Record<string, number>> = { required: 0, use: 1 };

/** `tmpl TMPL`; each one has a family of its own. @spec C-3 C-5 */
function readTemplate(reading: Reading): Template {
	const { words } = reading;
	const { family } = reading;
	let identity: Identity | undefined;
	let mode = 0;
	let reqid = 0;
	let optional = 0;
	words.next('src, dst, proto, spi, mode, reqid or level');
	for (;;) {
		if (words.text === 'mode') {
			mode = readMode(reading);
		} else if (words.text === 'iptfs' && reading.release !== '6.1') {
			// Not ip's: instead of `mode`, whose value iptfs it refuses.
			mode = Mode.Iptfs;
		} else if (words.text === 'reqid') {
			reqid = readReqid(reading);
		} else if (words.text === 'level') {
			optional = reading.choice(LEVELS, 'LEVEL value is invalid\n');
		} else if (identity === undefined) {
			reading.family = Family.Unspec;
			identity = readIdentity(reading, family, false);
			reading.family = identity.family;
		} else {
			words.back();
			break;
		}
		if (!words.hasNext) {
			break;
		}
		words.next('a keyword');
	}
	const none = anySelector(0);
	return {
		id: {
			daddr: identity?.daddr ?? none.daddr,
			spi: identity?.spi ?? 0,
			proto: identity?.proto ?? 0,
		},
		saddr: identity?.saddr ?? none.saddr,
		family: identity?.family ?? family,
		reqid,
		mode,
		share: 0,
		optional,
		aalgos: U32_MAX,
		ealgos: U32_MAX,
		calgos: U32_MAX,
	};
}

/** Everything a command has said so far. */
interface Draft {
	readonly lifetime: LifetimeDraft;
	readonly templates: Template[];
	direction: number | undefined;
	label: XfrmAttribute | undefined;
	mark: Mark | undefined;
	index: number;
	type: number | undefined;
	action: number;
	priority: number;
	flags: number;
	ifId: number | undefined;
	offloadIfindex: number | undefined;
	selector: Selector | undefined;
}

/** `offload packet dev DEV` (7.1) */
function readOffload(reading: Reading): number {
	const { words } = reading;
	if (words.next('packet').text !== 'packet') {
		wrongArgument(words.word, 'Invalid offload mode', 'packet');
	}
	if (words.next('dev').text !== 'dev') {
		wrongArgument(words.word, 'Missing dev keyword', 'dev');
	}
	const { word } = words.next('a device');
	const ifindex = reading.interfaceIndex(word.text);
	return ifindex === 0 ? wrongArgument(word, 'Invalid device name', 'a device') : ifindex;
}

const KEYWORDS: Readonly<Record<string, (reading: Reading, draft: Draft) => void>> = {
	dir: (reading, draft) => {
		draft.direction = once(reading, draft.direction, readDirection);
	},
	ctx: (reading, draft) => {
		draft.label = once(reading, draft.label, readLabel);
	},
	mark: (reading, draft) => {
		draft.mark = readMark(reading);
	},
	index: (reading, draft) => {
		draft.index = reading.number(U32_MAX, 'INDEX value is invalid');
	},
	ptype: (reading, draft) => {
		draft.type = once(reading, draft.type, readPolicyType);
	},
	action: (reading, draft) => {
		draft.action = readAction(reading);
	},
	priority: (reading, draft) => {
		draft.priority = reading.number(U32_MAX, 'PRIORITY value is invalid');
	},
	flag: (reading, draft) => {
		draft.flags |= readFlags(reading, POLICY_FLAG_WORDS, U8_MAX, 'FLAG value is invalid');
	},
	limit: (reading, draft) => readLimit(reading, draft.lifetime),
	tmpl: (reading, draft) => {
		if (draft.templates.length >= TEMPLATES_MAX) {
			const message = 'Too many tmpls: buffer overflow';
			refuseCommand(reading.words.word, message, `at most ${TEMPLATES_MAX} templates`);
		}
		draft.templates.push(readTemplate(reading));
	},
	if_id: (reading, draft) => {
		draft.ifId = reading.number(U32_MAX, 'IF_ID value is invalid');
	},
	offload: (reading, draft) => {
		draft.offloadIfindex = readOffload(reading);
	},
};

function readWord(reading: Reading, draft: Draft, family: number): void {
	const { word, text } = reading.words;
	const known = reading.release !== '6.1' || text !== 'offload';
	const keyword = known && Object.hasOwn(KEYWORDS, text) ? KEYWORDS[text] : undefined;
	if (keyword !== undefined) {
		keyword(reading, draft);
		return;
	}
	if (draft.selector !== undefined) {
		duplicateArgument(word, 'unknown');
	}
	draft.selector = readPolicySelector(reading, family).selector;
}

/** `add` and `update`. @throws Unreadable @spec C-5 C-8 */
export function readPolicyModify(reading: Reading, name: 'newpolicy' | 'updpolicy'): Intent {
	const { words } = reading;
	const { family } = reading;
	const draft: Draft = {
		lifetime: unlimited(),
		templates: [],
		direction: undefined,
		label: undefined,
		mark: undefined,
		index: 0,
		type: undefined,
		action: 0,
		priority: 0,
		flags: 0,
		ifId: undefined,
		offloadIfindex: undefined,
		selector: undefined,
	};
	for (; words.more; words.pass()) {
		readWord(reading, draft, family);
	}
	const direction = needDirection(words.word, draft.direction);
	const { mark, templates, label, ifId, offloadIfindex } = draft;
	const attributes = [
		...typeAttribute(draft.type),
		...(templates.length === 0 ? [] : [attribute('tmpl', templates)]),
		...(mark === undefined || mark.m === 0 ? [] : [attribute('mark', mark)]),
		...(label === undefined ? [] : [label]),
		...(ifId === undefined ? [] : [attribute('ifId', ifId)]),
		...(offloadIfindex === undefined
			? []
			: [attribute('offloadDev', { ifindex: offloadIfindex, flags: OFFLOAD_PACKET })]),
	];
	const body = {
		selector: completeSelector(draft.selector ?? anySelector(family)),
		lifetime: draft.lifetime,
		lifetimeCurrent: UNUSED,
		priority: draft.priority,
		index: draft.index,
		direction,
		action: draft.action,
		flags: draft.flags,
		share: 0,
	};
	const message = requestOf(name, MessageFlag.Ack, body, attributes);
	return { messages: [message], plan: ACKNOWLEDGED };
}
