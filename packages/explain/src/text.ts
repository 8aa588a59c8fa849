/**
 * An answer as text for people: the answer first, then the way of the packet, one station a line, a verb in
 * front; losers under the station where they lost; kernel places at the right edge. 100 columns; colours
 * only repeat what the words say.
 */
import type { Answer, BothWays, ByteField, NearMiss, Step, WhyNot } from './answer.ts';

export const COLUMNS_DEFAULT = 100;
/** Narrower than this nothing can be told in columns. */
const COLUMNS_MIN = 50;
/** Width of the verb and what stands in its parentheses. */
const LABEL_MAX = 20;

export interface TextOptions {
	readonly colours: boolean;
	/** Places in the kernel's source; shown unless false. */
	readonly kernel?: boolean;
	/** Objects that were not taken; shown unless false. */
	readonly near?: boolean;
	/** Width; default 100. */
	readonly columns?: number;
	/** The answer alone, without the way. */
	readonly brief?: boolean;
	/** Stations are numbered, and the packet stands in hex wherever it has changed. */
	readonly steps?: boolean;
}

const COLOURS = { red: 31, green: 32, yellow: 33, cyan: 36, dim: 2, bold: 1 } as const;
type Colour = keyof typeof COLOURS;

/** The text of an answer, lines without newlines. */
export function answerText(answer: Answer, options: TextOptions): readonly string[] {
	const columns = Math.max(COLUMNS_MIN, options.columns ?? COLUMNS_DEFAULT);
	const paint = (text: string, colour: Colour): string =>
		options.colours ? `\u001b[${COLOURS[colour]}m${text}\u001b[0m` : text;
	const page: Page = { columns, paint, options };
	const lines: string[] = [];
	const { outcome } = answer;
	const good = outcome === 'transform' || outcome === 'pass';
	const head = [outcome.toUpperCase(), summary(answer)].filter((part) => part !== '').join('  ');
	lines.push(paint(head, good ? 'green' : outcome === 'consume' ? 'yellow' : 'red'));
	lines.push(...wrap(answer.reason, columns));
	lines.push(paint(rightAligned(`code: ${answer.code}`, columns), 'dim'));
	if (options.brief !== true) {
		for (const { device, text } of answer.meanwhile ?? []) {
			lines.push(...labelled(`MEANWHILE(${device})`, `left before this packet: ${text}`, columns));
		}
		let known = '';
		for (const [i, step] of answer.steps.entries()) {
			lines.push(...stepLines(step, i + 1, known, page));
			known = step.bytes?.after ?? known;
		}
		for (const event of answer.events) {
			lines.push(...labelled('EVENT', event.text, columns));
		}
	}
	for (const one of answer.why_not ?? []) {
		lines.push(...whyNotLines(one, page));
	}
	lines.push(...fixLines(answer, page));
	if (answer.assumed.length > 0 && options.brief !== true) {
		const assumed = `Assumed: ${answer.assumed.join('; ')}.`;
		lines.push(...wrap(assumed, columns).map((line) => paint(line, 'dim')));
	}
	return lines;
}

const WAYS: readonly (readonly [keyof BothWays, string])[] = [
	['peer', 'At the peer'],
	['reply', 'Its answer, leaving there'],
	['back', 'The answer, arriving here'],
];

/** What came of the packet at the other end, a part under a title each. */
export function bothWaysText(both: BothWays, options: TextOptions): readonly string[] {
	return WAYS.flatMap(([way, title]) => {
		const answer = both[way];
		return answer === undefined ? [] : ['', `--- ${title} ---`, ...answerText(answer, options)];
	});
}

/** What lines are laid out on. */
interface Page {
	readonly columns: number;
	readonly paint: Paint;
	readonly options: TextOptions;
}

/** What a fix makes of the packet, in words. */
const TRIED: Readonly<Record<string, string>> = {
	transform: 'then it goes on protected',
	pass: 'then it goes on in clear',
	drop: 'then it is dropped, not sent in clear',
	unknown: 'then the state takes it; its key decides',
};

function fixLines(answer: Answer, { columns, paint, options }: Page): string[] {
	const fixes = options.brief === true ? (answer.fix ?? []).slice(0, 1) : (answer.fix ?? []);
	if (fixes.length === 0) {
		return [];
	}
	const lines = [
		'',
		paint('Fix (tried here: nothing else that is protected becomes clear)', 'bold'),
	];
	for (const [i, { text, commands, outcome }] of fixes.entries()) {
		const told = `${text} (${TRIED[outcome] ?? `then: ${outcome}`})`;
		const [first = '', ...more] = wrap(told, columns - 5);
		lines.push(`  ${i + 1}. ${first}`, ...more.map((line) => `     ${line}`));
		// Commands are to be pasted: never broken.
		lines.push(...commands.map((command) => `       ${paint(command, 'cyan')}`));
	}
	return [...lines, ''];
}

function whyNotLines(one: WhyNot, { columns, paint }: Page): string[] {
	const [first = '', ...more] = wrap(one.text, columns - 4);
	return [
		paint(`Why not ${one.asked}?`, 'bold'),
		...[first, ...more].map((line) => `    ${line}`),
		...one.fields.map(({ field, want, have }) => `      ${field}: want ${want}, have ${have}`),
	];
}

