/**
 * Messages as JSON: members of dumps, answers, and events of the monitor (schema/*.schema.json). Every
 * message has a form; what is not known is its octets.
 */
import {
	decodeMessage,
	type NamedMessage,
	type RawMessage,
	type UserPolicyDefault,
	type XfrmMessage,
} from '@xfrm/netlink';
import { formatHex } from '@xfrm/wire';
import { AeventFlag, type MigrateEntry } from '@xfrm/wire/xfrm';
import { sourceOf } from './format-message.ts';
import {
	addressJson,
	currentJson,
	DEFAULT_WORDS,
	DIRECTION_WORDS,
	hex32Json,
	hexJson,
	type JsonObject,
	type JsonOptions,
	MODE_WORDS,
	member,
	PROTOCOL_WORDS,
	replayEsnJson,
	replayJson,
	selectorJson,
	TYPE_WORDS,
	wordJson,
} from './json-parts.ts';
import { policyJson } from './json-policy.ts';
import { stateJson } from './json-state.ts';

const SCHEMA = { schema: 1 };

/** The state or policy of a message, undefined for messages without one. */
function subjectJson(message: XfrmMessage, options: JsonOptions): JsonObject | undefined {
	const { attributes } = message;
	const from = sourceOf(attributes);
	switch (message.name) {
		case 'newsa':
		case 'updsa':
			return { state: stateJson(message.body, attributes, from, options) };
		case 'delsa': {
			const state = from.get('sa');
			return state && { state: stateJson(state, attributes, from, options) };
		}
		case 'expire': {
			const { state, hard } = message.body;
			return { hard: hard !== 0, state: stateJson(state, attributes, from, options) };
		}
		case 'newpolicy':
		case 'updpolicy':
			return { policy: policyJson(message.body, attributes, from, options) };
		case 'delpolicy': {
			const policy = from.get('policy');
			return policy && { policy: policyJson(policy, attributes, from, options) };
		}
		case 'polexpire': {
			const { policy, hard } = message.body;
			return { hard: hard !== 0, policy: policyJson(policy, attributes, from, options) };
		}
		default:
			return undefined;
	}
}

function acquireJson(message: NamedMessage<'acquire'>, options: JsonOptions): JsonObject {
	const { body, attributes } = message;
	const { family } = body.selector;
	return {
		src: addressJson(body.saddr, family),
		dst: addressJson(body.id.daddr, family),
		proto: wordJson(PROTOCOL_WORDS, body.id.proto),
		spi: hex32Json(body.id.spi),
		sel: selectorJson(body.selector, options),
		seq: body.seq,
		enc_mask: hex32Json(body.ealgos),
		auth_mask: hex32Json(body.aalgos),
		comp_mask: hex32Json(body.calgos),
		policy: policyJson(body.policy, attributes, sourceOf(attributes), options),
	};
}

function aeventJson(message: NamedMessage<'newae'>): JsonObject {
	const { saId, saddr, flags, reqid } = message.body;
	const from = sourceOf(message.attributes);
	const causes = [
		...((flags & AeventFlag.CausedByReplay) === 0 ? [] : ['replay']),
		...((flags & AeventFlag.CausedByTimer) === 0 ? [] : ['timer']),
		...((flags & AeventFlag.CausedByUpdate) === 0 ? [] : ['policy']),
	];
	return {
		src: addressJson(saddr, saId.family),
		dst: addressJson(saId.daddr, saId.family),
		proto: wordJson(PROTOCOL_WORDS, saId.proto),
		spi: hex32Json(saId.spi),
		reqid,
		flags: hexJson(flags),
		causes,
		...member('replay', from.get('replayVal'), replayJson),
		...member('replay_esn', from.get('replayEsnVal'), replayEsnJson),
		...member('current', from.get('ltimeVal'), currentJson),
	};
}

function mappingJson(message: NamedMessage<'mapping'>): JsonObject {
	const { id, reqid, oldSaddr, newSaddr, oldSport, newSport } = message.body;
	return {
		dst: addressJson(id.daddr, id.family),
		proto: wordJson(PROTOCOL_WORDS, id.proto),
		spi: hex32Json(id.spi),
		reqid,
		old: { src: addressJson(oldSaddr, id.family), sport: oldSport },
		new: { src: addressJson(newSaddr, id.family), sport: newSport },
	};
}

function migrateEntryJson(entry: MigrateEntry): JsonObject {
	return {
		old_src: addressJson(entry.oldSaddr, entry.oldFamily),
		old_dst: addressJson(entry.oldDaddr, entry.oldFamily),
		new_src: addressJson(entry.newSaddr, entry.newFamily),
		new_dst: addressJson(entry.newDaddr, entry.newFamily),
		proto: wordJson(PROTOCOL_WORDS, entry.proto),
		mode: wordJson(MODE_WORDS, entry.mode),
		reqid: entry.reqid,
	};
}

