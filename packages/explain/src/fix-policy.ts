/** Edits of policies: none matches, another one does, or its templates ask for something else. */
import type { PolicyLookupTrace, XfrmPolicy, XfrmState } from '@xfrm/engine';
import type { Flow } from '@xfrm/wire';
import {
	Direction,
	Family,
	formatAddress,
	IpProto,
	isAnyAddress,
	Mode,
	PolicyAction,
	type PolicyConfig,
	PolicyType,
	type Selector,
	type Template,
	UNLIMITED,
} from '@xfrm/wire/xfrm';
import { allowEdit, bypassEdits } from './fix-bypass.ts';
import { interfaceEdits } from './fix-interface.ts';
import {
	addPolicy,
	endsOf,
	type Generator,
	hostBits,
	network,
	remakeState,
	type Situation,
	selectorTakes,
	shellOnly,
	updatePolicy,
	wordsAddress,
} from './fix-parts.ts';
import { type Edit, policyConfig } from './fix-trial.ts';
import { flowMismatches } from './flow-mismatch.ts';
import { directionName, hexNumber, policyName, stateName, stateProtoName } from './names.ts';
import { misses } from './near-miss.ts';
import { reversedSelector, withPortExchanged } from './reversed-selector.ts';

/** Policies that are looked at, the nearest first. */
const CANDIDATES_MAX = 3;

function asksForStates(policy: XfrmPolicy): boolean {
	return (
		policy.action === PolicyAction.Allow &&
		policy.templates.some((template) => template.optional === 0)
	);
}

/** A selector that takes the flow too, where it differs in these fields. */
function selectorFor(
	selector: Selector,
	flow: Flow,
	fields: readonly string[],
	portless: boolean,
): Selector {
	const bits = (prefix: number): number => {
		const icmp = flow.proto === IpProto.Icmp || flow.proto === IpProto.Icmpv6;
		return icmp || prefix === 0 ? hostBits(flow.family) : prefix;
	};
	const address = (words: Int32Array, prefix: number): Uint8Array =>
		network(wordsAddress(words), prefix);
	const changed = { ...selector };
	if (fields.includes('src')) {
		changed.prefixlenS = bits(selector.prefixlenS);
		changed.saddr = address(flow.saddr, changed.prefixlenS);
	}
	if (fields.includes('dst')) {
		changed.prefixlenD = bits(selector.prefixlenD);
		changed.daddr = address(flow.daddr, changed.prefixlenD);
	}
	if (fields.includes('proto')) {
		Object.assign(changed, { proto: flow.proto, sport: 0, sportMask: 0, dport: 0, dportMask: 0 });
	}
	if (portless) {
		return { ...changed, sport: 0, sportMask: 0, dport: 0, dportMask: 0 };
	}
	if (fields.includes('key')) {
		Object.assign(changed, { sport: flow.sport, dport: flow.dport });
	}
	if (fields.includes('sport') || fields.includes('type')) {
		changed.sport = flow.sport;
	}
	if (fields.includes('dport') || fields.includes('code')) {
		changed.dport = flow.dport;
	}
	if (fields.includes('dev')) {
		changed.ifindex = 0;
	}
	return changed;
}

/** Losers of a lookup that lack no more than this many demands, nearest first. */
function nearest(
	lookup: PolicyLookupTrace,
	missesMax: number,
): { policy: XfrmPolicy; fields: string[] }[] {
	const { flow, ifId } = lookup;
	return lookup.losers
		.map(({ object }) => ({ policy: object, far: misses(object, flow, ifId) }))
		.filter(({ policy, far }) => far <= missesMax && policy.socketId === 0)
		.sort((a, b) => a.far - b.far || a.policy.priority - b.policy.priority)
		.slice(0, CANDIDATES_MAX)
		.map(({ policy }) => ({
			policy,
			fields: flowMismatches(policy, flow, ifId, () => undefined).map(({ field }) => field),
		}));
}

/** Policies that would have been taken but for one thing. */
function nearEdits(at: Situation, lookup: PolicyLookupTrace, missesMax: number): Edit[] {
	return nearest(lookup, missesMax)
		.filter(({ policy }) => policy.action === PolicyAction.Allow)
		.filter(({ policy }) => at.digest.applied.length > 0 || asksForStates(policy))
		.flatMap(({ policy, fields }) => fieldEdits(at, lookup, policy, fields));
}

