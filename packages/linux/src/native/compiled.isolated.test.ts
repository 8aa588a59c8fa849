// Where what is compiled is kept, and who may have written it: in folders of a mount namespace of this test's own.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
	appendFileSync,
	chmodSync,
	chownSync,
	lchownSync,
	lstatSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	rmSync,
	symlinkSync,
	writeFileSync,
} from 'node:fs';
import { basename, dirname } from 'node:path';
import { beforeEach, describe, it } from 'node:test';
import { loadCLibrary } from '../c-library.ts';
import { type CompiledKind, CompileError, compiledObject } from './compiled.ts';

const CLONE_NEWNS = 0x2_0000;
const NOBODY = 65_534;
const MAIN = '/var/cache/xfrm';
const OTHER = '/run/xfrm/cache';
const SOURCE = '/run/answer.c';

const kind: CompiledKind = {
	name: 'answer',
	sources: [SOURCE],
	variant: '',
	compilers: ['cc', 'gcc'],
	flags: ['-shared', '-fPIC'],
	libraries: [],
	suffix: '.so',
};
/** The same, where there is no compiler. */
const uncompiled: CompiledKind = { ...kind, compilers: ['/nowhere/cc'] };

const skip =
	process.platform !== 'linux' || process.geteuid?.() !== 0
		? 'needs root on Linux'
		: kind.compilers.every((name) => spawnSync(name, ['--version']).status !== 0)
			? 'apt-get install gcc'
			: spawnSync('unshare', ['-m', 'true']).status !== 0 && 'needs mount namespaces';

function mount(...words: readonly string[]): void {
	assert.equal(spawnSync('mount', words).status, 0, words.join(' '));
}

function owned(path: string): string {
	const { uid, mode } = lstatSync(path);
	return `${uid} ${(mode & 0o7777).toString(8)}`;
}

/** In this folder, nobody else's to read or write, and what its name says. */
function assertKept(path: string, folder: string, uid: number): void {
	assert.equal(dirname(path), folder);
	assert.equal(owned(folder), `${uid} 700`);
	assert.equal(owned(path), `${uid} 700`);
	assert.ok(basename(path).includes(createHash('sha256').update(readFileSync(path)).digest('hex')));
	assert.deepEqual(readdirSync(folder), [basename(path)], 'and nothing else');
}

describe('what is compiled', { skip }, () => {
	let inNamespace = false;

	beforeEach(() => {
		if (!inNamespace) {
			// Of this thread, which makes all calls here.
			assert.equal(loadCLibrary().unshare(CLONE_NEWNS), 0);
			mount('--make-rprivate', '/');
			inNamespace = true;
		}
		mount('-t', 'tmpfs', '-o', 'mode=755', 'none', '/var/cache');
		mount('-t', 'tmpfs', '-o', 'mode=755', 'none', '/run');
		writeFileSync(SOURCE, 'int answer(void) { return 42; }\n');
		process.umask(0);
	});

	it('is kept in a folder of root’s, and found there', () => {
		const path = compiledObject(kind);
		assertKept(path, MAIN, 0);
		assert.equal(compiledObject(uncompiled), path);
	});

	it('is kept in a folder that nobody else can look into any more', () => {
		mkdirSync(MAIN, { mode: 0o777 });
		assertKept(compiledObject(kind), MAIN, 0);
	});

	it('is kept elsewhere when the folder is somebody else’s', () => {
		mkdirSync(MAIN, { mode: 0o700 });
		chownSync(MAIN, NOBODY, NOBODY);
		assertKept(compiledObject(kind), OTHER, 0);
		assert.deepEqual(readdirSync(MAIN), []);
	});

	it('is kept elsewhere when the folder is somebody else’s link', () => {
		mkdirSync('/run/lure', { mode: 0o700 });
		symlinkSync('/run/lure', MAIN);
		lchownSync(MAIN, NOBODY, NOBODY);
		assertKept(compiledObject(kind), OTHER, 0);
		assert.deepEqual(readdirSync('/run/lure'), []);
	});

	it('is kept nowhere when both are', () => {
		for (const folder of [MAIN, OTHER]) {
			mkdirSync(folder, { recursive: true, mode: 0o700 });
			chownSync(folder, NOBODY, NOBODY);
		}
		assert.throws(
			() => compiledObject(kind),
			(error) => error instanceof CompileError && /belongs to somebody else/.test(error.message),
		);
	});

	it('is kept elsewhere when nothing can be loaded from the folder, or written to it', () => {
		mkdirSync(MAIN);
		mount('-t', 'tmpfs', '-o', 'noexec', 'none', MAIN);
		const path = compiledObject(kind);
		assertKept(path, OTHER, 0);
		assert.equal(compiledObject(uncompiled), path, 'and found there');
		mount('-o', 'remount,ro', MAIN);
		assert.equal(compiledObject(kind), path);
	});

	it('is kept nowhere when nothing can be loaded from one, and the other cannot be written to', () => {
		for (const folder of [MAIN, OTHER]) {
			mkdirSync(folder, { recursive: true });
			mount('-t', 'tmpfs', '-o', folder === MAIN ? 'noexec' : 'ro,mode=700', 'none', folder);
		}
		assert.throws(() => compiledObject(kind), {
			name: 'PlaceError',
			message: `what is compiled can be kept nowhere: ${MAIN} is mounted noexec; ${OTHER} is read-only`,
		});
	});

	it('is found in a folder that cannot be written to', () => {
		mkdirSync(MAIN);
		mount('-t', 'tmpfs', 'none', MAIN);
		const path = compiledObject(kind);
		mount('-o', 'remount,ro', MAIN);
		assert.equal(compiledObject(uncompiled), path);
	});

	it('is compiled anew when it was changed', () => {
		const path = compiledObject(kind);
		appendFileSync(path, 'x');
		assert.throws(() => compiledObject(uncompiled), CompileError);
		assertKept(compiledObject(kind), MAIN, 0);
	});

	it('is compiled anew when it is somebody else’s', () => {
		const path = compiledObject(kind);
		chownSync(path, NOBODY, NOBODY);
		assert.throws(() => compiledObject(uncompiled), CompileError);
		assertKept(compiledObject(kind), MAIN, 0);
	});

	it('is compiled anew when its source is another', () => {
		const path = compiledObject(kind);
		writeFileSync(SOURCE, 'int answer(void) { return 43; }\n');
		const next = compiledObject(kind);
		assert.notEqual(next, path);
		rmSync(path);
		assertKept(next, MAIN, 0);
	});

	it('is a user’s own at home', () => {
		const { HOME: home } = process.env;
		mkdirSync('/run/home');
		chmodSync('/run/home', 0o755);
		chownSync('/run/home', NOBODY, NOBODY);
		process.env['HOME'] = '/run/home';
		loadCLibrary().seteuid(NOBODY);
		try {
			assertKept(compiledObject(kind), '/run/home/.cache/xfrm', NOBODY);
		} finally {
			loadCLibrary().seteuid(0);
			process.env['HOME'] = home;
		}
	});
});
