/** Fixes are found for what goes wrong in practice, come out right when carried out, and tell no key. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { linux619 } from '@xfrm/engine';
import { parseHex } from '@xfrm/wire';
import type { Fix } from './answer.ts';
import type { Explainer } from './explainer.ts';
import { ask, gateway, gatewayAt, KEY, policy, state } from './explainer-fixture.test.ts';
import { findFixes } from './fixes.ts';

const SECRET = KEY.slice(2);
const FLOW = 'src 10.1.0.5 dst 10.2.0.9 proto udp sport 5 dport 6 dir fwd';
const OUT = 'src 10.1.0.0/16 dst 10.2.0.0/16 dir out';
const BACK = 'src 10.2.0.0/16 dst 10.1.0.0/16';
const HERE = '192.0.2.1';
const PEER = '198.51.100.7';

function fixesOf(explainer: Explainer): readonly Fix[] {
	return findFixes(explainer, { keyName: () => 'key#1' });
}

/** A packet of the peer, as its state with these words seals it. */
function fromPeer(words = '', spi = '0x202'): Uint8Array {
	const reqid = words.match(/reqid \d+/)?.[0] ?? '';
	const peer = gatewayAt('10.2.0.1/16', `${PEER}/24`, [
		state(PEER, HERE, spi, words),
		policy('dir out', PEER, HERE, reqid),
	]);
	const { packets } = ask(peer, 'src 10.2.0.9 dst 10.1.0.5 proto udp sport 6 dport 5 dir fwd', {
		device: 'lan',
	});
	const bytes = parseHex(packets[0] ?? '');
	assert.ok(bytes instanceof Uint8Array && bytes.length > 0);
	return bytes;
}

interface Outward {
	readonly name: string;
	readonly rules: readonly string[];
	/** What the first command has to say. */
	readonly first: RegExp;
	readonly outcome?: string;
}

const OUTWARD: readonly Outward[] = [
	{
		name: 'another reqid',
		rules: [state(HERE, PEER, '0x101', 'reqid 5'), policy(OUT, HERE, PEER, 'reqid 7')],
		first: /policy update .* reqid 5 /,
	},
	{
		name: 'another mode',
		rules: [
			state(HERE, PEER, '0x101').replace('mode tunnel', 'mode beet'),
			policy(OUT, HERE, PEER),
		],
		first: /policy update .* mode beet/,
	},
	{
		name: 'another endpoint',
		rules: [state(HERE, '198.51.100.8', '0x101'), policy(OUT, HERE, PEER)],
		first: /policy update .* dst 198\.51\.100\.8 proto esp/,
	},
	{
		name: 'an if_id that only the state has',
		rules: [state(HERE, PEER, '0x101', 'if_id 3'), policy(OUT, HERE, PEER)],
		first: /state delete /,
	},
	{
		name: 'a mark that only the state has',
		rules: [state(HERE, PEER, '0x101', 'mark 3'), policy(OUT, HERE, PEER)],
		first: /state delete .* mark 0x3 mask 0xffffffff/,
	},
	{
		name: 'an SPI in the template',
		rules: [state(HERE, PEER, '0x101'), policy(OUT, HERE, PEER, 'spi 0x999')],
		first: /policy update (?!.*spi)/,
	},
	{
		name: "a state's selector",
		rules: [
			`${state(HERE, PEER, '0x101')} sel src 10.1.0.0/16 dst 10.9.0.0/16`,
			policy(OUT, HERE, PEER),
		],
		first: /state delete /,
	},
	{
		name: 'no state at all',
		rules: [policy(OUT, HERE, PEER, 'reqid 9')],
		first: /state add src 192\.0\.2\.1 dst 198\.51\.100\.7 .* reqid 9 .* KEY 128/,
	},
	{
		name: 'a policy that blocks before',
		rules: [
			state(HERE, PEER, '0x101'),
			policy(`${OUT} priority 20`, HERE, PEER),
			'xfrm policy add dir out action block priority 10',
		],
		first: /policy update .* priority 9 /,
	},
	{
		name: 'a port that the policy does not have',
		rules: [
			state(HERE, PEER, '0x101'),
			policy('src 10.1.0.0/16 dst 10.2.0.0/16 proto udp dport 7 dir out', HERE, PEER),
		],
		first: /policy add .* proto udp dport 6 dir out/,
	},
	{
		name: "a policy's mark",
		rules: [state(HERE, PEER, '0x101'), policy(`${OUT} mark 5`, HERE, PEER)],
		first: /nft add rule inet mangle prerouting .* meta mark set 0x5/,
	},
	{
		name: 'a limit that is reached',
		rules: [state(HERE, PEER, '0x101', 'limit byte-hard 1'), policy(OUT, HERE, PEER)],
		first: /state add (?!.*spi 0x00000101)(?!.*limit).* KEY 128/,
	},
	{
		name: 'the last sequence number',
		rules: [state(HERE, PEER, '0x101', 'replay-oseq 0xffffffff'), policy(OUT, HERE, PEER)],
		first: /state add (?!.*spi 0x00000101).* KEY 128/,
	},
];

