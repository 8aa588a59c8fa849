/**
 * Edits of XFRM interfaces: rules have an if_id that no interface has, or the one it belongs to is down, or policy,
 * state and interface do not agree.
 */
import type { XfrmPolicy, XfrmState } from '@xfrm/engine';
import type { Host } from '@xfrm/host';
import type { Flow } from '@xfrm/wire';
import {
	addressEquals,
	Direction,
	Family,
	formatAddress,
	isAnyAddress,
	PolicyAction,
} from '@xfrm/wire/xfrm';
import {
	addPolicy,
	deletePolicy,
	type Generator,
	hostCommand,
	network,
	remakeState,
	type Situation,
	wordsAddress,
} from './fix-parts.ts';
import { type Edit, policyConfig } from './fix-trial.ts';
import { hexNumber, policyName, stateName } from './names.ts';
import { misses } from './near-miss.ts';

type Device = NonNullable<ReturnType<Host['device']>>;

/** The if_id of an XFRM interface, 0 for another device. */
function ifIdOf({ virtual }: Device): number {
	return virtual?.kind === 'xfrm' ? virtual.ifId >>> 0 : 0;
}

function interfaces(at: Situation): readonly Device[] {
	return [...at.before.world.host.devices()].filter((device) => ifIdOf(device) !== 0);
}

/** A name that no device has. */
export function freeInterfaceName(at: Situation): string {
	const names = new Set([...at.before.world.host.devices()].map(({ name }) => name));
	for (let number = 0; ; number++) {
		if (!names.has(`ipsec${number}`)) {
			return `ipsec${number}`;
		}
	}
}

/** The policy of the lookup's direction that would match but for its if_id, or its mark. */
function nearPolicy(at: Situation, field: 'if_id' | 'mark'): XfrmPolicy | undefined {
	const lookup = at.digest.lastPolicyLookup;
	return lookup?.losers.find(
		({ object }) =>
			object.socketId === 0 &&
			object.action === PolicyAction.Allow &&
			misses(object, lookup.flow, lookup.ifId) === 1 &&
			(field === 'if_id' ? object.ifId !== lookup.ifId : !object.markFits(lookup.flow.mark)),
	)?.object;
}

export const mendInterface: Generator = (at) => {
	const { answer, digest } = at;
	const lookup = digest.lastPolicyLookup;
	if (answer.code === 'in.state.mark') {
		return otherRemote(at);
	}
	if (answer.code === 'out.acquire' || answer.code === 'out.state.missing') {
		return policyOfInterface(at);
	}
	const policy = nearPolicy(at, 'if_id');
	if (lookup === undefined || lookup.winner !== undefined || policy === undefined) {
		return mendVti(at);
	}
	const wanted = policy.ifId >>> 0;
	if (wanted === 0) {
		return [];
	}
	if (answer.code === 'host.link-failure') {
		return otherIfId(at, lookup.ifId >>> 0, wanted);
	}
	const state = digest.applied.at(-1);
	if (answer.counter !== 'XfrmInNoPols' || state === undefined || lookup.ifId !== 0) {
		return [];
	}
	const [device] = interfaces(at).filter((one) => ifIdOf(one) === wanted);
	if (state.ifId >>> 0 === wanted) {
		return device === undefined ? missingInterface(at, wanted) : downInterface(device, wanted);
	}
	if (device === undefined) {
		return [];
	}
	return [
		{
			text: `give ${stateName(state)} the if_id of ${device.name} and of ${policyName(policy)}, ${hexNumber(wanted)}`,
			commands: remakeState(at, state, { ifId: wanted }),
			want: 'protected',
		},
	];
};

/**
 * What is routed into an interface meets a policy without its if_id before it comes there, and the state has
 * that if_id: the policy is the one that lacks it.
 */
function policyOfInterface(at: Situation): Edit[] {
	const { template: wanted, stateSelect, lastPolicyLookup: lookup } = at.digest;
	const policy = wanted?.policy;
	const device = interfaces(at).find(({ ifindex }) => ifindex === lookup?.flow.oif);
	if (policy === undefined || device === undefined || policy.ifId !== 0 || policy.socketId !== 0) {
		return [];
	}
	const ifId = ifIdOf(device);
	const state = stateSelect?.losers.find(
		({ object, field }) => field === 'if_id' && object.ifId >>> 0 === ifId,
	)?.object;
	return state === undefined
		? []
		: [
				{
					text:
						`give ${policyName(policy)} the if_id of ${device.name}, ${hexNumber(ifId)}, ` +
						`as ${stateName(state)} has it: without, it takes the packet before it comes to the interface`,
					commands: [deletePolicy(at, policy), addPolicy(at, { ...policyConfig(policy), ifId })],
					want: 'protected',
				},
			];
}

