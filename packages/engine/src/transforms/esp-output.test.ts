import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nullProvider } from '@xfrm/crypto/null';
import type { CryptoBatch, CryptoProvider } from '@xfrm/crypto/provider';
import { formatHex, verifyIpv4Checksum } from '@xfrm/wire';
import { anySelector, Errno } from '@xfrm/wire/xfrm';
import type { Engine } from '../engine.ts';
import { address, bytes, type StateOptions } from '../input-fixture.test.ts';
import { linux61 } from '../kernel-profile.ts';
import {
	addOut,
	addOutPolicy,
	inner,
	makeEngine,
	makeRoute,
	send,
	template,
	tunnelTemplate,
} from '../output-fixture.test.ts';
import { Verdict } from '../verdict.ts';

const CBC = { crypt: { name: 'cbc(aes)', key: new Uint8Array(16), keyBits: 128 } };
const NULL_CIPHER = { crypt: { name: 'ecb(cipher_null)', key: new Uint8Array(0), keyBits: 0 } };
const ESN = {
	flags: 128,
	replayWindow: 0,
	replayEsn: {
		bmpLen: 1,
		oseq: 0xfffffffe,
		seq: 0,
		oseqHi: 5,
		seqHi: 0,
		replayWindow: 32,
		bmp: new Uint32Array(1),
	},
};

/** What the provider was asked, a row a job. */
function recording(rows: Record<string, number>[]): CryptoProvider {
	const provider = nullProvider();
	const seal = provider.seal.bind(provider);
	provider.seal = (batch: CryptoBatch) => {
		for (let i = 0; i < batch.count; i++) {
			const start = batch.aadAt[i] ?? 0;
			const from = (at: number | undefined): number => (at ?? 0) - start;
			rows.push({
				iv: from(batch.ivAt[i]),
				text: from(batch.textAt[i]),
				textEnd: from(batch.textEnd[i]),
				out: from(batch.outAt[i]),
				outEnd: from(batch.outEnd[i]),
				seqHi: batch.seqHi[i] ?? 0,
			});
		}
		seal(batch);
	};
	return provider;
}

function tunnel(
	options: StateOptions,
	provider?: CryptoProvider,
	profile?: typeof linux61,
): Engine {
	const { engine } = makeEngine(profile, provider);
	addOut(engine, options);
	addOutPolicy(engine, { templates: [tunnelTemplate()] });
	return engine;
}

/** The ESP packet behind the outer IPv4 header. */
function espOf(engine: Engine, packet: Uint8Array): string {
	return formatHex(send(engine, packet).copy().subarray(20));
}

// @spec T-1 T-2; RFC 4303 §2.4
test('padding fills the cipher block, or four octets', () => {
	const rows: [string, StateOptions, number, string][] = [
		['null, fits exactly', NULL_CIPHER, 2, '0004'],
		['null, one more', NULL_CIPHER, 3, '0102030304'],
		['null, three more', NULL_CIPHER, 5, '010104'],
		['CBC, fits exactly', CBC, 2, '0004'],
		['CBC, one more', CBC, 3, '0102030405060708090a0b0c0d0e0f0f04'],
	];
	for (const [name, options, octets, trailer] of rows) {
		// 28 octets of headers, so `octets` + 28 + 2 is what is padded.
		const esp = espOf(tunnel(options), inner(new Uint8Array(octets)));
		assert.equal(esp.slice(-trailer.length), trailer, name);
	}
});

// @spec T-1 T-4 T-5
test('the provider gets the parts of the packet, and the high half of the number with ESN', () => {
	const auth = { name: 'hmac(sha256)', key: new Uint8Array(32), keyBits: 256, truncBits: 128 };
	const rows: [string, StateOptions, Record<string, number>][] = [
		['GCM', {}, { iv: 8, text: 16, textEnd: 52, out: 52, outEnd: 68, seqHi: 0 }],
		['GCM, ESN', ESN, { iv: 8, text: 16, textEnd: 52, out: 52, outEnd: 68, seqHi: 5 }],
		[
			'CBC and MAC',
			{ ...CBC, auth },
			{ iv: 8, text: 24, textEnd: 72, out: 72, outEnd: 88, seqHi: 0 },
		],
		[
			'null and MAC',
			{ ...NULL_CIPHER, auth },
			{ iv: 8, text: 8, textEnd: 44, out: 44, outEnd: 60, seqHi: 0 },
		],
		['no ICV', NULL_CIPHER, { iv: 8, text: 8, textEnd: 44, out: 44, outEnd: 44, seqHi: 0 }],
	];
	for (const [name, options, want] of rows) {
		const jobs: Record<string, number>[] = [];
		send(tunnel(options, recording(jobs)), inner());
		assert.deepEqual(jobs, [want], name);
	}
});

// @spec T-6; RFC 4106 §3.1
test("a counter mode's IV is the sequence number under a mask of the state", () => {
	const engine = tunnel(ESN);
	const [state] = [...engine.states()];
	assert.ok(state !== undefined);
	state.ivSaltHigh = 0x0f0f0f0f;
	state.ivSaltLow = 0x70707070;
	const ivs = [0, 1, 2].map(() => espOf(engine, inner()).slice(8, 32));
	assert.deepEqual(ivs, [
		`ffffffff${'0f0f0f0a'}${'8f8f8f8f'}`,
		`00000000${'0f0f0f09'}${'70707070'}`,
		`00000001${'0f0f0f09'}${'70707071'}`,
	]);
});

