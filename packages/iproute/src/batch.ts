/**
 * `ip -batch FILE`: commands one a line, comments, lines that go on behind a backslash; options in front of
 * `-batch` hold for all of them (iproute2's lib/utils.c: do_batch).
 */
import { abbreviates } from './reading.ts';

export interface Batch {
	/** `-` for stdin. */
	readonly file: string;
	/** Go on after a refusal. */
	readonly force: boolean;
	/** Options that every command gets. */
	readonly options: readonly string[];
}

/** The batch that these words ask for; undefined when they are a command of their own. */
export function batchOf(words: readonly string[]): Batch | undefined {
	const options: string[] = [];
	let file: string | undefined;
	let force = false;
	for (let at = 0; at < words.length && words[at]?.startsWith('-'); at++) {
		const word = words[at] ?? '';
		const option = word.startsWith('--') ? word.slice(1) : word;
		if (option.length > 1 && abbreviates(option, '-batch')) {
			file = words[++at] ?? '';
		} else if (abbreviates(option, '-force')) {
			force = true;
		} else {
			options.push(word);
			if (abbreviates(option, '-family') && at + 1 < words.length) {
				options.push(words[++at] ?? '');
			}
		}
	}
	return file === undefined ? undefined : { file, force, options };
}

/** A command of a batch, and the number of its last line, by which ip names it. */
export interface BatchLine {
	readonly line: number;
	readonly text: string;
}

/** The lines of a batch that are not empty. */
export function batchLines(text: string): BatchLine[] {
	const lines: BatchLine[] = [];
	let joined = '';
	for (const [i, raw] of text.split(/\r?\n/).entries()) {
		if (raw.endsWith('\\')) {
			joined += raw.slice(0, -1);
			continue;
		}
		const whole = joined + raw;
		joined = '';
		if (/^\s*[^#\s]/.test(whole)) {
			lines.push({ line: i + 1, text: whole });
		}
	}
	return lines;
}
