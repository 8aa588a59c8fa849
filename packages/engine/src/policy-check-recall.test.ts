/** Which packets the policy check looks up, and which it lets pass as the one before. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PacketBuffer } from '@xfrm/wire';
import {
	addPolicy,
	addState,
	arrived,
	batchOf,
	bytes,
	counted,
	ip,
	join,
	makeNamespace,
	template,
	trace,
	udp,
} from './input-fixture.test.ts';
import type { Namespace } from './namespace.ts';
import { policyCheck } from './policy-check.ts';
import type { XfrmState } from './state.ts';
import { PacketAction } from './verdict.ts';

const IN = 0;
const FWD = 2;

/** How a packet comes; by default in clear, for local delivery. */
interface Arrival {
	readonly packet?: Uint8Array;
	readonly path?: 'A' | 'B' | 'AB';
	readonly direction?: number;
	readonly ifId?: number;
	readonly socketId?: number;
	readonly verified?: number;
	readonly mark?: number;
}

const UDP = ip(17, udp());
const ICMP_ERROR = ip(1, join(bytes('0301000000000000'), UDP));

function check(
	net: Namespace,
	states: Readonly<Record<string, XfrmState>>,
	arrival: Arrival,
): PacketBuffer {
	const packet = arrived(arrival.packet ?? UDP);
	for (const name of arrival.path ?? '') {
		packet.path[packet.pathCount++] = states[name] ?? null;
	}
	packet.ifId = arrival.ifId ?? 0;
	packet.socketId = arrival.socketId ?? 0;
	packet.verifiedCount = arrival.verified ?? 0;
	packet.mark = arrival.mark ?? 0;
	policyCheck(net, batchOf(packet), arrival.direction ?? IN);
	return packet;
}

/** Counts lookups in tables from now on. */
function countLookups(net: Namespace): { count: number } {
	const lookups = { count: 0 };
	const { spd } = net;
	const { lookup } = spd;
	spd.lookup = (...args) => {
		lookups.count++;
		return lookup.apply(spd, args);
	};
	return lookups;
}

const rows: readonly {
	readonly name: string;
	readonly first?: Arrival;
	readonly second?: Arrival;
	readonly between?: (net: Namespace) => void;
	/** In SUB and MAIN, for the second packet. */
	readonly lookups: number;
}[] = [
	{ name: 'the same flow in clear', lookups: 0 },
	{ name: 'by the same state', first: { path: 'A' }, second: { path: 'A' }, lookups: 0 },
	{ name: 'forwarded', first: { direction: FWD }, second: { direction: FWD }, lookups: 0 },
	{ name: 'another flow', second: { packet: ip(17, udp(undefined, 1001)) }, lookups: 2 },
	{ name: 'another mark', second: { mark: 1 }, lookups: 2 },
	{ name: 'another direction', second: { direction: FWD }, lookups: 2 },
	{ name: 'another interface', second: { ifId: 7 }, lookups: 2 },
	{ name: 'by another state', first: { path: 'A' }, second: { path: 'B' }, lookups: 2 },
	{ name: 'by a state, first in clear', second: { path: 'A' }, lookups: 2 },
	{ name: 'in clear, first by a state', first: { path: 'A' }, lookups: 2 },
	{ name: 'by two states', first: { path: 'AB' }, second: { path: 'AB' }, lookups: 2 },
	{ name: 'of a socket', first: { socketId: 1 }, second: { socketId: 1 }, lookups: 2 },
	{ name: 'checked before', first: { path: 'A' }, second: { path: 'A', verified: 1 }, lookups: 2 },
	{ name: 'first of a socket', first: { socketId: 1 }, lookups: 2 },
	{ name: 'a policy has come', between: (net) => addPolicy(net, { priority: 1 }), lookups: 2 },
	{ name: 'there is a tracer', between: trace, lookups: 2 },
	{
		name: 'an ICMP error that has a policy of its own',
		first: { direction: FWD, packet: ICMP_ERROR },
		second: { direction: FWD, packet: ICMP_ERROR },
		lookups: 0,
	},
	{
		name: 'an ICMP error, by itself and by what it quotes',
		first: { direction: FWD, packet: ICMP_ERROR, ifId: 9 },
		second: { direction: FWD, packet: ICMP_ERROR, ifId: 9 },
		lookups: 4,
	},
];

for (const { name, first = {}, second = {}, between, lookups } of rows) {
	// @spec I-17 I-13
	test(`${lookups === 0 ? 'not looked up anew' : 'looked up anew'}: ${name}`, () => {
		const net = makeNamespace();
		const states = { A: addState(net, { mode: 0 }), B: addState(net, { mode: 0, spi: 2 }) };
		for (const direction of [IN, FWD]) {
			addPolicy(net, { direction });
			addPolicy(net, { direction, ifId: 7 });
		}
		assert.equal(check(net, states, first).action, PacketAction.Pass);
		between?.(net);
		const counter = countLookups(net);
		assert.equal(check(net, states, second).action, PacketAction.Pass);
		assert.equal(counter.count, lookups);
	});
}

// @spec I-10 I-17
test('what passed by its state is refused in clear, and is as verified the second time', () => {
	const net = makeNamespace();
	const states = { A: addState(net, { mode: 1 }), B: addState(net, { mode: 1, spi: 2, reqid: 9 }) };
	addPolicy(net, { templates: [template({ reqid: 1 })] });
	for (const _ of ['first', 'second']) {
		const packet = check(net, states, { path: 'A' });
		assert.deepEqual([packet.action, packet.verifiedCount], [PacketAction.Pass, 1]);
	}
	assert.equal(check(net, states, {}).action, PacketAction.Drop);
	assert.equal(check(net, states, { path: 'B' }).action, PacketAction.Drop);
	assert.deepEqual(counted(net), { XfrmInTmplMismatch: 2 });
});
