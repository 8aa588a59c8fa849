/**
 * The findings of `xfrm doctor` as a table: each is found on a machine with that one thing wrong, and not on
 * the healthy one. That real machines give such facts is shown by `npm run test:doctor`.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseRulesFile } from '@xfrm/iproute';
import {
	countersOf,
	diagnose,
	FINDINGS,
	type MachineFacts,
	parseIptables,
	parseNft,
	withIfIds,
} from '@xfrm/linux/doctor';
import { decodeMessage, type NamedMessage, splitMessages } from '@xfrm/netlink';
import { SET_UPS } from './set-ups.ts';

const GCM = `aead rfc4106(gcm(aes)) 0x${'00'.repeat(20)} 128`;
const OUT = 'src 192.0.2.1 dst 192.0.2.2 proto esp';
const IN = 'src 192.0.2.2 dst 192.0.2.1 proto esp';

/** Messages that a kernel with these rules would dump. */
function tables(rules: string): Pick<MachineFacts, 'states' | 'policies'> {
	const { steps, problem } = parseRulesFile(rules);
	assert.equal(problem, undefined);
	const states: NamedMessage<'newsa'>[] = [];
	const policies: NamedMessage<'newpolicy'>[] = [];
	for (const step of steps ?? []) {
		assert.equal(step.kind, 'command');
		for (const request of step.kind === 'command' ? step.command.requests : []) {
			for (const message of splitMessages(request).map((raw) => decodeMessage(raw))) {
				if (message?.name === 'newsa') {
					states.push(message);
				} else if (message?.name === 'newpolicy') {
					policies.push(message);
				}
			}
		}
	}
	return { states, policies };
}

const STATES = `state add ${OUT} spi 0x101 reqid 1 mode tunnel ${GCM}
state add ${IN} spi 0x102 reqid 1 mode tunnel ${GCM}
`;
const TEMPLATE = 'proto esp reqid 1 mode tunnel';
const POLICIES = `policy add src 10.1.0.0/16 dst 10.2.0.0/16 dir out tmpl src 192.0.2.1 dst 192.0.2.2 ${TEMPLATE}
policy add src 10.2.0.0/16 dst 10.1.0.0/16 dir in tmpl src 192.0.2.2 dst 192.0.2.1 ${TEMPLATE}
policy add src 10.2.0.0/16 dst 10.1.0.0/16 dir fwd tmpl src 192.0.2.2 dst 192.0.2.1 ${TEMPLATE}
`;

const eth0 = {
	name: 'eth0',
	index: 2,
	up: true,
	mtu: 1500,
	kind: '',
	ifId: undefined,
	addresses: [{ address: '192.0.2.1', prefix: 24 }],
};
const abilities = {
	transforms: new Map(
		['esp4', 'esp6', 'ah4', 'ah6', 'ipcomp4', 'ipcomp6'].map((name) => [name, true]),
	),
	algorithms: new Map([['rfc4106(gcm(aes))', true]]),
	subPolicies: true,
	migrate: true,
};

/** A gateway with a tunnel, and nothing wrong. */
const HEALTHY: MachineFacts = {
	...tables(STATES + POLICIES),
	release: '6.1.0',
	refused: undefined,
	untried: undefined,
	abilities,
	daemon: false,
	counters: new Map([['XfrmInNoStates', 0]]),
	risen: new Map(),
	sysctls: new Map([['net.ipv4.ip_forward', '1']]),
	links: [eth0],
	routes: new Map([['192.0.2.2', { dev: 'eth0', mtu: undefined }]]),
	sockets: [],
	filter: [],
	confined: [],
	xfrmInterfaces: false,
	keyManagers: ['charon'],
	clock: { now: 1_700_000_000, kernelBuilt: 1_600_000_000 },
	unseen: [],
};

const encapsulated = tables(STATES.replaceAll(GCM, `${GCM} encap espinudp 4500 4500 0.0.0.0`));
const nft = (...rules: readonly object[]): MachineFacts['filter'] =>
	parseNft(JSON.stringify({ nftables: rules }));
const chain = (name: string, hook: string, policy: string = 'accept'): object => ({
	chain: { family: 'ip', table: 't', name, hook, policy },
});
const rule = (name: string, ...expr: readonly object[]): object => ({
	rule: { family: 'ip', table: 't', chain: name, expr },
});
const match = (left: object, right: unknown, op: string = '=='): object => ({
	match: { op, left, right },
});
const dport = { payload: { protocol: 'udp', field: 'dport' } };
const l4proto = { meta: { key: 'l4proto' } };
const xfrm0 = { ...eth0, name: 'xfrm0', kind: 'xfrm', ifId: 42, addresses: [] };
const withIfId = tables(STATES.replaceAll(GCM, `${GCM} if_id 42`) + POLICIES);

