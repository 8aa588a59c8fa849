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

/** A page of docs, and its sections by heading. */
function sectionsOf(name: string): Map<string, string> {
	const text = readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8');
	return new Map(
		text.split(/^##+ /m).map((section): [string, string] => {
			const end = section.indexOf('\n');
			return [section.slice(0, end), section.slice(end)];
		}),
	);
}

test('docs/my-packet-was-dropped.md leads from each counter to its cases', () => {
	const sections = [...sectionsOf('my-packet-was-dropped.md')];
	for (const [id, { steps }] of kept) {
		for (const counter of new Set(steps.flatMap((step) => Object.keys(step.expect.stat ?? {})))) {
			const found = sections.some(
				([heading, text]) => heading.includes(counter) && text.includes(`(cases/${id}.md)`),
			);
			assert.ok(found, `${counter}: ${id}`);
		}
	}
});

test('docs/my-packet-was-dropped.md names reasons that there are', () => {
	const reasons = readFileSync(new URL('../../docs/reasons.md', import.meta.url), 'utf8');
	const text = [...sectionsOf('my-packet-was-dropped.md').values()].join('');
	const codes = [...text.matchAll(/reasons\.md#([a-z0-9.-]+)/g)].map(([, code]) => code);
	assert.ok(codes.length > 15);
	assert.deepEqual(
		codes.filter((code) => !reasons.includes(`<a id="${code}"></a>`)),
		[],
	);
});