/** What stands beside the outcome: a counter, or how it left. */
function summary(answer: Answer): string {
	if (answer.counter !== null) {
		return answer.counter;
	}
	const last = answer.steps[answer.steps.length - 1];
	if (last?.step === 'EMIT' && answer.outcome === 'drop') {
		return `an ICMP error leaves by ${last.which ?? '?'}`;
	}
	if (last?.step === 'EMIT') {
		const octets = (answer.packets[answer.packets.length - 1]?.length ?? 0) / 2;
		return `leaves by ${last.which ?? '?'}, ${octets} bytes`;
	}
	return last?.step === 'DELIVER' ? 'delivered to this host' : '';
}

function rightAligned(text: string, columns: number): string {
	return text.length >= columns ? text : text.padStart(columns);
}

type Paint = (text: string, colour: Colour) => string;

/** @param known the packet as it was told last: it is not told twice */
function stepLines(step: Step, number: number, known: string, page: Page): string[] {
	const { columns, paint, options } = page;
	const isKnown = step.bytes?.before === known;
	const name = step.which === undefined ? step.step : `${step.step}(${step.which})`;
	const label = options.steps === true ? `${number} ${name}` : name;
	const lines = labelled(label, step.text, columns).map((line, i) =>
		i === 0 ? line.replace(label, paint(label, step.step === 'DROP' ? 'red' : 'cyan')) : line,
	);
	if (options.kernel !== false && step.kernel !== undefined) {
		const last = lines[lines.length - 1] ?? '';
		const shown = plainLength(last);
		if (shown + 2 + step.kernel.length <= columns) {
			const gap = ' '.repeat(columns - shown - step.kernel.length);
			lines[lines.length - 1] = `${last}${gap}${paint(step.kernel, 'dim')}`;
		} else {
			lines.push(paint(rightAligned(step.kernel, columns), 'dim'));
		}
	}
	for (const near of options.near === false ? [] : (step.near ?? [])) {
		lines.push(...loserLines(near, page));
	}
	if (options.steps === true && step.bytes !== undefined) {
		lines.push(...(isKnown ? [] : hexLines('before', step.bytes.before, page)));
		lines.push(...hexLines('after', step.bytes.after, page));
	}
	if (step.fields !== undefined) {
		lines.push(...(isKnown ? [] : fieldLines('before', step.fields.before, page)));
		lines.push(...fieldLines('after', step.fields.after, page));
	}
	return lines;
}

/** A packet in hex, as many octets a line as go in. */
function hexLines(title: string, hex: string, { columns, paint }: Page): string[] {
	const indent = 12;
	const width = Math.max(16, (columns - indent) & ~7);
	const lines: string[] = [];
	for (let at = 0; at < hex.length; at += width) {
		const head = at === 0 ? title.padEnd(8) : ' '.repeat(8);
		lines.push(`    ${paint(head, 'dim')}${hex.slice(at, at + width)}`);
	}
	return lines;
}

/** Header fields by name, each with its octets; what is longer than a line is cut. */
function fieldLines(title: string, fields: readonly ByteField[], page: Page): string[] {
	const { columns, paint } = page;
	const lines = [`    ${paint(title, 'bold')}`];
	for (const { at, name, hex, value } of fields) {
		const head = `      ${`${at}`.padStart(4)}  ${name.padEnd(22)}`;
		const room = Math.max(16, columns - head.length - 2);
		const octets = hex.length > room ? `${hex.slice(0, room - 1)}…` : hex;
		const beside = value === '' ? '' : `  ${value}`;
		const fits = head.length + octets.length + beside.length <= columns;
		lines.push(fits ? `${head}${octets}${beside}` : `${head}${octets}`);
		if (!fits && value !== '') {
			lines.push(`${' '.repeat(head.length)}${value}`);
		}
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
function loserLines(near: NearMiss, { columns, paint }: Page): string[] {
	const why = `${near.field}: want ${near.want}, have ${near.have}`;
	const one = `    lost  ${near.text}`;
	if (one.length + 2 + why.length <= columns) {
		return [`${paint(one, 'dim')}${' '.repeat(columns - one.length - why.length)}${why}`];
	}
	const [first = '', ...more] = wrap(near.text, columns - 10);
	return [
		paint(`    lost  ${first}`, 'dim'),
		...more.map((line) => paint(`          ${line}`, 'dim')),
		...wrap(why, columns - 12).map((line) => `            ${line}`),
	];
}

/** A label in a column of its own, the text beside it, wrapped. */
function labelled(label: string, text: string, columns: number): string[] {
	const width = label.length > LABEL_MAX ? label.length : LABEL_MAX;
	const [first = '', ...more] = wrap(text, Math.max(20, columns - width - 4));
	const indent = ' '.repeat(width + 4);
	return [`  ${label.padEnd(width)}  ${first}`, ...more.map((line) => `${indent}${line}`)];
}

/** A text with something in front, wrapped; lines behind the first begin further in. */
export function hanging(lead: string, text: string, indent: number, columns: number): string[] {
	// What is in front takes its room as a part of the first word: blanks there are no place to break.
	const room = 'x'.repeat(lead.length);
	const [first = '', ...more] = wrap(`${room}${text}`, Math.max(COLUMNS_MIN, columns) - indent);
	return [
		`${lead}${first.slice(lead.length)}`,
		...more.map((line) => `${' '.repeat(indent)}${line}`),
	];
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
