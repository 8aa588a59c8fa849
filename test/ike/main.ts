/**
 * `npm run test:ike`: unmodified IKE daemons over the user-space data plane, in namespaces of their own.
 *
 *     npm run test:ike -- WORD…            the cases whose names contain one of the words
 *     npm run test:ike -- --peer kernel    situations with this peer only; may be repeated
 *     npm run test:ike -- safety --kills 200   so many rounds of the case that kills the daemon
 *     npm run test:ike -- --soak SECONDS   traffic over rekeys for so long, and nothing else
 *     npm run test:ike -- --docs           all of them, and docs/interoperability.md is written anew
 *
 * Exit status 1 when one fails.
 *
 * The cases (run.ts) wait for programs synchronously, and hear no signal then: so they are another process, and
 * this one waits for signals, ends what it has started and takes away what it has made.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { clearAfter } from './leftovers.ts';

const run = spawn(
	process.execPath,
	[
		...process.execArgv,
		fileURLToPath(new URL('./run.ts', import.meta.url)),
		...process.argv.slice(2),
	],
	// A process group of its own.
	{ stdio: 'inherit', detached: true },
);

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
	process.on(signal, () => {
		process.exitCode = 128 + constants.signals[signal];
		run.kill('SIGKILL');
	});
}

run.on('exit', async (status) => {
	if (status === null) {
		await clearAfter(run.pid ?? 0);
	}
	process.exitCode ??= status ?? 1;
});
