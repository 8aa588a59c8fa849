/**
 * The winner that a tracer is told is the one that acts, for random rule sets, packets of both directions,
 * and both profiles: the story and the deed come from the same code. And a tracer changes nothing.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeProvider } from '@xfrm/crypto/node';
import {
	Batch,
	Engine,
	type KernelProfile,
	linux61,
	linux619,
	PacketAction,
	type TraceEvent,
	type XfrmState,
} from '@xfrm/engine';
import { formatHex, PacketBuffer } from '@xfrm/wire';
import {
	anyAddress,
	anySelector,
	Direction,
	Family,
	IpProto,
	Mode,
	type PolicyConfig,
	type StateConfig,
	UNLIMITED,
} from '@xfrm/wire/xfrm';
import fc from 'fast-check';
import { address, arriving, departing, NOW_US, pseudoRandom, udpPacket } from './tunnel-ends.ts';

/** Few hosts and few numbers, so that rules meet each other. */
const source = fc.constantFrom('10.0.0.1', '10.0.0.1', '10.0.0.1', '10.0.0.2');
const destination = fc.constantFrom('10.0.1.1', '10.0.1.1', '10.0.1.1', '10.0.0.2');
const prefix = fc.constantFrom(0, 8, 16, 24, 32, 32);
const priority = fc.constantFrom(0, 0, 0, 5, 9);
const reqid = fc.constantFrom(1, 1, 1, 0, 2);
const mark = fc.constantFrom(
	undefined,
	undefined,
	undefined,
	undefined,
	{ v: 1, m: 1 },
	{ v: 0, m: 3 },
);
const spi = fc.constantFrom(0xc0000001, 0xc0000002, 0xc0000003, 0xc0000004);

const templateRule = fc.record({
	mode: fc.constantFrom(Mode.Transport, Mode.Tunnel),
	reqid,
	optional: fc.constantFrom(0, 0, 1),
});

const policyRule = fc.record({
	source,
	sourceBits: prefix,
	destination,
	destinationBits: prefix,
	dport: fc.constantFrom(0, 0, 2222, 7),
	priority,
	direction: fc.constantFrom(Direction.Out, Direction.In),
	type: fc.constantFrom(0, 0, 1),
	action: fc.constantFrom(0, 0, 0, 1),
	mark,
	ifId: fc.constantFrom(0, 0, 0, 0, 0, 7),
	templates: fc.oneof(
		{ weight: 3, arbitrary: fc.array(templateRule, { minLength: 1, maxLength: 1 }) },
		{ weight: 1, arbitrary: fc.array(templateRule, { maxLength: 2 }) },
	),
});

const stateRule = fc.record({
	source,
	destination,
	spi,
	mode: fc.constantFrom(Mode.Transport, Mode.Tunnel),
	reqid,
	mark,
	ifId: fc.constantFrom(0, 0, 0, 0, 0, 7),
	narrow: fc.boolean(),
});

const packetRule = fc.record({
	source,
	destination,
	mark: fc.constantFrom(0, 0, 1, 2),
	ifId: fc.constantFrom(0, 0, 0, 0, 7),
	octets: fc.nat({ max: 60 }),
});

type ValueOf<T> = T extends fc.Arbitrary<infer Value> ? Value : never;
type PolicyRule = ValueOf<typeof policyRule>;
type StateRule = ValueOf<typeof stateRule>;
type PacketRule = ValueOf<typeof packetRule>;

function policyOf(rule: PolicyRule): PolicyConfig {
	return {
		selector: {
			...anySelector(Family.Ipv4),
			saddr: address(rule.source),
			prefixlenS: rule.sourceBits,
			daddr: address(rule.destination),
			prefixlenD: rule.destinationBits,
			dport: rule.dport,
			dportMask: rule.dport === 0 ? 0 : 0xffff,
		},
		lifetime: UNLIMITED,
		priority: rule.priority,
		index: 0,
		direction: rule.direction,
		action: rule.action,
		flags: 0,
		share: 0,
		type: rule.type,
		templates: rule.templates.map(({ mode, reqid: number, optional }) => ({
			id: {
				daddr: mode === Mode.Tunnel ? address('10.0.1.1') : anyAddress(),
				spi: 0,
				proto: IpProto.Esp,
			},
			saddr: mode === Mode.Tunnel ? address('10.0.0.1') : anyAddress(),
			family: Family.Ipv4,
			reqid: number,
			mode,
			share: 0,
			optional: mode === Mode.Tunnel && rule.direction === Direction.Out ? 0 : optional,
			aalgos: 0xffffffff,
			ealgos: 0xffffffff,
			calgos: 0xffffffff,
		})),
		...(rule.mark === undefined ? {} : { mark: rule.mark }),
		...(rule.ifId === 0 ? {} : { ifId: rule.ifId }),
	};
}

