/**
 * A few histories of every scenario: clean, repeatable, and a broken world is noticed. Many more run by
 * `npm run sim`.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeProvider } from '@xfrm/crypto/node';
import { formatSeed, runHistory, scenarios } from '@xfrm/sim';
import { openCapture } from '@xfrm/wire';

const SEEDS = [1, 2, 3];

// @spec S-1 S-4 S-22 S-23 P-4 P-4b P-7 R-3 R-7 R-9 I-5 I-15 A-1 L-1 L-4 NT-7 U-7 F-1 F-3 O-8
for (const { name } of scenarios) {
	test(`${name}: nothing fails, and something gets through`, () => {
		for (const number of SEEDS) {
			const seed = { scenario: name, number };
			const { failure, delivered, packets } = runHistory(seed, nodeProvider());
			assert.deepEqual(failure, undefined, formatSeed(seed));
			assert.ok(delivered > 0 && packets > delivered, formatSeed(seed));
		}
	});
}

test('a seed is one history: everything on the links is the same again', () => {
	const seed = { scenario: 'site-to-site', number: 4 };
	const [one, other] = [0, 1].map(() => runHistory(seed, nodeProvider(), { record: true }));
	assert.deepEqual(one, other);
	const next = runHistory({ ...seed, number: 5 }, nodeProvider(), { record: true });
	assert.notDeepEqual(next.capture, one?.capture);
});

test('the capture is one that our own reader takes', () => {
	const { capture } = runHistory({ scenario: 'esn-wrap', number: 1 }, nodeProvider(), {
		record: true,
	});
	const reader = openCapture(capture ?? new Uint8Array(0));
	assert.ok('next' in reader);
	let packets = 0;
	while (reader.next() !== undefined) {
		packets++;
	}
	assert.equal(reader.error, undefined);
	assert.ok(packets > 100);
});
