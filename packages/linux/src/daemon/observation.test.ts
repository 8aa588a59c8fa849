import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nullProvider } from '@xfrm/crypto/null';
import { Batch, Engine, linux619, PacketAction, ReplayCounter, Verdict } from '@xfrm/engine';
import { ControlType, decodeMessage, type RawMessage, splitMessages } from '@xfrm/netlink';
import { PacketBuffer } from '@xfrm/wire';
import { anySelector, Family, Group, parseAddress, UNLIMITED } from '@xfrm/wire/xfrm';
import { DROP_SAMPLES_MAX } from '../limits.ts';
import { DropSamples } from './drop-samples.ts';
import { DropTable } from './drop-table.ts';
import { Observed, observationRequest, observe, takeObservationRequest } from './observation.ts';
import { OwnDrop } from './own-drops.ts';

const NOW_US = 1_764_000_000_000_000;
const KEY = new Uint8Array(20).fill(0x5a);

function address(text: string): Uint8Array {
	return parseAddress(text)?.address ?? new Uint8Array(16);
}

const STATE = {
	id: { daddr: address('192.0.2.2'), spi: 0x100, proto: 50 },
	saddr: address('192.0.2.1'),
	family: Family.Ipv4,
	selector: anySelector(Family.Ipv4),
	lifetime: UNLIMITED,
	reqid: 7,
	mode: 1,
	replayWindow: 32,
	flags: 0,
	seq: 0,
};

function setUp(marks: readonly number[] = [0]) {
	const engine = new Engine({
		profile: linux619,
		provider: nullProvider(),
		random: (octets) => octets.fill(1),
		route: () => undefined,
	});
	const aead = { name: 'rfc4106(gcm(aes))', key: KEY.slice(), keyBits: 160, icvBits: 128 };
	for (const mark of marks) {
		engine.addState(
			{ ...STATE, aead, ...(mark === 0 ? {} : { mark: { v: mark, m: 0xff } }) },
			NOW_US,
		);
	}
	const drops = new DropTable();
	engine.net.dropWatcher = drops;
	const samples = new DropSamples(engine, drops);
	const interfaces = { named: () => new Map([[-1, 'ipsec0']]) };
	const sources = { engine, drops, samples, own: () => ({ sent: 3 }), interfaces };
	const ask = (what: number, which: number): readonly RawMessage[] => {
		const request = takeObservationRequest(observationRequest(what, which, 9));
		assert.ok(request !== undefined);
		return observe(request, sources, NOW_US).flatMap((datagram) => splitMessages(datagram));
	};
	return { engine, samples, ask };
}

