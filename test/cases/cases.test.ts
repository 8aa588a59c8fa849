/** Every page of docs/cases: the kernel's answer is there, explain agrees with it, what is generated is fresh. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { formatDifference } from '../golden/difference.ts';
import { casesFolder, readPages } from './case-page.ts';
import { firstFixFits } from './explain-page.ts';
import { judgePage } from './judge-page.ts';
import { answers, kernelQuestion, readKernelAnswers } from './kernel-question.ts';
import { renderIndex, renderPage } from './page-text.ts';

const ANEW = 'run npm run cases';

/** Share of the pages with a fix whose first proposed one is that of the thread. */
const FIRST_FIXES_MIN = 0.8;

const pages = readPages();
const kept = readKernelAnswers();

for (const page of pages) {
	test(`docs/cases/${page.name}.md`, () => {
		const kernel = kept.get(page.name);
		assert.ok(kernel !== undefined, `no kernel was asked: ${ANEW} -- --capture`);
		assert.ok(answers(kernel, kernelQuestion(page)), `the page has changed: ${ANEW} -- --capture`);
		const difference = judgePage(page, kernel);
		assert.equal(difference && formatDifference(difference), undefined);
		assert.equal(page.text, renderPage(page, kernel), ANEW);
	});
}

test('the first fix is what the thread did', () => {
	const asked = pages.filter((page) => page.fix !== undefined);
	const wrong = asked.filter((page) => !firstFixFits(page)).map(({ name }) => name);
	const share = 1 - wrong.length / asked.length;
	assert.ok(
		share >= FIRST_FIXES_MIN,
		`${share.toFixed(2)} of ${asked.length}; not: ${wrong.join(', ')}`,
	);
});

test('the index is fresh', () => {
	const rows = pages.flatMap((page) => {
		const kernel = kept.get(page.name);
		return kernel === undefined ? [] : [[page, kernel] as const];
	});
	assert.equal(readFileSync(`${casesFolder}README.md`, 'utf8'), renderIndex(rows), ANEW);
});
