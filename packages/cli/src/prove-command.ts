/** `xfrm prove`: does a claim hold for a whole set of flows? */
import { parseArgs } from 'node:util';
import { proofText, prove } from '@xfrm/explain';
import { askRules } from './offline-rules.ts';
import { namedTarget } from './target.ts';
import { columns } from './terminal.ts';
import { UsageError, usageErrorOf } from './usage.ts';

const OPTIONS = {
	rules: { type: 'string', multiple: true },
	kernel: { type: 'boolean' },
	daemon: { type: 'boolean' },
	profile: { type: 'string' },
	json: { type: 'boolean' },
	strict: { type: 'boolean' },
	boxes: { type: 'string' },
	'no-listener': { type: 'boolean' },
	'show-keys': { type: 'boolean' },
} as const;

/** Runs the command with the arguments behind `prove`; 1 when a claim does not hold. */
export async function proveCommand(args: readonly string[]): Promise<number> {
	const { values, positionals } = argumentsOf(args);
	const target = namedTarget(values);
	if (values.rules === undefined && target === undefined) {
		throw new UsageError(
			'found no rules, expected --rules FILE, --kernel or --daemon (see xfrm help prove)',
		);
	}
	if (positionals.length === 0) {
		throw new UsageError(
			'found no question, expected one, as in "src 10.0.0.0/8 dir out never pass"',
		);
	}
	const boxesMax = Number(values.boxes ?? 20);
	if (!Number.isInteger(boxesMax) || boxesMax < 1) {
		throw new UsageError(`found "${values.boxes}", expected --boxes NUMBER`);
	}
	return askRules(values, target, ({ world }) => {
		// A question a word, or one question in many words.
		const questions = positionals.some((word) => word.includes(' '))
			? positionals
			: [positionals.join(' ')];
		const proofs = questions.map((question) => prove(world, question, { boxesMax }));
		const texts = proofs.map((proof) =>
			values.json === true
				? JSON.stringify(proof)
				: proofText(proof, columns(process.stdout)).join('\n'),
		);
		process.stdout.write(`${texts.join('\n')}\n`);
		return proofs.some(({ holds }) => holds === false) ? 1 : 0;
	});
}

function argumentsOf(args: readonly string[]) {
	try {
		return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
	} catch (error) {
		throw usageErrorOf(error, 'prove');
	}
}
