import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type JsonSchema, SchemaChecker } from './json-schema.ts';
import { SCHEMAS } from './json-schemas.ts';

function checkerOf(schema: JsonSchema): SchemaChecker {
	return new SchemaChecker(new Map([['it', schema]]));
}

/** Of each keyword a value that fits and one that breaks it: where, what was found, which rule. */
const rows: readonly [schema: JsonSchema, fits: unknown, breaks: unknown, fault: string][] = [
	[{ type: 'integer' }, 3, 3.5, ': 3.5 breaks it#/type'],
	[{ type: ['string', 'null'] }, null, [], ': array breaks it#/type'],
	[{ type: 'number' }, 3, '3', ': "3" breaks it#/type'],
	[{ const: 1 }, 1, 2, ': 2 breaks it#/const'],
	[{ enum: ['in', 'out'] }, 'in', 'fwd', ': "fwd" breaks it#/enum'],
	[{ pattern: '^0x' }, '0x1', '1', ': "1" breaks it#/pattern'],
	[{ pattern: '^0x' }, 1, 'x0x', ': "x0x" breaks it#/pattern'],
	[{ minimum: 1 }, 1, 0, ': 0 breaks it#/minimum'],
	[{ maximum: 1 }, 1, 2, ': 2 breaks it#/maximum'],
	[{ maxItems: 1 }, [1], [1, 2], ': 2 items breaks it#/maxItems'],
	[{ items: { type: 'null' } }, [null], [null, 1], '[1]: 1 breaks it#/items/type'],
	[{ required: ['a'] }, { a: 1 }, { b: 1 }, 'a: nothing breaks it#/required'],
	[{ required: ['toString'] }, { toString: 1 }, {}, 'toString: nothing breaks it#/required'],
	[
		{ properties: { a: { const: 1 } } },
		{ a: 1, b: 2 },
		{ a: 2 },
		'a: 2 breaks it#/properties/a/const',
	],
	[{ additionalProperties: false }, {}, { a: 1 }, 'a: "a" breaks it#/additionalProperties'],
	[
		{ additionalProperties: { items: { const: 1 } } },
		{ a: [1] },
		{ a: [2] },
		'a[0]: 2 breaks it#/additionalProperties/items/const',
	],
	[
		{ properties: { a: { $ref: '#/$defs/one' } }, $defs: { one: { const: 1 } } },
		{ a: 1 },
		{ a: 2 },
		'a: 2 breaks it#/$defs/one/const',
	],
];

describe('SchemaChecker', () => {
	for (const [schema, fits, breaks, fault] of rows) {
		it(`${JSON.stringify(schema)} takes ${JSON.stringify(fits)}, not ${JSON.stringify(breaks)}`, () => {
			const checker = checkerOf(schema);
			assert.deepEqual(checker.check(fits, 'it'), []);
			const told = checker
				.check(breaks, 'it')
				.map(({ path, found, rule }) => `${path}: ${found} breaks ${rule}`);
			assert.deepEqual(told, [fault]);
		});
	}

	it('refuses a schema with a keyword that it does not check, or a reference to nothing', () => {
		const strange = { type: 'string', maxLength: 3 } as JsonSchema;
		assert.throws(() => checkerOf({ properties: { a: strange } }), /maxLength/);
		assert.throws(() => checkerOf({ $ref: '#/$defs/none' }), /\$defs\/none/);
		assert.doesNotThrow(() => new SchemaChecker(SCHEMAS));
	});
});
