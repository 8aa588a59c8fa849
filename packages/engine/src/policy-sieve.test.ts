import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Flow } from '@xfrm/wire';
import { anyAddress, anySelector, Family, type PolicyConfig, UNLIMITED } from '@xfrm/wire/xfrm';
import { linux619 } from './kernel-profile.ts';
import { XfrmPolicy } from './policy.ts';
import { askedShape, askFlow, askShape } from './policy-key.ts';
import { PolicySieve } from './policy-sieve.ts';
import { Tuple } from './policy-tuple.ts';
import { addressWords } from './selector-match.ts';
import { Spd } from './spd.ts';
import { scanPolicies } from './spd-scan.ts';

const LENGTHS = [0, 8, 12, 16, 17, 20, 24, 28, 31, 32];
const PAIR_COUNT = LENGTHS.length ** 2;

type Random = (max: number) => number;

/** Numbers from 0 to `max` that look random, the same for the same seed. */
function randomOf(seed: number): Random {
	let state = seed;
	return (max) => {
		state = (Math.imul(state, 1_103_515_245) + 12_345) | 0;
		return (state >>> 8) % (max + 1);
	};
}

/** Of prefixes of any length some are in common. */
function nearAddress(random: Random): Uint8Array {
	const octets = anyAddress();
	octets.set([10, random(1), random(3) << 6, random(7) << 4]);
	return octets;
}

function configOf(pair: number, random: Random): PolicyConfig {
	return {
		selector: {
			...anySelector(Family.Ipv4),
			daddr: nearAddress(random),
			prefixlenD: LENGTHS[pair % LENGTHS.length] ?? 0,
			saddr: nearAddress(random),
			prefixlenS: LENGTHS[Math.floor(pair / LENGTHS.length)] ?? 0,
			user: random(9),
		},
		lifetime: UNLIMITED,
		priority: random(2),
		index: 0,
		direction: 1,
		action: 0,
		flags: 0,
		share: 0,
		type: 0,
		templates: [],
	};
}

function flowOf(random: Random): Flow {
	const flow = new Flow();
	flow.family = Family.Ipv4;
	flow.daddr.set(addressWords(nearAddress(random), Family.Ipv4));
	flow.saddr.set(addressWords(nearAddress(random), Family.Ipv4));
	flow.proto = 17;
	return flow;
}

/** Steps a pair, and how many in ten of them take a policy out: up, to and fro, down to few, up again. */
const COURSE = [
	[40, 2],
	[10, 5],
	[60, 9],
	[40, 3],
] as const;

/** From few tuples, which are all asked, to more than there are columns. */
for (const pairs of [4, 6, 20, 50]) {
	test(`${pairs} prefix pairs: the table answers as the scan while policies come, change and go`, () => {
		for (let seed = 1; seed <= 3; seed++) {
			const random = randomOf(seed * 1000 + pairs);
			const spd = new Spd(linux619);
			const offset = random(PAIR_COUNT - 1);
			const put = (): void => {
				const pair = (offset + 7 * random(pairs - 1)) % PAIR_COUNT;
				const config = configOf(pair, random);
				const twin = spd.twin(new XfrmPolicy(config, 0));
				spd.insert(new XfrmPolicy(config, twin?.index ?? spd.freeIndex(1, 0)), twin);
			};
			const takeOut = (): void => {
				const all = [...spd.policies()];
				const gone = all[random(all.length - 1)];
				if (gone !== undefined) {
					spd.remove(gone);
				}
			};
			for (const [steps, inTen] of COURSE) {
				for (let step = 0; step < steps * pairs; step++) {
					(random(9) < inTen ? takeOut : put)();
				}
				for (let i = 0; i < 60; i++) {
					const flow = flowOf(random);
					const { winner } = scanPolicies(spd, flow, 1, 0, 0);
					assert.equal(spd.best(flow, 1, 0, 0), winner ?? null, `seed ${seed}, flow ${i}`);
				}
			}
		}
	});
}

/** A tuple of one policy from 10.0.0.0/8 to 10.`number`.0.0/16. */
function tupleOf(number: number): { tuple: Tuple; flow: Flow } {
	const random = randomOf(number);
	const config = configOf(0, random);
	const daddr = anyAddress();
	daddr.set([10, number]);
	const saddr = anyAddress();
	saddr.set([10]);
	const selector = { ...config.selector, daddr, prefixlenD: 16, saddr, prefixlenS: 8 };
	const policy = new XfrmPolicy({ ...config, selector }, 1);
	askShape(policy);
	const tuple = new Tuple(askedShape(policy), number);
	tuple.insert(policy);
	const flow = new Flow();
	flow.family = Family.Ipv4;
	flow.daddr.set(addressWords(daddr, Family.Ipv4));
	flow.saddr.set(addressWords(saddr, Family.Ipv4));
	return { tuple, flow };
}

test('the sieve lets through the tuple of a flow, and few others', () => {
	const sieve = new PolicySieve();
	const made = Array.from({ length: 32 }, (_, i) => tupleOf(i));
	const tuples: Tuple[] = [];
	const through = (flow: Flow): number => {
		askFlow(flow, 0);
		return sieve.sift();
	};
	for (const { tuple } of made) {
		tuple.column = sieve.columnFor(tuples);
		tuples.push(tuple);
		sieve.setTuples(tuples);
		tuple.ask(0);
		sieve.note(tuples, tuple);
	}
	assert.deepEqual(
		tuples.map(({ column }) => column),
		tuples.map((_, i) => 1 << i),
		'a column each',
	);
	let others = 0;
	for (const { tuple, flow } of made) {
		const columns = through(flow);
		assert.equal(columns & tuple.column, tuple.column);
		others += bitCount(columns) - 1;
	}
	assert.ok(others < 100, `${others} of 992 others`);
	const [first] = made;
	assert.ok(first !== undefined);
	first.flow.saddr[0] = 0x0b00_0000;
	assert.equal(through(first.flow), 0, 'from 11.0.0.0/8 there is nothing');
	sieve.setTuples(tuples.slice(0, 1));
	assert.equal(through(first.flow), 1, 'one tuple is asked without a look at rows');
});

function bitCount(word: number): number {
	return [...(word >>> 0).toString(2)].filter((bit) => bit === '1').length;
}