function missingInterface(at: Situation, ifId: number): Edit[] {
	const name = freeInterfaceName(at);
	return [
		{
			text:
				`state and policies are for an XFRM interface with if_id ${hexNumber(ifId)}, and there is none: make it ` +
				'(what it is for has to be routed into it)',
			commands: [
				hostCommand(`ip link add ${name} type xfrm if_id ${hexNumber(ifId)}`),
				hostCommand(`ip link set ${name} up`),
			],
			want: 'protected',
		},
	];
}

function downInterface(device: Device, ifId: number): Edit[] {
	return device.up
		? []
		: [
				{
					text:
						`set ${device.name}, the XFRM interface with if_id ${hexNumber(ifId)}, up: ` +
						'while it is down it takes nothing',
					commands: [hostCommand(`ip link set ${device.name} up`)],
					want: 'protected',
				},
			];
}

/** The interface has one if_id, the policies for what is routed into it have another. */
function otherIfId(at: Situation, has: number, wanted: number): Edit[] {
	const [device] = interfaces(at).filter((one) => ifIdOf(one) === has);
	const below = device?.virtual === null ? 0 : (device?.virtual.link ?? 0);
	const under = below === 0 ? '' : ` dev ${at.before.world.deviceName(below) ?? below}`;
	return device === undefined
		? []
		: [
				{
					text:
						`give ${device.name} the if_id of the policies for what is routed into it, ` +
						`${hexNumber(wanted)} instead of ${hexNumber(has)}`,
					commands: [
						hostCommand(`ip link set ${device.name} type xfrm${under} if_id ${hexNumber(wanted)}`),
					],
					want: 'protected',
				},
			];
}

/**
 * What comes out of a VTI bears the mark of its ikey when the policies are asked, what is routed into it that of its
 * okey; and the policies have another.
 */
function mendVti(at: Situation): Edit[] {
	const { answer, digest } = at;
	const policy = nearPolicy(at, 'mark');
	const state = digest.applied.at(-1);
	const inward = answer.counter === 'XfrmInNoPols' && state !== undefined;
	if (policy === undefined || (!inward && answer.code !== 'host.link-failure')) {
		return [];
	}
	const key = policy.markValue >>> 0;
	const mark = digest.lastPolicyLookup?.flow.mark ?? 0;
	const edits: Edit[] = [];
	for (const { name, virtual } of at.before.world.host.devices()) {
		if (virtual?.kind !== 'vti') {
			continue;
		}
		const [inKey, outKey] = [virtual.inKey >>> 0, virtual.outKey >>> 0];
		if (inward && takes(virtual, state) && inKey !== key) {
			edits.push(keyEdit(policy, { name, virtual, word: 'ikey', was: inKey, other: outKey }));
		} else if (!inward && outKey === mark >>> 0 && outKey !== key) {
			edits.push(keyEdit(policy, { name, virtual, word: 'okey', was: outKey, other: inKey }));
		}
	}
	return edits;
}

/** The state wants the mark of a VTI that is for another peer: what its peer sends never gets that mark. */
function otherRemote(at: Situation): Edit[] {
	const state = at.digest.stateLookup?.losers[0]?.object;
	if (state === undefined) {
		return [];
	}
	const { family, config } = state;
	const { saddr, id } = config;
	for (const { name, virtual } of at.before.world.host.devices()) {
		const isMeant =
			virtual?.kind === 'vti' &&
			virtual.family === family &&
			virtual.inKey === state.markValue &&
			addressEquals(virtual.local, id.daddr, family) &&
			!isAnyAddress(virtual.remote, family) &&
			!addressEquals(virtual.remote, saddr, family);
		if (isMeant) {
			const [inKey, outKey] = [virtual.inKey >>> 0, virtual.outKey >>> 0];
			const keys = inKey === outKey ? `key ${inKey}` : `ikey ${inKey} okey ${outKey}`;
			const remote = formatAddress(saddr, family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6);
			return [
				{
					text:
						`${name} has the key that ${stateName(state)} wants as mark, and another remote: let it be ` +
						`${remote}, from where the packets come`,
					commands: [hostCommand(linkCommand(name, { ...virtual, remote: saddr }, keys))],
					want: 'protected',
				},
			];
		}
	}
	return [];
}

