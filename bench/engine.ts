/**
 * What does one packet cost, and whose fault is it? Nanoseconds a packet, outward and inward, at 64 and
 * 1400 octets of IP packet:
 *
 *     own part      the engine with a provider that does nothing, and with null ciphers
 *     crypto alone  the same jobs given to the `node` provider without an engine
 *     both          engine and `node` provider together
 *
 * and the heap that the own part allocates, and what a policy lookup costs (bench/lookup.ts). `out` is
 * lookup and transform, `in` is `input`; the policy check, which a host asks for when it has looked at what
 * came out, has rows of its own.
 *
 *     npm run bench:engine [-- --json] [-- --check]
 *
 * `--check` fails when a figure exceeds its bound by half.
 */
import { nodeProvider } from '@xfrm/crypto/node';
import { nullProvider } from '@xfrm/crypto/null';
import {
	AES_GCM,
	BATCH_PACKETS,
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

const OWN_NS_MAX = 150;
const OWN_HEAP_OCTETS_MAX = 0.05;
const LOOKUP_NS_MAX = 1000;
const HEAP_PACKETS = 5_000_000;
/** Packets to find the best slice among: many for the own part, fewer where crypto runs. */
const OWN_PACKETS = 3_000_000;
const CRYPTO_PACKETS = 200_000;

/** Rounds of one slice: short enough to fall between what else the machine does. */
const SLICE_ROUNDS = 200;

/**
 * Nanoseconds a packet: the best of many short slices, as other work on the machine only ever adds. What
 * `reset` takes is measured apart, in the same way, and taken off.
 */
function nanoseconds({ run, reset }: Course, packets: number): number {
	const slices = Math.ceil(packets / BATCH_PACKETS / SLICE_ROUNDS);
	let bestReset = Number.POSITIVE_INFINITY;
	let best = Number.POSITIVE_INFINITY;
	for (let slice = 0; slice < slices; slice++) {
		const from = performance.now();
		for (let i = 0; i < SLICE_ROUNDS; i++) {
			reset();
		}
		const between = performance.now();
		for (let i = 0; i < SLICE_ROUNDS; i++) {
			reset();
			run();
		}
		const to = performance.now();
		bestReset = Math.min(bestReset, between - from);
		best = Math.min(best, to - between);
	}
	return ((best - bestReset) * 1e6) / (SLICE_ROUNDS * BATCH_PACKETS);
}

/** Octets of heap a packet over five million packets. */
function heapOctets({ run, reset }: Course): number {
	const { gc } = globalThis;
	if (gc === undefined) {
		throw new RangeError('run with node --expose-gc');
	}
	const rounds = Math.ceil(HEAP_PACKETS / BATCH_PACKETS);
	for (let i = 0; i < rounds / 20; i++) {
		reset();
		run();
	}
	gc();
	const before = process.memoryUsage().heapUsed;
	for (let i = 0; i < rounds; i++) {
		reset();
		run();
	}
	const after = process.memoryUsage().heapUsed;
	return Math.max(0, after - before) / (rounds * BATCH_PACKETS);
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
	process.stdout.write(`${row.case.padEnd(40)}${value} ${row.unit.padEnd(8)}${ratio}\n`);
}

function own(name: string, course: Course): void {
	const value = nanoseconds(course, OWN_PACKETS);
	const against = `the bound of ${OWN_NS_MAX} ns`;
	report({ bench: 'engine', case: name, value, unit: 'ns', against, ratio: value / OWN_NS_MAX });
}

const nothing: Setting = { provider: nullProvider(), algorithms: AES_GCM };
const nullCipher: Setting = { provider: nodeProvider(), algorithms: NULL_CIPHER };
const real: Setting = { provider: nodeProvider(), algorithms: AES_GCM };

for (const [direction, course] of [
	['out', outward],
	['in', inward],
] as const) {
	for (const octets of [64, 1400]) {
		const name = `${direction} ${octets}`;
		own(`${name} own part, no crypto`, course(nothing, octets, false));
		own(`${name} own part, byte limit`, course({ ...nothing, byteLimit: true }, octets, false));
		own(`${name} null ciphers`, course(nullCipher, octets, false));
		const alone = nanoseconds(cryptoAlone(octets, direction === 'in'), CRYPTO_PACKETS);
		report({
			bench: 'engine',
			case: `${name} crypto alone`,
			value: alone,
			unit: 'ns',
			against: '',
			ratio: 0,
		});
		const both = nanoseconds(course(real, octets, true), CRYPTO_PACKETS);
		const ratio = both / alone;
		report({
			bench: 'engine',
			case: `${name} both`,
			value: both,
			unit: 'ns',
			against: 'crypto alone',
			ratio,
		});
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
