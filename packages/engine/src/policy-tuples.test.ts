import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Flow } from '@xfrm/wire';
import { anySelector, Family, type PolicyConfig, UNLIMITED } from '@xfrm/wire/xfrm';
import fc from 'fast-check';
import { linux619 } from './kernel-profile.ts';
import { XfrmPolicy } from './policy.ts';
import { Spd } from './spd.ts';
import { scanPolicies } from './spd-scan.ts';

/** One policy of three shapes, of which two look at ports and one at the mark; port 0 falls under the most. */
function configOf(shape: number, value: number, priority: number): PolicyConfig {
	const dportMask = shape === 0 ? 0xffff : shape === 1 ? 0xff : 0;
	return {
		selector: { ...anySelector(Family.Ipv4), dport: value & dportMask, dportMask, user: value },
		lifetime: UNLIMITED,
		priority,
		index: 0,
		direction: 1,
		action: 0,
		flags: 0,
		share: 0,
		type: 0,
		templates: [],
		...(shape === 2 ? { mark: { v: value, m: 0x3f } } : {}),
	};
}

function expectAsScanned(spd: Spd): void {
	for (let value = 0; value < 40; value++) {
		const flow = new Flow();
		flow.family = Family.Ipv4;
		flow.proto = 17;
		flow.dport = value;
		flow.mark = value;
		const { winner } = scanPolicies(spd, flow, 1, 0, 0);
		assert.equal(spd.best(flow, 1, 0, 0), winner ?? null, `${value}`);
	}
}

// @spec P-2 P-4 P-4b
test('tuples that grow out of their group and shrink back into one lose nothing', () => {
	const places = fc.array(
		fc.record({ shape: fc.nat(2), value: fc.nat(39), priority: fc.constantFrom(1, 1, 9) }),
		{ minLength: 60, maxLength: 120 },
	);
	fc.assert(
		fc.property(places, places, (added, again) => {
			const spd = new Spd(linux619);
			const put = ({ shape, value, priority }: (typeof added)[number]): void => {
				const config = configOf(shape, value, priority);
				const twin = spd.twin(new XfrmPolicy(config, 0));
				spd.insert(new XfrmPolicy(config, twin?.index ?? spd.freeIndex(1, 0)), twin);
			};
			added.forEach(put);
			expectAsScanned(spd);
			// Down to none of one shape and two of the others, looked at on the way.
			for (const left of [20, 10, 4, 2]) {
				for (const shape of [0, 1, 2]) {
					const ofShape = [...spd.policies()].filter((policy) => shapeOf(policy) === shape);
					ofShape.slice(shape === 0 && left === 2 ? 0 : left).forEach((policy) => {
						spd.remove(policy);
					});
				}
				expectAsScanned(spd);
			}
			again.forEach(put);
			expectAsScanned(spd);
		}),
		{ numRuns: 40 },
	);
});

function put(spd: Spd, config: PolicyConfig): XfrmPolicy {
	const policy = new XfrmPolicy(config, spd.freeIndex(1, 0));
	spd.insert(policy, null);
	return policy;
}

// @spec P-4
test('a tuple has its place by the best of its policies, whatever comes and goes', () => {
	for (const ranks of [
		[0, 1, 2],
		[2, 0, 1],
		[1, 2, 0],
	]) {
		const spd = new Spd(linux619);
		for (const [shape, rank] of ranks.entries()) {
			for (let value = 0; value < 20; value++) {
				put(spd, configOf(shape, value, 100 * (rank + 1)));
			}
			put(spd, configOf(shape, 30, 100 * (rank + 1)));
		}
		expectAsScanned(spd);
		for (const shape of [0, 1, 2]) {
			// Falls under all three, by the worst tuple's until it goes.
			const better = put(spd, configOf(shape, 31, 1));
			const others = [0, 1, 2].filter((other) => other !== shape);
			const worse = others.map((other) => put(spd, configOf(other, 31, 50)));
			expectAsScanned(spd);
			spd.remove(better);
			expectAsScanned(spd);
			for (const policy of worse) {
				spd.remove(policy);
			}
		}
	}
});

// @spec P-4
test('more tuples than a block has bits are asked, the best first', () => {
	const tuples = 70;
	const priorities = fc.array(fc.nat(9), { minLength: tuples, maxLength: tuples });
	const marks = fc.array(fc.nat(0x7f), { minLength: 40, maxLength: 40 });
	fc.assert(
		fc.property(priorities, marks, (priorityOf, markOf) => {
			const spd = new Spd(linux619);
			for (let value = 0; value < 17; value++) {
				for (const [number, priority] of priorityOf.entries()) {
					// Of each tuple another mask; a mark of none of its bits falls under it.
					const mark = { v: 0, m: number + 1 };
					put(spd, { ...configOf(0, value, priority), mark });
				}
			}
			for (const mark of markOf) {
				const flow = new Flow();
				flow.family = Family.Ipv4;
				flow.proto = 17;
				flow.dport = mark % 17;
				flow.mark = mark;
				const { winner } = scanPolicies(spd, flow, 1, 0, 0);
				assert.equal(spd.best(flow, 1, 0, 0), winner ?? null, `mark ${mark}`);
			}
		}),
		{ numRuns: 5 },
	);
});

function shapeOf({ config }: XfrmPolicy): number {
	const { dportMask } = config.selector;
	return dportMask === 0xffff ? 0 : dportMask === 0xff ? 1 : 2;
}
