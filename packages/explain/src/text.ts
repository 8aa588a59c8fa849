/**
 * An answer as text for people: the answer first, then the way of the packet, one station a line, a verb in
 * front; losers under the station where they lost; kernel places at the right edge. 100 columns; colours
 * only repeat what the words say.
 */
import type { Answer, NearMiss, Step } from './answer.ts';

const COLUMNS = 100;
/** Width of the verb and what stands in its parentheses. */
const LABEL_MAX = 20;

export interface TextOptions {
	readonly colours: boolean;
	/** Places in the kernel's source; shown unless false. */
	readonly kernel?: boolean;
	/** Objects that were not taken; shown unless false. */
	readonly near?: boolean;
}

const COLOURS = { red: 31, green: 32, yellow: 33, cyan: 36, dim: 2, bold: 1 } as const;
type Colour = keyof typeof COLOURS;

/** The text of an answer, lines without newlines. */
export function answerText(answer: Answer, options: TextOptions): readonly string[] {
	const paint = (text: string, colour: Colour): string =>
		options.colours ? `\u001b[${COLOURS[colour]}m${text}\u001b[0m` : text;
	const lines: string[] = [];
	const { outcome } = answer;
	const good = outcome === 'transform' || outcome === 'pass';
	const head = [outcome.toUpperCase(), summary(answer)].filter((part) => part !== '').join('  ');
	lines.push(paint(head, good ? 'green' : outcome === 'consume' ? 'yellow' : 'red'));
	lines.push(...wrap(answer.reason, COLUMNS));
	lines.push(paint(rightAligned(`code: ${answer.code}`), 'dim'));
	for (const step of answer.steps) {
		lines.push(...stepLines(step, options, paint));
	}
	for (const event of answer.events) {
		lines.push(...labelled('EVENT', event.text));
	}
	if (answer.assumed.length > 0) {
		lines.push(
			...wrap(`Assumed: ${answer.assumed.join('; ')}.`, COLUMNS).map((line) => paint(line, 'dim')),
		);
	}
	return lines;
}

/** What stands beside the outcome: a counter, or how it left. */
function summary(answer: Answer): string {
	if (answer.counter !== null) {
		return answer.counter;
	}
	const last = answer.steps[answer.steps.length - 1];
	if (last?.step === 'EMIT') {
		const octets = (answer.packets[answer.packets.length - 1]?.length ?? 0) / 2;
		return `leaves by ${last.which ?? '?'}, ${octets} bytes`;
	}
	return last?.step === 'DELIVER' ? 'delivered to this host' : '';
}

function rightAligned(text: string): string {
	return text.length >= COLUMNS ? text : text.padStart(COLUMNS);
}

type Paint = (text: string, colour: Colour) => string;

function stepLines(step: Step, options: TextOptions, paint: Paint): string[] {
	const label = step.which === undefined ? step.step : `${step.step}(${step.which})`;
	const lines = labelled(label, step.text).map((line, i) =>
		i === 0 ? line.replace(label, paint(label, step.step === 'DROP' ? 'red' : 'cyan')) : line,
	);
	if (options.kernel !== false && step.kernel !== undefined) {
		const last = lines[lines.length - 1] ?? '';
		const shown = plainLength(last);
		if (shown + 2 + step.kernel.length <= COLUMNS) {
			const gap = ' '.repeat(COLUMNS - shown - step.kernel.length);
			lines[lines.length - 1] = `${last}${gap}${paint(step.kernel, 'dim')}`;
		} else {
			lines.push(paint(rightAligned(step.kernel), 'dim'));
		}
	}
	for (const near of options.near === false ? [] : (step.near ?? [])) {
		lines.push(...loserLines(near, paint));
	}
	return lines;
}

function plainLength(text: string): number {
	let length = 0;
	let escaped = false;
	for (const letter of text) {
		if (letter === '\u001b') {
			escaped = true;
		}
		length += escaped ? 0 : 1;
		if (escaped && letter === 'm') {
			escaped = false;
		}
	}
	return length;
}

/** `lost  policy out 9 …     priority: want 100, have 200`, on one line where it fits. */
function loserLines(near: NearMiss, paint: Paint): string[] {
	const why = `${near.field}: want ${near.want}, have ${near.have}`;
	const one = `    lost  ${near.text}`;
	if (one.length + 2 + why.length <= COLUMNS) {
		return [`${paint(one, 'dim')}${' '.repeat(COLUMNS - one.length - why.length)}${why}`];
	}
	const [first = '', ...more] = wrap(near.text, COLUMNS - 10);
	return [
		paint(`    lost  ${first}`, 'dim'),
		...more.map((line) => paint(`          ${line}`, 'dim')),
		...wrap(why, COLUMNS - 12).map((line) => `            ${line}`),
	];
}

/** A label in a column of its own, the text beside it, wrapped. */
function labelled(label: string, text: string): string[] {
	const width = label.length > LABEL_MAX ? label.length : LABEL_MAX;
	const [first = '', ...more] = wrap(text, COLUMNS - width - 4);
	const indent = ' '.repeat(width + 4);
	return [`  ${label.padEnd(width)}  ${first}`, ...more.map((line) => `${indent}${line}`)];
}

/** Breaks at blanks; a word longer than the width is cut. Double blanks stay inside of a line. */
export function wrap(text: string, width: number): string[] {
	const lines: string[] = [];
	let line = '';
	for (const word of text.split(' ')) {
		let rest = word;
		if (line !== '' && line.length + 1 + rest.length > width) {
			lines.push(line.trimEnd());
			line = '';
		}
		while (rest.length > width) {
			lines.push(rest.slice(0, width));
			rest = rest.slice(width);
		}
		line = line === '' ? rest : `${line} ${rest}`;
	}
	if (line.trim() !== '') {
		lines.push(line.trimEnd());
	}
	return lines;
}
