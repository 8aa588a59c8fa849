import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IdleCollector } from './idle-collector.ts';

const MEGABYTE = 1_000_000;

/** A heap of which a collection leaves so much. */
function setUp(alive: number) {
	const heap = { now: 0, collections: 0 };
	const collector = new IdleCollector({
		collect: () => {
			heap.collections++;
			heap.now = alive;
		},
		octets: () => heap.now,
	});
	return { heap, collector };
}

test('what has grown is collected when nothing is done', () => {
	const { heap, collector } = setUp(12 * MEGABYTE);
	heap.now = 20 * MEGABYTE;
	collector.look(1000);
	assert.equal(heap.collections, 0, 'at work');
	collector.look(1010);
	assert.equal(heap.collections, 1);
	collector.look(1020);
	heap.now = 15 * MEGABYTE;
	collector.look(1030);
	assert.equal(heap.collections, 1, 'little has grown since');
	heap.now = 25 * MEGABYTE;
	collector.look(2000);
	collector.look(2000);
	assert.equal(heap.collections, 2);
});

test('not where it would take long, nor where it cannot', () => {
	const { heap, collector } = setUp(12 * MEGABYTE);
	heap.now = 300 * MEGABYTE;
	collector.look(0);
	assert.equal(heap.collections, 0);
	new IdleCollector(undefined).look(0);
});
