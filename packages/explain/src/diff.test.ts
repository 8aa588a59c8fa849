/** What other rules change: exactly the flows that a lookup sees treated in another way. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { diffRules, diffText } from './diff.ts';
import { gateway, policy, state } from './explainer-fixture.test.ts';
import { FlowLookup } from './lookup.ts';
import { numbers, randomFlow, randomHost } from './random-rules-fixture.test.ts';
import type { World } from './world.ts';

const OUT = 'src 10.1.0.0/16 dst 10.2.0.0/16 dir out';
const BACK = 'src 10.2.0.0/16 dst 10.1.0.0/16';

function world(...rules: readonly string[]): World {
	const explainer = gateway(...rules);
	explainer.prepare();
	return explainer.world;
}

function tunnel(spis: readonly [string, string], more = ''): string[] {
	return [
		state('192.0.2.1', '192.0.2.2', spis[0], `reqid 1 ${more}`),
		state('192.0.2.2', '192.0.2.1', spis[1], `reqid 1 ${more}`),
		policy(OUT, '192.0.2.1', '192.0.2.2', 'reqid 1'),
		policy(`${BACK} dir in`, '192.0.2.2', '192.0.2.1', 'reqid 1'),
		policy(`${BACK} dir fwd`, '192.0.2.2', '192.0.2.1', 'reqid 1'),
	];
}

describe('diff', () => {
	it('takes a rekey for what it is', () => {
		const diff = diffRules(
			world(...tunnel(['0x100', '0x200'])),
			world(...tunnel(['0x101', '0x201'])),
		);
		assert.deepEqual(diffText(diff), [
			'rekeyed  esp tunnel 192.0.2.2 → 192.0.2.1 reqid 1: 0x00000200 → 0x00000201',
			'rekeyed  esp tunnel 192.0.2.1 → 192.0.2.2 reqid 1: 0x00000100 → 0x00000101',
			'Every flow is treated as before.',
		]);
	});

	it('takes order, priorities and indexes for nothing', () => {
		const rules = tunnel(['0x100', '0x200']);
		const others = rules.map((rule) => rule.replace(' dir ', ' priority 7 dir ')).reverse();
		assert.equal(diffRules(world(...rules), world(...others)).same, true);
	});

	it('sees a policy that is gone, in each direction, protected or not', () => {
		const rules = tunnel(['0x100', '0x200']);
		const fewer = rules.filter((rule) => !rule.includes('dir fwd'));
		const { changes } = diffRules(world(...rules), world(...fewer));
		assert.deepEqual(
			changes.map(({ dir, flows, via, before, after }) => [
				dir,
				flows,
				via,
				before.outcome,
				after.outcome,
				after.counter,
			]),
			[
				['fwd', 'src 10.2.0.0/16 dst 10.1.0.0/16', undefined, 'drop', 'pass', null],
				[
					'fwd',
					'src 10.2.0.0/16 dst 10.1.0.0/16',
					'esp tunnel 192.0.2.2 → 192.0.2.1 reqid 1',
					'transform',
					'drop',
					'XfrmInNoPols',
				],
			],
		);
	});

	it('sees weaker algorithms, and a daemon that came back without its states', () => {
		const rules = tunnel(['0x100', '0x200']);
		const weaker = rules.map((rule) => rule.replace('128', '64'));
		assert.deepEqual(
			diffRules(world(...rules), world(...weaker)).changes.map(
				({ dir, before, after, via }) =>
					`${dir} ${before.outcome} ${after.outcome}${via === undefined ? '' : ' via'}`,
			),
			[
				'out transform transform',
				'in transform transform via',
				'fwd transform transform',
				'fwd transform transform via',
			],
		);
		const empty = rules.slice(2);
		const [out] = diffRules(world(...rules), world(...empty)).changes;
		assert.deepEqual([out?.dir, out?.after.outcome], ['out', 'acquire']);
	});

	it('contradicts no lookup, on random rules with a few changes', () => {
		let differing = 0;
		for (let seed = 1; seed <= 25; seed++) {
			const before = randomHost(seed, 40);
			const after = randomHost(seed, 40);
			const random = numbers(seed + 77);
			const policies = [...after.explainer.world.engine.policies()];
			const gone = policies[random(policies.length)];
			if (gone !== undefined) {
				const dir = ['in', 'out', 'fwd'][gone.direction];
				after.explainer.run(
					`xfrm policy delete index ${gone.index} dir ${dir}${gone.type === 1 ? ' ptype sub' : ''}`,
				);
			}
			const diff = diffRules(before.explainer.world, after.explainer.world);
			const [old, now] = [before, after].map(({ explainer }) => new FlowLookup(explainer.world));
			const lookBoth = (flow: string): boolean => {
				const [a, b] = [old?.answer(flow), now?.answer(flow)];
				const told = [a, b].map((one) => [
					one?.outcome,
					one?.outcome === 'drop' ? [] : one?.states,
				]);
				return JSON.stringify(told[0]) === JSON.stringify(told[1]);
			};
			for (const { witness, via } of diff.changes) {
				if (via === undefined) {
					assert.equal(lookBoth(witness), false, `seed ${seed}: ${witness}`);
					differing++;
				}
			}
			if (diff.same) {
				for (let i = 0; i < 200; i++) {
					const flow = randomFlow(random);
					assert.equal(lookBoth(flow), true, `seed ${seed}: ${flow}`);
				}
			}
		}
		assert.ok(differing > 20, `${differing} differences`);
	});
});