describe('fixes of packets that leave', () => {
	for (const { name, rules, first } of OUTWARD) {
		it(`mend ${name}`, () => {
			const explainer = gateway(...rules);
			ask(explainer, FLOW, { device: 'lan' });
			// The second packet of an exhausted state is the one that is dropped.
			if (explainer.question?.answer.outcome === 'transform') {
				ask(explainer, FLOW, { device: 'lan' });
			}
			const [best, ...more] = fixesOf(explainer);
			assert.match(best?.commands[0] ?? 'none', first);
			assert.equal(best?.outcome, 'transform');
			assert.ok(more.length <= 2);
			assert.ok(!JSON.stringify([best, ...more]).includes(SECRET));
		});
	}

	it('are there for none that goes right, nor for one that no policy is meant for', () => {
		const explainer = gateway(state(HERE, PEER, '0x101'), policy(OUT, HERE, PEER));
		ask(explainer, FLOW, { device: 'lan' });
		assert.deepEqual(fixesOf(explainer), []);
		ask(explainer, 'src 10.1.0.5 dst 203.0.113.9 proto udp dir fwd', { device: 'lan' });
		assert.equal(explainer.question?.answer.outcome, 'pass');
		assert.deepEqual(fixesOf(explainer), []);
	});

	it('install the tunnel that a catch-all waits for', () => {
		const explainer = gateway(
			state(HERE, PEER, '0x101', 'reqid 5 mark 0x1e00 mask 0xff00'),
			policy(`${OUT} mark 0x1e00 mask 0xff00`, HERE, PEER, 'reqid 5'),
			'xfrm policy add dir out mark 0xe00 mask 0xf00 action block priority 100',
		);
		ask(explainer, `${FLOW.replace('10.2.0.9', '10.3.0.9')} mark 0x2e00`, { device: 'lan' });
		const [best] = fixesOf(explainer);
		assert.equal(best?.outcome, 'transform');
		assert.match(
			best?.commands[0] ?? '',
			/policy add src 10\.1\.0\.0\/16 dst 10\.3\.0\.0\/16 dir out mark 0x2e00 mask 0xff00 .* dst PEER/,
		);
		assert.match(best?.commands[1] ?? '', /state add src 192\.0\.2\.1 dst PEER .* KEY 128$/);
	});

	it('are tried with the policies near the packet where there are many', () => {
		const many = Array.from({ length: 2100 }, (_, i) =>
			policy(`src 10.200.${i >> 8}.${i & 255}/32 dst 10.2.0.0/16 dir out`, HERE, PEER, 'reqid 9'),
		);
		const explainer = gateway(
			...many,
			state(HERE, PEER, '0x101', 'reqid 5'),
			policy(OUT, HERE, PEER, 'reqid 7'),
		);
		ask(explainer, FLOW, { device: 'lan' });
		const [best] = fixesOf(explainer);
		assert.match(best?.commands[0] ?? 'none', /policy update src 10\.1\.0\.0\/16 .* reqid 5 /);
	});
});

interface Inward {
	readonly name: string;
	readonly packet: () => Uint8Array;
	readonly rules: readonly string[];
	readonly first: RegExp;
	readonly outcome: string;
}

const IN = policy(`${BACK} dir fwd`, PEER, HERE, 'reqid 2');

