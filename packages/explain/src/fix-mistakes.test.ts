/**
 * Mistakes that people make in rules and hosts: what the reason says of each, and what the first fix does, in its
 * trial and pasted as it is told.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseHex } from '@xfrm/wire';
import type { Explainer, PacketOptions } from './explainer.ts';
import { ask, gateway, gatewayAt, KEY, policy, state } from './explainer-fixture.test.ts';
import { firstFix, paste } from './paste-fixture.test.ts';

const HERE = '192.0.2.1';
const PEER = '198.51.100.7';
const OUT = 'src 10.1.0.0/16 dst 10.2.0.0/16 dir out';
const FWD = 'src 10.2.0.0/16 dst 10.1.0.0/16 dir fwd';
const OTHER_KEY = `0x99${KEY.slice(4)}`;
const tunnel = state(HERE, PEER, '0x101');
const inward = state(PEER, HERE, '0x202');
const link = (ifId: number): string[] => [
	`link add ipsec0 type xfrm dev wan if_id ${ifId}`,
	'link set ipsec0 up',
	'route add 10.2.0.0/16 dev ipsec0',
];

interface Mistake {
	readonly name: string;
	/** `ip` and `xfrm` commands. */
	readonly rules: readonly string[];
	readonly sysctl?: readonly [string, number];
	/** Code, and words of the reason. */
	readonly code: string;
	readonly says: RegExp;
	/** Words of the first fix: its text, then its commands. */
	readonly first: RegExp;
	readonly outcome?: string;
}

const OUTWARD: readonly Mistake[] = [
	{
		name: 'dir in for what this host sends',
		rules: [tunnel, policy(OUT.replace('dir out', 'dir in'), HERE, PEER)],
		code: 'fwd.policy.none',
		says: /Policy in 8 .* would match, but it is for dir in: here a policy with dir out is needed/,
		first: /policy add src 10\.1\.0\.0\/16 dst 10\.2\.0\.0\/16 dir out tmpl/,
	},
	{
		name: 'source and destination of the selector exchanged',
		rules: [tunnel, policy('src 10.2.0.0/16 dst 10.1.0.0/16 dir out', HERE, PEER)],
		code: 'fwd.policy.none',
		says: /would match if its src and dst were exchanged/,
		first: /wrong way round.*policy add src 10\.1\.0\.0\/16 dst 10\.2\.0\.0\/16 dir out/,
	},
	{
		name: 'source and destination of the template exchanged',
		rules: [tunnel, policy(OUT, PEER, HERE)],
		code: 'out.acquire',
		says: /no state for its template/,
		first: /the other way round.*policy update .*tmpl src 192\.0\.2\.1 dst 198\.51\.100\.7/,
	},
	{
		name: 'AH asked for, ESP installed',
		rules: [tunnel, policy(OUT, HERE, PEER).replace('proto esp', 'proto ah')],
		code: 'out.acquire',
		says: /by proto: want ah, have esp/,
		first: /policy update .*proto esp mode tunnel/,
	},
	{
		name: 'a template of mode transport with the ends of a tunnel',
		rules: [tunnel, policy(OUT, HERE, PEER).replace('mode tunnel', 'mode transport')],
		code: 'out.acquire',
		says: /esp transport 10\.1\.0\.5 → 10\.2\.0\.9/,
		first: /policy update .*mode tunnel/,
	},
	{
		name: 'a wider policy in clear comes first',
		rules: [
			tunnel,
			policy(`${OUT} priority 100`, HERE, PEER),
			'xfrm policy add src 10.1.0.0/16 dst 10.0.0.0/8 dir out priority 10',
		],
		code: 'fwd.policy.allow',
		says: /Policy out 1 .*, which would protect it, was not taken, by priority: want 10, have 100/,
		first: /policy update src 10\.1\.0\.0\/16 dst 10\.2\.0\.0\/16 dir out priority 9 /,
	},
	{
		name: 'an interface of another if_id',
		rules: [
			...link(43),
			state(HERE, PEER, '0x101', 'if_id 42'),
			policy(`${OUT} if_id 42`, HERE, PEER),
		],
		code: 'host.link-failure',
		says: /by if_id: want 0x2a, have 0x2b/,
		first: /link set ipsec0 type xfrm dev wan if_id 0x2a/,
	},
	{
		name: 'if_id on the state alone',
		rules: [...link(42), state(HERE, PEER, '0x101', 'if_id 42'), policy(OUT, HERE, PEER)],
		code: 'out.acquire',
		says: /by if_id: want 0x0, have 0x2a/,
		first: /policy delete .*policy add .* if_id 0x2a tmpl/,
	},
	{
		name: 'disable_xfrm',
		rules: [tunnel, policy(OUT, HERE, PEER)],
		sysctl: ['net.ipv4.conf.wan.disable_xfrm', 1],
		code: 'fwd.exempt',
		says: /disable_xfrm is set for wan/,
		first: /sysctl -w net\.ipv4\.conf\.wan\.disable_xfrm=0/,
	},
	{
		name: 'no forwarding',
		rules: [tunnel, policy(OUT, HERE, PEER)],
		sysctl: ['net.ipv4.ip_forward', 0],
		code: 'host.not-forwarding',
		says: /forwarding is off/,
		first: /sysctl -w net\.ipv4\.ip_forward=1/,
	},
	{
		name: 'a tunnel from an address that moved away',
		rules: [state('203.0.113.5', PEER, '0x101'), policy(OUT, '203.0.113.5', PEER)],
		code: 'out.bundle.route',
		says: /203\.0\.113\.5 is no address of this host/,
		first: /policy update .*src 192\.0\.2\.1 .*state add src 192\.0\.2\.1 /,
	},
	{
		name: 'an output-mark without a route',
		rules: [
			'rule add fwmark 5 table 50',
			'route add unreachable default table 50',
			state(HERE, PEER, '0x101', 'output-mark 5'),
			policy(OUT, HERE, PEER),
		],
		code: 'out.bundle.route',
		says: /mark 0x5, the output-mark of state 0x00000101/,
		first: /take the output-mark from state 0x00000101/,
	},
];

