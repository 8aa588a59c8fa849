import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AttributeFlag, AttributeReader } from './attribute.ts';

function walk(bytes: readonly number[]): { seen: number[][]; leftover: number } {
	const reader = new AttributeReader(Uint8Array.from(bytes), 0);
	const seen: number[][] = [];
	while (reader.next()) {
		seen.push([reader.type, reader.flags, reader.headerAt, ...reader.value()]);
	}
	return { seen, leftover: reader.leftover };
}

// @spec N-2 N-8
test('attributes are walked on boundaries of four, damage ends the walk', () => {
	const rows: [name: string, bytes: number[], seen: number[][], leftover: number][] = [
		['none', [], [], 0],
		['one without value', [4, 0, 38, 0], [[38, 0, 0]], 0],
		[
			'padding between',
			[5, 0, 1, 0, 9, 0, 0, 0, 4, 0, 2, 0],
			[
				[1, 0, 0, 9],
				[2, 0, 8],
			],
			0,
		],
		['padding missing at the end', [5, 0, 1, 0, 9], [[1, 0, 0, 9]], 0],
		['nested', [4, 0, 1, 0x80], [[1, AttributeFlag.Nested, 0]], 0],
		['network byte order', [4, 0, 1, 0x40], [[1, AttributeFlag.NetByteOrder, 0]], 0],
		['shorter than a header', [4, 0, 1], [], 3],
		['length below a header', [3, 0, 1, 0], [], 4],
		['length beyond the end', [4, 0, 1, 0, 9, 0, 2, 0], [[1, 0, 0]], 4],
	];
	for (const [name, bytes, seen, leftover] of rows) {
		assert.deepEqual(walk(bytes), { seen, leftover }, name);
	}
});
