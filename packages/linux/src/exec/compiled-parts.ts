/**
 * What `xfrm exec` is compiled from: the preload shim, and the supervisor for programs that it does not reach.
 * Compiled by the machine's C compiler on first use and kept as native/compiled.ts says.
 */
import { fileURLToPath } from 'node:url';
import { CompileError, compiledObject, PlaceError } from '../native/compiled.ts';
import { ExecError } from './exec-error.ts';

function source(name: string): string {
	return fileURLToPath(new URL(`../../native/${name}`, import.meta.url));
}

interface Wanted {
	readonly name: string;
	/** Under native/. */
	readonly sources: readonly string[];
	/** Beside handshake.h, which all include. */
	readonly headers: readonly string[];
	readonly flags: readonly string[];
	readonly libraries: readonly string[];
	readonly suffix: string;
}

function compiled({ name, sources, headers, flags, libraries, suffix }: Wanted): string {
	try {
		return compiledObject({
			name,
			sources: sources.map(source),
			headers: ['handshake.h', ...headers].map(source),
			variant: '',
			compilers: ['cc', 'gcc', 'clang'],
			flags,
			libraries,
			suffix,
		});
	} catch (error) {
		if (error instanceof PlaceError) {
			throw new ExecError(error.message);
		}
		if (error instanceof CompileError) {
			throw new ExecError(`${error.message}: install a C compiler, such as the package gcc`);
		}
		throw error;
	}
}

/** Path of the shim. @throws ExecError without a compiler or a place */
export function preloadShim(): string {
	return compiled({
		name: 'preload-shim',
		sources: ['preload-shim.c', 'preload-exec.c'],
		headers: ['preload-mark.h'],
		flags: ['-shared', '-fPIC', '-O2', '-fvisibility=default'],
		libraries: ['-ldl'],
		suffix: '.so',
	});
}

/** Path of the program that becomes another one, supervised. @throws ExecError as `preloadShim` */
export function supervisor(): string {
	return compiled({
		name: 'supervisor',
		sources: ['main', 'filter', 'calls', 'send', 'receive', 'program'].map(
			(part) => `supervisor/${part}.c`,
		),
		headers: ['supervisor/supervisor.h'],
		flags: ['-O2'],
		libraries: [],
		suffix: '.bin',
	});
}
