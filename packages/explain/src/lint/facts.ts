/** What lint works on: the rules of a world, sorted by what is asked of them again and again. */
import { type Spd, StateCondition, type XfrmPolicy, type XfrmState } from '@xfrm/engine';
import {
	type Address,
	addressEquals,
	addressOctets,
	Direction,
	Family,
	IpProto,
	isAnyAddress,
	Mode,
	prefixMatches,
	SaDirection,
	type Selector,
	type Template,
} from '@xfrm/wire/xfrm';
import { includes, type LocalAddress } from '../direction.ts';
import type { World } from '../world.ts';
import type { RulePlaces } from './rule-places.ts';

export interface LintOptions {
	/** Were the host's addresses told? Otherwise they are implied by the rules. */
	readonly hostKnown: boolean;
	/** Rules of nft or iptables-save, as text. */
	readonly nat: string | undefined;
	/** Where objects were made. */
	readonly places: RulePlaces | undefined;
}

/** A template in its policy. */
export interface Demand {
	readonly policy: XfrmPolicy;
	readonly template: Template;
	readonly position: number;
	/** Behind a tunnel, or a tunnel: the state's ends are the template's, not the flow's. */
	readonly ownAddresses: boolean;
}

export class LintFacts {
	readonly world: World;
	readonly options: LintOptions;
	readonly policies: readonly XfrmPolicy[];
	/** Ready for packets, newest first; no helpers of IPComp. */
	readonly states: readonly XfrmState[];
	readonly larval: readonly XfrmState[];
	readonly local: readonly LocalAddress[];
	readonly demands: readonly Demand[];
	/** States that serve some template. */
	readonly used: ReadonlySet<XfrmState>;
	readonly #byReqid: ReadonlyMap<number, readonly XfrmState[]>;
	readonly #byEnds: ReadonlyMap<string, readonly XfrmState[]>;

	constructor(world: World, options: LintOptions) {
		this.world = world;
		this.options = options;
		this.policies = [...world.engine.policies()].filter((policy) => policy.socketId === 0);
		const all = [...world.engine.states()].filter((state) => !state.kernelOwned);
		this.states = all.filter((state) => state.condition !== StateCondition.Acq);
		this.larval = all.filter((state) => state.condition === StateCondition.Acq);
		// Routers have their tunnels end at addresses of lo.
		this.local = [...world.host.devices()].flatMap(({ addresses }) => addresses);
		this.demands = this.policies.flatMap(demandsOf);
		this.#byReqid = grouped(this.states, ({ reqid }) => reqid);
		this.#byEnds = grouped(this.states, ({ family, config }) =>
			endsKey(family, config.saddr, config.id.daddr),
		);
		this.used = new Set(this.demands.flatMap((demand) => this.serving(demand)));
	}

	get spd(): Spd {
		return this.world.engine.net.spd;
	}

	isLocal(family: number, address: Address): boolean {
		return includes(this.local, family, address);
	}

	/** Does a state open what arrives here? */
	isInward(state: XfrmState): boolean {
		if (state.direction !== 0) {
			return state.direction === SaDirection.In;
		}
		const here = this.isLocal(state.family, state.config.id.daddr);
		return here && !(this.isLocal(state.family, state.config.saddr) && !here);
	}

	/** Is it certain that it sends from here? */
	isOutward(state: XfrmState): boolean {
		return !this.isInward(state);
	}

	/** The states that serve a demand, whichever way they are for; newest first. */
	serving(demand: Demand): readonly XfrmState[] {
		const { policy, template } = demand;
		// Only an inbound template takes any reqid: there may be ten thousand of both.
		const isAny = policy.direction !== Direction.Out && template.reqid === 0;
		const states = isAny ? this.states : (this.#byReqid.get(template.reqid | 0) ?? []);
		return states.filter((state) => misses(demand, state).length === 0);
	}

	/** The states of the opposite direction between the same ends, newest first. */
	opposites({ family, proto, mode, config }: XfrmState): readonly XfrmState[] {
		const between = this.#byEnds.get(endsKey(family, config.id.daddr, config.saddr)) ?? [];
		return between.filter((other) => other.proto === proto && other.mode === mode);
	}
}

