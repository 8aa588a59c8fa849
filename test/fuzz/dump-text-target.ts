/**
 * Target `dump-text`: damaged dumps, snapshots and files of commands. Whatever a file of rules holds, it is
 * read or refused with a place in it; nothing throws, hangs, or leaves memory behind, and what was read can be
 * printed, read again, and is the same.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { formatMessage, objectJson, parseRulesFile, type RulesStep } from '@xfrm/iproute';
import { encodeMessage, splitMessages } from '@xfrm/netlink';
import { encodeUtf8 } from '@xfrm/wire';
import { Random } from '../kernel/random.ts';
import { dumpedMessages } from '../netlink/dumped-messages.ts';
import { type Course, heapOctets, type Outcome, type Target } from './target.ts';

/** Texts between two measurements of the heap. */
const TEXTS_A_ROUND = 2000;
/** Rounds before it is measured for the first time. */
const ROUNDS_BEFORE = 3;
const HEAP_OCTETS_MAX = 8 << 20;
/** Characters of a text at most, so that a round takes seconds. */
const TEXT_MAX = 20_000;

const WORDS = [
	...['src', 'dst', 'proto', 'esp', 'spi', '0x00000000', 'reqid', '4294967296', 'mode', 'tunnel'],
	...['replay-window', 'flag', 'aead', '(160', 'bits)', '0x', '<<Keys', 'hidden>>', '10.0.0.0/8'],
	...['tmpl', 'sel', 'dir', 'fwd', 'lifetime', 'config:', 'anti-replay', 'esn', 'context:', '???'],
	...[
		'bitmap-length',
		'128',
		'-1',
		'\\',
		'\r',
		'\u0000',
		'{',
		'"',
		'[',
		']',
		':',
		'$ ',
		'# ',
		'> ',
	],
	...['root@moon:~# ip xfrm state', 'ip xfrm state flush', '### sun', '+src ', '__proto__', 'é'],
];

/** Texts to begin with: the golden dumps in all print modes, pasted ones, JSON. */
function seedTexts(random: Random): string[] {
	const folder = new URL('../../packages/iproute/vectors/pasted/', import.meta.url);
	const texts = readdirSync(folder)
		.filter((name) => name.endsWith('.txt'))
		.map((name) => readFileSync(new URL(name, folder), 'utf8'));
	for (const { raw, message } of dumpedMessages()) {
		if (below(random, 8) === 0) {
			const print = {
				stats: below(random, 3),
				oneline: below(random, 4) === 0,
				nokeys: below(random, 4) === 0,
				timestamp: false,
				family: 0,
			};
			const release = below(random, 2) === 0 ? '6.1' : '7.1';
			texts.push(formatMessage(raw, { print, release }));
			texts.push(JSON.stringify(objectJson(message), undefined, below(random, 2)));
		}
	}
	return texts;
}

/** A whole number from 0 up to, but not `end`. */
function below(random: Random, end: number): number {
	return random.int(0, end - 1);
}

/** One damage: characters or lines cut, doubled, moved, or replaced by words of the language. */
function damage(text: string, random: Random): string {
	const at = below(random, text.length + 1);
	const end = Math.min(text.length, at + below(random, 1 << below(random, 10)));
	switch (below(random, 7)) {
		case 0:
			return text.slice(0, at) + text.slice(end);
		case 1:
			return text.slice(0, end) + text.slice(at);
		case 2:
			return `${text.slice(0, at)}${random.pick(WORDS)}${text.slice(at)}`;
		case 3:
			return `${text.slice(0, at)} ${random.pick(WORDS)} ${text.slice(end)}`;
		case 4:
			return text.slice(0, at) + String.fromCharCode(below(random, 256)) + text.slice(at + 1);
		case 5:
			return `${text.slice(0, at)}\n${text.slice(at)}`;
		default:
			return text.slice(at, end) + text.slice(0, at) + text.slice(end);
	}
}

/** What is wrong with the steps that were read; undefined when nothing is. */
function faultOf(steps: readonly RulesStep[]): string | undefined {
	for (const step of steps) {
		if (step.kind === 'command') {
			continue;
		}
		const [raw] = splitMessages(encodeMessage(step.message));
		const print = { stats: 2, oneline: false, nokeys: false, timestamp: false, family: 0 };
		const text = raw === undefined ? '' : formatMessage(raw, { print, release: '7.1' });
		if (/ERROR truncated|invalid-time/.test(text)) {
			continue;
		}
		const again = parseRulesFile(text);
		if (again.steps?.length !== 1) {
			return `what was read is not read again once printed: ${again.problem?.message}\n${text}`;
		}
	}
	return undefined;
}

function tryText(text: string): string | undefined {
	try {
		const { steps, problem, form } = parseRulesFile(text);
		if (problem !== undefined && !(problem.line >= 1 && problem.column >= 1)) {
			return 'a problem without a place';
		}
		// JSON can say what ip has no text for.
		return form === 'dump' ? faultOf(steps ?? []) : undefined;
	} catch (error) {
		return `thrown: ${error instanceof Error ? error.stack : String(error)}`;
	}
}

function run(course: Course): Outcome {
	const random = new Random(course.seed);
	const seeds = seedTexts(random);
	let inputs = 0;
	let before = 0;
	for (let round = 1; course.goesOn(); round++) {
		for (let i = 0; i < TEXTS_A_ROUND && course.goesOn(); i++) {
			let text = Array.from({ length: 1 + below(random, 4) }, () => random.pick(seeds)).join('');
			for (let times = below(random, 6); times >= 0; times--) {
				text = damage(text, random);
			}
			text = text.slice(0, TEXT_MAX);
			course.watch(encodeUtf8(text));
			inputs++;
			const fault = tryText(text);
			if (fault !== undefined) {
				return { inputs, fault: `${fault}\ninput: ${JSON.stringify(text)}` };
			}
		}
		if (!course.goesOn()) {
			break;
		}
		const heap = heapOctets();
		if (round === ROUNDS_BEFORE) {
			before = heap;
		} else if (round > ROUNDS_BEFORE && heap - before > HEAP_OCTETS_MAX) {
			return { inputs, fault: `the heap grew by ${heap - before} octets` };
		}
	}
	return { inputs, fault: undefined };
}

export const dumpTextTarget: Target = { run };
