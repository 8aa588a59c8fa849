/**
 * The preload shim, ready to be loaded: compiled by the machine's C compiler on first use and kept in a
 * folder of the user's own, mode 0700. Both the source's and the object's hash are in its name, and the
 * object is hashed before each use, since it is loaded into programs that run as root.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
	chmodSync,
	existsSync,
	lstatSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ExecError } from './exec-error.ts';

const COMPILERS = ['cc', 'gcc', 'clang'] as const;
const FLAGS = ['-shared', '-fPIC', '-O2', '-fvisibility=default'] as const;

const source: string = fileURLToPath(new URL('../../native/preload-shim.c', import.meta.url));

function sha256(bytes: Uint8Array): string {
	return createHash('sha256').update(bytes).digest('hex');
}

/** Where shims are kept: the first folder of these that can be made. @throws ExecError */
function cacheFolder(): string {
	const root = process.geteuid?.() === 0;
	const folders = root ? ['/var/cache/xfrm', '/run/xfrm/cache'] : [join(homedir(), '.cache/xfrm')];
	const reasons: string[] = [];
	for (const folder of folders) {
		try {
			mkdirSync(folder, { recursive: true, mode: 0o700 });
			assertOwn(folder);
			return folder;
		} catch (error) {
			reasons.push(error instanceof Error ? error.message : String(error));
		}
	}
	throw new ExecError(`the shim can be kept nowhere: ${reasons.join('; ')}`);
}

/** Throws unless the folder is this user's, and nobody else's to write to. */
function assertOwn(folder: string): void {
	const { uid, mode } = lstatSync(folder);
	if (uid !== process.geteuid?.()) {
		throw new ExecError(`${folder} belongs to somebody else: remove it`);
	}
	if ((mode & 0o077) !== 0) {
		chmodSync(folder, 0o700);
	}
}

/** The kept shim of this source that is what its name says. */
function findKept(folder: string, prefix: string): string | undefined {
	for (const name of readdirSync(folder)) {
		if (name.startsWith(prefix) && name.endsWith('.so')) {
			const path = join(folder, name);
			const { uid } = lstatSync(path);
			const told = name.slice(prefix.length, -3);
			if (uid === process.geteuid?.() && sha256(readFileSync(path)) === told) {
				return path;
			}
			rmSync(path, { force: true });
		}
	}
	return undefined;
}

/** Compiles it; several at once do no harm. @throws ExecError */
function compile(folder: string, prefix: string): string {
	const draft = join(folder, `draft-${process.pid}.so`);
	const reasons: string[] = [];
	for (const compiler of COMPILERS) {
		const args = [...FLAGS, '-o', draft, source, '-ldl'];
		const { error, status, stderr } = spawnSync(compiler, args, { encoding: 'utf8' });
		if (error === undefined && status === 0 && existsSync(draft)) {
			chmodSync(draft, 0o700);
			const path = join(folder, `${prefix}${sha256(readFileSync(draft))}.so`);
			renameSync(draft, path);
			return path;
		}
		reasons.push(`${compiler}: ${error?.message ?? stderr.trim()}`);
	}
	throw new ExecError(
		`the shim cannot be compiled (${reasons.join('; ')}): install a C compiler, such as the package gcc`,
	);
}

/** Path of the shim. @throws ExecError without a compiler or a place */
export function preloadShim(): string {
	const folder = cacheFolder();
	const prefix = `preload-${process.arch}-${sha256(readFileSync(source)).slice(0, 16)}-`;
	return findKept(folder, prefix) ?? compile(folder, prefix);
}