function stateOf(rule: StateRule): StateConfig {
	return {
		id: { daddr: address(rule.destination), spi: rule.spi, proto: IpProto.Esp },
		saddr: address(rule.source),
		family: Family.Ipv4,
		selector: rule.narrow
			? { ...anySelector(Family.Ipv4), dport: 2222, dportMask: 0xffff }
			: anySelector(Family.Ipv4),
		lifetime: UNLIMITED,
		reqid: rule.reqid,
		mode: rule.mode,
		replayWindow: 0,
		flags: 0,
		seq: 0,
		aead: {
			name: 'rfc4106(gcm(aes))',
			icvBits: 128,
			key: new Uint8Array(20).fill(rule.spi & 255),
			keyBits: 160,
		},
		...(rule.mark === undefined ? {} : { mark: rule.mark }),
		...(rule.ifId === 0 ? {} : { ifId: rule.ifId }),
	};
}

/** An engine with these rules; those that Linux would refuse are left out. */
function makeEngine(
	profile: KernelProfile,
	policies: readonly PolicyRule[],
	states: readonly StateRule[],
	events: TraceEvent[] | null,
): Engine {
	const engine = new Engine({
		profile,
		provider: nodeProvider(),
		random: pseudoRandom(3),
		route: (family) => ({
			family,
			ifindex: 2,
			loopback: false,
			kind: 'unicast',
			source: address('10.0.0.1'),
			mtu: 1500,
			hopLimit: 64,
			noXfrm: false,
		}),
		routeGeneration: () => 1,
	});
	engine.net.listeners = 0xff;
	for (const [i, rule] of policies.entries()) {
		engine.addPolicy(policyOf(rule), NOW_US + i * 1e6);
	}
	for (const [i, rule] of states.entries()) {
		engine.addState(stateOf(rule), NOW_US + i * 1e6);
	}
	if (events !== null) {
		engine.net.tracer = { note: (event) => events.push(event) };
	}
	return engine;
}

function outcome(packet: PacketBuffer): unknown {
	return [packet.action, packet.verdict, packet.error, packet.mark, formatHex(packet.copy())];
}

function spisOf(packet: PacketBuffer): number[] {
	return packet.path.slice(0, packet.pathCount).map((state) => (state as XfrmState).spi >>> 0);
}

function send(engine: Engine, rule: PacketRule, at: number): PacketBuffer {
	const packet = departing(
		udpPacket(2, address(rule.source), address(rule.destination), new Uint8Array(rule.octets)),
	);
	packet.mark = rule.mark;
	packet.flow.mark = rule.mark;
	packet.ifId = rule.ifId;
	engine.output(Batch.of(NOW_US + at * 1e6, packet));
	return packet;
}

/** SPIs in the headers of a packet, outermost first, as far as they are readable: the first. */
function outermostSpi(packet: PacketBuffer): number | undefined {
	return packet.view.getUint8(packet.start + 9) === IpProto.Esp
		? packet.view.getUint32(packet.start + 20)
		: undefined;
}

const rules = fc.record({
	policies: fc.array(policyRule, { minLength: 1, maxLength: 10 }),
	states: fc.array(stateRule, { minLength: 2, maxLength: 10 }),
	packets: fc.array(packetRule, { minLength: 1, maxLength: 12 }),
	old: fc.boolean(),
});

// @spec P-1 P-2 P-3 P-4 P-4b P-15 P-20 S-21 S-23 A-2
test('outward: traced winners are those that act, and a tracer changes nothing', () => {
	fc.assert(
		fc.property(rules, ({ policies, states, packets, old }) => {
			const profile = old ? linux61 : linux619;
			const events: TraceEvent[] = [];
			const plain = makeEngine(profile, policies, states, null);
			const traced = makeEngine(profile, policies, states, events);
			for (const [i, rule] of packets.entries()) {
				events.length = 0;
				const packet = send(traced, rule, 100 + i);
				assert.deepEqual(outcome(packet), outcome(send(plain, rule, 100 + i)));
				const found = events.flatMap((event) =>
					event.kind === 'state-select' && event.outcome === 'found' ? [event.winner] : [],
				);
				const onWire = outermostSpi(packet);
				if (onWire !== undefined) {
					assert.equal((found.at(-1)?.spi ?? 0) >>> 0, onWire);
				}
				const used = policiesUsed(plain, 100 + i);
				// A policy whose state is missing has not been used (P-15).
				const isMissing = used.length === 0 && packet.action === PacketAction.Drop;
				assert.deepEqual(isMissing ? [] : policiesMet(events), used);
				assertLosers(events);
			}
			assert.deepEqual(remains(traced), remains(plain));
		}),
		{ numRuns: 800, includeErrorInReport: true },
	);
});