const INWARD: readonly Inward[] = [
	{
		name: 'another SPI, by the same key',
		packet: () => fromPeer('reqid 2', '0x203'),
		rules: [state(PEER, HERE, '0x202', 'reqid 2'), IN],
		first: /state delete .* spi 0x00000202/,
		outcome: 'transform',
	},
	{
		name: 'a state for another address of this host',
		packet: () => fromPeer('reqid 2'),
		rules: [state(PEER, '203.0.113.1', '0x202', 'reqid 2'), IN],
		first: /state delete .* dst 203\.0\.113\.1/,
		outcome: 'transform',
	},
	{
		name: 'a mark that the packet lacks',
		packet: () => fromPeer('reqid 2'),
		rules: [state(PEER, HERE, '0x202', 'reqid 2 mark 0xd00 mask 0xf00'), IN],
		first: /nft add rule inet mangle prerouting ip saddr 198\.51\.100\.7 .* set 0xd00/,
		outcome: 'transform',
	},
	{
		name: 'ESP in UDP at a state without encap',
		packet: () => fromPeer('reqid 2 encap espinudp 4500 4500 0.0.0.0'),
		rules: [state(PEER, HERE, '0x202', 'reqid 2'), IN],
		first: /state delete /,
		outcome: 'transform',
	},
	{
		name: 'plain ESP at a state with encap',
		packet: () => fromPeer('reqid 2'),
		rules: [state(PEER, HERE, '0x202', 'reqid 2 encap espinudp 4500 4500 0.0.0.0'), IN],
		first: /state delete /,
		outcome: 'transform',
	},
	{
		name: 'extended sequence numbers at one end',
		packet: () => fromPeer('reqid 2 flag esn replay-window 32'),
		rules: [state(PEER, HERE, '0x202', 'reqid 2 replay-window 32'), IN],
		first: /state delete /,
		outcome: 'transform',
	},
	{
		name: 'another key',
		packet: () => fromPeer('reqid 2'),
		rules: [state(PEER, HERE, '0x202', 'reqid 2').replace(KEY, KEY.replace('3f', '40')), IN],
		first: /state delete /,
		outcome: 'unknown',
	},
	{
		name: 'another reqid in the policy',
		packet: () => fromPeer('reqid 2'),
		rules: [state(PEER, HERE, '0x202', 'reqid 3'), IN],
		first: /policy update .* reqid 3 /,
		outcome: 'transform',
	},
	{
		name: 'no fwd policy beside the in policy',
		packet: () => fromPeer('reqid 2'),
		rules: [state(PEER, HERE, '0x202', 'reqid 2'), policy(`${BACK} dir in`, PEER, HERE, 'reqid 2')],
		first: /policy add src 10\.2\.0\.0\/16 dst 10\.1\.0\.0\/16 dir fwd tmpl/,
		outcome: 'transform',
	},
	{
		name: 'only the out policy',
		packet: () => fromPeer('reqid 2'),
		rules: [state(PEER, HERE, '0x202', 'reqid 2'), policy(OUT, HERE, PEER, 'reqid 2')],
		first: /policy add src 10\.2\.0\.0\/16 dst 10\.1\.0\.0\/16 dir fwd tmpl src 198\.51\.100\.7/,
		outcome: 'transform',
	},
	{
		name: 'no policy at all',
		packet: () => fromPeer('reqid 2'),
		rules: [state(PEER, HERE, '0x202', 'reqid 2')],
		first: /policy add src 10\.2\.0\.9\/32 dst 10\.1\.0\.5\/32 dir fwd tmpl .* reqid 2/,
		outcome: 'transform',
	},
	{
		name: 'a selector of the state',
		packet: () => fromPeer('reqid 2'),
		rules: [
			`${state(PEER, HERE, '0x202', 'reqid 2')} sel src 10.2.0.0/16 dst 10.1.0.0/16 proto udp dport 9`,
			IN,
		],
		first: /state delete /,
		outcome: 'transform',
	},
];

