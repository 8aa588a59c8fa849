/** docs/reasons.md, the codes of `xfrm explain` one by one, from their tables (`npm run pages`). */
import { REASON_CODES } from '../packages/explain/src/reason-codes.ts';
import { REASON_PAGES } from '../packages/explain/src/reason-pages.ts';

const INTRODUCTION = `# Reasons, code by code

Every answer of \`xfrm explain\` has a \`code\` that says why. Codes are stable: none is renamed, none is given
another meaning. The sentence in \`reason\` names the objects and values of the packet in question; here
stands what each code means, which object is guilty, how to see it on a live system, and what to do.

Where an edit of the rules mends it, the answer has it in \`fix\`, tried. Counters are told one by one in
[counters.md](counters.md). The tables are \`packages/explain/src/reason-codes.ts\` and \`reason-pages.ts\`;
\`npm run pages\` writes this page from them.
`;

/** Ends of codes for what is no drop. */
const NO_DROPS =
	/policy\.(none|allow)|optional|transformed|acquire|held|queued|fragment|delivered|taken|forwarded|keepalive/;

/** Headings, by the beginnings of the codes under them, the first that fits. */
const PARTS: readonly (readonly [title: string, belongs: (code: string) => boolean])[] = [
	[
		'Endings that are no drop',
		(code) => new RegExp(`^(in|out|fwd)\\.(.*\\.)?(${NO_DROPS.source})$`).test(code),
	],
	['What is not known', (code) => /^(key|provider)\./.test(code)],
	['Input: the state', (code) => /^in\./.test(code)],
	['The policy check of direction in or fwd', (code) => /^check\./.test(code)],
	['Output', (code) => /^(out|fwd)\./.test(code)],
	['The daemon', (code) => /^daemon\./.test(code)],
	['The host around XFRM', () => true],
];

function section(code: string, meaning: string): string {
	const { guilty, see, todo } = REASON_PAGES[code] ?? { guilty: '', see: '', todo: '' };
	return [
		`### <a id="${code}"></a>\`${code}\``,
		'',
		meaning,
		'',
		`- **Guilty**: ${guilty}`,
		`- **See it**: ${see}`,
		`- **Do**: ${todo}`,
		'',
	].join('\n');
}

/** The page. */
export function reasonsPage(): string {
	const codes = Object.entries(REASON_CODES);
	const parts = PARTS.map(([title, belongs]) => {
		const mine = codes.filter(([code]) => PARTS.find((part) => part[1](code))?.[1] === belongs);
		return `\n## ${title}\n\n${mine.map(([code, meaning]) => section(code, meaning)).join('\n')}`;
	});
	return `${INTRODUCTION}${parts.join('')}`;
}
