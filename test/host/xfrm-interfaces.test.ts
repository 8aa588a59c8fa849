/** XFRM interfaces between two hosts: who gets out, who gets in, and what the devices count. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { World } from '@xfrm/explain';
import { counting, icmp, udp } from '../../packages/host/src/host-fixture.test.ts';
import { counters, end, only, policy, run, seen, state } from './virtual-ends.ts';

const DF = { fragmentWord: 0x4000 };
const OUT = [
	'link add x0 type xfrm dev wan if_id 5',
	'link set x0 up',
	'route add 10.2.0.0/24 dev x0',
];
const IN = ['link add x0 type xfrm if_id 5', 'link set x0 up', 'route add 10.1.0.0/24 dev x0'];
const DATAGRAM = udp('10.1.0.9', '10.2.0.1', [1000, 53], counting(8), DF);
const UNREACHABLE = 'lan: 10.1.0.1 > 10.1.0.9 ttl 64 icmp 3/1 0 length 64';

function forwarded(world: World, packet: Uint8Array = DATAGRAM): string[] {
	return seen(world.receive('lan', packet));
}

/** DATAGRAM as it leaves `a` under this if_id. */
function sealed(ifId = 5, packet: Uint8Array = DATAGRAM): Uint8Array {
	const out = OUT.map((command) => command.replace('if_id 5', `if_id ${ifId}`));
	const rules = [state(`if_id ${ifId}`), policy(`dir out if_id ${ifId}`)];
	return only(end('a', [...out, ...rules]).receive('lan', packet));
}

