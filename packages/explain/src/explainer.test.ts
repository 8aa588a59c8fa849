import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { linux619 } from '@xfrm/engine';
import { parseHex } from '@xfrm/wire';
import type { Explainer } from './explainer.ts';
import { ask, gateway, gatewayAt, KEY, misses, policy, state } from './explainer-fixture.test.ts';

const [HERE, THERE] = ['192.0.2.1', '198.51.100.7'];
const OUT = policy('src 10.1.0.0/16 dst 10.2.0.0/16 dir out priority 100', HERE, THERE, 'reqid 5');
const IN = policy('src 10.2.0.0/16 dst 10.1.0.0/16 dir in', THERE, HERE, 'reqid 5');
const FWD = policy('src 10.2.0.0/16 dst 10.1.0.0/16 dir fwd', THERE, HERE, 'reqid 5');
const FLOW = 'src 10.1.0.5 dst 10.2.0.9 proto udp dport 53 dir fwd dev lan';

/** What the other end sends: made by a gateway there, with the same state. */
function fromThere(spi: string, more: string, flow: string): Uint8Array {
	const there = gatewayAt('10.2.0.1/16', '198.51.100.7/24', [
		state(THERE, HERE, spi, more),
		policy('src 0.0.0.0/0 dst 10.1.0.0/16 dir out', THERE, HERE),
	]);
	const [hex = ''] = ask(there, flow).packets;
	const bytes = parseHex(hex);
	assert.ok(bytes instanceof Uint8Array);
	return bytes;
}

describe('outcomes', () => {
	const rows: readonly {
		readonly name: string;
		readonly rules: readonly string[];
		readonly flow?: string;
		readonly want: readonly [outcome: string, counter: string | null, code: string];
	}[] = [
		{ name: 'no policy', rules: [], want: ['pass', null, 'fwd.policy.none'] },
		{
			name: 'a policy without templates',
			rules: ['xfrm policy add dst 10.2.0.0/16 dir out'],
			want: ['pass', null, 'fwd.policy.allow'],
		},
		{
			name: 'a policy that blocks',
			rules: ['xfrm policy add dst 10.2.0.0/16 dir out action block'],
			want: ['drop', 'XfrmOutPolBlock', 'out.policy.block'],
		},
		{
			name: 'a default of block has no counter',
			rules: ['xfrm policy setdefault out block'],
			want: ['drop', null, 'out.default.block'],
		},
		{
			name: 'a state is there',
			rules: [OUT, state(HERE, THERE, '0x100', 'reqid 5')],
			want: ['transform', null, 'fwd.transformed'],
		},
		{
			name: 'no state is there',
			rules: [OUT],
			want: ['acquire', 'XfrmOutNoStates', 'out.acquire'],
		},
		{
			name: 'no state for an optional template: it passes, and a key manager is asked all the same',
			rules: [
				'xfrm policy add src 10.1.0.5 dst 10.2.0.9 dir out tmpl proto esp mode transport level use',
			],
			want: ['pass', null, 'fwd.optional'],
		},
		{
			name: 'clear text that a fwd policy wants protected',
			rules: [FWD],
			flow: 'src 10.2.0.9 dst 10.1.0.5 proto udp dport 53 dir fwd dev wan',
			want: ['drop', 'XfrmInTmplMismatch', 'check.template'],
		},
		{
			name: 'clear text for this host, to a port that nobody is known to listen on',
			rules: [],
			flow: 'src 10.2.0.9 dst 10.1.0.1 proto tcp dport 22 dir in dev wan',
			want: ['pass', null, 'in.policy.none'],
		},
		{
			name: 'an echo for this host in clear, allowed, whose answer leaves protected',
			rules: [
				'xfrm policy add src 10.2.0.9 dst 10.1.0.1 proto icmp dir in',
				policy('src 10.1.0.1 dst 10.2.0.9 dir out', HERE, THERE),
				state(HERE, THERE, '0x100', ''),
			],
			flow: 'src 10.2.0.9 dst 10.1.0.1 proto icmp type 8 dir in dev wan',
			want: ['pass', null, 'in.policy.allow'],
		},
	];
	for (const { name, rules, flow, want } of rows) {
		it(name, () => {
			const answer = ask(gateway(...rules), flow ?? FLOW);
			assert.deepEqual([answer.outcome, answer.counter, answer.code], want, answer.reason);
		});
	}
});

it('asks no policy about what this host sends to itself', () => {
	const explainer = gateway(policy('dst 0.0.0.0/0 dir out', HERE, THERE));
	const { outcome, code } = ask(explainer, `src ${HERE} dst 10.1.0.1 proto udp dir out`);
	assert.deepEqual([outcome, code], ['pass', 'out.exempt']);
	// IPv6 has no disable_xfrm, which lo has set in IPv4.
	explainer.run('-6 addr add 2001:db8::1/64 dev wan');
	explainer.run(policy('dst ::/0 dir out', '2001:db8::1', '2001:db8::7'));
	const six = ask(explainer, 'src 2001:db8::1 dst 2001:db8::1 proto udp dir out');
	assert.deepEqual([six.outcome, six.code], ['acquire', 'out.acquire']);
});

