/**
 * Edits about the way: no route for the plain packet, which has to have one before XFRM looks at it, or for the
 * protected one; a route that leads back into the tunnel; a neighbour who is taken for somebody far away.
 */
import type { TemplateTrace, XfrmPolicy } from '@xfrm/engine';
import {
	type Address,
	addressEquals,
	anySelector,
	Direction,
	Family,
	formatAddress,
	IpProto,
	isAnyAddress,
	Mode,
	PolicyAction,
	parseAddress,
	type Selector,
} from '@xfrm/wire/xfrm';
import {
	addPolicy,
	endsOf,
	type Generator,
	hostBits,
	hostCommand,
	isOwnAddress,
	network,
	remakeState,
	type Situation,
	updatePolicy,
} from './fix-parts.ts';
import { type Edit, policyConfig } from './fix-trial.ts';
import { policyName, stateName } from './names.ts';

/** `main` of /etc/iproute2/rt_tables. */
const MAIN_TABLE = 254;
/** Devices that are tried. */
const DEVICES_MAX = 2;

/** No way for the packet, or for what is made of it. */
export const addRoute: Generator = (at) => {
	const { digest, answer, packet } = at;
	const outer = endsOf(packet);
	switch (answer.code) {
		case 'host.no-route': {
			// What came out of a tunnel is on its way, not what it came in.
			const { current } = digest;
			const inner = current === undefined ? undefined : parseAddress(current.destination);
			const { family, address: destination } = inner ?? {
				family: outer.family,
				address: outer.destination,
			};
			return [
				...routesOfPolicy(at, family, destination),
				...routeEdits(at, family, digest.noRoute?.daddr ?? destination),
			];
		}
		case 'out.bundle.route':
		case 'host.device-loop':
			return digest.template === undefined
				? []
				: [
						...ownSource(at, digest.template),
						...withoutOutputMark(at),
						...routeEdits(at, digest.template.family, digest.template.daddr),
					];
		default:
			return [];
	}
};

/** The template's source is no address of this host: it was before, or is a NAT's. Template and state get one that is. */
function ownSource(
	at: Situation,
	{ policy, template, family, saddr, daddr }: TemplateTrace,
): Edit[] {
	const state = at.digest.stateSelect?.winner;
	if (isOwnAddress(at, family, saddr) || policy.socketId !== 0 || state === undefined) {
		return [];
	}
	const { world } = at.before;
	const source = world.host.lookupRoute(family, daddr, new Uint8Array(16), 0, 0)?.source;
	const index = policy.templates.indexOf(template);
	if (source === undefined || isAnyAddress(source, family) || index < 0) {
		return [];
	}
	const known = family === 2 ? Family.Ipv4 : Family.Ipv6;
	const templates = policy.templates.map((one, i) =>
		i === index ? { ...one, saddr: source } : one,
	);
	return [
		{
			text:
				`${formatAddress(saddr, known)} is no address of this host: let ${policyName(policy)} and ` +
				`${stateName(state)} have ${formatAddress(source, known)}, by which ${formatAddress(daddr, known)} ` +
				'is reached (the peer needs it too)',
			commands: [
				updatePolicy(at, policy, { templates }),
				...remakeState(at, state, { saddr: source }),
			],
			want: 'protected',
		},
	];
}

/** The protected packet is routed by the state's output-mark, and there is no way with it. */
function withoutOutputMark(at: Situation): Edit[] {
	const state = at.digest.stateSelect?.winner;
	const mark = state?.config.outputMark;
	return state === undefined || mark === undefined || mark.m === 0
		? []
		: [
				{
					text: `take the output-mark from ${stateName(state)}: with it there is no route to its peer`,
					commands: remakeState(at, state, {}, ['outputMark']),
					want: 'protected',
				},
			];
}

/** A route to one address by each of the real devices, the one that the packet came by last. */
function routeEdits(at: Situation, family: number, daddr: Address): Edit[] {
	const to = formatAddress(daddr, family === 2 ? Family.Ipv4 : Family.Ipv6);
	const devices = [...at.before.world.host.devices()].filter(
		(device) => !device.loopback && device.virtual === null,
	);
	const arrival = at.options.device;
	const bits = hostBits(family);
	const known = [...at.before.world.host.routes(family, MAIN_TABLE)].some(
		({ destination, prefixLength }) =>
			prefixLength === bits && addressEquals(destination, daddr, family === 2 ? 2 : 10),
	);
	const verb = known ? 'replace' : 'add';
	return devices
		.sort((a, b) => Number(a.name === arrival) - Number(b.name === arrival))
		.slice(0, DEVICES_MAX)
		.map((one) => ({
			text: `give the host a route to ${to}`,
			commands: [hostCommand(`ip route ${verb} ${to} dev ${one.name}`)],
			want: 'protected' as const,
		}));
}