describe('out by an XFRM interface', () => {
	// @spec X-3 X-10 X-12
	const rows: readonly (readonly [
		what: string,
		rules: string[],
		lines: string[],
		device: string,
	])[] = [
		[
			'state and policy of its if_id',
			[state('if_id 5'), policy('dir out if_id 5')],
			['wan: 192.0.2.1 > 192.0.2.2 ttl 64 proto 50 length 80'],
			'txPackets 1 txBytes 36',
		],
		['no policy', [], [UNREACHABLE], 'txErrors 1 txDropped 1 carrier 1'],
		[
			'a policy of another if_id',
			[state('if_id 6'), policy('dir out if_id 6')],
			[UNREACHABLE],
			'txErrors 1 txDropped 1 carrier 1',
		],
		[
			'block',
			['ip xfrm policy add dst 10.2.0.0/24 dir out if_id 5 action block'],
			[UNREACHABLE, 'XfrmOutPolBlock 1'],
			'txErrors 1 txDropped 1 carrier 1',
		],
		[
			'a state of another if_id',
			[state('if_id 6'), policy('dir out if_id 5')],
			[UNREACHABLE, 'XfrmOutNoStates 1'],
			'txErrors 1 txDropped 1 carrier 1',
		],
		[
			'the way to the outer destination leads into the device',
			['route add 192.0.2.2/32 dev x0', state('if_id 5'), policy('dir out if_id 5')],
			[],
			'txErrors 1 txDropped 1 collisions 1',
		],
		[
			'a policy without if_id takes the packet before',
			['ip xfrm policy add dst 10.2.0.0/24 dir out action block'],
			['XfrmOutPolBlock 1'],
			'',
		],
	];
	for (const [what, rules, lines, device] of rows) {
		it(what, () => {
			const a = end('a', [...OUT, ...rules]);
			assert.deepEqual([forwarded(a), counters(a, 'x0')], [lines, device]);
		});
	}

	// @spec X-10
	it('asks with the ports of a raw sender', () => {
		const a = end('a', [...OUT, state('if_id 5'), policy('proto udp dport 53 dir out if_id 5')]);
		const packet = udp('10.1.0.1', '10.2.0.1', [1000, 53], counting(8));
		const observed = a.send(packet, { sender: 'hdrincl' });
		assert.deepEqual(seen(observed), ['wan: 192.0.2.1 > 192.0.2.2 ttl 64 proto 50 length 80']);
	});

	// @spec X-3
	it('does not go round for ever between two devices', () => {
		const a = end('a', [
			...['link add x0 type xfrm if_id 5', 'link set x0 up', 'route add 10.2.0.0/24 dev x0'],
			...['link add x1 type xfrm if_id 6', 'link set x1 up'],
			...['route add 198.51.100.1/32 dev x1', 'route add 198.51.100.2/32 dev x0'],
			'addr add 198.51.100.9/32 dev lan',
			...[5, 6].flatMap((ifId) => {
				const ends = `src 198.51.100.9 dst 198.51.100.${ifId - 4}`;
				const tmpl = `tmpl ${ends} proto esp reqid 1 mode tunnel`;
				return [
					state(`if_id ${ifId}`, ends, ifId),
					`ip xfrm policy add dir out if_id ${ifId} ${tmpl}`,
				];
			}),
		]);
		assert.deepEqual(forwarded(a), []);
		assert.match(counters(a, 'x0'), /txPackets 4 /);
		assert.match(counters(a, 'x1'), /txPackets 4 /);
	});

	// @spec X-11
	it('takes the link for the output interface of the flow, not of the packet', () => {
		const link = OUT.map((command) => command.replace('dev wan', 'dev lan'));
		const rules = [state('if_id 5'), policy('dev lan dir out if_id 5')];
		const protectedLine = 'wan: 192.0.2.1 > 192.0.2.2 ttl 64 proto 50 length 80';
		assert.deepEqual(forwarded(end('a', [...link, ...rules])), [protectedLine]);
		assert.deepEqual(forwarded(end('a', [...OUT, ...rules])), [UNREACHABLE]);
	});

	// @spec X-12
	it('lets a state serve that comes later', () => {
		const a = end('a', [...OUT, policy('dir out if_id 5')]);
		const observed = a.receive('lan', DATAGRAM);
		assert.equal(observed.events.length, 1);
		const larval = [...a.engine.states()].map(({ ifId }) => ifId);
		assert.deepEqual(larval, [5]);
		run(a, [state('if_id 5')]);
		assert.equal(only(a.receive('lan', DATAGRAM)).length, 80);
	});

	// @spec X-4
	it('refuses what is too long for the bundle, and remembers it for local senders', () => {
		const a = end('a', [...OUT, state('if_id 5'), policy('dir out if_id 5')]);
		const long = udp('10.1.0.9', '10.2.0.1', [1000, 53], counting(1440), DF);
		assert.deepEqual(forwarded(a, long), [
			'lan: 10.1.0.1 > 10.1.0.9 ttl 64 icmp 3/4 1458 length 576',
		]);
		assert.equal(counters(a, 'x0'), 'txErrors 1 txDropped 1');
		const own = udp('10.1.0.1', '10.2.0.1', [1000, 53], counting(1440), DF);
		assert.equal(seen(a.send(own, { sender: 'hdrincl' })).at(-1), 'EMSGSIZE');
	});

	// @spec X-17
	it('learns from an ICMP error about its ESP', () => {
		const a = end('a', [...OUT, state('if_id 5'), policy('dir out if_id 5')]);
		const esp = only(a.receive('lan', DATAGRAM));
		a.receive('wan', icmp('192.0.2.254', '192.0.2.1', [3, 4, 1000], esp.slice(0, 28)));
		const long = udp('10.1.0.9', '10.2.0.1', [1000, 53], counting(1000), DF);
		const [told = ''] = forwarded(a, long);
		assert.match(told, /icmp 3\/4 9[0-9]{2} /);
	});

	// @spec X-15
	it('is not spared by disable_xfrm, but what comes before it is', () => {
		const block = 'ip xfrm policy add dst 10.2.0.0/24 dir out action block';
		const a = end('a', [...OUT, block, state('if_id 5'), policy('dir out if_id 5')]);
		a.setSysctl('net.ipv4.conf.x0.disable_xfrm', 1);
		assert.deepEqual(forwarded(a), ['wan: 192.0.2.1 > 192.0.2.2 ttl 64 proto 50 length 80']);
	});
});

