/**
 * A page of docs/cases as a test: a question that somebody asked in public, the rules and packets it comes
 * to, and, written by `npm run cases`, what `xfrm explain` answers and what a Linux kernel did.
 *
 *     ---
 *     source: https://…           where the question was asked
 *     symptom: one line           what one sees, for the index
 *     fix: regular expression     what the first proposed fix has to say; `none`: no rule of this host is wrong
 *     encap: 4500                 ports with UDP_ENCAP sockets, where states with encap are inbound
 *     ---
 *     # Title, the question in our words
 *     ## Host            sh: `ip`, `sysctl -w`, `modprobe` commands
 *     ## Rules           sh: `ip xfrm` commands
 *     ## Rules as dump   text, optional: what `ip xfrm` prints of them; explain is asked with it
 *     ## Packets         sh: arguments of `xfrm explain`, a line each
 *     ## What xfrm explain says   generated
 *     ## What Linux did           generated
 *     ## What helped     what the thread came to
 *
 * A protected packet that arrives is made by asking `xfrm explain --json` about its sender: `packets`.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const casesFolder: string = fileURLToPath(new URL('../../docs/cases/', import.meta.url));

/** Headings of the sections that `npm run cases` writes. */
export const ANSWER = 'What xfrm explain says';
export const KERNEL = 'What Linux did';

export interface CasePage {
	/** File name without `.md`. */
	readonly name: string;
	readonly text: string;
	readonly title: string;
	readonly source: string;
	readonly symptom: string;
	/** Undefined where no rule of this host is to be changed. */
	readonly fix: RegExp | undefined;
	readonly encap: readonly number[];
	readonly host: readonly string[];
	readonly rules: readonly string[];
	readonly dump: string | undefined;
	/** Words as a shell would give them to `xfrm explain`. */
	readonly packets: readonly string[];
	readonly packetLines: readonly string[];
}

/** All pages, in the order of their names. */
export function readPages(): CasePage[] {
	return readdirSync(casesFolder)
		.filter((name) => name.endsWith('.md') && name !== 'README.md')
		.sort()
		.map((name) => parsePage(name.slice(0, -3), readFileSync(`${casesFolder}${name}`, 'utf8')));
}

/** Reads a page; throws with its name and what is missing. */
export function parsePage(name: string, text: string): CasePage {
	const missing = (what: string): Error => new Error(`docs/cases/${name}.md: ${what} is missing`);
	const [, front] = /^---\n([\s\S]*?)\n---\n/.exec(text) ?? [];
	if (front === undefined) {
		throw missing('the front matter');
	}
	const fields = new Map(
		front.split('\n').map((line): [string, string] => {
			const colon = line.indexOf(':');
			return [line.slice(0, colon), line.slice(colon + 1).trim()];
		}),
	);
	const field = (key: string): string => {
		const value = fields.get(key);
		if (value === undefined || value === '') {
			throw missing(`${key} in the front matter`);
		}
		return value;
	};
	const title = /^# (.+)$/m.exec(text)?.[1];
	const host = blockOf(text, 'Host');
	const rules = blockOf(text, 'Rules');
	const packets = blockOf(text, 'Packets');
	if (title === undefined || host === undefined || rules === undefined || packets === undefined) {
		throw missing('a title, or the block of Host, Rules or Packets');
	}
	const fix = field('fix');
	return {
		name,
		text,
		title,
		source: field('source'),
		symptom: field('symptom'),
		fix: fix === 'none' ? undefined : new RegExp(fix),
		encap: (fields.get('encap') ?? '').split(' ').filter(Boolean).map(Number),
		host: commandsOf(host),
		rules: commandsOf(rules),
		dump: blockOf(text, 'Rules as dump'),
		packets: commandsOf(packets).flatMap(shellWords),
		packetLines: commandsOf(packets),
	};
}

/** The first fenced block under a heading. */
function blockOf(text: string, heading: string): string | undefined {
	const section = sectionOf(text, heading);
	return section === undefined ? undefined : /^```\w*\n([\s\S]*?)^```$/m.exec(section)?.[1];
}

/** From behind a heading to the next one. */
function sectionOf(text: string, heading: string): string | undefined {
	const lines = text.split('\n');
	const from = lines.indexOf(`## ${heading}`);
	if (from < 0) {
		return undefined;
	}
	const length = lines.slice(from + 1).findIndex((line) => line.startsWith('## '));
	return lines.slice(from + 1, length < 0 ? undefined : from + 1 + length).join('\n');
}

function commandsOf(block: string): string[] {
	return block.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
}

/** Words of a line; quotes as in a shell, comments left out. */
export function shellWords(line: string): string[] {
	const words: string[] = [];
	for (const [, prefix = '', quoted, plain] of line
		.replace(/ +# .*$/, '')
		.matchAll(/([^\s']*)'([^']*)'|(\S+)/g)) {
		words.push(plain ?? `${prefix}${quoted ?? ''}`);
	}
	return words;
}

/** The page with one of its generated sections anew; it is put before `What helped` when it is not there. */
export function withSection(text: string, heading: string, body: string): string {
	const section = `## ${heading}\n\n${body.trim()}\n\n`;
	const lines = text.split('\n');
	const from = lines.indexOf(`## ${heading}`);
	if (from < 0) {
		return text.replace(/^## What helped$/m, `${section}## What helped`);
	}
	const length = lines.slice(from + 1).findIndex((line) => line.startsWith('## '));
	const head = lines.slice(0, from).join('\n');
	const tail = length < 0 ? '' : lines.slice(from + 1 + length).join('\n');
	return `${head}\n${section}${tail}`;
}
