/**
 * Why was this policy, or this state, not taken? Asked by name, also of objects that were never near: the lookups
 * that the packet came to are gone through, and all that kept the object away is told, not only what decided
 * first.
 */
import type {
	Loser,
	PolicyLookupTrace,
	StateSelectTrace,
	XfrmPolicy,
	XfrmState,
} from '@xfrm/engine';
import type { WhyNot } from './answer.ts';
import type { Explainer } from './explainer.ts';
import { flowMismatches } from './flow-mismatch.ts';
import { InputError } from './input.ts';
import { directionName, flowText, modeName, stateName, stateProtoName } from './names.ts';
import { missText, policyInSentence } from './near-miss.ts';

/** The object that a person names: `out 9`, `policy fwd 2`, an index; or an SPI, `state 0x101`. */
export interface WhyNotQuestion {
	readonly asked: string;
	readonly direction?: string;
	readonly index?: number;
	readonly spi?: number;
}

/**
 * Reads `[policy] [DIR] INDEX`, `DIR:INDEX` or `[state] 0xSPI`.
 *
 * @throws InputError with what was found
 */
export function parseWhyNot(text: string): WhyNotQuestion {
	const spi = /^(?:state\s+)?(?:spi\s+)?(0x[0-9a-f]{1,8})$/i.exec(text.trim());
	if (spi !== null) {
		return { asked: text, spi: Number(spi[1]) };
	}
	const policy = /^(?:policy\s+)?(?:(in|out|fwd)[\s:]+)?(?:index\s+)?([0-9]{1,10})$/.exec(
		text.trim(),
	);
	if (policy !== null) {
		const [, direction, index] = policy;
		const which = direction === undefined ? {} : { direction };
		return { asked: text, index: Number(index), ...which };
	}
	throw new InputError({
		found: `"${text}"`,
		expected: 'a policy (out 9, fwd 2, or its index) or a state (0x00000101)',
	});
}

/** Answers for the packet that was asked about last. */
export function whyNot(explainer: Explainer, asked: WhyNotQuestion): WhyNot {
	return asked.spi === undefined
		? ofPolicy(explainer, asked)
		: ofState(explainer, asked, asked.spi);
}

function ofPolicy(explainer: Explainer, question: WhyNotQuestion): WhyNot {
	const { asked, index, direction } = question;
	const policy = [...explainer.world.engine.policies()].find(
		(one) =>
			one.socketId === 0 &&
			one.index === index &&
			(direction === undefined || directionName(one.direction) === direction),
	);
	if (policy === undefined) {
		return { asked, text: 'There is no such policy.', fields: [] };
	}
	const digest = explainer.question?.digest;
	const lookups = digest?.policyLookups ?? [];
	if (lookups.some(({ winner }) => winner === policy)) {
		return { asked, text: `It was taken: ${policyInSentence(policy)}.`, fields: [] };
	}
	const lookup = lookups.find(({ losers }) => losers.some(({ object }) => object === policy));
	if (lookup === undefined) {
		return notLookedFor(asked, policy, lookups);
	}
	const fields = flowMismatches(policy, lookup.flow, lookup.ifId, (ifindex) =>
		explainer.world.deviceName(ifindex),
	);
	const [first] = lookup.losers.filter(({ object }) => object === policy);
	const beaten = fields.length === 0 && lookup.winner !== undefined;
	return {
		asked,
		text: beaten
			? `${policyInSentence(policy)} matches too, but ${policyInSentence(lookup.winner)} comes first` +
				`${first === undefined ? '' : ` by ${missText(first)}`}.`
			: `${policyInSentence(policy)} does not match ${flowText(lookup.flow)}.`,
		fields: fields.length > 0 || first === undefined ? fields : [first].map(plain),
	};
}

function plain({
	field,
	want,
	have,
}: Loser<XfrmPolicy> | Loser<XfrmState>): WhyNot['fields'][number] {
	return { field, want, have };
}

