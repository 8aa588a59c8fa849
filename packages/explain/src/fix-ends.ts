/**
 * Edits for tunnels whose ends were mistaken: addresses of the inner networks where those of the tunnel belong, in the
 * state or in the template; or a tunnel written without `mode tunnel`, in both.
 */
import type { TemplateTrace, XfrmPolicy, XfrmState } from '@xfrm/engine';
import {
	type Address,
	addressEquals,
	Family,
	formatAddress,
	isAnyAddress,
	Mode,
	type Template,
} from '@xfrm/wire/xfrm';
import { type Generator, network, remakeState, type Situation, updatePolicy } from './fix-parts.ts';
import type { Edit } from './fix-trial.ts';
import { policyName, stateName } from './names.ts';

/** States that are looked at. */
const CANDIDATES_MAX = 64;

export const mendEnds: Generator = (at) => {
	const { template: wanted, stateSelect } = at.digest;
	const unserved = stateSelect !== undefined && stateSelect.winner === undefined;
	if (wanted === undefined || !unserved || wanted.policy.socketId !== 0) {
		return [];
	}
	return stateSelect.losers
		.slice(0, CANDIDATES_MAX)
		.map(({ object }) => object)
		.filter((state) => isLike(state, wanted))
		.flatMap((state) => [...innerEnds(at, wanted, state), ...withoutMode(at, wanted, state)])
		.slice(0, 2);
};

/** Does it differ from what is wanted by nothing but its ends? */
function isLike(state: XfrmState, { template, policy, family }: TemplateTrace): boolean {
	return (
		state.family === family &&
		state.proto === template.id.proto &&
		state.mode === template.mode &&
		state.reqid >>> 0 === template.reqid >>> 0 &&
		state.ifId === policy.ifId &&
		state.markFits(policy.markValue)
	);
}

/** Ends inside of the networks that the policy is for. */
function areInner(policy: XfrmPolicy, from: Address, to: Address, family: number): boolean {
	const { selector } = policy.config;
	const isIn = (address: Address, prefix: Address, bits: number): boolean =>
		bits > 0 && addressEquals(network(address, bits), network(prefix, bits), family);
	return (
		selector.family === family &&
		isIn(from, selector.saddr, selector.prefixlenS) &&
		isIn(to, selector.daddr, selector.prefixlenD)
	);
}

function innerEnds(at: Situation, wanted: TemplateTrace, state: XfrmState): Edit[] {
	const { template, policy, family } = wanted;
	const { saddr, id } = state.config;
	if (template.mode !== Mode.Tunnel || isAnyAddress(template.id.daddr, family)) {
		return [];
	}
	const known = family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
	const text = (from: Address, to: Address): string =>
		`${formatAddress(from, known)} → ${formatAddress(to, known)}`;
	const ofState = areInner(policy, saddr, id.daddr, family);
	const ofTemplate = areInner(policy, template.saddr, template.id.daddr, family);
	if (ofState === ofTemplate) {
		return [];
	}
	return ofState
		? [
				{
					text:
						`${stateName(state)} is between inner addresses, ${text(saddr, id.daddr)}: a tunnel's states are ` +
						`between its outer ends, ${text(template.saddr, template.id.daddr)} (the peer's too)`,
					commands: remakeState(at, state, {
						saddr: template.saddr,
						id: { ...id, daddr: template.id.daddr },
					}),
					want: 'protected',
				},
			]
		: [
				{
					text:
						`the template of ${policyName(policy)} has inner addresses, ` +
						`${text(template.saddr, template.id.daddr)}: it has to have the tunnel's outer ends, ` +
						`${text(saddr, id.daddr)}, as ${stateName(state)} has them`,
					commands: [
						updateTemplate(at, wanted, { saddr, id: { ...template.id, daddr: id.daddr } }),
					],
					want: 'protected',
				},
			];
}

/** Transport mode is what `ip` takes where no mode is named; it looks at the packet's own ends. */
function withoutMode(at: Situation, wanted: TemplateTrace, state: XfrmState): Edit[] {
	const { template, policy, family, daddr } = wanted;
	const { saddr, id } = state.config;
	const named =
		addressEquals(template.saddr, saddr, family) &&
		addressEquals(template.id.daddr, id.daddr, family);
	if (template.mode !== Mode.Transport || !named || addressEquals(daddr, id.daddr, family)) {
		return [];
	}
	return [
		{
			text:
				`mode tunnel for ${policyName(policy)} and ${stateName(state)} (the peer's too): transport mode, which ` +
				'is taken where none is named, is for packets between the two ends themselves',
			commands: [
				updateTemplate(at, wanted, { mode: Mode.Tunnel }),
				...remakeState(at, state, { mode: Mode.Tunnel }),
			],
			want: 'protected',
		},
	];
}

function updateTemplate(
	at: Situation,
	{ policy, template }: TemplateTrace,
	changes: Partial<Template>,
): ReturnType<typeof updatePolicy> {
	const templates = policy.templates.map((one) =>
		one === template ? { ...one, ...changes } : one,
	);
	return updatePolicy(at, policy, { templates });
}
