/**
 * What does one packet cost, and whose fault is it? Nanoseconds a packet, outward and inward, at 64 and
 * 1400 octets of IP packet:
 *
 *     own part      the engine with a provider that does nothing, and with null ciphers
 *     crypto alone  the same jobs given to the `node` provider without an engine
 *     both          engine and `node` provider together
 *
 * then the own part in batches of 1, 16 and 64, both together by algorithm and mode, the heap that the own
 * part allocates, and what a policy lookup costs (bench/lookup.ts). `out` is
 * lookup and transform, `in` is `input`; the policy check, which a host asks for when it has looked at what
 * came out, has rows of its own.
 *
 *     npm run bench:engine [-- --json] [-- --check]
 *
 * `--check` fails when a figure exceeds its bound by half.
 */
import { nodeProvider } from '@xfrm/crypto/node';
import { nullProvider } from '@xfrm/crypto/null';
import { Mode } from '@xfrm/wire/xfrm';
import {
	AES_GCM,
	CBC_SHA256,
	CHACHA,
	type Course,
	checking,
	cryptoAlone,
	inward,
	NULL_CIPHER,
	outward,
	type Setting,
} from './engine-course.ts';
import { lookupBench } from './lookup.ts';

const json: boolean = process.argv.includes('--json');
const check: boolean = process.argv.includes('--check');

/** In batches of 64; a smaller batch has no bound. */
const OWN_NS_MAX = 100;
const OWN_HEAP_OCTETS_MAX = 0.05;
const LOOKUP_NS_MAX = 500;
const HEAP_PACKETS = 20_000_000;
/** Packets between two looks at the heap. */
const HEAP_SLICE_PACKETS = 10_000;
/** Packets to find the best slice among: many for the own part, fewer where crypto runs. */
const OWN_PACKETS = 3_000_000;
const CRYPTO_PACKETS = 100_000;

/** Packets of one slice: short enough to fall between what else the machine does. */
const SLICE_PACKETS = 6400;

/**
 * Nanoseconds a packet: the best of many short slices, as other work on the machine only ever adds. What
 * `reset` takes is measured apart, in the same way, and taken off.
 */
function nanoseconds({ packets: batch, run, reset }: Course, packets: number): number {
	const rounds = Math.max(1, Math.round(SLICE_PACKETS / batch));
	const slices = Math.ceil(packets / batch / rounds);
	let bestReset = Number.POSITIVE_INFINITY;
	let best = Number.POSITIVE_INFINITY;
	for (let slice = 0; slice < slices; slice++) {
		const from = performance.now();
		for (let i = 0; i < rounds; i++) {
			reset();
		}
		const between = performance.now();
		for (let i = 0; i < rounds; i++) {
			reset();
			run();
		}
		const to = performance.now();
		bestReset = Math.min(bestReset, between - from);
		best = Math.min(best, to - between);
	}
	return ((best - bestReset) * 1e6) / (rounds * batch);
}

/** A look at the heap allocates as well: the least that it does. */
function heapOfLook(): number {
	let least = Number.POSITIVE_INFINITY;
	let before = process.memoryUsage().heapUsed;
	for (let i = 0; i < 10; i++) {
		const after = process.memoryUsage().heapUsed;
		least = Math.min(least, after - before);
		before = after;
	}
	return least;
}

/**
 * Octets of heap a packet: what the heap grows by between many looks, so that a collection hides at most one slice.
 * What V8 does on the side, compiling or ending a collection, comes in too: up to half a megabyte, 0.02 a packet.
 */
function heapOctets({ packets, run, reset }: Course): number {
	const { gc } = globalThis;
	if (gc === undefined) {
		throw new RangeError('run with node --expose-gc');
	}
	const rounds = Math.ceil(HEAP_SLICE_PACKETS / packets);
	const slices = Math.ceil(HEAP_PACKETS / (rounds * packets));
	const passSlice = (): number => {
		for (let i = 0; i < rounds; i++) {
			reset();
			run();
		}
		return process.memoryUsage().heapUsed;
	};
	for (let slice = 0; slice < slices / 20; slice++) {
		passSlice();
	}
	gc();
	const ofLook = heapOfLook();
	let before = process.memoryUsage().heapUsed;
	let sum = 0;
	for (let slice = 0; slice < slices; slice++) {
		const after = passSlice();
		sum += Math.max(0, after - before - ofLook);
		before = after;
	}
	return sum / (slices * rounds * packets);
}

interface Row {
	readonly bench: string;
	readonly case: string;
	readonly value: number;
	readonly unit: string;
	readonly against: string;
	readonly ratio: number;
}

