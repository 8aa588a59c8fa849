/**
 * `npm run bench:data-plane`: one TCP stream of iperf3 between two gateways, through our daemon with each of its
 * providers, and through what else does ESP or its like in user space, one after the other.
 *
 *     npm run bench:data-plane [-- CASE…] [-- --seconds N] [-- --json]
 *
 * Needs root, iperf3, strongSwan with libcharon-extra-plugins, wireguard-go and wireguard-tools; what is not
 * installed is left out and said. Gateways are network namespaces on this machine, which also runs the ends of
 * the stream: read ratios, and processor time of the gateways' own processes.
 */
import { existsSync, readFileSync } from 'node:fs';
import { type Host, Laboratory, pause, reasonToSkip, until } from '../test/ike/laboratory.ts';
import {
	barePlane,
	type Gateways,
	gateways,
	INNER,
	libipsecPlane,
	ourPlane,
	type Plane,
	wireguardPlane,
} from './data-plane-peers.ts';
import { type Comparison, Report } from './report.ts';

/** What a case needs that may not be installed. */
interface Case {
	readonly name: string;
	readonly needs?: string;
	/** Bounds against kernel-libipsec: throughput at least, processor time at most. */
	readonly least?: number;
	readonly most?: number;
	up(ends: Gateways): Promise<Plane>;
}

const LIBIPSEC = 'kernel-libipsec';

/** libipsec comes first: the others are compared with it. */
const CASES: readonly Case[] = [
	{
		name: LIBIPSEC,
		needs: '/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so',
		up: libipsecPlane,
	},
	{ name: 'addon', least: 8, most: 0.1, up: (ends) => ourPlane(ends, 'addon', true) },
	{ name: 'ffi', least: 4, up: (ends) => ourPlane(ends, 'ffi', true) },
	{ name: 'addon, plain ESP', up: (ends) => ourPlane(ends, 'addon', false) },
	{ name: 'ffi, plain ESP', up: (ends) => ourPlane(ends, 'ffi', false) },
	{ name: 'wireguard-go', needs: '/usr/bin/wireguard-go', up: wireguardPlane },
	{ name: 'no tunnel', up: barePlane },
];

/** Of one stream. */
interface Measured {
	readonly megabits: number;
	/** Payload segments a second. */
	readonly packets: number;
	/** Processor seconds a gigabit. */
	readonly processorA: number;
	readonly processorB: number;
}

const TICKS_PER_SECOND = 100;

/** Processor seconds that processes have used, threads included (proc(5)). */
function processorSeconds(pids: readonly number[]): number {
	let ticks = 0;
	for (const pid of pids) {
		const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
		const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
		ticks += Number(fields[11]) + Number(fields[12]);
	}
	return ticks / TICKS_PER_SECOND;
}

interface IperfReport {
	readonly error?: string;
	readonly start: { readonly tcp_mss_default: number };
	readonly end: { readonly sum_received: { readonly bytes: number; readonly seconds: number } };
}

async function stream(from: Host, seconds: number): Promise<IperfReport> {
	const command = ['iperf3', '-J', '-c', INNER.b, '-B', INNER.a, '-t', String(seconds)];
	const running = from.start(command);
	await running.ended;
	const report = JSON.parse(running.stdout) as IperfReport;
	if (report.error !== undefined) {
		throw new Error(`iperf3: ${report.error}`);
	}
	return report;
}

async function measure({ a, b }: Gateways, plane: Plane, seconds: number): Promise<Measured> {
	b.start(['iperf3', '-s', '-B', INNER.b]);
	await until('iperf3', () => b.must('cat /proc/net/tcp').includes(':1451 '));
	// Compilers of JavaScript, congestion windows and caches are warm then.
	await stream(a, 1);
	const before = [processorSeconds(plane.pidsA), processorSeconds(plane.pidsB)] as const;
	const report = await stream(a, seconds);
	const { bytes, seconds: took } = report.end.sum_received;
	const gigabits = (bytes * 8) / 1e9;
	return {
		megabits: (gigabits * 1000) / took,
		packets: bytes / report.start.tcp_mss_default / took,
		processorA: (processorSeconds(plane.pidsA) - before[0]) / gigabits,
		processorB: (processorSeconds(plane.pidsB) - before[1]) / gigabits,
	};
}

async function runCase({ up }: Case, seconds: number): Promise<Measured> {
	const laboratory = new Laboratory();
	try {
		const ends = gateways(laboratory);
		const plane = await up(ends);
		await pause(300);
		return await measure(ends, plane, seconds);
	} finally {
		await laboratory.close();
	}
}

function comparison(ratio: number, bounds: Partial<Comparison>): Comparison {
	return { against: LIBIPSEC, ratio, ...bounds };
}

function tell(report: Report, one: Case, measured: Measured, libipsec: Measured | undefined): void {
	const { name, least, most } = one;
	const { megabits, packets, processorA, processorB } = measured;
	const beside = libipsec === measured ? undefined : libipsec;
	const throughput =
		beside && comparison(megabits / beside.megabits, least === undefined ? {} : { least });
	report.add(`${name}: TCP`, megabits, 'Mbit/s', throughput);
	report.add(`${name}: packets`, packets, '/s');
	const both = processorA + processorB;
	if (both > 0) {
		report.add(`${name}: processor, sender`, processorA, 's/Gbit');
		report.add(`${name}: processor, receiver`, processorB, 's/Gbit');
		const ratio = beside === undefined ? 0 : both / (beside.processorA + beside.processorB);
		const cost = beside && comparison(ratio, most === undefined ? {} : { most });
		report.add(`${name}: processor, both`, both, 's/Gbit', cost);
	}
}

async function main(): Promise<void> {
	const words = process.argv.slice(2);
	const at = words.indexOf('--seconds');
	const seconds = at < 0 ? 5 : Number(words[at + 1]);
	const names = words.filter((word, i) => !word.startsWith('--') && (at < 0 || i !== at + 1));
	const missing = reasonToSkip() ?? (existsSync('/usr/bin/iperf3') ? undefined : 'needs iperf3');
	if (missing !== undefined) {
		process.stderr.write(`bench data-plane: ${missing}\n`);
		process.exitCode = 2;
		return;
	}
	const report = new Report('data-plane');
	let libipsec: Measured | undefined;
	for (const one of CASES) {
		if (names.length > 0 && !names.includes(one.name)) {
			continue;
		}
		if (one.needs !== undefined && !existsSync(one.needs)) {
			process.stderr.write(`bench data-plane: ${one.name} is left out: no ${one.needs}\n`);
			continue;
		}
		const measured = await runCase(one, seconds);
		libipsec ??= one.name === LIBIPSEC ? measured : undefined;
		tell(report, one, measured, libipsec);
	}
	report.finish();
}

await main();