/** `ip link set v0 type vti local … remote … key 5`. */
function linkCommand(name: string, { family, local, remote }: Vti, keys: string): string {
	const known = family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
	const type = known === Family.Ipv4 ? 'vti' : 'vti6';
	const ends = `local ${formatAddress(local, known)} remote ${formatAddress(remote, known)}`;
	return `ip link set ${name} type ${type} ${ends} ${keys}`;
}

type Vti = Extract<NonNullable<Device['virtual']>, { readonly kind: 'vti' }>;

/** Is the device the one that a state's packets come out of? */
function takes(virtual: Vti, { family, config }: XfrmState): boolean {
	return (
		virtual.family === family &&
		addressEquals(virtual.local, config.id.daddr, family) &&
		(isAnyAddress(virtual.remote, family) || addressEquals(virtual.remote, config.saddr, family))
	);
}

/** One key of a device set to the mark of a policy; where both were the same they stay so. */
function keyEdit(
	policy: XfrmPolicy,
	device: {
		readonly name: string;
		readonly virtual: Vti;
		readonly word: 'ikey' | 'okey';
		readonly was: number;
		readonly other: number;
	},
): Edit {
	const { name, virtual, word, was, other } = device;
	const key = policy.markValue >>> 0;
	const otherWord = word === 'ikey' ? 'okey' : 'ikey';
	const same = other === key || other === was;
	return {
		text:
			`give ${name} ${word} ${key}: it is the mark by which ${policyName(policy)} is looked for, ` +
			`and was ${was}`,
		commands: [
			hostCommand(
				linkCommand(name, virtual, same ? `key ${key}` : `${word} ${key} ${otherWord} ${other}`),
			),
		],
		want: 'protected',
	};
}

/** A policy that the flow misses by its if_id alone: the interface is not on the way. */
export function interfaceEdits(at: Situation, policy: XfrmPolicy, flow: Flow): Edit[] {
	const ifId = policy.ifId >>> 0;
	const { ifId: _ifId, ...config } = policyConfig(policy);
	const without: Edit = {
		text: `add a policy like ${policyName(policy)} without if_id`,
		commands: [addPolicy(at, config)],
		want: 'protected',
	};
	if (ifId === 0) {
		return [
			{
				text: `add a policy like ${policyName(policy)} with the if_id of the interface`,
				commands: [addPolicy(at, { ...config, ifId: at.digest.lastPolicyLookup?.ifId ?? 0 })],
				want: 'protected',
			},
		];
	}
	return policy.direction === Direction.Out
		? [...routesIntoInterface(at, policy, flow), without]
		: [without];
}

/** What the policy is for goes into the interface of its if_id, which is made if there is none. */
function routesIntoInterface(at: Situation, policy: XfrmPolicy, flow: Flow): Edit[] {
	const ifId = policy.ifId >>> 0;
	const known = flow.family === 2 ? Family.Ipv4 : Family.Ipv6;
	const six = known === Family.Ipv6 ? '-6 ' : '';
	const { daddr, prefixlenD } = policy.config.selector;
	// A network with the tunnel's peer in it would lead the protected packet back into the interface.
	const loops = policy.templates.some(
		(one) =>
			(one.family || flow.family) === flow.family &&
			addressEquals(network(one.id.daddr, prefixlenD), network(daddr, prefixlenD), known),
	);
	const to =
		prefixlenD === 0 || loops
			? formatAddress(wordsAddress(flow.daddr), known)
			: `${formatAddress(daddr, known)}/${prefixlenD}`;
	const [device] = interfaces(at).filter((one) => ifIdOf(one) === ifId);
	const name = device?.name ?? freeInterfaceName(at);
	const made =
		device === undefined
			? [hostCommand(`ip link add ${name} type xfrm if_id ${hexNumber(ifId)}`)]
			: [];
	const up = device?.up === true ? [] : [hostCommand(`ip link set ${name} up`)];
	const whose = device === undefined ? 'the XFRM interface' : `${name}, the XFRM interface`;
	return [
		{
			text: `route ${to} into ${whose} with if_id ${hexNumber(ifId)}, whose policies these are`,
			commands: [...made, ...up, hostCommand(`ip ${six}route replace ${to} dev ${name}`)],
			want: 'protected',
		},
	];
}
