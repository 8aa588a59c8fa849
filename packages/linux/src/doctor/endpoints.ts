/** Ends of states and policies, seen from this machine. */
import { attributeValue, type NamedMessage } from '@xfrm/netlink';
import { formatAddress, isAnyAddress, type Template } from '@xfrm/wire/xfrm';
import type { LinkFacts, MachineFacts } from './facts.ts';

/** The interface that has an address of this text. */
export function linkOf(facts: MachineFacts, address: string): LinkFacts | undefined {
	return facts.links.find((link) => link.addresses.some((one) => one.address === address));
}

/** A state's ends: which is ours, if any. */
export interface StateEnds {
	readonly state: NamedMessage<'newsa'>;
	readonly source: string;
	readonly destination: string;
	/** The link that has our end; undefined when neither end is here. */
	readonly link: LinkFacts | undefined;
	readonly inbound: boolean;
	readonly peer: string;
}

/** States with both ends told. */
export function stateEnds(facts: MachineFacts): readonly StateEnds[] {
	return facts.states.flatMap((state) => {
		const { id, saddr, family } = state.body;
		if (isAnyAddress(saddr, family) || isAnyAddress(id.daddr, family)) {
			return [];
		}
		const source = formatAddress(saddr, family);
		const destination = formatAddress(id.daddr, family);
		const here = linkOf(facts, destination);
		const link = here ?? linkOf(facts, source);
		const inbound = here !== undefined;
		return [{ state, source, destination, link, inbound, peer: inbound ? source : destination }];
	});
}

/** A template of a policy, with the policy. */
export interface PolicyTemplate {
	readonly policy: NamedMessage<'newpolicy'>;
	readonly template: Template;
}

/** Templates of policies of one direction: 0 in, 1 out, 2 fwd. */
export function templatesOf(facts: MachineFacts, direction: number): readonly PolicyTemplate[] {
	return facts.policies
		.filter(({ body }) => body.direction === direction)
		.flatMap((policy) =>
			(attributeValue(policy.attributes, 'tmpl') ?? []).map((template) => ({ policy, template })),
		);
}

/** A state as people name it: `esp 0xc0000101`. */
export function stateText({ body }: NamedMessage<'newsa'>): string {
	const names: Readonly<Record<number, string>> = { 50: 'esp', 51: 'ah', 108: 'comp' };
	const { proto, spi } = body.id;
	return `${names[proto] ?? `proto ${proto}`} 0x${(spi >>> 0).toString(16).padStart(8, '0')}`;
}

/** A policy as people name it: `out 9 (10.1.0.0/16 → 10.2.0.0/16)`. */
export function policyText({ body }: NamedMessage<'newpolicy'>): string {
	const { selector, direction, index } = body;
	const { saddr, daddr, prefixlenS, prefixlenD, family } = selector;
	const direct = ['in', 'out', 'fwd'][direction] ?? `${direction}`;
	const source = `${formatAddress(saddr, family)}/${prefixlenS}`;
	return `${direct} ${index} (${source} → ${formatAddress(daddr, family)}/${prefixlenD})`;
}
