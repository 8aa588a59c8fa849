/** Which packets of a batch share a call of the provider, and that a batch decides as its packets would alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UNLIMITED } from '@xfrm/wire/xfrm';
import { input } from './input.ts';
import {
	addState,
	arrived,
	batchOf,
	esp,
	ip,
	makeNamespace,
	pickyProvider,
	SPI,
	type StateOptions,
	udp,
} from './input-fixture.test.ts';
import { linux619 } from './kernel-profile.ts';
import { PacketAction, Verdict } from './verdict.ts';

const INNER = ip(17, udp(), { src: '10.0.0.1', dst: '10.1.0.1', ttl: 33 });

/** How many jobs each call of the provider had for these batches; `other` of two states is SPI 0xc0000099. */
function jobsOf(
	state: StateOptions,
	batches: readonly (readonly Uint8Array[])[],
	other: StateOptions = state,
): number[] {
	const provider = pickyProvider();
	const net = makeNamespace(linux619, provider);
	addState(net, state);
	addState(net, { ...other, spi: 0xc0000099 });
	for (const packets of batches) {
		input(net, batchOf(...packets.map(arrived)));
	}
	return provider.calls;
}

function espOf(seq: number, spi: number = SPI): Uint8Array {
	return ip(50, esp(INNER, { seq, spi }));
}

// @spec I-4 R-8
test('packets that do not depend on each other share a call of the provider', () => {
	const rising = [espOf(1), espOf(2), espOf(5), espOf(1, 0xc0000099), espOf(6)];
	const esn = {
		replayEsn: {
			bmpLen: 1,
			oseq: 0,
			seq: 0,
			oseqHi: 0,
			seqHi: 0,
			replayWindow: 32,
			bmp: new Uint32Array(1),
		},
		flags: 128,
		replayWindow: 0,
	};
	const cases: readonly (readonly [string, StateOptions, readonly Uint8Array[], number[]])[] = [
		['rising numbers of two states', {}, rising, [5]],
		['rising numbers, high ones', {}, [espOf(0x50000000), espOf(0x60000000)], [2]],
		['a number not above the last one', {}, [espOf(2), espOf(1), espOf(3)], [1, 2]],
		['the same number twice is opened once', {}, [espOf(2), espOf(2)], [1]],
		['no window, any order', { replayWindow: 0 }, [espOf(2), espOf(1), espOf(2)], [3]],
		['ESN: the next subspace waits', esn, [espOf(9), espOf(0xfffffff0), espOf(10)], [1, 1, 1]],
		[
			'a limit far away changes nothing',
			{ lifetime: { ...UNLIMITED, hardByteLimit: 1e12 } },
			[espOf(1), espOf(2)],
			[2],
		],
		[
			'a limit that is near means one by one',
			{ lifetime: { ...UNLIMITED, softPacketLimit: 300 } },
			[espOf(1), espOf(2)],
			[1, 1],
		],
		['a state that is not there has no job', {}, [espOf(1), espOf(1, 0xc0000002), espOf(2)], [2]],
		['64 jobs a call', {}, Array.from({ length: 65 }, (_, i) => espOf(i + 1)), [64, 1]],
	];
	for (const [name, state, packets, calls] of cases) {
		assert.deepEqual(jobsOf(state, [packets]), calls, name);
	}
});

// @spec I-4 R-8
test('only what waits now is waited for', () => {
	// 40 is above 2, which waited at its place before, and not above 50.
	assert.deepEqual(
		jobsOf({}, [
			[espOf(1), espOf(2)],
			[espOf(50), espOf(40)],
		]),
		[2, 1, 1],
	);
});

// @spec L-1 R-8
test('a state near its limit shares no call with another one', () => {
	const near = { lifetime: { ...UNLIMITED, softPacketLimit: 300 } };
	const packets = [espOf(1), espOf(1, 0xc0000099), espOf(2)];
	assert.deepEqual(jobsOf({}, [packets], near), [1, 1, 1]);
});

// @spec L-1 L-2
test('the packet that reaches a hard limit ends the state for the rest of its batch', () => {
	const net = makeNamespace();
	addState(net, { lifetime: { ...UNLIMITED, hardPacketLimit: 2 } });
	const packets = [1, 2, 3, 4].map((seq) => arrived(espOf(seq)));
	input(net, batchOf(...packets));
	assert.deepEqual(
		packets.map(({ action, verdict }) => [action, verdict]),
		[
			[PacketAction.Reinject, Verdict.Pass],
			[PacketAction.Reinject, Verdict.Pass],
			[PacketAction.Drop, Verdict.InStateExpired],
			[PacketAction.Drop, Verdict.InNoStates],
		],
	);
});
