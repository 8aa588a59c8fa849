/** A lookup for people: the outcome, then each policy and state it found, as `ip xfrm` prints them. */
import { verdictName } from '@xfrm/engine';
import type { Found } from './lookup.ts';
import { policyName, policyText, stateName, stateText } from './names.ts';

const COLOURS = { red: 31, green: 32, yellow: 33 } as const;

/** Lines without newlines. */
export function lookupText(
	found: Found,
	options: {
		readonly colours: boolean;
		readonly deviceName?: (ifindex: number) => string | undefined;
	},
): readonly string[] {
	const { outcome, verdict, policies, states } = found;
	const good = outcome === 'pass' || outcome === 'transform';
	const colour = good ? COLOURS.green : outcome === 'consume' ? COLOURS.yellow : COLOURS.red;
	const head = [outcome.toUpperCase(), verdictName(verdict) ?? ''].filter((part) => part !== '');
	const line = head.join('  ');
	return [
		options.colours ? `\u001b[${colour}m${line}\u001b[0m` : line,
		...(policies.length === 0 ? ['  no policy matches: the default decides'] : []),
		...policies.map(
			(policy) => `  ${policyName(policy)}  ${policyText(policy, options.deviceName)}`,
		),
		...states.map((state) => `  ${stateName(state)}  ${stateText(state)}`),
	];
}
