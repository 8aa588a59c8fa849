/** What is wrong around XFRM: addresses, devices, routes, sysctls, sockets. */
import { attributeValue } from '@xfrm/netlink';
import { addressEquals, Family, formatAddress, isAnyAddress, Mode } from '@xfrm/wire/xfrm';
import { policyText, type StateEnds, stateEnds, stateText, templatesOf } from './endpoints.ts';
import type { LinkFacts, MachineFacts } from './facts.ts';
import type { FindingKind, Found } from './finding.ts';
import { innerMtu } from './inner-mtu.ts';

const FWD = 2;
const OUT = 1;

/** One finding for many states: the first is named, the others are counted. */
function named(states: readonly StateEnds[]): string {
	const [first] = states;
	const more = states.length - 1;
	const text = first === undefined ? '' : `state ${stateText(first.state)}`;
	return more > 0 ? `${text} and ${more} more` : text;
}

/** States by a text that they share. */
function grouped(
	states: readonly StateEnds[],
	by: (ends: StateEnds) => string | undefined,
): ReadonlyMap<string, readonly StateEnds[]> {
	const groups = new Map<string, StateEnds[]>();
	for (const ends of states) {
		const key = by(ends);
		if (key !== undefined) {
			groups.set(key, [...(groups.get(key) ?? []), ends]);
		}
	}
	return groups;
}

function homelessStates(facts: MachineFacts): readonly Found[] {
	const homeless = stateEnds(facts).filter(({ link }) => link === undefined);
	return [...grouped(homeless, ({ source, destination }) => `${source} → ${destination}`)].map(
		([ends, states]) => ({
			severity: 'fail',
			text:
				`neither end of ${named(states)} (${ends}) is an address of this machine: it ` +
				'can send and receive nothing.',
			command: 'ip address',
		}),
	);
}

function downLinks(facts: MachineFacts): readonly Found[] {
	const down = stateEnds(facts).filter(({ link }) => link !== undefined && !link.up);
	return [...grouped(down, ({ link }) => link?.name)].map(([name, states]) => ({
		severity: 'fail',
		text: `${name} is down, and has our end of ${named(states)}.`,
		command: `ip link set ${name} up`,
	}));
}

function routeless(facts: MachineFacts): readonly Found[] {
	const without = stateEnds(facts).filter(
		({ link, peer }) =>
			link !== undefined && facts.routes.has(peer) && facts.routes.get(peer) === undefined,
	);
	return [...grouped(without, ({ peer }) => peer)].map(([peer, states]) => ({
		severity: 'fail',
		text:
			`there is no route to ${peer}, the other end of ${named(states)}: ` +
			'XfrmOutBundleGenError, or EHOSTUNREACH for the sender.',
		command: `ip route get ${peer}`,
	}));
}

/** Is a switch of a device on, by its own value or that of all devices? */
function isOn(facts: MachineFacts, name: string, device: string): boolean {
	const on = (of: string): boolean => facts.sysctls.get(`net.ipv4.conf.${of}.${name}`) === '1';
	return on(device) || on('all');
}

const SWITCHES: readonly (readonly [name: string, what: string])[] = [
	['disable_xfrm', 'what leaves by it is never protected: it goes in clear'],
	['disable_policy', 'what arrives by it is checked by no policy'],
];

function switchedOff(facts: MachineFacts): readonly Found[] {
	// The daemon does not heed them.
	return (facts.daemon ? [] : SWITCHES).flatMap(([name, what]) =>
		facts.links
			.filter((link) => link.name !== 'lo' && isOn(facts, name, link.name))
			// Those of VTI devices are set on purpose, by strongSwan's and everybody's guides.
			.filter(({ kind }) => !kind.startsWith('vti') && kind !== 'xfrm')
			.map((link): Found => {
				const all = facts.sysctls.get(`net.ipv4.conf.all.${name}`) === '1';
				return {
					severity: 'fail',
					text: `${name} is 1 for ${link.name}: ${what}.`,
					command: `sysctl -w net.ipv4.conf.${all ? 'all' : link.name}.${name}=0`,
				};
			})
			.slice(0, 1),
	);
}

/** Is a whole prefix one address of ours? */
function isOurs(facts: MachineFacts, address: string, prefix: number, bits: number): boolean {
	return (
		prefix === bits &&
		facts.links.some((link) => link.addresses.some((one) => one.address === address))
	);
}

function notForwarding(facts: MachineFacts): readonly Found[] {
	const families: readonly (readonly [number, string, number])[] = [
		[Family.Ipv4, 'net.ipv4.ip_forward', 32],
		[Family.Ipv6, 'net.ipv6.conf.all.forwarding', 128],
	];
	return families.flatMap(([family, name, bits]) => {
		const policy = templatesOf(facts, FWD)
			.map((one) => one.policy)
			.find(({ body: { selector } }) => {
				const { daddr, prefixlenD } = selector;
				const here = isOurs(facts, formatAddress(daddr, family), prefixlenD, bits);
				return selector.family === family && !here;
			});
		return policy === undefined || facts.sysctls.get(name) !== '0'
			? []
			: [
					{
						severity: 'fail',
						text:
							`${name} is 0: policy ${policyText(policy)} forwards nothing, ` +
							'tunnels end at this host.',
						command: `sysctl -w ${name}=1`,
					},
				];
	});
}

