/**
 * What a policy has to satisfy before it is made, in the kernel's order (net/xfrm/xfrm_user.c:
 * verify_newpolicy_info, verify_sec_ctx_len, copy_from_user_policy_type, validate_tmpl; spec 2.3, P-12).
 * Sockets' policies and those inside of ACQUIRE go the same way.
 */
import type { KernelProfile } from '@xfrm/engine';
import type { UserPolicyInfo } from '@xfrm/netlink';
import {
	Direction,
	Family,
	IpProto,
	MAX_DEPTH,
	Mode,
	PolicyAction,
	PolicyType,
	type Template,
} from '@xfrm/wire/xfrm';
import type { RequestAttributes } from './request.ts';
import { checkSelector } from './state-verify.ts';
import { invalid } from './xfrm-error.ts';

const SHARE_MAX = 3;
/** The low bits of an index are its direction (P-8). */
const INDEX_DIRECTION = 7;

const TEMPLATE_PROTOCOLS: ReadonlySet<number> = new Set([
	IpProto.Esp,
	IpProto.Ah,
	IpProto.Comp,
	IpProto.Routing,
	IpProto.DestinationOptions,
]);

/** in, out or fwd. */
export function checkDirection(direction: number): void {
	if (direction > Direction.Fwd) {
		invalid('Invalid policy direction');
	}
}

/** Everything but templates and type. @throws XfrmError */
export function verifyPolicyBody(body: UserPolicyInfo): void {
	if (body.share > SHARE_MAX) {
		invalid('Invalid policy share');
	}
	if (body.action > PolicyAction.Block) {
		invalid('Invalid policy action');
	}
	checkSelector(body.selector, body.selector.family, 'Invalid selector family');
	checkDirection(body.direction);
	if (body.index !== 0 && (body.index & INDEX_DIRECTION) !== body.direction) {
		invalid("Policy index doesn't match direction");
	}
}

/** The request's policy type, main when it does not say. @throws XfrmError */
export function policyTypeOf(attributes: RequestAttributes): number {
	const type = attributes.get('policyType')?.type ?? PolicyType.Main;
	if (type > PolicyType.Sub) {
		invalid('Invalid policy type');
	}
	return type;
}

/**
 * Checks templates one after the other and fills in the policy's family where they say none; `filledIn`
 * hears of each that was looked at.
 *
 * @throws XfrmError EINVAL
 * @spec P-12
 */
export function verifyTemplates(
	templates: readonly Template[],
	family: number,
	direction: number,
	profile: KernelProfile,
	filledIn: (index: number, family: number) => void = () => {},
): readonly Template[] {
	if (templates.length > MAX_DEPTH) {
		invalid(`Template count must be <= XFRM_MAX_DEPTH (${MAX_DEPTH})`);
	}
	const modeMax = profile.iptfs ? Mode.Iptfs : Mode.Beet;
	let previous = family;
	return templates.map((given, i) => {
		const template = given.family === 0 ? { ...given, family } : given;
		filledIn(i, template.family);
		checkTemplateMode(template, previous, direction, profile);
		if (template.mode > modeMax) {
			invalid(`Mode in template must be < XFRM_MODE_MAX (${modeMax + 1})`);
		}
		previous = template.family;
		if (template.family !== Family.Ipv4 && template.family !== Family.Ipv6) {
			invalid('Invalid family in template');
		}
		if (!TEMPLATE_PROTOCOLS.has(template.id.proto)) {
			invalid('Invalid XFRM protocol in template');
		}
		return template;
	});
}

/** Only tunnels may change the family, and they are never optional outward (IPTFS: by kernel). */
function checkTemplateMode(
	template: Template,
	previous: number,
	direction: number,
	profile: KernelProfile,
): void {
	const isIptfs = template.mode === Mode.Iptfs && profile.iptfs;
	if (template.mode === Mode.Tunnel || template.mode === Mode.Beet || isIptfs) {
		const mayBeOptional = isIptfs && profile.iptfsOptionalOutward;
		if (template.optional !== 0 && direction === Direction.Out && !mayBeOptional) {
			invalid('Mode in optional template not allowed in outbound policy');
		}
		return;
	}
	if (template.family !== previous) {
		invalid("Mode in template doesn't support a family change");
	}
}
