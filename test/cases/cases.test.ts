/** Every page of docs/cases: the kernel's answer is there, explain agrees with it, what is generated is fresh. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { formatDifference } from '../golden/difference.ts';
import { casesFolder, readPages } from './case-page.ts';
import { judgePage } from './judge-page.ts';
import { answers, kernelQuestion, readKernelAnswers } from './kernel-question.ts';
import { renderIndex, renderPage } from './page-text.ts';

const ANEW = 'run npm run cases';

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

test('the index is fresh', () => {
	const rows = pages.flatMap((page) => {
		const kernel = kept.get(page.name);
		return kernel === undefined ? [] : [[page, kernel] as const];
	});
	assert.equal(readFileSync(`${casesFolder}README.md`, 'utf8'), renderIndex(rows), ANEW);
});
