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

function shapeOf({ config }: XfrmPolicy): number {
	const { dportMask } = config.selector;
	return dportMask === 0xffff ? 0 : dportMask === 0xff ? 1 : 2;
}
