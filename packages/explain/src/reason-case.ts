/** What a reason is made of, and phrases that several reasons share. */
import type { XfrmState } from '@xfrm/engine';
import type { Outcome } from './answer.ts';
import type { Digest } from './digest.ts';
import { templateText } from './names.ts';
import {
	missInSentence,
	missText,
	nearPolicies,
	nearSelections,
	otherDirections,
} from './near-miss.ts';
import type { Setting } from './story.ts';

export interface Reason {
	readonly code: string;
	readonly reason: string;
}

/** What a reason is made of. */
export interface Case {
	readonly digest: Digest;
	readonly outcome: Outcome;
	readonly direction: 'in' | 'out' | 'fwd';
	readonly counter: string | undefined;
	readonly error: number;
	/** Its key is hidden, and the key decides. */
	readonly hiddenKey: XfrmState | undefined;
	readonly setting: Setting;
	readonly mark: number;
	readonly larvalSeconds: number;
}

export function sentence(...parts: readonly (string | undefined)[]): string {
	return parts.filter((part) => part !== undefined && part !== '').join(' ');
}

/** The nearest policy that did not match, as a sentence. */
export function nearestPolicy(asked: Case): string | undefined {
	const lookup = asked.digest.lastPolicyLookup;
	if (lookup === undefined) {
		return undefined;
	}
	const [other] = otherDirections(lookup, asked.setting.policies());
	const [near] = nearPolicies(lookup);
	const parts: string[] = [];
	if (other !== undefined) {
		parts.push(
			`${upperFirst(missInSentence(other))} would match, but it is for ${other.want}: ` +
				`here a policy with ${other.have} is needed.`,
		);
	}
	if (near !== undefined) {
		parts.push(
			`The nearest is ${missInSentence(near)}, which does not match by ${missText(near)}.`,
		);
	}
	return parts.join(' ');
}

export function upperFirst(text: string): string {
	return text.charAt(0).toUpperCase() + text.slice(1);
}

export function listText(parts: readonly string[]): string {
	if (parts.length <= 1) {
		return parts[0] ?? 'nothing';
	}
	return `${parts.slice(0, -1).join(', ')} and ${parts[parts.length - 1]}`;
}

export function wantedTemplate(asked: Case): string {
	const { template, stateSelect } = asked.digest;
	if (template !== undefined) {
		return `(${templateText(template.template, template.family, template.saddr, template.daddr)})`;
	}
	return stateSelect === undefined ? '' : `(${templateText(stateSelect.template, 2)})`;
}

/** The nearest state that was not taken, as a sentence. */
export function nearestState(asked: Case): string | undefined {
	const { stateSelect, template } = asked.digest;
	const [near] =
		stateSelect === undefined
			? []
			: nearSelections(stateSelect, template?.daddr ?? stateSelect.template.id.daddr);
	if (near === undefined) {
		return undefined;
	}
	return `The nearest, ${missInSentence(near)}, does not fit by ${missText(near)}.`;
}