it('says of what goes on in clear behind a tunnel which policy nearly took it', () => {
	const packet = fromThere('0x200', '', 'src 10.2.0.9 dst 10.1.0.5 proto udp dport 9 dir fwd');
	const out = policy('src 10.9.0.0/16 dst 10.1.0.0/16 dir out', HERE, '203.0.113.9');
	const here = gateway(FWD, out, state(THERE, HERE, '0x200', 'reqid 5'));
	const { code, reason } = here.ask(packet, { direction: 'in', device: 'wan' });
	assert.equal(code, 'in.forwarded');
	assert.match(
		reason,
		/It goes on in clear: the nearest policy, policy out 9 .* by src: want 10\.9/,
	);
});

it('says of a sub policy that decides alone that it does', () => {
	const sub = 'xfrm policy add src 10.1.0.0/16 dst 10.2.0.0/16 dir out ptype sub';
	const { outcome, code, reason } = ask(gateway(sub), FLOW);
	assert.deepEqual([outcome, code], ['pass', 'fwd.policy.allow']);
	assert.match(reason, /policy out 1 \(sub\) .* allows it/);
});

describe('near misses', () => {
	it('names the field, what was wanted and what was there: a state with another reqid', () => {
		const answer = ask(gateway(OUT, state(HERE, THERE, '0x100', 'reqid 6')), FLOW);
		assert.deepEqual(misses(answer), ['STATE 0x00000100 reqid: 5, 6']);
		assert.match(answer.reason, /state 0x00000100 .* does not fit by reqid: want 5, have 6/);
	});

	it('says of an incoming packet what the state wants and what the packet has', () => {
		const packet = fromThere('0x200', '', 'src 10.2.0.9 dst 10.1.0.1 proto udp dport 9 dir fwd');
		const here = gateway(IN, state(THERE, HERE, '0x200', 'mark 0xd00 mask 0xf00'));
		const answer = here.ask(packet, { direction: 'in', device: 'wan' });
		assert.deepEqual(
			[answer.outcome, answer.counter, answer.code],
			['drop', 'XfrmInNoStates', 'in.state.mark'],
		);
		assert.deepEqual(misses(answer), ['STATE 0x00000200 mark: 0xd00/0xf00, 0x0']);
		assert.ok(answer.steps.some((step) => step.step === 'HOOK'));
	});

	it('finds the policy that was meant for another direction', () => {
		const packet = fromThere('0x200', '', 'src 10.2.0.9 dst 10.1.0.1 proto udp dport 9 dir fwd');
		const here = gateway(FWD, state(THERE, HERE, '0x200', 'reqid 5'));
		const answer = here.ask(packet, { direction: 'in', device: 'wan' });
		assert.deepEqual([answer.outcome, answer.counter], ['drop', 'XfrmInNoPols']);
		assert.ok(misses(answer).includes('POLICY fwd 2 dir: dir fwd, dir in'), misses(answer).join());
		assert.deepEqual(
			answer.states.map(({ spi, refused }) => [spi, refused]),
			[['0x00000200', undefined]],
		);
	});

	it('shows the nearest of many policies, not all of them', () => {
		const many = Array.from({ length: 60 }, (_, i) =>
			policy(`src 10.1.0.0/16 dst 172.16.${i}.0/24 dir out`, HERE, THERE),
		);
		const near = policy('src 10.1.0.0/16 dst 10.2.0.0/16 proto tcp dir out', HERE, THERE);
		const answer = ask(gateway(...many, near), FLOW);
		const [first, ...rest] = misses(answer);
		assert.match(first ?? '', /^POLICY out \d+ proto: tcp, udp$/);
		assert.ok(rest.length < 8);
	});

	it('tells of ties who came first', () => {
		const first = policy(
			'src 10.0.0.0/8 dst 10.2.0.0/16 dir out priority 9',
			HERE,
			THERE,
			'reqid 1',
		);
		const second = policy('src 10.1.0.0/16 dst 10.2.0.0/16 dir out priority 9', HERE, THERE);
		const answer = ask(gateway(first, second), FLOW);
		assert.equal(answer.policies[0]?.selector, 'src 10.0.0.0/8 dst 10.2.0.0/16');
		assert.match(misses(answer)[0] ?? '', /^POLICY out 9 order: /);
	});
});

