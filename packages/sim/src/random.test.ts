import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SimRandom } from './random.ts';

test('the same seed and label give the same numbers, others do not', () => {
	const draw = (random: SimRandom): number[] => Array.from({ length: 8 }, () => random.word());
	const first = draw(new SimRandom(1).fork('a'));
	assert.deepEqual(draw(new SimRandom(1).fork('a')), first);
	assert.notDeepEqual(draw(new SimRandom(1).fork('b')), first);
	assert.notDeepEqual(draw(new SimRandom(2).fork('a')), first);
});

test('drawing from a fork leaves its origin as it was', () => {
	const one = new SimRandom(7);
	const other = new SimRandom(7);
	one.fork('x').word();
	assert.equal(one.word(), other.word());
});

test('numbers stay within their bounds and reach them', () => {
	const random = new SimRandom(3);
	const seen = new Set<number>();
	for (let i = 0; i < 500; i++) {
		seen.add(random.between(2, 5));
	}
	assert.deepEqual([...seen].sort(), [2, 3, 4, 5]);
	assert.equal(random.octets(7).length, 7);
	assert.equal(random.chance(0), false);
	assert.equal(random.chance(1), true);
	assert.throws(() => random.pick([]), RangeError);
});
