/** What can be seen of the kernel's buckets: how many there are, and which state is met first after they doubled. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseAddress } from '@xfrm/wire/xfrm';
import { address, stateConfig } from './input-fixture.test.ts';
import { destinationHash, Sad } from './sad.ts';
import { XfrmState } from './state.ts';

interface Made {
	readonly src?: string;
	readonly dst?: string;
	readonly reqid?: number;
	readonly spi: number;
}

function made({ src = '192.0.2.1', dst = '192.0.2.2', reqid = 0, spi }: Made): XfrmState {
	const family = parseAddress(dst)?.family ?? 0;
	const base = stateConfig({ dst, spi, reqid });
	return new XfrmState({ ...base, family, saddr: address(src) });
}

function filled(states: readonly Made[]): Sad {
	const sad = new Sad();
	for (const state of states) {
		sad.insert(made(state));
	}
	return sad;
}

/** SPIs as a search by addresses and reqid meets their states. */
function met(sad: Sad, like: Made): number[] {
	const { family, daddr, saddr, reqid } = made(like);
	const { byDestination: index } = sad;
	const spis: number[] = [];
	let entry = index.first(destinationHash(family, daddr, saddr, reqid));
	for (; entry >= 0; entry = index.next(entry)) {
		spis.push(index.owner(entry)?.spi ?? 0);
	}
	return spis;
}

const alike = (count: number): Made[] => Array.from({ length: count }, (_, i) => ({ spi: i + 1 }));

// @spec S-20
describe('the buckets of the kernel', () => {
	it('double when a state joins another and there are as many as buckets', () => {
		assert.deepEqual(
			[7, 8, 15, 16].map((count) => filled(alike(count)).bucketCount),
			[8, 16, 16, 32],
		);
	});

	it('stay eight while no two states share one', () => {
		// Reqids that differ in their last three bits only.
		const apart = alike(8).map((state, reqid) => ({ ...state, reqid }));
		assert.equal(filled(apart).bucketCount, 8);
		assert.equal(filled([...apart, { spi: 9 }]).bucketCount, 16);
	});

	it('have the oldest first once they doubled, and newer ones in front of it', () => {
		assert.deepEqual(met(filled(alike(7)), { spi: 0 }), [7, 6, 5, 4, 3, 2, 1]);
		assert.deepEqual(met(filled(alike(8)), { spi: 0 }), [1, 2, 3, 4, 5, 6, 7, 8]);
		assert.deepEqual(met(filled(alike(10)), { spi: 0 }), [10, 9, 1, 2, 3, 4, 5, 6, 7, 8]);
		assert.deepEqual(met(filled(alike(17)), { spi: 0 }).slice(0, 3), [17, 8, 7]);
	});

	it('do not shrink, and count what went', () => {
		const sad = filled(alike(8));
		const states = [...sad.states()];
		for (const state of states) {
			sad.remove(state);
		}
		assert.deepEqual([sad.count, sad.bucketCount], [0, 16]);
		for (let spi = 1; spi <= 15; spi++) {
			sad.insert(made({ spi }));
		}
		assert.equal(sad.bucketCount, 16);
	});

	it('list states as they came, whatever the order in which they are met', () => {
		assert.deepEqual(
			[...filled(alike(9)).states()].map(({ spi }) => spi),
			[9, 8, 7, 6, 5, 4, 3, 2, 1],
		);
	});
});
