import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatSeed, HISTORY_VERSION, parseSeed } from './seed.ts';

const names = ['site-to-site', 'esn-wrap'];

test('a seed that was printed is read again', () => {
	const seed = { scenario: 'esn-wrap', number: 0xffff_ffff };
	assert.deepEqual(parseSeed(formatSeed(seed), names), seed);
});

const refused = [
	['of another version', `${HISTORY_VERSION + 1}-esn-wrap-1`, /is of version 3; this is version 2/],
	['without a version', 'esn-wrap-1', /expected VERSION-SCENARIO-NUMBER/],
	[
		'of no scenario',
		`${HISTORY_VERSION}-esn-1`,
		/no scenario esn; there are site-to-site, esn-wrap/,
	],
	['that is too large', `${HISTORY_VERSION}-esn-wrap-4294967296`, /at most 2\^32 - 1/],
] as const;
for (const [what, text, reason] of refused) {
	test(`a seed ${what} is refused`, () => {
		const answer = parseSeed(text, names);
		assert.ok(typeof answer === 'string');
		assert.match(answer, reason);
	});
}
