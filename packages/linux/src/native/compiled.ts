/**
 * Objects that are compiled by the machine's compiler on first use and kept: the addon here, the preload shim
 * in exec/. They are kept in a folder of the user's own, mode 0700, with the hash of the source and of the
 * object in their name, and are hashed before each use, since they are loaded into what runs as root.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
	accessSync,
	chmodSync,
	constants,
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

/** What is compiled, and how. */
export interface CompiledKind {
	/** Of the file's name: `addon`, `preload`. */
	readonly name: string;
	/** Paths of the source files. */
	readonly sources: readonly string[];
	/** Paths of our own files that it includes. */
	readonly headers?: readonly string[];
	/** What else the object depends on, such as the version of Node. */
	readonly variant: string;
	/** Tried in order. */
	readonly compilers: readonly string[];
	/** Before `-o OBJECT SOURCES`, and behind it. */
	readonly flags: readonly string[];
	readonly libraries: readonly string[];
	/** Of the object: `.so`, `.node`. */
	readonly suffix: string;
}

/** No compiler, or no place: why, as a sentence. */
export class CompileError extends Error {
	constructor(message: string) {
		super(message);
		this.name = 'CompileError';
	}
}

/** No place: no compiler would help. */
export class PlaceError extends CompileError {
	constructor(reasons: readonly string[]) {
		super(`what is compiled can be kept nowhere: ${reasons.join('; ')}`);
		this.name = 'PlaceError';
	}
}

function sha256(bytes: Uint8Array): string {
	return createHash('sha256').update(bytes).digest('hex');
}

/** Where objects may be kept, the first that will do. */
function cacheFolders(): readonly string[] {
	const root = process.geteuid?.() === 0;
	return root ? ['/var/cache/xfrm', '/run/xfrm/cache'] : [join(homedir(), '.cache/xfrm')];
}

/** Makes the folder, or says why it cannot be used. */
function hindrance(folder: string): string | undefined {
	try {
		mkdirSync(folder, { recursive: true, mode: 0o700 });
		assertOwn(folder);
		return undefined;
	} catch (error) {
		return error instanceof Error ? error.message : String(error);
	}
}

function isAllowed(path: string, mode: number): boolean {
	try {
		accessSync(path, mode);
		return true;
	} catch {
		return false;
	}
}

/** Throws unless the folder is this user's, and nobody else's to write to. */
function assertOwn(folder: string): void {
	const { uid, mode } = lstatSync(folder);
	if (uid !== process.geteuid?.()) {
		throw new CompileError(`${folder} belongs to somebody else: remove it`);
	}
	if ((mode & 0o077) !== 0) {
		chmodSync(folder, 0o700);
	}
}

/** The kept object of this prefix that is what its name says. */
function findKept(folder: string, prefix: string, suffix: string): string | undefined {
	for (const name of readdirSync(folder)) {
		if (name.startsWith(prefix) && name.endsWith(suffix)) {
			const path = join(folder, name);
			const { uid } = lstatSync(path);
			const told = name.slice(prefix.length, -suffix.length);
			if (uid === process.geteuid?.() && sha256(readFileSync(path)) === told) {
				return path;
			}
			rmSync(path, { force: true });
		}
	}
	return undefined;
}

/** Compiles it; several at once do no harm. @throws CompileError */
function compile(kind: CompiledKind, folder: string, prefix: string): string {
	const draft = join(folder, `draft-${process.pid}-${kind.name}${kind.suffix}`);
	const reasons: string[] = [];
	for (const compiler of kind.compilers) {
		const args = [...kind.flags, '-o', draft, ...kind.sources, ...kind.libraries];
		// Its drafts are nobody else's either, and /tmp may be read-only.
		const env = { ...process.env, TMPDIR: folder };
		const { error, status, stderr } = spawnSync(compiler, args, { encoding: 'utf8', env });
		if (error === undefined && status === 0 && existsSync(draft)) {
			chmodSync(draft, 0o700);
			const path = join(folder, `${prefix}${sha256(readFileSync(draft))}${kind.suffix}`);
			renameSync(draft, path);
			return path;
		}
		const [line = ''] = (stderr ?? '').trim().split('\n');
		const isAbsent = error !== undefined && 'code' in error && error.code === 'ENOENT';
		reasons.push(isAbsent ? `no ${compiler}` : `${compiler}: ${error?.message ?? line}`);
	}
	throw new CompileError(`the ${kind.name} cannot be compiled (${reasons.join('; ')})`);
}

/**
 * Path of the object, compiled if it is not there. Where files cannot be executed none can be loaded either, and the
 * loader of programs only grumbles about a library that it leaves out: such a folder is passed over.
 *
 * @throws CompileError
 */
export function compiledObject(kind: CompiledKind): string {
	const recipe = [kind.variant, ...kind.flags, ...kind.libraries].join('\n');
	const files = [...kind.sources, ...(kind.headers ?? [])].map((path) => readFileSync(path));
	const hash = sha256(Buffer.concat([...files, Buffer.from(recipe)]));
	const prefix = `${kind.name}-${process.arch}-${hash.slice(0, 16)}-`;
	const reasons: string[] = [];
	for (const folder of cacheFolders()) {
		const why = hindrance(folder);
		const kept = why === undefined ? findKept(folder, prefix, kind.suffix) : undefined;
		if (why !== undefined) {
			reasons.push(why);
		} else if (kept === undefined && !isAllowed(folder, constants.W_OK)) {
			reasons.push(`${folder} is read-only`);
		} else {
			const path = kept ?? compile(kind, folder, prefix);
			if (isAllowed(path, constants.X_OK)) {
				return path;
			}
			reasons.push(`${folder} is mounted noexec`);
		}
	}
	throw new PlaceError(reasons);
}
