/** VTI devices between two hosts: keys as marks, counters, and what happens without the device. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { World } from '@xfrm/explain';
import { counting, icmp, udp } from '../../packages/host/src/host-fixture.test.ts';
import { counters, end, only, policy, seen, state } from './virtual-ends.ts';

const OUT = [
	'link add v0 type vti local 192.0.2.1 remote 192.0.2.2 ikey 3 okey 4',
	'link set v0 up',
	'route add 10.2.0.0/24 dev v0',
];
const IN = [
	'link add v0 type vti local 192.0.2.2 remote 192.0.2.1 ikey 4 okey 3',
	'link set v0 up',
	'route add 10.1.0.0/24 dev v0',
];
const DATAGRAM = udp('10.1.0.9', '10.2.0.1', [1000, 53], counting(8), { fragmentWord: 0x4000 });
const UNREACHABLE = 'lan: 10.1.0.1 > 10.1.0.9 ttl 64 icmp 3/1 0 length 64';
const SEALED = 'wan: 192.0.2.1 > 192.0.2.2 ttl 64 proto 50 length 80';

function out(rules: readonly string[]): World {
	return end('a', [...OUT, ...rules]);
}

function sealed(mode = 'mode tunnel'): Uint8Array {
	const a = end('a', [
		state(mode, 'src 192.0.2.1 dst 192.0.2.2'),
		`${policy('dir out').replace('mode tunnel', mode)}`,
		'route add 10.2.0.0/24 dev wan',
	]);
	return only(a.receive('lan', DATAGRAM));
}

describe('out by a VTI', () => {
	const failed = 'txErrors 1 carrier 1';
	// @spec X-20
	const rows: readonly (readonly [
		what: string,
		rules: string[],
		lines: string[],
		device: string,
	])[] = [
		['mark okey', [state(''), policy('dir out mark 4')], [SEALED], 'txPackets 1 txBytes 36'],
		['another mark', [state(''), policy('dir out mark 5')], [UNREACHABLE], failed],
		['no state', [policy('dir out mark 4')], [UNREACHABLE, 'XfrmOutNoStates 1'], failed],
		[
			'a tunnel to another address',
			[
				state('', 'src 192.0.2.1 dst 192.0.2.3'),
				policy('dir out mark 4', 'src 192.0.2.1 dst 192.0.2.3'),
			],
			[UNREACHABLE],
			failed,
		],
		['a policy without mark takes the packet before', [state(''), policy('dir out')], [SEALED], ''],
	];
	for (const [what, rules, lines, device] of rows) {
		it(what, () => {
			const a = out(rules);
			assert.deepEqual([seen(a.receive('lan', DATAGRAM)), counters(a, 'v0')], [lines, device]);
		});
	}

	// @spec X-17 X-20
	it('learns of a path MTU by the mark of its states', () => {
		const a = out([state('mark 4'), policy('dir out mark 4')]);
		const esp = only(a.receive('lan', DATAGRAM));
		a.receive('wan', icmp('192.0.2.254', '192.0.2.1', [3, 4, 1000], esp.slice(0, 28)));
		const long = udp('10.1.0.9', '10.2.0.1', [1000, 53], counting(1000), { fragmentWord: 0x4000 });
		const [told = ''] = seen(a.receive('lan', long));
		assert.match(told, /icmp 3\/4 9[0-9]{2} /);
		assert.equal(counters(a, 'v0'), 'txPackets 1 txBytes 36 txErrors 1');
	});

	// @spec X-20
	it('vti6 counts a failure as dropped too', () => {
		const a = end('a', [
			'link add v0 type vti6 local 2001:db8::1 remote 2001:db8::2 okey 4',
			'link set v0 up',
			'route add 10.2.0.0/24 dev v0',
		]);
		assert.deepEqual(seen(a.receive('lan', DATAGRAM)), [UNREACHABLE]);
		assert.equal(counters(a, 'v0'), 'txErrors 1 txDropped 1 carrier 1');
		assert.equal(a.host.device('v0')?.mtu, 1460);
	});
});

describe('in by a VTI', () => {
	const received = 'rxPackets 1 rxBytes 36';
	const failed = 'rxErrors 1 rxDropped 1';
	// @spec X-21 X-22
	const rows: readonly (readonly [
		what: string,
		rules: string[],
		lines: string[],
		device: string,
	])[] = [
		['mark ikey', [state(''), policy('dir in mark 4')], ['deliver 17 8'], received],
		[
			'a state of mark ikey',
			[state('mark 4'), policy('dir in mark 4')],
			['deliver 17 8'],
			received,
		],
		[
			'a state of another mark',
			[state('mark 5'), policy('dir in mark 4')],
			['XfrmInNoStates 1'],
			failed,
		],
		['no policy', [state('')], ['XfrmInNoPols 1'], failed],
		['policy fwd only', [state(''), policy('dir fwd mark 4')], ['XfrmInNoPols 1'], failed],
		[
			'a policy without mark passes the first check, not the second',
			[state(''), policy('dir in')],
			['XfrmInTmplMismatch 1'],
			received,
		],
		[
			'device down',
			['link set v0 down', state(''), policy('dir in mark 4')],
			['XfrmInNoPols 1'],
			'',
		],
	];
	for (const [what, rules, lines, device] of rows) {
		it(what, () => {
			const b = end('b', [...IN, ...rules]);
			assert.deepEqual([seen(b.receive('wan', sealed())), counters(b, 'v0')], [lines, device]);
		});
	}

	// @spec X-21
	it('refuses a state of another mode before anything is opened', () => {
		const b = end('b', [...IN, state('mode transport'), policy('dir in mark 4')]);
		assert.deepEqual(seen(b.receive('wan', sealed())), ['XfrmInStateModeError 1']);
		assert.equal(counters(b, 'v0'), failed);
		const [only] = b.engine.states();
		assert.equal(only === undefined ? -1 : b.engine.snapshotState(only).lifetimeCurrent.packets, 0);
	});

	// @spec X-21
	it('forwards what passed the check IN, without a policy FWD', () => {
		const through = udp('10.1.0.9', '10.2.0.7', [1000, 53], counting(8));
		const a = end('a', [state(''), policy('dir out'), 'route add 10.2.0.0/24 dev wan']);
		const b = end('b', [...IN, state(''), policy('dir in mark 4')]);
		const esp = only(a.receive('lan', through));
		const lines = ['lan: 10.1.0.9 > 10.2.0.7 ttl 62 proto 17 length 36'];
		assert.deepEqual(seen(b.receive('wan', esp)), lines);
	});
});
