import assert from 'node:assert/strict';
import { test } from 'node:test';
import { anySelector, type PolicyConfig, type Template } from '@xfrm/wire/xfrm';
import { Batch } from './batch.ts';
import {
	addPolicy,
	address,
	addState,
	arrived,
	batchOf,
	bytes,
	counted,
	ip,
	join,
	makeNamespace,
	type StateOptions,
	selector,
	template,
	trace,
	udp,
} from './input-fixture.test.ts';
import { type KernelProfile, linux61, linux619 } from './kernel-profile.ts';
import { policyCheck, reverseCheck } from './policy-check.ts';
import { PacketAction, Verdict, verdictName } from './verdict.ts';

const IN = 0;
const FWD = 2;

const TUNNEL: StateOptions = { mode: 1 };
const TRANSPORT: StateOptions = { mode: 0 };

interface Row {
	readonly name: string;
	/** States on the path, outermost first. */
	readonly path?: readonly StateOptions[];
	readonly policies?: readonly Partial<PolicyConfig>[];
	readonly direction?: number;
	readonly packet?: Uint8Array;
	readonly defaultBlock?: boolean;
	readonly verified?: number;
	readonly profile?: KernelProfile;
	readonly ifId?: number;
	readonly socketId?: number;
	/** Counter, code, and the places of the policy and the state that are blamed; undefined when it passes. */
	readonly refused?: readonly [
		counter: string,
		code: string,
		policy?: number | undefined,
		state?: number,
	];
	/** What the next check finds verified. */
	readonly verifiedAfter?: number;
}

const V6_PACKET = ip(17, udp(), { src: '2001:db8::1', dst: '2001:db8::2' });
const V6_STATE = { src: '2001:db8::1', dst: '2001:db8::2' };

function withTemplates(...templates: Template[]): readonly Partial<PolicyConfig>[] {
	return [{ templates }];
}

/** An ICMP error in IPv4 about a UDP packet of ours, from 10.1.0.1:2000 to 10.0.0.1:1000. */
const QUOTE = ip(17, udp(), { src: '10.0.0.1', dst: '10.1.0.1' });
const ICMP_ERROR = ip(1, join(bytes('0301000000000000'), QUOTE), {
	src: '192.0.2.77',
	dst: '10.0.0.1',
});
const FOR_QUOTE = {
	selector: selector({
		src: '10.1.0.1',
		dst: '10.0.0.1',
		proto: 17,
		sport: 2000,
		sportMask: 0xffff,
	}),
};

