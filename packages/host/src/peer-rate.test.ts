import assert from 'node:assert/strict';
import { test } from 'node:test';
import { counting, effects, emitted, icmp, ip, NOW_US, router } from './host-fixture.test.ts';
import { PEERS_MAX } from './limits.ts';
import { PeerRates } from './peer-rate.ts';

/** How many of the calls, one every `stepUs`, are admitted. */
function admitted(calls: number, stepUs: number, ask: (nowUs: number) => boolean): number {
	let count = 0;
	for (let i = 0; i < calls; i++) {
		count += Number(ask(NOW_US + i * stepUs));
	}
	return count;
}

test('unreachable: five at once, then one a second', () => {
	const rates = new PeerRates();
	assert.equal(
		admitted(20, 1, (now) => rates.admitUnreachable(1, now)),
		5,
	);
	const later = new PeerRates();
	assert.equal(
		admitted(20, 1_000_000, (now) => later.admitUnreachable(1, now)),
		20,
	);
});

test('redirects: nine, each after twice as long, anew after a silence', () => {
	const rates = new PeerRates();
	const times: number[] = [];
	for (let ms = 0; ms <= 30_000; ms += 10) {
		if (rates.admitRedirect(1, NOW_US + ms * 1000)) {
			times.push(ms);
		}
	}
	assert.deepEqual(times, [0, 50, 140, 310, 640, 1290, 2580, 5150, 10280]);
	const silentUs = NOW_US + 60_000_000;
	assert.equal(rates.admitRedirect(1, silentUs), true);
});

test('errors: no limit of 0, six at once of any other', () => {
	for (const [intervalUs, want] of [
		[0, 20],
		[1_000_000, 6],
	] as const) {
		const rates = new PeerRates();
		assert.equal(
			admitted(20, 1, (now) => rates.admitError(1, now, intervalUs)),
			want,
		);
	}
});

test('peers have accounts of their own, and the oldest is forgotten', () => {
	const rates = new PeerRates();
	assert.equal(
		admitted(9, 1, (now) => rates.admitUnreachable(1, now)),
		5,
	);
	assert.equal(
		admitted(9, 1, (now) => rates.admitUnreachable(2, now)),
		5,
	);
	for (let peer = 3; peer <= PEERS_MAX + 1; peer++) {
		rates.admitUnreachable(peer, NOW_US);
	}
	assert.equal(rates.admitUnreachable(1, NOW_US), true);
	assert.equal(rates.admitUnreachable(PEERS_MAX, NOW_US), true);
});

test('a host obeys net.ipv4.icmp_ratelimit', () => {
	const host = router();
	host.setSysctl('net.ipv4.icmp_ratelimit', 1000);
	for (let i = 0; i < 10; i++) {
		host.receive('lan', ip('10.0.0.9', '10.9.0.9', counting(8), { ttl: 1 }), NOW_US);
	}
	assert.equal(effects(host).length, 6);
});

test('a packet that goes back where it came from is forwarded, and its sender told', () => {
	const host = router();
	host.receive('lan', ip('10.0.0.9', '10.0.0.8', counting(8)), NOW_US);
	const [redirect = new Uint8Array(0), packet = new Uint8Array(0)] = emitted(host);
	assert.deepEqual(
		redirect.slice(20, 28),
		Uint8Array.of(5, 1, redirect[22] ?? 0, redirect[23] ?? 0, 10, 0, 0, 8),
	);
	assert.deepEqual(redirect.slice(28), packet, 'quotes what goes on');
	host.receive('lan', ip('10.9.0.9', '10.0.0.8', counting(8)), NOW_US);
	assert.equal(effects(host).length, 1, 'not to a sender on another link');
	host.setSysctl('net.ipv4.conf.lan.send_redirects', 0);
	host.setSysctl('net.ipv4.conf.all.send_redirects', 0);
	host.receive('lan', ip('10.0.0.7', '10.0.0.8', counting(8)), NOW_US);
	assert.equal(effects(host).length, 1, 'not when sysctl forbids it');
});

test('an answer takes record route and timestamp over', () => {
	const rows: [string, Uint8Array, Uint8Array | undefined][] = [
		[
			'record route',
			Uint8Array.of(7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0),
			Uint8Array.of(7, 11, 12, 10, 0, 0, 1, 10, 0, 0, 1, 0),
		],
		['full already', Uint8Array.of(7, 7, 8, 1, 2, 3, 4, 0), Uint8Array.of(7, 7, 8, 1, 2, 3, 4, 0)],
		['no operation is dropped', Uint8Array.of(1, 1, 1, 0), new Uint8Array(0)],
		['no room for the answer', Uint8Array.of(7, 10, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0), undefined],
	];
	for (const [name, options, want] of rows) {
		const host = router();
		host.setSysctl('net.ipv4.icmp_echo_ignore_all', 0);
		host.receive('lan', icmp('10.0.0.9', '10.0.0.1', [8, 0, 0], counting(4), { options }), NOW_US);
		const [reply] = emitted(host);
		const headerOctets = ((reply?.[0] ?? 0) & 15) * 4;
		assert.deepEqual(reply?.slice(20, headerOctets), want, name);
	}
});
