/** docs/interoperability.md, written from what a run of the suite has shown. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Plane } from './laboratory.ts';
import type { Situation } from './scenario.ts';

const PAGE = fileURLToPath(new URL('../../docs/interoperability.md', import.meta.url));

const RECORD = fileURLToPath(new URL('./interoperability-record.json', import.meta.url));

/** What one situation with one peer came to. */
export interface Cell {
	readonly passed: boolean;
	/** Figures that it answered; may be empty. */
	readonly note: string;
}

const PEERS: readonly (readonly [Plane, string])[] = [
	['ourselves', 'xfrm daemon'],
	['kernel', 'Linux 6.1'],
	['libipsec', 'libipsec'],
];

function cellText(situation: Situation, peer: Plane, cell: Cell | undefined): string {
	if (!situation.peers.includes(peer)) {
		return '–';
	}
	if (cell === undefined) {
		return '';
	}
	return `${cell.passed ? '✓' : '✗'}${cell.note === '' ? '' : ` ${cell.note}`}`;
}

function readRecord(): Record<string, Cell> {
	return existsSync(RECORD) ? JSON.parse(readFileSync(RECORD, 'utf8')) : {};
}

/**
 * Writes the page, with what earlier runs have shown of situations that were not among these.
 *
 * @param fresh what this run has shown, by group, name and peer, with tabs between them
 */
export function writeTable(
	situations: readonly Situation[],
	fresh: ReadonlyMap<string, Cell>,
): void {
	const known: Record<string, Cell> = { ...readRecord(), ...Object.fromEntries(fresh) };
	const cells = new Map<string, Cell>();
	for (const { group, name, peers } of situations) {
		for (const peer of peers) {
			const key = `${group}\t${name}\t${peer}`;
			const cell = known[key];
			if (cell !== undefined) {
				cells.set(key, cell);
			}
		}
	}
	writeFileSync(RECORD, `${JSON.stringify(Object.fromEntries(cells), null, '\t')}\n`);
	const lines: string[] = [];
	let group = '';
	for (const situation of situations) {
		if (situation.group !== group) {
			group = situation.group;
			lines.push('', `## ${group}`, '');
			lines.push(
				`| | ${PEERS.map(([, title]) => title).join(' | ')} |`,
				'| --- | --- | --- | --- |',
			);
		}
		const columns = PEERS.map(([peer]) =>
			cellText(situation, peer, cells.get(`${group}\t${situation.name}\t${peer}`)),
		);
		lines.push(`| ${situation.name} | ${columns.join(' | ')} |`);
	}
	writeFileSync(PAGE, `${INTRODUCTION}${lines.join('\n')}\n`);
}

const INTRODUCTION = `# Interoperability

What unmodified programs do on \`xfrm daemon\`, with three peers. At one end always the daemon, with Debian's
strongSwan 5.9.8 (in the last rows libreswan 4.10) started by \`xfrm exec\`; at the other strongSwan

- over a second daemon (**xfrm daemon**),
- over a real kernel's own IPsec (**Linux 6.1**, user-mode Linux),
- over its own user-space IPsec (**libipsec**, the plugin kernel-libipsec), which speaks ESP in UDP only and
  knows tunnels only.

Both ends have packets counted on the wire: in a row that passes none was in clear that should not have been,
and no sequence number was seen twice under an SPI where that is looked at.

✓ shown · ✗ tried, and failed · – cannot be with this peer. Where it says *lost*: pings ten milliseconds apart
that did not come back.

This page is written by \`npm run test:ike -- --docs\`, which runs all of it; with words or \`--peer\`, the rows that
were run are written anew.
`;
