/** `xfrm doctor`: what this machine can do and what is wrong on it, worst first. */
import { parseArgs } from 'node:util';
import { wrap } from '@xfrm/explain';
import type { Diagnosis, Finding, Severity } from '@xfrm/linux/doctor';
import { colours } from './terminal.ts';
import { usageErrorOf } from './usage.ts';

const OPTIONS = {
	json: { type: 'boolean' },
	'no-try': { type: 'boolean' },
} as const;

const WORDS: Readonly<Record<Severity, string>> = { fail: 'FAIL', warn: 'WARN', note: 'note' };
const COLOURS: Readonly<Record<string, string>> = {
	FAIL: '\x1b[1;31m',
	WARN: '\x1b[1;33m',
	note: '\x1b[1m',
	ok: '\x1b[1;32m',
};
const RESET = '\x1b[0m';

/** Columns that a line may have. */
const WIDTH_MAX = 100;
/** Narrower than this, texts have no room. */
const WIDTH_MIN = 50;
/** Where texts begin: behind the word and the id. */
const INDENT = 24;

/** Examines this machine; 0 nothing is broken, 1 something is. */
export async function doctorCommand(args: readonly string[]): Promise<number> {
	const { json, quiet } = parseDoctorArguments(args);
	const { diagnose, gatherFacts } = await import('@xfrm/linux/doctor');
	const facts = await gatherFacts({ quiet });
	const diagnosis = withRules(
		diagnose(facts),
		facts.refused === undefined ? await lintOf(facts.daemon) : [],
	);
	process.stdout.write(json ? jsonLines(diagnosis, facts.release) : textOf(diagnosis));
	return diagnosis.findings.some(({ severity }) => severity === 'fail') ? 1 : 0;
}

/** What lint says that the doctor sees for itself, and better. */
const SEEN_ELSEWHERE = new Set(['state-not-local', 'if-id-no-device', 'nat-before-lookup']);
/** What lint says of the kernel's rules, if it is wrong or likely so. */
const SEVERITIES: Readonly<Record<string, Severity>> = { error: 'fail', warning: 'warn' };

/** The findings of `xfrm lint --kernel` or `--daemon`. */
async function lintOf(daemon: boolean): Promise<readonly Finding[]> {
	const { runningFindings } = await import('./lint-command.ts');
	const target = daemon ? '--daemon' : '--kernel';
	return (await runningFindings(target)).flatMap(
		({ id, severity, reason, consequence, advice }) => {
			const told = SEVERITIES[severity];
			const text = [reason, consequence, advice].map((part) => part.replace(/\.?$/, '.')).join(' ');
			return told === undefined || SEEN_ELSEWHERE.has(id)
				? []
				: [{ id, severity: told, text, command: `xfrm lint ${target} # ${LINT_PAGE}#${id}` }];
		},
	);
}

const LINT_PAGE = 'docs/lint.md';
const ORDER: readonly Severity[] = ['fail', 'warn', 'note'];

/** Rules come behind the machine, which may be why they do not work, and before what was counted. */
function withRules(diagnosis: Diagnosis, rules: readonly Finding[]): Diagnosis {
	const counted = diagnosis.findings.filter(({ id }) => id === 'counter');
	const others = diagnosis.findings.filter(({ id }) => id !== 'counter');
	const all = [...others, ...rules, ...counted];
	const findings = ORDER.flatMap((severity) => all.filter((one) => one.severity === severity));
	const sound = rules.length === 0 && diagnosis.healthy.length > 0;
	return { ...diagnosis, findings, healthy: [...diagnosis.healthy, ...(sound ? ['rules'] : [])] };
}

function parseDoctorArguments(args: readonly string[]): {
	readonly json: boolean;
	readonly quiet: boolean;
} {
	try {
		const { values } = parseArgs({ args: [...args], options: OPTIONS, strict: true });
		return { json: values.json === true, quiet: values['no-try'] === true };
	} catch (error) {
		throw usageErrorOf(error, 'doctor');
	}
}

/** A line for each finding, one for what is in order. */
function jsonLines({ findings, healthy, unseen }: Diagnosis, kernel: string): string {
	const lines = [
		...findings.map((finding) => ({ schema: 1, object: 'finding', ...finding })),
		{ schema: 1, object: 'diagnosis', kernel, healthy, unseen },
	];
	return lines.map((line) => `${JSON.stringify(line)}\n`).join('');
}

function textOf({ findings, healthy, unseen }: Diagnosis): string {
	const { columns = WIDTH_MAX } = process.stdout;
	// A serial line has 0 columns.
	const width = columns < WIDTH_MIN ? WIDTH_MAX : Math.min(columns, WIDTH_MAX);
	const told = findings.map((finding) => findingText(finding, width));
	const ok = healthy.length === 0 ? '' : entry('ok', '', `${healthy.join(' · ')}`, width);
	const notes = unseen.map((text) => entry('note', 'unseen', text, width));
	const broken = findings.filter(({ severity }) => severity === 'fail').length;
	const more = 'each finding has its page in docs/doctor.md';
	const end = broken === 0 ? 'nothing is broken here' : `${broken} broken; ${more}`;
	return `${[...told, ok, ...notes].join('')}${end}\n`;
}

function findingText({ severity, id, text, command }: Finding, width: number): string {
	const shown = command === undefined ? '' : `${' '.repeat(INDENT)}${command}\n`;
	return `${entry(WORDS[severity], id, text, width)}${shown}`;
}

/** A word, an id, and a text of as many lines as it needs. */
function entry(word: string, id: string, text: string, width: number): string {
	const colour = colours(process.stdout) ? COLOURS[word] : undefined;
	const shown = colour === undefined ? word : `${colour}${word}${RESET}`;
	const head = `${shown}${' '.repeat(6 - word.length)}${id.padEnd(INDENT - 7)} `;
	return `${head}${wrap(text, width - INDENT).join(`\n${' '.repeat(INDENT)}`)}\n`;
}
