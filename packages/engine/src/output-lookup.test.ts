import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Flow } from '@xfrm/wire';
import { DefaultAction, Direction, Errno, UNLIMITED } from '@xfrm/wire/xfrm';
import { Batch } from './batch.ts';
import type { Engine } from './engine.ts';
import {
	bytes,
	codes,
	counted,
	ip,
	join,
	NOW_US,
	SPI,
	selector,
	trace,
	udp,
} from './input-fixture.test.ts';
import { linux61, linux619 } from './kernel-profile.ts';
import {
	addOut,
	addOutPolicy,
	inner,
	makeEngine,
	makeRoute,
	outPolicy,
	send,
	sent,
	tunnelTemplate,
} from './output-fixture.test.ts';
import { PacketAction, Verdict } from './verdict.ts';

const ALLOW = 0;
const BLOCK = 1;
const SUB = 1;
const SECONDS = Math.floor(NOW_US / 1_000_000);

function protectedEngine(profile = linux619): Engine {
	const { engine } = makeEngine(profile);
	addOut(engine);
	addOutPolicy(engine, { templates: [tunnelTemplate()] });
	return engine;
}

// @spec O-2 D-1 D-2 D-3 P-17
test('without a policy the default decides, but for what stays on this host', () => {
	const rows = [
		['accept', DefaultAction.Accept, false, PacketAction.Pass],
		['block', DefaultAction.Block, false, PacketAction.Drop],
		['block, loopback', DefaultAction.Block, true, PacketAction.Pass],
	] as const;
	for (const [name, action, loopback, want] of rows) {
		const { engine } = makeEngine();
		engine.setDefault(Direction.Out, action);
		const packet = send(engine, inner(), { route: makeRoute({ loopback }) });
		assert.equal(packet.action, want, name);
		assert.equal(packet.error, want === PacketAction.Drop ? Errno.EPERM : 0, name);
		assert.equal(packet.verdict, want === PacketAction.Drop ? Verdict.OutDefaultBlock : 0, name);
		assert.deepEqual(counted(engine.net), {}, name);
	}
});

// @spec D-2 P-14
test('a policy that allows without templates passes whatever the default', () => {
	const { engine } = makeEngine();
	engine.setDefault(Direction.Out, DefaultAction.Block);
	const policy = addOutPolicy(engine);
	assert.equal(send(engine, inner()).action, PacketAction.Pass);
	assert.equal(policy.useTime, SECONDS);
});

// @spec O-3 P-20 P-23
test('sub and main policies decide together, and each may block', () => {
	const rows = [
		['main blocks', undefined, BLOCK, PacketAction.Drop],
		['sub blocks, main is not asked', BLOCK, ALLOW, PacketAction.Drop],
		['sub allows, main blocks', ALLOW, BLOCK, PacketAction.Drop],
		['both allow', ALLOW, ALLOW, PacketAction.Pass],
		['sub alone', ALLOW, undefined, PacketAction.Pass],
	] as const;
	for (const [name, sub, main, want] of rows) {
		const { engine } = makeEngine();
		const subPolicy = sub === undefined ? null : addOutPolicy(engine, { type: SUB, action: sub });
		const mainPolicy = main === undefined ? null : addOutPolicy(engine, { action: main });
		const packet = send(engine, inner());
		assert.equal(packet.action, want, name);
		if (want === PacketAction.Drop) {
			assert.equal(packet.error, Errno.EPERM, name);
			assert.deepEqual(counted(engine.net), { XfrmOutPolBlock: 1 }, name);
		}
		assert.equal(subPolicy?.useTime ?? SECONDS, SECONDS, name);
		assert.equal(mainPolicy?.useTime ?? SECONDS, sub === BLOCK ? 0 : SECONDS, name);
	}
});