/** Strict source checks of outer packets; what comes out of a state is not checked (fib_validate_source). */
function strictlyFiltered(facts: MachineFacts): readonly Found[] {
	const value = (device: string): number =>
		Number(facts.sysctls.get(`net.ipv4.conf.${device}.rp_filter`) ?? 0);
	const refused = stateEnds(facts).filter(({ inbound, link, peer, state }) => {
		const route = facts.routes.get(peer);
		const strict = link !== undefined && Math.max(value(link.name), value('all')) === 1;
		const elsewhere = route !== undefined && route.dev !== link?.name && route.dev !== 'lo';
		return inbound && state.body.family === Family.Ipv4 && strict && elsewhere;
	});
	return [...grouped(refused, ({ peer, link }) => `${peer} ${link?.name}`)].map(([key, states]) => {
		const [peer = '', device = ''] = key.split(' ');
		const back = facts.routes.get(peer)?.dev ?? '';
		return {
			severity: 'fail',
			text:
				`rp_filter drops what ${peer} sends to ${device} (${named(states)}): the way ` +
				`back to it is ${back}. No counter of XFRM tells of it.`,
			command: `sysctl -w net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.${device}.rp_filter=2`,
		};
	});
}

const ESP_IN_UDP = new Set([1, 2]);

function portsWithoutOwner(facts: MachineFacts): readonly Found[] {
	const encapsulated = stateEnds(facts).filter(({ inbound, state }) => {
		const encap = attributeValue(state.attributes, 'encap');
		const owned = facts.sockets.some(({ port }) => port === encap?.dport);
		return inbound && encap !== undefined && ESP_IN_UDP.has(encap.type) && !owned;
	});
	return [
		...grouped(encapsulated, ({ state }) => `${attributeValue(state.attributes, 'encap')?.dport}`),
	].map(([port, states]) => ({
		severity: 'fail',
		text:
			`${named(states)} takes ESP in UDP on port ${port}, but nobody has that port open ` +
			'with UDP_ENCAP: it arrives as plain UDP and is refused.',
		command: `ss -lunp sport = :${port}`,
	}));
}

function missingInterfaces(facts: MachineFacts): readonly Found[] {
	const present = new Set(facts.links.map(({ ifId }) => ifId));
	const wanted = new Map<number, string>();
	for (const state of facts.states) {
		wanted.set(attributeValue(state.attributes, 'ifId') ?? 0, `state ${stateText(state)}`);
	}
	for (const policy of facts.policies) {
		wanted.set(attributeValue(policy.attributes, 'ifId') ?? 0, `policy ${policyText(policy)}`);
	}
	wanted.delete(0);
	return [...wanted]
		.filter(([ifId]) => !present.has(ifId))
		.map(([ifId, object]) => ({
			severity: 'fail',
			text:
				`${object} has if_id ${ifId}, and no XFRM interface of this namespace has it: nothing meets it` +
				(facts.daemon ? ', until the next state or policy of it has the daemon make one.' : '.'),
			command: facts.daemon
				? 'xfrm top --once --json; ip link'
				: `ip link add xfrm${ifId} type xfrm dev lo if_id ${ifId}`,
		}));
}

function downInterfaces(facts: MachineFacts): readonly Found[] {
	const down = (link: LinkFacts): boolean =>
		!link.up && (link.kind === 'xfrm' || link.kind.startsWith('vti'));
	return facts.links.filter(down).map(({ name }) => ({
		severity: 'warn',
		text: `${name} is down: nothing is sent or received by it.`,
		command: `ip link set ${name} up`,
	}));
}

function unansweredTemplates(facts: MachineFacts): readonly Found[] {
	if (facts.keyManagers.length > 0) {
		return [];
	}
	const lonely = templatesOf(facts, OUT).find(({ template, policy }) => {
		const family = template.family === 0 ? policy.body.selector.family : template.family;
		const direct = template.mode === Mode.Tunnel || template.mode === Mode.Beet;
		const anyEnd = !direct || isAnyAddress(template.id.daddr, family);
		return (
			template.optional === 0 &&
			!facts.states.some(
				({ body }) =>
					body.id.proto === template.id.proto &&
					body.reqid === template.reqid &&
					(anyEnd || addressEquals(body.id.daddr, template.id.daddr, family)),
			)
		);
	});
	return lonely === undefined
		? []
		: [
				{
					severity: 'warn',
					text:
						`policy ${policyText(lonely.policy)} wants a state that is not there, ` +
						'and no key manager runs here that would make one.',
					command: 'ip xfrm state',
				},
			];
}

/** IPv6 asks for this much of every link (RFC 8200 5). */
const IPV6_MTU_MIN = 1280;

/** Does a tunnel carry IPv6: by the policies that lead into it? */
function carriesIpv6(facts: MachineFacts, { state }: StateEnds): boolean {
	return templatesOf(facts, OUT).some(
		({ policy, template }) =>
			policy.body.selector.family === Family.Ipv6 && template.reqid === state.body.reqid,
	);
}

