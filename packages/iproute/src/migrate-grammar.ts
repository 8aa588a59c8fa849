/**
 * `policy migrate …` and `state migrate-state …`: what the kernel's protocol can say and `ip` has no words for.
 * In `ip`'s style; `to` stands between what is there and what it becomes.
 */
import { attribute, MessageFlag, type XfrmAttribute } from '@xfrm/netlink';
import {
	anySelector,
	Family,
	type Mark,
	type MigrateEntry,
	MigrateStateFlag,
	type Selector,
} from '@xfrm/wire/xfrm';
import { readAddress } from './address-text.ts';
import {
	type Identity,
	readEncap,
	readMark,
	readMask,
	readMode,
	readReqid,
} from './identity-grammar.ts';
import { U32_MAX } from './number-text.ts';
import {
	completeSelector,
	needDirection,
	once,
	readDirection,
	readPolicySelector,
	readPolicyType,
	typeAttribute,
} from './policy-grammar.ts';
import { refuseCommand, wrongArgument } from './problem.ts';
import type { Reading } from './reading.ts';
import { readSelector } from './selector-grammar.ts';
import {
	ACKNOWLEDGED,
	type Intent,
	needIdentity,
	readIdentityOnce,
	requestOf,
} from './state-grammar.ts';

/** XFRM_MAX_DEPTH. */
const ENTRIES_MAX = 6;

interface EntryDraft {
	from: Identity | undefined;
	to: Identity | undefined;
	mode: number;
	reqid: number;
}

/** Reads `src ADDR dst ADDR` of the new place; the protocol is that of the old one. */
function readPlace(reading: Reading): Identity {
	reading.words.next('src or dst');
	reading.family = Family.Unspec;
	const place = readIdentityOnce(reading, undefined, true, Family.Unspec);
	if (place.srcBits === undefined || place.dstBits === undefined) {
		const message = 'Both "src" and "dst" are required after "to"';
		refuseCommand(reading.words.word, message, 'src ADDR dst ADDR');
	}
	return place;
}

/** `from ID [mode MODE] [reqid N] to src ADDR dst ADDR`; the cursor stands on `from`. */
function readEntry(reading: Reading): MigrateEntry {
	const { words } = reading;
	const draft: EntryDraft = { from: undefined, to: undefined, mode: 0, reqid: 0 };
	words.next('an ID');
	reading.family = Family.Unspec;
	for (;;) {
		if (words.text === 'mode') {
			draft.mode = readMode(reading);
		} else if (words.text === 'reqid') {
			draft.reqid = readReqid(reading);
		} else if (words.text === 'to') {
			draft.to = readPlace(reading);
			break;
		} else {
			draft.from = readIdentityOnce(reading, draft.from, false);
		}
		words.next('mode, reqid or to');
	}
	const from = needIdentity(reading, draft.from);
	return {
		oldDaddr: from.daddr,
		oldSaddr: from.saddr,
		newDaddr: draft.to.daddr,
		newSaddr: draft.to.saddr,
		proto: from.proto,
		mode: draft.mode,
		reqid: draft.reqid,
		oldFamily: from.family,
		newFamily: draft.to.family,
	};
}

/** `kmaddress local ADDR remote ADDR` */
function readKmAddress(reading: Reading): XfrmAttribute {
	const { words } = reading;
	const address = (keyword: string): { readonly octets: Uint8Array; readonly family: number } => {
		if (words.next(keyword).text !== keyword) {
			wrongArgument(words.word, `Missing ${keyword} keyword`, keyword);
		}
		const { word } = words.next('an address');
		return {
			octets: readAddress(word),
			family: word.text.includes(':') ? Family.Ipv6 : Family.Ipv4,
		};
	};
	const local = address('local');
	const remote = address('remote');
	return attribute('kmaddress', {
		local: local.octets,
		remote: remote.octets,
		family: local.family,
	});
}