/** Members by something of theirs, in order. */
function grouped<K>(
	states: readonly XfrmState[],
	keyOf: (state: XfrmState) => K,
): ReadonlyMap<K, readonly XfrmState[]> {
	const groups = new Map<K, XfrmState[]>();
	for (const state of states) {
		const key = keyOf(state);
		const group = groups.get(key);
		if (group === undefined) {
			groups.set(key, [state]);
		} else {
			group.push(state);
		}
	}
	return groups;
}

function endsKey(family: number, source: Address, destination: Address): string {
	const octets = addressOctets(family);
	return `${source.subarray(0, octets).join('.')} ${destination.subarray(0, octets).join('.')}`;
}

function demandsOf(policy: XfrmPolicy): Demand[] {
	let ownAddresses = false;
	return policy.templates.map((template, position) => {
		ownAddresses ||= hasOwnAddresses(template.mode);
		return { policy, template, position, ownAddresses };
	});
}

export function hasOwnAddresses(mode: number): boolean {
	return mode === Mode.Tunnel || mode === Mode.Beet || mode === Mode.Iptfs;
}

/** The fields, named as by `ip xfrm`, by which a state does not serve a demand (S-21, I-18). */
export function misses(demand: Demand, state: XfrmState): string[] {
	return demand.policy.direction === Direction.Out
		? outwardMisses(demand, state)
		: inwardMisses(demand, state);
}

function outwardMisses({ policy, template, ownAddresses }: Demand, state: XfrmState): string[] {
	const family = template.family || policy.family;
	const fields: string[] = [];
	const ask = (field: string, holds: boolean): void => {
		if (!holds && !fields.includes(field)) {
			fields.push(field);
		}
	};
	ask('family', state.family === family);
	ask('proto', state.proto === template.id.proto);
	ask('spi', template.id.spi === 0 || state.spi === (template.id.spi | 0));
	ask('reqid', state.reqid === (template.reqid | 0));
	ask('mode', state.mode === template.mode);
	ask('mark', state.markFits(policy.markValue));
	ask('if_id', state.ifId === policy.ifId);
	ask('flag', (state.flags & WILDRECV) === 0);
	const { saddr, id } = state.config;
	if (ownAddresses && hasOwnAddresses(template.mode)) {
		ask('endpoints', addressEquals(id.daddr, template.id.daddr, family));
		ask('endpoints', fitsOrAny(saddr, template.saddr, family));
	} else if (!ownAddresses && !endsAreNamed(template, state, family)) {
		const { selector } = policy.config;
		ask(
			'endpoints',
			isMobile(state) || inPrefix(id.daddr, selector.daddr, selector.prefixlenD, family),
		);
		const any = isAnyAddress(saddr, family);
		ask(
			'endpoints',
			isMobile(state) || any || inPrefix(saddr, selector.saddr, selector.prefixlenS, family),
		);
	}
	return fields;
}

const WILDRECV = 8;

/** States of route optimization are for addresses, and their selectors say which. */
function isMobile(state: XfrmState): boolean {
	return state.proto === IpProto.Routing || state.proto === IpProto.DestinationOptions;
}

function inwardMisses({ policy, template, ownAddresses }: Demand, state: XfrmState): string[] {
	const { family } = policy;
	const fields: string[] = [];
	if (state.family !== (template.family || family)) {
		fields.push('family');
	}
	if (state.proto !== template.id.proto) {
		fields.push('proto');
	}
	if (template.id.spi !== 0 && state.spi !== (template.id.spi | 0)) {
		fields.push('spi');
	}
	if (template.reqid !== 0 && state.reqid !== (template.reqid | 0)) {
		fields.push('reqid');
	}
	if (state.mode !== template.mode) {
		fields.push('mode');
	}
	if (policy.ifId !== 0 && state.ifId !== policy.ifId) {
		fields.push('if_id');
	}
	const outer = template.family || family;
	if (hasOwnAddresses(template.mode)) {
		const source =
			isAnyAddress(template.saddr, outer) ||
			addressEquals(template.saddr, state.config.saddr, outer);
		const { daddr } = template.id;
		const here = isAnyAddress(daddr, outer) || addressEquals(daddr, state.config.id.daddr, outer);
		if (!source || !here) {
			fields.push('endpoints');
		}
	} else if (
		!ownAddresses &&
		!endsAreNamed(template, state, outer) &&
		!transportEndsFit(policy, state)
	) {
		fields.push('endpoints');
	}
	return fields;
}

