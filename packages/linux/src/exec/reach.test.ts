import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadingOf, shimHindrance } from './reach.ts';

/** An ELF file of nothing but program headers: types, and what their segments hold. */
function elf(segments: readonly (readonly [type: number, text: string])[]): Uint8Array {
	const bytes = new Uint8Array(64 + 56 * segments.length + 64 * segments.length);
	const view = new DataView(bytes.buffer);
	bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
	view.setBigUint64(32, 64n, true);
	view.setUint16(54, 56, true);
	view.setUint16(56, segments.length, true);
	for (const [index, [type, text]] of segments.entries()) {
		const at = 64 + 56 * segments.length + 64 * index;
		view.setUint32(64 + 56 * index, type, true);
		view.setBigUint64(64 + 56 * index + 8, BigInt(at), true);
		view.setBigUint64(64 + 56 * index + 32, BigInt(text.length), true);
		bytes.set(new TextEncoder().encode(text), at);
	}
	return bytes;
}

const LOADER = [3, '/lib64/ld-linux-x86-64.so.2\0'] as const;
const MUSL = [3, '/lib/ld-musl-x86_64.so.1\0'] as const;
const GO = [4, '\x04\0\0\0\x53\0\0\0\x04\0\0\0Go\0\0'] as const;
const LOAD = [1, ''] as const;

function loading(bytes: Uint8Array): ReturnType<typeof loadingOf> {
	return loadingOf((at, octets) => bytes.subarray(at, at + octets));
}

test('how a program is loaded stands in its program headers', () => {
	assert.equal(loading(new TextEncoder().encode('#!/bin/sh\n'.repeat(20))), undefined);
	assert.equal(loading(new Uint8Array(0)), undefined);
	assert.deepEqual(loading(elf([LOAD])), { loader: undefined, isGo: false, bits: 64 });
	assert.deepEqual(loading(elf([LOAD, GO, LOADER])), {
		loader: '/lib64/ld-linux-x86-64.so.2',
		isGo: true,
		bits: 64,
	});
	// Cut anywhere it is read as far as it goes.
	const whole = elf([LOAD, GO, LOADER]);
	for (let octets = 0; octets < whole.length; octets++) {
		loading(whole.subarray(0, octets));
	}
	const old = elf([LOADER]);
	old[4] = 1;
	assert.equal(loading(old)?.bits, 32);
});

test('the shim reaches what the C library’s loader loads, and nothing else', () => {
	const folder = mkdtempSync(join(tmpdir(), 'xfrm-reach-'));
	try {
		const rows: readonly (readonly [string, string | Uint8Array, RegExp | undefined])[] = [
			['dynamic', elf([LOADER]), undefined],
			['static', elf([LOAD]), /statically/],
			['go', elf([GO, LOADER]), /Go/],
			['musl', elf([MUSL]), /musl/],
			['script', `#! ${folder}/static -x\n`, /statically/],
			['script-of-script', `#!${folder}/script\n`, /statically/],
			['shell', `#!${folder}/dynamic\n`, undefined],
			['loop', `#!${folder}/loop\n`, undefined],
			['text', 'hello', undefined],
		];
		for (const [name, content, wanted] of rows) {
			const file = join(folder, name);
			writeFileSync(file, content);
			const hindrance = shimHindrance(file);
			if (wanted === undefined) {
				assert.equal(hindrance, undefined, name);
			} else {
				assert.match(hindrance ?? '', wanted, name);
			}
		}
		assert.equal(shimHindrance(join(folder, 'nothing')), undefined);
		const small = elf([LOADER]);
		small[4] = 1;
		writeFileSync(join(folder, 'small'), small);
		writeFileSync(join(folder, 'script'), `#!${folder}/small\n`);
		for (const name of ['small', 'script']) {
			const refusal = {
				message: `${folder}/small is a 32-bit program, which the daemon cannot serve`,
			};
			assert.throws(() => shimHindrance(join(folder, name)), { ...refusal, status: 126 }, name);
		}
		if (process.geteuid?.() === 0) {
			const file = join(folder, 'dynamic');
			chmodSync(file, 0o4755);
			assert.equal(shimHindrance(file), undefined, 'root’s own');
			chownSync(file, 65_534, 0);
			chmodSync(file, 0o4755);
			assert.match(shimHindrance(file) ?? '', /another user/);
		}
	} finally {
		rmSync(folder, { recursive: true });
	}
});
