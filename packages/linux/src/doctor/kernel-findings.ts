/** What a kernel lacks: XFRM, transforms, algorithms, sub policies; and its clock. */
import { attributeValue } from '@xfrm/netlink';
import { IpProto } from '@xfrm/wire/xfrm';
import type { MachineFacts } from './facts.ts';
import type { FindingKind, Found } from './finding.ts';

const MODULES: Readonly<Record<string, string>> = { esp: 'ESP', ah: 'AH', ipcomp: 'IPComp' };

/** Protocols that states and templates of this machine use. */
function usedProtocols(facts: MachineFacts): ReadonlySet<number> {
	const used = new Set(facts.states.map(({ body }) => body.id.proto));
	for (const { attributes } of facts.policies) {
		for (const template of attributeValue(attributes, 'tmpl') ?? []) {
			used.add(template.id.proto);
		}
	}
	return used;
}

const PROTOCOLS: readonly (readonly [name: string, proto: number])[] = [
	['esp', IpProto.Esp],
	['ah', IpProto.Ah],
	['ipcomp', IpProto.Comp],
];

const BY_DAEMON = 'the xfrm daemon of this network namespace needs none.';

function missingTransforms(facts: MachineFacts): readonly Found[] {
	const { abilities } = facts;
	if (abilities === undefined) {
		return [];
	}
	const used = usedProtocols(facts);
	return PROTOCOLS.flatMap(([name, proto]) => {
		const families = ['4', '6'].filter((family) => !abilities.transforms.get(`${name}${family}`));
		if (families.length === 0) {
			return [];
		}
		const modules = families.map((family) => `${name}${family}`.replace('ipcomp4', 'ipcomp'));
		const what = `${MODULES[name]}${families.length === 2 ? '' : ` over IPv${families[0]}`}`;
		const needed = name === 'esp' || used.has(proto);
		return [
			facts.daemon
				? { severity: 'note', text: `this kernel has no ${what}: ${BY_DAEMON}` }
				: {
						severity: needed ? 'fail' : 'note',
						text:
							`this kernel has no ${what}: states of it are refused. ` +
							'Load its module, or run xfrm daemon, which needs none.',
						command: `modprobe ${modules.join(' ')}`,
					},
		];
	});
}

/** What key managers propose first; without these hardly any peer agrees. */
const USUAL = ['rfc4106(gcm(aes))', 'cbc(aes)', 'hmac(sha256)'];

function missingAlgorithms({ abilities, daemon }: MachineFacts): readonly Found[] {
	const missing = USUAL.filter((name) => abilities?.algorithms.get(name) === false);
	if (missing.length === 0) {
		return [];
	}
	return daemon
		? [{ severity: 'note', text: `this kernel lacks ${missing.join(', ')}: ${BY_DAEMON}` }]
		: [
				{
					severity: 'fail',
					text:
						`this kernel lacks ${missing.join(', ')}: what most peers propose is ` +
						'refused (ENOSYS).',
					command: "grep -E '^name' /proc/crypto | sort -u",
				},
			];
}

/** What a kernel has, in the order in which it is needed. */
export const KERNEL_FINDINGS: readonly FindingKind[] = [
	{
		id: 'xfrm',
		title: 'netlink',
		meaning:
			'NETLINK_XFRM cannot be opened: the kernel has no XFRM, it is not allowed here, or the right to ask is missing. Or a daemon in its place does not answer: it has died, and its guard stands.',
		remedy:
			'Run as root in the network namespace in question. Without XFRM in the kernel, `modprobe xfrm_user`, another kernel, or `xfrm daemon`. One that has died: start it again, or `xfrm daemon --cleanup`.',
		find: ({ refused, daemon }) =>
			refused === undefined
				? []
				: [
						{
							severity: 'fail',
							text: refused,
							...(daemon ? { command: 'systemctl status xfrm-daemon' } : {}),
						},
					],
	},
	{
		id: 'clock',
		title: 'clock',
		meaning:
			'The clock is behind the day on which the kernel was built: certificates are not valid yet, and lifetimes of states end when it is set.',
		remedy: 'Set the clock, and let it be kept: `timedatectl set-ntp true`.',
		find: ({ clock: { now, kernelBuilt } }) =>
			kernelBuilt === undefined || now >= kernelBuilt
				? []
				: [
						{
							severity: 'fail',
							text:
								`the clock says ${new Date(now * 1000).toISOString().slice(0, 10)}, but this kernel was ` +
								`built on ${new Date(kernelBuilt * 1000).toISOString().slice(0, 10)}: certificates and ` +
								'lifetimes go wrong.',
							command: 'timedatectl set-ntp true',
						},
					],
	},
	{
		id: 'transform',
		title: 'ESP, AH, IPComp',
		meaning:
			'A state of this protocol is refused with EPROTONOSUPPORT (`Requested type not found`): its module is not there, or is not allowed to be loaded.',
		remedy:
			'Load the module (esp4, esp6, ah4, ah6, ipcomp, ipcomp6); see /etc/modprobe.d for blacklists. In a container the host has to do it. `xfrm daemon` needs none of them.',
		find: missingTransforms,
	},
	{
		id: 'algorithm',
		title: 'algorithms',
		meaning:
			'A state with this algorithm is refused with ENOSYS: the kernel has no implementation, or cannot load it.',
		remedy: 'Load the module, propose other algorithms, or leave FIPS mode.',
		find: missingAlgorithms,
	},
	{
		id: 'sub-policies',
		title: 'sub policies',
		meaning:
			'Policies of type sub, which Mobile IPv6 needs, are refused: the kernel was built without CONFIG_XFRM_SUB_POLICY.',
		remedy: 'Nothing, unless mip6d is to run here: then another kernel, or `xfrm daemon`.',
		find: ({ abilities }) =>
			abilities?.subPolicies === false
				? [{ severity: 'note', text: 'this kernel has no sub policies: Mobile IPv6 needs them.' }]
				: [],
	},
	{
		id: 'migrate',
		title: 'migrate',
		meaning:
			'Endpoints of policies and states cannot be moved: the kernel was built without CONFIG_XFRM_MIGRATE. MOBIKE and Mobile IPv6 then delete and add states anew.',
		remedy: 'Nothing, unless addresses change while traffic flows.',
		find: ({ abilities }) =>
			abilities?.migrate === false
				? [{ severity: 'note', text: 'this kernel cannot migrate states: MOBIKE loses packets.' }]
				: [],
	},
	{
		id: 'statistics',
		title: 'counters',
		meaning:
			'/proc/net/xfrm_stat is not there: the kernel was built without CONFIG_XFRM_STATISTICS, and drops are not counted.',
		remedy: 'Ask `xfrm explain --kernel` for a packet instead.',
		find: ({ counters }) =>
			counters === undefined
				? [
						{
							severity: 'note',
							text: 'this kernel counts no drops: /proc/net/xfrm_stat is not there.',
						},
					]
				: [],
	},
	{
		id: 'xfrm-interfaces',
		title: 'xfrm_interface',
		meaning:
			'The module of XFRM interfaces is loaded. Its presence alone changes how ESP in ESP is received, in every network namespace: after each tunnel the policy is checked with the interface in mind.',
		remedy: 'Know of it when nested tunnels behave in another way than on another machine.',
		find: ({ xfrmInterfaces, links }) =>
			xfrmInterfaces && !links.some(({ kind }) => kind === 'xfrm')
				? [
						{
							severity: 'note',
							text:
								'the module xfrm_interface is loaded, but no interface is ' +
								'there: nested tunnels are checked in another way.',
						},
					]
				: [],
	},
];
