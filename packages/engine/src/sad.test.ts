import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type HashChains, NONE } from './hash-chains.ts';
import { address, stateConfig } from './input-fixture.test.ts';
import { destinationHash, pairHash, Sad, seqHash } from './sad.ts';
import { addressWords } from './selector-match.ts';
import { StateCondition, XfrmState } from './state.ts';

const addresses = ['10.0.0.1', '10.0.0.2', '2001:db8::1', '2001:db8::2'];

interface Made {
	readonly dst: number;
	readonly src: number;
	readonly spi: number;
	readonly proto: number;
	readonly seq: number;
	readonly reqid: number;
	readonly mark: number;
}

const made: fc.Arbitrary<Made> = fc.record({
	dst: fc.nat(3),
	src: fc.nat(3),
	spi: fc.constantFrom(0, 1, 0xc0000001),
	proto: fc.constantFrom(50, 51),
	seq: fc.constantFrom(0, 7, 0xfffffff0),
	reqid: fc.nat(1),
	mark: fc.nat(2),
});

function build({ dst, src, spi, proto, seq, reqid, mark }: Made): XfrmState {
	const text = addresses[dst] ?? '';
	const family = text.includes(':') ? 10 : 2;
	return new XfrmState({
		...stateConfig({ dst: text, proto, spi, seq, reqid, mark: { v: mark, m: 3 } }),
		family,
		saddr: address(addresses[src] ?? ''),
	});
}

/** What an index has under a hash, newest first. */
function members(index: HashChains<XfrmState>, hash: number): XfrmState[] {
	const found: XfrmState[] = [];
	for (let entry = index.first(hash); entry !== NONE; entry = index.next(entry)) {
		const state = index.owner(entry);
		assert.ok(state !== null);
		found.push(state);
	}
	return found;
}

function isOfPair(state: XfrmState, { family, daddr, saddr }: XfrmState): boolean {
	return (
		state.family === family &&
		state.daddr.join() === daddr.join() &&
		state.saddr.join() === saddr.join()
	);
}

// @spec S-1 S-3 S-5 S-12 S-20
test('the four indexes agree with a plain list under random changes', () => {
	const command = fc.oneof(
		fc.record({ kind: fc.constant('insert' as const), made }),
		fc.record({ kind: fc.constant('remove' as const), place: fc.nat(30) }),
		fc.record({ kind: fc.constant('spi' as const), place: fc.nat(30), spi: fc.nat(3) }),
	);
	fc.assert(
		fc.property(fc.array(command, { maxLength: 60 }), made, fc.nat(3), (commands, query, mark) => {
			const sad = new Sad();
			const list: XfrmState[] = [];
			for (const step of commands) {
				if (step.kind === 'insert') {
					const state = build(step.made);
					sad.insert(state);
					list.unshift(state);
				} else if (step.kind === 'remove' && list.length > 0) {
					const [state] = list.splice(step.place % list.length, 1);
					assert.ok(state !== undefined);
					sad.remove(state);
				} else if (step.kind === 'spi' && list.length > 0) {
					const state = list[step.place % list.length];
					if (state !== undefined && state.spi === 0 && step.spi !== 0) {
						sad.assignSpi(state, step.spi);
					}
				}
			}
			assert.deepEqual([...sad.states()], list);
			assert.equal(sad.count, list.length);
			// As they are met: newest first, but turned round when the table grew (state-buckets.test.ts).
			list.sort((a, b) => b.order - a.order);
			const wanted = build(query);
			const { family, daddr, saddr, spi, proto, seq } = wanted;
			const key = (words: Int32Array): string => words.join();
			const candidates = list.filter(
				(state) =>
					state.family === family &&
					key(state.daddr) === key(daddr) &&
					state.proto === proto &&
					state.markFits(mark),
			);
			const byAddress = candidates.find((state) => key(state.saddr) === key(saddr));
			assert.equal(sad.byAddress(family, daddr, saddr, proto, mark), byAddress ?? null);
			const found = sad.bySpi(family, daddr, spi, proto, mark);
			if (spi === 0) {
				assert.equal(found, null);
			} else {
				// A state that got its SPI later is the newest of its bucket: compare as sets of one.
				const fitting = candidates.filter((state) => state.spi === spi);
				assert.equal(found !== null, fitting.length > 0);
				assert.ok(found === null || fitting.includes(found));
			}
			assert.deepEqual(
				members(sad.bySeqNumber, seqHash(seq)),
				list.filter((state) => seq !== 0 && state.seq === seq),
			);
			const pair = members(sad.byPair, pairHash(family, daddr, saddr));
			assert.deepEqual(
				pair.filter((state) => state.family === family && key(state.saddr) === key(saddr)),
				list.filter((state) => isOfPair(state, wanted)),
			);
			assert.deepEqual(
				members(sad.byDestination, destinationHash(family, daddr, saddr, wanted.reqid)),
				pair.filter(({ reqid }) => reqid === wanted.reqid),
			);
			assert.equal(
				sad.spiInUse(spi, proto),
				spi !== 0 && list.some((state) => state.spi === spi && state.proto === proto),
			);
		}),
	);
});

// @spec S-3 S-4
test('by SPI the newest state whose mark fits is met, whatever its if_id', () => {
	const sad = new Sad();
	const any = new XfrmState(stateConfig({ mark: { v: 0, m: 0 } }));
	const five = new XfrmState(stateConfig({ mark: { v: 5, m: 0xff }, ifId: 9 }));
	sad.insert(five);
	sad.insert(any);
	assert.ok(any.order > five.order);
	const daddr = addressWords(address('192.0.2.2'), 2);
	assert.equal(sad.bySpi(2, daddr, any.spi, 50, 5), any);
	sad.remove(any);
	assert.equal(sad.bySpi(2, daddr, five.spi, 50, 5), five);
	assert.equal(sad.bySpi(2, daddr, five.spi, 50, 6), null);
	assert.equal(sad.bySpi(2, daddr, five.spi, 51, 5), null);
	assert.equal(sad.bySpi(10, daddr, five.spi, 50, 5), null);
});

test('a walk survives states that come and go', () => {
	const sad = new Sad();
	const states = [1, 2, 3, 4, 5].map((spi) => new XfrmState(stateConfig({ spi })));
	states.forEach((state) => void sad.insert(state));
	const [first, second, third, fourth, fifth] = states;
	assert.ok(first && second && third && fourth && fifth);
	const seen: number[] = [];
	for (const state of sad.states()) {
		seen.push(state.spi);
		if (state === fourth) {
			sad.remove(fourth);
			sad.remove(third);
			sad.insert(new XfrmState(stateConfig({ spi: 9 })));
		}
	}
	assert.deepEqual(seen, [5, 4, 2, 1]);
	assert.equal(third.condition, StateCondition.Dead);
	assert.deepEqual(
		[...sad.states()].map((state) => state.spi),
		[9, 5, 2, 1],
	);
});

test('removing a state that is in no table is an error of ours', () => {
	const sad = new Sad();
	assert.throws(() => sad.remove(new XfrmState(stateConfig())), RangeError);
});