describe('an external XFRM interface', () => {
	const EXTERNAL = ['link add x0 type xfrm external', 'link set x0 up'];
	const rules = [state('if_id 5'), policy('dir out if_id 5')];

	// @spec X-13 X-3
	it('takes the if_id from the route, and drops without one', () => {
		const a = end('a', [...EXTERNAL, 'route add 10.2.0.0/24 dev x0 encap xfrm if_id 5', ...rules]);
		assert.deepEqual(forwarded(a), ['wan: 192.0.2.1 > 192.0.2.2 ttl 64 proto 50 length 80']);
		const bare = end('a', [...EXTERNAL, 'route add 10.2.0.0/24 dev x0', ...rules]);
		assert.deepEqual([forwarded(bare), counters(bare, 'x0')], [[], 'txErrors 1 txDropped 1']);
	});

	// @spec X-13
	it('has link_dev for the output interface of the flow', () => {
		const route = 'route add 10.2.0.0/24 dev x0 encap xfrm if_id 5 link_dev';
		const dev = [state('if_id 5'), policy('dev lan dir out if_id 5')];
		assert.equal(
			only(end('a', [...EXTERNAL, `${route} lan`, ...dev]).receive('lan', DATAGRAM)).length,
			80,
		);
		assert.deepEqual(forwarded(end('a', [...EXTERNAL, `${route} wan`, ...dev])), [UNREACHABLE]);
	});

	// @spec X-5 X-6
	it('takes what no device of its own is there for, under the if_id of the state', () => {
		const b = end('b', [...EXTERNAL, state('if_id 5'), policy('dir in if_id 5')]);
		assert.deepEqual(seen(b.receive('wan', sealed())), ['deliver 17 8']);
		assert.equal(counters(b, 'x0'), 'rxPackets 1 rxBytes 36');
	});
});

describe('in by an XFRM interface', () => {
	// @spec X-5 X-6 X-14
	const rows: readonly (readonly [
		what: string,
		rules: string[],
		lines: string[],
		device: string,
	])[] = [
		['its if_id', [policy('dir in if_id 5')], ['deliver 17 8'], 'rxPackets 1 rxBytes 36'],
		['no policy', [], ['XfrmInNoPols 1'], 'rxPackets 1 rxBytes 36'],
		['policy without if_id', [policy('dir in')], ['XfrmInNoPols 1'], 'rxPackets 1 rxBytes 36'],
		['device down', ['link set x0 down', policy('dir in')], ['deliver 17 8'], ''],
		[
			'selector dev lo',
			[policy('dev lo dir in if_id 5')],
			['deliver 17 8'],
			'rxPackets 1 rxBytes 36',
		],
		[
			'selector dev x0',
			[policy('dev x0 dir in if_id 5')],
			['XfrmInNoPols 1'],
			'rxPackets 1 rxBytes 36',
		],
	];
	for (const [what, rules, lines, device] of rows) {
		it(what, () => {
			const b = end('b', [...IN, state('if_id 5'), ...rules]);
			assert.deepEqual([seen(b.receive('wan', sealed())), counters(b, 'x0')], [lines, device]);
		});
	}

	// @spec X-5
	it('counts what fails behind the state, and nothing without a state', () => {
		const b = end('b', [...IN, state('if_id 5'), policy('dir in if_id 5')]);
		const damaged = sealed().map((octet, i) => (i === 40 ? octet ^ 1 : octet));
		assert.deepEqual(seen(b.receive('wan', damaged)), ['XfrmInStateProtoError 1']);
		assert.equal(counters(b, 'x0'), 'rxErrors 1 rxDropped 1');
		run(b, ['ip xfrm state flush']);
		assert.deepEqual(seen(b.receive('wan', sealed())), ['XfrmInNoStates 1']);
		assert.equal(counters(b, 'x0'), 'rxErrors 1 rxDropped 1');
	});

	// @spec X-15
	it('is not checked where the device is exempt, IPv4 only at the device', () => {
		const b = end('b', [...IN, state('if_id 5')]);
		b.setSysctl('net.ipv4.conf.x0.disable_policy', 1);
		assert.deepEqual(seen(b.receive('wan', sealed())), ['deliver 17 8']);
	});

	// @spec X-16
	it('is checked under the output mark of the state', () => {
		const b = end('b', [...IN, state('if_id 5 output-mark 7'), policy('dir in mark 7 if_id 5')]);
		assert.deepEqual(seen(b.receive('wan', sealed())), ['deliver 17 8']);
	});

	// @spec X-18
	it('takes uncompressed packets of an IPComp state too', () => {
		const comp =
			'ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto comp spi 2 reqid 1 mode tunnel if_id 5 comp deflate';
		const template = 'src 192.0.2.1 dst 192.0.2.2 proto comp reqid 1 mode tunnel level use';
		const b = end('b', [
			...IN,
			comp,
			`ip xfrm policy add src 10.1.0.0/24 dst 10.2.0.0/24 dir in if_id 5 tmpl ${template}`,
		]);
		const plain = new Uint8Array(20 + DATAGRAM.length);
		plain.set(udp('192.0.2.1', '192.0.2.2', [0, 0], counting(DATAGRAM.length - 8)), 0);
		plain.set(DATAGRAM, 20);
		plain[9] = 4;
		fixChecksum(plain);
		assert.deepEqual(seen(b.receive('wan', plain)), ['deliver 17 8']);
		assert.equal(counters(b, 'x0'), 'rxPackets 1 rxBytes 36');
	});
});

