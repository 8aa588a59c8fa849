// Where the addon's compiler is sent for headers: folders like those of Node's archives, and of Debian's packages.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { headerFolder } from './addon.ts';

let prefix = '';
beforeEach(() => {
	prefix = mkdtempSync(join(tmpdir(), 'headers-'));
});
afterEach(() => rmSync(prefix, { recursive: true }));

function put(...paths: readonly string[]): void {
	for (const path of paths) {
		mkdirSync(dirname(join(prefix, path)), { recursive: true });
		writeFileSync(join(prefix, path), '');
	}
}

test('Node’s own archives have OpenSSL’s headers beside theirs', () => {
	const node = join(prefix, 'include/node');
	put('include/node/node_api.h', 'include/node/openssl/evp.h');
	assert.equal(headerFolder(prefix, node), node);
});

test('Debian’s node has the system’s OpenSSL, and its headers where the system’s are', () => {
	put('include/node/node_api.h', 'include/openssl/evp.h');
	assert.equal(headerFolder(prefix, join(prefix, 'include')), join(prefix, 'include/node'));
});

test('what is missing is named, with its package', () => {
	const node = join(prefix, 'include/node');
	assert.throws(() => headerFolder(prefix, node), {
		name: 'CompileError',
		message: `the headers of this node are not in ${node} (Debian's are in libnode-dev)`,
	});
	put('include/node/node_api.h');
	assert.throws(() => headerFolder(prefix, join(prefix, 'include')), {
		name: 'CompileError',
		message: `the headers of OpenSSL are not in ${prefix}/include (Debian's are in libssl-dev)`,
	});
});
