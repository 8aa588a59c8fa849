/**
 * Whatever comes from the wire: nothing throws, nothing hangs, nothing grows, and what is dropped raises
 * exactly one counter of the kernel's. Every truncation and every single flipped bit of genuine packets,
 * random octets, and random octets that a peer with the right key has sealed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nullProvider } from '@xfrm/crypto/null';
import { Batch, Engine, linux61, linux619, PacketAction, Verdict } from '@xfrm/engine';
import { BUFFER_OCTETS_MAX, formatHex, PacketBuffer } from '@xfrm/wire';
import {
	anyAddress,
	anySelector,
	Direction,
	Family,
	IpProto,
	Mode,
	type StateConfig,
	StateFlag,
	UNLIMITED,
} from '@xfrm/wire/xfrm';
import fc from 'fast-check';
import {
	type Association,
	address,
	arriving,
	innerAddress,
	kindOf,
	type Layer,
	makeEnd,
	NOW_US,
	pseudoRandom,
	send,
	udpPacket,
} from './tunnel-ends.ts';

const { Esp, Ah, Comp } = IpProto;
const GCM = {
	aead: { name: 'rfc4106(gcm(aes))', icvBits: 128, key: new Uint8Array(20), keyBits: 160 },
};
const CBC = {
	crypt: { name: 'cbc(aes)', key: new Uint8Array(16), keyBits: 128 },
	auth: { name: 'hmac(sha256)', truncBits: 128, key: new Uint8Array(32), keyBits: 256 },
};
const SHA1 = { auth: { name: 'hmac(sha1)', truncBits: 96, key: new Uint8Array(20), keyBits: 160 } };
const DEFLATE = { comp: { name: 'deflate', key: new Uint8Array(0), keyBits: 0 } };

const kinds: readonly (readonly [string, readonly Layer[]])[] = [
	['ESP tunnel', [{ proto: Esp, mode: Mode.Tunnel, algorithms: GCM }]],
	['ESP transport', [{ proto: Esp, mode: Mode.Transport, algorithms: CBC, windowPackets: 0 }]],
	['ESP BEET', [{ proto: Esp, mode: Mode.Beet, algorithms: GCM, esn: true }]],
	['ESP in UDP', [{ proto: Esp, mode: Mode.Tunnel, algorithms: GCM, encapType: 2 }]],
	['AH tunnel', [{ proto: Ah, mode: Mode.Tunnel, algorithms: SHA1 }]],
	['AH transport', [{ proto: Ah, mode: Mode.Transport, algorithms: SHA1, windowPackets: 0 }]],
	['IPComp', [{ proto: Comp, mode: Mode.Transport, algorithms: DEFLATE }]],
	['cipher without MAC', [{ proto: Esp, mode: Mode.Tunnel, algorithms: { crypt: CBC.crypt } }]],
];

/** Opens one packet and what is inside, checks the policy, and looks whether all is well afterwards. */
function attack(engine: Engine, octets: Uint8Array): PacketBuffer {
	const { net } = engine;
	const packet = PacketBuffer.from(octets);
	const states = net.sad.count;
	for (let round = 0; round < 8 && arriving(packet); round++) {
		const kind = kindOf(packet);
		if (kind === 'other' || packet.transportAt + 8 > packet.end) {
			break;
		}
		const before = counted(engine);
		if (kind === 'encap') {
			engine.udpEncapInput(Batch.of(NOW_US, packet), 2);
		} else {
			engine.input(Batch.of(NOW_US, packet));
		}
		assertCounted(engine, packet, before);
		if (packet.action !== PacketAction.Reinject && packet.action !== PacketAction.Continue) {
			return packet;
		}
		assert.ok(packet.start >= 0 && packet.start <= packet.end);
		assert.ok(packet.end <= packet.bytes.length && packet.bytes.length <= BUFFER_OCTETS_MAX);
		if (packet.action === PacketAction.Continue) {
			packet.encapType = 0;
			break;
		}
	}
	for (const direction of [Direction.In, Direction.Fwd]) {
		const before = counted(engine);
		engine.policyCheck(Batch.of(NOW_US, packet), direction);
		assertCounted(engine, packet, before);
	}
	engine.reverseCheck(packet, packet.start + 28, NOW_US);
	assert.equal(net.sad.count, states);
	net.events.length = 0;
	return packet;
}