// @spec T-6; RFC 3602 §3
test("a chained mode's IVs are new octets of the random source each", () => {
	const engine = tunnel(CBC);
	const ivs = Array.from({ length: 300 }, () => espOf(engine, inner()).slice(16, 48));
	assert.equal(new Set(ivs).size, 300);
});

test('IVs, identifications and paddings can be fixed, and are used up in order', () => {
	const engine = tunnel(CBC);
	engine.net.fixed = {
		ivs: [bytes('000102030405060708090a0b0c0d0e0f')],
		ipIds: [0xabcd],
		paddings: [bytes('ffeeddccbbaa')],
	};
	const packet = formatHex(send(engine, inner()).copy());
	assert.equal(packet.slice(8, 12), 'abcd');
	assert.equal(packet.slice(56, 88), '000102030405060708090a0b0c0d0e0f');
	assert.equal(packet.slice(-32), 'ffeeddccbbaa0708090a0b0c0d0e0e04');
	const next = formatHex(send(engine, inner()).copy());
	assert.notEqual(next.slice(56, 88), packet.slice(56, 88));
	assert.deepEqual(engine.net.fixed, { ivs: [], ipIds: [], paddings: [] });
});

// @spec T-3
test('TFC padding fills up to the wish of the state, but not beyond the path', () => {
	for (const [tfcpad, octets, want] of [
		[100, 32, 100],
		[100, 200, 200],
		[65535, 32, 1446],
	] as const) {
		const engine = tunnel({ tfcpad });
		const packet = send(engine, inner(new Uint8Array(octets - 28).fill(0xff)));
		const padded = packet.length - 20 - 16 - 16 - 2;
		assert.equal(padded - (padded - want), want);
		assert.equal(packet.length, 20 + 16 + ((want + 2 + 3) & ~3) + 16, `${tfcpad} ${octets}`);
		const filler = packet.copy().subarray(36 + octets, 36 + want);
		assert.ok(
			filler.every((octet) => octet === 0),
			'zeros',
		);
	}
});

const ENCAP = { type: 2, sport: 4500, dport: 4501, oa: address('0.0.0.0') };

// @spec NT-5 NT-1 T-11
test('ESP in UDP: header and length over IPv4, the old form with its marker', () => {
	const plain = formatHex(send(tunnel({ ...NULL_CIPHER, encap: ENCAP }), inner()).copy());
	assert.equal(plain.slice(18, 20), '11');
	assert.equal(plain.slice(40, 72), '11941195' + '0034' + '0000' + 'c0de0001' + '00000001');
	const old = tunnel({ ...NULL_CIPHER, encap: { ...ENCAP, type: 1 } }, undefined, linux61);
	const marked = formatHex(send(old, inner()).copy());
	assert.equal(
		marked.slice(40, 80),
		'11941195' + '003c' + '0000' + '0000000000000000' + 'c0de0001',
	);
});

// @spec NT-5
test('ESP in UDP over IPv6 has a checksum over the sealed datagram', () => {
	const { engine } = makeEngine();
	const ends = { src: '2001:db8::1', dst: '2001:db8::2' };
	addOut(engine, { ...NULL_CIPHER, ...ends, encap: ENCAP, selector: anySelector(0), flags: 32 });
	addOutPolicy(engine, {
		selector: anySelector(2),
		templates: [
			template({
				family: 10,
				reqid: 1,
				saddr: address(ends.src),
				id: { daddr: address(ends.dst), spi: 0, proto: 50 },
			}),
		],
	});
	const packet = send(engine, inner(), { route: makeRoute() });
	const datagram = packet.copy();
	let sum = 0x11 + 0x34;
	for (let at = 8; at < datagram.length; at += 2) {
		sum += ((datagram[at] ?? 0) << 8) | (datagram[at + 1] ?? 0);
	}
	while (sum > 0xffff) {
		sum = (sum & 0xffff) + (sum >>> 16);
	}
	assert.equal(sum, 0xffff);
	assert.notEqual(formatHex(datagram.subarray(46, 48)), '0000');
});

// @spec NT-5
test('a datagram longer than UDP can tell is refused', () => {
	const engine = tunnel({ ...NULL_CIPHER, encap: ENCAP });
	const fits = send(engine, inner(new Uint8Array(65535 - 20 - 8 - 8 - 28 - 8)));
	assert.equal(fits.verdict, 0);
	assert.ok(verifyIpv4Checksum(fits.view, fits.start));
	const packet = send(engine, inner(new Uint8Array(65535 - 20 - 8 - 8 - 28)));
	assert.equal(packet.verdict, Verdict.OutStateProtoError);
	assert.equal(packet.error, Errno.EMSGSIZE);
});

// @spec T-12
test('ESP in TCP has no connection to leave by', () => {
	const engine = tunnel({ ...NULL_CIPHER, encap: { ...ENCAP, type: 7 } });
	const packet = send(engine, inner());
	assert.equal(packet.verdict, Verdict.OutStateProtoError);
	assert.equal(packet.error, Errno.ENOENT);
});
