/**
 * The process that tries mutants, started by run.ts: loads the tests once, sees which of them pass which
 * mutant's place, then switches on one mutant after the other. A mutant that never comes to an end is
 * run.ts's to notice.
 *
 *     argv: target, tests as JSON; a message { numbers } says which mutants to try
 */
import { register } from 'node:module';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { type RecordedTest, recordedTests } from './recorded-tests.ts';
import { MutantSwitch, NONE } from './switch.ts';

/** What is said to run.ts. */
export type Said =
	| { readonly kind: 'ready'; readonly tests: number; readonly broken: readonly string[] }
	| { readonly kind: 'begins'; readonly number: number }
	| { readonly kind: 'caught'; readonly number: number; readonly by: string }
	/** `tests`: how many passed its place and noticed nothing. */
	| { readonly kind: 'survives'; readonly number: number; readonly tests: number }
	| { readonly kind: 'done' };

/** A mutant's tests are begun until this much time is gone. */
const MUTANT_MS_MAX = 2000;

interface Timed {
	readonly test: RecordedTest;
	readonly ms: number;
	readonly passed: ReadonlySet<number>;
}

const [target = '', testsText = '[]'] = process.argv.slice(2);
const files = JSON.parse(testsText) as readonly string[];
const mutants = new MutantSwitch();

function say(said: Said): void {
	process.send?.(said);
}

async function fails(test: RecordedTest): Promise<boolean> {
	try {
		await test.run();
		return false;
	} catch {
		return true;
	}
}

/** Runs everything once without a mutant: how long it takes, and what places it passes. */
async function measure(broken: string[]): Promise<Timed[]> {
	const timed: Timed[] = [];
	for (const test of recordedTests) {
		mutants.passed.clear();
		const start = performance.now();
		if (await fails(test)) {
			broken.push(test.name);
		} else {
			timed.push({ test, ms: performance.now() - start, passed: new Set(mutants.passed) });
		}
	}
	return timed.sort((a, b) => a.ms - b.ms);
}

async function tryMutant(number: number, timed: readonly Timed[]): Promise<void> {
	say({ kind: 'begins', number });
	const about = timed.filter(({ passed }) => passed.has(number));
	const start = performance.now();
	mutants.on = number;
	try {
		for (const { test } of about) {
			if (performance.now() - start > MUTANT_MS_MAX) {
				break;
			}
			if (await fails(test)) {
				say({ kind: 'caught', number, by: test.name });
				return;
			}
		}
	} finally {
		mutants.on = NONE;
	}
	say({ kind: 'survives', number, tests: about.length });
}

async function main(): Promise<void> {
	register('./load-hooks.ts', import.meta.url, { data: { target: pathToFileURL(target).href } });
	// A failure is all that is asked for, not the smallest one.
	fc.configureGlobal({ seed: 1, endOnFailure: true });
	for (const file of files) {
		await import(pathToFileURL(file).href);
	}
	const broken: string[] = [];
	const timed = await measure(broken);
	process.on('message', async ({ numbers }: { numbers: readonly number[] }) => {
		for (const number of numbers) {
			await tryMutant(number, timed);
		}
		say({ kind: 'done' });
	});
	say({ kind: 'ready', tests: timed.length, broken });
}

await main();