function counted(engine: Engine): number {
	return engine.net.counters.reduce((sum, count) => sum + count, 0);
}

function assertCounted(engine: Engine, packet: PacketBuffer, before: number): void {
	const isCounted = packet.action === PacketAction.Drop && packet.verdict !== Verdict.InEncapShort;
	assert.equal(counted(engine) - before, isCounted ? 1 : 0);
}

for (const [name, layers] of kinds) {
	for (const family of [Family.Ipv4, Family.Ipv6]) {
		const association: Association = { number: 1, outer: family, inner: family, layers };
		const packet = udpPacket(
			family,
			innerAddress(association, 1),
			innerAddress(association, 2),
			new Uint8Array(120).fill(0x55),
		);

		// @spec I-3 T-9 T-24 T-33
		test(`${name}, family ${family}: truncated and flipped everywhere`, () => {
			const wire = send(makeEnd([association], Direction.Out), packet);
			assert.ok(wire !== undefined);
			let engine = makeEnd([association], Direction.In);
			for (let length = 0; length < wire.length; length++) {
				attack(engine, truncated(wire, length));
			}
			for (let bit = 0; bit < wire.length * 8; bit++) {
				const flipped = wire.slice();
				flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
				const result = attack(engine, flipped);
				if (result.verdict === Verdict.Pass) {
					// Its sequence number has been seen now.
					engine = makeEnd([association], Direction.In);
				}
				const header = family === Family.Ipv4 ? 20 : 40;
				if (result.pathCount > 0 && bit >> 3 >= header + 8 && isAuthentic(layers)) {
					const isWhole =
						result.action === PacketAction.Pass || result.verdict > Verdict.InStateSeqError;
					assert.ok(
						!isWhole || formatHex(result.copy()) === formatHex(packet),
						`bit ${bit} passes`,
					);
				}
			}
		});
	}
}

/** The same packet, shorter, its length field saying so, as a host has to cut it. */
function truncated(wire: Uint8Array, length: number): Uint8Array {
	const cut = wire.slice(0, length);
	if (length >= 40) {
		const view = new DataView(cut.buffer);
		if ((cut[0] ?? 0) >> 4 === 4) {
			view.setUint16(2, length);
		} else {
			view.setUint16(4, length - 40);
		}
	}
	return cut;
}

function isAuthentic(layers: readonly Layer[]): boolean {
	return layers.every(
		({ algorithms }) => algorithms.aead !== undefined || algorithms.auth !== undefined,
	);
}

const SPI = 0xc0000001;

/** States of every mode and family that open anything, as if the peer had the key. */
function openEngine(mode: number, family: number, selectorFamily: number, old: boolean): Engine {
	const engine = new Engine({
		profile: old ? linux61 : linux619,
		provider: nullProvider(),
		random: pseudoRandom(5),
		route: () => undefined,
	});
	const ends = family === Family.Ipv4 ? ['192.0.2.1', '192.0.2.2'] : ['2001:db8::1', '2001:db8::2'];
	const config: StateConfig = {
		id: { daddr: address(ends[1] ?? ''), spi: SPI, proto: Esp },
		saddr: address(ends[0] ?? ''),
		family,
		selector: anySelector(selectorFamily),
		lifetime: UNLIMITED,
		reqid: 1,
		mode,
		replayWindow: 0,
		flags: StateFlag.AfUnspec | StateFlag.DecapDscp,
		seq: 0,
		...GCM,
	};
	engine.addState(config, NOW_US);
	engine.addState({ ...config, mode: Mode.Transport, id: { ...config.id, spi: SPI + 1 } }, NOW_US);
	const { aead: _, ...plain } = config;
	engine.addState(
		{ ...plain, id: { ...config.id, spi: SPI + 2, proto: Ah }, mode: Mode.Transport, ...SHA1 },
		NOW_US,
	);
	for (const direction of [Direction.In, Direction.Fwd]) {
		engine.addPolicy(
			{
				selector: anySelector(family),
				lifetime: UNLIMITED,
				priority: 0,
				index: 0,
				direction,
				action: 0,
				flags: 0,
				share: 0,
				type: 0,
				templates: [
					{
						id: { daddr: anyAddress(), spi: 0, proto: Esp },
						saddr: anyAddress(),
						family,
						reqid: 0,
						mode,
						share: 0,
						optional: 0,
						aalgos: 0xffffffff,
						ealgos: 0xffffffff,
						calgos: 0xffffffff,
					},
				],
			},
			NOW_US,
		);
	}
	return engine;
}

