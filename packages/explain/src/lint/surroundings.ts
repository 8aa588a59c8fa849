/** What surrounds XFRM: shadowing by other policies, MTU, devices, routes and NAT. */
import { Bundle, type XfrmPolicy } from '@xfrm/engine';
import { anyAddress, Direction, Family, parseAddress } from '@xfrm/wire/xfrm';
import { anyRegion, Dimension, narrowRegion, type Region } from '../box.ts';
import { sampleOf } from '../flow-sample.ts';
import { FlowSets } from '../flow-set.ts';
import { FlowLookup } from '../lookup.ts';
import { FlowLine } from '../lookup-line.ts';
import { hexNumber, policyName, selectorText, stateName } from '../names.ts';
import { type LintFacts, prefixesMeet, selectorsMeet } from './facts.ts';
import { type Finding, finding } from './finding.ts';
import { treatmentText } from './policies.ts';

/** Policies that win for no flow, by cutting all flows up (prove). */
export function checkShadows(facts: LintFacts): Finding[] {
	const lookup = new FlowLookup(facts.world);
	const winners = new Set<XfrmPolicy>();
	const asked = new Set<XfrmPolicy>();
	for (const family of [Family.Ipv4, Family.Ipv6]) {
		for (const direction of [Direction.In, Direction.Out, Direction.Fwd]) {
			const mine = facts.policies.filter(
				(policy) => policy.family === family && policy.direction === direction,
			);
			const free = mine.filter(({ selector }) => selector.ifindex === 0);
			for (const ifId of new Set(free.map((policy) => policy.ifId >>> 0))) {
				const sets = new FlowSets([{ world: facts.world, lookup }], {
					family,
					direction,
					ifId,
					device: '',
					via: [],
				});
				for (const winner of sets.winners) {
					winners.add(winner);
				}
			}
			for (const policy of free) {
				asked.add(policy);
			}
		}
	}
	return [...asked]
		.filter((policy) => !winners.has(policy))
		.map((policy) => shadowOf(facts, policy));
}

function shadowOf(facts: LintFacts, policy: XfrmPolicy): Finding {
	const own = policy.config.selector;
	const before = facts.policies.filter(
		(other) =>
			other !== policy &&
			other.direction === policy.direction &&
			other.type === policy.type &&
			other.family === policy.family &&
			other.ifId === policy.ifId &&
			(other.priority < policy.priority ||
				(other.priority === policy.priority && other.age < policy.age)) &&
			selectorsMeet(other.config.selector, own, policy.family),
	);
	const differs = before.some((other) => treatmentText(other) !== treatmentText(policy));
	const names = before.slice(0, 3).map(policyName);
	const more = before.length > 3 ? ` and ${before.length - 3} more` : '';
	const reason = `${names.join(', ')}${more} come before ${policyName(policy)} for every flow (${selectorText(own)})`;
	return finding(differs ? 'shadowed' : 'redundant', [policy, ...before.slice(0, 3)], reason);
}

/** A flow that meets the policy, if it is the one that decides for it. */
function sampleFlow(facts: LintFacts, lookup: FlowLookup, policy: XfrmPolicy): boolean {
	const { selector, family, ifId, markValue, markMask } = policy;
	let region: Region = anyRegion();
	const parts: readonly (readonly [number, number, number])[] = [
		...[0, 1, 2, 3].map(
			(i) => [Dimension.Source + i, selector.saddr[i] ?? 0, selector.saddrMask[i] ?? 0] as const,
		),
		...[0, 1, 2, 3].map(
			(i) =>
				[Dimension.Destination + i, selector.daddr[i] ?? 0, selector.daddrMask[i] ?? 0] as const,
		),
		[Dimension.Proto, selector.proto, selector.proto === 0 ? 0 : 0xff],
		[Dimension.Sport, selector.sport, selector.sportMask],
		[Dimension.Dport, selector.dport, selector.dportMask],
		[Dimension.Mark, markValue, markMask],
	];
	for (const [dimension, value, mask] of parts) {
		region =
			mask === 0 ? region : (narrowRegion(region, dimension, [value & mask, mask]) ?? region);
	}
	const line = new FlowLine();
	const device = selector.ifindex === 0 ? '' : (facts.world.deviceName(selector.ifindex) ?? '');
	sampleOf(region, { family, direction: Direction.Out, ifId: ifId >>> 0, device, via: [] }, line);
	return lookup.lookLine(line).policies.includes(policy);
}

/** Room in the packets of each policy that has its states. */
export function checkSizes(facts: LintFacts): Finding[] {
	const lookup = new FlowLookup(facts.world);
	return facts.policies.flatMap((policy) => {
		const met =
			policy.direction === Direction.Out &&
			policy.templates.length > 0 &&
			sampleFlow(facts, lookup, policy);
		const bundle = met ? policy.bundle : null;
		const { states } = lookup.found;
		if (!(bundle instanceof Bundle) || states.length === 0) {
			return [];
		}
		const outer = bundle.route.mtu;
		const headers = policy.family === Family.Ipv4 ? 40 : 60;
		const used = `${outer - bundle.mtu} go to ${states.map(stateName).join(', ')}`;
		const reason = `${policyName(policy)} leaves ${bundle.mtu} of ${outer} octets for a packet, ${used}`;
		const advice = `Clamp the MSS of TCP to ${bundle.mtu - headers}, or set the MTU inside to ${bundle.mtu}.`;
		return [finding('mtu-chain', [policy, ...states], reason, advice)];
	});
}

