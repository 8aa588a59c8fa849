/**
 * Target `dump-text`: damaged dumps, snapshots and files of commands. Whatever a file of rules holds, it is
 * read or refused with a place in it; nothing throws, hangs, or leaves memory behind, and what was read can be
 * printed, read again, and is the same.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { formatMessage, objectJson, parseRulesFile, type RulesStep } from '@xfrm/iproute';
import { encodeMessage, splitMessages } from '@xfrm/netlink';
import { decodeUtf8, encodeUtf8 } from '@xfrm/wire';
import type { Random } from '../kernel/random.ts';
import { dumpedMessages } from '../netlink/dumped-messages.ts';
import type { Subject, SubjectTarget } from './subject.ts';
import { check, Fault } from './target.ts';
import { damagedText } from './text-damage.ts';

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
function seeds(random: Random): Uint8Array[] {
	const folder = new URL('../../packages/iproute/vectors/pasted/', import.meta.url);
	const texts = readdirSync(folder)
		.filter((name) => name.endsWith('.txt'))
		.map((name) => readFileSync(new URL(name, folder), 'utf8'));
	for (const { raw, message } of dumpedMessages()) {
		if (random.chance(0.12)) {
			const print = {
				stats: random.int(0, 2),
				oneline: random.chance(0.25),
				nokeys: random.chance(0.25),
				timestamp: false,
				family: 0,
			};
			const release = random.chance(0.5) ? '6.1' : '7.1';
			texts.push(formatMessage(raw, { print, release }));
			texts.push(JSON.stringify(objectJson(message), undefined, random.int(0, 1)));
		}
	}
	return texts.map(encodeUtf8);
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

class Reading implements Subject {
	attempt(input: Uint8Array): string {
		const { steps, problem, form } = parseRulesFile(decodeUtf8(input));
		check(problem === undefined || (problem.line >= 1 && problem.column >= 1), 'no place');
		// JSON can say what ip has no text for.
		const fault = form === 'dump' ? faultOf(steps ?? []) : undefined;
		if (fault !== undefined) {
			throw new Fault(fault);
		}
		const what = problem?.message.replaceAll(/["'].*|[0-9a-f]*[0-9][0-9a-f:.]*/g, '#') ?? '';
		return `${form} ${Math.min(steps?.length ?? 0, 3)} ${what}`.slice(0, 200);
	}
}

export const dumpTextTarget: SubjectTarget = {
	name: 'dump-text',
	open: () => new Reading(),
	seeds,
	mutate: (input, random, pool) => {
		let text = decodeUtf8(input);
		while (random.chance(0.4)) {
			text += decodeUtf8(random.pick(pool));
		}
		return encodeUtf8(damagedText(text, random, WORDS));
	},
};
