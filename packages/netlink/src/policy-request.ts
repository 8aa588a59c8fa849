/** Policies in requests and answers of a client: a `PolicyConfig` ↔ what a NEWPOLICY or UPDPOLICY says. */
import {
	type PolicyConfig,
	type PolicySnapshot,
	type Template,
	UNLIMITED,
	UNUSED,
} from '@xfrm/wire/xfrm';
import { secCtxOf } from './state-request.ts';
import { attributeValue, type XfrmAttribute } from './xfrm/attributes.ts';
import type { UserPolicyInfo } from './xfrm/policy.ts';
import { policyConfigOf } from './xfrm/policy-config.ts';
import { AttributeCollector } from './xfrm/state-config.ts';

/** Every algorithm will do: what `ip` sends in a template that says nothing of them. */
const ALL_ALGORITHMS = 0xffff_ffff;

/** A template to be sent: what is left out is what `ip` sends. */
export type TemplateInput = Pick<Template, 'id' | 'saddr' | 'family'> & Partial<Template>;

/** A policy to be made: what is left out is what `ip xfrm policy add` would send. */
export type PolicyInput = Pick<PolicyConfig, 'selector' | 'direction'> &
	Partial<Omit<PolicyConfig, 'templates'>> & { readonly templates?: readonly TemplateInput[] };

/** The whole configuration of what was given. */
export function completePolicy(input: PolicyInput): PolicyConfig {
	return {
		lifetime: UNLIMITED,
		priority: 0,
		index: 0,
		action: 0,
		flags: 0,
		share: 0,
		type: 0,
		...input,
		templates: (input.templates ?? []).map(completeTemplate),
	};
}

function completeTemplate(input: TemplateInput): Template {
	return {
		reqid: 0,
		mode: 0,
		share: 0,
		optional: 0,
		aalgos: ALL_ALGORITHMS,
		ealgos: ALL_ALGORITHMS,
		calgos: ALL_ALGORITHMS,
		...input,
	};
}

/** The payload of a NEWPOLICY or UPDPOLICY. */
export function policyRequestBody(config: PolicyConfig): UserPolicyInfo {
	const { selector, lifetime, priority, index, direction, action, flags, share } = config;
	const lifetimeCurrent = UNUSED;
	return { selector, lifetime, lifetimeCurrent, priority, index, direction, action, flags, share };
}

/** The attributes of a NEWPOLICY or UPDPOLICY, by number. */
export function policyRequestAttributes(config: PolicyConfig): readonly XfrmAttribute[] {
	return new AttributeCollector()
		.add('tmpl', config.templates.length === 0 ? undefined : config.templates)
		.add('secCtx', secCtxOf(config.securityContext))
		.add('policyType', config.type === 0 ? undefined : { type: config.type })
		.add('mark', config.mark)
		.add('offloadDev', config.offload)
		.add('ifId', config.ifId).list;
}

/** Reads the policy that a NEWPOLICY, UPDPOLICY, POLEXPIRE or an attribute XFRMA_POLICY tells of. */
export function kernelPolicyOf(
	body: UserPolicyInfo,
	attributes: readonly XfrmAttribute[],
): PolicySnapshot {
	const config = policyConfigOf(body, { get: (name) => attributeValue(attributes, name) });
	return { ...config, lifetimeCurrent: body.lifetimeCurrent };
}
