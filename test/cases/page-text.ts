/** The generated parts of a page, and the index of all of them. */
import { answerText } from '@xfrm/explain';
import type { VectorCase, VectorStep } from '../golden/vector-case.ts';
import { ANSWER, type CasePage, KERNEL, withSection } from './case-page.ts';
import { type Explained, explainPage } from './explain-page.ts';
import { kernelOutcome } from './judge-page.ts';

/** Hex digits of a packet that are shown in a command line. */
const HEX_SHOWN = 56;

/** The page as it should be, given what the kernel did. */
export function renderPage(page: CasePage, kernel: VectorCase): string {
	const explained = explainPage(page, { useDump: true, fix: true });
	const answered = withSection(page.text, ANSWER, answerSection(page, explained));
	return withSection(answered, KERNEL, kernelSection(kernel));
}

function answerSection(page: CasePage, { asked, refused }: Explained): string {
	const texts = asked.map(({ answer }) => answerText(answer, { colours: false }).join('\n'));
	return ['```text', commandOf(page), ...refused, ...texts.join('\n\n').split('\n'), '```'].join(
		'\n',
	);
}

function commandOf(page: CasePage): string {
	const lines = page.packetLines.map((line) =>
		line
			.replace(/ +# .*$/, '')
			.replaceAll(/\b[0-9a-f]{64,}\b/g, (hex) => `${hex.slice(0, HEX_SHOWN)}…`),
	);
	const head = '$ xfrm explain --profile linux61 --rules rules.xfrm --host host.txt';
	return [head, ...lines.map((line) => `    ${line}`)].join(' \\\n');
}

function kernelSection(kernel: VectorCase): string {
	const version = kernel.modules === undefined ? 'user-mode Linux' : "Debian's kernel";
	const packets = kernel.steps.filter((step) => step.packet !== undefined);
	const lines = packets.map(
		(step, i) => `${packets.length > 1 ? `Packet ${i + 1}: ` : ''}${didOf(step)}`,
	);
	const list = lines.length > 1 ? lines.map((line) => `- ${line}`) : lines;
	return [`Linux 6.1 (${version}), same commands, same packets:`, '', ...list].join('\n');
}

function didOf(step: VectorStep): string {
	const { emit = [], deliver = [], stat = {}, events = [], error, links = {} } = step.expect;
	const left = emit.map(({ dev, packet }) => `${packet.length / 2} octets left by ${dev}`);
	const got = deliver.length === 0 ? [] : ['delivered to a socket'];
	const counted = Object.entries(stat).map(([name, count]) => `\`${name}\` +${count}`);
	const asked = events.filter(({ msg }) => msg === 'ACQUIRE').map(() => 'an ACQUIRE was sent');
	const told = events.filter(({ msg }) => msg === 'MAPPING').map(() => 'a MAPPING was sent');
	const devices = Object.entries(links).flatMap(([name, counters]) =>
		Object.entries(counters)
			.filter(([counter]) => /errors|dropped|carrier/.test(counter))
			.map(([counter, count]) => `${counter} of ${name} +${count}`),
	);
	const failed = error === undefined ? [] : [`the sender got ${error}`];
	const parts = [...counted, ...devices, ...asked, ...told, ...failed, ...left, ...got];
	return parts.length === 0 ? 'nothing came out, nothing was counted.' : `${parts.join(', ')}.`;
}

/** docs/cases/README.md. */
export function renderIndex(pages: readonly (readonly [CasePage, VectorCase])[]): string {
	const groups = new Map<string, string[]>();
	for (const [page, kernel] of pages) {
		const group = groupOf(kernel);
		const row = `| ${page.symptom} | [${page.title}](${page.name}.md) |`;
		groups.set(group, [...(groups.get(group) ?? []), row]);
	}
	const sections = [...groups.keys()].sort(byGroup).map((group) => {
		const rows = groups.get(group) ?? [];
		return [`## ${group}`, '', '| what is seen | the question |', '| --- | --- |', ...rows].join(
			'\n',
		);
	});
	return `${INDEX_HEAD}\n${sections.join('\n\n')}\n`;
}

const INDEX_HEAD: string = `# Cases

${'Questions that people asked in public about IPsec on Linux, retold, with rules and packets of our own.'}
Each was put to a Linux kernel and to \`xfrm explain\`; both say the same, and \`npm test\` sees to it that
they go on doing so. They are grouped by what is seen of the last packet. To try one, put its blocks in
\`host.txt\` and \`rules.xfrm\`.

\`npm run cases\` writes the answers and this page anew, \`npm run cases -- --capture\` asks a kernel about
pages that are new or changed, \`npm run cases -- --live\` asks about all and compares. The form of a page
is described in [test/cases/case-page.ts](../../test/cases/case-page.ts); how to go on from a counter, in
[my packet was dropped](../my-packet-was-dropped.md).
`;

const GROUPS: Readonly<Record<string, string>> = {
	transform: 'Nothing is counted: protected or opened, though maybe not as meant',
	pass: 'It goes in clear',
	acquire: 'A key manager is asked (XfrmOutNoStates)',
	drop: 'Dropped without a counter of XFRM',
};

function groupOf(kernel: VectorCase): string {
	const step = kernel.steps.filter(({ packet }) => packet !== undefined).at(-1);
	const [outcome = 'drop'] = step === undefined ? [] : kernelOutcome(step);
	const [counter] = Object.keys(step?.expect.stat ?? {});
	return outcome === 'drop' && counter !== undefined ? counter : (GROUPS[outcome] ?? outcome);
}

/** Counters first, in their alphabetical order, then the rest. */
function byGroup(a: string, b: string): number {
	const rank = (group: string): string => `${group.startsWith('Xfrm') ? 0 : 1}${group}`;
	return rank(a) < rank(b) ? -1 : 1;
}
