/**
 * What does a request cost, to our server in this process and to the running kernel, by the same bytes? Policies
 * added (prefixes; port selectors), got and dumped; states added; all deleted; and what of memory a policy and a
 * state take.
 *
 *     npm run bench:netlink [-- --json] [-- --check] [-- --quick]
 *
 * The kernel is spoken to in a network namespace of its own; without root, or with a kernel that has no XFRM,
 * ours is measured alone. A ratio is our rate by the kernel's of the same run, each the best of several rounds.
 * `--check` fails when a figure misses its bound by half. Runs on the built packages.
 */
import { nodeProvider } from '@xfrm/crypto/node';
import { nullProvider } from '@xfrm/crypto/null';
import { enterNamespace } from '../test/netlink-live/namespace.ts';
import { askAll, dump, type End, indexesOf, KernelEnd, putAll, ServerEnd } from './netlink-end.ts';
import { packed, requests, type Shape } from './netlink-requests.ts';
import { octetsInUse, Report } from './report.ts';

const quick: boolean = process.argv.includes('--quick');

const ROUNDS = quick ? 1 : 3;
const GETS = 10_000;
const STATES = 10_000;
/** The kernel gets no more time than this for one case: what it did until then is its rate. */
const KERNEL_MS_MAX = 15_000;

const report: Report = new Report('netlink');

/** Something that is done `count` times; `prepare` comes before and is not measured. */
interface Course {
	readonly count: number;
	prepare(end: End): void;
	/** Answers how many were done, when the time did not suffice for all. */
	run(end: End, untilMs: number): number;
}

/**
 * How many a second of processor time: the kernel does its part in the time of who asks it, so that what else runs
 * on the machine counts at neither end.
 */
function rate(end: End, course: Course, msMax: number): number {
	let best = 0;
	for (let round = 0; round < (course.count > 10_000 ? ROUNDS : 4 * ROUNDS); round++) {
		course.prepare(end);
		const until = performance.now() + msMax;
		const from = process.cpuUsage();
		const done = course.run(end, until);
		const { user, system } = process.cpuUsage(from);
		best = Math.max(best, (done * 1e6) / (user + system));
		if (done < course.count) {
			break;
		}
	}
	return best;
}

/** Measures at both ends; `least` is the ratio to be reached. */
function compare(name: string, ends: Ends, course: Course, least: number): void {
	const ours = rate(ends.ours, course, Number.POSITIVE_INFINITY);
	const kernel = ends.kernel === undefined ? 0 : rate(ends.kernel, course, KERNEL_MS_MAX);
	if (kernel === 0) {
		report.add(name, ours, 'a second');
		return;
	}
	const against = `the running kernel's ${Math.round(kernel).toLocaleString('en')}`;
	const comparison = { against, ratio: ours / kernel };
	report.add(name, ours, 'a second', least === 0 ? comparison : { ...comparison, least });
}

interface Ends {
	readonly ours: ServerEnd;
	readonly kernel: KernelEnd | undefined;
}

/** Always all of them. */
function doing(count: number, act: (end: End) => void): Course['run'] {
	return (end) => {
		act(end);
		return count;
	};
}

function flush(end: End): void {
	putAll(end, [requests.flushPolicies(), requests.flushStates()]);
}

/** Puts datagrams in until the time is over; answers how many requests that were. */
function putUntil(
	end: End,
	datagrams: readonly Uint8Array[],
	count: number,
	untilMs: number,
): number {
	for (let i = 0; i < datagrams.length; i++) {
		const datagram = datagrams[i];
		if (datagram !== undefined) {
			putAll(end, [datagram]);
		}
		if ((i & 127) === 127 && performance.now() > untilMs) {
			return Math.round((count * (i + 1)) / datagrams.length);
		}
	}
	return count;
}

function policyCourse(shape: Shape, count: number): Course {
	const datagrams = requests.addPolicies(shape, count);
	return { count, prepare: flush, run: (end, until) => putUntil(end, datagrams, count, until) };
}

