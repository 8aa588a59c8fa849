import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { SourceCheck } from './source-check.ts';

const OURS: ReadonlySet<string> = new Set(['xfrmd0', 'xfrm-42']);

type Values = Readonly<Record<string, number>>;

/** Folders as the kernel's, but that no device follows `default`, and the daemon's own. */
class Bed {
	readonly conf: string = mkdtempSync(join(tmpdir(), 'source-check-'));
	readonly state: string = mkdtempSync(join(tmpdir(), 'source-check-state-'));

	constructor(context: TestContext, values: Values) {
		context.after(() => {
			rmSync(this.conf, { recursive: true });
			rmSync(this.state, { recursive: true, force: true });
		});
		this.set(values);
	}

	set(values: Values): void {
		for (const [device, value] of Object.entries(values)) {
			mkdirSync(join(this.conf, device), { recursive: true });
			writeFileSync(join(this.conf, device, 'rp_filter'), `${value}\n`);
		}
	}

	take(device: string): void {
		rmSync(join(this.conf, device), { recursive: true });
	}

	get values(): Values {
		const value = (device: string): number =>
			Number(readFileSync(join(this.conf, device, 'rp_filter'), 'latin1'));
		return Object.fromEntries(readdirSync(this.conf).map((device) => [device, value(device)]));
	}

	/** A daemon's, or its successor's. */
	check(): SourceCheck {
		return new SourceCheck(this.state, this.conf);
	}
}

// @spec X-16
for (const { what, before, moved, answer } of [
	{
		what: 'none is asked for',
		before: { all: 0, default: 1, eth0: 2, xfrmd0: 0 },
		moved: { all: 0, default: 1, eth0: 2, xfrmd0: 0 },
		answer: 'none',
	},
	{
		what: 'none, but somebody has given ours one',
		before: { all: 0, default: 2, eth0: 2, xfrmd0: 2 },
		moved: { all: 0, default: 2, eth0: 2, xfrmd0: 0 },
		answer: 'none',
	},
	{
		what: 'strict for all',
		before: { all: 1, default: 0, eth0: 0, eth1: 2, xfrmd0: 0, 'xfrm-42': 1 },
		moved: { all: 0, default: 1, eth0: 1, eth1: 2, xfrmd0: 0, 'xfrm-42': 0 },
		answer: 'moved',
	},
	{
		what: 'loose for all wins over strict for one',
		before: { all: 2, default: 2, eth0: 1, xfrmd0: 0 },
		moved: { all: 0, default: 2, eth0: 2, xfrmd0: 0 },
		answer: 'moved',
	},
] as const satisfies readonly { what: string; before: Values; moved: Values; answer: string }[]) {
	test(`the check of sources: ${what}`, (context) => {
		const bed = new Bed(context, before);
		const check = bed.check();
		assert.equal(check.move(OURS), answer);
		assert.deepEqual(bed.values, moved);
		assert.equal(check.move(OURS), 'none');
		assert.deepEqual(bed.values, moved);
		check.putBack();
		const after = Object.entries(before).map(([device, value]) => [
			device,
			OURS.has(device) ? 0 : value,
		]);
		assert.deepEqual(bed.values, Object.fromEntries(after));
	});
}

for (const { what, meanwhile, gone = [], after } of [
	{
		what: 'values that somebody has given since stay',
		meanwhile: [{ eth0: 2, default: 2 }],
		after: { all: 1, default: 2, eth0: 2, eth1: 2 },
	},
	{
		what: 'another one for all is what all get back',
		meanwhile: [{ all: 2 }],
		after: { all: 2, default: 0, eth0: 0, eth1: 2 },
	},
	{
		what: 'another one for all, and one for a device behind it',
		meanwhile: [{ all: 2 }, { eth0: 1 }],
		after: { all: 2, default: 0, eth0: 1, eth1: 2 },
	},
	{
		what: 'one for a device, and then another one for all',
		meanwhile: [{ eth0: 0 }, { all: 2 }],
		after: { all: 2, default: 0, eth0: 0, eth1: 2 },
	},
	{
		what: 'a device that has come has the default, unless somebody has given it one',
		meanwhile: [{ eth2: 1, eth3: 2 }],
		after: { all: 1, default: 0, eth0: 0, eth1: 2, eth2: 0, eth3: 2 },
	},
	{
		what: 'a device that has come, before another one for all',
		meanwhile: [{ eth2: 1 }, { all: 2 }],
		after: { all: 2, default: 0, eth0: 0, eth1: 2, eth2: 0 },
	},
	{
		what: 'a device that has gone',
		meanwhile: [],
		gone: ['eth0'],
		after: { all: 1, default: 0, eth1: 2 },
	},
] as const satisfies readonly {
	what: string;
	meanwhile: readonly Values[];
	gone?: readonly string[];
	after: Values;
}[]) {
	for (const isKilled of [false, true]) {
		test(`sources are checked as before, ${isKilled ? 'by a successor' : 'in order'}: ${what}`, (context) => {
			const bed = new Bed(context, { all: 1, default: 0, eth0: 0, eth1: 2 });
			let check = bed.check();
			check.move(OURS);
			for (const values of meanwhile) {
				bed.set(values);
				check = isKilled ? bed.check() : check;
				check.move(OURS);
			}
			for (const device of gone) {
				bed.take(device);
			}
			check.move(OURS);
			check = isKilled ? bed.check() : check;
			check.putBack();
			assert.deepEqual(bed.values, after);
			check.putBack();
			assert.deepEqual(bed.values, after, 'and not a second time');
		});
	}
}

test('the check of sources: what cannot be kept is known as long as the daemon lives, and tried again', (context) => {
	const before = { all: 1, default: 0, eth0: 0 };
	const bed = new Bed(context, before);
	const check = bed.check();
	rmSync(bed.state, { recursive: true });
	assert.equal(check.move(OURS), 'moved');
	mkdirSync(bed.state);
	assert.equal(check.move(OURS), 'none');
	bed.check().putBack();
	assert.deepEqual(bed.values, before);
});

test('the check of sources: no such sysctl, and none that can be written', (context) => {
	const bed = new Bed(context, {});
	assert.equal(new SourceCheck(bed.state, '/nonexistent').move(OURS), 'none');
	bed.set({ all: 1 });
	// A device whose sysctl is a folder cannot be written by root either.
	mkdirSync(join(bed.conf, 'eth0', 'rp_filter'), { recursive: true });
	assert.equal(bed.check().move(OURS), 'refused');
	bed.take('eth0');
	assert.deepEqual(bed.values, { all: 1 });
});