const rows: readonly Row[] = [
	{ name: 'P-17 nothing at all passes' },
	{ name: 'P-17 without looking at the header', packet: bytes('55000014') },
	{ name: 'P-17 also of a socket without policies', packet: bytes('55000014'), socketId: 43 },
	{
		name: 'D-1 default block',
		defaultBlock: true,
		refused: ['XfrmInNoPols', 'check.default'],
	},
	{ name: 'D-2 default block and a plain ALLOW', defaultBlock: true, policies: [{}] },
	{
		name: 'I-11 no IP header',
		packet: bytes('55000014'),
		policies: [{}],
		refused: ['XfrmInHdrError', 'check.flow'],
	},
	{ name: 'I-13 transport without policy passes', path: [TRANSPORT] },
	{
		name: 'I-13 tunnel without policy',
		path: [TUNNEL],
		refused: ['XfrmInNoPols', 'check.policy.none', undefined, 0],
	},
	{
		name: 'F-3 tunnel without policy, forwarded',
		path: [TUNNEL],
		direction: FWD,
		refused: ['XfrmInNoPols', 'check.policy.none', undefined, 0],
	},
	{
		name: 'I-12 selector of a state',
		path: [{ mode: 0, selector: selector({ src: '10.9.0.0/16' }) }],
		refused: ['XfrmInStateMismatch', 'check.selector', undefined, 0],
	},
	{
		name: 'I-12 selector without family',
		path: [{ mode: 1, flags: 32, selector: anySelector(0) }],
		policies: withTemplates(template()),
		verifiedAfter: 1,
	},
	{
		name: 'I-10 required template, clear packet',
		policies: withTemplates(template()),
		refused: ['XfrmInTmplMismatch', 'check.template', 0],
	},
	{
		name: 'I-10 optional template, clear packet',
		policies: withTemplates(template({ optional: 1 })),
	},
	{
		name: 'I-14 BLOCK',
		path: [TUNNEL],
		policies: [{ action: 1 }],
		refused: ['XfrmInPolBlock', 'check.block', 0],
	},
	{
		name: 'I-15 tunnel template, tunnel state',
		path: [TUNNEL],
		policies: withTemplates(template()),
		verifiedAfter: 1,
	},
	{
		name: 'I-15 last template is the outermost state',
		path: [
			{ mode: 1, reqid: 2 },
			{ mode: 1, reqid: 1 },
		],
		policies: withTemplates(template({ reqid: 1 }), template({ reqid: 2 })),
		verifiedAfter: 2,
	},
	{
		name: 'I-15 templates the other way round',
		path: [
			{ mode: 1, reqid: 1 },
			{ mode: 1, reqid: 2 },
		],
		policies: withTemplates(template({ reqid: 1 }), template({ reqid: 2 })),
		refused: ['XfrmInTmplMismatch', 'check.template', 0, 0],
	},
	{
		name: 'I-15 a transport state that does not fit is passed over',
		path: [{ mode: 0, proto: 51 }, TUNNEL],
		policies: withTemplates(template()),
		verifiedAfter: 2,
	},
	{
		name: 'I-15 a tunnel state that does not fit stops',
		path: [
			{ mode: 1, reqid: 9 },
			{ mode: 1, reqid: 1 },
		],
		policies: withTemplates(template({ reqid: 1 })),
		refused: ['XfrmInTmplMismatch', 'check.template', 0, 0],
	},
	{
		name: 'I-15 behind one that fits as well',
		path: [
			{ mode: 1, reqid: 2 },
			{ mode: 1, reqid: 9 },
			{ mode: 1, reqid: 1 },
		],
		policies: withTemplates(template({ reqid: 1 }), template({ reqid: 2 })),
		refused: ['XfrmInTmplMismatch', 'check.template', 0, 1],
	},
	{
		name: 'I-15 I-17 unless an earlier check has verified it',
		path: [
			{ mode: 1, reqid: 9 },
			{ mode: 1, reqid: 1 },
		],
		verified: 1,
		policies: withTemplates(template({ reqid: 1 })),
		verifiedAfter: 2,
	},
	{
		name: 'I-15 optional transport template takes nothing',
		path: [TRANSPORT],
		policies: withTemplates(template({ mode: 0, optional: 1 })),
		verifiedAfter: 0,
	},
	{
		name: 'I-15 optional tunnel template takes its state',
		path: [TUNNEL],
		policies: withTemplates(template({ optional: 1 })),
		verifiedAfter: 1,
	},
	{
		name: 'I-16 a tunnel state nobody asked for',
		path: [TUNNEL],
		policies: [{}],
		refused: ['XfrmInTmplMismatch', 'check.extra', 0, 0],
	},
	{
		name: 'I-16 a tunnel state behind one that was asked for',
		path: [TUNNEL, TRANSPORT, { mode: 1, reqid: 9 }],
		policies: withTemplates(template({ reqid: 1 })),
		refused: ['XfrmInTmplMismatch', 'check.extra', 0, 2],
	},
	{ name: 'I-16 a transport state nobody asked for', path: [TRANSPORT], policies: [{}] },
	{
		name: 'I-15 optional tunnel template that does not fit leaves the state over',
		path: [{ mode: 1, reqid: 9 }],
		policies: withTemplates(template({ optional: 1, reqid: 1 })),
		refused: ['XfrmInTmplMismatch', 'check.extra', 0, 0],
	},
	{
		name: 'P-24 six templates',
		policies: withTemplates(...Array.from({ length: 6 }, () => template({ optional: 1 }))),
		refused: ['XfrmInBufferError', 'check.depth', 0],
	},
	{
		name: 'P-24 five templates',
		policies: withTemplates(...Array.from({ length: 5 }, () => template({ optional: 1 }))),
	},
	{
		name: 'P-24 two and three',
		policies: [
			{ type: 1, templates: [0, 1].map(() => template({ optional: 1 })) },
			{ templates: [0, 1, 2].map(() => template({ optional: 1 })) },
		],
	},
	{
		name: 'P-24 three and three',
		policies: [
			{ type: 1, templates: [0, 1, 2].map(() => template({ optional: 1 })) },
			{ templates: [0, 1, 2].map(() => template({ optional: 1 })) },
		],
		refused: ['XfrmInBufferError', 'check.depth', 1],
	},
	{
		name: 'P-22 SUB allows, MAIN blocks',
		policies: [{ type: 1 }, { action: 1 }],
		refused: ['XfrmInPolBlock', 'check.block', 1],
	},
	{
		name: 'P-23 SUB blocks, MAIN allows',
		policies: [{ type: 1, action: 1 }, {}],
		refused: ['XfrmInPolBlock', 'check.block', 0],
	},
	{
		name: 'P-22 forwarded: MAIN fwd is not looked at',
		direction: FWD,
		policies: [
			{ type: 1, direction: FWD },
			{ direction: FWD, action: 1 },
		],
	},
	{
		name: 'P-22 forwarded: MAIN in is',
		direction: FWD,
		policies: [{ type: 1, direction: FWD }, { action: 1 }],
		refused: ['XfrmInPolBlock', 'check.block', 1],
	},
	{
		name: 'P-22 IPv6 sorts SUB and MAIN: transport before tunnel',
		packet: V6_PACKET,
		path: [
			{ ...V6_STATE, mode: 1, reqid: 1 },
			{ ...V6_STATE, mode: 0, proto: 51, reqid: 2 },
		],
		policies: [
			{ type: 1, selector: anySelector(10), templates: [template({ family: 10, reqid: 1 })] },
			{
				selector: anySelector(10),
				templates: [template({ family: 10, mode: 0, proto: 51, reqid: 2 })],
			},
		],
		verifiedAfter: 2,
	},
	{
		name: 'P-22 of one class, those of SUB stand before those of MAIN',
		packet: V6_PACKET,
		path: [
			{ ...V6_STATE, mode: 1, reqid: 3 },
			{ ...V6_STATE, mode: 1, reqid: 2 },
			{ ...V6_STATE, mode: 1, reqid: 1 },
			{ ...V6_STATE, mode: 0, proto: 51, reqid: 4 },
		],
		policies: [
			{
				type: 1,
				selector: anySelector(10),
				templates: [1, 2].map((reqid) => template({ family: 10, reqid })),
			},
			{
				selector: anySelector(10),
				templates: [
					template({ family: 10, reqid: 3 }),
					template({ family: 10, mode: 0, proto: 51, reqid: 4 }),
				],
			},
		],
		verifiedAfter: 4,
	},
	{
		name: 'P-22 two of one class before one of a higher class',
		packet: V6_PACKET,
		path: [
			{ ...V6_STATE, mode: 1, reqid: 3 },
			{ ...V6_STATE, mode: 0, reqid: 2 },
			{ ...V6_STATE, mode: 0, reqid: 1 },
		],
		policies: [
			{
				type: 1,
				selector: anySelector(10),
				templates: [1, 2].map((reqid) => template({ family: 10, mode: 0, reqid })),
			},
			{ selector: anySelector(10), templates: [template({ family: 10, reqid: 3 })] },
		],
		verifiedAfter: 3,
	},
	{
		name: 'P-22 a sorted template is still its policy’s',
		packet: V6_PACKET,
		path: [{ ...V6_STATE, mode: 1, reqid: 1 }],
		policies: [
			{ type: 1, selector: anySelector(10), templates: [template({ family: 10, reqid: 1 })] },
			{
				selector: anySelector(10),
				templates: [template({ family: 10, mode: 0, proto: 51, reqid: 2 })],
			},
		],
		refused: ['XfrmInTmplMismatch', 'check.template', 1],
	},
	{
		name: 'P-22 and so is the one that made way',
		packet: V6_PACKET,
		path: [{ ...V6_STATE, mode: 0, proto: 51, reqid: 2 }],
		policies: [
			{ type: 1, selector: anySelector(10), templates: [template({ family: 10, reqid: 1 })] },
			{
				selector: anySelector(10),
				templates: [template({ family: 10, mode: 0, proto: 51, reqid: 2 })],
			},
		],
		refused: ['XfrmInTmplMismatch', 'check.template', 0],
	},
	{
		name: 'P-22 both in MAIN',
		packet: V6_PACKET,
		path: [{ ...V6_STATE, mode: 0, proto: 51, reqid: 2 }],
		policies: [
			{
				type: 1,
				selector: anySelector(10),
				templates: [template({ family: 10, mode: 0, optional: 1 })],
			},
			{
				selector: anySelector(10),
				templates: [
					template({ family: 10, reqid: 1 }),
					template({ family: 10, mode: 0, proto: 51, reqid: 2 }),
				],
			},
		],
		refused: ['XfrmInTmplMismatch', 'check.template', 1],
	},
	{
		name: 'P-22 IPv4 does not',
		path: [
			{ mode: 1, reqid: 1 },
			{ mode: 0, proto: 51, reqid: 2 },
		],
		policies: [
			{ type: 1, templates: [template({ reqid: 1 })] },
			{ templates: [template({ mode: 0, proto: 51, reqid: 2 })] },
		],
		refused: ['XfrmInTmplMismatch', 'check.template', 1, 0],
	},
	{
		name: 'I-18 if_id of the lookup chooses policy and states',
		ifId: 7,
		path: [{ mode: 1, ifId: 7 }],
		policies: [{ ifId: 7, templates: [template()] }, { action: 1 }],
		verifiedAfter: 1,
	},
	{
		name: 'I-18 a state of another if_id',
		ifId: 7,
		path: [{ mode: 1, ifId: 8 }],
		policies: [{ ifId: 7, templates: [template()] }],
		refused: ['XfrmInTmplMismatch', 'check.template', 0, 0],
	},
	{
		name: 'I-12 6.9+: an ICMP error by what it quotes, flag icmp, forwarded',
		direction: FWD,
		packet: ICMP_ERROR,
		path: [{ mode: 1, flags: 16, ...FOR_QUOTE }],
		policies: [{ direction: FWD, templates: [template()] }],
		verifiedAfter: 1,
	},
	{
		name: 'I-12 not at local delivery',
		packet: ICMP_ERROR,
		path: [{ mode: 1, flags: 16, ...FOR_QUOTE }],
		policies: withTemplates(template()),
		refused: ['XfrmInStateMismatch', 'check.selector', undefined, 0],
	},
	{
		name: 'I-12 not without the flag',
		direction: FWD,
		packet: ICMP_ERROR,
		path: [{ mode: 1, flags: 1, ...FOR_QUOTE }],
		policies: [{ direction: FWD, templates: [template()] }],
		refused: ['XfrmInStateMismatch', 'check.selector', undefined, 0],
	},
	{
		name: 'I-12 not before 6.9',
		profile: linux61,
		direction: FWD,
		packet: ICMP_ERROR,
		path: [{ mode: 1, flags: 16, ...FOR_QUOTE }],
		policies: [{ direction: FWD, templates: [template()] }],
		refused: ['XfrmInStateMismatch', 'check.selector', undefined, 0],
	},
	{
		name: 'I-13 6.9+: the policy for what an ICMP error quotes decides',
		direction: FWD,
		packet: ICMP_ERROR,
		policies: [{ direction: FWD, ...FOR_QUOTE, templates: [template()] }],
		refused: ['XfrmInTmplMismatch', 'check.template', 0],
	},
	{
		name: 'I-13 a SUB policy for it stands before',
		direction: FWD,
		packet: ICMP_ERROR,
		policies: [
			{ direction: FWD, type: 1, action: 1, ...FOR_QUOTE },
			{ direction: FWD, ...FOR_QUOTE },
		],
		refused: ['XfrmInPolBlock', 'check.block', 0],
	},
	{
		name: 'I-13 not before 6.9',
		profile: linux61,
		direction: FWD,
		packet: ICMP_ERROR,
		policies: [{ direction: FWD, ...FOR_QUOTE, templates: [template()] }],
	},
	{
		name: 'I-12 a parameter problem is no such error',
		direction: FWD,
		packet: ip(1, join(bytes('0c00000000000000'), QUOTE), { src: '192.0.2.77', dst: '10.0.0.1' }),
		policies: [{ direction: FWD, ...FOR_QUOTE, templates: [template()] }],
	},
];

