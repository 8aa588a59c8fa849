/** `xfrm exec -- PROGRAM ARGS`: becomes the program, with the daemon in place of the kernel's XFRM. */
import {
	become,
	ExecError,
	ffiNative,
	findProgram,
	preloadShim,
	shimHindrance,
	supervisor,
	waitForDaemon,
} from '@xfrm/linux/exec';
import { UsageError } from './usage.ts';

const WAIT_SECONDS = 5;

interface Asked {
	readonly waitMs: number;
	/** Supervised in any case. */
	readonly seccomp: boolean;
	readonly verbose: boolean;
	readonly program: string;
	readonly args: readonly string[];
}

function parse(args: readonly string[]): Asked {
	let waitMs = WAIT_SECONDS * 1000;
	let seccomp = false;
	let verbose = false;
	let at = 0;
	for (; at < args.length && args[at]?.startsWith('-') === true; at++) {
		const word = args[at];
		if (word === '--') {
			at++;
			break;
		}
		if (word === '--seccomp') {
			seccomp = true;
		} else if (word === '--verbose') {
			verbose = true;
		} else {
			waitMs = 1000 * secondsOf(word === '--wait' ? args[++at] : undefined, word);
		}
	}
	const [program, ...rest] = args.slice(at);
	if (program === undefined) {
		throw new UsageError('expected a program: xfrm exec -- PROGRAM ARGS');
	}
	return { waitMs, seccomp, verbose, program, args: rest };
}

function secondsOf(value: string | undefined, word: string | undefined): number {
	const seconds = Number(value ?? Number.NaN);
	if (!(seconds >= 0 && seconds <= 86_400)) {
		throw new UsageError(
			`found "${word}", expected --wait SECONDS, --seccomp, --verbose or -- PROGRAM ARGS`,
		);
	}
	return seconds;
}

/** How a program is led to the daemon: by the shim where that reaches it, else by a supervisor. */
function launch({ program, args, seccomp, verbose }: Asked): {
	readonly file: string;
	readonly words: readonly string[];
	readonly environment: Readonly<Record<string, string | undefined>>;
} {
	const file = findProgram(program, process.env['PATH'] ?? '');
	const hindrance = shimHindrance(file) ?? (seccomp ? '' : undefined);
	if (verbose) {
		const reason = hindrance === undefined || hindrance === '' ? '' : ` ${hindrance}`;
		const means = hindrance === undefined ? 'C library (LD_PRELOAD)' : 'system calls (seccomp)';
		process.stderr.write(`xfrm exec: ${file}${reason}: reached by its ${means}\n`);
	}
	if (hindrance !== undefined) {
		const words = ['xfrm-supervisor', file, program, ...args];
		return { file: supervisor(), words, environment: process.env };
	}
	const shim = preloadShim();
	const preloaded = process.env['LD_PRELOAD'];
	const LD_PRELOAD = preloaded === undefined ? shim : `${shim}:${preloaded}`;
	// For what the program starts, and the shim does not reach.
	const reaching = { LD_PRELOAD, XFRM_SUPERVISOR: supervisor() };
	return { file, words: [program, ...args], environment: { ...process.env, ...reaching } };
}

/** Comes back only when it could not become the program: the exit status. */
export async function execCommand(args: readonly string[]): Promise<number> {
	const asked = parse(args);
	try {
		const { file, words, environment } = launch(asked);
		const native = ffiNative();
		if (!(await waitForDaemon(native, asked.waitMs))) {
			throw new ExecError(
				'no xfrm daemon answers in this network namespace: start it with "xfrm daemon"',
			);
		}
		return become(native, file, words, environment);
	} catch (error) {
		if (error instanceof ExecError) {
			process.stderr.write(`xfrm exec: ${error.message}\n`);
			return error.status;
		}
		throw error;
	}
}
