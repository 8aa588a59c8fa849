/**
 * What a policy has to satisfy before it is made, in the kernel's order (net/xfrm/xfrm_user.c:
 * verify_newpolicy_info, verify_sec_ctx_len, copy_from_user_policy_type, validate_tmpl; spec 2.3, P-12).
 * Sockets' policies and those inside of ACQUIRE go the same way.
 */
import {
	familyOf,
	type KernelProfile,
	SELECTOR_WORDS,
	SelectorWord,
	TEMPLATE_WORDS,
	TemplateWord,
} from '@xfrm/engine';
import {
	Direction,
	Family,
	IpProto,
	MAX_DEPTH,
	Mode,
	PolicyAction,
	PolicyType,
} from '@xfrm/wire/xfrm';
import type { PolicyInfo } from './policy-reader.ts';
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
export function verifyPolicyInfo(info: PolicyInfo): void {
	if (info.share > SHARE_MAX) {
		invalid('Invalid policy share');
	}
	if (info.action > PolicyAction.Block) {
		invalid('Invalid policy action');
	}
	const shape = info.words[SelectorWord.Shape] ?? 0;
	const prefixes = { prefixlenD: (shape >>> 8) & 0xff, prefixlenS: shape & 0xff };
	checkSelector(prefixes, familyOf(info.words), 'Invalid selector family');
	checkDirection(info.direction);
	if (info.index !== 0 && (info.index & INDEX_DIRECTION) !== info.direction) {
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

/** As many as the engine has room for. @throws XfrmError EINVAL */
export function verifyTemplateCount(count: number): void {
	if (count > MAX_DEPTH) {
		invalid(`Template count must be <= XFRM_MAX_DEPTH (${MAX_DEPTH})`);
	}
}

/**
 * Checks a policy's templates, in its words, one after the other and fills in the policy's family where they
 * say none; `filledIn` hears of each that was looked at.
 *
 * @throws XfrmError EINVAL
 * @spec P-12
 */
export function verifyTemplates(
	words: number[],
	direction: number,
	profile: KernelProfile,
	filledIn: (index: number, family: number) => void,
): void {
	const family = familyOf(words);
	const modeMax = profile.iptfs ? Mode.Iptfs : Mode.Beet;
	let previous = family;
	let index = 0;
	for (let at = SELECTOR_WORDS; at < words.length; at += TEMPLATE_WORDS) {
		const own = words[at + TemplateWord.Family] || family;
		words[at + TemplateWord.Family] = own;
		filledIn(index++, own);
		const kind = words[at + TemplateWord.Kind] ?? 0;
		const mode = (kind >>> 16) & 0xff;
		const optional = (kind & 0xff) !== 0;
		if (mayChangeFamily(mode, profile)) {
			checkOptional(mode, optional && direction === Direction.Out, profile);
		} else if (own !== previous) {
			invalid("Mode in template doesn't support a family change");
		}
		if (mode > modeMax) {
			invalid(`Mode in template must be < XFRM_MODE_MAX (${modeMax + 1})`);
		}
		previous = own;
		if (own !== Family.Ipv4 && own !== Family.Ipv6) {
			invalid('Invalid family in template');
		}
		if (!TEMPLATE_PROTOCOLS.has(kind >>> 24)) {
			invalid('Invalid XFRM protocol in template');
		}
	}
}

function mayChangeFamily(mode: number, profile: KernelProfile): boolean {
	return mode === Mode.Tunnel || mode === Mode.Beet || (mode === Mode.Iptfs && profile.iptfs);
}

/** Tunnels are never optional outward (IPTFS: by kernel). */
function checkOptional(mode: number, isOptionalOutward: boolean, profile: KernelProfile): void {
	if (isOptionalOutward && !(mode === Mode.Iptfs && profile.iptfsOptionalOutward)) {
		invalid('Mode in optional template not allowed in outbound policy');
	}
}
