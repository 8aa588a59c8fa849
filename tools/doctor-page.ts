/** docs/doctor.md, the findings of `xfrm doctor` one by one, from their table (`npm run pages`). */
import { FINDINGS } from '@xfrm/linux/doctor';

const INTRODUCTION = `# Doctor, finding by finding

\`xfrm doctor\` examines a machine and its network namespace: what the kernel can do, and what is in the
way of IPsec. It asks as root for everything, and tells without root what it could not see; exit status 1
says that something is broken. What can be tried is tried, in a network namespace that nobody else uses.

    $ sudo xfrm doctor
    FAIL  forwarding        net.ipv4.ip_forward is 0: policy fwd 18 (10.2.0.0/16 → 10.1.0.0/16)
                            forwards nothing, tunnels end at this host.
                            sysctl -w net.ipv4.ip_forward=1
    ok                      netlink · clock · ESP, AH, IPComp · algorithms · sub policies · …

| severity | means |
| --- | --- |
| FAIL | protected traffic cannot pass, or passes in clear |
| WARN | something is likely wrong, or will be |
| note | worth knowing when one looks for a reason |

Findings are told worst first, and causes before what follows from them. With \`--json\` each is a line with
its \`id\`, which is never renamed. The table is that of \`packages/linux/src/doctor\`; \`npm run pages\` writes
this page from it.
`;

/** The page. */
export function doctorPage(): string {
	const pages = FINDINGS.map(
		({ id, title, meaning, remedy }) =>
			`\n## ${id}\n\n*${title}.* ${meaning}\n\n**What to do.** ${remedy}\n`,
	);
	return `${INTRODUCTION}${pages.join('')}`;
}
