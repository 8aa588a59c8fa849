/** A short selection of `npm run test:flow-sets`; and that a contradiction would be seen, and made small. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { linux61, linux619 } from '@xfrm/engine';
import { type Contradiction, check, diffSet, proveSets, type Tally } from './checks.ts';
import { shrink } from './shrink.ts';

function tally(): Tally {
	return { sets: 0, flows: 0, parts: 0, against: 0 };
}

describe('sets of flows and lookups agree, on random rules', () => {
	it('prove', () => {
		const checked = tally();
		for (const seed of [1, 2, 3, 4, 5002]) {
			const sets = proveSets(seed, 40, seed % 2 === 0 ? linux619 : linux61).slice(0, 6);
			for (const set of sets) {
				assert.equal(check(set, 100, seed, checked), undefined, `seed ${seed}`);
			}
		}
		assert.ok(checked.flows > 1500 && checked.against > 300, JSON.stringify(checked));
	});

	it('diff', () => {
		const checked = tally();
		for (const seed of [5, 16, 18, 23, 39]) {
			const set = diffSet(seed, 40, seed % 2 === 0 ? linux619 : linux61);
			assert.equal(check(set, 500, seed, checked), undefined, `seed ${seed}`);
		}
		assert.ok(checked.flows > 1500 && checked.against > 20, JSON.stringify(checked));
	});
});

it('a contradiction is made as small as it goes', () => {
	const [set] = proveSets(3, 20, linux61);
	assert.ok(set !== undefined && set.rules.length > 10);
	const start = { set, name: '', looked: '', told: '' } as unknown as Contradiction;
	// As if it were about the policies that block.
	const isOne = (rule: string): boolean => /policy .* block/.test(rule);
	const blocked = {
		...start,
		set: { ...set, rules: [...set.rules, 'policy add action block if_id 3'] },
	};
	const small = shrink(blocked, (last, smaller) =>
		smaller.rules.some(isOne) ? { ...last, set: smaller } : undefined,
	);
	assert.equal(small.set.rules.length, 1);
	assert.match(small.set.question ?? '', /^dir \w+ (never|always) \S+$/);
});
