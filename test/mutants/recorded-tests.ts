/**
 * Stands for `node:test` where mutants are tried: tests are noted instead of run, so that they can be run as often
 * as there are mutants. Knows what the house's tests use of it.
 */

type Body = (context: Context) => unknown;
type Hook = () => unknown;

export interface RecordedTest {
	readonly name: string;
	/** Runs it with its hooks; throws or rejects when it fails. */
	run(): Promise<void>;
}

interface Context {
	test(name: string, body: Body): Promise<void>;
	readonly diagnostic: () => void;
}

interface Suite {
	readonly name: string;
	readonly before: Hook[];
	readonly after: Hook[];
}

/** All tests of what was loaded. */
export const recordedTests: RecordedTest[] = [];

let suites: readonly Suite[] = [];

const context: Context = {
	// A test within a test runs with it.
	test: async (_name, body) => {
		await body(context);
	},
	diagnostic: () => undefined,
};

/** The arguments of node:test's functions: name, options and body, each but the body may be left out. */
function bodyOf(rest: readonly unknown[]): Body | undefined {
	const body = rest.find((one) => typeof one === 'function');
	return body === undefined ? undefined : (body as Body);
}

function isSkipped(rest: readonly unknown[]): boolean {
	return rest.some(
		(one) =>
			typeof one === 'object' &&
			one !== null &&
			'skip' in one &&
			one.skip !== false &&
			one.skip !== undefined,
	);
}

export function test(name: string, ...rest: readonly unknown[]): void {
	const body = bodyOf(rest);
	if (body === undefined || isSkipped(rest)) {
		return;
	}
	const around = suites;
	recordedTests.push({
		name: [...around.map((suite) => suite.name), name].join(' › '),
		run: async () => {
			for (const hook of around.flatMap((suite) => suite.before)) {
				await hook();
			}
			await body(context);
			for (const hook of around.flatMap((suite) => suite.after)) {
				await hook();
			}
		},
	});
}

export const it: typeof test = test;

export function describe(name: string, ...rest: readonly unknown[]): void {
	const body = bodyOf(rest);
	if (body === undefined || isSkipped(rest)) {
		return;
	}
	const outer = suites;
	suites = [...outer, { name, before: [], after: [] }];
	body(context);
	suites = outer;
}

export function before(hook: Hook): void {
	suites.at(-1)?.before.push(hook);
}

export function after(hook: Hook): void {
	suites.at(-1)?.after.push(hook);
}

export const beforeEach: typeof before = before;
export const afterEach: typeof after = after;
