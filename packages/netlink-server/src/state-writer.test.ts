import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
	Current,
	Engine,
	type EngineOptions,
	linux619,
	ReplayCounter,
	StateStat,
	XfrmState,
} from '@xfrm/engine';
import { MessageType, MessageWriter } from '@xfrm/netlink';
import { anySelector, type StateConfig, UNLIMITED } from '@xfrm/wire/xfrm';
import { stateMessage } from './notify.ts';
import { appendState, stateAnswer } from './state-writer.ts';

const octets = (first: number, length: number = 16): Uint8Array =>
	Uint8Array.from({ length }, (_, i) => first + i);

const config: StateConfig = {
	id: { daddr: octets(0x90), spi: 0xc000_0001, proto: 50 },
	saddr: octets(0xa0),
	family: 10,
	selector: {
		...anySelector(2),
		daddr: octets(1),
		saddr: octets(0xe0),
		dport: 0xfedc,
		dportMask: 0xff00,
		sport: 0x8001,
		sportMask: 0xffff,
		prefixlenD: 32,
		prefixlenS: 5,
		proto: 0x84,
		ifindex: -5,
		user: 0xffff_fff0,
	},
	lifetime: { ...UNLIMITED, softByteLimit: 2 ** 40 + 1, hardAddExpiresSeconds: 3600 },
	reqid: 0xffff_fffe,
	mode: 1,
	replayWindow: 32,
	flags: 0x90,
	seq: 0x8000_0005,
};

const key = octets(7, 20);
const bmp = Uint32Array.of(0xffff_ffff, 5, 0x8000_0000);
const replayEsn = {
	bmpLen: 3,
	oseq: 0xffff_fff1,
	seq: 0x8000_0001,
	oseqHi: 0xffff_fff2,
	seqHi: 3,
	replayWindow: 96,
	bmp,
};

const rows: readonly (readonly [name: string, Partial<StateConfig>])[] = [
	['nothing but the payload', {}],
	['no limits', { lifetime: UNLIMITED }],
	['AEAD', { aead: { name: 'rfc4106(gcm(aes))', key, keyBits: 160, icvBits: 96 } }],
	[
		'encryption and authentication',
		{
			crypt: { name: 'cbc(aes)', key: octets(1, 16), keyBits: 128 },
			auth: { name: 'hmac(sha1)', key, keyBits: 160, truncBits: 96 },
		},
	],
	['a key that ends amid its octet', { crypt: { name: 'x', key: octets(1, 3), keyBits: 17 } }],
	['compression', { comp: { name: 'deflate', key, keyBits: 160 } }],
	['encapsulation', { encap: { type: 2, sport: 4500, dport: 0xfffe, oa: octets(3) } }],
	['care-of address', { coaddr: octets(0x33) }],
	['padding', { tfcpad: 0x8000_0000 }],
	['mark', { mark: { v: 0x8000_0001, m: 0xf000_000f } }],
	['mark of nothing', { mark: { v: 0, m: 0 } }],
	['output mark', { outputMark: { v: 0xffff_fff1, m: 0xffff_ffff } }],
	['output mark of nothing', { outputMark: { v: 0, m: 0 } }],
	['legacy window', { replay: { oseq: 0xffff_ffff, seq: 0x8000_0000, bitmap: 0xf000_0001 } }],
	['bitmap', { replayEsn, replayWindow: 0 }],
	['ESN', { replayEsn, replayWindow: 0, extraFlags: 2, flags: 0x80 }],
	[
		'flags, if_id, device',
		{ extraFlags: 3, ifId: 0xffff_fff1, offload: { ifindex: -1, flags: 2 } },
	],
	[
		'direction, processor, intervals',
		{ direction: 2, pcpu: 0, natKeepaliveSeconds: 20, mappingThresholdSeconds: 30 },
	],
	[
		'IPTFS in',
		{
			mode: 5,
			direction: 1,
			iptfs: { dropTimeUs: 5, reorderWindow: 0xfffe, maxQueueOctets: 9 },
		},
	],
	[
		'IPTFS out',
		{
			mode: 5,
			direction: 2,
			iptfs: { dontFragment: true, initDelayUs: 0, maxQueueOctets: 9, packetOctets: 7 },
		},
	],
	['IPTFS without settings', { mode: 5, direction: 2, iptfs: {} }],
];

const engine: Engine = new Engine({
	profile: linux619,
	// Nothing here is encrypted.
	provider: { supports: () => true } as unknown as EngineOptions['provider'],
	random: () => {},
	route: () => undefined,
});
const header = { flags: 2, seq: 0xffff_fff3, pid: 0x8000_0007 };

// @spec N-13 S-17 S-18
test('written directly, a state is the same as by way of its values', () => {
	const writer = new MessageWriter({ ...header, type: MessageType.NewSa });
	for (const used of [false, true]) {
		for (const [name, options] of rows) {
			const state = new XfrmState({ ...config, ...options });
			if (used) {
				state.lifetime[Current.Bytes] = 2 ** 41 + 3;
				state.lifetime[Current.Packets] = 4_300_000_000;
				state.lifetime[Current.AddTime] = 1_764_000_000;
				state.lifetime[Current.UseTime] = 1_764_000_001;
				state.lifetime[Current.LastUsed] = 1_764_000_002;
				state.stats[StateStat.ReplayWindow] = 0xffff_ffff;
				state.stats[StateStat.IntegrityFailed] = 7;
				state.replay.counters[ReplayCounter.Oseq] = -3;
				state.spi = 0x0102_0304;
				state.seq = 9;
			}
			const want = stateMessage('newsa', header, engine.snapshotState(state));
			assert.deepEqual(stateAnswer(state, header), want, name);
			writer.restart({ ...header, type: MessageType.NewSa });
			appendState(writer, state);
			const bytes = new Uint8Array(4 + writer.paddedLength);
			writer.copyTo(bytes, 4);
			assert.deepEqual(bytes.subarray(4), want, `${name}, in memory that was used before`);
		}
	}
});

test('the writer may need more room at any attribute', () => {
	for (let length = 0; length <= 512; length += 4) {
		const auth = { name: 'hmac(sha1)', key: octets(0, length), keyBits: 8 * length, truncBits: 96 };
		const state = new XfrmState({
			...config,
			auth,
			encap: { type: 2, sport: 4500, dport: 4500, oa: octets(3) },
			tfcpad: 1,
			mark: { v: 1, m: 1 },
			replayEsn,
			ifId: 2,
			pcpu: 3,
			direction: 2,
			natKeepaliveSeconds: 4,
		});
		const want = stateMessage('newsa', header, engine.snapshotState(state));
		assert.deepEqual(stateAnswer(state, header), want, `a key of ${length} octets`);
	}
});
