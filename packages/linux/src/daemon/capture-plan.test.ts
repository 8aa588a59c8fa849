import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
	anyAddress,
	anySelector,
	DefaultAction,
	Direction,
	Family,
	Mode,
	PolicyAction,
	type PolicySnapshot,
	type Template,
} from '@xfrm/wire/xfrm';
import { type CapturePlan, capturePlan, demandsProtection } from './capture-plan.ts';

const ACCEPT = DefaultAction.Accept;
const NONE: readonly [number, number, number] = [ACCEPT, ACCEPT, ACCEPT];

function template(optional: number): Template {
	return {
		id: { daddr: anyAddress(), spi: 0, proto: 50 },
		saddr: anyAddress(),
		family: Family.Ipv4,
		reqid: 1,
		mode: Mode.Tunnel,
		share: 0,
		optional,
		aalgos: 0,
		ealgos: 0,
		calgos: 0,
	};
}

function policy(direction: Direction, changes: Partial<PolicySnapshot> = {}): PolicySnapshot {
	const none = Number.POSITIVE_INFINITY;
	const { Allow } = PolicyAction;
	return {
		selector: anySelector(Family.Ipv4),
		lifetime: {
			softByteLimit: none,
			hardByteLimit: none,
			softPacketLimit: none,
			hardPacketLimit: none,
			softAddExpiresSeconds: 0,
			hardAddExpiresSeconds: 0,
			softUseExpiresSeconds: 0,
			hardUseExpiresSeconds: 0,
		},
		lifetimeCurrent: { bytes: 0, packets: 0, addTime: 0, useTime: 0 },
		priority: 0,
		index: 1,
		direction,
		action: Allow,
		flags: 0,
		share: 0,
		type: 0,
		templates: [],
		...changes,
	};
}

/** What each list of a plan does, in order: P protects, - lets go, with the lane. */
function shape(plan: CapturePlan): readonly string[] {
	return [plan.out, plan.in, plan.forward].map((entries) =>
		entries.map(({ protects, lane }) => `${protects ? 'P' : '-'}${lane}`).join(' '),
	);
}

const { In, Out, Fwd } = Direction;
const { Block } = PolicyAction;
const required = [template(0)];
const optional = [template(1)];

const rows: readonly [string, readonly PolicySnapshot[], readonly string[]][] = [
	['nothing', [], ['', '', '']],
	[
		'a tunnel in three directions',
		[Out, In, Fwd].map((direction) => policy(direction, { templates: required })),
		['P0', 'P0', 'P0'],
	],
	['block', [Out, In].map((direction) => policy(direction, { action: Block })), ['P0', 'P0', '']],
	[
		'optional templates: outward states are used, inward plaintext is welcome',
		[Out, In].map((direction) => policy(direction, { templates: optional })),
		['P0', '', ''],
	],
	['a bypass alone changes nothing', [policy(Out), policy(In)], ['', '', '']],
	[
		'a bypass in front of what protects is an exception, one behind it nothing',
		[policy(Out), policy(Out, { templates: required }), policy(Out)],
		['-0 P0', '', ''],
	],
	[
		'marks have lanes of their own',
		[
			policy(Out, { templates: required, mark: { v: 7, m: 0xff } }),
			policy(Out, { templates: required, mark: { v: 0x107, m: 0xff } }),
			policy(Out, { templates: required, mark: { v: 9, m: 0xff } }),
		],
		['P1 P1 P2', '', ''],
	],
	[
		'policies of an if_id are not here',
		[policy(Out, { templates: required, ifId: 4 })],
		['', '', ''],
	],
	['nor those of type SUB', [policy(Out, { templates: required, type: 1 })], ['', '', '']],
];

for (const [name, policies, want] of rows) {
	test(`capture plan: ${name}`, () => {
		const plan = capturePlan(policies, NONE);
		assert.deepEqual(shape(plan), want);
		assert.equal(
			demandsProtection(plan),
			want.some((list) => list !== ''),
		);
	});
}

test('capture plan: a default that blocks is the last entry, behind exceptions', () => {
	const plan = capturePlan([policy(Out)], [ACCEPT, DefaultAction.Block, ACCEPT]);
	assert.deepEqual(shape(plan), ['-0 P0', '', '']);
	assert.equal(plan.out[1]?.selector, undefined);
});

test('capture plan: lanes know their marks', () => {
	const templates = required;
	const plan = capturePlan([policy(Out, { templates, mark: { v: 0x10007, m: 0xffff } })], NONE);
	assert.deepEqual(plan.lanes, [0, 7]);
});