// @spec S-3 I-12 I-15 P-22
test('inward: traced winners are those that act, and a tracer changes nothing', () => {
	fc.assert(
		fc.property(rules, ({ policies, states, packets, old }) => {
			const profile = old ? linux61 : linux619;
			const sender = makeEngine(profile, policies, states, null);
			const wire = packets
				.map((rule, i) => send(sender, rule, 100 + i))
				.filter((packet) => packet.action === PacketAction.Transformed)
				.map((packet, i) => [packet.copy(), packets[i]?.mark ?? 0, packets[i]?.ifId ?? 0] as const);
			const events: TraceEvent[] = [];
			const plain = makeEngine(profile, policies, states, null);
			const traced = makeEngine(profile, policies, states, events);
			for (const [i, [octets, packetMark, ifId]] of wire.entries()) {
				events.length = 0;
				const packet = take(traced, octets, packetMark, ifId, 500 + i);
				const twin = take(plain, octets, packetMark, ifId, 500 + i);
				assert.deepEqual(outcome(packet), outcome(twin));
				assert.deepEqual(spisOf(packet), spisOf(twin));
				const winners = events.flatMap((event) =>
					event.kind === 'state-lookup' && event.winner !== undefined
						? [event.winner.spi >>> 0]
						: [],
				);
				assert.deepEqual(winners, spisOf(packet));
				assert.deepEqual(policiesMet(events), policiesUsed(plain, 500 + i));
				assertLosers(events);
			}
			assert.deepEqual(remains(traced), remains(plain));
		}),
		{ numRuns: 800, includeErrorInReport: true },
	);
});

/** Indexes of the policies that won a lookup. */
function policiesMet(events: readonly TraceEvent[]): number[] {
	const met = events.flatMap((event) =>
		event.kind === 'policy' && event.winner !== undefined ? [event.winner.index] : [],
	);
	return [...new Set(met)].sort((a, b) => a - b);
}

/** Indexes of the policies whose last use is this second. */
function policiesUsed(engine: Engine, at: number): number[] {
	return [...engine.policies()]
		.filter((policy) => engine.snapshotPolicy(policy).lifetimeCurrent.useTime === NOW_US / 1e6 + at)
		.map(({ index }) => index)
		.sort((a, b) => a - b);
}

/** Opens a packet and asks the policies. */
function take(
	engine: Engine,
	octets: Uint8Array,
	packetMark: number,
	ifId: number,
	at: number,
): PacketBuffer {
	const packet = PacketBuffer.from(octets);
	packet.mark = packetMark;
	packet.ifId = ifId;
	for (let round = 0; arriving(packet) && packet.proto === IpProto.Esp && round < 6; round++) {
		const batch = Batch.of(NOW_US + at * 1e6, packet);
		engine.input(batch);
		if (packet.action === PacketAction.Drop) {
			return packet;
		}
	}
	packet.flow.oif = 1;
	engine.policyCheck(Batch.of(NOW_US + at * 1e6, packet), Direction.In);
	return packet;
}

/** A winner is no loser, no object loses twice, and every loser has a field. */
function assertLosers(events: readonly TraceEvent[]): void {
	for (const event of events) {
		if (event.kind === 'policy' || event.kind === 'state-lookup' || event.kind === 'state-select') {
			const losers: readonly object[] = event.losers.map(({ object }) => object);
			assert.equal(new Set(losers).size, losers.length);
			assert.ok(event.winner === undefined || !losers.includes(event.winner));
			assert.ok(event.losers.every(({ field }) => field !== ''));
		}
	}
}

function remains(engine: Engine): unknown {
	const events: unknown[] = [];
	for (let event = engine.pollEvent(); event !== undefined; event = engine.pollEvent()) {
		events.push(event);
	}
	return {
		counters: [...engine.net.counters],
		events,
		states: [...engine.states()].map((state) => engine.snapshotState(state)),
		policies: [...engine.policies()].map((policy) => engine.snapshotPolicy(policy)),
	};
}
