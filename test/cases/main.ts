/**
 * `npm run cases`: writes the generated parts of docs/cases anew.
 *
 *     npm run cases                            # answers of explain, index
 *     npm run cases -- --capture               # first asks a kernel about pages that are new or changed
 *     npm run cases -- --live [--only WORD]    # asks a kernel about all; what differs from what is kept?
 *     npm run cases -- --questions FILE        # instead of a guest of its own: questions for lab.py …
 *     npm run cases -- --answers FILE          # … and what it said of them
 *
 * The guest is that of test/kernel, without XFRM interfaces and VTI: a page that loads modules is asked by
 * `--questions` of a kernel that has them.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { formatDifference } from '../golden/difference.ts';
import type { VectorCase } from '../golden/vector-case.ts';
import { Oracle, setUpOracle } from '../kernel/oracle.ts';
import { type CasePage, casesFolder, readPages } from './case-page.ts';
import { judgePage } from './judge-page.ts';
import {
	answers,
	kernelQuestion,
	readKernelAnswers,
	withFields,
	writeKernelAnswers,
} from './kernel-question.ts';
import { renderIndex, renderPage } from './page-text.ts';

const { values: options } = parseArgs({
	options: {
		capture: { type: 'boolean', default: false },
		live: { type: 'boolean', default: false },
		only: { type: 'string', default: '' },
		questions: { type: 'string' },
		answers: { type: 'string' },
	},
});

const pages = readPages();
const kept = readKernelAnswers();

function say(text: string): void {
	process.stdout.write(`${text}\n`);
}

/** The pages that a kernel is to be asked about. */
function toAsk(all: boolean): CasePage[] {
	return pages.filter((page) => {
		const answer = kept.get(page.name);
		const stale = answer === undefined || !answers(answer, kernelQuestion(page));
		return page.name.includes(options.only) && (all || stale);
	});
}

/** Asks the guest; the exit status. */
async function askGuest(everything: boolean): Promise<number> {
	const wanted = toAsk(everything);
	const asked = wanted.filter((page) => kernelQuestion(page).modules === undefined);
	for (const page of wanted.filter((one) => !asked.includes(one))) {
		say(`${page.name}: not asked, the guest lacks its modules (--questions)`);
	}
	const reason = asked.length === 0 ? 'nothing is to be asked' : setUpOracle('guest');
	if (reason !== undefined) {
		say(`cases: no kernel is asked: ${reason}`);
		return asked.length > 0 && process.env['CI'] === 'true' ? 1 : 0;
	}
	const oracle = new Oracle('guest');
	let differences = 0;
	try {
		const all = await Promise.all(asked.map((page) => oracle.ask(kernelQuestion(page))));
		for (const [i, page] of asked.entries()) {
			const answer = withFields(all[i] as VectorCase);
			const difference = judgePage(page, answer);
			if (difference !== undefined) {
				differences++;
				say(`DIFFERS ${page.name}: ${formatDifference(difference)}`);
			}
			if (!options.live) {
				kept.set(page.name, answer);
			}
		}
	} finally {
		await oracle.close();
	}
	say(`${asked.length} pages asked, ${differences} differences`);
	return differences === 0 ? 0 : 1;
}

function takeAnswers(file: string): void {
	for (const line of readFileSync(file, 'utf8').split('\n').filter(Boolean)) {
		const answer = JSON.parse(line) as VectorCase & { failed?: string };
		if (answer.failed !== undefined) {
			throw new Error(`${file}: the guest could not run a case: ${answer.failed}`);
		}
		kept.set(answer.id, withFields(answer));
	}
}

/** Writes pages and index; the number of pages whose kernel's answer is missing or differs. */
function writePages(): number {
	const known = new Set(pages.map(({ name }) => name));
	for (const id of [...kept.keys()].filter((name) => !known.has(name))) {
		kept.delete(id);
	}
	writeKernelAnswers(kept);
	let wrong = 0;
	const rows: [CasePage, VectorCase][] = [];
	for (const page of pages) {
		const kernel = kept.get(page.name);
		if (kernel === undefined) {
			wrong++;
			say(`${page.name}: no kernel was asked yet (--capture)`);
			continue;
		}
		rows.push([page, kernel]);
		writeFileSync(`${casesFolder}${page.name}.md`, renderPage(page, kernel));
		const difference = judgePage(page, kernel);
		if (difference !== undefined) {
			wrong++;
			say(`DIFFERS ${page.name}: ${formatDifference(difference)}`);
		}
	}
	writeFileSync(`${casesFolder}README.md`, renderIndex(rows));
	say(`${rows.length} pages written, ${wrong} to look at`);
	return wrong;
}

if (options.questions !== undefined) {
	const lines = toAsk(options.live).map((page) => `${JSON.stringify(kernelQuestion(page))}\n`);
	writeFileSync(options.questions, lines.join(''));
} else if (options.live) {
	process.exitCode = await askGuest(true);
} else {
	if (options.answers !== undefined) {
		takeAnswers(options.answers);
	}
	const status = options.capture ? await askGuest(false) : 0;
	process.exitCode = writePages() > 0 || status > 0 ? 1 : 0;
}