function narrowPaths(facts: MachineFacts): readonly Found[] {
	const outbound = stateEnds(facts).filter(({ inbound }) => !inbound);
	return outbound.flatMap((ends): Found[] => {
		const route = facts.routes.get(ends.peer);
		const device = facts.links.find(({ name }) => name === route?.dev) ?? ends.link;
		const mtu = route?.mtu ?? device?.mtu;
		const inner = mtu === undefined ? undefined : innerMtu(ends.state, mtu);
		if (inner === undefined) {
			return [];
		}
		if (inner < IPV6_MTU_MIN && carriesIpv6(facts, ends)) {
			return [
				{
					severity: 'fail',
					text:
						`of ${mtu} octets to ${ends.peer}, ${inner} are left inside state ` +
						`${stateText(ends.state)}: IPv6 needs ${IPV6_MTU_MIN}, longer packets ` +
						'of it are lost or cut.',
					command: `ip route get ${ends.peer}`,
				},
			];
		}
		const ifId = attributeValue(ends.state.attributes, 'ifId') ?? 0;
		const wide = facts.links.find((link) => ifId !== 0 && link.ifId === ifId && link.mtu > inner);
		return wide === undefined
			? []
			: [
					{
						severity: 'warn',
						text:
							`${wide.name} has MTU ${wide.mtu}, but only ${inner} octets fit ` +
							`into state ${stateText(ends.state)}: full packets are cut, or ` +
							'refused with DF.',
						command: `ip link set ${wide.name} mtu ${inner}`,
					},
				];
	});
}

/** In the order in which a packet would meet them. */
export const NETWORK_FINDINGS: readonly FindingKind[] = [
	{
		id: 'endpoint',
		title: 'endpoints',
		meaning:
			'Neither end of a state is an address of this machine: packets for it are not delivered here, and what it sends has a source that is not ours.',
		remedy:
			'Give the address to a device, or make the state with the address that the machine has (behind a NAT: the inner one).',
		find: homelessStates,
	},
	{
		id: 'link-down',
		title: 'devices',
		meaning: 'The device with our end of a state is down.',
		remedy: 'Bring it up; look at the cable, and at who manages it.',
		find: downLinks,
	},
	{
		id: 'route',
		title: 'routes',
		meaning:
			'The outer packets have no way: the other end of a state is not reachable by any route.',
		remedy: 'Add a route; see `ip rule` too, policies of routing count.',
		find: routeless,
	},
	{
		id: 'switched-off',
		title: 'disable_xfrm, disable_policy',
		meaning:
			'A sysctl takes a device out of XFRM: with disable_xfrm nothing that leaves by it is protected, with disable_policy nothing that arrives is checked. Guides for VTI devices set them there; on a device of the network they open what should be closed.',
		remedy: 'Set them to 0, for the device and for `all`.',
		find: switchedOff,
	},
	{
		id: 'forwarding',
		title: 'forwarding',
		meaning:
			'There are policies for forwarding, and forwarding is off: what comes out of a tunnel for another host is dropped.',
		remedy: 'Switch it on, also in /etc/sysctl.d, and allow it in the packet filter.',
		find: notForwarding,
	},
	{
		id: 'rp-filter',
		title: 'rp_filter',
		meaning:
			'A device checks sources strictly, and the way back to the peer is another device: its ESP and IKE packets are dropped before XFRM sees them. What comes out of a state is not checked so.',
		remedy:
			'Set rp_filter to 2 (loose) for the device and for `all`: the higher of the two counts.',
		find: strictlyFiltered,
	},
	{
		id: 'encap-port',
		title: 'UDP ports',
		meaning:
			'A state is for ESP in UDP, and no socket has its port: only a socket with UDP_ENCAP, which a key manager opens, takes ESP out of UDP.',
		remedy: 'Start the key manager, or mend the ports of `encap`: the second is the local one.',
		find: portsWithoutOwner,
	},
	{
		id: 'if-id',
		title: 'if_id',
		meaning: 'A state or policy has an if_id that no XFRM interface of this network namespace has.',
		remedy: 'Make the interface, or take if_id from the rules.',
		find: missingInterfaces,
	},
	{
		id: 'interface-down',
		title: 'XFRM interfaces',
		meaning: 'An XFRM interface or VTI device is down.',
		remedy: 'Bring it up, and see that routes lead into it.',
		find: downInterfaces,
	},
	{
		id: 'mtu',
		title: 'MTU',
		meaning:
			'What is left inside a tunnel is less than the device or the protocol counts on: small packets pass, full ones hang.',
		remedy:
			'Give the device inside that MTU, clamp the MSS of TCP (`tcp option maxseg size set rt mtu`), or widen the path.',
		find: narrowPaths,
	},
	{
		id: 'key-manager',
		title: 'key manager',
		meaning:
			'A policy asks for a state that is not there, and nobody listens who would make it: packets are lost as XfrmOutNoStates.',
		remedy: 'Start charon, pluto or another; or add the states by hand.',
		find: unansweredTemplates,
	},
];
