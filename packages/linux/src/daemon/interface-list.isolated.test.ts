// Devices by if_id in a real kernel: what cannot be made is tried again.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { XfrmState } from '@xfrm/engine';
import { loadCLibrary } from '../c-library.ts';
import { interfaceIndex } from '../interface-name.ts';
import { ffiNative } from '../native/ffi.ts';
import { CLONE_NEWNET } from '../socket-abi.ts';
import { lackForBed } from './guard-bed.test.ts';
import { InterfaceList } from './interface-list.ts';

const IF_ID = 42;

test('a device whose name could not be kept is made when it can, and the failure is told once', {
	skip: lackForBed(),
}, () => {
	assert.equal(loadCLibrary().unshare(CLONE_NEWNET), 0);
	const folder = mkdtempSync(join(tmpdir(), 'xfrm-interfaces-'));
	const told: string[] = [];
	let now = 0;
	const list = new InterfaceList(
		{
			native: ffiNative(),
			// There is no room: no such folder.
			folder: join(folder, 'kept'),
			names: new Map(),
			opened: (_lane, name) => told.push(`opened ${name}`),
			renamed: () => {},
			removed: () => {},
			failed: (text) => told.push(text),
		},
		() => now,
	);
	const hear = (): string[] => {
		list.stateChanged({ ifId: IF_ID } as XfrmState);
		list.update();
		return told.splice(0);
	};
	assert.match(hear().join(), /^no device for if_id 42: its name cannot be kept/);
	assert.equal(interfaceIndex('xfrm-42'), undefined);
	now += 2_000_000;
	assert.deepEqual(hear(), [], 'the same failure again');
	mkdirSync(join(folder, 'kept'));
	now += 999_999;
	assert.deepEqual(hear(), [], 'thousands of states a second make no devices a thousand times');
	now += 1;
	assert.deepEqual(hear(), ['opened xfrm-42']);
	assert.ok(interfaceIndex('xfrm-42') !== undefined);
	list.close(false);
	assert.equal(interfaceIndex('xfrm-42'), undefined);
	rmSync(folder, { recursive: true });
});
