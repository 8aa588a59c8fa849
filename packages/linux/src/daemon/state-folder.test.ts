import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { ffiNative } from '../native/ffi.ts';
import { replaceFile, stateFolder, stateFolderPath } from './state-folder.ts';

test('the state folder: what earlier boots have left goes, all else stays', (context) => {
	const parent = mkdtempSync(join(tmpdir(), 'state-folder-'));
	context.after(() => rmSync(parent, { recursive: true }));
	const native = ffiNative();
	const own = basename(stateFolderPath(native, parent));
	const earlier = '00000000-1111-4222-8333-444444444444-17';
	const others = [`${own}0`, 'somebody', `${earlier}.txt`];
	for (const name of [earlier, ...others]) {
		mkdirSync(join(parent, name));
		writeFileSync(join(parent, name, 'journal'), '');
	}
	assert.equal(stateFolder(native, parent), join(parent, own));
	assert.deepEqual(new Set(readdirSync(parent)), new Set([own, ...others]));
});

test('a file of the folder is replaced as a whole, or stays', (context) => {
	const folder = mkdtempSync(join(tmpdir(), 'state-folder-'));
	context.after(() => rmSync(folder, { recursive: true }));
	const file = join(folder, 'names');
	replaceFile(file, 'one\n');
	// A draft that cannot be written.
	mkdirSync(`${file}.new`);
	assert.throws(() => replaceFile(file, 'two\n'));
	assert.equal(readFileSync(file, 'utf8'), 'one\n');
	rmSync(`${file}.new`, { recursive: true });
	replaceFile(file, 'three\n');
	assert.deepEqual(readdirSync(folder), ['names']);
});
