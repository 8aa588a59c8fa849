import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Errno, type Refusal } from '@xfrm/wire/xfrm';
import { address, emptyHost, router } from './host-fixture.test.ts';
import type { VirtualLinkConfig } from './virtual-link.ts';

const { EINVAL, EEXIST, ENODEV, EOPNOTSUPP } = Errno;
const NON_ZERO = { errno: EINVAL, message: 'if_id must be non zero' };

type Row = readonly [name: string, config: VirtualLinkConfig, refusal: Refusal | undefined];

// @spec X-1
test('an if_id belongs to one XFRM interface, and one may be external', () => {
	const host = router();
	const rows: readonly Row[] = [
		['x0', { type: 'xfrm', link: 'wan', ifId: 5 }, undefined],
		['x0', { type: 'xfrm', ifId: 6 }, { errno: EEXIST }],
		['x1', { type: 'xfrm', link: 'lan', ifId: 5 }, { errno: EEXIST }],
		['x1', { type: 'xfrm' }, NON_ZERO],
		['x1', { type: 'xfrm', link: 'none', ifId: 7 }, { errno: ENODEV }],
		['x1', { type: 'xfrm', external: true }, undefined],
		['x2', { type: 'xfrm', external: true }, { errno: EEXIST }],
		['x2', { type: 'xfrm', ifId: 6 }, undefined],
	];
	for (const [name, config, refusal] of rows) {
		const made = host.addVirtualDevice(name, config).refusal;
		assert.deepEqual(plain(made), refusal, `${name} ${JSON.stringify(config)}`);
	}
	assert.deepEqual([...host.devices()].map(({ name }) => name).slice(-3), ['x0', 'x1', 'x2']);
});

/** Without parts that are undefined. */
function plain(refusal: Refusal | undefined): Refusal | undefined {
	return refusal === undefined || refusal.message !== undefined
		? refusal
		: { errno: refusal.errno };
}

// @spec X-1
test('another if_id may be given later, another link or sort may not', () => {
	const host = router();
	host.addVirtualDevice('x0', { type: 'xfrm', link: 'wan', ifId: 5 });
	host.addVirtualDevice('x1', { type: 'xfrm', ifId: 6 });
	host.addVirtualDevice('x2', { type: 'xfrm', external: true });
	const rows: readonly Row[] = [
		['x0', { type: 'xfrm', link: 'wan', ifId: 5 }, undefined],
		['x0', { type: 'xfrm', link: 'lan', ifId: 5 }, { errno: EINVAL }],
		['x0', { type: 'xfrm', ifId: 5 }, { errno: EINVAL }],
		['x0', { type: 'xfrm', link: 'wan', ifId: 6 }, { errno: EEXIST }],
		['x0', { type: 'xfrm', external: true }, NON_ZERO],
		['x2', { type: 'xfrm', external: true }, NON_ZERO],
		['x2', { type: 'xfrm', ifId: 9 }, { errno: EINVAL, message: "collect_md can't be changed" }],
		['x0', { type: 'xfrm', link: 'wan', ifId: 8 }, undefined],
		['lan', { type: 'xfrm', ifId: 9 }, { errno: EOPNOTSUPP }],
		['x0', { type: 'vti' }, { errno: EOPNOTSUPP }],
		['x9', { type: 'xfrm', ifId: 9 }, { errno: ENODEV }],
	];
	for (const [name, config, refusal] of rows) {
		const changed = host.changeVirtualDevice(name, config);
		assert.deepEqual(plain(changed), refusal, `${name} ${JSON.stringify(config)}`);
	}
	const { virtual } = host.device('x0') ?? {};
	assert.equal(virtual?.kind === 'xfrm' ? virtual.ifId : 0, 8);
});

// @spec X-2
test('an XFRM interface has MTU 1500, of 68 to 65535', () => {
	const host = emptyHost();
	host.addVirtualDevice('x0', { type: 'xfrm', ifId: 5 });
	const { mtu, up } = host.device('x0') ?? {};
	assert.deepEqual([mtu, up], [1500, false]);
	const set = (value: number): string | undefined => host.setDevice('x0', { mtu: value })?.message;
	assert.deepEqual([67, 68, 65535, 65536].map(set), [
		'mtu less than device minimum',
		undefined,
		undefined,
		'mtu greater than device maximum',
	]);
});

test('a device loads its module, which stays when the device goes', () => {
	const host = router();
	const { modules } = host.engine.net;
	assert.deepEqual([...modules], []);
	host.addVirtualDevice('x0', { type: 'xfrm', ifId: 5 });
	host.removeDevice('x0');
	assert.deepEqual([...modules], ['xfrm_interface']);
	assert.equal(host.addVirtualDevice('x1', { type: 'xfrm', ifId: 5 }).refusal, undefined);
});

test('two VTI devices are told apart by their addresses, not by their keys', () => {
	const host = router();
	const ends = { local: address('192.0.2.1'), remote: address('192.0.2.2') };
	const make = (name: string, config: VirtualLinkConfig): number =>
		host.addVirtualDevice(name, config).refusal?.errno ?? 0;
	assert.equal(make('v0', { type: 'vti', ...ends, inKey: 1, outKey: 1 }), 0);
	assert.equal(make('v1', { type: 'vti', ...ends, inKey: 2, outKey: 2 }), EEXIST);
	assert.equal(make('v1', { type: 'vti', local: address('192.0.2.1') }), 0);
	assert.equal(host.device('v0')?.mtu, 1480);
	assert.equal(host.changeVirtualDevice('v1', { type: 'vti', ...ends })?.errno, EEXIST);
});