function defaultsJson(body: UserPolicyDefault): JsonObject {
	return {
		in: wordJson(DEFAULT_WORDS, body.in),
		fwd: wordJson(DEFAULT_WORDS, body.fwd),
		out: wordJson(DEFAULT_WORDS, body.out),
	};
}

/** What an event says besides its name; undefined where only its octets can be told. */
function eventBodyJson(message: XfrmMessage, options: JsonOptions): JsonObject | undefined {
	const from = sourceOf(message.attributes);
	switch (message.name) {
		case 'acquire':
			return acquireJson(message, options);
		case 'flushsa':
			return { proto: wordJson(PROTOCOL_WORDS, message.body.proto) };
		case 'flushpolicy':
			return member('ptype', from.get('policyType'), ({ type }) => wordJson(TYPE_WORDS, type));
		case 'report': {
			const { proto, selector } = message.body;
			const coa = (address: Uint8Array): string => addressJson(address, selector.family);
			return {
				proto: wordJson(PROTOCOL_WORDS, proto),
				sel: selectorJson(selector, options),
				...member('coa', from.get('coaddr'), coa),
			};
		}
		case 'newae':
			return aeventJson(message);
		case 'mapping':
			return mappingJson(message);
		case 'migrate': {
			const { selector, direction } = message.body;
			return {
				sel: selectorJson(selector, options),
				dir: wordJson(DIRECTION_WORDS, direction),
				...member('migrate', from.get('migrate'), (list) => list.map(migrateEntryJson)),
			};
		}
		case 'getdefault':
		case 'setdefault':
			return defaultsJson(message.body);
		default:
			return subjectJson(message, options);
	}
}

function infoJson(message: XfrmMessage): JsonObject | undefined {
	const from = sourceOf(message.attributes);
	if (message.name === 'newsadinfo') {
		return {
			object: 'state-info',
			states: from.get('sadCnt') ?? 0,
			...member('buckets', from.get('sadHinfo')?.sadhcnt, (value) => value),
			...member('buckets_max', from.get('sadHinfo')?.sadhmcnt, (value) => value),
		};
	}
	if (message.name !== 'newspdinfo') {
		return undefined;
	}
	const counts = from.get('spdInfo');
	const threshold = (bits: { readonly lbits: number; readonly rbits: number }): JsonObject => ({
		local: bits.lbits,
		remote: bits.rbits,
	});
	return {
		object: 'policy-info',
		in: counts?.incnt ?? 0,
		out: counts?.outcnt ?? 0,
		fwd: counts?.fwdcnt ?? 0,
		socket_in: counts?.inscnt ?? 0,
		socket_out: counts?.outscnt ?? 0,
		socket_fwd: counts?.fwdscnt ?? 0,
		...member('buckets', from.get('spdHinfo')?.spdhcnt, (value) => value),
		...member('buckets_max', from.get('spdHinfo')?.spdhmcnt, (value) => value),
		...member('hthresh4', from.get('spdIpv4Hthresh'), threshold),
		...member('hthresh6', from.get('spdIpv6Hthresh'), threshold),
	};
}

/** A state or policy of a dump, without the number of the schema, which only whole lines have. */
export function objectJson(
	message: XfrmMessage,
	options: JsonOptions = {},
): JsonObject | undefined {
	const subject = subjectJson(message, options);
	const object = subject?.['state'] ?? subject?.['policy'];
	return object === undefined ? undefined : (object as JsonObject);
}

/** A member of a dump or the answer to a command, as one line of `--json`; undefined for what has no form. */
export function answerJson(
	message: XfrmMessage,
	options: JsonOptions = {},
): JsonObject | undefined {
	if (message.name === 'getdefault') {
		return { ...SCHEMA, object: 'default-policies', ...defaultsJson(message.body) };
	}
	const answer = infoJson(message) ?? objectJson(message, options);
	return answer && { ...SCHEMA, ...answer };
}

/** An event of the monitor, as one line of `--json`. */
export function eventJson(raw: RawMessage, options: JsonOptions = {}): JsonObject {
	const message = decodeMessage(raw);
	const body = message === undefined ? undefined : eventBodyJson(message, options);
	const head = { ...SCHEMA, object: 'event', event: message?.name ?? 'unknown' };
	return body === undefined
		? { ...head, type: raw.type, netlink: formatHex(raw.bytes) }
		: { ...head, ...body };
}
