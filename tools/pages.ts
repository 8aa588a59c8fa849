/** `npm run pages`: writes the pages of docs/ that are made of tables in the source; a test compares them. */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { doctorPage } from './doctor-page.ts';
import { lintPage } from './lint-page.ts';
import { manPage } from './man-page.ts';
import { reasonsPage } from './reasons-page.ts';

/** Texts by path in the repository. */
export const PAGES: ReadonlyMap<string, () => string> = new Map([
	['docs/doctor.md', doctorPage],
	['docs/lint.md', lintPage],
	['docs/reasons.md', reasonsPage],
	['docs/xfrm.1', manPage],
]);

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	for (const [path, page] of PAGES) {
		writeFileSync(fileURLToPath(new URL(`../${path}`, import.meta.url)), page());
	}
}
