/**
 * The preload shim, ready to be loaded: compiled by the machine's C compiler on first use and kept as
 * native/compiled.ts says.
 */
import { fileURLToPath } from 'node:url';
import { CompileError, compiledObject } from '../native/compiled.ts';
import { ExecError } from './exec-error.ts';

const source: string = fileURLToPath(new URL('../../native/preload-shim.c', import.meta.url));

/** Path of the shim. @throws ExecError without a compiler or a place */
export function preloadShim(): string {
	try {
		return compiledObject({
			name: 'preload',
			source,
			variant: '',
			compilers: ['cc', 'gcc', 'clang'],
			flags: ['-shared', '-fPIC', '-O2', '-fvisibility=default'],
			libraries: ['-ldl'],
			suffix: '.so',
		});
	} catch (error) {
		if (error instanceof CompileError) {
			throw new ExecError(`${error.message}: install a C compiler, such as the package gcc`);
		}
		throw error;
	}
}