for (const row of rows) {
	// @spec I-10 I-11 I-12 I-13 I-14 I-15 I-16 I-17 I-18 P-17 P-22 P-24 D-1 F-3
	test(row.name, () => {
		for (const traced of [false, true]) {
			const net = makeNamespace(row.profile ?? linux619);
			const states = (row.path ?? []).map((options, i) =>
				addState(net, { ...options, spi: 0xc0000100 + i }),
			);
			const policies = (row.policies ?? []).map((policy) => addPolicy(net, policy));
			if (row.defaultBlock === true) {
				net.defaults.fill(1);
			}
			const events = traced ? trace(net) : [];
			const packet = arrived(row.packet ?? ip(17, udp()));
			for (const [i, state] of states.entries()) {
				packet.path[i] = state;
			}
			packet.pathCount = states.length;
			// Behind the path there may be something of the packet that had the buffer before.
			packet.path[states.length] = addState(net, {
				...V6_STATE,
				mode: 1,
				spi: 0xc0000200,
				selector: selector({ src: '2001:db8:9::/48' }),
			});
			packet.verdict = Verdict.OutError;
			packet.verifiedCount = row.verified ?? 0;
			packet.ifId = row.ifId ?? 0;
			packet.socketId = row.socketId ?? 0;
			policyCheck(net, batchOf(packet), row.direction ?? IN);
			if (row.refused === undefined) {
				assert.deepEqual(counted(net), {});
				assert.deepEqual([packet.action, packet.verdict], [PacketAction.Pass, Verdict.Pass]);
				assert.equal(packet.verifiedCount, row.verifiedAfter ?? 0);
			} else {
				const [counter, code, policy, state] = row.refused;
				assert.deepEqual(counted(net), { [counter]: 1 });
				assert.deepEqual(
					[packet.action, verdictName(packet.verdict)],
					[PacketAction.Drop, counter],
				);
				const verdict = {
					kind: 'verdict',
					verdict: packet.verdict,
					state: state === undefined ? undefined : states[state],
					policy: policy === undefined ? undefined : policies[policy],
					code,
				};
				assert.deepEqual(
					events.filter(({ kind }) => kind === 'verdict'),
					traced ? [verdict] : [],
				);
			}
		}
	});
}

