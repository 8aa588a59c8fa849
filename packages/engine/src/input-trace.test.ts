/** What input tells a tracer, event by event, with the octets before and after each step. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatHex, type PacketBuffer } from '@xfrm/wire';
import { input } from './input.ts';
import {
	addState,
	ah,
	arrived,
	batchOf,
	bytes,
	esp,
	ip,
	makeNamespace,
	type StateOptions,
	trace,
	udp,
} from './input-fixture.test.ts';
import type { TraceEvent } from './trace.ts';

const INNER = ip(17, udp(), { src: '10.0.0.1', dst: '10.1.0.1' });
const AH_SPI = 0xc0000051;
const OUTER_AH: StateOptions = { proto: 51, mode: 0, spi: AH_SPI };

/** An event without its objects, which are told by their place. */
function told(event: TraceEvent, states: readonly object[]): readonly unknown[] {
	const place = (state: object | undefined): number => (state ? states.indexOf(state) : -1);
	switch (event.kind) {
		case 'state-lookup':
			return [event.kind, event.proto, place(event.winner)];
		case 'transform': {
			const { operation, state, before, after, details } = event;
			return [operation, place(state), formatHex(before), formatHex(after), details];
		}
		case 'verdict':
			return [event.kind, event.code, place(event.state)];
		default:
			return [event.kind];
	}
}

const SEALED = ip(50, esp(INNER, { seq: 9 }));
/** ESP's header stays until the mode is done; its trailer is gone. */
const OPENED = SEALED.subarray(0, SEALED.length - 16 - 2 - (-(INNER.length + 2) & 3));
const IN_AH = ip(51, ah(esp(INNER), { spi: AH_SPI, next: 50 }));
/** The IP header keeps AH's number and its checksum until all is done. */
const BEHIND_AH = ip(51, esp(INNER));
BEHIND_AH.set(IN_AH.subarray(10, 12), 10);
const OPENED_BEHIND_AH = BEHIND_AH.subarray(0, OPENED.length);

const open = { spi: '0xc0de0001', seq: 9, icv: 16, payload: INNER.length, proto: 4 };

const rows: readonly {
	readonly name: string;
	readonly packet: Uint8Array;
	readonly before?: (packet: PacketBuffer) => void;
	readonly states?: readonly StateOptions[];
	readonly told: readonly (readonly unknown[])[];
}[] = [
	{
		name: 'a tunnel packet',
		packet: SEALED,
		told: [
			['state-lookup', 50, 0],
			['open', 0, formatHex(SEALED), formatHex(OPENED), open],
			['mode', 0, formatHex(OPENED), formatHex(INNER), { mode: 1, proto: 4 }],
		],
	},
	{
		name: 'a tunnel behind an AH',
		packet: IN_AH,
		states: [{}, OUTER_AH],
		told: [
			['state-lookup', 51, 1],
			[
				'open',
				1,
				formatHex(IN_AH),
				formatHex(IN_AH),
				{ spi: '0xc0000051', seq: 1, icv: 12, payload: esp(INNER).length, proto: 50 },
			],
			['mode', 1, formatHex(IN_AH), formatHex(BEHIND_AH), { mode: 0, proto: 50 }],
			['state-lookup', 50, 0],
			['open', 0, formatHex(BEHIND_AH), formatHex(OPENED_BEHIND_AH), { ...open, seq: 1 }],
			['mode', 0, formatHex(OPENED_BEHIND_AH), formatHex(INNER), { mode: 1, proto: 4 }],
		],
	},
	{
		name: 'a header that is cut short is not looked up',
		packet: ip(50, bytes('c0de0001000000')),
		told: [['verdict', 'in.header.short', -1]],
	},
	{
		name: 'nor is one that is too deep',
		packet: SEALED,
		before: (packet) => {
			packet.pathCount = 6;
		},
		told: [['verdict', 'in.depth', -1]],
	},
	{
		name: 'a state that is not there',
		packet: ip(50, esp(INNER, { spi: 0x77777777 })),
		told: [
			['state-lookup', 50, -1],
			['verdict', 'in.state.none', -1],
		],
	},
	{
		name: 'a number that was used already',
		packet: ip(50, esp(INNER, { seq: 0 })),
		told: [['state-lookup', 50, 0], ['state-check'], ['verdict', 'in.replay.zero', 0]],
	},
];

for (const row of rows) {
	// @spec I-3 I-4 I-8
	test(`a tracer is told of ${row.name}`, () => {
		const net = makeNamespace();
		const states = (row.states ?? [{}]).map((options) => addState(net, options));
		const events = trace(net);
		const packet = arrived(row.packet);
		row.before?.(packet);
		input(net, batchOf(packet));
		assert.deepEqual(
			events.map((event) => told(event, states)),
			row.told,
		);
	});
}
