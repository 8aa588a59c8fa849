/** Rules of the packet filter that are in the way: what blocks ESP and IKE, what masquerades before the lookup. */
import { attributeValue, type NamedMessage } from '@xfrm/netlink';
import { Family, formatAddress, IpProto, parseAddress, prefixMatches } from '@xfrm/wire/xfrm';
import { policyText, stateEnds, templatesOf } from './endpoints.ts';
import type { FilterRule, MachineFacts } from './facts.ts';
import type { FindingKind, Found } from './finding.ts';

/** The daemon's first device. */
const LANE = 'xfrmd0';
const OUT = 1;
const UDP = 17;

/** What has to come in: a protocol, of UDP with a port. */
interface Traffic {
	readonly name: string;
	readonly proto: number;
	readonly port: number | undefined;
	readonly device: string | undefined;
}

/** What states and key managers of this machine wait for. */
function wantedTraffic(facts: MachineFacts): readonly Traffic[] {
	const wanted = new Map<string, Traffic>();
	const want = (name: string, proto: number, port?: number, device?: string): void => {
		wanted.set(`${name} ${port} ${device}`, { name, proto, port, device });
	};
	for (const { state, inbound, link } of stateEnds(facts)) {
		const encap = attributeValue(state.attributes, 'encap');
		if (!inbound) {
			continue;
		}
		if (encap !== undefined) {
			want(`ESP in UDP (port ${encap.dport})`, UDP, encap.dport, link?.name);
		} else if (state.body.id.proto === IpProto.Ah) {
			want('AH (protocol 51)', IpProto.Ah, undefined, link?.name);
		} else if (state.body.id.proto === IpProto.Esp) {
			want('ESP (protocol 50)', IpProto.Esp, undefined, link?.name);
		}
	}
	for (const { port } of facts.sockets) {
		if (facts.keyManagers.length > 0 && (port === 500 || port === 4500)) {
			want(`IKE (UDP port ${port})`, UDP, port);
		}
	}
	return [...wanted.values()];
}

/** May a rule match this traffic: `no`, `maybe`, or surely. */
function matches(rule: FilterRule, { proto, port, device }: Traffic): 'no' | 'maybe' | 'yes' {
	if (rule.protocols !== undefined && !rule.protocols.includes(proto)) {
		return 'no';
	}
	if (rule.ports !== undefined && (port === undefined || !rule.ports.includes(port))) {
		return 'no';
	}
	if (rule.device !== undefined && device !== undefined && rule.device !== device) {
		return 'no';
	}
	const ends = [rule.source, rule.destination, rule.exceptDestination];
	const told = ends.every((end) => end === undefined);
	const sure = told && !rule.more && rule.ipsec === undefined;
	return sure && (rule.device === undefined || device !== undefined) ? 'yes' : 'maybe';
}

/** The rule that drops this traffic in every case, if there is one. */
function blocker(rules: readonly FilterRule[], traffic: Traffic): FilterRule | undefined {
	for (const rule of rules) {
		const match = matches(rule, traffic);
		if (match === 'no') {
			continue;
		}
		if (rule.action === 'accept') {
			// What may let it in ends the search: no false alarm.
			return undefined;
		}
		if (match === 'yes' && (rule.action === 'drop' || rule.action === 'policy-drop')) {
			return rule;
		}
	}
	return undefined;
}

function blockedInput(facts: MachineFacts): readonly Found[] {
	const chains = new Map<string, FilterRule[]>();
	for (const rule of facts.filter.filter(({ hook }) => hook === 'input')) {
		chains.set(rule.chain, [...(chains.get(rule.chain) ?? []), rule]);
	}
	return wantedTraffic(facts).flatMap((traffic) => {
		const rules = [...chains.values()]
			.map((chain) => blocker(chain, traffic))
			.filter((rule) => rule !== undefined);
		return rules.slice(0, 1).map((rule) => ({
			severity: 'fail' as const,
			text:
				`the packet filter drops ${traffic.name}: ${rule.text}. No counter of XFRM ` +
				'tells of it.',
			command: `nft insert rule ${rule.chain} ${acceptance(traffic)} accept`,
		}));
	});
}

function acceptance({ proto, port }: Traffic): string {
	if (port !== undefined) {
		return `udp dport ${port}`;
	}
	return proto === IpProto.Ah ? 'meta l4proto ah' : 'meta l4proto esp';
}

