import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
	appendFileSync,
	mkdtempSync,
	readFileSync,
	rmSync,
	statSync,
	writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { nodeProvider } from '@xfrm/crypto/node';
import { Engine, linux619, ReplayCounter } from '@xfrm/engine';
import { NetlinkServer } from '@xfrm/netlink-server';
import {
	anySelector,
	Family,
	Mode,
	parseAddress,
	type StateConfig,
	StateFlag,
	UNLIMITED,
} from '@xfrm/wire/xfrm';
import { type Journal, openJournal } from './journal.ts';
import { JournalFile } from './journal-file.ts';
import { LEASE_NUMBERS } from './sequence-ledger.ts';

/** Puts a file system of so many octets on a folder. */
function mount(folder: string, size: string): number | null {
	return spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'none', folder]).status;
}

const noTmpfs = ((): string | false => {
	const folder = mkdtempSync(join(tmpdir(), 'xfrm-journal-'));
	const mounted = mount(folder, '4k') === 0;
	if (mounted) {
		spawnSync('umount', [folder]);
	}
	rmSync(folder, { recursive: true });
	return mounted ? false : 'needs root, to mount a tmpfs';
})();

const NOW_US = 1_764_000_000_000_000;

function address(text: string): Uint8Array {
	return parseAddress(text)?.address ?? new Uint8Array(16);
}

function makeEngine(): Engine {
	return new Engine({
		profile: linux619,
		provider: nodeProvider(),
		random: (octets) => octets.fill(7),
		route: () => undefined,
	});
}

function state(spi: number, changes: Partial<StateConfig> = {}): StateConfig {
	return {
		id: { daddr: address('192.0.2.2'), spi, proto: 50 },
		saddr: address('192.0.2.1'),
		family: Family.Ipv4,
		selector: anySelector(0),
		lifetime: UNLIMITED,
		reqid: 1,
		mode: Mode.Tunnel,
		replayWindow: 32,
		flags: StateFlag.AfUnspec,
		seq: 0,
		aead: {
			name: 'rfc4106(gcm(aes))',
			key: new Uint8Array(20).fill(spi),
			keyBits: 160,
			icvBits: 128,
		},
		...changes,
	};
}

const esn = {
	bmpLen: 4,
	oseq: 0,
	seq: 0,
	oseqHi: 0,
	seqHi: 0,
	replayWindow: 128,
	bmp: new Uint32Array(4),
};

const policy = {
	selector: { ...anySelector(Family.Ipv4), daddr: address('10.2.0.0'), prefixlenD: 16 },
	lifetime: UNLIMITED,
	priority: 5,
	index: 0,
	direction: 1,
	action: 0,
	flags: 0,
	share: 0,
	type: 0,
	templates: [],
};

/** A life: an engine with a journal in a folder. */
function live(folder: string): { engine: Engine; journal: Journal; told: string } {
	const engine = makeEngine();
	const journal = openJournal(folder, engine);
	const { states, policies, refused } = journal.begin(new NetlinkServer(engine), NOW_US);
	return { engine, journal, told: [states, policies, ...refused].join(' ') };
}