describe('fixes of packets that come in', () => {
	for (const { name, packet, rules, first, outcome } of INWARD) {
		it(`mend ${name}`, () => {
			const explainer = gateway(...rules);
			explainer.openEncapSocket(2, 4500, 'espinudp');
			explainer.ask(packet(), { direction: 'in', device: 'wan' });
			const fixes = fixesOf(explainer);
			assert.match(fixes[0]?.commands[0] ?? 'none', first);
			assert.equal(fixes[0]?.outcome, outcome);
			assert.ok(!JSON.stringify(fixes).includes(SECRET));
		});
	}

	it('let no replay in', () => {
		const explainer = gateway(state(PEER, HERE, '0x202', 'reqid 2 replay-window 32'), IN);
		const packet = fromPeer('reqid 2');
		explainer.ask(packet, { direction: 'in', device: 'wan' });
		explainer.ask(packet, { direction: 'in', device: 'wan' });
		assert.equal(explainer.question?.answer.code, 'in.replay.repeated');
		assert.deepEqual(fixesOf(explainer), []);
	});

	it('give both ends new keys when a sender counts anew, and tell how far it fell back', () => {
		const explainer = gateway(state(PEER, HERE, '0x202', 'reqid 2 replay-window 32'), IN);
		const late = fromPeer('reqid 2 replay-oseq 4000');
		explainer.ask(late, { direction: 'in', device: 'wan' });
		explainer.ask(fromPeer('reqid 2'), { direction: 'in', device: 'wan' });
		assert.equal(explainer.question?.answer.code, 'in.replay.old');
		const [best, ...more] = fixesOf(explainer);
		assert.match(best?.text ?? '', /counts anew \(4000 behind\)/);
		assert.match(best?.commands[0] ?? '', /^ip xfrm state add .* spi 0xc0de0001 .* KEY 128$/);
		assert.deepEqual([best?.outcome, more], ['transform', []]);
	});

	it('that let a packet in in clear are for this packet alone, and stand last', () => {
		const explainer = gateway(state(PEER, HERE, '0x202', 'reqid 2'), IN);
		ask(explainer, 'src 10.2.0.9 dst 10.1.0.5 proto udp dport 53 dir fwd', { device: 'wan' });
		assert.equal(explainer.question?.answer.counter, 'XfrmInTmplMismatch');
		const fixes = fixesOf(explainer);
		assert.deepEqual(
			fixes.map(({ outcome }) => outcome),
			['pass'],
		);
		assert.match(
			fixes[0]?.commands.at(-1) ?? '',
			/policy add src 10\.2\.0\.9\/32 dst 10\.1\.0\.5\/32 proto udp dport 53 dir fwd$/,
		);
	});

	it('block what leaked past a block for the other family', () => {
		const block = 'xfrm policy add src 0.0.0.0/0 dst 0.0.0.0/0 dir out action block priority 9';
		const explainer = gateway(
			'-6 addr add 2001:db8:9::1/64 dev wan',
			'-6 route add default dev wan',
			block,
		);
		ask(explainer, 'src 2001:db8:1::5 dst 2001:db8:2::9 proto udp dir fwd', { device: 'lan' });
		assert.equal(explainer.question?.answer.outcome, 'pass');
		assert.deepEqual(
			fixesOf(explainer).map(({ commands, outcome }) => [...commands, outcome]),
			[['ip xfrm policy add src ::/0 dst ::/0 dir out priority 9 action block', 'drop']],
		);
		ask(explainer, 'src 2001:db8:9::1 dst ff02::1 proto ipv6-icmp type 135 dir out');
		assert.equal(explainer.question?.answer.outcome, 'pass');
		assert.deepEqual(fixesOf(explainer), [], 'neighbours are to be found');
	});

	it('make a state anew with all that it had', () => {
		const words = 'reqid 4 flag af-unspec dir out pcpu-num 0';
		const explainer = gatewayAt(
			'10.1.0.1/16',
			`${HERE}/24`,
			[state(PEER, HERE, '0x202', words), IN],
			linux619,
		);
		explainer.ask(fromPeer('reqid 2'), { direction: 'in', device: 'wan' });
		assert.equal(explainer.question?.answer.counter, 'XfrmInStateDirError');
		const made = fixesOf(explainer)[0]?.commands.find((one) => one.includes('state add')) ?? '';
		for (const word of ['reqid 4', 'flag af-unspec', 'pcpu-num 0', 'dir in']) {
			assert.ok(made.includes(word), `${word}: ${made}`);
		}
	});

	it('come with the keys of the peer where its rules are known', () => {
		const explainer = gateway(
			state(PEER, HERE, '0x202', 'reqid 2').replace(KEY, KEY.replace('3f', '40')),
			IN,
		);
		const peer = gateway(state(PEER, HERE, '0x202', 'reqid 2'));
		const { engine } = peer.world;
		const peerStates = [...engine.states()].map((one) => engine.snapshotState(one));
		explainer.ask(fromPeer('reqid 2'), { direction: 'in', device: 'wan' });
		const [best] = findFixes(explainer, { keyName: () => 'key#1', peerStates });
		assert.equal(best?.outcome, 'transform');
		assert.match(best?.text ?? '', /that the peer has/);
	});
});