const rows: Row[] = [];

function report(row: Row): void {
	rows.push(row);
	if (json) {
		process.stdout.write(`${JSON.stringify(row)}\n`);
		return;
	}
	const value = row.value.toFixed(row.unit === 'octets' ? 3 : 0).padStart(8);
	const ratio = row.against === '' ? '' : `${row.ratio.toFixed(2)} of ${row.against}`;
	process.stdout.write(`${row.case.padEnd(44)}${value} ${row.unit.padEnd(8)}${ratio}\n`);
}

function own(name: string, course: Course): void {
	const value = nanoseconds(course, OWN_PACKETS);
	const against = `the bound of ${OWN_NS_MAX} ns`;
	report({ bench: 'engine', case: name, value, unit: 'ns', against, ratio: value / OWN_NS_MAX });
}

/** A figure without a bound. */
function plain(name: string, value: number, against: string, ratio: number): void {
	report({ bench: 'engine', case: name, value, unit: 'ns', against, ratio });
}

const nothing: Setting = { provider: nullProvider(), algorithms: AES_GCM };
const nullCipher: Setting = { provider: nodeProvider(), algorithms: NULL_CIPHER };
const real: Setting = { provider: nodeProvider(), algorithms: AES_GCM };

const directions = [
	['out', outward],
	['in', inward],
] as const;
const ciphers = [
	['AES-GCM', AES_GCM],
	['ChaCha20-Poly1305', CHACHA],
	['AES-CBC, HMAC-SHA-256', CBC_SHA256],
] as const;
const modes = [
	['tunnel', Mode.Tunnel],
	['transport', Mode.Transport],
] as const;

for (const [direction, course] of directions) {
	for (const octets of [64, 1400]) {
		const name = `${direction} ${octets}`;
		own(`${name} own part, no crypto`, course(nothing, octets, false));
		own(`${name} own part, byte limit`, course({ ...nothing, byteLimit: true }, octets, false));
		own(`${name} null ciphers`, course(nullCipher, octets, false));
		const alone = nanoseconds(cryptoAlone(octets, direction === 'in'), CRYPTO_PACKETS);
		plain(`${name} crypto alone`, alone, '', 0);
		const both = nanoseconds(course(real, octets, true), CRYPTO_PACKETS);
		plain(`${name} both`, both, 'crypto alone', both / alone);
	}
}
for (const [direction, course] of directions) {
	let of64 = 0;
	for (const batch of [64, 16, 1]) {
		const value = nanoseconds(course({ ...nothing, batch }, 1400, false), OWN_PACKETS);
		of64 ||= value;
		plain(`${direction} 1400 own part, batch of ${batch}`, value, 'batch of 64', value / of64);
	}
}
for (const [direction, course] of directions) {
	for (const octets of [64, 1400]) {
		let first = 0;
		for (const [name, algorithms] of ciphers) {
			for (const [word, mode] of modes) {
				const setting = { ...real, algorithms, mode };
				const value = nanoseconds(course(setting, octets, true), CRYPTO_PACKETS);
				first ||= value;
				plain(`${direction} ${octets} ${name} ${word}`, value, 'AES-GCM tunnel', value / first);
			}
		}
	}
}
for (const octets of [64, 1400]) {
	own(`check ${octets}`, checking(nothing, octets));
}
for (const [name, course] of [
	['heap out, own part', outward(nothing, 64, false)],
	['heap out, own part, byte limit', outward({ ...nothing, byteLimit: true }, 64, false)],
	['heap in, own part', inward(nothing, 64, false)],
	['heap in, own part, byte limit', inward({ ...nothing, byteLimit: true }, 64, false)],
	['heap check', checking(nothing, 64)],
] as const) {
	const value = heapOctets(course);
	const against = `the bound of ${OWN_HEAP_OCTETS_MAX} octets`;
	report({
		bench: 'engine',
		case: name,
		value,
		unit: 'octets',
		against,
		ratio: value / OWN_HEAP_OCTETS_MAX,
	});
}
for (const row of lookupBench()) {
	const ratio = row.value / LOOKUP_NS_MAX;
	report({ ...row, against: `the bound of ${LOOKUP_NS_MAX} ns`, ratio });
}
if (check) {
	const bad = rows.filter(({ against, ratio }) => against.startsWith('the bound') && ratio > 1.5);
	for (const row of bad) {
		process.stderr.write(`${row.case}: ${row.ratio.toFixed(2)} of ${row.against}\n`);
	}
	process.exitCode = bad.length === 0 ? 0 : 1;
}
