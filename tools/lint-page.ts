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

The table below is \`packages/explain/src/lint/pages.ts\`; \`npm run pages\` writes this page from it.
`;

/** The page. */
export function lintPage(): string {
	const sections = Object.entries(PAGES).map(
		([id, { severity, title, consequence, advice }]) =>
			`\n## ${id}\n\n**${severity}**: ${title}.\n\n${consequence}\n\n${advice}\n`,
	);
	return `${INTRODUCTION}${sections.join('')}`;
}