function fieldEdits(
	at: Situation,
	lookup: PolicyLookupTrace,
	policy: XfrmPolicy,
	fields: readonly string[],
): Edit[] {
	const { flow, winner } = lookup;
	const want = 'protected' as const;
	const name = policyName(policy);
	if (fields.length === 0) {
		return winner === undefined ? [] : priorityEdits(at, policy, winner);
	}
	const [field = ''] = fields;
	if (fields.length === 1 && field === 'mark') {
		return markEdits(at, policy, flow.mark);
	}
	if (fields.length === 1 && field === 'if_id') {
		return interfaceEdits(at, policy, flow);
	}
	const config = policyConfig(policy);
	const portless = at.digest.first?.fragment === true && fields.every(isPort);
	const selector = selectorFor(config.selector, flow, fields, portless);
	const before = winner === undefined ? config.priority : Math.max(0, winner.priority - 1);
	const [way, back, other] = field === 'sport' ? ['from', 'to', 'dport'] : ['to', 'from', 'sport'];
	const exchanged =
		fields.length === 1 && (field === 'sport' || field === 'dport')
			? withPortExchanged(config.selector, flow)
			: undefined;
	return [
		...(fields.length === 1 && field === 'src' ? sourceEdits(at, policy, flow) : []),
		...(exchanged === undefined
			? []
			: [
					{
						text:
							`${name} has the port as ${field}, for packets ${way} it: for those ${back} it add a policy ` +
							`with ${other}`,
						commands: [addPolicy(at, { ...config, selector: exchanged })],
						want,
					},
				]),
		{
			text: portless
				? `add a policy like ${name} for any port: fragments have none, and are not put together before ` +
					'(or let nf_defrag do it: a rule that looks at connections)'
				: `add a policy like ${name} for this traffic: ${fields.join(', ')} as the packet has it`,
			commands: [
				addPolicy(at, { ...config, selector, priority: Math.min(config.priority, before) }),
			],
			want,
		},
	];
}

function isPort(field: string): boolean {
	return /^(sport|dport|type|code)$/.test(field);
}

/** Two policies match: the one that asks for protection comes first. */
function priorityEdits(at: Situation, policy: XfrmPolicy, winner: XfrmPolicy): Edit[] {
	if (winner.socketId !== 0 || winner.type !== policy.type) {
		return [];
	}
	const text = `let ${policyName(policy)} come before ${policyName(winner)}: the lower priority value wins`;
	const edit =
		winner.priority > 0
			? updatePolicy(at, policy, { priority: winner.priority - 1 })
			: updatePolicy(at, winner, { priority: policy.priority + 1 });
	return [{ text, commands: [edit], want: 'protected' }];
}

function markEdits(at: Situation, policy: XfrmPolicy, have: number): Edit[] {
	const value = policy.markValue >>> 0;
	const mark = `${hexNumber(value)}/${hexNumber(policy.markMask)}`;
	const { family, source, destination } = endsOf(at.packet);
	const known = family === 2 ? Family.Ipv4 : Family.Ipv6;
	const chain = at.answer.direction === 'out' ? 'output' : 'prerouting';
	const ip = known === Family.Ipv4 ? 'ip' : 'ip6';
	const ends = `${ip} saddr ${formatAddress(source, known)} ${ip} daddr ${formatAddress(destination, known)}`;
	const { mark: _mark, ...config } = policyConfig(policy);
	// What has come out of a VTI bears the mark of its key: no firewall rule is asked.
	const own: Edit = {
		text: `add a policy like ${policyName(policy)} for the mark that the packet has there, ${hexNumber(have)}`,
		commands: [addPolicy(at, { ...config, mark: { v: have >>> 0, m: 0xffffffff } })],
		want: 'protected',
	};
	return [
		...(at.digest.applied.length > 0 && have !== 0 ? [own] : []),
		{
			text: `let the packet have mark ${mark}, as ${policyName(policy)} wants`,
			commands: [
				shellOnly(`nft add rule inet mangle ${chain} ${ends} meta mark set ${hexNumber(value)}`),
			],
			options: { mark: value },
			want: 'protected',
		},
		{
			text: `add a policy like ${policyName(policy)} for packets of any mark`,
			commands: [addPolicy(at, config)],
			want: 'protected',
		},
	];
}

