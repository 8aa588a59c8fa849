/**
 * The process that tries mutants, started by run.ts: loads the tests once, sees which of them pass which
 * mutant's place, then switches on one mutant after the other. Time is the processor's: on a busy machine a
 * mutant gets as many tests as on an idle one.
 *
 *     argv: target, tests as JSON, milliseconds that a mutant's tests are begun in
 *     message { numbers }: which mutants to try
 */
import { register } from 'node:module';
import { basename } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { EndlessWatch } from './endless-watch.ts';
import { type RecordedTest, recordedTests } from './recorded-tests.ts';
import { MutantSwitch, NONE, processorMs } from './switch.ts';

/** What is said to run.ts. */
export type Said =
	| {
			readonly kind: 'ready';
			readonly tests: number;
			readonly ms: number;
			readonly broken: readonly string[];
	  }
	| { readonly kind: 'begins'; readonly number: number }
	| { readonly kind: 'caught'; readonly number: number; readonly by: string }
	/** `tests`: how many passed its place and noticed nothing; `left` were not begun any more. */
	| {
			readonly kind: 'survives';
			readonly number: number;
			readonly tests: number;
			readonly left: number;
	  }
	| { readonly kind: 'done' };

/** A test has no end when it takes so many times as long as without a mutant, and this much more. */
const ENDLESS_TIMES = 10;
const ENDLESS_MS = 1000;
/** A test that is worth trying before others. */
const QUICK_MS = 50;

interface Timed {
	readonly test: RecordedTest;
	/** Of a file beside the target that begins with its name. */
	readonly own: boolean;
	readonly ms: number;
	readonly passed: ReadonlySet<number>;
}

const [target = '', testsText = '[]', msText = ''] = process.argv.slice(2);
const files = JSON.parse(testsText) as readonly string[];
const mutants = new MutantSwitch();
const watch = new EndlessWatch();

function say(said: Said): void {
	process.send?.(said);
}

async function fails(test: RecordedTest): Promise<boolean> {
	watch.next();
	try {
		await test.run();
		return false;
	} catch {
		return true;
	}
}

/** Runs everything once without a mutant: how long it takes, and what places it passes. */
async function measure(isOwn: (test: RecordedTest) => boolean, broken: string[]): Promise<Timed[]> {
	const timed: Timed[] = [];
	for (const test of recordedTests) {
		mutants.passed.clear();
		const start = processorMs();
		if (await fails(test)) {
			broken.push(test.name);
		} else {
			timed.push({
				test,
				own: isOwn(test),
				ms: processorMs() - start,
				passed: new Set(mutants.passed),
			});
		}
	}
	return inOrder(timed);
}

/**
 * Quick tests beside the target first, then those that pass a set of places that none before has passed: many
 * golden cases go the same way. Among equals the quick ones.
 */
function inOrder(timed: readonly Timed[]): Timed[] {
	const isQuick = ({ own, ms }: Timed): boolean => own && ms < QUICK_MS;
	const quickFirst = timed.toSorted(
		(a, b) => Number(isQuick(b)) - Number(isQuick(a)) || a.ms - b.ms,
	);
	const times = new Map<string, number>();
	const turns = new Map<Timed, number>();
	for (const one of quickFirst) {
		const way = [...one.passed].sort().join();
		const turn = times.get(way) ?? 0;
		times.set(way, turn + 1);
		turns.set(one, isQuick(one) ? 0 : turn);
	}
	return quickFirst.sort((a, b) => (turns.get(a) ?? 0) - (turns.get(b) ?? 0));
}

/**
 * @param timed what is likeliest to notice stands in front
 * @returns false when the mutant left something behind that spoils the tests of the next
 */
async function tryMutant(number: number, timed: Timed[]): Promise<boolean> {
	say({ kind: 'begins', number });
	const about = timed.filter(({ passed }) => passed.has(number));
	const end = processorMs() + Number(msText);
	mutants.on = number;
	let begun = 0;
	try {
		for (const one of about) {
			if (processorMs() > end) {
				break;
			}
			begun++;
			mutants.allow(ENDLESS_TIMES * one.ms + ENDLESS_MS);
			if (await fails(one.test)) {
				say({ kind: 'caught', number, by: mutants.ranOut ? 'no end' : one.test.name });
				// The next mutant is nearby.
				timed.unshift(...timed.splice(timed.indexOf(one), 1));
				mutants.on = NONE;
				return !(await fails(one.test));
			}
		}
	} finally {
		mutants.on = NONE;
	}
	say({ kind: 'survives', number, tests: begun, left: about.length - begun });
	return true;
}

async function main(): Promise<void> {
	register('./load-hooks.ts', import.meta.url, { data: { target: pathToFileURL(target).href } });
	// A failure is all that is asked for, not the smallest one.
	fc.configureGlobal({ seed: 1, endOnFailure: true });
	const name = basename(target, '.ts');
	const own = new Set<RecordedTest>();
	for (const file of files) {
		const before = recordedTests.length;
		await import(pathToFileURL(file).href);
		if (basename(file).startsWith(name)) {
			for (const test of recordedTests.slice(before)) {
				own.add(test);
			}
		}
	}
	process.on('disconnect', () => process.exit());
	const broken: string[] = [];
	const timed = await measure((test) => own.has(test), broken);
	process.on('message', async ({ numbers }: { numbers: readonly number[] }) => {
		let sound = true;
		for (const number of numbers) {
			sound = sound && (await tryMutant(number, timed));
			// Messages, and the end of who reads them, have their turn.
			await setImmediate();
		}
		say({ kind: 'done' });
	});
	say({ kind: 'ready', tests: timed.length, ms: processorMs(), broken });
}

await main();