/** The packet came to no lookup in which the policy could have been taken. */
function notLookedFor(
	asked: string,
	policy: XfrmPolicy,
	lookups: readonly PolicyLookupTrace[],
): WhyNot {
	const met = [...new Set(lookups.map((one) => directionName(one.direction)))];
	const direction = directionName(policy.direction);
	const came =
		met.length === 0
			? 'the packet came to no policy lookup at all'
			: `the packet came to lookups of direction ${met.join(' and ')} only`;
	const text = met.includes(direction)
		? `${policyInSentence(policy)} is in another table than the one that was asked, or another policy decided before.`
		: `${policyInSentence(policy)} was never asked: ${came}.`;
	const fields = met.includes(direction)
		? []
		: [{ field: 'dir', want: direction, have: met.join(', ') || 'none' }];
	return { asked, text, fields };
}

function ofState(explainer: Explainer, { asked }: WhyNotQuestion, spi: number): WhyNot {
	const digest = explainer.question?.digest;
	const state = [...explainer.world.engine.states()].find((one) => one.spi >>> 0 === spi);
	const used = digest?.applied.find((one) => one.spi >>> 0 === spi);
	if (used !== undefined) {
		const refused = digest?.refused === used;
		return {
			asked,
			text: `${stateName(used)} was taken${refused ? ', and refused the packet' : ''}.`,
			fields: [],
		};
	}
	if (digest?.refused !== undefined && digest.refused.spi >>> 0 === spi) {
		return {
			asked,
			text: `${stateName(digest.refused)} was found, and refused the packet.`,
			fields: [],
		};
	}
	if (state === undefined) {
		return { asked, text: 'There is no such state.', fields: [] };
	}
	const name = stateName(state);
	const select = digest?.stateSelect;
	const selectLoser = select?.losers.find(({ object }) => object === state);
	if (select !== undefined && (selectLoser !== undefined || select.winner !== undefined)) {
		return selected(asked, name, state, select, selectLoser);
	}
	const lookup = digest?.stateLookup;
	const lookupLoser = lookup?.losers.find(({ object }) => object === state);
	if (lookupLoser !== undefined) {
		const { field, want, have } = lookupLoser;
		return {
			asked,
			text: `${name} does not take the packet.`,
			fields: [{ field, want: have, have: want }],
		};
	}
	const failed = digest?.failedTemplates
		.flatMap(({ losers }) => losers)
		.find(({ object }) => object === state);
	if (failed !== undefined) {
		return { asked, text: `${name} does not satisfy the template.`, fields: [plain(failed)] };
	}
	const where = explainer.question?.answer.direction === 'in' ? 'SPI' : 'template';
	return {
		asked,
		text: `${name} was never asked: the packet came to no lookup by a ${where} that could find it.`,
		fields: [],
	};
}

/** A template chose among states. */
function selected(
	asked: string,
	name: string,
	state: XfrmState,
	select: StateSelectTrace,
	loser: Loser<XfrmState> | undefined,
): WhyNot {
	const { template, winner } = select;
	const wants = [
		['proto', stateProtoName(template.id.proto), stateProtoName(state.proto)],
		['mode', modeName(template.mode), modeName(state.mode)],
		['reqid', `${template.reqid >>> 0}`, `${state.reqid >>> 0}`],
	] as const;
	const fields = wants
		.filter(([, want, have]) => want !== have)
		.map(([field, want, have]) => ({ field, want, have }));
	const all =
		loser === undefined || fields.some(({ field }) => field === loser.field)
			? fields
			: [plain(loser), ...fields];
	const taken =
		winner === undefined ? 'none was taken' : `${stateName(winner)} was taken: the newest wins`;
	const text =
		all.length === 0
			? `${name} fits the template, but ${taken}.`
			: `${name} does not fit the template.`;
	return { asked, text, fields: all };
}
