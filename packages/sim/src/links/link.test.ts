import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Agenda } from '../agenda.ts';
import { SimRandom } from '../random.ts';
import { Link } from './link.ts';
import {
	corruption,
	delay,
	duplication,
	inRow,
	type LinkNode,
	loss,
	mtu,
	reordering,
} from './link-node.ts';

const packet = Uint8Array.of(1, 2, 3, 4);

/** What a node hands on, over many packets: octets and time. */
function passed(node: LinkNode, count: number = 200): [Uint8Array, number][] {
	const out: [Uint8Array, number][] = [];
	for (let i = 0; i < count; i++) {
		node(packet, 0, (octets, afterUs) => out.push([octets, afterUs]));
	}
	return out;
}

const random = (): SimRandom => new SimRandom(1);
const on = { active: true };
const off = { active: false };

test('a delay is exact, with jitter it varies', () => {
	assert.deepEqual(passed(delay(random(), 7), 1), [[packet, 7]]);
	const times = passed(delay(random(), 7, 5)).map(([, us]) => us);
	assert.deepEqual([Math.min(...times), Math.max(...times)], [7, 11]);
});

test('faults touch some packets, and none in calm', () => {
	const nodes: readonly [
		name: string,
		make: (active: typeof on) => LinkNode,
		changed: (out: [Uint8Array, number][]) => boolean,
	][] = [
		['loss', (f) => loss(random(), f, 0.5), (out) => out.length < 200 && out.length > 0],
		['duplication', (f) => duplication(random(), f, 0.5), (out) => out.length > 200],
		['reordering', (f) => reordering(random(), f, 0.5, 100), (out) => out.some(([, us]) => us > 0)],
		[
			'corruption',
			(f) => corruption(random(), f, 0.5),
			(out) => out.some(([octets]) => octets !== packet),
		],
	];
	for (const [name, make, changed] of nodes) {
		assert.ok(changed(passed(make(on))), name);
		assert.deepEqual(
			passed(make(off), 3),
			[
				[packet, 0],
				[packet, 0],
				[packet, 0],
			],
			name,
		);
	}
});

test('a damaged packet differs in one bit, and the sender keeps its own', () => {
	const [[damaged = packet] = []] = passed(corruption(random(), on, 1), 1);
	const bits = damaged.reduce((sum, octet, i) => {
		let left = octet ^ (packet[i] ?? 0);
		let count = 0;
		for (; left !== 0; left &= left - 1) {
			count++;
		}
		return sum + count;
	}, 0);
	assert.equal(bits, 1);
	assert.deepEqual(packet, Uint8Array.of(1, 2, 3, 4));
});

test('an MTU lets pass what is as long, not what is longer', () => {
	assert.equal(passed(mtu(4), 1).length, 1);
	assert.equal(passed(mtu(3), 1).length, 0);
});

test('nodes in a row add up', () => {
	assert.deepEqual(passed(inRow([delay(random(), 3), delay(random(), 4)]), 1), [[packet, 7]]);
});

test('a link delivers at the other end in time, and nothing while it is cut', () => {
	const agenda = new Agenda(0);
	const link = new Link('wire', agenda, { clear: true, nodes: [delay(random(), 5)] });
	const got: [number, Uint8Array][] = [];
	link.plug(1, { receive: (octets) => got.push([agenda.nowUs, octets]) });
	link.send(packet, 0);
	link.partition.cut = true;
	link.send(packet, 0);
	for (let action = agenda.take(100); action !== undefined; action = agenda.take(100)) {
		action();
	}
	assert.deepEqual(got, [[5, packet]]);
});
