import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inflateRawSync } from 'node:zlib';
import { nodeProvider } from '@xfrm/crypto/node';
import { formatHex } from '@xfrm/wire';
import { Errno } from '@xfrm/wire/xfrm';
import { counted, ip, udp } from '../input-fixture.test.ts';
import {
	addOut,
	addOutPolicy,
	inner,
	makeEngine,
	send,
	template,
	tunnelTemplate,
} from '../output-fixture.test.ts';
import { Current } from '../state.ts';
import { PacketAction, Verdict } from '../verdict.ts';

function compressing(mode: number) {
	const { engine } = makeEngine(undefined, nodeProvider());
	const ends = mode === 0 ? { src: '10.0.0.1', dst: '10.1.0.1' } : {};
	const state = addOut(engine, { proto: 108, spi: 0xc5a0, mode, replayWindow: 0, ...ends });
	const own = mode === 0 ? template({ mode: 0 }) : tunnelTemplate();
	addOutPolicy(engine, { templates: [{ ...own, reqid: 1, id: { ...own.id, proto: 108 } }] });
	return { engine, state };
}

// @spec T-30 T-31 O-12 O-16
test('a payload that shrinks gets the header, and decompresses to what it was', () => {
	const { engine, state } = compressing(0);
	const data = new Uint8Array(400).fill(0x41);
	const packet = send(engine, inner(data, { fragment: 0x4000 })).copy();
	assert.equal(packet.length < 60, true);
	assert.equal(
		formatHex(packet.subarray(0, 10)),
		`450000${packet.length.toString(16)}00004000406c`,
	);
	assert.equal(formatHex(packet.subarray(20, 24)), '1100c5a0');
	assert.equal(formatHex(inflateRawSync(packet.subarray(24))), formatHex(udp(data)));
	assert.equal(state.lifetime[Current.Bytes], 408);
	assert.equal(state.replay.counters[0], 0);
});

// @spec T-31 T-32
test('what is short or does not shrink leaves as it is, in tunnel mode as IP in IP', () => {
	const noise = Uint8Array.from({ length: 300 }, (_, i) => Math.imul(i + 1, 2654435761) >>> 24);
	for (const [name, data, mode] of [
		['89 octets of payload', new Uint8Array(81), 0],
		['noise', noise, 0],
		['noise in a tunnel', noise, 1],
	] as const) {
		const { engine, state } = compressing(mode);
		const plain = inner(data, { fragment: 0x4000 });
		const packet = send(engine, plain);
		assert.equal(packet.action, PacketAction.Transformed, name);
		const want = mode === 0 ? plain : ip(4, plain, { fragment: 0x4000 });
		assert.equal(formatHex(packet.copy()), formatHex(want), name);
		assert.equal(state.lifetime[Current.Packets], 1, name);
	}
});

// @spec T-31
test('90 octets are worth compressing', () => {
	const { engine } = compressing(0);
	const packet = send(engine, inner(new Uint8Array(82)));
	assert.equal(packet.copy()[9], 108);
});

test('a provider without the algorithm refuses packets, not the state', () => {
	const { engine } = makeEngine();
	addOut(engine, { proto: 108, spi: 0xc5a0, replayWindow: 0 });
	addOutPolicy(engine, {
		templates: [tunnelTemplate({ id: { ...tunnelTemplate().id, proto: 108 } })],
	});
	const packet = send(engine, inner());
	assert.equal(packet.verdict, Verdict.OutStateProtoError);
	assert.equal(packet.error, Errno.ENOSYS);
	assert.deepEqual(counted(engine.net), { XfrmOutStateProtoError: 1 });
});
