/**
 * A catch-all blocks what no tunnel is there for: the policy and state of one more peer are missing, such as the
 * tunnels to other networks have. Who that peer is no rule tells: an address stands in for it.
 */
import type { XfrmPolicy } from '@xfrm/engine';
import type { Flow } from '@xfrm/wire';
import {
	addressFrom,
	Family,
	formatAddress,
	PolicyAction,
	type PolicyConfig,
} from '@xfrm/wire/xfrm';
import { policyCommand, stateCommand } from './fix-command.ts';
import { freshSpi, stateForTemplate } from './fix-outbound.ts';
import {
	addPolicy,
	addState,
	type Generator,
	network,
	type Situation,
	wordsAddress,
} from './fix-parts.ts';
import { policyConfig } from './fix-trial.ts';
import { flowMismatches } from './flow-mismatch.ts';
import { markText, policyName } from './names.ts';

/** What stands where somebody has to fill in an address, and a key. */
const NEW_PEER = 'PEER';
const NEW_KEY = 'KEY';
/** Stands in for the peer in a trial: addresses for documentation. */
const STAND_IN: Readonly<Record<number, readonly number[]>> = {
	[Family.Ipv4]: [203, 0, 113, 254],
	[Family.Ipv6]: [0x20, 1, 0xd, 0xb8, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfe],
};

export const addPeer: Generator = (at) => {
	const lookup = at.digest.lastPolicyLookup;
	const winner = lookup?.winner;
	if (lookup === undefined || winner === undefined || at.answer.counter !== 'XfrmOutPolBlock') {
		return [];
	}
	const model = lookup.losers.find(
		({ object }) => object.socketId === 0 && isModel(object, lookup.flow, lookup.ifId),
	)?.object;
	return model === undefined ? [] : [peerEdit(at, model, lookup.flow)];
};

/** A tunnel for another destination, of another mark at most. */
function isModel(policy: XfrmPolicy, flow: Flow, ifId: number): boolean {
	const fields = flowMismatches(policy, flow, ifId, () => undefined).map(({ field }) => field);
	const [template, ...more] = policy.templates;
	return (
		policy.action === PolicyAction.Allow &&
		template?.mode === 1 &&
		more.length === 0 &&
		fields.includes('dst') &&
		fields.every((field) => field === 'dst' || field === 'mark')
	);
}

function peerEdit(at: Situation, model: XfrmPolicy, flow: Flow): ReturnType<Generator>[number] {
	const config = policyConfig(model);
	const { selector, mark } = config;
	const templates = config.templates.map((template) => {
		const octets = STAND_IN[template.family || model.family] ?? [];
		const daddr = addressFrom(Uint8Array.from(octets), 0, octets.length);
		return { ...template, id: { ...template.id, daddr, spi: 0 } };
	});
	const next: PolicyConfig = {
		...config,
		templates,
		selector: { ...selector, daddr: network(wordsAddress(flow.daddr), selector.prefixlenD) },
		...(mark === undefined ? {} : { mark: { v: (flow.mark & mark.m) >>> 0, m: mark.m } }),
	};
	const [template] = templates;
	if (template === undefined) {
		throw new RangeError('a model has a template');
	}
	const family = template.family === Family.Ipv6 ? Family.Ipv6 : Family.Ipv4;
	const wanted = { template, family, saddr: template.saddr, daddr: template.id.daddr };
	const state = stateForTemplate(at, wanted, model, freshSpi(at));
	const marked = next.mark === undefined ? state : { ...state, mark: next.mark };
	const standIn = formatAddress(template.id.daddr, family);
	const hide = (text: string): string => text.replaceAll(standIn, NEW_PEER);
	const name = (ifindex: number): string | undefined => at.explainer.world.deviceName(ifindex);
	const to = `${formatAddress(next.selector.daddr, family)}/${selector.prefixlenD}`;
	const withMark =
		next.mark === undefined ? '' : ` with mark ${markText(next.mark.v, next.mark.m)}`;
	return {
		text:
			`the tunnel for ${to}${withMark} is not installed yet: wait for it, or repair its installation; its policy and` +
			` state are as those of ${policyName(model)}, ${NEW_PEER} is its other end (tried with one that is made up)`,
		commands: [
			{ ...addPolicy(at, next), shown: hide(policyCommand('add', next, name)) },
			{
				...addState(at, marked, { word: NEW_KEY }),
				shown: hide(stateCommand('add', marked, () => NEW_KEY, name)),
			},
		],
		want: 'protected',
	};
}
