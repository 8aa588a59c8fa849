import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type MigrateEntry, type PolicyConfig, UNLIMITED } from '@xfrm/wire/xfrm';
import type { MigrateRequest } from './engine.ts';
import {
	addPolicy,
	address,
	familyOf,
	makeNamespace,
	SPI,
	type StateOptions,
	selector,
	stateConfig,
	template,
} from './input-fixture.test.ts';
import { type KernelProfile, linux61, linux72, linux619 } from './kernel-profile.ts';
import { migrate } from './migrate.ts';
import type { Namespace } from './namespace.ts';
import { StateCondition } from './state.ts';
import { addState } from './state-commands.ts';

const ENOENT = 2;
const EINVAL = 22;
const ENODATA = 61;

function entry(options: Partial<MigrateEntry> & { from?: string; to?: string } = {}): MigrateEntry {
	const { from = '192.0.2.1 192.0.2.2', to = '198.51.100.1 198.51.100.2', ...rest } = options;
	const [oldSaddr = '', oldDaddr = ''] = from.split(' ');
	const [newSaddr = '', newDaddr = ''] = to.split(' ');
	return {
		oldDaddr: address(oldDaddr),
		oldSaddr: address(oldSaddr),
		newDaddr: address(newDaddr),
		newSaddr: address(newSaddr),
		proto: 50,
		mode: 1,
		reqid: 1,
		oldFamily: familyOf(oldDaddr),
		newFamily: familyOf(newDaddr),
		...rest,
	};
}

const tens = selector({ src: '10.1.0.0/16', dst: '10.2.0.0/16' });

function request(options: Partial<MigrateRequest> = {}): MigrateRequest {
	return { selector: tens, direction: 1, type: 0, ifId: 0, entries: [entry()], ...options };
}

/** A namespace with a policy for `tens` that wants ESP from 192.0.2.1 to 192.0.2.2, and that state. */
function prepared(
	profile: KernelProfile = linux619,
	policy: Partial<PolicyConfig> = {},
	state: StateOptions = {},
): Namespace {
	const net = makeNamespace(profile);
	const id = { daddr: address('192.0.2.2'), spi: 0, proto: 50 };
	const templates = [template({ reqid: 1, id, saddr: address('192.0.2.1') })];
	addPolicy(net, { direction: 1, selector: tens, templates, ...policy });
	addState(net, stateConfig(state));
	return net;
}

// @spec G-4 G-5 G-6 G-7
test('a state goes on under its new addresses, and so do the policy’s templates', () => {
	const key = new Uint8Array(20).fill(5);
	const aead = { name: 'rfc4106(gcm(aes))', key, keyBits: 160, icvBits: 128 };
	const lifetime = { ...UNLIMITED, hardPacketLimit: 1000 };
	const options = { aead, lifetime, seq: 9, ifId: 4, mark: { v: 1, m: 1 } };
	for (const profile of [linux61, linux619]) {
		const net = prepared(profile, {}, options);
		const [old] = net.sad.states();
		const [policy] = net.spd.policies();
		assert.ok(old !== undefined && policy !== undefined);
		old.lifetime.set([100, 3, 5, 6, 7]);
		old.replay.counters.set([8, 0, 9, 0]);
		old.replay.bitmap[0] = 0xf;
		const encap = { type: 2, sport: 1, dport: 2, oa: address('0.0.0.0') };
		const kmAddress = { local: address('10.0.0.9'), remote: address('10.0.0.8'), family: 2 };
		const asked = request({ encap, kmAddress });
		assert.equal(migrate(net, asked), undefined);
		const [state, ...others] = net.sad.states();
		assert.ok(state !== undefined);
		assert.deepEqual(others, []);
		assert.equal(old.condition, StateCondition.Dead);
		assert.deepEqual(state.config, {
			...stateConfig(options),
			id: { daddr: address('198.51.100.2'), spi: SPI, proto: 50 },
			saddr: address('198.51.100.1'),
			encap,
		});
		assert.deepEqual([...state.lifetime], [100, 3, 5, 6, 7]);
		assert.deepEqual([...state.replay.counters, ...state.replay.bitmap], [8, 0, 9, 0, 0xf]);
		assert.deepEqual([state.ifId, state.seq, state.condition], [4, 9, StateCondition.Valid]);
		assert.deepEqual(
			policy.config.templates.map(({ id, saddr, family }) => [id.daddr, saddr, family]),
			[[address('198.51.100.2'), address('198.51.100.1'), 2]],
		);
		assert.equal(policy.templates, policy.config.templates);
		const { ifId: _, ...told } = asked;
		assert.deepEqual(net.events, [{ kind: 'migrate', ...told }]);
	}
});

// @spec G-4
test('encapsulation: kept by old kernels, told or gone in the one that has MIGRATE_STATE', () => {
	const encap = { type: 2, sport: 1, dport: 2, oa: address('0.0.0.0') };
	const other = { ...encap, sport: 3 };
	const options = { encap, direction: 2, replayWindow: 0, natKeepaliveSeconds: 20 };
	const rows: readonly [KernelProfile, Partial<MigrateRequest>, unknown][] = [
		[linux619, {}, [encap, undefined]],
		[linux619, { encap: other }, [other, undefined]],
		[linux72, {}, [undefined, undefined]],
		[linux72, { encap: other }, [other, 20]],
	];
	for (const [profile, asked, want] of rows) {
		const net = prepared(profile, {}, options);
		assert.equal(migrate(net, request(asked)), undefined);
		const [state] = net.sad.states();
		assert.deepEqual([state?.encap, state?.config.natKeepaliveSeconds], want, profile.name);
	}
});