function withFolder(run: (folder: string) => void): void {
	const folder = mkdtempSync(join(tmpdir(), 'xfrm-journal-'));
	try {
		run(folder);
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}

/** What there is: states in the order of dumps, policies by index. */
function tables(engine: Engine): readonly object[] {
	const states = [...engine.states()].map((state) => {
		const { replay, replayEsn, ...rest } = engine.snapshotState(state);
		return { ...rest, window: replayEsn?.replayWindow, isLegacy: replay !== undefined };
	});
	const policies = [...engine.policies()].sort((a, b) => a.index - b.index);
	return [...states, ...policies.map((policy) => engine.snapshotPolicy(policy))];
}

test('tables come back as they were, in their order, after one life and after two', () => {
	withFolder((folder) => {
		const first = live(folder);
		assert.equal(first.told, '0 0');
		const { engine, journal } = first;
		engine.addState(
			state(0xc0000001, { encap: { type: 2, sport: 4500, dport: 4500, oa: address('::') } }),
			NOW_US,
		);
		engine.addState(
			state(0xc0000002, { replayEsn: esn, replayWindow: 0, flags: StateFlag.Esn }),
			NOW_US,
		);
		engine.addState(state(0xc0000003), NOW_US);
		engine.addPolicy(policy, NOW_US);
		engine.addPolicy({ ...policy, direction: 0 }, NOW_US);
		journal.flush();
		const { id, family } = state(0xc0000003);
		engine.deleteState({ id, family, mark: 0 }, NOW_US);
		engine.updatePolicy({ ...policy, priority: 4 }, NOW_US);
		engine.setDefault(0, 1);
		journal.flush();
		const before = tables(engine);
		assert.equal(before.length, 4);

		const second = live(folder);
		assert.equal(second.told, '2 2');
		assert.deepEqual(tables(second.engine), before);
		assert.deepEqual(second.engine.net.defaults, engine.net.defaults);
		const third = live(folder);
		assert.deepEqual(tables(third.engine), before);
	});
});

test('policies come back with all that they have', () => {
	withFolder((folder) => {
		const { engine, journal } = live(folder);
		const template = {
			id: { daddr: address('2001:db8::2'), spi: 0xffff_ffff, proto: 50 },
			saddr: address('2001:db8::1'),
			family: Family.Ipv6,
			reqid: 0xffff_fffe,
			mode: Mode.Tunnel,
			share: 0,
			optional: 0,
			aalgos: 0xffff_ffff,
			ealgos: 1,
			calgos: 0x8000_0000,
		};
		const selector = {
			...anySelector(Family.Ipv6),
			saddr: address('fe80::1'),
			prefixlenS: 64,
			sport: 0xffff,
			sportMask: 0xffff,
			proto: 17,
			ifindex: 3,
			user: 0xffff_ffff,
		};
		for (const changes of [
			{ templates: [template, { ...template, mode: Mode.Transport }] },
			{ selector, priority: 0xffff_ffff },
			{ mark: { v: 0x8000_0001, m: 0xffff_ffff }, ifId: 0xffff_ffff },
			{
				selector: { ...policy.selector, prefixlenD: 24 },
				lifetime: { ...UNLIMITED, hardByteLimit: 2 ** 53 - 1, softAddExpiresSeconds: 60 },
			},
		]) {
			engine.addPolicy({ ...policy, ...changes }, NOW_US);
			engine.addPolicy({ ...policy, ...changes, direction: 2, flags: 1 }, NOW_US);
		}
		journal.flush();
		const before = tables(engine);
		assert.equal(before.length, 8);
		assert.deepEqual(tables(live(folder).engine), before);
		assert.deepEqual(tables(live(folder).engine), before);
	});
});

test('a larval state comes back as one', () => {
	withFolder((folder) => {
		const { engine, journal } = live(folder);
		const { id, saddr, family } = state(0);
		engine.allocSpi(
			{ id, saddr, family, mode: 1, reqid: 1, seq: 0, min: 0xc0000100, max: 0xc0000100 },
			NOW_US,
		);
		journal.flush();
		const [made] = [...live(folder).engine.states()];
		assert.equal((made?.spi ?? 0) >>> 0, 0xc0000100);
		assert.equal(made?.condition, [...engine.states()][0]?.condition);
	});
});

for (const [name, changes, hi] of [
	['legacy', {}, 0],
	['ESN', { replayEsn: esn, replayWindow: 0, flags: StateFlag.Esn }, 3],
] as const) {
	test(`${name}: outward numbers go on behind the lease, inward ones up to the top are seen`, () => {
		withFolder((folder) => {
			const { engine, journal } = live(folder);
			engine.addState(state(0xc0000001, changes), NOW_US);
			journal.flush();
			const [made] = [...engine.states()];
			assert.ok(made !== undefined);
			const { counters } = made.replay;
			counters[ReplayCounter.Oseq] = 1000;
			counters[ReplayCounter.OseqHi] = hi;
			journal.ledger.cover(made, 64);
			counters[ReplayCounter.Oseq] = 1064;
			counters[ReplayCounter.Seq] = 0xf000_0000 | 0;
			journal.ledger.note(made);
			// Killed here: nothing is flushed.
			const [again] = [...live(folder).engine.states()];
			assert.ok(again !== undefined);
			const [oseq = 0, oseqHi, seq = 0] = again.replay.counters;
			assert.deepEqual([oseq, oseqHi, seq >>> 0], [1000 + 64 + LEASE_NUMBERS, hi, 0xf000_0000]);
			assert.ok(again.replay.bitmap.every((word) => word === 0xffff_ffff));
		});
	});
}

test('a lease is written once a block', () => {
	withFolder((folder) => {
		const { engine, journal } = live(folder);
		engine.addState(state(0xc0000001), NOW_US);
		journal.flush();
		const [made] = [...engine.states()];
		assert.ok(made !== undefined);
		const written: number[] = [];
		for (let oseq = 0; oseq < 2 * LEASE_NUMBERS; oseq += 64) {
			made.replay.counters[ReplayCounter.Oseq] = oseq;
			journal.ledger.cover(made, 64);
			const { lease } = journal.ledger.read(0, 1) ?? { lease: 0 };
			assert.ok(lease >= oseq + 64);
			if (written[written.length - 1] !== lease) {
				written.push(lease);
			}
		}
		assert.equal(written.length, 2);
	});
});

test('numbers that were taken without a lease have one before their packets leave', () => {
	withFolder((folder) => {
		const { engine, journal } = live(folder);
		engine.addState(state(0xc0000001), NOW_US);
		engine.addState(state(0xc0000002), NOW_US);
		journal.flush();
		for (const made of engine.states()) {
			made.replay.counters[ReplayCounter.Oseq] = 5000;
			assert.equal(journal.ledger.cover(made, 0), true);
		}
		for (const made of live(folder).engine.states()) {
			assert.equal(made.replay.counters[ReplayCounter.Oseq], 5000 + LEASE_NUMBERS);
		}
	});
});

test('what cannot be written is no lease, and is one when it can again', () => {
	withFolder((folder) => {
		const { engine, journal } = live(folder);
		engine.addState(state(0xc0000001), NOW_US);
		journal.flush();
		const [made] = [...engine.states()];
		assert.ok(made !== undefined);
		const { ledger } = journal;
		assert.equal(ledger.cover(made, 64), true);
		const { lease } = ledger.read(0, 1) ?? { lease: 0 };
		made.replay.counters[ReplayCounter.Oseq] = lease;
		// Whatever the file system says: here that there is no such descriptor.
		ledger.close();
		assert.equal(ledger.cover(made, 1), false);
		assert.equal(ledger.cover(made, 0), true, 'all that was used is leased');
		assert.match(ledger.failure ?? '', /EBADF/);
		made.replay.counters[ReplayCounter.Oseq] = lease + 1;
		assert.equal(ledger.cover(made, 0), false);
	});
});

test('a full file system: leases have their room, new states wait for theirs', {
	skip: noTmpfs,
}, () => {
	withFolder((folder) => {
		mount(folder, '512k');
		try {
			const { engine, journal } = live(folder);
			engine.addState(state(0xc0000001), NOW_US);
			journal.flush();
			assert.throws(
				() => writeFileSync(join(folder, 'filler'), new Uint8Array(0x10_0000)),
				/ENOSPC/,
			);
			const [made] = [...engine.states()];
			assert.ok(made !== undefined);
			assert.equal(journal.ledger.cover(made, 64), true, 'there is room for it');
			for (let spi = 2; spi < 40; spi++) {
				engine.addState(state(0xc0000000 + spi), NOW_US);
			}
			assert.throws(() => journal.flush(), /ENOSPC|no space/);
			rmSync(join(folder, 'filler'));
			journal.flush();
			assert.equal([...live(folder).engine.states()].length, 39);
		} finally {
			spawnSync('umount', ['-l', folder]);
		}
	});
});

test('a line that was being written is as good as not written; a damaged one stops the start', () => {
	withFolder((folder) => {
		const { engine, journal } = live(folder);
		engine.addPolicy(policy, NOW_US);
		journal.flush();
		const path = join(folder, 'journal');
		assert.equal(statSync(path).mode & 0o777, 0o600);
		appendFileSync(path, '{"kind":"gone","num');
		assert.equal([...live(folder).engine.policies()].length, 1);
		const sound = readFileSync(path, 'utf8');
		for (const [part, damage] of [
			['"policy"', '"policy'],
			['"number":1', '"number":-1'],
			['"body"', '"body'],
		] as const) {
			writeFileSync(path, sound.replace(part, damage));
			assert.throws(() => live(folder), /journal: line 2 of the journal is damaged; "xfrm daemon/);
		}
		writeFileSync(path, '{"kind":"head","version":99}\n');
		assert.throws(() => live(folder), /another version/);
	});
});

test('lines are read in pieces, and once more, however long they are', () => {
	withFolder((folder) => {
		const path = join(folder, 'journal');
		const lines = [1, 70_000, 0, 65_535, 65_536, 300_000, 2].map((length) => 'é'.repeat(length));
		writeFileSync(path, `${lines.join('\n')}\nbegun`);
		const reader = new JournalFile(path).reader();
		const told = [...reader.lines()];
		assert.deepEqual(
			told.map(({ text }) => text),
			lines,
		);
		assert.deepEqual(told.map((line) => reader.textOf(line)).reverse(), lines.reverse());
		reader.close();
	});
});
