/** docs/lint.md, the findings of `xfrm lint` one by one, from their table (`npm run pages`). */
import { PAGES } from '../packages/explain/src/lint/pages.ts';

const COUNT = Object.keys(PAGES).length;

const INTRODUCTION = `# What lint finds

\`xfrm lint\` looks rules over without a packet: ${COUNT} findings, each with a stable id, the objects it is
about, what Linux does because of it, and what to do. Severity **error** means that traffic is lost or
protection broken whatever the packet; **warning** that some is, or soon will be; **info** that it is right
but worth knowing.

    xfrm lint rules.xfrm --host host.txt          commands, dumps as pasted, snapshots
    sudo xfrm lint --kernel                       the running kernel, with the host around it
    nft list ruleset | xfrm lint rules.xfrm --nft -

With \`--host\` (or \`--local\`, \`--kernel\`) lint knows which addresses and devices there are; without, it takes
the ends of states and templates at this side for the host's. What the rules do to a set of flows is asked
with \`xfrm prove\`, what other rules would change with \`xfrm diff\`.

## In CI

The exit status is 1 when a finding is at least as severe as \`--fail-on\` (\`error\` unless told otherwise), so a
pipeline needs no more than the command. \`--json\` gives a line a finding
([schema](../packages/cli/schema/lint.schema.json)), \`--sarif\` what code hosts show beside a change:

    - run: npx xfrm lint ipsec/*.xfrm --fail-on never --sarif > lint.sarif
    - uses: github/codeql-action/upload-sarif@v3
      with: { sarif_file: lint.sarif }
    - run: npx xfrm lint ipsec/*.xfrm --fail-on warning
    - run: npx xfrm prove --rules ipsec/site-a.xfrm 'src 10.1.0.0/16 dst 10.2.0.0/16 dir out never pass'

Keys are in none of these outputs.

## What is looked for

| what | findings |
| --- | --- |
`;

/** What people look for, and the findings that tell of it: each stands here once. */
export const SUBJECTS: readonly (readonly [what: string, findings: readonly string[]])[] = [
	[
		'a template that no state satisfies, and the field that keeps them apart',
		[
			...[
				'template-reqid',
				'template-mark',
				'template-if-id',
				'template-spi',
				'template-endpoints',
			],
			...['template-mode', 'template-proto', 'template-selector', 'template-selector-partial'],
			...['state-direction', 'template-in-trigger', 'template-no-state'],
		],
	],
	['templates that do not do what they seem to', ['template-transport-address', 'templates-six']],
	['ends that no address of this host is', ['template-local-address', 'state-not-local']],
	['states that nothing uses, or that were left over', ['state-unused', 'state-larval']],
	[
		'states that take more, or other packets, than meant',
		['state-source-any', 'state-spi-zero', 'state-wildrecv'],
	],
	['the same key or SPI twice', ['key-twice', 'spi-twice', 'spi-mirrored']],
	[
		'weak, absent or unequal algorithms',
		[
			...['algorithm-weak', 'algorithm-null', 'algorithm-no-integrity', 'algorithm-sha256-96'],
			...['algorithms-one-sided', 'integrity-failures'],
		],
	],
	[
		'replay windows and extended sequence numbers',
		['window-zero', 'window-small', 'ipcomp-window', 'esn-one-sided', 'sequence-near-end'],
	],
	['lifetimes', ['lifetime-near', 'lifetime-none']],
	['a fwd or in policy that is missing for an out', ['fwd-missing', 'in-missing']],
	[
		'plaintext that is accepted or leaves',
		[
			...['plaintext-optional', 'plaintext-no-policy', 'optional-transport-inbound'],
			...['gap-in-clear', 'nat-before-lookup'],
		],
	],
	['priorities, overlaps, policies that never decide', ['priority-tie', 'shadowed', 'redundant']],
	[
		'selectors: prefixes, ports, devices',
		['host-bits', 'port-without-protocol', 'ports-unmirrored', 'dccp-ports', 'dev-inbound'],
	],
	['IPComp and BEET', ['ipcomp-required-inbound', 'beet-selector']],
	['ESP in UDP: ports, one direction only', ['encap-swapped', 'encap-one-sided']],
	[
		'XFRM interfaces, and packets that go round in a circle',
		['if-id-no-device', 'output-mark-loop'],
	],
	['Mobile IPv6: route optimization without its pair', ['mobility-unpaired']],
	['MTU: overhead, largest inner packet, MSS', ['mtu-chain']],
];

const SOURCE = `
The findings below are those of \`packages/explain/src/lint/pages.ts\`; \`npm run pages\` writes this page from
them.
`;

/** The page. */
export function lintPage(): string {
	const sections = Object.entries(PAGES).map(
		([id, { severity, title, consequence, advice }]) =>
			`\n## ${id}\n\n**${severity}**: ${title}.\n\n${consequence}\n\n${advice}\n`,
	);
	const rows = SUBJECTS.map(([what, findings]) => {
		const links = findings.map((id) => `[${id}](#${id})`);
		return `| ${what} | ${links.join(', ')} |\n`;
	});
	return `${INTRODUCTION}${rows.join('')}${SOURCE}${sections.join('')}`;
}
