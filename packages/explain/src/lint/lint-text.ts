/** Findings for people: severity, id and objects first, then why, what Linux does, what to do. */
import { wrap } from '../text.ts';
import type { Finding, LintObject, Severity } from './finding.ts';

const COLUMNS = 100;
/** Findings of one id that are told in full. */
const ALIKE_MAX = 6;
const INDENT = ' '.repeat(9);
const COLOURS: Readonly<Record<Severity, number>> = { error: 31, warning: 33, info: 2 };
const WORDS: Readonly<Record<Severity, string>> = { error: 'error', warning: 'warn', info: 'info' };

/** Lines without newlines; `counts` are the numbers of states and policies that were looked over. */
export function lintText(
	findings: readonly Finding[],
	counts: { readonly states: number; readonly policies: number },
	options: { readonly colours: boolean },
): readonly string[] {
	const seen = new Map<string, number>();
	const totals = new Map<string, number>();
	for (const { id } of findings) {
		totals.set(id, (totals.get(id) ?? 0) + 1);
	}
	const lines = findings.flatMap(({ id, severity, objects, reason, consequence, advice }) => {
		const count = (seen.get(id) ?? 0) + 1;
		seen.set(id, count);
		if (count > ALIKE_MAX) {
			const alike = (totals.get(id) ?? 0) - ALIKE_MAX;
			const more = `${INDENT}and ${alike} more of ${id}: --json tells all`;
			return count === ALIKE_MAX + 1 ? [more] : [];
		}
		const word = WORDS[severity].padEnd(7);
		const shown = options.colours ? `\u001b[${COLOURS[severity]}m${word}\u001b[0m` : word;
		return [
			`${shown}  ${id}`,
			...wrapped(`${reason}.`),
			...wrapped(consequence),
			...wrapped(advice),
			...objects.flatMap((object) => wrapped(objectText(object), '  ')),
		];
	});
	const count = (severity: Severity): number =>
		findings.filter((one) => one.severity === severity).length;
	const parts = [
		[count('error'), 'error'],
		[count('warning'), 'warning'],
		[count('info'), 'info'],
	] as const;
	const told = parts.filter(([n]) => n > 0).map(([n, word]) => plural(n, word));
	const sum = told.length === 0 ? '' : `: ${told.join(', ')}`;
	const policies = `${counts.policies} ${counts.policies === 1 ? 'policy' : 'policies'}`;
	return [
		...lines,
		`${plural(findings.length, 'finding')}${sum} in ${plural(counts.states, 'state')}, ${policies}`,
	];
}

/** The object, behind the line where it was made. */
function objectText({ text, file, line }: LintObject): string {
	return file === undefined ? text : `${file}:${line}: ${text}`;
}

function plural(count: number, word: string): string {
	return `${count} ${word}${count === 1 || word === 'info' ? '' : 's'}`;
}

function wrapped(text: string, more = ''): string[] {
	const indent = `${INDENT}${more}`;
	return wrap(text, COLUMNS - indent.length).map((line) => `${indent}${line}`);
}