/** The policy is for another of this host's addresses: packets should come from that one. */
function sourceEdits(at: Situation, policy: XfrmPolicy, flow: Flow): Edit[] {
	if (at.answer.direction !== 'out') {
		return [];
	}
	const { world } = at.before;
	const { selector } = policy;
	for (const device of world.host.devices()) {
		for (const { family, address } of device.addresses) {
			const words = new Int32Array(4);
			const view = new DataView(address.buffer, address.byteOffset, address.byteLength);
			for (let i = 0; i < address.byteLength / 4; i++) {
				words[i] = view.getInt32(4 * i);
			}
			const inside = words.every(
				(word, i) => ((word ^ (selector.saddr[i] ?? 0)) & (selector.saddrMask[i] ?? 0)) === 0,
			);
			if (family === flow.family && inside && !device.loopback) {
				return [sourceEdit(at, policy, address)];
			}
		}
	}
	return [];
}

function sourceEdit(at: Situation, policy: XfrmPolicy, address: Uint8Array): Edit {
	const { family, destination } = endsOf(at.packet);
	const known = family === 2 ? Family.Ipv4 : Family.Ipv6;
	const packet = at.packet.slice();
	packet.set(address.subarray(0, known === Family.Ipv4 ? 4 : 16), known === Family.Ipv4 ? 12 : 8);
	const text = formatAddress(address, known);
	const { config } = policy;
	const { selector } = config;
	const to =
		selector.prefixlenD === 0
			? formatAddress(destination, known)
			: `${formatAddress(selector.daddr, known)}/${selector.prefixlenD}`;
	const route = at.before.world.host.lookupRoute(family, destination, address, 0, 0);
	const device = route === undefined ? undefined : at.explainer.world.deviceName(route.ifindex);
	const via = route?.gateway === undefined ? '' : ` via ${formatAddress(route.gateway, known)}`;
	return {
		text: `let packets to ${to} come from ${text}, for which ${policyName(policy)} is`,
		commands: [shellOnly(`ip route replace ${to}${via} dev ${device ?? 'DEV'} src ${text}`)],
		packet,
		want: 'protected',
	};
}

/** A policy of the other direction as one for this. */
function turned(config: PolicyConfig, direction: number): PolicyConfig {
	const back = (config.direction === Direction.Out) !== (direction === Direction.Out);
	if (!back) {
		return { ...config, direction };
	}
	const { selector } = config;
	return {
		...config,
		direction,
		selector: reversedSelector(selector),
		templates: config.templates
			.toReversed()
			.map((one) => ({ ...one, saddr: one.id.daddr, id: { ...one.id, daddr: one.saddr, spi: 0 } })),
	};
}

/** The policy for this direction that goes with those of the other directions. */
function turnedEdits(at: Situation, lookup: PolicyLookupTrace): Edit[] {
	const { flow, direction, ifId } = lookup;
	const edits: Edit[] = [];
	for (const policy of at.before.world.engine.policies()) {
		const config = policyConfig(policy);
		const own = policy.socketId !== 0 || policy.direction === direction;
		if (own || policy.action !== PolicyAction.Allow || policy.templates.length === 0) {
			continue;
		}
		const next = turned(config, direction);
		if (selectorTakes(next.selector, flow) && policy.markFits(flow.mark) && policy.ifId === ifId) {
			edits.push({
				text: `add the policy with dir ${directionName(direction)} that goes with ${policyName(policy)}`,
				commands: [addPolicy(at, next)],
				want: 'protected',
			});
		}
	}
	// One for in and fwd is nearer to the other of them than one for out.
	return edits.slice(0, 2);
}

/** A policy for what came out of these states, and nothing else. */
function policyOfStates(at: Situation, lookup: PolicyLookupTrace, priority = 0): Edit[] {
	const { flow, direction, ifId } = lookup;
	const states = at.digest.applied.filter(
		(state) => state.proto !== IpProto.Ipip && state.proto !== IpProto.Ipv6,
	);
	if (states.length === 0) {
		return [];
	}
	const bits = hostBits(flow.family);
	const config: PolicyConfig = {
		selector: {
			daddr: wordsAddress(flow.daddr),
			saddr: wordsAddress(flow.saddr),
			dport: 0,
			dportMask: 0,
			sport: 0,
			sportMask: 0,
			family: flow.family,
			prefixlenD: bits,
			prefixlenS: bits,
			proto: 0,
			ifindex: 0,
			user: 0,
		},
		lifetime: UNLIMITED,
		priority,
		index: 0,
		direction,
		action: PolicyAction.Allow,
		flags: 0,
		share: 0,
		type: PolicyType.Main,
		// Templates stand in the order of sealing.
		templates: states.toReversed().map((state) => templateOf(state)),
		...(ifId === 0 ? {} : { ifId: ifId >>> 0 }),
	};
	return [
		{
			text:
				`add a policy with dir ${directionName(direction)} whose template fits ` +
				`${states.map(stateName).join(' and ')}; widen its addresses to what the tunnel is for`,
			commands: [addPolicy(at, config)],
			want: 'protected',
		},
	];
}