/** What is wrong, the finding, a part of what is said. */
const rows: readonly (readonly [wrong: Partial<MachineFacts>, id: string, said: RegExp])[] = [
	[{ refused: 'no NETLINK_XFRM' }, 'xfrm', /no NETLINK_XFRM/],
	[
		{ clock: { now: 1, kernelBuilt: 1_600_000_000 } },
		'clock',
		/says 1970-01-01.*built on 2020-09-13/,
	],
	[
		{ abilities: { ...abilities, transforms: new Map([['esp4', true]]) } },
		'transform',
		/no ESP over IPv6.*/,
	],
	[
		{ abilities: { ...abilities, algorithms: new Map([['cbc(aes)', false]]) } },
		'algorithm',
		/lacks cbc\(aes\)/,
	],
	[
		{ abilities: { ...abilities, transforms: new Map([['esp4', true]]) }, daemon: true },
		'transform',
		/no ESP over IPv6: the xfrm daemon .* needs none/,
	],
	[
		{ counters: new Map([['XfrmInNoStates', 7]]), daemon: true },
		'counter',
		/XfrmInNoStates 7 since the daemon was started/,
	],
	[
		{ counters: new Map([['plaintext-fwd', 2]]), daemon: true },
		'counter',
		/plaintext-fwd 2 since the guard was set up: packets to be forwarded came in clear/,
	],
	[{ abilities: { ...abilities, subPolicies: false } }, 'sub-policies', /Mobile IPv6/],
	[{ abilities: { ...abilities, migrate: false } }, 'migrate', /MOBIKE/],
	[{ counters: undefined }, 'statistics', /xfrm_stat/],
	[{ xfrmInterfaces: true }, 'xfrm-interfaces', /no interface is there/],
	[{ links: [{ ...eth0, addresses: [] }] }, 'endpoint', /neither end of state esp 0x00000101/],
	[{ links: [{ ...eth0, up: false }] }, 'link-down', /eth0 is down.*and 1 more/],
	[{ routes: new Map([['192.0.2.2', undefined]]) }, 'route', /no route to 192.0.2.2/],
	[
		{ sysctls: new Map([['net.ipv4.conf.eth0.disable_xfrm', '1']]) },
		'switched-off',
		/disable_xfrm is 1 for eth0: .*in clear/,
	],
	[{ sysctls: new Map([['net.ipv4.ip_forward', '0']]) }, 'forwarding', /policy fwd 0 \(10\.2/],
	[
		{
			sysctls: new Map([['net.ipv4.conf.all.rp_filter', '1']]),
			routes: new Map([['192.0.2.2', { dev: 'eth1', mtu: undefined }]]),
		},
		'rp-filter',
		/sends to eth0.*way back to it is eth1/,
	],
	[encapsulated, 'encap-port', /port 4500/],
	[withIfId, 'if-id', /if_id 42/],
	[
		{ ...withIfId, daemon: true },
		'if-id',
		/the next state or policy of it has the daemon make one/,
	],
	[{ refused: 'does not answer', daemon: true }, 'xfrm', /does not answer/],
	[{ links: [eth0, { ...xfrm0, up: false }] }, 'interface-down', /xfrm0 is down/],
	[{ ...withIfId, links: [eth0, xfrm0] }, 'mtu', /xfrm0 has MTU 1500, but only 1446/],
	[{ ...tables(POLICIES), keyManagers: [] }, 'key-manager', /no key manager/],
	[
		{ filter: nft(chain('in', 'input', 'drop'), rule('in', match(dport, 22), { accept: null })) },
		'filter-input',
		/drops ESP \(protocol 50\): "ip t in policy drop"/,
	],
	[
		{ filter: parseIptables('*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p esp -j DROP\n') },
		'filter-input',
		/-A INPUT -p esp -j DROP/,
	],
	[
		{ filter: nft(chain('post', 'postrouting'), rule('post', { masquerade: null })) },
		'masquerade',
		/changes the source of what policy out 0/,
	],
	[
		{ filter: nft(chain('post', 'postrouting'), rule('post', { masquerade: null })), daemon: true },
		'masquerade',
		/on its way into the daemon/,
	],
	[
		{ filter: parseIptables('*nat\n-A POSTROUTING ! -d 10.3.0.0/16 -o eth0 -j MASQUERADE\n') },
		'masquerade',
		/POSTROUTING/,
	],
	[{ keyManagers: ['charon', 'pluto'] }, 'key-managers', /charon and pluto/],
	[{ sockets: [{ port: 500, process: 'dnsmasq' }] }, 'ike-port', /500 belongs to dnsmasq/],
	[{ confined: ['/usr/lib/ipsec/charon'] }, 'apparmor', /charon/],
	[
		{ counters: new Map([['XfrmInNoStates', 3]]), risen: new Map([['XfrmInNoStates', 1]]) },
		'counter',
		/XfrmInNoStates 3 since boot, rising: no state takes/,
	],
];

/** What looks like it, and is none. */
const harmless: readonly (readonly [name: string, facts: Partial<MachineFacts>])[] = [
	['a socket has the port', { ...encapsulated, sockets: [{ port: 4500, process: 'charon' }] }],
	[
		'a device of VTI is switched off',
		{ links: [eth0, { ...xfrm0, kind: 'vti', ifId: undefined }] },
	],
	[
		'strict sources, and the way back is the same',
		{ sysctls: new Map([['net.ipv4.conf.all.rp_filter', '1']]) },
	],
	[
		'what IPsec protects is spared',
		{
			filter: nft(
				chain('post', 'postrouting'),
				rule('post', match({ rt: { key: 'ipsec' } }, true), { accept: null }),
				rule('post', { masquerade: null }),
			),
		},
	],
	[
		'the protected network is spared',
		{ filter: parseIptables('*nat\n-A POSTROUTING ! -d 10.2.0.0/16 -o eth0 -j MASQUERADE\n') },
	],
	[
		'ESP is let in, then all is dropped',
		{
			filter: nft(
				chain('in', 'input', 'drop'),
				rule('in', match(l4proto, { set: ['ah', 'esp'] }), { accept: null }),
			),
		},
	],
	[
		'a rule that may let it in ends the search',
		{
			filter: nft(
				chain('in', 'input', 'drop'),
				rule('in', match({ ct: { key: 'state' } }, 'established'), { accept: null }),
			),
		},
	],
];

describe('what is wrong is found, and nothing else', () => {
	it('on a healthy machine nothing', () => {
		const { findings, healthy } = diagnose(HEALTHY);
		assert.deepEqual(findings, []);
		assert.equal(healthy.length, FINDINGS.length);
	});
	for (const [wrong, id, said] of rows) {
		it(`${id}: ${said.source}`, () => {
			const [first, ...more] = diagnose({ ...HEALTHY, ...wrong }).findings;
			assert.equal(first?.id, id);
			assert.match(first?.text ?? '', said);
			// More of the same kind may be said of one cause.
			assert.deepEqual(
				more.filter((one) => one.id !== id && one.severity === 'fail'),
				[],
			);
		});
	}
	for (const [name, facts] of harmless) {
		it(`nothing: ${name}`, () => {
			assert.deepEqual(diagnose({ ...HEALTHY, ...facts }).findings, []);
		});
	}
	it('every finding has a row here', () => {
		assert.deepEqual(new Set(rows.map(([, id]) => id)), new Set(FINDINGS.map(({ id }) => id)));
	});
});

it('a rule set of another form has no rules', () => {
	for (const text of ['', 'null', '[]', '{"nftables":7}', '{"nftables":[null,{"chain":null}]}']) {
		assert.deepEqual(parseNft(text), [], text);
	}
	assert.deepEqual(parseIptables('-A\n-A INPUT\n*\n:\n'), []);
});

it('machines are made for twenty findings and five healthy ones', () => {
	assert.equal(SET_UPS.filter(({ first }) => first === undefined).length, 5);
	assert.ok(SET_UPS.filter(({ first }) => first !== undefined).length >= 20);
});

it('drops that only the daemon has a name for are among its counters, and what ICMP has told the sender is not', () => {
	const row = { code: 'daemon.plaintext', policy: null, state: null };
	const numbers = {
		schema: 1,
		object: 'daemon',
		time: 1,
		counters: { XfrmInNoStates: 3 },
		own: {},
		drops: [
			{ ...row, counter: 'XfrmInNoStates', packets: 3 },
			{ ...row, counter: 'plaintext-in', packets: 2 },
			{ ...row, counter: 'portless', code: 'daemon.port', packets: 4 },
			{ ...row, counter: 'portless', code: 'daemon.port', packets: 5 },
			{ ...row, counter: 'OutTooBig', code: 'fwd.too-big', packets: 9 },
		],
		states: 0,
		policies: 0,
		devices: [],
		heard: true,
		samples: [],
	} as const;
	assert.deepEqual(
		[...countersOf(numbers)],
		[
			['XfrmInNoStates', 3],
			['plaintext-in', 2],
			['portless', 9],
		],
	);
});

it('a device of the daemon has its if_id, whatever its name', () => {
	const [link] = withIfIds([{ ...eth0, name: 'ipsec0' }], [{ name: 'ipsec0', if_id: 42 }]);
	assert.equal(link?.ifId, 42);
	assert.equal(withIfIds([eth0], [{ name: 'ipsec0', if_id: 42 }])[0]?.ifId, eth0.ifId);
});

it('with the daemon, NAT of what leaves by a real device and switches of the kernel are nothing', () => {
	const { findings } = diagnose({
		...HEALTHY,
		daemon: true,
		filter: parseIptables('*nat\n-A POSTROUTING -o eth0 -j MASQUERADE\n'),
		sysctls: new Map([['net.ipv4.conf.eth0.disable_xfrm', '1']]),
	});
	assert.deepEqual(findings, []);
});
