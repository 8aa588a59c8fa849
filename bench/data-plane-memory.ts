/**
 * What a daemon takes of memory: fresh, with many states and policies, and behind what happens to these in a day, or in
 * a year. Resident is what it has a while later, `at most` what it had meanwhile.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { type Host, Laboratory, pause, type Running } from '../test/ike/laboratory.ts';
import { gateways, loadRules, rules } from './data-plane-peers.ts';
import type { Report } from './report.ts';

const MEGABYTES_MAX = 150;
/** Of memory there is less noise than of time. */
const SLACK = 1.1;
/** Until what is of no use any more is given back. */
const SETTLE_MILLISECONDS = 3000;
const OBJECTS = 10_000;
const DUMPS = 10;
const RELOADS = 3;

/** Of a line of /proc/PID/status, in megabytes. */
function megabytesOf(pid: number, line: 'VmRSS' | 'VmHWM'): number {
	const text = readFileSync(`/proc/${pid}/status`, 'latin1');
	return (Number(new RegExp(`^${line}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? 0) * 1024) / 1e6;
}

/** The most is counted anew from here on. */
function forgetMost(pid: number): void {
	writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

function tell(report: Report, name: string, pid: number): void {
	for (const [what, line] of [
		['resident', 'VmRSS'],
		['at most', 'VmHWM'],
	] as const) {
		const megabytes = megabytesOf(pid, line);
		const against = `the bound of ${MEGABYTES_MAX} MB`;
		const beside = { against, ratio: megabytes / MEGABYTES_MAX, most: 1, slack: SLACK };
		report.add(`${name}: ${what}`, megabytes, 'MB', beside);
	}
}

function rulesOf(count: number): string {
	return rules('a', 'b', { provider: 'auto', encap: false, tunnels: count / 2 });
}

/** A new state in the place of each, and its policy updated. */
function rekeys(): string {
	const lines: string[] = [];
	const text = rulesOf(OBJECTS).trimEnd().split('\n');
	// Of a tunnel: two states, then their policies.
	for (const [i, line] of text.entries()) {
		const [, id = '', spi = ''] =
			/^xfrm state add (src \S+ dst \S+ proto esp spi )(\d+)/.exec(line) ?? [];
		if (id !== '') {
			const update = text[i + 2]?.replace('policy add', 'policy update') ?? '';
			const added = line.replace(`spi ${spi}`, `spi ${Number(spi) + 0x10_0000}`);
			lines.push(added, update, `xfrm state delete ${id}${spi}`);
		}
	}
	return `${lines.join('\n')}\n`;
}

async function dump(host: Host): Promise<void> {
	for (const what of ['state', 'policy']) {
		await host.start(['sh', '-c', `${host.command('exec', '--', 'ip', 'xfrm', what)} > /dev/null`])
			.ended;
	}
}

async function reload(host: Host): Promise<void> {
	await loadRules(host, `xfrm policy flush\nxfrm state flush\n${rulesOf(OBJECTS)}`);
}

async function repeat(times: number, act: () => Promise<void>): Promise<void> {
	for (let i = 0; i < times; i++) {
		await act();
	}
}

/** One after the other, on the same daemon and its successor. */
async function inLife(report: Report, host: Host, first: Running): Promise<void> {
	let daemon = first;
	const restart = async (): Promise<void> => {
		daemon.kill('SIGTERM');
		await daemon.ended;
		daemon = await host.daemon();
	};
	const turns: readonly (readonly [name: string, act: () => Promise<void>])[] = [
		[`${DUMPS} dumps of each`, () => repeat(DUMPS, () => dump(host))],
		['a rekey of each state', () => loadRules(host, rekeys())],
		[`${RELOADS} flushes and reloads`, () => repeat(RELOADS, () => reload(host))],
		['a restart', restart],
	];
	for (const [name, act] of turns) {
		forgetMost(daemon.pid);
		await act();
		await pause(SETTLE_MILLISECONDS);
		tell(report, `behind ${name}`, daemon.pid);
	}
}

export async function memorySection(report: Report): Promise<void> {
	for (const count of [0, 1000, OBJECTS]) {
		const laboratory = new Laboratory();
		try {
			const host = gateways(laboratory).a;
			const daemon = await host.daemon();
			if (count > 0) {
				await loadRules(host, rulesOf(count));
			}
			await pause(SETTLE_MILLISECONDS);
			tell(report, `${count} states, ${count} policies`, daemon.pid);
			if (count === OBJECTS) {
				await inLife(report, host, daemon);
			}
		} finally {
			await laboratory.close();
		}
	}
}
