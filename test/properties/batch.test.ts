/**
 * A batch of n does what n batches of one do: bytes, verdicts, counters, events, order, and what is left in
 * the states. Both directions, with genuine, repeated, late, damaged and foreign packets mixed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Batch, type Engine, linux61, linux619, PacketAction, type XfrmState } from '@xfrm/engine';
import { formatHex, PacketBuffer } from '@xfrm/wire';
import { Direction, Family, IpProto, Mode } from '@xfrm/wire/xfrm';
import fc from 'fast-check';
import {
	type Association,
	address,
	arriving,
	departing,
	innerAddress,
	type Layer,
	makeEnd,
	NOW_US,
	pseudoRandom,
	send,
	udpPacket,
} from './tunnel-ends.ts';

const { Esp, Ah, Comp } = IpProto;
const { Transport, Tunnel, Beet } = Mode;

const GCM = {
	aead: { name: 'rfc4106(gcm(aes))', icvBits: 128, key: new Uint8Array(20), keyBits: 160 },
};
const CBC = {
	crypt: { name: 'cbc(aes)', key: new Uint8Array(16), keyBits: 128 },
	auth: { name: 'hmac(sha256)', truncBits: 128, key: new Uint8Array(32), keyBits: 256 },
};
const SHA1 = { auth: { name: 'hmac(sha1)', truncBits: 96, key: new Uint8Array(20), keyBits: 160 } };
const DEFLATE = { comp: { name: 'deflate', key: new Uint8Array(0), keyBits: 0 } };

const kinds: readonly (readonly Layer[])[] = [
	[{ proto: Esp, mode: Tunnel, algorithms: GCM }],
	[{ proto: Esp, mode: Tunnel, algorithms: CBC, esn: true, windowPackets: 64 }],
	[{ proto: Esp, mode: Transport, algorithms: GCM, windowPackets: 0 }],
	[{ proto: Esp, mode: Transport, algorithms: CBC, windowPackets: 4 }],
	[{ proto: Esp, mode: Beet, algorithms: GCM }],
	[{ proto: Ah, mode: Transport, algorithms: SHA1 }],
	[{ proto: Ah, mode: Tunnel, algorithms: SHA1, windowPackets: 128 }],
	[{ proto: Comp, mode: Transport, algorithms: DEFLATE }],
	[
		{ proto: Comp, mode: Transport, algorithms: DEFLATE },
		{ proto: Esp, mode: Transport, algorithms: GCM },
	],
	[
		{ proto: Esp, mode: Transport, algorithms: GCM },
		{ proto: Ah, mode: Transport, algorithms: SHA1 },
	],
	[
		{ proto: Esp, mode: Tunnel, algorithms: GCM },
		{ proto: Ah, mode: Transport, algorithms: SHA1, hardPackets: 3 },
	],
	[{ proto: Esp, mode: Tunnel, algorithms: GCM, hardPackets: 4 }],
	[{ proto: Esp, mode: Tunnel, algorithms: GCM, softBytes: 300 }],
	// One key for two transforms of a packet: what follows a transport mode meets the state that waits.
	[{ proto: Esp, mode: Transport, algorithms: GCM, hardPackets: 5, softBytes: 100 }],
];

const associations = fc
	.array(
		fc.record({
			kind: fc.nat({ max: kinds.length - 1 }),
			outer6: fc.boolean(),
			inner6: fc.boolean(),
		}),
		{ minLength: 1, maxLength: 3 },
	)
	.map((chosen) =>
		chosen.map(({ kind, outer6, inner6 }, number): Association => {
			const layers = kinds[kind] ?? [];
			const outer = outer6 ? Family.Ipv6 : Family.Ipv4;
			const crosses = layers.length === 1 && layers[0]?.mode !== Transport;
			const inner = crosses ? (inner6 ? Family.Ipv6 : Family.Ipv4) : outer;
			return { number, outer, inner, layers };
		}),
	);

const parts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 4 });

/** What is left of a packet: its octets only if it goes on. */
function outcomeOf(packet: PacketBuffer): unknown {
	const isGone = packet.action === PacketAction.Drop || packet.action === PacketAction.Consume;
	return {
		action: packet.action,
		verdict: packet.verdict,
		error: packet.error,
		mtu: isGone ? packet.mtu : 0,
		mark: packet.mark,
		octets: isGone ? '' : formatHex(packet.copy()),
		path: packet.path
			.slice(0, packet.pathCount)
			.map((state) => ((state as XfrmState | null)?.spi ?? 0) >>> 0),
	};
}

function remainsOf(engine: Engine): unknown {
	const events: unknown[] = [];
	for (let event = engine.pollEvent(); event !== undefined; event = engine.pollEvent()) {
		events.push(event);
	}
	return {
		counters: [...engine.net.counters],
		events,
		states: [...engine.states()].map((state) => engine.snapshotState(state)),
	};
}

/** Cuts a list into pieces of these lengths, over and over. */
function pieces<T>(list: readonly T[], lengths: readonly number[]): T[][] {
	const cut: T[][] = [];
	for (let at = 0; at < list.length; ) {
		const length = lengths[cut.length % lengths.length] ?? 1;
		cut.push(list.slice(at, at + length));
		at += length;
	}
	return cut;
}