/** The network that a policy is for is routed like the policy's peer. */
function routesOfPolicy(at: Situation, family: number, destination: Address): Edit[] {
	const { world } = at.before;
	const known = family === 2 ? Family.Ipv4 : Family.Ipv6;
	const edits: Edit[] = [];
	for (const policy of world.engine.policies()) {
		const { selector } = policy.config;
		const template = policy.templates.at(-1);
		const covers =
			selector.family === family &&
			selector.prefixlenD > 0 &&
			isInside(destination, selector.daddr, selector.prefixlenD, family);
		if (policy.direction !== Direction.Out || template === undefined || !covers) {
			continue;
		}
		const peerFamily = template.family || family;
		const route = world.host.lookupRoute(peerFamily, template.id.daddr, template.saddr, 0, 0);
		const device = route === undefined ? undefined : world.deviceName(route.ifindex);
		if (route === undefined || device === undefined || route.loopback) {
			continue;
		}
		const network = `${formatAddress(selector.daddr, known)}/${selector.prefixlenD}`;
		const via =
			route.gateway === undefined || peerFamily !== family
				? ''
				: ` via ${formatAddress(route.gateway, known)}`;
		edits.push({
			text:
				`give the host a route to ${network}: the plain packet needs one before ` +
				`${policyName(policy)} is looked at`,
			commands: [hostCommand(`ip route add ${network}${via} dev ${device}`)],
			want: 'protected',
		});
	}
	return edits.slice(0, 1);
}

function isInside(address: Address, prefix: Address, bits: number, family: number): boolean {
	return addressEquals(network(address, bits), network(prefix, bits), family === 2 ? 2 : 10);
}

/**
 * A neighbour on the link is taken for somebody behind the tunnel, whose selector covers the link: a policy before
 * it lets packets of the link pass.
 */
export const passNeighbours: Generator = (at) => {
	const { answer, digest, packet } = at;
	const lookup = digest.lastPolicyLookup;
	const policy = lookup?.winner;
	const missing = answer.code === 'out.acquire' || answer.code === 'out.state.missing';
	if (!missing || policy === undefined || lookup?.direction !== Direction.Out) {
		return [];
	}
	const { family, source, destination } = endsOf(packet);
	if (family === Family.Ipv6 && isNeighbourDiscovery(packet)) {
		return discoveryEdit(at, policy);
	}
	for (const device of at.before.world.host.devices()) {
		for (const { family: own, address, prefixLength } of device.addresses) {
			const near =
				own === family &&
				prefixLength < hostBits(family) &&
				isInside(source, address, prefixLength, family) &&
				isInside(destination, address, prefixLength, family);
			if (near && takesLink(policy, address, prefixLength, family)) {
				return [neighbourEdit(at, policy, network(address, prefixLength), prefixLength, family)];
			}
		}
	}
	return [];
};

/** Types 133 to 137 of ICMPv6. */
function isNeighbourDiscovery(packet: Uint8Array): boolean {
	const type = packet[40] ?? 0;
	return packet[6] === IpProto.Icmpv6 && type >= 133 && type <= 137;
}

/** Without neighbours there is no way for IKE either: their discovery passes before the policy. */
function discoveryEdit(at: Situation, policy: XfrmPolicy): Edit[] {
	if (policy.socketId !== 0 || policy.priority === 0) {
		return [];
	}
	const config = policyConfig(policy);
	const type = at.packet[40] ?? 0;
	const selector = { ...config.selector, proto: IpProto.Icmpv6, sport: type, sportMask: 0xffff };
	return [
		{
			text:
				`it is neighbour discovery, which has to work before anything can be protected: let it pass before ` +
				`${policyName(policy)} (types 135 and 136, and in the other directions)`,
			commands: [
				addPolicy(at, { ...config, selector, priority: policy.priority - 1, templates: [] }),
			],
			want: 'clear',
		},
	];
}

/** Is it a tunnel to somewhere else, for more than the link? */
function takesLink(policy: XfrmPolicy, link: Address, bits: number, family: number): boolean {
	const { selector } = policy.config;
	const template = policy.templates[0];
	return (
		policy.socketId === 0 &&
		policy.priority > 0 &&
		policy.action === PolicyAction.Allow &&
		template?.mode === Mode.Tunnel &&
		selector.prefixlenD < bits &&
		!((template.family || family) === family && isInside(template.id.daddr, link, bits, family))
	);
}

function neighbourEdit(
	at: Situation,
	policy: XfrmPolicy,
	link: Address,
	bits: number,
	family: number,
): Edit {
	const known = family === 2 ? Family.Ipv4 : Family.Ipv6;
	const selector: Selector = {
		...anySelector(known),
		saddr: link,
		daddr: link,
		prefixlenS: bits,
		prefixlenD: bits,
	};
	const priority = policy.priority - 1;
	const config = { ...policyConfig(policy), selector, priority, templates: [] };
	return {
		text:
			`${formatAddress(link, known)}/${bits} is on the link: let its packets pass before ` +
			`${policyName(policy)}, whose selector covers it (in the other direction too)`,
		commands: [addPolicy(at, config)],
		want: 'clear',
	};
}
