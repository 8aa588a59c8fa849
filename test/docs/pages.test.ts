/** Pages that are made of tables are fresh: npm run pages. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { PAGES as FINDINGS } from '../../packages/explain/src/lint/pages.ts';
import { SUBJECTS } from '../../tools/lint-page.ts';
import { PAGES } from '../../tools/pages.ts';

it('docs/lint.md leads to every finding from what is looked for', () => {
	const linked = SUBJECTS.flatMap(([, findings]) => findings);
	assert.deepEqual([...linked].sort(), Object.keys(FINDINGS).sort());
});

for (const [path, page] of PAGES) {
	it(`${path} is that of its table`, () => {
		const url = new URL(`../../${path}`, import.meta.url);
		assert.equal(readFileSync(url, 'utf8'), page());
	});
}