const anything = fc.record({
	mode: fc.constantFrom(Mode.Tunnel, Mode.Beet, Mode.Transport),
	family: fc.constantFrom(Family.Ipv4, Family.Ipv6),
	selectorFamily: fc.constantFrom(Family.Unspec, Family.Ipv4, Family.Ipv6),
	old: fc.boolean(),
	spi: fc.constantFrom(SPI, SPI, SPI + 1),
	next: fc.oneof(fc.constantFrom(4, 41, 94, 50, 51, 108, 60, 59, 1, 17, 58), fc.nat({ max: 255 })),
	/** First octets that look like a header. */
	lead: fc.constantFrom('', '45', '60', '3211ff', '0402', '1100', 'c0000001', 'c000000200000001'),
	text: fc.uint8Array({ maxLength: 200 }),
	tail: fc.nat({ max: 255 }),
});

// @spec T-9 T-10 M-3 M-6 M-10 I-8 I-11
test('random octets under the right key', () => {
	fc.assert(
		fc.property(anything, ({ mode, family, selectorFamily, old, spi, next, lead, text, tail }) => {
			const engine = openEngine(mode, family, selectorFamily, old);
			const body = new Uint8Array([...Buffer.from(lead, 'hex'), ...text, tail & 3, next]);
			const ends =
				family === Family.Ipv4
					? [address('192.0.2.1'), address('192.0.2.2')]
					: [address('2001:db8::1'), address('2001:db8::2')];
			const [source = anyAddress(), destination = anyAddress()] = ends;
			// A UDP header's eight octets become SPI and sequence number.
			const packet = udpPacket(family, source, destination, new Uint8Array(8 + body.length + 16));
			const at = family === Family.Ipv4 ? 20 : 40;
			const view = new DataView(packet.buffer);
			packet[family === Family.Ipv4 ? 9 : 6] = Esp;
			view.setUint32(at, spi);
			view.setUint32(at + 4, 1);
			packet.set(body, at + 16);
			attack(engine, packet);
		}),
		{ numRuns: 3000, includeErrorInReport: true },
	);
});

// @spec I-3 I-11 P-26 P-27 P-28
test('random octets as packets', () => {
	const engines = [Family.Ipv4, Family.Ipv6].flatMap((family) =>
		kinds.map(([, layers]) =>
			makeEnd([{ number: 1, outer: family, inner: family, layers }], Direction.In),
		),
	);
	fc.assert(
		fc.property(
			fc.constantFrom(...engines),
			fc.constantFrom(0x45, 0x46, 0x4f, 0x60, 0x00),
			fc.constantFrom(50, 51, 108, 4, 41, 17, 60, 0, 44),
			fc.uint8Array({ maxLength: 120 }),
			(engine, first, proto, octets) => {
				const packet = octets.slice();
				packet[0] = first;
				if (packet.length > 9) {
					packet[first < 0x50 ? 9 : 6] = proto;
				}
				attack(engine, truncated(packet, packet.length));
			},
		),
		{ numRuns: 3000, includeErrorInReport: true },
	);
});