// @spec O-6
test('without a route to the outer destination no bundle is made', () => {
	const { engine, routes } = makeEngine();
	addOut(engine);
	addOutPolicy(engine, { templates: [tunnelTemplate()] });
	const refusals = [
		[undefined, Errno.ENETUNREACH],
		['unreachable', Errno.EHOSTUNREACH],
		['prohibit', Errno.EACCES],
		['blackhole', Errno.EINVAL],
	] as const;
	for (const [kind, errno] of refusals) {
		routes.route = kind && makeRoute({ kind });
		const packet = send(engine, inner());
		assert.equal(packet.action, PacketAction.Drop);
		assert.equal(packet.verdict, Verdict.OutBundleGenError);
		assert.equal(packet.error, errno, kind);
	}
	assert.deepEqual(counted(engine.net), { XfrmOutBundleGenError: 4 });
});

// @spec O-7
test('a missing state drops silently, and a use is not noted', () => {
	const { engine } = makeEngine();
	const policy = addOutPolicy(engine, { templates: [tunnelTemplate()] });
	for (const forwarded of [false, true]) {
		const packet = send(engine, inner(), { forwarded });
		assert.equal(packet.action, PacketAction.Drop);
		assert.equal(packet.verdict, Verdict.OutNoStates);
		assert.equal(packet.error, 0);
	}
	assert.deepEqual(counted(engine.net), { XfrmOutNoStates: 2 });
	assert.equal(policy.useTime, 0);
});

// @spec P-1 P-19 P-19b
test("a socket's own policy comes first, and its missing state is the sender's error", () => {
	const { engine } = makeEngine();
	addOutPolicy(engine, { action: BLOCK });
	const own = outPolicy({ templates: [tunnelTemplate()] });
	assert.equal(engine.setSocketPolicy(9, Direction.Out, own, NOW_US), undefined);
	const without = send(engine, inner(), { socketId: 9 });
	assert.equal(without.action, PacketAction.Drop);
	assert.equal(without.error, Errno.EAGAIN);
	assert.equal(without.verdict, Verdict.SocketNoState);
	assert.deepEqual(counted(engine.net), {});
	addOut(engine);
	assert.equal(send(engine, inner(), { socketId: 9 }).action, PacketAction.Transformed);
	assert.equal(send(engine, inner(), { socketId: 8 }).verdict, Verdict.OutPolBlock);
	const elsewhere = outPolicy({ selector: selector({ dst: '10.9.0.0/16' }) });
	engine.setSocketPolicy(9, Direction.Out, elsewhere, NOW_US);
	assert.equal(
		send(engine, inner(), { socketId: 9 }).verdict,
		Verdict.OutPolBlock,
		'falls through',
	);
});

// @spec O-1 P-18 F-5
test('a device with disable_xfrm is passed over, but not by lookups with an if_id', () => {
	const { engine } = makeEngine();
	addOutPolicy(engine, { action: BLOCK });
	addOutPolicy(engine, { action: BLOCK, ifId: 42 });
	const route = makeRoute({ noXfrm: true });
	assert.equal(send(engine, inner(), { route }).action, PacketAction.Pass);
	assert.equal(send(engine, inner(), { route, forwarded: true }).action, PacketAction.Pass);
	assert.equal(send(engine, inner(), { route, ifId: 42 }).verdict, Verdict.OutPolBlock);
});

// @spec F-2
test('a forwarded packet that is none, or has no route, is counted as such', () => {
	const engine = protectedEngine();
	const broken = sent(inner(), makeRoute(), { forwarded: true });
	broken.end = broken.start + 19;
	const lost = sent(inner(), makeRoute(), { forwarded: true });
	lost.route = null;
	engine.output(Batch.of(NOW_US, broken, lost));
	for (const packet of [broken, lost]) {
		assert.equal(packet.action, PacketAction.Drop);
		assert.equal(packet.verdict, Verdict.FwdHdrError);
	}
	assert.deepEqual(counted(engine.net), { XfrmFwdHdrError: 2 });
});

// @spec F-4
test('a forwarded packet is looked up by what it says, never by a socket', () => {
	const { engine } = makeEngine();
	addOutPolicy(engine, {
		action: BLOCK,
		selector: selector({ dst: '10.1.0.0/16', dport: 2000, dportMask: 0xffff }),
	});
	const packet = sent(inner(), makeRoute(), { forwarded: true, socketId: 5 });
	packet.flow.dport = 0;
	engine.setSocketPolicy(5, Direction.Out, outPolicy(), NOW_US);
	engine.output(Batch.of(NOW_US, packet));
	assert.equal(packet.verdict, Verdict.OutPolBlock);
});