/** What happens to one packet between sender and receiver. */
const fate = fc.record({
	association: fc.nat({ max: 2 }),
	octets: fc.nat({ max: 300 }),
	kind: fc.constantFrom(
		'sent',
		'sent',
		'sent',
		'sent',
		'repeated',
		'late',
		'damaged',
		'cut',
		'foreign',
	),
	at: fc.nat(),
});

type Fate = typeof fate extends fc.Arbitrary<infer T> ? T : never;

/** Packets on the wire, in the order in which they arrive. */
function wireOf(list: readonly Association[], fates: readonly Fate[]): Uint8Array[] {
	const sender = makeEnd(
		list.map((association) => ({
			...association,
			// Limits are the receiver's.
			layers: association.layers.map(({ hardPackets: _, softBytes: __, ...layer }) => layer),
		})),
		Direction.Out,
	);
	const wire: Uint8Array[] = [];
	const late: Uint8Array[] = [];
	for (const { association, octets, kind, at } of fates) {
		const chosen = list[association % list.length] as Association;
		const data = new Uint8Array(octets);
		if (at % 2 === 0) {
			pseudoRandom(at)(data);
		}
		const packet = send(
			sender,
			udpPacket(chosen.inner, innerAddress(chosen, 1), innerAddress(chosen, 2), data),
		);
		assert.ok(packet !== undefined, 'not sent');
		if (kind === 'late') {
			late.push(packet);
			continue;
		}
		if (kind === 'damaged') {
			packet[at % packet.length] = (packet[at % packet.length] ?? 0) ^ (1 << (at % 8));
		} else if (kind === 'foreign') {
			const spiAt = (packet[0] ?? 0) >> 4 === 4 ? 20 : 40;
			packet[spiAt] = 0x77;
		}
		wire.push(kind === 'cut' ? packet.slice(0, 20 + (at % packet.length)) : packet);
		if (kind === 'repeated') {
			wire.push(packet.slice());
		}
		if (at % 5 === 0) {
			wire.push(...late.splice(0));
		}
	}
	return [...wire, ...late];
}

/** Gives packets to `input` in these pieces. */
function receiveIn(
	list: readonly Association[],
	wire: readonly Uint8Array[],
	lengths: readonly number[],
): unknown {
	const engine = makeEnd(list, Direction.In);
	const packets = wire
		.map((packet) => PacketBuffer.from(packet))
		.filter((packet) => arriving(packet));
	for (const piece of pieces(packets, lengths)) {
		engine.input(Batch.of(NOW_US, ...piece));
	}
	const opened = packets.map(outcomeOf);
	const whole = packets.filter(({ action }) => action === PacketAction.Reinject);
	for (const piece of pieces(whole.filter(arriving), lengths)) {
		engine.policyCheck(Batch.of(NOW_US, ...piece), Direction.In);
	}
	return { opened, checked: whole.map(outcomeOf), remains: remainsOf(engine) };
}

// @spec I-4 I-5 I-6 I-8 R-8 L-1 L-3
test('inward: a batch of n is n batches of one', () => {
	fc.assert(
		fc.property(
			associations,
			fc.array(fate, { minLength: 1, maxLength: 60 }),
			parts,
			(list, fates, lengths) => {
				const wire = wireOf(list, fates);
				assert.deepEqual(receiveIn(list, wire, lengths), receiveIn(list, wire, [1]));
			},
		),
		{ numRuns: 150, includeErrorInReport: true },
	);
});

const request = fc.record({
	association: fc.nat({ max: 4 }),
	octets: fc.oneof(fc.nat({ max: 300 }), fc.constant(9100)),
	dontFragment: fc.boolean(),
	noise: fc.nat(),
});

/** Gives packets to `output` in these pieces; some of them meet no policy, or one without a state. */
function sendIn(
	list: readonly Association[],
	requests: readonly (typeof request extends fc.Arbitrary<infer T> ? T : never)[],
	lengths: readonly number[],
	old: boolean,
): unknown {
	const engine = makeEnd(list, Direction.Out, old ? linux61 : linux619);
	const missing: Association = { number: 9, outer: 2, inner: 2, layers: kinds[0] ?? [] };
	const [state] = makeEnd([missing], Direction.Out).policies();
	assert.ok(state !== undefined);
	engine.addPolicy(state.config, NOW_US);
	const packets = requests.map(({ association, octets, dontFragment, noise }) => {
		const chosen = [...list, missing][association];
		const data = new Uint8Array(octets);
		pseudoRandom(noise)(data);
		const packet = departing(
			chosen === undefined
				? udpPacket(2, address('10.9.9.1'), address('10.9.9.2'), data)
				: udpPacket(chosen.inner, innerAddress(chosen, 1), innerAddress(chosen, 2), data),
		);
		packet.dontFragment = dontFragment;
		return packet;
	});
	for (const piece of pieces(packets, lengths)) {
		engine.output(Batch.of(NOW_US, ...piece));
	}
	return { sent: packets.map(outcomeOf), remains: remainsOf(engine) };
}

// @spec O-11 O-12 A-2 L-1 L-3 R-9
test('outward: a batch of n is n batches of one', () => {
	fc.assert(
		fc.property(
			associations,
			fc.array(request, { minLength: 1, maxLength: 60 }),
			parts,
			fc.boolean(),
			(list, requests, lengths, old) => {
				assert.deepEqual(sendIn(list, requests, lengths, old), sendIn(list, requests, [1], old));
			},
		),
		{ numRuns: 150, includeErrorInReport: true },
	);
});
