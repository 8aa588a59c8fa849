import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Template } from '@xfrm/wire/xfrm';
import {
	address,
	addState,
	makeNamespace,
	type StateOptions,
	template,
} from './input-fixture.test.ts';
import { algorithmFits, satisfiesTemplate, templateClass } from './template-check.ts';

const SHA1 = { name: 'hmac(sha1)', key: new Uint8Array(20), keyBits: 160, truncBits: 96 };
const NULL_CRYPT = { name: 'ecb(cipher_null)', key: new Uint8Array(0), keyBits: 0 };

type Demand = Parameters<typeof template>[0];

const rows: readonly (readonly [string, Demand, StateOptions, boolean])[] = [
	['equal', { reqid: 1 }, {}, true],
	['another protocol', { proto: 51 }, {}, false],
	['SPI asked for', { id: { daddr: address('::'), spi: 0xc0de0001, proto: 50 } }, {}, true],
	['another SPI', { id: { daddr: address('::'), spi: 0xc0de0002, proto: 50 } }, {}, false],
	['reqid 0 takes any', { reqid: 0 }, { reqid: 77 }, true],
	['another reqid', { reqid: 2 }, {}, false],
	['another mode', { mode: 0 }, {}, false],
	['source of a tunnel', { saddr: address('192.0.2.1') }, {}, true],
	['another source', { saddr: address('192.0.2.9') }, {}, false],
	[
		'source does not matter in transport mode',
		{ mode: 0, saddr: address('192.0.2.9') },
		{ mode: 0 },
		true,
	],
	[
		'destination is not looked at',
		{ id: { daddr: address('192.0.2.9'), spi: 0, proto: 50 } },
		{},
		true,
	],
	['AEAD has authentication number 0', { aalgos: 1 }, {}, true],
	['AEAD without bit 0', { aalgos: 8 }, {}, false],
	['bit of sha1', { aalgos: 1 << 3 }, { crypt: NULL_CRYPT, auth: SHA1 }, true],
	['bit of another hash', { aalgos: 1 << 2 }, { crypt: NULL_CRYPT, auth: SHA1 }, false],
];

for (const [name, demand, options, fits] of rows) {
	// @spec I-18 P-13
	test(`template: ${name}`, () => {
		const state = addState(makeNamespace(), options);
		assert.equal(satisfiesTemplate(template(demand), state, 2, 0), fits);
	});
}

// @spec P-13
test('all masks full take even a number that has no bit', () => {
	const state = addState(makeNamespace());
	assert.equal(algorithmFits(template({ aalgos: 0xffffffff, ealgos: 0 }), state), true);
	assert.equal(algorithmFits(template({ aalgos: 0, ealgos: 0xffffffff }), state), false);
});

// @spec I-19
test("IPComp's helper satisfies an optional template of its source only", () => {
	const net = makeNamespace();
	const helper = addState(net, { proto: 108, spi: 0x1234 }).helper;
	assert.ok(helper !== null);
	const comp = (options: Partial<Template>): Template => template({ proto: 108, ...options });
	assert.equal(satisfiesTemplate(comp({ optional: 1 }), helper, 2, 0), true);
	assert.equal(
		satisfiesTemplate(comp({ optional: 1, saddr: address('192.0.2.1') }), helper, 2, 0),
		true,
	);
	assert.equal(
		satisfiesTemplate(comp({ optional: 1, saddr: address('192.0.2.9') }), helper, 2, 0),
		false,
	);
	assert.equal(satisfiesTemplate(comp({ optional: 0 }), helper, 2, 0), false);
});

// @spec P-22
test('classes of templates on input', () => {
	const classes = [0, 2, 3, 1, 4, 5].map((mode) => templateClass(template({ mode })));
	assert.deepEqual(classes, [1, 2, 2, 3, 3, 4]);
});
