// A taste of `npm run test:kernel-netlink`. It enters network namespaces, hence a file of its own.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Difference, formatDifference } from '../golden/difference.ts';
import { RequestRandom } from './request-random.ts';
import { possibleProcessors, setProcessors, Trial } from './trial.ts';

setProcessors(possibleProcessors());
const first = Trial.open();
const skip = typeof first === 'string' ? first : false;

// @spec N-1 N-5 N-6 N-7 N-8 N-10 N-11 N-12 N-13 N-14 N-15 N-16 N-16b N-17
test('the running kernel and our server say the same to random requests', { skip }, () => {
	for (let world = 0; world < 10; world++) {
		const trial = Trial.open();
		assert.ok(typeof trial !== 'string');
		const random = new RequestRandom(1000 + world);
		for (let i = 0; i < 10 && !trial.parted; i++) {
			const difference: Difference | undefined = trial.run(random.sequence()) ?? trial.reset();
			assert.equal(difference && formatDifference(difference), undefined, `world ${world}`);
		}
		trial.close();
	}
});

test('a difference is found', { skip }, () => {
	const trial = Trial.open();
	assert.ok(typeof trial !== 'string');
	// Our server believes in more processors than there are, so it takes one that the kernel does not.
	setProcessors(4096);
	const other = Trial.open();
	setProcessors(possibleProcessors());
	assert.ok(typeof other !== 'string');
	const random = new RequestRandom(3);
	let found = false;
	for (let i = 0; i < 200 && !found; i++) {
		found = (other.run(random.sequence()) ?? other.reset()) !== undefined;
	}
	assert.equal(found, true);
	trial.close();
	other.close();
});