/** Is it a transport template with the ends of this tunnel? Nothing but the mode is wrong then. */
function endsAreNamed(template: Template, state: XfrmState, family: number): boolean {
	const { saddr, id } = state.config;
	return (
		hasOwnAddresses(state.mode) &&
		!isAnyAddress(template.id.daddr, family) &&
		addressEquals(template.saddr, saddr, family) &&
		addressEquals(template.id.daddr, id.daddr, family)
	);
}

/** Do packets of a transport state fall under an incoming policy at all? */
function transportEndsFit(policy: XfrmPolicy, state: XfrmState): boolean {
	const { selector } = policy.config;
	const { saddr, id } = state.config;
	return (
		isMobile(state) ||
		((isAnyAddress(saddr, policy.family) ||
			inPrefix(saddr, selector.saddr, selector.prefixlenS, policy.family)) &&
			inPrefix(id.daddr, selector.daddr, selector.prefixlenD, policy.family))
	);
}

function fitsOrAny(a: Address, b: Address, family: number): boolean {
	return addressEquals(a, b, family) || isAnyAddress(a, family) || isAnyAddress(b, family);
}

export function inPrefix(
	address: Address,
	network: Address,
	length: number,
	family: number,
): boolean {
	return prefixMatches(address, network, length, family);
}

/** Do two prefixes have addresses in common? */
export function prefixesMeet(
	a: Address,
	aLength: number,
	b: Address,
	bLength: number,
	family: number,
): boolean {
	return prefixMatches(a, b, Math.min(aLength, bLength), family);
}

/** Do two selectors of a family have flows in common? */
export function selectorsMeet(a: Selector, b: Selector, family: number): boolean {
	return (
		prefixesMeet(a.saddr, a.prefixlenS, b.saddr, b.prefixlenS, family) &&
		prefixesMeet(a.daddr, a.prefixlenD, b.daddr, b.prefixlenD, family) &&
		(a.proto === 0 || b.proto === 0 || a.proto === b.proto) &&
		((a.sport ^ b.sport) & a.sportMask & b.sportMask) === 0 &&
		((a.dport ^ b.dport) & a.dportMask & b.dportMask) === 0 &&
		(a.ifindex === 0 || b.ifindex === 0 || a.ifindex === b.ifindex)
	);
}

/** Does the first selector take every flow of the second? */
export function selectorCovers(a: Selector, b: Selector, family: number): boolean {
	return (
		a.prefixlenS <= b.prefixlenS &&
		a.prefixlenD <= b.prefixlenD &&
		selectorsMeet(a, b, family) &&
		(a.proto === 0 || a.proto === b.proto) &&
		(a.sportMask & ~b.sportMask) === 0 &&
		(a.dportMask & ~b.dportMask) === 0 &&
		(a.ifindex === 0 || a.ifindex === b.ifindex)
	);
}

/** The selector of the way back. */
export function mirrored(selector: Selector): Selector {
	const { saddr, daddr, prefixlenS, prefixlenD, sport, sportMask, dport, dportMask } = selector;
	const isIcmp = selector.proto === IpProto.Icmp || selector.proto === IpProto.Icmpv6;
	return {
		...selector,
		saddr: daddr,
		daddr: saddr,
		prefixlenS: prefixlenD,
		prefixlenD: prefixlenS,
		// An ICMP type has no opposite.
		...(isIcmp
			? { sport: 0, sportMask: 0, dport: 0, dportMask: 0 }
			: { sport: dport, sportMask: dportMask, dport: sport, dportMask: sportMask }),
		ifindex: 0,
	};
}

/** Bits of an address of this family. */
export function familyBits(family: number): number {
	return family === Family.Ipv4 ? 32 : 128;
}