function templateOf(state: XfrmState): Template {
	const { config } = state;
	const transport = state.mode === Mode.Transport;
	const none = new Uint8Array(16);
	return {
		id: { daddr: transport ? none : config.id.daddr, spi: 0, proto: state.proto },
		saddr: transport ? none : config.saddr,
		family: state.family,
		reqid: state.reqid >>> 0,
		mode: state.mode,
		share: 0,
		optional: 0,
		aalgos: 0xffffffff,
		ealgos: 0xffffffff,
		calgos: 0xffffffff,
	};
}

/** What came out of the states meets no policy. */
export const addPolicyFor: Generator = (at) => {
	const lookup = at.digest.lastPolicyLookup;
	const asked = at.answer.counter === 'XfrmInNoPols' || at.answer.code === 'check.default';
	if (!asked || lookup === undefined || lookup.winner !== undefined) {
		return [];
	}
	if (at.digest.applied.length === 0) {
		return [allowEdit(at, lookup)];
	}
	return [...turnedEdits(at, lookup), ...nearEdits(at, lookup, 1.5), ...policyOfStates(at, lookup)];
};

/** A policy matches, but its templates ask for something else than what came. */
export const mendTemplates: Generator = (at) => {
	const { digest, answer } = at;
	if (answer.counter !== 'XfrmInTmplMismatch') {
		return [];
	}
	const failed = digest.failedTemplates[0];
	const policy = failed?.policy ?? digest.policies.at(-1);
	if (policy === undefined || policy.socketId !== 0) {
		return [];
	}
	const lookup = digest.policyLookups.find((one) => one.winner === policy);
	if (digest.applied.length === 0) {
		return lookup === undefined
			? []
			: [...nearEdits(at, lookup, 0), ...bypassEdits(at, policy, lookup)];
	}
	if (failed === undefined) {
		return extraTemplates(at, policy);
	}
	const { template, position } = failed;
	const edits: Edit[] = [];
	for (const state of digest.applied.slice(0, CANDIDATES_MAX)) {
		if (state.proto === template.id.proto) {
			edits.push(...alignTemplate(at, policy, position, template, state));
		}
	}
	const same = digest.applied.some((state) => state.proto === template.id.proto);
	const [only] = digest.applied;
	if (!same && only !== undefined && digest.applied.length === 1 && policy.templates.length === 1) {
		edits.push(...alignTemplate(at, policy, position, template, only).slice(0, 1));
	}
	if (!same) {
		edits.push({
			text:
				`make the ${stateProtoName(template.id.proto)} template of ${policyName(policy)} ` +
				'optional (level use): packets may come without it',
			commands: [
				updatePolicy(at, policy, {
					templates: replaced(policy, position, { ...template, optional: 1 }),
				}),
			],
			want: 'protected',
		});
	}
	return [...edits, ...extraTemplates(at, policy)];
};

function replaced(policy: XfrmPolicy, position: number, template: Template): readonly Template[] {
	return policy.templates.map((one, i) => (i === position ? template : one));
}

function alignTemplate(
	at: Situation,
	policy: XfrmPolicy,
	position: number,
	template: Template,
	state: XfrmState,
): Edit[] {
	const model = templateOf(state);
	const named = !isAnyAddress(template.id.daddr, template.family || policy.family);
	const next: Template = {
		...template,
		id: {
			proto: model.id.proto,
			spi: 0,
			daddr: named ? model.id.daddr : template.id.daddr,
		},
		saddr: named ? model.saddr : template.saddr,
		reqid: template.reqid === 0 ? 0 : model.reqid,
		mode: model.mode,
		family: model.family,
	};
	const sameMode = template.mode === state.mode;
	const sameReqid = template.reqid === 0 || template.reqid >>> 0 === state.reqid >>> 0;
	const what = [
		...(template.id.proto === state.proto ? [] : [`proto ${stateProtoName(state.proto)}`]),
		...(sameReqid ? [] : [`reqid ${state.reqid >>> 0}`]),
		...(sameMode ? [] : ['its mode']),
	];
	return [
		{
			text:
				`let the template of ${policyName(policy)} ask for ${stateName(state)}, by which the ` +
				`packet came${what.length === 0 ? '' : `: ${what.join(', ')}`}`,
			commands: [updatePolicy(at, policy, { templates: replaced(policy, position, next) })],
			want: 'protected',
		},
		...(sameReqid && sameMode
			? []
			: [
					{
						text:
							`give ${stateName(state)} what the template of ${policyName(policy)} asks for: ` +
							`reqid ${template.reqid}`,
						commands: remakeState(at, state, { reqid: template.reqid, mode: template.mode }),
						want: 'protected' as const,
					},
				]),
	];
}