// @spec I-21 P-19
test("a socket's IN policy is asked first, also where the table is empty", () => {
	const net = makeNamespace();
	for (const [socketId, action] of [
		[1, 1],
		[42, 0],
	] as const) {
		const policy = addPolicy(net, { action });
		net.spd.remove(policy);
		policy.socketId = socketId;
		net.spd.setSocketPolicy(socketId, IN, policy);
	}
	const check = (socketId: number): Record<string, number> => {
		net.counters.fill(0);
		const packet = arrived(ip(17, udp()));
		packet.socketId = socketId;
		policyCheck(net, batchOf(packet), IN);
		return counted(net);
	};
	const blocked = { XfrmInPolBlock: 1 };
	assert.deepEqual([42, 0, 1, 43].map(check), [{}, {}, blocked, {}]);
	addPolicy(net, { action: 1 });
	assert.deepEqual([42, 0, 1, 43].map(check), [{}, blocked, blocked, blocked]);
	net.generation++;
	assert.deepEqual([0, 43, 1, 42].map(check), [blocked, blocked, blocked, {}]);
});

// @spec P-15
test('a policy that is met notes the time', () => {
	const net = makeNamespace();
	const sub = addPolicy(net, { type: 1 });
	const main = addPolicy(net);
	for (const seconds of [1_764_000_100, 1_764_000_101]) {
		const packet = arrived(ip(17, udp()));
		policyCheck(net, Batch.of(seconds * 1e6, packet), IN);
		assert.deepEqual([sub.useTime, main.useTime], [seconds, seconds]);
	}
});

