/**
 * Edits for packets that leave in clear because the policy for everything is one for the other family: a policy is for
 * the family of its selector, and 0.0.0.0/0 takes no IPv6.
 */
import type { XfrmPolicy } from '@xfrm/engine';
import { anySelector, Direction, Family, PolicyAction } from '@xfrm/wire/xfrm';
import { addPolicy, endsOf, type Generator, type Situation } from './fix-parts.ts';
import { type Edit, policyConfig } from './fix-trial.ts';
import { policyName } from './names.ts';

/** Is it for neighbours, as discovery is? It leaves no link, and is not what a tunnel is for. */
function staysOnLink({ packet }: Situation): boolean {
	const { destination, family } = endsOf(packet);
	const [first = 0, second = 0] = destination;
	return family === Family.Ipv6
		? first === 0xff || (first === 0xfe && (second & 0xc0) === 0x80)
		: first >= 224;
}

export const addFamilyTwin: Generator = (at) => {
	const { answer, digest, before } = at;
	const leaves = answer.outcome === 'pass' && answer.direction !== 'in';
	const flow = digest.lastPolicyLookup?.flow ?? digest.plainFlow();
	if (!leaves || !/\.policy\.none$/.test(answer.code) || flow === undefined || staysOnLink(at)) {
		return [];
	}
	const isMeant = ({
		direction,
		config,
		socketId,
		ifId,
		action,
		templates,
	}: XfrmPolicy): boolean => {
		const { family, prefixlenS, prefixlenD, proto } = config.selector;
		return (
			direction === Direction.Out &&
			socketId === 0 &&
			ifId === 0 &&
			family !== flow.family &&
			prefixlenS + prefixlenD + proto === 0 &&
			(action === PolicyAction.Block || templates.length > 0)
		);
	};
	const found = [...before.world.engine.policies()].find(
		(policy) => isMeant(policy) && policy.markFits(flow.mark),
	);
	if (found === undefined) {
		return [];
	}
	const blocks = found.action === PolicyAction.Block;
	const all = flow.family === Family.Ipv6 ? '::/0' : '0.0.0.0/0';
	const discovery =
		flow.family === Family.Ipv6
			? ' (neighbour discovery, ipv6-icmp types 133 to 137, needs policies before it)'
			: '';
	const edit: Edit = {
		text:
			`${policyName(found)} is for the other family: add the same for ${all}, so that nothing leaves in clear ` +
			`beside it${discovery}`,
		commands: [addPolicy(at, { ...policyConfig(found), selector: anySelector(flow.family) })],
		want: blocks ? 'blocked' : 'protected',
	};
	return [edit];
};
