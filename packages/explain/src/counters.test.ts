import assert from 'node:assert/strict';
import { test } from 'node:test';
import { verdictName } from '@xfrm/engine';
import { COUNTERS, counterMeaning, DAEMON_COUNTERS } from './counters.ts';

test('every counter of the kernel has its words, in its order', () => {
	const names = Array.from({ length: 32 }, (_, i) => verdictName(i + 1));
	assert.deepEqual(Object.keys(COUNTERS), names);
});

test('a name from elsewhere has none', () => {
	assert.equal(counterMeaning('XfrmInNoStates')?.means.startsWith('no state takes'), true);
	assert.equal(counterMeaning('toString'), undefined);
});

test('what the daemon drops under names of its own has words too', () => {
	assert.match(counterMeaning('plaintext-fwd')?.means ?? '', /to be forwarded/);
	for (const { means, cause, next } of Object.values(DAEMON_COUNTERS)) {
		assert.ok(means !== '' && !means.endsWith('.') && cause !== '' && next.endsWith('.'));
	}
});