// @spec P-29
test('the interface of the flow is what the caller says', () => {
	const net = makeNamespace();
	addPolicy(net, { action: 1, selector: selector({ family: 2, ifindex: 3 }) });
	for (const [oif, action] of [
		[3, PacketAction.Drop],
		[4, PacketAction.Pass],
	] as const) {
		const packet = arrived(ip(17, udp()));
		packet.flow.oif = oif;
		policyCheck(net, batchOf(packet), IN);
		assert.equal(packet.action, action);
	}
});

// @spec P-31 I-12
test('the reverse check asks by the quoted packet, and only for states with flag icmp', () => {
	for (const [flags, passes] of [
		[16, true],
		[0, false],
		[1, false],
	] as const) {
		const net = makeNamespace();
		const state = addState(net, { mode: 1, flags, ...FOR_QUOTE });
		addPolicy(net, { ...FOR_QUOTE, templates: [template()] });
		const packet = arrived(ICMP_ERROR);
		packet.path[0] = state;
		packet.pathCount = 1;
		policyCheck(net, batchOf(packet), IN);
		assert.deepEqual(counted(net), { XfrmInStateMismatch: 1 });
		assert.equal(packet.verdict, Verdict.InStateMismatch);
		assert.equal(reverseCheck(net, packet, packet.start + 28), passes);
		assert.equal(packet.verdict, Verdict.Pass);
		assert.deepEqual(counted(net), { XfrmInStateMismatch: 1 });
	}
});

