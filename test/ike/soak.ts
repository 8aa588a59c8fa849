/**
 * Traffic through many tunnels over rekeys that never end: `npm run test:ike -- --soak SECONDS`. Nothing may be
 * lost but in the first second, and what the daemons hold (memory, descriptors, threads, states) stays as it is.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import type { Connection } from './charon.ts';
import { type Host, pause, type Running, until } from './laboratory.ts';
import { type Ends, IPV4, isInner, withCharons, withEnds } from './scenario.ts';
import { assertNumbersOnce, WireWatch } from './wire-watch.ts';

const TUNNELS = 20;
const REKEY_SECONDS = 10;
const PINGS_PER_SECOND = 10;
const SAMPLE_SECONDS = 10;
/** Samples between two lines of progress. */
const TOLD_EVERY = 6;
/** Memory that a heap may take until it is collected, and that a tenth of it may add. */
const MEMORY_SLACK_KIB = 24 * 1024;
/** Lists of processes and the like are open for a moment. */
const DESCRIPTOR_SLACK = 4;

/** What a process holds. */
interface Holding {
	readonly residentKib: number;
	readonly descriptors: number;
	readonly threads: number;
}

function holding({ pid, process, stderr }: Running): Holding {
	const { exitCode, signalCode } = process;
	assert.ok(
		exitCode === null && signalCode === null,
		`ended by ${signalCode ?? exitCode}: ${stderr}`,
	);
	const status = readFileSync(`/proc/${pid}/status`, 'latin1');
	const field = (name: string): number =>
		Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
	return {
		residentKib: field('VmRSS'),
		descriptors: readdirSync(`/proc/${pid}/fd`).length,
		threads: field('Threads'),
	};
}

function inner(side: 1 | 2, tunnel: number): string {
	return `10.${side}.${tunnel}.1`;
}

function child(local: 1 | 2, remote: 1 | 2, tunnel: number, rekey: number): string {
	return `local_ts = 10.${local}.${tunnel}.0/24
	remote_ts = 10.${remote}.${tunnel}.0/24
	esp_proposals = aes128gcm16
	rekey_time = ${rekey}
	rand_time = ${rekey / 5}
	life_time = ${rekey * 6}`;
}

function connection(side: 1 | 2): Connection {
	const [local, remote] = side === 1 ? ([1, 2] as const) : ([2, 1] as const);
	const rekey = side === 1 ? REKEY_SECONDS : 0;
	const children = Array.from({ length: TUNNELS }, (_, tunnel) => [
		`n${tunnel}`,
		child(local, remote, tunnel, rekey),
	]);
	return {
		local: side === 1 ? IPV4.a : IPV4.b,
		remote: side === 1 ? IPV4.b : IPV4.a,
		// A child that nobody initiates.
		localTs: `10.${local}.255.0/24`,
		remoteTs: `10.${remote}.255.0/24`,
		encap: true,
		children: Object.fromEntries(children),
	};
}

/** Pings through one tunnel, and which of them came back. */
function ping(a: Host, tunnel: number, count: number): Running {
	const words = ['ping', '-n', '-i', `${1 / PINGS_PER_SECOND}`, '-W', '2', '-c', `${count}`];
	return a.start([...words, '-I', inner(1, tunnel), inner(2, tunnel)]);
}

/** Numbers of the pings that did not come back, but for those of the first second. */
function lost(pings: Running, count: number): number[] {
	const back = new Set(
		[...pings.stdout.matchAll(/icmp_seq=(\d+) ttl/g)].map(([, seq]) => Number(seq)),
	);
	const missing: number[] = [];
	for (let seq = PINGS_PER_SECOND + 1; seq <= count; seq++) {
		if (!back.has(seq)) {
			missing.push(seq);
		}
	}
	return missing;
}

function middle(samples: readonly Holding[], field: keyof Holding): number {
	return samples.map((sample) => sample[field]).sort((x, y) => x - y)[samples.length >> 1] ?? 0;
}

/** The last quarter holds no more than the second. */
function assertFlat(name: string, samples: readonly Holding[]): string {
	const quarter = Math.max(1, samples.length >> 2);
	const early = samples.slice(quarter, 2 * quarter);
	const late = samples.slice(-quarter);
	const texts = (['residentKib', 'descriptors', 'threads'] as const).map((field) => {
		const [before, after] = [middle(early, field), middle(late, field)];
		const slack = field === 'residentKib' ? MEMORY_SLACK_KIB + before / 10 : DESCRIPTOR_SLACK;
		assert.ok(after <= before + slack, `${name}: ${field} from ${before} to ${after}`);
		return `${field} ${before} → ${after}`;
	});
	return `${name} ${texts.join(', ')}`;
}

async function sample(ends: Ends, seconds: number): Promise<readonly [Holding[], Holding[]]> {
	const samples: [Holding[], Holding[]] = [[], []];
	const end = performance.now() + seconds * 1000;
	while (performance.now() < end) {
		await pause(Math.min(SAMPLE_SECONDS * 1000, end - performance.now()));
		samples[0].push(holding(ends.daemonA));
		samples[1].push(holding(ends.daemonB));
		if (samples[0].length % TOLD_EVERY === 0) {
			const memory = samples.map((each) => `${(each.at(-1)?.residentKib ?? 0) >> 10} MB`);
			const done = samples[0].length * SAMPLE_SECONDS;
			process.stderr.write(
				`soak: ${done} of ${seconds} s, the daemons hold ${memory.join(' and ')}\n`,
			);
		}
	}
	return samples;
}

/** A report of what was seen. @throws AssertionError */
export function soak(seconds: number): Promise<string> {
	return withEnds(async (ends) => {
		const { a, b } = ends;
		for (let tunnel = 1; tunnel < TUNNELS; tunnel++) {
			a.must(`ip address add ${inner(1, tunnel)} dev lo`);
			b.must(`ip address add ${inner(2, tunnel)} dev lo`);
		}
		const [one] = await withCharons(ends, [connection(1), connection(2)]);
		const watch = await WireWatch.start(b, 'eth0');
		for (let tunnel = 0; tunnel < TUNNELS; tunnel++) {
			one.must('--initiate', '--child', `n${tunnel}`);
		}
		const count = seconds * PINGS_PER_SECOND;
		const traffic = Array.from({ length: TUNNELS }, (_, tunnel) => ping(a, tunnel, count));
		const [samplesA, samplesB] = await sample(ends, seconds);
		await Promise.all(traffic.map((pings) => pings.ended));
		const missing = traffic.flatMap((pings, tunnel) =>
			lost(pings, count).map((seq) => `tunnel ${tunnel}: ${seq}`),
		);
		assert.deepEqual(missing, []);
		const { esp, plain } = await watch.stop(isInner);
		assert.equal(plain, 0);
		assertNumbersOnce(esp);
		const spis = new Set(esp.map(({ spi }) => spi)).size;
		const rekeys = spis / 2 - TUNNELS;
		assert.ok(rekeys > (TUNNELS * seconds) / REKEY_SECONDS / 2, `${rekeys} rekeys`);
		// Old states go some seconds after they were replaced.
		const states = (): number => a.tables('state').match(/^src /gm)?.length ?? 0;
		await until('old states are gone', () => states() <= 4 * TUNNELS, 20_000);
		return [
			`${seconds} s, ${TUNNELS} tunnels, ${rekeys} rekeys, ${count * TUNNELS} pings`,
			'none lost after the first second, none in clear, no number twice',
			assertFlat('A', samplesA),
			assertFlat('B', samplesB),
		].join('; ');
	});
}
