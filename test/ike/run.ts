/** The cases, situations and the soak of `npm run test:ike`: begun by main.ts, which says how it is called. */
import { parseArgs } from 'node:util';
import { cases, situations } from './cases.ts';
import { type Cell, writeTable } from './interoperability-page.ts';
import { type Plane, reasonToSkip } from './laboratory.ts';
import { type Case, closeGuest, type Situation } from './scenario.ts';
import { soak } from './soak.ts';

const { values, positionals: words } = parseArgs({
	allowPositionals: true,
	options: {
		peer: { type: 'string', multiple: true },
		docs: { type: 'boolean' },
		kills: { type: 'string' },
		soak: { type: 'string' },
	},
});

if (values.kills !== undefined) {
	process.env['IKE_KILLS'] = values.kills;
}

const reason = reasonToSkip();
if (reason !== undefined) {
	process.stdout.write(`skipped: ${reason}\n`);
	process.exit(process.env['CI'] === 'true' ? 1 : 0);
}

function isWanted(name: string): boolean {
	return words.length === 0 || words.some((word) => name.includes(word));
}

let failed = 0;

/** One that passes although it cannot yet is as bad as one that fails. */
async function runSituation({ group, name, lacks, run }: Situation, peer: Plane): Promise<Cell> {
	const title = `${group}: ${name} [${peer}]`;
	if (lacks === undefined) {
		return runCase({ name: title, run: () => run(peer) });
	}
	try {
		await run(peer);
	} catch {
		process.stdout.write(`not yet ${title} (${lacks})\n`);
		return { passed: false, note: lacks };
	}
	failed++;
	process.stdout.write(`not ok ${title}\n    it passes: say so\n`);
	return { passed: true, note: '' };
}

async function runCase({ name, run }: Case): Promise<Cell> {
	const begun = performance.now();
	try {
		const answer = await run();
		const note = typeof answer === 'string' ? answer : '';
		const seconds = ((performance.now() - begun) / 1000).toFixed(1);
		process.stdout.write(`ok ${name} (${note === '' ? '' : `${note}; `}${seconds} s)\n`);
		return { passed: true, note };
	} catch (error) {
		failed++;
		const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
		process.stdout.write(`not ok ${name}\n${text.replace(/^/gm, '    ')}\n`);
		return { passed: false, note: '' };
	}
}

if (values.soak !== undefined) {
	const seconds = Number(values.soak);
	await runCase({ name: 'soak', run: () => soak(seconds) });
	process.exit(failed === 0 ? 0 : 1);
}

const cells = new Map<string, Cell>();
// One peer after the other: the guest is there for its own only.
for (const peer of ['ourselves', 'kernel', 'libipsec'] as readonly Plane[]) {
	if (values.peer !== undefined && !values.peer.includes(peer)) {
		continue;
	}
	for (const situation of situations) {
		const { group, name, peers } = situation;
		if (peers.includes(peer) && isWanted(`${group}: ${name} [${peer}]`)) {
			cells.set(`${group}\t${name}\t${peer}`, await runSituation(situation, peer));
		}
	}
	await closeGuest();
}
if (values.peer === undefined) {
	for (const one of cases) {
		if (isWanted(one.name)) {
			await runCase(one);
		}
	}
}
if (values.docs === true) {
	writeTable(situations, cells);
}
process.stdout.write(failed === 0 ? 'all passed\n' : `${failed} failed\n`);
process.exit(failed === 0 ? 0 : 1);
