/**
 * What it takes to configure: thousands of policies and of states by one `ip -batch`, which asks and waits for the
 * answer of each, and single changes of tables that are full; the daemon by `xfrm exec`, whose start counts, and
 * beside it the running kernel, if it has what is asked for.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Host, Laboratory, pause, XFRM } from '../test/ike/laboratory.ts';
import { gateways, rules, startDaemon } from './data-plane-peers.ts';
import { leastOf, type Report } from './report.ts';

/** Policies, and states, of a batch. */
const OBJECTS = 10_000;
/** Of policies, there and back: the time of one is told. */
const SINGLE_CHANGES = 500;
/** A daemon that has just started practises first, where nobody wants anything of it (practice.ts). */
const PRACTICE_MILLISECONDS = 1000;
/** Alternately: of each figure the least is told. */
const ROUNDS = 3;

/** Times the kernel's. */
const POLICIES_MOST = 3;
const CHANGE_MILLISECONDS_MOST = 2;

/** What is measured, in seconds; Infinity where the kernel has no such states. */
interface Times {
	/** Of a table that was empty. */
	readonly policies: number;
	/** The same once more, behind a flush. */
	readonly policiesAgain: number;
	readonly states: number;
	/** A batch of nothing. */
	readonly nothing: number;
	/** Single changes where all of these are. */
	readonly changes: number;
}

/** What is told. */
type What = 'policies' | 'policiesAgain' | 'states' | 'change';
const WHATS: readonly What[] = ['policies', 'policiesAgain', 'states', 'change'];

/** Names and units, and how much the daemon may take at most where the kernel takes so much. */
const TOLD: Readonly<Record<What, readonly [name: string, unit: string, most?: Most]>> = {
	policies: ['10,000 policies', 's', (kernel) => POLICIES_MOST * kernel],
	policiesAgain: ['once more', 's', (kernel) => POLICIES_MOST * kernel],
	states: ['10,000 states', 's'],
	change: ['one change', 'ms', () => CHANGE_MILLISECONDS_MOST],
};
type Most = (kernel: number) => number;

/** Words before `ip`. */
type Way = readonly string[];
const KERNEL: Way = [];
/** Certificates that somebody wants Node to read at each start take longer than all else of it, and are not ours. */
const DAEMON: Way = ['env', '-u', 'NODE_EXTRA_CA_CERTS', process.execPath, XFRM, 'exec', '--'];

/** Seconds of a batch, Infinity when it is refused. */
async function seconds(host: Host, way: Way, lines: readonly string[]): Promise<number> {
	const file = join(host.folder, 'batch');
	writeFileSync(file, lines.map((line) => `${line}\n`).join(''));
	const begin = performance.now();
	const ip = host.start([...way, 'ip', '-batch', file]);
	const status = await ip.ended;
	return status === 0 ? (performance.now() - begin) / 1000 : Number.POSITIVE_INFINITY;
}

/** Lines that add policies to each other's prefixes, and take them away again. */
function singleChanges(): readonly string[] {
	return Array.from({ length: SINGLE_CHANGES }, (_, i) => {
		const policy = `src 10.3.0.0/16 dst 10.4.${i >> 8}.${i & 255} dir out`;
		const template = 'tmpl src 192.168.80.1 dst 192.168.80.2 proto esp mode tunnel';
		return [`xfrm policy add ${policy} ${template}`, `xfrm policy delete ${policy}`];
	}).flat();
}

async function timesOf(way: Way): Promise<Times> {
	const laboratory = new Laboratory();
	try {
		const host = gateways(laboratory).a;
		if (way === DAEMON) {
			await startDaemon(host, 'auto');
			await pause(PRACTICE_MILLISECONDS);
		}
		const setting = { provider: 'auto', encap: false, tunnels: OBJECTS / 2 };
		const lines = rules('a', 'b', setting).trimEnd().split('\n');
		const policies = lines.filter((line) => line.startsWith('xfrm policy'));
		const states = lines.filter((line) => line.startsWith('xfrm state'));
		const first = await seconds(host, way, policies);
		await seconds(host, way, ['xfrm policy flush']);
		const again = await seconds(host, way, policies);
		const ofStates = await seconds(host, way, states);
		const nothing = await seconds(host, way, []);
		const changes = await seconds(host, way, singleChanges());
		return { policies: first, policiesAgain: again, states: ofStates, nothing, changes };
	} finally {
		await laboratory.close();
	}
}

function figureOf(times: Times, what: What): number {
	return what === 'change'
		? ((times.changes - times.nothing) * 1000) / (2 * SINGLE_CHANGES)
		: times[what];
}

export async function controlSection(report: Report): Promise<void> {
	let [kernel, daemon] = [await timesOf(KERNEL), await timesOf(DAEMON)];
	for (let round = 1; round < ROUNDS; round++) {
		kernel = leastOf(kernel, await timesOf(KERNEL));
		daemon = leastOf(daemon, await timesOf(DAEMON));
	}
	for (const what of WHATS.filter((each) => Number.isFinite(figureOf(kernel, each)))) {
		const [name, unit] = TOLD[what];
		report.add(`running kernel: ${name}`, figureOf(kernel, what), unit);
	}
	for (const what of WHATS) {
		const [name, unit, most] = TOLD[what];
		const [theirs, ours] = [figureOf(kernel, what), figureOf(daemon, what)];
		const bound = most === undefined ? {} : { most: most(theirs) / theirs };
		const beside = { against: 'the running kernel', ratio: ours / theirs, ...bound };
		report.add(`daemon: ${name}`, ours, unit, Number.isFinite(theirs) ? beside : undefined);
	}
}