/** Makes the IPv4 header checksum right again. */
function fixChecksum(packet: Uint8Array): void {
	packet.fill(0, 10, 12);
	let sum = 0;
	for (let at = 0; at < 20; at += 2) {
		sum += ((packet[at] ?? 0) << 8) | (packet[at + 1] ?? 0);
	}
	const folded = ~((sum & 0xffff) + (sum >>> 16)) & 0xffff;
	packet[10] = folded >> 8;
	packet[11] = folded & 255;
}

describe('ESP in ESP', () => {
	const OUTER = 'src 192.0.2.1 dst 192.0.2.2';
	const INNER = 'src 10.1.0.1 dst 10.2.0.1';
	const middle = `ip xfrm policy add src 10.1.0.1 dst 10.2.0.1`;
	const outerTmpl = `tmpl ${OUTER} proto esp reqid 1 mode tunnel`;
	const innerTmpl = `tmpl ${INNER} proto esp reqid 1 mode tunnel`;
	const last = 'ip xfrm policy add src 10.3.0.0/24 dst 10.2.0.0/24';
	const packet = udp('10.3.0.9', '10.2.0.1', [1000, 53], counting(8), DF);

	/** Two devices, one inside the other. */
	function nested(): Uint8Array {
		const a = end('a', [
			...['link add x1 type xfrm if_id 6', 'link set x1 up', 'addr add 10.3.0.1/24 dev lan'],
			...['link add x0 type xfrm if_id 5', 'link set x0 up', 'route add 10.2.0.1/32 dev x0'],
			...['rule add from 10.3.0.0/24 lookup 9', 'route add 10.2.0.0/24 dev x1 table 9'],
			state('if_id 5', OUTER, 1),
			state('if_id 6', INNER, 2),
			`${middle} dir out if_id 5 ${outerTmpl}`,
			`${last} dir out if_id 6 ${innerTmpl}`,
		]);
		return only(a.receive('lan', packet));
	}

	const TWO_IN = ['link add x0 type xfrm if_id 5', 'link set x0 up'].concat(
		['link add x1 type xfrm if_id 6', 'link set x1 up', 'route add 10.3.0.0/24 dev x1'],
		[state('if_id 5', OUTER, 1), state('if_id 6', INNER, 2)],
	);

	// @spec X-7
	it('is checked in between by the policies of the outer device', () => {
		const check = `${middle} dir in if_id 5 ${outerTmpl}`;
		const deliver = `${last} dir in if_id 6 ${innerTmpl}`;
		const b = end('b', [...TWO_IN, check, deliver]);
		assert.deepEqual(seen(b.receive('wan', nested())), ['deliver 17 8']);
		const without = end('b', [...TWO_IN, deliver]);
		assert.deepEqual(seen(without.receive('wan', nested())), ['XfrmInNoPols 1']);
		assert.equal(counters(without, 'x1'), '');
	});

	// @spec X-8 X-9
	it('is checked in between as soon as the module is loaded', () => {
		const states = [state('', OUTER, 1), state('', INNER, 2)];
		const both = `${last} dir in ${innerTmpl} ${outerTmpl}`;
		const bare = end('b', [...states, both]);
		assert.deepEqual(seen(bare.receive('wan', nested())), ['deliver 17 8']);
		const loaded = end('b', [...states, both], ['xfrm_interface']);
		assert.deepEqual(seen(loaded.receive('wan', nested())), ['XfrmInNoPols 1']);
		const one = `${last} dir in ${innerTmpl}`;
		const check = `${middle} dir in ${outerTmpl}`;
		const checked = end('b', [...states, one, check], ['xfrm_interface']);
		assert.deepEqual(seen(checked.receive('wan', nested())), ['deliver 17 8']);
		const unchecked = end('b', [...states, one, check]);
		assert.deepEqual(seen(unchecked.receive('wan', nested())), ['XfrmInTmplMismatch 1']);
	});
});
