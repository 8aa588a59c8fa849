/**
 * `npm run fuzz -- TARGET`: random and damaged input, for as long as asked; a seed gives the same run again.
 *
 *     npm run fuzz -- netlink|dump-text [--seconds 60] [--seed 1]
 *
 * Ends with 1 at the first fault, and says what input it was. Nothing may throw, hang, or leave memory behind.
 */
import { parseArgs } from 'node:util';
import { dumpTextTarget } from './dump-text-target.ts';
import { netlinkTarget } from './netlink-target.ts';
import type { Target } from './target.ts';
import { Watchdog } from './watchdog.ts';

/** By name. */
const TARGETS: Readonly<Record<string, Target>> = {
	netlink: netlinkTarget,
	'dump-text': dumpTextTarget,
};

const { values: options, positionals } = parseArgs({
	allowPositionals: true,
	options: {
		seconds: { type: 'string', default: '60' },
		seed: { type: 'string', default: '1' },
	},
});

async function run(name: string, target: Target): Promise<number> {
	const seed = Number(options.seed);
	const until = Date.now() + Number(options.seconds) * 1000;
	const watchdog = new Watchdog();
	try {
		const { inputs, fault } = target.run({
			seed,
			goesOn: () => Date.now() < until,
			watch: (input) => watchdog.watch(input),
		});
		process.stdout.write(`${name}, seed ${seed}: ${inputs} inputs, ${fault ?? 'no fault'}\n`);
		return fault === undefined ? 0 : 1;
	} finally {
		await watchdog.stop();
	}
}

const [name = ''] = positionals;
const target = TARGETS[name];
if (target === undefined) {
	const known = Object.keys(TARGETS).join(', ');
	process.stderr.write(
		`usage: npm run fuzz -- TARGET [--seconds N] [--seed S]; targets: ${known}\n`,
	);
	process.exitCode = 2;
} else {
	process.exitCode = await run(name, target);
}