/** `policy migrate SELECTOR dir DIR [ptype P] [if_id N] [kmaddress …] [encap …] { from … to … }...` */
export function readPolicyMigrate(reading: Reading): Intent {
	const { words } = reading;
	const { family } = reading;
	const entries: MigrateEntry[] = [];
	const more: XfrmAttribute[] = [];
	let direction: number | undefined;
	let type: number | undefined;
	let selector: Selector | undefined;
	for (; words.more; words.pass()) {
		switch (words.text) {
			case 'dir':
				direction = once(reading, direction, readDirection);
				break;
			case 'ptype':
				type = once(reading, type, readPolicyType);
				break;
			case 'if_id':
				more.push(attribute('ifId', reading.number(U32_MAX, 'IF_ID value is invalid')));
				break;
			case 'kmaddress':
				more.push(readKmAddress(reading));
				break;
			case 'encap':
				more.push(attribute('encap', readEncap(reading)));
				break;
			case 'from':
				if (entries.length >= ENTRIES_MAX) {
					const message = 'Too many endpoints to migrate';
					refuseCommand(words.word, message, `at most ${ENTRIES_MAX}`);
				}
				entries.push(readEntry(reading));
				break;
			default:
				if (selector !== undefined) {
					wrongArgument(words.word, 'unknown', 'a keyword of this command');
				}
				selector = readPolicySelector(reading, family).selector;
		}
	}
	const { word } = words;
	const body = {
		selector: completeSelector(selector ?? anySelector(family)),
		index: 0,
		direction: needDirection(word, direction),
	};
	if (entries.length === 0) {
		const message = 'Not enough information: "from" and "to" are required.';
		refuseCommand(word, message, 'from ID to src ADDR dst ADDR');
	}
	const attributes = [...typeAttribute(type), attribute('migrate', entries), ...more];
	const message = requestOf('migrate', MessageFlag.Ack, body, attributes);
	return { messages: [message], plan: ACKNOWLEDGED };
}

interface StateDraft {
	readonly attributes: XfrmAttribute[];
	identity: Identity | undefined;
	oldMark: Mark;
	to: Identity | undefined;
	selector: Selector;
	reqid: number;
	flags: number;
}

/** What may follow `to src ADDR dst ADDR`. */
function readNewPart(reading: Reading, draft: StateDraft): void {
	const { words } = reading;
	switch (words.text) {
		case 'reqid':
			draft.reqid = readReqid(reading);
			break;
		case 'sel':
			words.next('a selector');
			reading.family = Family.Unspec;
			draft.selector = readSelector(reading, Family.Unspec).selector;
			break;
		case 'host-sel':
			draft.flags |= MigrateStateFlag.UpdateHostSelector;
			break;
		case 'no-offload':
			draft.flags |= MigrateStateFlag.ClearOffload;
			break;
		case 'mark':
			draft.attributes.push(attribute('mark', readMark(reading)));
			break;
		case 'output-mark': {
			const value = reading.number(U32_MAX, 'value after "output-mark" is invalid');
			const mask = readMask(reading, 'mask value is invalid\n');
			draft.attributes.push(attribute('setMark', value));
			draft.attributes.push(...(mask === undefined ? [] : [attribute('setMarkMask', mask)]));
			break;
		}
		case 'encap':
			draft.attributes.push(attribute('encap', readEncap(reading)));
			break;
		case 'nat-keepalive': {
			const seconds = reading.number(U32_MAX, 'value after "nat-keepalive" is invalid');
			draft.attributes.push(attribute('natKeepaliveInterval', seconds));
			break;
		}
		default:
			wrongArgument(
				words.word,
				'unknown',
				'reqid, sel, host-sel, no-offload, mark, output-mark, encap',
			);
	}
}

/** `state migrate-state ID [mark V [mask M]] to src ADDR dst ADDR [reqid N] [sel SELECTOR] …` */
export function readStateMigrate(reading: Reading): Intent {
	const { words } = reading;
	const draft: StateDraft = {
		attributes: [],
		identity: undefined,
		oldMark: { v: 0, m: 0 },
		to: undefined,
		selector: anySelector(0),
		reqid: 0,
		flags: 0,
	};
	for (; words.more; words.pass()) {
		if (draft.to !== undefined) {
			readNewPart(reading, draft);
		} else if (words.text === 'to') {
			draft.to = readPlace(reading);
		} else if (words.text === 'mark') {
			draft.oldMark = readMark(reading);
		} else {
			draft.identity = readIdentityOnce(reading, draft.identity, false);
		}
	}
	const id = needIdentity(reading, draft.identity);
	const { to } = draft;
	if (to === undefined) {
		const message = 'Not enough information: "to" is required.';
		return refuseCommand(words.word, message, 'to src ADDR dst ADDR');
	}
	const body = {
		id: { daddr: id.daddr, spi: id.spi, family: id.family, proto: id.proto },
		newDaddr: to.daddr,
		newSaddr: to.saddr,
		oldMark: draft.oldMark,
		newSelector: draft.selector,
		newReqid: draft.reqid,
		flags: draft.flags,
		newFamily: to.family,
		reserved: 0,
	};
	const message = requestOf('migratestate', MessageFlag.Ack, body, draft.attributes);
	return { messages: [message], plan: ACKNOWLEDGED };
}
