/** What the policy check tells a tracer, event by event. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PolicyConfig } from '@xfrm/wire/xfrm';
import {
	addPolicy,
	addState,
	arrived,
	batchOf,
	bytes,
	ip,
	join,
	makeNamespace,
	type StateOptions,
	template,
	trace,
	udp,
} from './input-fixture.test.ts';
import { policyCheck } from './policy-check.ts';
import type { TraceEvent } from './trace.ts';

const IN = 0;
const FWD = 2;
const UDP = ip(17, udp());
const ICMP_ERROR = ip(1, join(bytes('0301000000000000'), UDP));

/** An event in one line: objects by their place. */
function lineOf(event: TraceEvent, policies: readonly object[], states: readonly object[]): string {
	const place = (all: readonly object[], one: object | undefined): string =>
		one === undefined ? 'none' : String(all.indexOf(one));
	switch (event.kind) {
		case 'policy': {
			const { table, direction, flow, ifId, winner, embedded } = event;
			const which = `proto ${flow.proto}${embedded ? ' embedded' : ''}`;
			return `${table} ${direction} ${which} if_id ${ifId}: policy ${place(policies, winner)}`;
		}
		case 'template-check': {
			const { policy, position, state, losers, passed } = event;
			const lost = losers.map(({ object, field }) => ` state ${place(states, object)} ${field}`);
			const outcome = `${passed ? 'passed' : 'failed'} by ${place(states, state)}`;
			return `template ${place(policies, policy)}.${position} ${outcome}${lost.join()}`;
		}
		case 'default-policy':
			return `default ${event.direction} ${event.accepted ? 'accepts' : 'blocks'}`;
		default:
			return event.kind;
	}
}

const rows: readonly {
	readonly name: string;
	readonly policies?: readonly Partial<PolicyConfig>[];
	readonly path?: readonly StateOptions[];
	readonly packet?: Uint8Array;
	readonly direction?: number;
	readonly socketId?: number;
	readonly told: readonly string[];
}[] = [
	{ name: 'nothing was asked', told: [] },
	{
		name: 'SUB, MAIN and the default',
		path: [{ mode: 0 }],
		told: [
			'sub 0 proto 17 if_id 0: policy none',
			'main 0 proto 17 if_id 0: policy none',
			'default 0 accepts',
		],
	},
	{
		name: 'SUB wins, MAIN is met too',
		policies: [{ type: 1 }, {}],
		told: ['sub 0 proto 17 if_id 0: policy 0', 'main 0 proto 17 if_id 0: policy 1'],
	},
	{
		name: 'a socket without policies of its own',
		socketId: 42,
		policies: [{}],
		told: ['sub 0 proto 17 if_id 0: policy none', 'main 0 proto 17 if_id 0: policy 0'],
	},
	{
		name: 'an ICMP error, then what it quotes',
		direction: FWD,
		packet: ICMP_ERROR,
		policies: [{ direction: FWD, ifId: 7 }],
		told: [
			'sub 2 proto 1 if_id 0: policy none',
			'main 2 proto 1 if_id 0: policy none',
			'sub 2 proto 17 embedded if_id 0: policy none',
			'main 2 proto 17 embedded if_id 0: policy none',
			'default 2 accepts',
		],
	},
	{
		name: 'templates from the last on, with the states that missed them',
		path: [
			{ mode: 0, proto: 51 },
			{ mode: 1, reqid: 2 },
			{ mode: 1, reqid: 1 },
		],
		policies: [{ templates: [template({ reqid: 1 }), template({ reqid: 2 })] }],
		told: [
			'sub 0 proto 17 if_id 0: policy none',
			'main 0 proto 17 if_id 0: policy 0',
			'template 0.1 passed by 1 state 0 proto',
			'template 0.0 passed by 2',
		],
	},
	{
		name: 'an optional template passes without a state, a required one does not',
		policies: [{ templates: [template(), template({ optional: 1 })] }],
		told: [
			'sub 0 proto 17 if_id 0: policy none',
			'main 0 proto 17 if_id 0: policy 0',
			'template 0.1 passed by none',
			'template 0.0 failed by none',
			'verdict',
		],
	},
];

for (const row of rows) {
	// @spec I-13 I-15 P-22
	test(`a tracer is told: ${row.name}`, () => {
		const net = makeNamespace();
		const states = (row.path ?? []).map((options, i) =>
			addState(net, { ...options, spi: 256 + i }),
		);
		const policies = (row.policies ?? []).map((options) => addPolicy(net, options));
		const events = trace(net);
		const packet = arrived(row.packet ?? UDP);
		for (const state of states) {
			packet.path[packet.pathCount++] = state;
		}
		packet.socketId = row.socketId ?? 0;
		policyCheck(net, batchOf(packet), row.direction ?? IN);
		assert.deepEqual(
			events.map((event) => lineOf(event, policies, states)),
			row.told,
		);
	});
}