/** An ICMP "host unreachable" from 10.0.0.1 to 10.1.0.1 about a UDP packet the other way. */
function icmpError(): Uint8Array {
	const quoted = ip(17, udp(), { src: '10.1.0.1', dst: '10.9.0.9' });
	return ip(1, join(bytes('0301000000000000'), quoted), { src: '10.0.0.1', dst: '10.1.0.1' });
}

// @spec F-6
test('a forwarded ICMP error goes by what it quotes, where a policy with flag ICMP says so', () => {
	const rows = [
		['flag icmp', linux619, 2, false, PacketAction.Transformed],
		['no flag', linux619, 0, false, PacketAction.Pass],
		['before 6.9', linux61, 2, false, PacketAction.Pass],
		['its own flow is allowed in clear', linux619, 2, true, PacketAction.Transformed],
	] as const;
	for (const [name, profile, flags, own, want] of rows) {
		const { engine } = makeEngine(profile);
		addOut(engine);
		addOutPolicy(engine, {
			selector: selector({ src: '10.9.0.0/16', dst: '10.1.0.0/16' }),
			flags,
			templates: [tunnelTemplate()],
		});
		if (own) {
			addOutPolicy(engine, { selector: selector({ src: '10.0.0.0/16', dst: '10.1.0.0/16' }) });
		}
		const packet = send(engine, icmpError(), { forwarded: true });
		assert.equal(packet.action, want, name);
		assert.deepEqual(counted(engine.net), {}, name);
	}
});

// @spec F-6
test('what the quoted flow meets besides a bundle leaves the error in clear, though it is counted', () => {
	for (const [options, counters] of [
		[{ action: BLOCK }, { XfrmOutPolBlock: 1 }],
		[{ templates: [tunnelTemplate()] }, { XfrmOutNoStates: 1 }],
	] as const) {
		const { engine } = makeEngine();
		addOutPolicy(engine, {
			selector: selector({ src: '10.9.0.0/16', dst: '10.1.0.0/16' }),
			flags: 2,
			...options,
		});
		const packet = send(engine, icmpError(), { forwarded: true });
		assert.equal(packet.action, PacketAction.Pass);
		assert.deepEqual(counted(engine.net), counters);
	}
});

// @spec O-15
test('an ICMP error of this host is looked up by its own flow, then by the packet it is about', () => {
	const quotedSelector = selector({ src: '10.9.0.0/16', dst: '10.1.0.0/16' });
	const rows = [
		[
			'own flow has a policy',
			{ templates: [tunnelTemplate()] },
			undefined,
			false,
			PacketAction.Transformed,
		],
		[
			'quoted flow, flag icmp',
			undefined,
			{ flags: 2, templates: [tunnelTemplate()] },
			false,
			PacketAction.Transformed,
		],
		[
			'quoted flow, no flag',
			undefined,
			{ templates: [tunnelTemplate()] },
			false,
			PacketAction.Pass,
		],
		['nothing', undefined, undefined, false, PacketAction.Pass],
		['default block', undefined, undefined, true, PacketAction.Drop],
		[
			'default block, flag icmp',
			undefined,
			{ flags: 2, templates: [tunnelTemplate()] },
			true,
			PacketAction.Transformed,
		],
		[
			'own flow blocked, flag icmp',
			{ action: BLOCK },
			{ flags: 2, templates: [tunnelTemplate()] },
			false,
			PacketAction.Transformed,
		],
		['own flow blocked', { action: BLOCK }, undefined, false, PacketAction.Drop],
		[
			'quoted flow lacks its state',
			undefined,
			{ flags: 2, templates: [tunnelTemplate({ reqid: 77 })] },
			false,
			PacketAction.Pass,
		],
	] as const;
	for (const [name, own, quoted, block, want] of rows) {
		const { engine } = makeEngine();
		addOut(engine);
		if (own !== undefined) {
			addOutPolicy(engine, {
				selector: selector({ src: '10.0.0.0/16', dst: '10.1.0.0/16' }),
				...own,
			});
		}
		if (quoted !== undefined) {
			addOutPolicy(engine, { selector: quotedSelector, ...quoted });
		}
		if (block) {
			engine.setDefault(Direction.Out, DefaultAction.Block);
		}
		const packet = sent(icmpError(), makeRoute());
		const reversed = new Flow();
		reversed.copyFrom(sent(ip(17, udp(), { src: '10.9.0.9', dst: '10.1.0.1' }), makeRoute()).flow);
		engine.lookupIcmpError(packet, reversed, makeRoute(), NOW_US);
		engine.transform(Batch.of(NOW_US, packet));
		assert.equal(packet.action, want, name);
	}
});