// @spec I-20 T-60 A-5
test('a refused home address is reported once, with the address behind it', () => {
	const coa = address('2001:db8:c::1');
	const net = makeNamespace();
	const state = addState(net, {
		src: '2001:db8::1',
		dst: '2001:db8::2',
		proto: 60,
		spi: 0,
		mode: 2,
		coaddr: coa,
		replayWindow: 0,
	});
	// As after the exchange: home address in the header, care-of address in the option.
	const option = join(bytes('110201020000c910'), coa);
	const packet = arrived(ip(60, join(option, udp()), { src: '2001:db8::1', dst: '2001:db8::2' }));
	packet.path[0] = state;
	packet.pathCount = 1;
	packet.flow.oif = 1;
	policyCheck(net, batchOf(packet), IN);
	policyCheck(net, batchOf(packet), IN);
	assert.deepEqual(counted(net), { XfrmInNoPols: 2 });
	assert.deepEqual(net.events, [
		{
			kind: 'report',
			proto: 60,
			selector: {
				...anySelector(10),
				saddr: address('2001:db8::1'),
				daddr: address('2001:db8::2'),
				prefixlenS: 128,
				prefixlenD: 128,
				proto: 17,
				sport: 1000,
				sportMask: 0xffff,
				dport: 2000,
				dportMask: 0xffff,
				ifindex: 1,
			},
			address: coa,
		},
	]);
});

// @spec T-60
test('Mobile IPv6 messages and BLOCK are not reported', () => {
	const net = makeNamespace();
	const state = addState(net, {
		src: '2001:db8::1',
		dst: '2001:db8::2',
		proto: 60,
		spi: 0,
		mode: 2,
		coaddr: address('::'),
		replayWindow: 0,
	});
	const update = arrived(
		ip(135, bytes('3b01050000000000 0000000000000000'), {
			src: '2001:db8::1',
			dst: '2001:db8::2',
		}),
	);
	const blocked = arrived(ip(17, udp(), { src: '2001:db8::1', dst: '2001:db8::2' }));
	for (const packet of [update, blocked]) {
		packet.path[0] = state;
		packet.pathCount = 1;
		policyCheck(net, batchOf(packet), IN);
		addPolicy(net, { selector: anySelector(10), action: 1 });
	}
	assert.deepEqual(counted(net), { XfrmInNoPols: 1, XfrmInPolBlock: 1 });
	assert.deepEqual(net.events, []);
});
