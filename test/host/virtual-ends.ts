/** Two hosts, `a` and `b`, with XFRM interfaces or VTI between them: what their tests share. */
import assert from 'node:assert/strict';
import { nodeProvider } from '@xfrm/crypto/node';
import { linux61 } from '@xfrm/engine';
import { type Observed, World } from '@xfrm/explain';
import { errnoName } from '@xfrm/wire/xfrm';
import { describe as packetText } from '../../packages/host/src/host-fixture.test.ts';
import { availableOf, readProfiles } from '../golden/golden-files.ts';
import { seededRandom } from '../golden/laboratory.ts';

const text = readProfiles().available['uml61'];
assert.ok(text !== undefined);
const available = availableOf(text);

const COMMON: Readonly<Record<'a' | 'b', readonly string[]>> = {
	a: [
		'addr add 10.1.0.1/24 dev lan',
		'addr add 2001:db8:1::1/64 dev lan',
		'addr add 192.0.2.1/24 dev wan',
		'addr add 2001:db8::1/64 dev wan',
	],
	b: [
		'addr add 10.2.0.1/24 dev lan',
		'addr add 2001:db8:2::1/64 dev lan',
		'addr add 192.0.2.2/24 dev wan',
		'addr add 2001:db8::2/64 dev wan',
	],
};

/** `a`: 10.1.0.0/24 behind 192.0.2.1; `b`: 10.2.0.0/24 behind 192.0.2.2; IPv6 likewise. Nobody answers echo. */
export function end(
	name: 'a' | 'b',
	commands: readonly string[],
	modules: readonly string[] = [],
): World {
	const world = new World({
		profile: linux61,
		available: { ...available, modules: new Set(modules) },
		provider: nodeProvider(),
		random: seededRandom(7),
		startUs: 1_764_000_000_000_000,
	});
	for (const sysctl of ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding']) {
		world.setSysctl(sysctl, 1);
	}
	run(world, ['link set lan up', 'link set wan up', ...COMMON[name], ...commands]);
	world.host.openUdp({ family: 2, port: 53 });
	world.host.openUdp({ family: 10, port: 53 });
	return world;
}

/** Carries commands out that must be taken. */
export function run(world: World, commands: readonly string[]): void {
	for (const command of commands) {
		assert.equal(world.run(command).stderr, '', command);
	}
}

/** An ESP state of mode tunnel from 192.0.2.1 to 192.0.2.2 unless told otherwise. */
export function state(rest: string, ends = 'src 192.0.2.1 dst 192.0.2.2', spi = 0x1000): string {
	const mode = rest.includes('mode ') ? '' : 'mode tunnel';
	const keys =
		"enc 'ecb(cipher_null)' '' auth 'hmac(sha1)' 0x0102030405060708090a0b0c0d0e0f1011121314";
	return `ip xfrm state add ${ends} proto esp spi ${spi} reqid 1 ${mode} ${rest} ${keys}`;
}

/** A policy with one ESP tunnel template. */
export function policy(rest: string, ends = 'src 192.0.2.1 dst 192.0.2.2'): string {
	return `ip xfrm policy add src 10.1.0.0/24 dst 10.2.0.0/24 ${rest} tmpl ${ends} proto esp reqid 1 mode tunnel`;
}

/** Counters of a virtual device that are not zero: `tx 1/28 errors 2`. */
export function counters(world: World, name: string): string {
	const device = world.host.device(name);
	assert.ok(device !== undefined, name);
	return Object.entries(device.counters)
		.filter(([, value]) => value !== 0)
		.map(([field, value]) => `${field} ${value}`)
		.join(' ');
}

/** What came out, a line each; counters of XFRM and the sender's errno last. */
export function seen(observed: Observed): string[] {
	return [
		...observed.emitted.map(({ device, packet }) => `${device}: ${packetText(packet)}`),
		...observed.delivered.map(({ proto, payload }) => `deliver ${proto} ${payload.length}`),
		...[...observed.counters].map(([name, more]) => `${name} ${more}`),
		...(observed.error === 0 ? [] : [errnoName(observed.error)]),
	];
}

/** The one packet that left. */
export function only(observed: Observed): Uint8Array {
	const [first] = observed.emitted;
	assert.ok(first !== undefined && observed.emitted.length === 1, `${seen(observed)}`);
	return first.packet;
}