describe('an incoming packet', () => {
	const flow = 'src 10.2.0.9 dst 10.1.0.1 proto udp dport 9 dir fwd';

	it('is delivered: policies, states and packets are those of the way', () => {
		const here = gateway(IN, FWD, state(THERE, HERE, '0x200', 'reqid 5 replay-window 32'));
		const packet = fromThere('0x200', '', flow);
		const answer = here.ask(packet, { direction: 'in', device: 'wan' });
		assert.deepEqual(
			{
				outcome: answer.outcome,
				policies: answer.policies.map(({ dir, index }) => `${dir} ${index}`),
				states: answer.states.map(({ spi, mode, reqid }) => `${spi} ${mode} ${reqid}`),
				steps: answer.steps.map(({ step }) => step),
				inner: answer.packets.map((hex) => hex.length / 2),
			},
			{
				outcome: 'transform',
				policies: ['in 8'],
				states: ['0x00000200 tunnel 5'],
				steps: 'RECEIVE ROUTE STATE ESP MODE INSIDE ROUTE POLICY TEMPLATE DELIVER'.split(' '),
				inner: [28],
			},
		);
		const again = here.ask(packet, { direction: 'in', device: 'wan' });
		assert.deepEqual(
			[again.outcome, again.counter, again.code],
			['drop', 'XfrmInStateSeqError', 'in.replay.repeated'],
		);
		assert.deepEqual(
			again.states.map(({ spi, refused }) => [spi, refused]),
			[['0x00000200', true]],
		);
		assert.match(again.reason, /sequence number 1 was seen before/);
	});

	it('with the wrong key fails its integrity check', () => {
		const other = state(THERE, HERE, '0x200', 'reqid 5').replace('0x3f1a', '0x3f1b');
		const answer = gateway(IN, other).ask(fromThere('0x200', '', flow), {
			direction: 'in',
			device: 'wan',
		});
		assert.deepEqual([answer.counter, answer.code], ['XfrmInStateProtoError', 'in.icv']);
		assert.match(answer.reason, /integrity check failed.*rfc4106\(gcm\(aes\)\)/);
	});
});

describe('guesses are told', () => {
	it('of a host that nobody described', () => {
		const explainer = gateway(OUT, state(HERE, THERE, '0x100', 'reqid 5'));
		assert.deepEqual(ask(explainer, FLOW).assumed, []);
		const guessed = ask(explainer, 'src 10.1.0.5 dst 10.2.0.9 proto udp dport 53').assumed;
		assert.deepEqual(guessed, [
			'direction fwd, by the addresses of this host',
			'it arrives by lan',
		]);
	});

	it('of an address on lo, but for those that every host has there', () => {
		const assumed = (source: string): readonly string[] => {
			const explainer = gateway(OUT);
			explainer.run('ip addr add 10.3.0.1/32 dev lo');
			return ask(explainer, `src ${source} dst 10.2.0.9 proto udp`).assumed.slice(0, 1);
		};
		assert.deepEqual(assumed('10.3.0.1'), ['direction out, by the addresses of this host']);
		assert.deepEqual(assumed('127.0.0.1'), ['direction fwd, by the addresses of this host']);
	});
});

describe('hostile packets', () => {
	it('never throw: every truncation, every first octet', () => {
		const here = gateway(IN, FWD, OUT, state(THERE, HERE, '0x200', 'reqid 5'));
		const whole = fromThere('0x200', '', 'src 10.2.0.9 dst 10.1.0.1 proto udp dport 9 dir fwd');
		for (let octets = 20; octets < whole.length; octets += 3) {
			here.ask(whole.slice(0, octets), { direction: 'in', device: 'wan' });
		}
		for (let i = 0; i < 256; i++) {
			const damaged = whole.slice();
			damaged[20 + (i % 24)] = i;
			const answer = here.ask(damaged, { direction: 'in', device: 'wan' });
			assert.notEqual(answer.reason, '');
		}
	});
});

// @spec M-33 M-34
describe('IPTFS', () => {
	const gcm = `aead 'rfc4106(gcm(aes))' ${KEY} 128`;
	const end = (lan: string, wan: string, dir: string, more: string): Explainer =>
		gatewayAt(
			lan,
			wan,
			[
				`xfrm state add src ${HERE} dst ${THERE} proto esp spi 0x100 iptfs ${more} dir ${dir} ${gcm}`,
				`xfrm policy add src 10.1.0.0/16 dst 10.2.0.0/16 dir ${dir} tmpl src ${HERE} dst ${THERE} proto esp iptfs`,
			],
			linux619,
		);
	const sender = (more: string): Explainer => end('10.1.0.1/16', '192.0.2.1/24', 'out', more);

	it('is told as any tunnel, both ways', () => {
		const sent = ask(sender(''), FLOW);
		assert.deepEqual([sent.outcome, sent.code], ['transform', 'fwd.transformed']);
		const bytes = parseHex(sent.packets[0] ?? '');
		assert.ok(bytes instanceof Uint8Array);
		const got = end('10.2.0.9/16', '198.51.100.7/24', 'in', '').ask(bytes, {});
		assert.deepEqual([got.outcome, got.code], ['transform', 'in.delivered']);
	});

	it('keeps a packet for its delay', () => {
		const explainer = sender('iptfs-init-delay 5000');
		assert.equal(ask(explainer, FLOW).outcome, 'consume');
	});
});
