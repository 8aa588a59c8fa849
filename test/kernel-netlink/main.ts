/**
 * `npm run test:kernel-netlink`: random requests put to the running kernel, in a network namespace of its
 * own, and to our server; answers, notifications and the dumps afterwards compared byte for byte. A
 * difference is made as small as it goes and printed as a line of the golden form, which `--case FILE`
 * runs again.
 *
 *     npm run test:kernel-netlink -- [--seconds 60] [--requests N] [--seed S] [--keep-going]
 *     npm run test:kernel-netlink -- --case FILE
 *
 * Needs root and a kernel with NETLINK_XFRM; without, it says why and is done. With CI=true a missing
 * package is a failure.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { formatHex, parseHex } from '@xfrm/wire';
import { type Difference, formatDifference } from '../golden/difference.ts';
import { EXCEPTIONS } from './exceptions.ts';
import type { Step } from './netlink-end.ts';
import { RequestRandom } from './request-random.ts';
import { shrink } from './shrink.ts';
import {
	exceptionHits,
	possibleProcessors,
	RESET,
	runFresh,
	setProcessors,
	type Transcript,
	Trial,
} from './trial.ts';

const { values: options } = parseArgs({
	options: {
		seconds: { type: 'string', default: '60' },
		requests: { type: 'string' },
		seed: { type: 'string', default: '1' },
		'keep-going': { type: 'boolean', default: false },
		case: { type: 'string' },
	},
});

/** Sequences in one namespace, before a fresh one is taken. */
const SEQUENCES_A_WORLD = 30;
const DIFFERENCES_MAX = 20;

/** A line of the golden form. */
function caseLine(id: string, steps: readonly Step[]): string {
	const transcript: Transcript = { answers: [], events: [], states: [], policies: [] };
	runFresh(steps, transcript);
	const [first] = steps;
	const unprivileged = steps.flatMap((step, i) => (step.unprivileged ? [i] : []));
	return JSON.stringify({
		id,
		requests: steps.map(({ datagram }) => formatHex(datagram)),
		...(first?.extAck === true ? { ext_ack: true } : {}),
		...(first?.capAck === true ? { cap_ack: true } : {}),
		...(unprivileged.length === 0 ? {} : { unprivileged }),
		answers: transcript.answers.map((answers) => answers.map(formatHex)),
		events: transcript.events.map(formatHex),
	});
}

function readCases(file: string): Step[][] {
	const lines = readFileSync(file, 'utf8')
		.split('\n')
		.filter((line) => line.trim() !== '');
	return lines.map((line) => {
		const one = JSON.parse(line) as {
			requests: string[];
			ext_ack?: boolean;
			cap_ack?: boolean;
			unprivileged?: number[];
		};
		return one.requests.map((hex, i) => {
			const datagram = parseHex(hex);
			if (!(datagram instanceof Uint8Array)) {
				throw new RangeError(`${file}: not hexadecimal: ${hex.slice(0, 40)}`);
			}
			return {
				datagram,
				extAck: one.ext_ack ?? false,
				capAck: one.cap_ack ?? false,
				unprivileged: one.unprivileged?.includes(i) ?? false,
			};
		});
	});
}

function say(text: string): void {
	process.stdout.write(`${text}\n`);
}

/** Tells of a difference: where, and the fewest steps that show it. */
function report(
	id: string,
	difference: Difference,
	history: readonly Step[],
	steps: readonly Step[],
): void {
	const short = runFresh(steps) === undefined ? history : steps;
	if (runFresh(short) === undefined) {
		say(`${id}: gone when it was run again: ${formatDifference(difference)}`);
		say(caseLine(id, steps));
		return;
	}
	const fewest = shrink(short);
	say(`${id}: ${formatDifference(runFresh(fewest) ?? difference)}`);
	say(caseLine(id, fewest));
}

function fuzz(): number {
	const seed = Number(options.seed);
	const requestsMax = Number(options.requests ?? Number.POSITIVE_INFINITY);
	const until = Date.now() + Number(options.seconds) * 1000;
	let requests = 0;
	let differences = 0;
	for (let world = 0; Date.now() < until && requests < requestsMax; world++) {
		const trial = Trial.open();
		if (typeof trial === 'string') {
			say(`skipped: ${trial}`);
			return 0;
		}
		const random = new RequestRandom(
			Math.imul(seed, 0x9e37_79b1) ^ Math.imul(world + 1, 0x85eb_ca6b),
		);
		const history: Step[] = [];
		for (let i = 0; i < SEQUENCES_A_WORLD && !trial.parted; i++) {
			const steps = random.sequence();
			history.push(...(i === 0 ? [] : RESET), ...steps);
			requests += steps.length;
			const difference = trial.run(steps) ?? (trial.parted ? undefined : trial.reset());
			if (difference !== undefined) {
				differences++;
				report(`seed-${seed}-world-${world}-sequence-${i}`, difference, history, steps);
				break;
			}
		}
		trial.close();
		if (differences > 0 && (!options['keep-going'] || differences >= DIFFERENCES_MAX)) {
			break;
		}
	}
	say(`seed ${seed}: ${requests} requests, ${differences} differences`);
	for (const { name, reason } of EXCEPTIONS) {
		say(`exception ${name}: ${exceptionHits.get(name) ?? 0} times (${reason})`);
	}
	return differences === 0 ? 0 : 1;
}

function replay(file: string): number {
	let failed = 0;
	for (const [i, steps] of readCases(file).entries()) {
		const difference = runFresh(steps);
		failed += difference === undefined ? 0 : 1;
		say(`${file}:${i + 1}: ${difference === undefined ? 'equal' : formatDifference(difference)}`);
	}
	return failed === 0 ? 0 : 1;
}

// A reader that goes away is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
	process.exit(error.code === 'EPIPE' ? 0 : 2);
});
setProcessors(possibleProcessors());
process.exitCode = options.case === undefined ? fuzz() : replay(options.case);
