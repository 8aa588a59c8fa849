/** Requests about policies: NEWPOLICY, UPDPOLICY, DELPOLICY, GETPOLICY, FLUSHPOLICY, POLEXPIRE, ACQUIRE (spec 2.3). */
import type { PolicyQuery } from '@xfrm/engine';
import {
	attribute,
	type MessageBodies,
	optional,
	policyAttributes,
	policyBody,
	policyConfigOf,
	type UserPolicyId,
	type UserPolicyInfo,
	userTemplate,
} from '@xfrm/netlink';
import {
	anySelector,
	Errno,
	Group,
	type PolicyConfig,
	type PolicySnapshot,
	UNUSED,
} from '@xfrm/wire/xfrm';
import { buildMessage, notifyHeader, type RequestContext, replyHeader } from './context.ts';
import { eventNotification, policyExpireMessage, policyMessage } from './notify.ts';
import {
	checkDirection,
	policyTypeOf,
	verifyPolicyBody,
	verifyTemplates,
} from './policy-verify.ts';
import { policyAnswer } from './policy-writer.ts';
import { exactMark, refuseWrongProcessor } from './state-requests.ts';
import { checkSecurityContext } from './state-verify.ts';
import { refused, XfrmError } from './xfrm-error.ts';

/** In `xfrm_user_tmpl`. */
const TEMPLATE_FAMILY_AT = 24;

/** Checks a request's policy and makes its configuration; see configOf of states for what is not kept. */
function configOf(context: RequestContext, body: UserPolicyInfo): PolicyConfig {
	const { attributes, engine } = context;
	verifyPolicyBody(body);
	checkSecurityContext(attributes);
	const type = policyTypeOf(attributes);
	const { offload, securityContext, ...config } = policyConfigOf(body, attributes);
	const templates = verifyTemplates(
		config.templates,
		body.selector.family,
		body.direction,
		engine.net.profile,
		(i, family) =>
			attributes.overwrite('tmpl', i * userTemplate.octets + TEMPLATE_FAMILY_AT, [
				family & 255,
				family >> 8,
			]),
	);
	return { ...config, type, templates };
}

/** NEWPOLICY and UPDPOLICY. @spec P-5 P-7 */
function putPolicy(
	context: RequestContext,
	name: 'newpolicy' | 'updpolicy',
	body: UserPolicyInfo,
): void {
	const { engine, nowUs } = context;
	const config = configOf(context, body);
	const answer =
		name === 'newpolicy' ? engine.addPolicy(config, nowUs) : engine.updatePolicy(config, nowUs);
	if (answer.refusal !== undefined) {
		refused(answer.refusal);
	}
	context.notify({
		group: Group.Policy,
		message: () => policyMessage(name, notifyHeader(context), engine.snapshotPolicy(answer.value)),
	});
}

export function newPolicy(context: RequestContext, body: MessageBodies['newpolicy']): void {
	putPolicy(context, 'newpolicy', body);
}

export function updatePolicy(context: RequestContext, body: MessageBodies['updpolicy']): void {
	putPolicy(context, 'updpolicy', body);
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
	const config = configOf(context, body.policy);
	const { aalgos, ealgos, calgos } = body;
	const templates = [...config.templates];
	for (const [i, given] of config.templates.entries()) {
		const template = { ...given, aalgos, ealgos, calgos };
		templates[i] = template;
		const policy: PolicySnapshot = {
			...config,
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