/** Do two prefixes have an address in common? Text of a rule that is no prefix may be anything. */
function overlaps(
	text: string | undefined,
	address: Uint8Array,
	prefix: number,
	family: number,
): boolean {
	if (text === undefined) {
		return true;
	}
	const [network = '', length] = text.split('/');
	const parsed = parseAddress(network);
	if (parsed === undefined) {
		return true;
	}
	const bits = length === undefined ? (parsed.family === Family.Ipv4 ? 32 : 128) : Number(length);
	return (
		parsed.family === family &&
		prefixMatches(parsed.address, address, Math.min(bits, prefix), family)
	);
}

/** Does a prefix of a rule have every address of another in it? */
function covers(
	text: string | undefined,
	address: Uint8Array,
	prefix: number,
	family: number,
): boolean {
	const whole = family === Family.Ipv4 ? 32 : 128;
	const bits = text === undefined ? 0 : Number(text.split('/')[1] ?? whole);
	return bits <= prefix && overlaps(text, address, prefix, family);
}

function touches(rule: FilterRule, { body }: NamedMessage<'newpolicy'>): boolean {
	const { saddr, daddr, prefixlenS, prefixlenD, family, proto } = body.selector;
	const { protocols, source, destination, exceptDestination: except } = rule;
	return (
		(protocols === undefined || proto === 0 || protocols.includes(proto)) &&
		(except === undefined || !covers(except, daddr, prefixlenD, family)) &&
		overlaps(source, saddr, prefixlenS, family) &&
		overlaps(destination, daddr, prefixlenD, family)
	);
}

/** Does a rule take the whole policy out of NAT? */
function spares(rule: FilterRule, { body }: NamedMessage<'newpolicy'>): boolean {
	const { saddr, daddr, prefixlenS, prefixlenD, family } = body.selector;
	const { action, device, protocols, ports, more, ipsec, source, destination } = rule;
	const plain = device === undefined && protocols === undefined && ports === undefined && !more;
	const all =
		covers(source, saddr, prefixlenS, family) && covers(destination, daddr, prefixlenD, family);
	return action === 'accept' && plain && (ipsec === true || (ipsec === undefined && all));
}

function masquerades(facts: MachineFacts): readonly Found[] {
	const rules = facts.filter.filter(({ hook }) => hook === 'postrouting');
	const seen = new Set<FilterRule>();
	return templatesOf(facts, OUT).flatMap(({ policy, template }) => {
		const family = template.family === 0 ? policy.body.selector.family : template.family;
		const peer = formatAddress(template.id.daddr, family);
		// What goes into the daemon leaves by its device first.
		const device = facts.daemon ? LANE : facts.routes.get(peer)?.dev;
		for (const rule of rules) {
			if (spares(rule, policy)) {
				return [];
			}
			const rewrites = rule.action === 'masquerade' || rule.action === 'snat';
			const leaves = rule.device === undefined || device === undefined || rule.device === device;
			if (rewrites && leaves && rule.ipsec !== false && touches(rule, policy) && !seen.has(rule)) {
				seen.add(rule);
				return [
					{
						severity: 'fail' as const,
						...consequence(facts, rule, policyText(policy)),
					},
				];
			}
		}
		return [];
	});
}

function consequence(
	{ daemon }: MachineFacts,
	{ text, chain }: FilterRule,
	policy: string,
): { readonly text: string; readonly command: string } {
	const head = `${text} changes the source of what policy ${policy} protects`;
	return daemon
		? {
				text: `${head} on its way into the daemon: the policy does not match it there, and it is dropped.`,
				command: `nft insert rule ${chain} oifname "xfrmd*" accept`,
			}
		: {
				text:
					`${head}, and then the policy is looked up again: it does not match, and the packet leaves in ` +
					'clear.',
				command: `nft insert rule ${chain} rt ipsec exists accept`,
			};
}

export const FILTER_FINDINGS: readonly FindingKind[] = [
	{
		id: 'filter-input',
		title: 'packet filter',
		meaning:
			'A rule, or what a chain does with the rest, drops ESP, AH, ESP in UDP or IKE before XFRM sees it.',
		remedy: 'Accept UDP 500 and 4500, protocols 50 and 51 in front of that rule.',
		find: blockedInput,
	},
	{
		id: 'masquerade',
		title: 'source NAT',
		meaning:
			'A rule masquerades packets that a policy protects. NAT changes the source before the packet is transformed, and the kernel looks the policy up again with the new source: it is not found, and the packet leaves in clear or is dropped at the other end.',
		remedy:
			'Put `rt ipsec exists accept` (nft) or `-m policy --dir out --pol ipsec -j ACCEPT` (iptables) in front of it.',
		find: masquerades,
	},
];
