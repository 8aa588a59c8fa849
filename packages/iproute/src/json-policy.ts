/** A policy as JSON (schema/policy.schema.json). */
import type { AttributeSource, UserPolicyInfo, XfrmAttribute } from '@xfrm/netlink';
import { POLICY_FLAG_WORDS } from './flag-words.ts';
import {
	ACTION_WORDS,
	currentJson,
	DIRECTION_WORDS,
	flagsJson,
	hexJson,
	type JsonObject,
	type JsonOptions,
	labelJson,
	lifetimeJson,
	markJson,
	member,
	offloadJson,
	SHARE_WORDS,
	selectorJson,
	TYPE_WORDS,
	templateJson,
	unknownJson,
	wordJson,
} from './json-parts.ts';

/** A socket's policy has 3 more (P-19). */
const SOCKET_DIRECTION = 3;

/** `dir`, and `socket` for those of sockets. */
function directionJson(direction: number): JsonObject {
	const isSocket = direction >= SOCKET_DIRECTION && direction < 2 * SOCKET_DIRECTION;
	return isSocket
		? { dir: wordJson(DIRECTION_WORDS, direction - SOCKET_DIRECTION), socket: true }
		: { dir: wordJson(DIRECTION_WORDS, direction) };
}

/** A policy and its attributes. */
export function policyJson(
	policy: UserPolicyInfo,
	attributes: readonly XfrmAttribute[],
	from: AttributeSource,
	options: JsonOptions,
): JsonObject {
	return {
		object: 'policy',
		sel: selectorJson(policy.selector, options),
		...directionJson(policy.direction),
		action: wordJson(ACTION_WORDS, policy.action),
		index: policy.index,
		priority: policy.priority,
		...member('ptype', from.get('policyType'), ({ type }) => wordJson(TYPE_WORDS, type)),
		...(policy.share === 0 ? {} : { share: wordJson(SHARE_WORDS, policy.share) }),
		flags: flagsJson(policy.flags, POLICY_FLAG_WORDS),
		...member('mark', from.get('mark'), markJson),
		...member('if_id', from.get('ifId'), hexJson),
		...member('offload', from.get('offloadDev'), (offload) => offloadJson(offload, options)),
		...labelJson(from),
		lifetime: lifetimeJson(policy.lifetime),
		current: currentJson(policy.lifetimeCurrent),
		...member('templates', from.get('tmpl'), (templates) => templates.map(templateJson)),
		...unknownJson(attributes),
	};
}
