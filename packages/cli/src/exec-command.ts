/** `xfrm exec -- PROGRAM ARGS`: becomes the program, with the daemon in place of the kernel's XFRM. */
import {
	become,
	ExecError,
	ffiNative,
	findProgram,
	preloadShim,
	waitForDaemon,
} from '@xfrm/linux/exec';
import { UsageError } from './usage.ts';

const WAIT_SECONDS = 5;

interface Asked {
	readonly waitMs: number;
	readonly program: string;
	readonly args: readonly string[];
}

function parse(args: readonly string[]): Asked {
	let waitMs = WAIT_SECONDS * 1000;
	let at = 0;
	for (; at < args.length && args[at]?.startsWith('-') === true; at++) {
		const word = args[at];
		if (word === '--') {
			at++;
			break;
		}
		const seconds = word === '--wait' ? Number(args[++at] ?? Number.NaN) : Number.NaN;
		if (!(seconds >= 0 && seconds <= 86_400)) {
			throw new UsageError(`found "${word}", expected --wait SECONDS or -- PROGRAM ARGS`);
		}
		waitMs = seconds * 1000;
	}
	const [program, ...rest] = args.slice(at);
	if (program === undefined) {
		throw new UsageError('expected a program: xfrm exec -- PROGRAM ARGS');
	}
	return { waitMs, program, args: rest };
}

/** Comes back only when it could not become the program: the exit status. */
export async function execCommand(words: readonly string[]): Promise<number> {
	const { waitMs, program, args } = parse(words);
	try {
		const file = findProgram(program, process.env['PATH'] ?? '');
		const shim = preloadShim();
		const native = ffiNative();
		if (!(await waitForDaemon(native, waitMs))) {
			throw new ExecError(
				'no xfrm daemon answers in this network namespace: start it with "xfrm daemon"',
			);
		}
		const preloaded = process.env['LD_PRELOAD'];
		const LD_PRELOAD = preloaded === undefined ? shim : `${shim}:${preloaded}`;
		return become(native, file, [program, ...args], { ...process.env, LD_PRELOAD });
	} catch (error) {
		if (error instanceof ExecError) {
			process.stderr.write(`xfrm exec: ${error.message}\n`);
			return error.status;
		}
		throw error;
	}
}