/** if_ids: is there a device, and does it lead back into itself? */
export function checkDevices(facts: LintFacts): Finding[] {
	const devices = [...facts.world.host.devices()].filter((device) => device.virtual !== null);
	const found: Finding[] = [];
	const ifIds = new Set(facts.policies.filter(({ ifId }) => ifId !== 0).map(({ ifId }) => ifId));
	for (const ifId of ifIds) {
		const mine = facts.policies.filter((policy) => policy.ifId === ifId);
		const has = devices.some(
			({ virtual }) => virtual !== null && virtual.kind === 'xfrm' && (virtual.ifId | 0) === ifId,
		);
		if (!has && facts.options.hostKnown) {
			found.push(
				finding(
					'if-id-no-device',
					mine.slice(0, 4),
					`no XFRM interface has if_id ${hexNumber(ifId)}`,
				),
			);
		}
	}
	return [...found, ...checkLoops(facts)];
}

/** The route to a tunnel's end, with the mark that outer packets have, must not be the tunnel. */
function checkLoops(facts: LintFacts): Finding[] {
	const { host } = facts.world;
	return facts.states.flatMap((state) => {
		if ((state.ifId === 0 && state.markMask === 0) || facts.isInward(state)) {
			return [];
		}
		const mark = state.outputMarkValue & state.outputMarkMask;
		const route = host.lookupRoute(state.family, state.config.id.daddr, anyAddress(), mark, 0);
		const device = [...host.devices()].find(({ ifindex }) => ifindex === route?.ifindex);
		const virtual = device?.virtual ?? null;
		const isOwn =
			virtual?.kind === 'xfrm'
				? state.ifId !== 0 && (virtual.ifId | 0) === state.ifId
				: virtual?.kind === 'vti' && state.markMask !== 0 && state.markFits(virtual.outKey);
		return isOwn
			? [
					finding(
						'output-mark-loop',
						[state],
						`${stateName(state)}: the route to its destination goes by ${device?.name}`,
					),
				]
			: [];
	});
}

interface NatRule {
	readonly text: string;
	readonly rewrites: boolean;
	readonly source: NatPrefix | undefined;
	readonly destination: NatPrefix | undefined;
}

interface NatPrefix {
	readonly not: boolean;
	readonly address: Uint8Array;
	readonly length: number;
	readonly family: number;
}

/** Source NAT that takes packets which a policy protects. */
export function checkNat(facts: LintFacts): Finding[] {
	const rules = natRules(facts.options.nat ?? '');
	return facts.policies.flatMap((policy) => {
		if (policy.direction !== Direction.Out || policy.templates.length === 0) {
			return [];
		}
		const hit = rules.find((rule) => mayMatch(rule, policy));
		if (hit === undefined || !hit.rewrites) {
			return [];
		}
		return [
			finding('nat-before-lookup', [policy], `"${hit.text}" comes before ${policyName(policy)}`),
		];
	});
}

/** Rules that rewrite sources or let packets go on, of nft or iptables-save; those about IPsec itself aside. */
function natRules(text: string): readonly NatRule[] {
	let postrouting = false;
	const rules: NatRule[] = [];
	for (const raw of text.split('\n')) {
		const line = raw.trim();
		if (line.startsWith('chain ')) {
			postrouting = false;
		}
		postrouting ||= /hook postrouting/.test(line);
		const iptables = /^-A POSTROUTING\b/.test(line);
		const rewrites = /\bmasquerade\b|\bsnat\b/i.test(line);
		const ends = /\baccept\b|\breturn\b/i.test(line) && !/hook /.test(line);
		if ((!postrouting && !iptables) || (!rewrites && !ends)) {
			continue;
		}
		if (/ipsec missing|--pol none/.test(line)) {
			continue; // For what no policy protects.
		}
		const isIpsec = /\bipsec\b|--pol ipsec/.test(line);
		if (isIpsec && ends) {
			return rules; // Protected packets do not come any further.
		}
		const source = natPrefix(line, /(?:ip6? saddr (!= )?|(! )?-s )([0-9a-f.:/]+)/);
		const destination = natPrefix(line, /(?:ip6? daddr (!= )?|(! )?-d )([0-9a-f.:/]+)/);
		rules.push({ text: line, rewrites, source, destination });
	}
	return rules;
}

function natPrefix(line: string, pattern: RegExp): NatPrefix | undefined {
	const match = pattern.exec(line);
	const [address = '', length] = (match?.[3] ?? '').split('/');
	const parsed = match === null ? undefined : parseAddress(address);
	if (match === null || parsed === undefined) {
		return undefined;
	}
	const bits = parsed.family === Family.Ipv4 ? 32 : 128;
	const not = (match[1] ?? match[2]) !== undefined;
	return { not, address: parsed.address, length: Number(length ?? bits), family: parsed.family };
}

function mayMatch(rule: NatRule, policy: XfrmPolicy): boolean {
	const { saddr, prefixlenS, daddr, prefixlenD } = policy.config.selector;
	const fits = (prefix: NatPrefix | undefined, address: Uint8Array, length: number): boolean => {
		if (prefix === undefined) {
			return true;
		}
		if (prefix.family !== policy.family) {
			return false;
		}
		const meet = prefixesMeet(prefix.address, prefix.length, address, length, policy.family);
		// A negated prefix matches unless all of the policy's addresses lie in it.
		return prefix.not ? !(meet && prefix.length <= length) : meet;
	};
	return fits(rule.source, saddr, prefixlenS) && fits(rule.destination, daddr, prefixlenD);
}
