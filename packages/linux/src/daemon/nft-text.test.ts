import assert from 'node:assert/strict';
import { test } from 'node:test';
import { anySelector, Family, parseAddress, type Selector } from '@xfrm/wire/xfrm';
import type { CapturePlan } from './capture-plan.ts';
import { nftText, selectorText } from './nft-text.ts';

function address(text: string): Uint8Array {
	const parsed = parseAddress(text);
	assert.ok(parsed !== undefined);
	return parsed.address;
}

function selector(family: Family, changes: Partial<Selector>): Selector {
	return { ...anySelector(family), ...changes };
}

const v4: Partial<Selector> = {
	saddr: address('10.1.0.0'),
	prefixlenS: 16,
	daddr: address('10.2.0.9'),
	prefixlenD: 32,
};

const rows: readonly [string, Selector, string][] = [
	['everything', selector(Family.Ipv4, {}), 'meta nfproto ipv4 '],
	[
		'prefixes',
		selector(Family.Ipv4, v4),
		'meta nfproto ipv4 ip saddr 10.1.0.0/16 ip daddr 10.2.0.9/32 ',
	],
	[
		'IPv6',
		selector(Family.Ipv6, { daddr: address('2001:db8::'), prefixlenD: 32 }),
		'meta nfproto ipv6 ip6 daddr 2001:db8::/32 ',
	],
	[
		'ports, one of them with a mask',
		selector(Family.Ipv4, {
			proto: 17,
			dport: 53,
			dportMask: 0xffff,
			sport: 4096,
			sportMask: 0xf000,
		}),
		'meta nfproto ipv4 meta l4proto 17 th sport & 0xf000 == 0x1000 th dport 53 ',
	],
	[
		'type and code of ICMP',
		selector(Family.Ipv4, { proto: 1, sport: 8, sportMask: 0xffff, dport: 0, dportMask: 0xffff }),
		'meta nfproto ipv4 meta l4proto 1 icmp type 8 icmp code 0 ',
	],
	[
		'values of other protocols are the engine’s to judge',
		selector(Family.Ipv4, { proto: 47, sport: 1, sportMask: 0xffff }),
		'meta nfproto ipv4 meta l4proto 47 ',
	],
];

for (const [name, value, want] of rows) {
	test(`selector as conditions: ${name}`, () => {
		assert.equal(selectorText(value), want);
	});
}

test('the table: exceptions first, then entries in order', () => {
	const noMark = { v: 0, m: 0 };
	const entry = { selector: selector(Family.Ipv4, v4), mark: noMark, lane: 0 };
	const plan: CapturePlan = {
		lanes: [0, 7],
		out: [
			{ ...entry, protects: false },
			{ selector: undefined, mark: { v: 7, m: 0xff }, lane: 1, protects: true },
		],
		in: [{ ...entry, protects: true }],
		forward: [],
	};
	const text = nftText(plan);
	const flow = 'meta nfproto ipv4 ip saddr 10.1.0.0/16 ip daddr 10.2.0.9/32';
	const chains = text.split('\tchain ').slice(1);
	assert.deepEqual(
		chains.map((chain) => chain.slice(0, chain.indexOf(' '))),
		['output', 'prerouting', 'postrouting', 'input', 'forward'],
	);
	const [output = '', , postrouting = '', input = ''] = chains;
	const rules = (chain: string): readonly string[] =>
		chain
			.split('\n')
			.slice(1)
			.map((line) => line.trim())
			.filter((line) => line !== '' && line !== '}');
	assert.deepEqual(rules(output), [
		'type route hook output priority -140; policy accept;',
		'meta mark 0x58465201 accept',
		'icmpv6 type { 133, 134, 135, 136, 137 } accept',
		'oifname "lo" accept',
		`${flow} accept`,
		'meta mark & 0xff == 0x7 meta mark set 0x58465301 accept',
	]);
	assert.deepEqual(rules(postrouting), [
		'type filter hook postrouting priority 290; policy accept;',
		'oifname { "lo", "xfrmd0", "xfrmd1" } accept',
		'meta mark { 0x58465300, 0x58465301 } counter drop',
	]);
	assert.deepEqual(rules(input).slice(-2), [
		'meta l4proto { 50, 51, 108 } accept',
		`${flow} counter drop`,
	]);
});
