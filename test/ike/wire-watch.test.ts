import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertNumbersOnce, type Protected } from './wire-watch.ts';

const seen = (seq: number, seconds: number, from: string = 'a', spi: number = 1): Protected => ({
	spi,
	seq,
	octets: 100,
	from,
	timeUs: seconds * 1_000_000,
});

const rows: readonly (readonly [string, readonly Protected[], boolean])[] = [
	['each number once', [seen(1, 0), seen(2, 1)], true],
	['the same of another state', [seen(1, 0), seen(1, 1, 'b'), seen(1, 2, 'a', 2)], true],
	['one again', [seen(1, 0), seen(2, 1), seen(1, 2)], false],
	['one again after a while', [seen(1, 0), seen(2, 50), seen(1, 100)], false],
	['one of an SPI that another state has by now', [seen(1, 0), seen(1, 61), seen(2, 62)], true],
	['one again of that state', [seen(1, 0), seen(1, 61), seen(1, 62)], false],
];

for (const [name, esp, isRight] of rows) {
	test(`${name}: ${isRight ? 'right' : 'wrong'}`, () => {
		if (isRight) {
			assertNumbersOnce(esp);
		} else {
			assert.throws(() => assertNumbersOnce(esp), /no number twice/);
		}
	});
}