const INWARD: readonly Mistake[] = [
	{
		name: 'the selector of fwd exchanged',
		rules: [inward, policy('src 10.1.0.0/16 dst 10.2.0.0/16 dir fwd', PEER, HERE)],
		code: 'check.policy.none',
		says: /would match if its src and dst were exchanged/,
		first: /policy add src 10\.2\.0\.0\/16 dst 10\.1\.0\.0\/16 dir fwd/,
	},
	{
		name: 'AH asked for, ESP came',
		rules: [inward, policy(FWD, PEER, HERE).replace('proto esp', 'proto ah')],
		code: 'check.template',
		says: /Proto: want ah, have esp/,
		first: /proto esp.*policy update .*proto esp mode tunnel/,
	},
	{
		name: 'the keys of the directions exchanged',
		rules: [inward.replace(KEY, OTHER_KEY), tunnel, policy(FWD, PEER, HERE)],
		code: 'in.icv',
		says: /integrity check failed/,
		first: /sealed with the key of state 0x00000101/,
	},
	{
		name: 'rules with an if_id, and no interface',
		rules: [state(PEER, HERE, '0x202', 'if_id 42'), policy(`${FWD} if_id 42`, PEER, HERE)],
		code: 'check.policy.none',
		says: /by if_id: want 0x2a, have 0x0/,
		first: /link add ipsec0 type xfrm if_id 0x2a/,
	},
	{
		name: 'the interface is down',
		rules: [
			...link(42),
			'link set ipsec0 down',
			state(PEER, HERE, '0x202', 'if_id 42'),
			policy(`${FWD} if_id 42`, PEER, HERE),
		],
		code: 'check.policy.none',
		says: /if_id/,
		first: /link set ipsec0 up/,
	},
	{
		name: 'a state without the if_id of interface and policy',
		rules: [...link(42), inward, policy(`${FWD} if_id 42`, PEER, HERE)],
		code: 'check.policy.none',
		says: /if_id/,
		first: /state add .* if_id 0x2a/,
	},
	{
		name: 'mode transport where the peer sends a tunnel',
		rules: [inward.replace('mode tunnel', 'mode transport'), policy(FWD, PEER, HERE)],
		code: 'in.state.proto',
		says: /its sender uses tunnel mode, but the state is of mode transport/,
		first: /state add .*mode tunnel/,
	},
	{
		name: 'strict rp_filter, and the way back to the peer is another device',
		rules: ['route add 198.51.100.0/24 dev lan', inward, policy(FWD, PEER, HERE)],
		sysctl: ['net.ipv4.conf.all.rp_filter', 1],
		code: 'host.reverse-path',
		says: /rp_filter/,
		first: /sysctl -w net\.ipv4\.conf\.all\.rp_filter=2/,
	},
	{
		name: 'only a block takes what came out',
		rules: [inward, 'xfrm policy add dst 10.1.0.0/16 dir fwd action block priority 5'],
		code: 'check.block',
		says: /its action is block/,
		first: /policy add .*dir fwd priority 4 tmpl/,
	},
];

/** A packet from 10.2.0.9 to 10.1.0.5, as the peer seals it. */
function fromPeer(): Uint8Array {
	const peer = gatewayAt('10.2.0.1/16', `${PEER}/24`, [inward, policy('dir out', PEER, HERE)]);
	const flow = 'src 10.2.0.9 dst 10.1.0.5 proto udp dport 5 dev lan dir fwd';
	const bytes = parseHex(ask(peer, flow).packets[0] ?? '');
	assert.ok(bytes instanceof Uint8Array && bytes.length > 0);
	return bytes;
}

function judge(
	mistake: Mistake,
	put: (explainer: Explainer, options: PacketOptions) => void,
): void {
	const explainer = gateway(...mistake.rules);
	if (mistake.sysctl !== undefined) {
		explainer.setSysctl(...mistake.sysctl);
	}
	put(explainer, {});
	const { code, reason } = explainer.question?.answer ?? {};
	assert.equal(code, mistake.code);
	assert.match(reason ?? '', mistake.says);
	const first = firstFix(explainer);
	assert.match([first?.text, ...(first?.commands ?? [])].join('  '), mistake.first);
	assert.equal(first?.outcome, 'transform');
	put(explainer, paste(explainer, first));
	const { outcome, reason: after } = explainer.question?.answer ?? {};
	assert.equal(outcome, 'transform', after);
}

describe('what goes out', () => {
	for (const mistake of OUTWARD) {
		it(mistake.name, () => {
			judge(mistake, (explainer, options) =>
				ask(explainer, 'src 10.1.0.5 dst 10.2.0.9 proto udp dport 53 dev lan dir fwd', options),
			);
		});
	}
});

describe('what comes in', () => {
	for (const mistake of INWARD) {
		it(mistake.name, () => {
			judge(mistake, (explainer, options) =>
				explainer.ask(fromPeer(), { device: 'wan', ...options }),
			);
		});
	}
});
