/**
 * Edits for policies that were written the wrong way round: source and destination of the selector exchanged, or `dir
 * in` for what this host sends. The policy as it was meant is added; the other one harms nobody.
 */
import type { XfrmPolicy } from '@xfrm/engine';
import type { Flow } from '@xfrm/wire';
import { Direction, Mode, PolicyAction, type PolicyConfig } from '@xfrm/wire/xfrm';
import {
	addPolicy,
	type Generator,
	isOwnAddress,
	type Situation,
	selectorTakes,
} from './fix-parts.ts';
import { type Edit, policyConfig } from './fix-trial.ts';
import { directionName, policyName } from './names.ts';
import { reversedSelector } from './reversed-selector.ts';

/** The flow and direction of the policy lookup that decided: for what leaves, that for output. */
function wanted(at: Situation): { flow: Flow; direction: number; ifId: number } | undefined {
	const { answer, digest } = at;
	const last = digest.lastPolicyLookup;
	if (answer.outcome === 'pass' && answer.direction !== 'in') {
		const { flow, ifId } = last ?? { flow: digest.plainFlow(), ifId: 0 };
		const { winner } = last ?? {};
		// A policy that lets it pass was meant to.
		const meant = last?.direction === Direction.Out && winner !== undefined;
		return meant || flow === undefined ? undefined : { flow, direction: Direction.Out, ifId };
	}
	const missing = answer.counter === 'XfrmInNoPols' || answer.code === 'host.link-failure';
	return missing && last !== undefined && last.winner === undefined ? last : undefined;
}

/** Does a policy protect what goes this way: are its tunnels' ends those of this host? */
function suits(at: Situation, { templates, config }: XfrmPolicy, direction: number): boolean {
	return templates.every((template) => {
		const family = template.family || config.selector.family;
		const near = direction === Direction.Out ? template.saddr : template.id.daddr;
		return template.mode === Mode.Transport || isOwnAddress(at, family, near);
	});
}

export const turnPolicy: Generator = (at) => {
	const asked = wanted(at);
	if (asked === undefined) {
		return [];
	}
	const { flow, direction, ifId } = asked;
	const edits: Edit[] = [];
	for (const policy of at.before.world.engine.policies()) {
		const usable =
			policy.socketId === 0 &&
			policy.action === PolicyAction.Allow &&
			policy.templates.some((template) => template.optional === 0) &&
			policy.ifId === ifId &&
			policy.markFits(flow.mark) &&
			suits(at, policy, direction);
		const meant = usable ? asMeant(policy, flow, direction) : undefined;
		if (meant !== undefined) {
			edits.push({ ...meant, commands: [addPolicy(at, meant.config)], want: 'protected' });
		}
	}
	return edits.slice(0, 2);
};

/** The policy as somebody may have meant it for the flow. */
function asMeant(
	policy: XfrmPolicy,
	flow: Flow,
	direction: number,
): { readonly text: string; readonly config: PolicyConfig } | undefined {
	const config = policyConfig(policy);
	const { selector } = config;
	const name = policyName(policy);
	if (policy.direction === direction) {
		const turned = reversedSelector(selector);
		return selectorTakes(turned, flow)
			? {
					text:
						`${name} has src and dst the wrong way round for dir ${directionName(direction)}: ` +
						'add it as it is meant',
					config: { ...config, selector: turned },
				}
			: undefined;
	}
	const opposite = (policy.direction === Direction.Out) !== (direction === Direction.Out);
	return opposite && selectorTakes(selector, flow)
		? {
				text:
					`${name} is for dir ${directionName(policy.direction)}, but by its addresses and its template ` +
					`it is meant for dir ${directionName(direction)}: add it so`,
				config: { ...config, direction },
			}
		: undefined;
}