// @spec G-5
test('with the same destination the clone needs no free identity, with another it does', () => {
	const net = prepared();
	const same = entry({ to: '198.51.100.1 192.0.2.2' });
	assert.equal(migrate(net, request({ entries: [same] })), undefined);
	assert.deepEqual([...net.sad.states()].length, 1);
	const taken = prepared();
	addState(taken, stateConfig({ src: '203.0.113.1', dst: '198.51.100.2' }));
	assert.deepEqual(migrate(taken, request()), { errno: ENODATA });
	assert.deepEqual(
		[...taken.sad.states()].map((state) => state.config.saddr),
		[address('203.0.113.1'), address('192.0.2.1')],
		'rolled back',
	);
	assert.deepEqual(taken.events, []);
});

test('a family may change', () => {
	const net = prepared();
	const entries = [entry({ to: '2001:db8::1 2001:db8::2' })];
	assert.equal(migrate(net, request({ entries })), undefined);
	const [state] = net.sad.states();
	const [policy] = net.spd.policies();
	assert.deepEqual([state?.family, policy?.templates[0]?.family], [10, 10]);
});

// @spec G-1
test('requests that make no sense are refused', () => {
	const rows: readonly [Partial<MigrateRequest>, string][] = [
		[{ entries: [] }, 'Invalid number of SAs to migrate, must be 0 < num <= XFRM_MAX_DEPTH (6)'],
		[
			{ entries: new Array(7).fill(entry()) as MigrateEntry[] },
			'Invalid number of SAs to migrate, must be 0 < num <= XFRM_MAX_DEPTH (6)',
		],
		[
			{ entries: [entry({ to: '0.0.0.0 192.0.2.9' })] },
			"Addresses in the MIGRATE attribute's list cannot be null",
		],
		[{ entries: [entry(), entry()] }, "Entries in the MIGRATE attribute's list must be unique"],
		[{ direction: 3 }, 'Invalid policy direction'],
	];
	for (const [options, message] of rows) {
		assert.deepEqual(migrate(prepared(), request(options)), { errno: EINVAL, message });
	}
});

// @spec G-3 G-6
test('a missing state is no error, a missing template is', () => {
	const rows: readonly [string, Partial<MigrateEntry> & { from?: string }, number | undefined][] = [
		['other state, same template', { reqid: 0 }, undefined],
		['other reqid', { reqid: 2 }, ENODATA],
		['other mode', { mode: 4 }, ENODATA],
		['other protocol', { proto: 51 }, ENODATA],
		['other addresses', { from: '192.0.2.1 192.0.2.3' }, ENODATA],
	];
	for (const [name, options, errno] of rows) {
		const net = prepared();
		assert.equal(migrate(net, request({ entries: [entry(options)] }))?.errno, errno, name);
		const [state] = net.sad.states();
		const moved = errno === undefined ? '198.51.100.2' : '192.0.2.2';
		assert.deepEqual([state?.config.id.daddr, net.sad.count], [address(moved), 1], name);
	}
	const net = prepared(linux619, {}, { dst: '192.0.2.99' });
	assert.equal(migrate(net, request()), undefined, 'template without a state');
	const transport = prepared(linux619, { templates: [template({ mode: 0, reqid: 1 })] });
	assert.equal(migrate(transport, request({ entries: [entry({ mode: 0 })] })), undefined);
	const [policy] = transport.spd.policies();
	assert.deepEqual(policy?.templates[0]?.saddr, address('0.0.0.0'), 'transport only counts');
});

// @spec G-2
test('which policy is meant: by its selector before 6.12, by a flow from then on', () => {
	const inside = selector({ src: '10.1.0.1/32', dst: '10.2.0.1/32' });
	const anyProto = { ...tens, proto: 255 };
	const rows: readonly [
		string,
		Partial<PolicyConfig>,
		Partial<MigrateRequest>,
		boolean,
		boolean,
	][] = [
		['same selector', {}, {}, true, true],
		['a host inside of it', {}, { selector: inside }, false, true],
		['protocol 255 for any', {}, { selector: anyProto }, true, true],
		[
			'protocol 255 for one',
			{ selector: { ...tens, proto: 17 } },
			{ selector: anyProto },
			true,
			false,
		],
		['marked', { mark: { v: 1, m: 1 } }, {}, true, false],
		['of an if_id, none asked', { ifId: 3 }, {}, true, false],
		['of this if_id', { ifId: 3 }, { ifId: 3 }, true, true],
		['of another if_id', { ifId: 3 }, { ifId: 4 }, false, false],
		['of another type', { type: 1 }, {}, false, false],
		['of another direction', { direction: 0 }, {}, false, false],
	];
	for (const [name, policy, options, old, young] of rows) {
		const state = policy.ifId === undefined ? {} : { ifId: policy.ifId };
		for (const [profile, found] of [
			[linux61, old],
			[linux619, young],
		] as const) {
			const refusal = migrate(prepared(profile, policy, state), request(options));
			assert.equal(refusal?.errno, found ? undefined : ENOENT, `${name}, ${profile.name}`);
		}
	}
});

// @spec S-19 T-32
test('an IPComp tunnel that moves leaves no helper behind', () => {
	const net = prepared(linux619, {}, { proto: 108, spi: 0x100, replayWindow: 0 });
	const [policy] = net.spd.policies();
	assert.ok(policy !== undefined);
	policy.templates = policy.templates.map((old) => ({ ...old, id: { ...old.id, proto: 108 } }));
	assert.equal(migrate(net, request({ entries: [entry({ proto: 108 })] })), undefined);
	const states = [...net.sad.states()];
	assert.deepEqual(
		states.map((state) => [state.proto, state.helperUsers]),
		[
			[108, 0],
			[4, 1],
		],
	);
});