// @spec O-10 S-12
test('what is remembered of a flow is forgotten when anything changes that a lookup would see', () => {
	const rows: [string, (engine: Engine) => void, number][] = [
		['nothing', () => {}, PacketAction.Transformed],
		['the state is deleted', (engine) => engine.flushStates(0, NOW_US), PacketAction.Drop],
		[
			'a policy blocks',
			(engine) => void addOutPolicy(engine, { action: BLOCK, priority: 0, type: SUB }),
			PacketAction.Drop,
		],
		['policies are flushed', (engine) => engine.flushPolicies(0, NOW_US), PacketAction.Pass],
	];
	for (const [name, change, want] of rows) {
		const engine = protectedEngine();
		assert.equal(send(engine, inner()).action, PacketAction.Transformed, name);
		assert.equal(send(engine, inner()).action, PacketAction.Transformed, name);
		change(engine);
		assert.equal(send(engine, inner()).action, want, name);
	}
});

// @spec D-2 O-10
test('a default set later reaches flows that went in clear', () => {
	const { engine } = makeEngine();
	assert.equal(send(engine, inner()).action, PacketAction.Pass);
	engine.setDefault(Direction.Out, DefaultAction.Block);
	assert.equal(send(engine, inner()).action, PacketAction.Drop);
});

// @spec S-23 O-10
test('a state that passes its soft limit gives way to an older one that has not', () => {
	const { engine } = makeEngine();
	const older = addOut(engine, { spi: SPI + 1 });
	const newer = addOut(engine, { lifetime: { ...UNLIMITED, softPacketLimit: 1 } });
	addOutPolicy(engine, { templates: [tunnelTemplate()] });
	const used = [0, 1, 2].map(() => {
		send(engine, inner());
		return [newer.lifetime[1], older.lifetime[1]];
	});
	assert.deepEqual(used, [
		[1, 0],
		[2, 0],
		[2, 1],
	]);
});

// @spec P-15
test('a remembered flow still notes the use of its policies', () => {
	const engine = protectedEngine();
	send(engine, inner());
	const later = sent(inner(), makeRoute());
	engine.output(Batch.of(NOW_US + 5_000_000, later));
	const [policy] = [...engine.policies()];
	assert.equal(policy?.useTime, SECONDS + 5);
});

// @spec P-1
test('a tracer hears of every table that was asked, of the default, and of the reason', () => {
	const { engine } = makeEngine();
	const policy = addOutPolicy(engine, { action: BLOCK });
	const events = trace(engine.net);
	send(engine, inner());
	assert.deepEqual(
		events.map((one) => (one.kind === 'policy' ? `${one.table} ${one.winner?.index}` : one.kind)),
		['sub undefined', `main ${policy.index}`, 'verdict'],
	);
	assert.deepEqual(codes(events), ['out.policy.block']);
});

test('flows of the same place in the cache do not see each other', () => {
	const engine = protectedEngine();
	addOutPolicy(engine, { type: SUB, action: BLOCK, selector: selector({ dst: '10.1.128.0/17' }) });
	for (let round = 0; round < 2; round++) {
		for (let host = 0; host < 20_000; host += 7) {
			const dst = `10.1.${host >> 8}.${host & 255}`;
			const packet = sent(inner(undefined, { dst }), makeRoute());
			engine.lookup(Batch.of(NOW_US, packet));
			const want = host >= 128 << 8 ? PacketAction.Drop : PacketAction.Transformed;
			assert.equal(packet.action, want, dst);
		}
	}
});
