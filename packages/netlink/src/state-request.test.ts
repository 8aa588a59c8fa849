import assert from 'node:assert/strict';
import { test } from 'node:test';
import { anyAddress, anySelector, type PolicyConfig, type StateConfig } from '@xfrm/wire/xfrm';
import fc from 'fast-check';
import { splitMessages } from './message.ts';
import {
	completePolicy,
	kernelPolicyOf,
	policyRequestAttributes,
	policyRequestBody,
} from './policy-request.ts';
import {
	completeState,
	kernelStateOf,
	stateRequestAttributes,
	stateRequestBody,
} from './state-request.ts';
import { decodeMessage, encodeMessage } from './xfrm/messages.ts';

const u8 = fc.nat(255);
const u16 = fc.nat(0xffff);
const u32 = fc.nat(0xffff_ffff);
/** Not 0, where 0 is the same as absent. */
const some32 = fc.integer({ min: 1, max: 0xffff_ffff });
const address = fc.uint8Array({ minLength: 16, maxLength: 16 });
const mark = fc.record({ v: u32, m: u32 });
const limit = fc.oneof(fc.constant(Number.POSITIVE_INFINITY), fc.maxSafeNat());
const key = fc.uint8Array({ maxLength: 64 });
const algorithm = fc.record({ name: fc.constantFrom('cbc(aes)', 'digest_null'), key }).map((a) => ({
	...a,
	keyBits: a.key.length * 8,
}));
const securityContext = fc.record({ alg: u8, doi: u8, context: fc.uint8Array({ maxLength: 40 }) });

const lifetime = fc.record({
	softByteLimit: limit,
	hardByteLimit: limit,
	softPacketLimit: limit,
	hardPacketLimit: limit,
	softAddExpiresSeconds: limit,
	hardAddExpiresSeconds: limit,
	softUseExpiresSeconds: limit,
	hardUseExpiresSeconds: limit,
});

const selector = fc.record({
	daddr: address,
	saddr: address,
	dport: u16,
	dportMask: u16,
	sport: u16,
	sportMask: u16,
	family: u16,
	prefixlenD: u8,
	prefixlenS: u8,
	proto: u8,
	ifindex: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
	user: u32,
});

const state: fc.Arbitrary<StateConfig> = fc.record(
	{
		id: fc.record({ daddr: address, spi: u32, proto: u8 }),
		saddr: address,
		family: u16,
		selector,
		lifetime,
		reqid: u32,
		mode: u8,
		replayWindow: u8,
		flags: u8,
		seq: u32,
		aead: fc.tuple(algorithm, u32).map(([a, icvBits]) => ({ ...a, icvBits })),
		auth: fc.tuple(algorithm, u32).map(([a, truncBits]) => ({ ...a, truncBits })),
		crypt: algorithm,
		comp: algorithm,
		encap: fc.record({ type: u16, sport: u16, dport: u16, oa: address }),
		coaddr: address,
		securityContext,
		replay: fc.record({ oseq: u32, seq: u32, bitmap: u32 }),
		replayEsn: fc.record({
			bmpLen: fc.constant(2),
			oseq: u32,
			seq: u32,
			oseqHi: u32,
			seqHi: u32,
			replayWindow: u32,
			bmp: fc.uint32Array({ minLength: 2, maxLength: 2 }),
		}),
		replayThreshold: u32,
		expiryTimer: u32,
		tfcpad: u32,
		mark,
		outputMark: mark,
		extraFlags: u32,
		offload: fc.record({ ifindex: u16, flags: u8 }),
		ifId: u32,
		mappingThresholdSeconds: u32,
		direction: u8,
		natKeepaliveSeconds: u32,
		pcpu: u32,
		iptfs: fc.record({ dropTimeUs: u32, reorderWindow: u16, dontFragment: fc.constant(true) }),
	},
	{
		requiredKeys: [
			'id',
			'saddr',
			'family',
			'selector',
			'lifetime',
			'reqid',
			'mode',
			'replayWindow',
			'flags',
			'seq',
		],
	},
);

const template = fc.record({
	id: fc.record({ daddr: address, spi: u32, proto: u8 }),
	saddr: address,
	family: u16,
	reqid: u32,
	mode: u8,
	share: u8,
	optional: u8,
	aalgos: u32,
	ealgos: u32,
	calgos: u32,
});

const policy: fc.Arbitrary<PolicyConfig> = fc.record(
	{
		selector,
		lifetime,
		priority: u32,
		index: u32,
		direction: u8,
		action: u8,
		flags: u8,
		share: u8,
		type: u8,
		templates: fc.array(template, { maxLength: 6 }),
		mark,
		ifId: some32,
		securityContext,
		offload: fc.record({ ifindex: u16, flags: u8 }),
	},
	{
		requiredKeys: [
			'selector',
			'lifetime',
			'priority',
			'index',
			'direction',
			'action',
			'flags',
			'share',
			'type',
			'templates',
		],
	},
);

/** Through the bytes and back. */
function overTheWire(message: Parameters<typeof encodeMessage>[0]): typeof message {
	const [raw] = splitMessages(encodeMessage(message));
	const decoded = raw && decodeMessage(raw);
	assert.ok(decoded);
	return decoded;
}
const header = { flags: 5, seq: 1, pid: 0 };

test('whatever a state says comes back from the bytes of its request', () => {
	fc.assert(
		fc.property(state, (config) => {
			const body = stateRequestBody(config);
			const attributes = stateRequestAttributes(config);
			const message = overTheWire({ name: 'newsa', ...header, body, attributes });
			assert.equal(message.name, 'newsa');
			const { stats, lifetimeCurrent, ...back } = kernelStateOf(message.body, message.attributes);
			assert.deepEqual(back, structuredClone(config)); // fast-check's have no prototype
			assert.deepEqual(lifetimeCurrent, { bytes: 0, packets: 0, addTime: 0, useTime: 0 });
			assert.deepEqual(stats, { replayWindow: 0, replay: 0, integrityFailed: 0 });
		}),
	);
});

test('whatever a policy says comes back from the bytes of its request', () => {
	fc.assert(
		fc.property(policy, (config) => {
			const body = policyRequestBody(config);
			const attributes = policyRequestAttributes(config);
			const message = overTheWire({ name: 'newpolicy', ...header, body, attributes });
			assert.equal(message.name, 'newpolicy');
			const { lifetimeCurrent, ...back } = kernelPolicyOf(message.body, message.attributes);
			assert.deepEqual(back, structuredClone(config)); // fast-check's have no prototype
			assert.equal(lifetimeCurrent.useTime, 0);
		}),
	);
});

test('what is left out is what ip sends', () => {
	const id = { daddr: anyAddress(), spi: 1, proto: 50 };
	const complete = completeState({ id, saddr: anyAddress(), family: 10 });
	assert.deepEqual(complete.selector, anySelector(10));
	assert.equal(complete.lifetime.hardByteLimit, Number.POSITIVE_INFINITY);
	const { templates, priority, action } = completePolicy({
		selector: anySelector(2),
		direction: 1,
		templates: [{ id, saddr: anyAddress(), family: 2, mode: 1 }],
	});
	assert.deepEqual([priority, action], [0, 0]);
	const [{ mode, aalgos, optional } = { mode: -1, aalgos: -1, optional: -1 }] = templates;
	assert.deepEqual([mode, aalgos, optional], [1, 0xffff_ffff, 0]);
});