/** ESP from 192.0.2.1 to 192.0.2.2 that is too short for anything but its header. */
function esp(spi: number, seq: number): PacketBuffer {
	const bytes = new Uint8Array(64);
	bytes.set([0x45, 0, 0, 64, 0, 0, 0, 0, 64, 50, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
	const view = new DataView(bytes.buffer);
	view.setUint32(20, spi);
	view.setUint32(24, seq);
	const packet = PacketBuffer.from(bytes);
	packet.family = Family.Ipv4;
	packet.proto = 50;
	packet.transportAt = packet.start + 20;
	packet.nextHeaderAt = packet.start + 9;
	return packet;
}

function json(messages: readonly RawMessage[]): Record<string, unknown> {
	const text = messages.filter(({ type }) => type === 0x7866).map(({ payload }) => payload);
	return JSON.parse(Buffer.concat(text).toString());
}

test('a datagram of NETLINK_XFRM is no observation, nor is half of one', () => {
	const whole = observationRequest(Observed.Numbers, 0, 1);
	assert.ok(takeObservationRequest(whole) !== undefined);
	const other = whole.slice();
	other[4] = 0x12;
	for (const datagram of [other, whole.subarray(0, 20), new Uint8Array(0)]) {
		assert.equal(takeObservationRequest(datagram), undefined);
	}
});

test('numbers are told as JSON, and end', () => {
	const { engine, ask } = setUp();
	engine.input(Batch.of(NOW_US, esp(5, 1)));
	const answers = ask(Observed.Numbers, 0);
	assert.equal(answers.at(-1)?.type, ControlType.Done);
	const told = json(answers);
	assert.equal((told['counters'] as Record<string, number>)['XfrmInNoStates'], 1);
	assert.deepEqual(told['drops'], [
		{
			counter: 'XfrmInNoStates',
			code: 'in.state.none',
			policy: null,
			state: null,
			packets: 1,
		},
	]);
	assert.deepEqual(told['devices'], [{ name: 'ipsec0', if_id: 0xffff_ffff }]);
	assert.deepEqual([told['states'], told['policies'], told['own']], [1, 0, { sent: 3 }]);
});

test('a drop is kept with its packet and its tables; keys that are wiped are not told', () => {
	const { engine, samples, ask } = setUp();
	const packet = esp(5, 1);
	const came = packet.copy();
	samples.begin([packet], NOW_US);
	engine.input(Batch.of(NOW_US, packet));
	packet.bytes.fill(0);
	samples.note(packet, 'inward', NOW_US);
	engine.flushStates(0, NOW_US);
	const answers = ask(Observed.Drop, 0);
	const head = json(answers);
	assert.equal(head['packet'], Buffer.from(came).toString('hex'));
	assert.deepEqual(
		[head['counter'], head['whole'], head['way']],
		['XfrmInNoStates', true, 'inward'],
	);
	assert.deepEqual(head['wiped'], ['50 256 192.0.2.2']);
	const [state] = answers.flatMap((raw) => decodeMessage(raw) ?? []);
	assert.equal(state?.name, 'newsa');
	const key = state?.attributes.find(({ name }) => name === 'algAead');
	assert.doesNotMatch(JSON.stringify(key), /90/, '0x5a');
	assert.deepEqual(
		ask(Observed.Drop, 1).map(({ type }) => type),
		[ControlType.Done],
	);
});

test('of states that differ in their mark alone the right one is told to be wiped', () => {
	const { engine, samples, ask } = setUp([1, 2]);
	const packet = esp(5, 1);
	packet.verdict = Verdict.InNoStates;
	samples.note(packet, 'inward', NOW_US);
	const { id, family } = STATE;
	engine.deleteState({ id, family, mark: 2 }, NOW_US);
	assert.deepEqual(json(ask(Observed.Drop, 0))['wiped'], ['50 256 192.0.2.2 mark 0x2/0xff']);
});

test('a larval state that came since the drop before is among the tables', () => {
	const { engine, samples, ask } = setUp();
	const drop = (verdict: number): void => {
		const packet = esp(5, 1);
		packet.verdict = verdict;
		samples.note(packet, 'inward', NOW_US);
	};
	drop(Verdict.InNoStates);
	const { id, saddr, family, reqid, mode } = STATE;
	const asked = {
		family,
		saddr,
		id: { ...id, spi: 0 },
		reqid,
		mode,
		seq: 0,
		min: 0x500,
		max: 0x500,
	};
	assert.equal(engine.allocSpi(asked, NOW_US).refusal, undefined);
	drop(Verdict.AcquireError);
	const spis = (which: number) =>
		ask(Observed.Drop, which)
			.flatMap((raw) => decodeMessage(raw) ?? [])
			.flatMap((one) => (one.name === 'newsa' ? [one.body.id.spi] : []));
	assert.deepEqual([spis(0), spis(1)], [[0x500, 0x100], [0x100]]);
});

test('a larval state that a packet itself has asked for was not there before it', () => {
	const { engine, samples, ask } = setUp();
	const packet = esp(5, 1);
	const spisAt = (nowUs: number, run: () => void) => {
		samples.begin([packet], nowUs);
		run();
		packet.verdict = Verdict.OutNoStates;
		samples.note(packet, 'outward', nowUs);
		return ask(Observed.Drop, 0)
			.flatMap((raw) => decodeMessage(raw) ?? [])
			.flatMap((one) => (one.name === 'newsa' ? [one.body.id.spi] : []));
	};
	// As an acquire does.
	const acquire = (): void => {
		const { id, saddr, family, reqid, mode } = STATE;
		const asked = { family, saddr, id, reqid, mode, seq: 0, min: 0x500, max: 0x500 };
		const { value } = engine.allocSpi(asked, NOW_US);
		assert.ok(value !== undefined);
		value.seq = ++engine.net.acquireSeq;
	};
	assert.deepEqual(spisAt(NOW_US, acquire), [0x100]);
	assert.deepEqual(
		spisAt(NOW_US + 2_000_000, () => {}),
		[0x500, 0x100],
	);
});

test('whether a key manager listens is told', () => {
	const { engine, samples, ask } = setUp();
	const heard = () => [
		json(ask(Observed.Numbers, 0))['heard'],
		json(ask(Observed.Drop, 0))['heard'],
	];
	for (const [atUs, listeners] of [
		[NOW_US, 0],
		[NOW_US + 2_000_000, 1 << (Group.Acquire - 1)],
	] as const) {
		const packet = esp(5, 1);
		packet.verdict = Verdict.OutNoStates;
		engine.net.listeners = listeners;
		samples.note(packet, 'outward', atUs);
		assert.deepEqual(heard(), [listeners !== 0, listeners !== 0]);
	}
});

test('a state that a packet has met at its hard limit is told with it, though it went on the spot', () => {
	const { engine, samples, ask } = setUp();
	const aead = { name: 'rfc4106(gcm(aes))', key: KEY.slice(), keyBits: 160, icvBits: 128 };
	const lifetime = { ...UNLIMITED, hardPacketLimit: 1 };
	engine.addState({ ...STATE, id: { ...STATE.id, spi: 0x300 }, aead, lifetime }, NOW_US);
	for (const state of engine.states()) {
		// It has had its packet.
		state.lifetime[1] = state.spi === 0x300 ? 1 : 0;
	}
	const packet = esp(0x300, 1);
	samples.begin([packet], NOW_US);
	engine.input(Batch.of(NOW_US, packet));
	samples.note(packet, 'inward', NOW_US);
	const answers = ask(Observed.Drop, 0);
	const head = json(answers);
	assert.equal(head['counter'], 'XfrmInStateExpired');
	assert.deepEqual(head['wiped'], ['50 768 192.0.2.2']);
	const spis = answers
		.flatMap((raw) => decodeMessage(raw) ?? [])
		.flatMap((one) => (one.name === 'newsa' ? [one.body.id.spi] : []));
	assert.deepEqual(spis, [0x300, 0x100]);
});

test('what the data plane itself refuses is counted by cause, and kept with its device', () => {
	const { samples, ask } = setUp();
	const packet = esp(5, 1);
	packet.ifId = 42;
	samples.refuse(packet, OwnDrop.Carrier, 'host.link-failure', true, NOW_US);
	const [drop] = json(ask(Observed.Numbers, 0))['drops'] as readonly Record<string, unknown>[];
	assert.deepEqual(
		[drop?.['counter'], drop?.['code'], drop?.['packets']],
		['carrier', 'host.link-failure', 1],
	);
	const head = json(ask(Observed.Drop, 0));
	assert.deepEqual(
		[head['counter'], head['code'], head['if_id'], head['way'], head['whole']],
		['carrier', 'host.link-failure', 42, 'outward', true],
	);
});

test('a packet that comes alone is kept as it came, whatever its length', () => {
	for (const octets of [28, 29, 30, 31, 2047, 2048]) {
		const { samples } = setUp();
		const packet = PacketBuffer.from(Uint8Array.from({ length: octets }, (_, i) => i + octets));
		const came = packet.copy();
		samples.begin([packet], NOW_US);
		packet.bytes.fill(0);
		packet.verdict = Verdict.InNoStates;
		samples.note(packet, 'inward', NOW_US);
		const [sample] = samples.list();
		assert.deepEqual(sample?.packet, came);
		assert.equal(sample?.isWhole, true);
	}
});

test('of a crowd, what a state does not admit is whole: it was not opened', () => {
	const { engine, samples, ask } = setUp();
	const crowd = [1, 1, 1].map((seq) => esp(0x100, seq));
	const came = crowd.map((packet) => packet.copy());
	for (const state of engine.states()) {
		// Its top is far ahead.
		state.replay.counters[ReplayCounter.Seq] = 1000;
	}
	samples.begin(crowd, NOW_US);
	engine.input(Batch.of(NOW_US, ...crowd));
	for (const packet of crowd) {
		samples.note(packet, 'inward', NOW_US);
	}
	const head = json(ask(Observed.Drop, 0));
	assert.deepEqual([head['counter'], head['whole']], ['XfrmInStateSeqError', true]);
	assert.equal(head['packet'], Buffer.from(came[0] ?? []).toString('hex'));
});

test('of a crowd, what was opened or came in UDP is not whole', () => {
	for (const change of [
		{ isOpened: true },
		{ isOpened: false, encapType: 2 },
		{ isOpened: false, verdict: Verdict.InStateProtoError },
	]) {
		const { engine, samples } = setUp();
		const packet = esp(0x100, 1);
		const [state] = engine.states();
		packet.path[packet.pathCount++] = state ?? null;
		packet.encapType = change.encapType ?? 0;
		packet.verdict = change.verdict ?? Verdict.InStateMismatch;
		samples.begin([packet, esp(0x100, 2)], NOW_US);
		samples.note(packet, 'inward', NOW_US, change.isOpened);
		assert.equal(samples.list()[0]?.isWhole, false);
	}
});

test('a whole packet of one kind does not end the wait for one of another', () => {
	const { engine, samples } = setUp();
	const [state = null] = engine.states();
	const come = (atUs: number): readonly boolean[] => {
		const [forged, unknown] = [esp(0x100, 1), esp(5, 1)];
		samples.begin([forged, unknown], atUs);
		forged.path[forged.pathCount++] = state;
		forged.verdict = Verdict.InStateProtoError;
		unknown.verdict = Verdict.InNoStates;
		samples.note(forged, 'inward', atUs);
		samples.note(unknown, 'inward', atUs);
		return samples.list().map(({ isWhole }) => isWhole);
	};
	assert.deepEqual(come(NOW_US), [true, false]);
	assert.deepEqual(come(NOW_US + 1000), [true, true, false]);
});

test('of a flood little is kept: one a second of each verdict, and a bounded number', () => {
	const { samples } = setUp();
	const drop = (verdict: number, atUs: number): void => {
		const packet = esp(5, 1);
		packet.verdict = verdict;
		packet.action = PacketAction.Drop;
		samples.note(packet, 'inward', atUs);
	};
	for (let i = 0; i < 10; i++) {
		drop(Verdict.InNoStates, NOW_US + i);
		drop(Verdict.InHdrError, NOW_US + i);
	}
	assert.equal(samples.list().length, 2);
	for (let i = 1; i <= DROP_SAMPLES_MAX + 5; i++) {
		drop(Verdict.InNoStates, NOW_US + i * 2_000_000);
	}
	assert.equal(samples.list().length, DROP_SAMPLES_MAX);
	assert.equal(samples.list()[0]?.timeUs, NOW_US + (DROP_SAMPLES_MAX + 5) * 2_000_000);
});