function comparePolicies(ends: Ends): void {
	for (const count of [10_000, 100_000]) {
		for (const shape of ['prefixes', 'ports'] as const) {
			const least = shape === 'prefixes' ? 1 : 20;
			compare(`add ${count} policies, ${shape}`, ends, policyCourse(shape, count), least);
		}
	}
	const count = 100_000;
	const fill = packed(requests.addPolicies('prefixes', count));
	compare(
		`add ${count} policies, prefixes, packed`,
		ends,
		{ count, prepare: flush, run: (end, until) => putUntil(end, fill, count, until) },
		0,
	);
	for (const end of [ends.ours, ends.kernel]) {
		if (end !== undefined) {
			flush(end);
			putAll(end, fill);
		}
	}
	const nothing = (): void => {};
	const dumpRequest = requests.dumpPolicies();
	compare(
		`dump ${count} policies`,
		ends,
		{ count, prepare: nothing, run: doing(count, (end) => dump(end, dumpRequest)) },
		0.5,
	);
	let byIndex: Uint8Array[] = [];
	compare(
		`get by index, of ${count}`,
		ends,
		{
			count: GETS,
			prepare: (end) => {
				byIndex = requests.getByIndex(indexesOf(dump(end, dumpRequest)), GETS);
			},
			run: doing(GETS, (end) => askAll(end, byIndex)),
		},
		0,
	);
	const bySelector = requests.getBySelector('prefixes', count, GETS);
	compare(
		`get by selector, of ${count}`,
		ends,
		{ count: GETS, prepare: nothing, run: doing(GETS, (end) => askAll(end, bySelector)) },
		0,
	);
	compare(
		`delete all ${count} policies`,
		ends,
		{
			count,
			prepare: (end) => {
				flush(end);
				putAll(end, fill);
			},
			run: doing(count, flush),
		},
		0,
	);
}

/** Most kernels that one runs this on have no ESP: then larval states are all that both can make. */
function compareStates(ends: Ends): void {
	const alloc = requests.allocSpis(STATES);
	compare(
		`make ${STATES} larval states (ALLOCSPI)`,
		ends,
		{ count: STATES, prepare: flush, run: doing(STATES, (end) => askAll(end, alloc)) },
		1,
	);
	const add = requests.addStates(STATES);
	const course: Course = {
		count: STATES,
		prepare: flush,
		run: (end, until) => putUntil(end, add, STATES, until),
	};
	compare(
		`add ${STATES} states`,
		kernelHasEsp(ends) ? ends : { ...ends, kernel: undefined },
		course,
		1,
	);
	const dumpRequest = requests.dumpStates();
	compare(
		`dump ${STATES} states`,
		ends,
		{
			count: STATES,
			prepare: (end) => {
				flush(end);
				askAll(end, alloc);
			},
			run: doing(STATES, (end) => dump(end, dumpRequest)),
		},
		0,
	);
}

function kernelHasEsp({ kernel }: Ends): boolean {
	try {
		putAll(kernel ?? { request: () => [], rest: () => [] }, requests.addStates(1));
		return kernel !== undefined;
	} catch {
		return false;
	}
}

/** Ends that were measured: were they let go, the next one would seem to take less. */
const kept: End[] = [];

/** Octets each, of an engine whose provider keeps nothing. */
function memory(name: string, datagrams: readonly Uint8Array[], count: number, most: number): void {
	const end = new ServerEnd(nullProvider());
	kept.push(end);
	const before = octetsInUse();
	putAll(end, datagrams);
	const value = (octetsInUse() - before) / count;
	const against = `the bound of ${most} octets`;
	report.add(name, value, 'octets', { against, ratio: value / most, most: 1 });
}

const absent = enterNamespace();
if (absent !== undefined) {
	process.stderr.write(`without the kernel: ${absent}\n`);
}
const ends: Ends = {
	ours: new ServerEnd(nodeProvider()),
	kernel: absent === undefined ? new KernelEnd() : undefined,
};
memory('a policy, prefixes', requests.addPolicies('prefixes', 100_000), 100_000, 1000);
memory('a policy, ports', requests.addPolicies('ports', 100_000), 100_000, 1000);
memory('a state', requests.addStates(STATES), STATES, 2000);
kept.length = 0;
comparePolicies(ends);
compareStates(ends);
report.finish();