/** The packet came through more than the templates ask for. */
function extraTemplates(at: Situation, policy: XfrmPolicy): Edit[] {
	const states = at.digest.applied.filter(
		(state) => state.proto !== IpProto.Ipip && state.proto !== IpProto.Ipv6,
	);
	if (states.length <= 1 && policy.templates.length > 0) {
		return [];
	}
	return [
		{
			text:
				`let the templates of ${policyName(policy)} ask for all the states that the packet ` +
				'came through',
			commands: [
				updatePolicy(at, policy, {
					templates: states.toReversed().map((state) => templateOf(state)),
				}),
			],
			want: 'protected',
		},
	];
}

/** A policy blocks, or lets pass in clear, what another one nearly took. */
export const preferPolicy: Generator = (at) => {
	const { answer, digest } = at;
	const lookup = digest.policyLookups.findLast((one) => one.table !== 'socket' && !one.embedded);
	if (lookup === undefined) {
		return [];
	}
	const blocked =
		answer.counter === 'XfrmInPolBlock' ||
		answer.counter === 'XfrmOutPolBlock' ||
		digest.defaultBlocked;
	if (blocked) {
		return [...nearEdits(at, lookup, 1), ...forwardEdits(at, lookup), ...beforeBlock(at, lookup)];
	}
	if (answer.code === 'host.link-failure' && lookup.winner === undefined) {
		return nearEdits(at, lookup, 1.5);
	}
	const clear = answer.outcome === 'pass' && lookup.direction === Direction.Out;
	if (!clear) {
		return [];
	}
	const toPeer = nearest(lookup, 1.5).some(
		({ policy, fields }) =>
			fields.length === 1 && fields[0] === 'src' && policy.selector.prefixlenD > 0,
	);
	return lookup.winner === undefined
		? nearEdits(at, lookup, toPeer ? 1.5 : 1)
		: nearEdits(at, lookup, 0).filter(() => coversMore(lookup));
};

/** Does what lets the packet pass in clear hide a policy for fewer flows? One for an exception is narrower. */
function coversMore({ winner, losers, flow, ifId }: PolicyLookupTrace): boolean {
	return losers.some(({ object }) => {
		const [wide, narrow] = [winner?.config.selector, object.config.selector];
		return (
			wide !== undefined &&
			asksForStates(object) &&
			misses(object, flow, ifId) === 0 &&
			wide.prefixlenS <= narrow.prefixlenS &&
			wide.prefixlenD <= narrow.prefixlenD &&
			(wide.proto === 0 || wide.proto === narrow.proto) &&
			(wide.dportMask === 0 || narrow.dportMask !== 0)
		);
	});
}

/** What a state has opened meets a block: a policy for it comes before. */
function beforeBlock(at: Situation, lookup: PolicyLookupTrace): Edit[] {
	const { winner, direction } = lookup;
	if (winner === undefined || winner.priority === 0 || direction === Direction.Out) {
		return [];
	}
	return policyOfStates(at, lookup, winner.priority - 1);
}

/** A block of direction fwd takes what an out policy would protect: one before it lets that go on. */
function forwardEdits(at: Situation, { flow, ifId, direction, winner }: PolicyLookupTrace): Edit[] {
	if (direction !== Direction.Fwd || winner === undefined || winner.priority === 0) {
		return [];
	}
	return [...at.before.world.engine.policies()]
		.filter(
			(policy) =>
				policy.direction === Direction.Out &&
				policy.socketId === 0 &&
				asksForStates(policy) &&
				misses(policy, flow, ifId) === 0,
		)
		.slice(0, 1)
		.map((policy) => {
			const priority = Math.min(policy.priority, winner.priority - 1);
			const config = { ...policyConfig(policy), direction, priority, templates: [] };
			return {
				text:
					`add a policy with dir fwd, before ${policyName(winner)}, for what ` +
					`${policyName(policy)} protects on its way out`,
				commands: [addPolicy(at, config)],
				want: 'protected' as const,
			};
		});
}
