import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { moveSourceCheck } from './source-check.ts';

const OURS: ReadonlySet<string> = new Set(['xfrmd0', 'xfrm-42']);

type Values = Readonly<Record<string, number>>;

// @spec X-16
for (const { what, before, after, answer } of [
	{
		what: 'none is asked for',
		before: { all: 0, default: 1, eth0: 2, xfrmd0: 0 },
		after: { all: 0, default: 1, eth0: 2, xfrmd0: 0 },
		answer: 'none',
	},
	{
		what: 'none, but somebody has given ours one',
		before: { all: 0, default: 2, eth0: 2, xfrmd0: 2 },
		after: { all: 0, default: 2, eth0: 2, xfrmd0: 0 },
		answer: 'none',
	},
	{
		what: 'strict for all',
		before: { all: 1, default: 0, eth0: 0, eth1: 2, xfrmd0: 0, 'xfrm-42': 1 },
		after: { all: 0, default: 1, eth0: 1, eth1: 2, xfrmd0: 0, 'xfrm-42': 0 },
		answer: 'moved',
	},
	{
		what: 'loose for all wins over strict for one',
		before: { all: 2, default: 2, eth0: 1, xfrmd0: 0 },
		after: { all: 0, default: 2, eth0: 2, xfrmd0: 0 },
		answer: 'moved',
	},
] as const satisfies readonly { what: string; before: Values; after: Values; answer: string }[]) {
	test(`the check of sources: ${what}`, () => {
		const folder = mkdtempSync(join(tmpdir(), 'source-check-'));
		for (const [device, value] of Object.entries(before)) {
			mkdirSync(join(folder, device));
			writeFileSync(join(folder, device, 'rp_filter'), `${value}\n`);
		}
		assert.equal(moveSourceCheck(OURS, folder), answer);
		const seen = Object.keys(before).map((device) => [
			device,
			Number(readFileSync(join(folder, device, 'rp_filter'), 'latin1')),
		]);
		assert.deepEqual(Object.fromEntries(seen), after);
		rmSync(folder, { recursive: true });
	});
}

test('the check of sources: no such sysctl, and none that can be written', () => {
	assert.equal(moveSourceCheck(OURS, '/nonexistent'), 'none');
	const folder = mkdtempSync(join(tmpdir(), 'source-check-'));
	mkdirSync(join(folder, 'all'));
	writeFileSync(join(folder, 'all', 'rp_filter'), '1\n');
	// A device whose sysctl is a folder cannot be written by root either.
	mkdirSync(join(folder, 'eth0', 'rp_filter'), { recursive: true });
	assert.equal(moveSourceCheck(OURS, folder), 'refused');
	rmSync(folder, { recursive: true });
});
