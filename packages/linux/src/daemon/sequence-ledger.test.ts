// The file as calls write it, and as memory: a successor reads the same.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ReplayCounter, type XfrmState } from '@xfrm/engine';
import { Errno } from '@xfrm/wire/xfrm';
import { LEDGER_SLOTS_FIRST } from '../limits.ts';
import { addonNative } from '../native/addon.ts';
import { CompileError } from '../native/compiled.ts';
import { ffiNative } from '../native/ffi.ts';
import type { Native } from '../native/seam.ts';
import { LEASE_NUMBERS, SequenceLedger } from './sequence-ledger.ts';

const SHARED_MEMORY = '/dev/shm';
const TMPFS = 0x0102_1994;

/** A place that is memory, where there is one. */
const base = ((): string => {
	try {
		return statfsSync(SHARED_MEMORY).type === TMPFS ? SHARED_MEMORY : tmpdir();
	} catch {
		return tmpdir();
	}
})();

/** The same as a native, undefined where this machine has none. */
function made(make: () => Native): Native | undefined {
	try {
		return make();
	} catch (error) {
		assert.ok(error instanceof CompileError || process.platform !== 'linux');
		return undefined;
	}
}

const natives: readonly [string, Pick<Native, 'mapFile'> | undefined][] = [
	['by calls', undefined],
	['as memory, by ffi', made(ffiNative)],
	['as memory, by the addon', made(addonNative)],
	['as memory that is refused', { mapFile: () => -Errno.EPERM }],
];

function state(oseq: number, seq: number): XfrmState {
	const counters = new Int32Array(8);
	counters[ReplayCounter.Oseq] = oseq;
	counters[ReplayCounter.Seq] = seq;
	return { replay: { counters } } as unknown as XfrmState;
}

for (const [name, native] of natives) {
	test(`a ledger ${name}`, () => {
		const folder = mkdtempSync(join(base, 'xfrm-ledger-'));
		try {
			const path = join(folder, 'ledger');
			const ledger = new SequenceLedger(path, native);
			// What another process finds, as after this one's sudden end.
			const found = (index: number, number: number): unknown =>
				new SequenceLedger(path).read(index, number);
			const one = state(0, 0);
			const other = state(70, 7);
			assert.deepEqual([ledger.assign(one, 11), ledger.assign(other, 12)], [0, 1]);
			assert.deepEqual(found(0, 11), { lease: 0, top: 0 });
			assert.deepEqual(found(1, 12), { lease: 70, top: 7 });
			assert.equal(ledger.cover(one, 64), true);
			assert.deepEqual(found(0, 11), { lease: 64 + LEASE_NUMBERS, top: 0 });
			one.replay.counters[ReplayCounter.Seq] = -1;
			one.replay.counters[ReplayCounter.SeqHi] = 3;
			ledger.note(one);
			assert.deepEqual(found(0, 11), { lease: 64 + LEASE_NUMBERS, top: 2 ** 34 - 1 });
			assert.deepEqual(found(1, 12), { lease: 70, top: 7 }, 'the others are as they were');
			// More room: the file is longer, and its memory another.
			const more = Array.from({ length: LEDGER_SLOTS_FIRST }, (_, i) => state(i, 0));
			const last = more.map((each, i) => ledger.assign(each, 100 + i)).pop() ?? 0;
			assert.equal(last, LEDGER_SLOTS_FIRST + 1);
			assert.equal(ledger.cover(more[LEDGER_SLOTS_FIRST - 1] as XfrmState, 1), true);
			assert.equal(ledger.cover(other, 1), true);
			const number = 99 + LEDGER_SLOTS_FIRST;
			assert.deepEqual(found(last, number), { lease: LEDGER_SLOTS_FIRST + LEASE_NUMBERS, top: 0 });
			assert.deepEqual(found(1, 12), { lease: 71 + LEASE_NUMBERS, top: 7 });
			// A slot that is the next one's has nothing of the one before.
			ledger.release(other);
			const next = state(5, 4);
			assert.equal(ledger.assign(next, 13), 1);
			assert.equal(found(1, 12), undefined);
			assert.deepEqual(found(1, 13), { lease: 5, top: 4 });
			ledger.close();
		} finally {
			rmSync(folder, { recursive: true });
		}
	});
}

const RUN = `
import { SequenceLedger } from ${JSON.stringify(new URL('./sequence-ledger.ts', import.meta.url).href)};
import { ffiNative } from ${JSON.stringify(new URL('../native/ffi.ts', import.meta.url).href)};
const [path, seq] = process.argv.slice(1);
const counters = new Int32Array(8);
const state = { replay: { counters } };
const ledger = new SequenceLedger(path, ffiNative());
ledger.assign(state, 1);
for (let i = 1; i <= 1000; i++) { counters[Number(seq)] = i; ledger.note(state); }
process.kill(process.pid, 'SIGKILL');
`;

test('what is in memory is in the file when the process is killed', {
	skip: natives[1]?.[1] === undefined && 'needs Linux on x86-64 or arm64',
}, () => {
	const folder = mkdtempSync(join(base, 'xfrm-ledger-'));
	try {
		const path = join(folder, 'ledger');
		const { signal, stderr } = spawnSync(
			process.execPath,
			['--import', 'tsx', '--input-type=module', '-e', RUN, '--', path, String(ReplayCounter.Seq)],
			{ encoding: 'utf8' },
		);
		assert.equal(signal, 'SIGKILL', stderr);
		assert.equal(new DataView(readFileSync(path).buffer).getFloat64(0, true), 1);
		assert.deepEqual(new SequenceLedger(path).read(0, 1), { lease: 0, top: 1000 });
	} finally {
		rmSync(folder, { recursive: true });
	}
});
