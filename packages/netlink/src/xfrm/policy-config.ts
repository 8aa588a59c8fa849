/**
 * Policies as messages and as values: what a NEWPOLICY says ↔ `PolicyConfig`, and the payload and
 * attributes by which the kernel shows a policy (net/xfrm/xfrm_user.c: copy_to_user_policy).
 */
import type { PolicyConfig, PolicySnapshot } from '@xfrm/wire/xfrm';
import type { XfrmAttribute } from './attributes.ts';
import type { UserPolicyInfo } from './policy.ts';
import { AttributeCollector, type AttributeSource, optional } from './state-config.ts';

/** What a NEWPOLICY or UPDPOLICY says. */
export function policyConfigOf(body: UserPolicyInfo, from: AttributeSource): PolicyConfig {
	const context = from.get('secCtx');
	return {
		selector: body.selector,
		lifetime: body.lifetime,
		priority: body.priority,
		index: body.index,
		direction: body.direction,
		action: body.action,
		flags: body.flags,
		share: body.share,
		type: from.get('policyType')?.type ?? 0,
		templates: from.get('tmpl') ?? [],
		...optional('mark', from.get('mark')),
		...optional('ifId', from.get('ifId')),
		...optional(
			'securityContext',
			context && { alg: context.ctxAlg, doi: context.ctxDoi, context: context.context },
		),
		...optional('offload', from.get('offloadDev')),
	};
}

/** The `xfrm_userpolicy_info` of a policy; `share` always shows as 0. */
export function policyBody(policy: PolicySnapshot): UserPolicyInfo {
	return {
		selector: policy.selector,
		lifetime: policy.lifetime,
		lifetimeCurrent: policy.lifetimeCurrent,
		priority: policy.priority,
		index: policy.index,
		direction: policy.direction,
		action: policy.action,
		flags: policy.flags,
		share: 0,
	};
}

/**
 * The attributes by which dumps and events show a policy, in the kernel's order.
 *
 * @spec section 2.3 NEWPOLICY
 */
export function policyAttributes(policy: PolicySnapshot): readonly XfrmAttribute[] {
	return new AttributeCollector()
		.add('tmpl', policy.templates.length === 0 ? undefined : policy.templates)
		.add('policyType', { type: policy.type })
		.addMark(policy.mark)
		.addNonZero('ifId', policy.ifId)
		.add('offloadDev', policy.offload).list;
}
