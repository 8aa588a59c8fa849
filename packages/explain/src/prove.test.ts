/** Claims about sets of flows: what holds, what does not, and an example that a lookup confirms. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Explainer } from './explainer.ts';
import { gateway, policy, state } from './explainer-fixture.test.ts';
import { InputError } from './input.ts';
import { FlowLookup } from './lookup.ts';
import { proofText, prove } from './prove.ts';
import { numbers, picker, randomHost } from './random-rules-fixture.test.ts';

function site(): Explainer {
	const explainer = gateway(
		state('192.0.2.1', '192.0.2.2', '0x100', 'reqid 1'),
		policy('src 10.1.0.0/16 dst 10.2.0.0/16 dir out', '192.0.2.1', '192.0.2.2', 'reqid 1'),
		'xfrm policy add src 10.0.0.0/8 dst 192.168.0.0/16 proto tcp dport 443 dir out action block',
	);
	explainer.prepare();
	return explainer;
}

describe('prove', () => {
	it('says for which flows a claim does not hold, and what becomes of the others', () => {
		const { world } = site();
		const proof = prove(world, 'src 10.0.0.0/8 dir out never pass');
		assert.deepEqual(
			proof.boxes.map(({ flows, outcome }) => [flows, outcome]),
			[
				['src 10.0.0.0/8 but 10.1.0.0/16 dst any but 192.168.0.0/16', 'pass'],
				['src 10.0.0.0/8 dst 192.168.0.0/16 proto any but tcp', 'pass'],
				['src 10.0.0.0/8 dst 192.168.0.0/16 proto tcp dport any but 443', 'pass'],
				['src 10.1.0.0/16 dst any but 10.2.0.0/16, 192.168.0.0/16', 'pass'],
			],
		);
		assert.equal(proof.holds, false);
		assert.deepEqual(proof.rest, { boxes: 2, outcomes: ['drop', 'transform'] });
		assert.deepEqual(proofText(proof).slice(0, 3), [
			'NO: src 10.0.0.0/8 but 10.1.0.0/16 dst any but 192.168.0.0/16 goes in clear. For example',
			'  src 10.0.0.1 dst 198.51.100.1 proto udp sport 40000 dport 53 dir out',
			'    meets no policy; default out is accept',
		]);
	});

	const claims: readonly (readonly [string, boolean])[] = [
		['src 10.1.3.0/24 dst 10.2.9.0/24 dir out always transform', true],
		['src 10.1.3.0/24 dst 10.2.9.0/24 dir out never pass,drop', true],
		['src 10.1.0.0/16 dst 10.2.0.0/15 dir out always protected', false],
		[
			'src 10.4.0.0/14,10.1.0.0/16 dst 192.168.7.0/24 proto tcp dport 443 dir out always drop',
			true,
		],
		['dst 192.168.0.0/16 proto tcp dport 440-443 dir out never pass', false],
		['dst 192.168.0.0/16 proto tcp dport 440-442 src any dir out never drop', true],
		['src 2001:db8::/32 dir out always clear', true],
		['src 10.1.0.0/16 dst 10.2.0.0/16 mark 5/7 dir out always transform', true],
		['src 10.1.0.0/16 dst 10.2.0.0/16 if_id 4 dir out always pass', true],
	];
	for (const [question, holds] of claims) {
		it(`${question}: ${holds}`, () => {
			assert.equal(prove(site().world, question).holds, holds);
		});
	}

	it('tells everything where nothing is claimed', () => {
		const proof = prove(site().world, 'src 10.1.0.0/16 dst 10.2.0.0/15 dir out');
		assert.equal(proof.holds, null);
		assert.deepEqual(
			proof.boxes.map(({ flows, outcome }) => [flows, outcome]),
			[
				['src 10.1.0.0/16 dst 10.3.0.0/16', 'pass'],
				['src 10.1.0.0/16 dst 10.2.0.0/16', 'transform'],
			],
		);
	});

	it('says what it does not understand', () => {
		const { world } = site();
		for (const [question, message] of [
			['src 10.0.0.0/8 never pass', /expected dir in, dir out or dir fwd/],
			['dir out never fly', /^15: found "fly", expected pass, transform/.source],
			['dir out sorce 10.0.0.0/8', /^9: found "sorce", expected src, dst/.source],
			['dir out dst 10.0.0.0/33', /^13: found "10\.0\.0\.0\/33", expected numbers to 32/.source],
			['dir in via 0x55', /expected the SPI of a state in the rules/],
		] as const) {
			assert.throws(
				() => prove(world, question),
				(error) => error instanceof InputError && new RegExp(message).test(error.message),
				question,
			);
		}
	});

	it('gives examples that a lookup confirms, on random rules', () => {
		let confirmed = 0;
		for (let seed = 1; seed <= 40; seed++) {
			const random = numbers(seed);
			const pick = picker(random);
			const { explainer } = randomHost(seed + 500, 40);
			const lookup = new FlowLookup(explainer.world);
			const question = [
				pick(['', 'src 10.0.0.0/8', 'dst 198.51.100.0/24', 'src 2001:db8::/32']),
				pick(['', 'proto udp', 'proto tcp,icmp', 'dport 1-1023']),
				`dir ${pick(['out', 'in', 'fwd'])} ${pick(['never', 'always'])}`,
				pick(['pass', 'transform', 'drop', 'acquire']),
			].join(' ');
			for (const box of prove(explainer.world, question).boxes) {
				const { outcome, counter, policies, states } = lookup.answer(box.witness);
				assert.deepEqual(
					{ outcome, counter, policies, states },
					{
						outcome: box.outcome,
						counter: box.counter,
						policies: box.policies,
						states: box.states,
					},
					`seed ${seed}: ${question}: ${box.witness}`,
				);
				confirmed++;
			}
		}
		assert.ok(confirmed > 100, `${confirmed} examples`);
	});
});
