/** Pages that are made of tables are fresh: npm run pages. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { PAGES } from '../../tools/pages.ts';

for (const [path, page] of PAGES) {
	it(`${path} is that of its table`, () => {
		const url = new URL(`../../${path}`, import.meta.url);
		assert.equal(readFileSync(url, 'utf8'), page());
	});
}
