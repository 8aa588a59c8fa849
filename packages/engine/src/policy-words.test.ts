import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Selector, Template } from '@xfrm/wire/xfrm';
import fc from 'fast-check';
import { packPolicy, selectorWordsEqual, unpackSelector, unpackTemplates } from './policy-words.ts';

/** Objects as literals make them, so that they are strictly equal. */
const PLAIN = { noNullPrototype: true } as const;
const u8 = fc.integer({ min: 0, max: 0xff });
const u16 = fc.integer({ min: 0, max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const address = fc.uint8Array({ minLength: 16, maxLength: 16 });

const selectors: fc.Arbitrary<Selector> = fc.record(
	{
		daddr: address,
		saddr: address,
		dport: u16,
		dportMask: u16,
		sport: u16,
		sportMask: u16,
		family: u16,
		prefixlenD: u8,
		prefixlenS: u8,
		proto: u8,
		ifindex: fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }),
		user: u32,
	},
	PLAIN,
);

const templates: fc.Arbitrary<Template> = fc.record(
	{
		id: fc.record({ daddr: address, spi: u32, proto: u8 }, PLAIN),
		saddr: address,
		family: u16,
		reqid: u32,
		mode: u8,
		share: u8,
		optional: u8,
		aalgos: u32,
		ealgos: u32,
		calgos: u32,
	},
	PLAIN,
);

test('what was put in comes out, whatever the fields are', () => {
	fc.assert(
		fc.property(selectors, fc.array(templates, { maxLength: 6 }), (selector, given) => {
			const words = packPolicy(selector, given);
			assert.ok(words.every((word) => word === (word | 0)));
			assert.deepEqual(unpackSelector(words), selector);
			assert.deepEqual(unpackTemplates(words), given);
		}),
	);
});

// @spec P-5 P-6
test('selectors are equal when every field is', () => {
	fc.assert(
		fc.property(
			selectors,
			selectors,
			fc.array(templates, { maxLength: 2 }),
			(one, other, given) => {
				const words = packPolicy(one, []);
				assert.equal(selectorWordsEqual(words, packPolicy(one, given)), true);
				for (const key of Object.keys(one) as (keyof Selector)[]) {
					const changed = { ...one, [key]: other[key] };
					const isSame = String(one[key]) === String(other[key]);
					assert.equal(selectorWordsEqual(words, packPolicy(changed, [])), isSame, key);
				}
			},
		),
	);
});
