import assert from 'node:assert/strict';
import { test } from 'node:test';
import { anyAddress, anySelector, type StateConfig } from '@xfrm/wire/xfrm';
import { makeNamespace, NOW_US, type StateOptions, stateConfig } from './input-fixture.test.ts';
import { type KernelProfile, linux61, linux619 } from './kernel-profile.ts';
import { Current, StateCondition } from './state.ts';
import { initState } from './state-init.ts';

const gcm = {
	name: 'rfc4106(gcm(aes))',
	key: new Uint8Array(20).fill(1),
	keyBits: 160,
	icvBits: 128,
};
const esn = (replayWindow: number, bmpLen: number): StateConfig['replayEsn'] => ({
	bmpLen,
	oseq: 0,
	seq: 0,
	oseqHi: 0,
	seqHi: 0,
	replayWindow,
	bmp: new Uint32Array(0),
});
const auth = (truncBits: number, name = 'hmac(sha1)'): StateConfig['auth'] => ({
	name,
	key: new Uint8Array(20),
	keyBits: 160,
	truncBits,
});

// @spec T-8 R-1 S-16 M-7
test('what Linux refuses is refused with its errno and sentence', () => {
	const rows: readonly [string, StateOptions, number, string, KernelProfile?][] = [
		[
			'AEAD of another ICV length',
			{ aead: { ...gcm, icvBits: 120 } },
			38,
			'Requested AEAD algorithm not found',
		],
		[
			'unknown MAC',
			{ proto: 51, auth: auth(0, 'hmac(x)') as never },
			38,
			'Requested AUTH algorithm not found',
		],
		[
			'unknown MAC, truncated',
			{ proto: 51, auth: auth(96, 'hmac(x)') as never },
			38,
			'Requested AUTH_TRUNC algorithm not found',
		],
		[
			'MAC truncated beyond its length',
			{ proto: 51, auth: auth(161) as never },
			22,
			'Invalid length requested for truncated ICV',
		],
		[
			'unknown cipher',
			{ crypt: { name: 'cbc(x)', key: new Uint8Array(16), keyBits: 128 } },
			38,
			'Requested CRYPT algorithm not found',
		],
		['in-trigger', { mode: 3 }, 93, 'Requested mode not found'],
		['route optimization over IPv4', { mode: 2 }, 93, 'Requested mode not found'],
		['IPTFS before 6.14', { mode: 5 }, 93, 'Requested mode not found', linux61],
		[
			'transport for another family',
			{ mode: 0, selector: anySelector(10) },
			93,
			'Only tunnel modes can accommodate a change of family',
		],
		[
			'routing header over IPv4',
			{ proto: 43, spi: 0, mode: 0, coaddr: anyAddress() },
			93,
			'Requested type not found',
		],
		[
			'window larger than its bitmap',
			{ replayEsn: esn(33, 1) as never, replayWindow: 0 },
			22,
			'ESN replay window is too large for the chosen bitmap size',
		],
		[
			'ESN without a window',
			{ replayEsn: esn(0, 1) as never, replayWindow: 0, flags: 128 },
			22,
			'ESN replay window must be > 0',
		],
		[
			'ESN without a window, inbound',
			{ replayEsn: esn(0, 1) as never, replayWindow: 0, flags: 128, direction: 1 },
			22,
			'ESN replay window must be > 0',
		],
	];
	for (const [name, options, errno, message, profile] of rows) {
		const made = initState(makeNamespace(profile ?? linux619), stateConfig(options));
		assert.deepEqual(made, { refusal: { errno, message } }, name);
	}
});

// @spec R-1
test('ESN without a window is legal for outbound states', () => {
	const options = { replayEsn: esn(0, 0) as never, replayWindow: 0, flags: 128, direction: 2 };
	assert.equal(initState(makeNamespace(), stateConfig(options)).refusal, undefined);
});

// @spec M-7 S-14
test('tunnels take any inner family, and AF_UNSPEC both', () => {
	const rows: readonly [StateOptions, number][] = [
		[{ selector: anySelector(10) }, 10],
		[{ selector: anySelector(0) }, 2],
		[{ selector: anySelector(0), flags: 32 }, 0],
		[{ src: '2001:db8::1', dst: '2001:db8::2', selector: anySelector(2) }, 2],
	];
	for (const [options, family] of rows) {
		const made = initState(makeNamespace(), stateConfig(options));
		assert.equal(made.value?.config.selector.family, family);
	}
});

// @spec S-13 S-15
test('what the kernel fills in: window clamped, NOPMTUDISC by sysctl, canonical names and lengths', () => {
	const net = makeNamespace();
	net.sysctl.ip_no_pmtu_disc = 1;
	const key = new Uint8Array(20).fill(9);
	const aes = { name: 'aes', key: new Uint8Array(16), keyBits: 128 };
	const config = stateConfig({
		crypt: aes,
		auth: { name: 'sha1', key, keyBits: 160, truncBits: 0 },
		replayWindow: 64,
	});
	const { value: state } = initState(net, config);
	assert.ok(state !== undefined);
	assert.equal(state.replay.windowPackets, 32);
	assert.equal(state.flags, 4);
	assert.deepEqual(state.config.auth, { name: 'hmac(sha1)', key, keyBits: 160, truncBits: 96 });
	assert.equal(state.config.crypt?.name, 'cbc(aes)');
	assert.notEqual(state.config.auth?.key, key, 'the key is a copy');
	const ipv6 = initState(net, stateConfig({ src: '2001:db8::1', dst: '2001:db8::2' }));
	assert.equal(ipv6.value?.flags, 0, 'IPv4 only');
});

test('thresholds and current values: as asked, or by sysctl and clock', () => {
	const net = makeNamespace();
	net.sysctl.xfrm_aevent_etime = 5;
	const plain = initState(net, stateConfig()).value;
	assert.deepEqual([plain?.replay.maxDiff, plain?.replay.maxAgeTicks], [2, 50]);
	assert.equal(plain?.lifetime[Current.AddTime], Math.floor(NOW_US / 1e6));
	const asked = initState(
		net,
		stateConfig({
			replayThreshold: 9,
			expiryTimer: 33,
			lifetimeCurrent: { bytes: 1, packets: 2, addTime: 3, useTime: 4 },
		}),
	).value;
	assert.deepEqual([asked?.replay.maxDiff, asked?.replay.maxAgeTicks], [9, 33]);
	assert.deepEqual([...(asked?.lifetime ?? [])], [1, 2, 3, 4, 0]);
	assert.equal(asked?.condition, StateCondition.Void);
});
