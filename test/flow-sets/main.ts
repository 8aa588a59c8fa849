/**
 * `npm run test:flow-sets`: what `xfrm prove` and `xfrm diff` say of sets of flows, against lookups of single
 * flows, on random rule sets. A contradiction is made as small as it goes and printed; then it ends with 1.
 *
 *     npm run test:flow-sets -- --large
 *     npm run test:flow-sets -- [--sets 1000] [--policies 200] [--flows 10000] [--seed 1] [--only prove|diff]
 *
 * Set number n has seed S + n - 1: `--seed S --sets 1` repeats it. The whole takes an hour of a processor.
 */
import { parseArgs } from 'node:util';
import { linux61, linux619 } from '@xfrm/engine';
import { type Contradiction, check, diffSet, flowText, proveSets, type Tally } from './checks.ts';
import { runLarge } from './large-sets.ts';
import { shrink } from './shrink.ts';

const { values: options } = parseArgs({
	options: {
		sets: { type: 'string', default: '1000' },
		policies: { type: 'string', default: '200' },
		flows: { type: 'string', default: '10000' },
		seed: { type: 'string', default: '1' },
		only: { type: 'string' },
		large: { type: 'boolean' },
	},
});
const [sets, policies, flows, seed] = [
	options.sets,
	options.policies,
	options.flows,
	options.seed,
].map(Number) as [number, number, number, number];

/** Questions that a set's flows are shared out to; one that takes few leaves them to others. */
const QUESTIONS = 10;

function run(kind: 'prove' | 'diff', at: number, tally: Tally): Contradiction | undefined {
	const profile = at % 2 === 0 ? linux619 : linux61;
	const asked =
		kind === 'prove' ? proveSets(at, policies, profile) : [diffSet(at, policies, profile)];
	const share = kind === 'prove' ? Math.ceil(flows / QUESTIONS) : flows;
	const end = tally.flows + flows;
	tally.sets++;
	for (const [i, set] of asked.entries()) {
		const found = tally.flows < end ? check(set, share, at + 7919 * i, tally) : undefined;
		if (found !== undefined) {
			return found;
		}
	}
	return undefined;
}

function tell(contradiction: Contradiction): string {
	const { set, looked, told } = contradiction;
	return [
		`${set.profile.name}, ${set.listener ? 'with' : 'without'} a key manager`,
		...set.rules.map((rule) => `  ${rule}`),
		...(set.changed === undefined ? [] : ['then', ...set.changed.map((rule) => `  ${rule}`)]),
		...(set.question === undefined ? [] : [`question  ${set.question}`]),
		`flow      ${flowText(contradiction)}`,
		`lookup    ${looked}`,
		`told      ${told}`,
	].join('\n');
}

if (options.large === true) {
	process.exit(runLarge() === 0 ? 0 : 1);
}
for (const kind of ['prove', 'diff'] as const) {
	if (options.only !== undefined && options.only !== kind) {
		continue;
	}
	const tally: Tally = { sets: 0, flows: 0, parts: 0, against: 0 };
	const started = Date.now();
	const told = (): string =>
		`${kind}: ${tally.sets} sets, ${tally.flows} flows, ${tally.against} against the claim or changed, ${tally.parts} boxes, ${Math.round((Date.now() - started) / 1000)} s`;
	for (let at = seed; at < seed + sets; at++) {
		const found = run(kind, at, tally);
		if (found !== undefined) {
			process.stdout.write(
				`\nseed ${at} contradicts; making it smaller …\n${tell(shrink(found))}\n`,
			);
			process.exit(1);
		}
		if (process.stderr.isTTY || at % 25 === 0) {
			process.stderr.write(process.stderr.isTTY ? `\r${told()} ` : `${told()}\n`);
		}
	}
	process.stdout.write(`\n${told()}, no contradiction\n`);
}
