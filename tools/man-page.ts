/** `npm run pages` writes docs/xfrm.1, the manual page, from the texts that `xfrm help` prints. */
import { HELP } from '../packages/cli/src/help-texts.ts';

/** Text as troff shows it: backslashes, and dots and quotes at the beginning of a line, mean something there. */
function escaped(text: string): string {
	return text
		.replaceAll('\\', '\\e')
		.replaceAll('-', '\\-')
		.split('\n')
		.map((line) => (/^[.']/.test(line) ? `\\&${line}` : line))
		.join('\n');
}

function section(title: string, text: string): string {
	return `.SH ${title}\n.nf\n${escaped(text)}\n.fi\n`;
}

/** The page, as `man` reads it. */
export function manPage(): string {
	const { help = '', ...commands } = HELP;
	const [summary = '', ...synopsis] = help.split('\n');
	const named = new Map<string, string[]>();
	for (const [name, text] of Object.entries(commands)) {
		// state, policy and monitor share one text.
		named.set(text, [...(named.get(text) ?? []), name]);
	}
	return [
		'.\\" Written by npm run pages: the texts are those of xfrm help.\n',
		'.TH XFRM 1 "" xfrm\n',
		`.SH NAME\n${escaped(summary.replace(': ', ' \\- '))}\n`.replaceAll('\\e\\-', '\\-'),
		section('SYNOPSIS', synopsis.join('\n').trim()),
		...[...named].map(([text, names]) => section(names.join(', ').toUpperCase(), text)),
	].join('');
}
