/** Requests about policies: NEWPOLICY, UPDPOLICY, DELPOLICY, GETPOLICY, FLUSHPOLICY, POLEXPIRE, ACQUIRE (spec 2.3). */
import { type PackedPolicy, type PolicyQuery, unpackSelector, unpackTemplates } from '@xfrm/engine';
import {
	attribute,
	MESSAGE_HEADER_OCTETS,
	type MessageBodies,
	optional,
	policyAttributes,
	policyBody,
	type UserPolicyId,
	userTemplate,
} from '@xfrm/netlink';
import { anySelector, Errno, Group, MAX_DEPTH, type PolicySnapshot, UNUSED } from '@xfrm/wire/xfrm';
import { buildMessage, notifyHeader, type RequestContext, replyHeader } from './context.ts';
import { eventNotification, policyExpireMessage, policyMessage } from './notify.ts';
import { packedPolicy, readPolicyInfo, readTemplates, templateCountOf } from './policy-reader.ts';
import {
	checkDirection,
	policyTypeOf,
	verifyPolicyInfo,
	verifyTemplateCount,
	verifyTemplates,
} from './policy-verify.ts';
import { policyAnswer } from './policy-writer.ts';
import { exactMark, refuseWrongProcessor } from './state-requests.ts';
import { checkSecurityContext } from './state-verify.ts';
import { refused, XfrmError } from './xfrm-error.ts';

/** In `xfrm_user_tmpl`. */
const TEMPLATE_FAMILY_AT = 24;

/** Of the policy in ACQUIRE's payload. */
const ACQUIRE_POLICY_AT = 96;

/**
 * Reads and checks the policy at this place of a request's payload; see configOf of states for what is not
 * kept.
 */
function policyAt(context: RequestContext, offset: number): PackedPolicy {
	const { attributes, engine, request } = context;
	const at = request.at + MESSAGE_HEADER_OCTETS + offset;
	const count = templateCountOf(attributes);
	const info = readPolicyInfo(request.view, at, Math.min(count, MAX_DEPTH));
	verifyPolicyInfo(info);
	checkSecurityContext(attributes);
	const type = policyTypeOf(attributes);
	verifyTemplateCount(count);
	readTemplates(attributes, info.words);
	verifyTemplates(info.words, info.direction, engine.net.profile, (i, family) =>
		attributes.overwrite('tmpl', i * userTemplate.octets + TEMPLATE_FAMILY_AT, [
			family & 255,
			family >> 8,
		]),
	);
	return packedPolicy(info, type, at, attributes);
}

/** Adds or replaces a policy. @spec P-5 P-7 */
function putPolicy(context: RequestContext, name: 'newpolicy' | 'updpolicy'): void {
	const { engine, nowUs } = context;
	const policy = policyAt(context, 0);
	const answer =
		name === 'newpolicy' ? engine.addPolicy(policy, nowUs) : engine.updatePolicy(policy, nowUs);
	if (answer.refusal !== undefined) {
		refused(answer.refusal);
	}
	context.notify({
		group: Group.Policy,
		message: () => policyMessage(name, notifyHeader(context), engine.snapshotPolicy(answer.value)),
	});
}

/** NEWPOLICY: reads its payload itself. */
export function newPolicy(context: RequestContext): void {
	putPolicy(context, 'newpolicy');
}

/** UPDPOLICY, likewise. */
export function updatePolicy(context: RequestContext): void {
	putPolicy(context, 'updpolicy');
}

/** How a request names a policy: by index, or by everything that is its identity (P-5). */
function queryOf(context: RequestContext, id: UserPolicyId): PolicyQuery {
	const type = policyTypeOf(context.attributes);
	checkDirection(id.direction);
	if (id.index === 0) {
		checkSecurityContext(context.attributes);
	}
	return {
		direction: id.direction,
		type,
		ifId: context.attributes.get('ifId') ?? 0,
		mark: exactMark(context),
		index: id.index,
		selector: id.selector,
	};
}

export function getPolicy(context: RequestContext, body: MessageBodies['getpolicy']): void {
	const { engine } = context;
	const policy = engine.findPolicy(queryOf(context, body));
	if (policy === undefined) {
		throw new XfrmError(Errno.ENOENT);
	}
	context.reply(policyAnswer(policy, { flags: 0, ...replyHeader(context) }));
}

/** By index the notification names the index alone, else the selector alone. */
export function deletePolicy(context: RequestContext, body: MessageBodies['delpolicy']): void {
	const { engine, nowUs } = context;
	const answer = engine.deletePolicy(queryOf(context, body), nowUs);
	if (answer.refusal !== undefined) {
		refused(answer.refusal);
	}
	const policy = answer.value;
	const byIndex = body.index !== 0;
	const id: UserPolicyId = {
		selector: byIndex ? anySelector(0) : policy.selector,
		index: byIndex ? policy.index : 0,
		direction: policy.direction,
	};
	context.notify({
		group: Group.Policy,
		message: () =>
			buildMessage('delpolicy', notifyHeader(context), id, [
				attribute('policy', policyBody(policy)),
				...policyAttributes(policy),
			]),
	});
}

/** One notification for all, none when nothing went (N-17). */
export function flushPolicies(context: RequestContext): void {
	const type = policyTypeOf(context.attributes);
	if (context.engine.flushPolicies(type, context.nowUs) > 0) {
		context.notify({
			group: Group.Policy,
			message: () =>
				buildMessage('flushpolicy', notifyHeader(context), {}, [attribute('policyType', { type })]),
		});
	}
}

/** @spec section 2.3 POLEXPIRE */
export function expirePolicy(context: RequestContext, body: MessageBodies['polexpire']): void {
	const { engine, nowUs } = context;
	const hard = body.hard !== 0;
	const answer = engine.expirePolicy(queryOf(context, body.policy), hard, nowUs);
	if (answer.refusal !== undefined) {
		refused(answer.refusal);
	}
	const event = { kind: 'policy-expire', policy: answer.value, hard } as const;
	context.notify({
		group: Group.Expire,
		message: () => policyExpireMessage(event, context.request.pid),
	});
}

/**
 * ACQUIRE sent by a user: the policy inside is checked as a new one, then key managers hear one ACQUIRE
 * a template. No state is made. Each one shows its own template, and those before it, with the masks
 * of the request.
 *
 * @spec section 2.3 ACQUIRE
 */
export function acquire(context: RequestContext, body: MessageBodies['acquire']): void {
	const { engine, attributes } = context;
	refuseWrongProcessor(context);
	const { words, ...config } = policyAt(context, ACQUIRE_POLICY_AT);
	const { aalgos, ealgos, calgos } = body;
	const selector = unpackSelector(words);
	const templates = [...unpackTemplates(words)];
	for (const [i, given] of templates.entries()) {
		const template = { ...given, aalgos, ealgos, calgos };
		templates[i] = template;
		const policy: PolicySnapshot = {
			...config,
			selector,
			templates: [...templates],
			lifetimeCurrent: UNUSED,
		};
		context.notify(
			eventNotification({
				kind: 'acquire',
				id: template.id,
				saddr: body.saddr,
				selector: body.selector,
				policy,
				template,
				seq: engine.nextAcquireSeq(),
				...optional('pcpu', attributes.get('saPcpu')),
			}),
		);
	}
}
