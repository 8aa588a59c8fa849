/** Which sources IPv4 believes, by rp_filter and its neighbours (net/ipv4/fib_frontend.c: fib_validate_source). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { counting, effects, ip, NOW_US, router } from './host-fixture.test.ts';

type Settings = Readonly<Record<string, number>>;

/** Is a packet from there taken, that arrives by wan for an address of ours? */
function isTaken(source: string, settings: Settings, prepare: 'rule' | 'none' = 'none'): boolean {
	const host = router();
	host.openRaw({ family: 2, proto: 253 });
	for (const [name, value] of Object.entries(settings)) {
		assert.equal(host.setSysctl(`net.ipv4.conf.${name}`, value), undefined);
	}
	if (prepare === 'rule') {
		host.addRule({ family: 2, fwmark: 5, action: { table: 254 } });
	}
	host.receive('wan', ip(source, '192.0.2.1', counting(8)), NOW_US);
	return effects(host).length === 1;
}

const STRICT: Settings = { 'wan.rp_filter': 1 };
const LOOSE: Settings = { 'wan.rp_filter': 2 };

test('a source is believed by its way back', () => {
	// On wan, behind wan, on lan, nowhere.
	const sources = ['192.0.2.9', '10.9.0.1', '10.0.0.9', '203.0.113.7'];
	const rows: [Settings, boolean[]][] = [
		[{}, [true, true, true, true]],
		[STRICT, [true, true, false, false]],
		[LOOSE, [true, true, true, false]],
		// The higher of the device's own and of `all` counts.
		[{ 'all.rp_filter': 1 }, [true, true, false, false]],
		[{ 'wan.rp_filter': 1, 'all.rp_filter': 2 }, [true, true, true, false]],
		[{ 'lan.rp_filter': 1, 'default.rp_filter': 1 }, [true, true, true, true]],
	];
	for (const [settings, want] of rows) {
		const have = sources.map((source) => isTaken(source, settings));
		assert.deepEqual(have, want, JSON.stringify(settings));
	}
});

test('our own addresses are believed where accept_local says so, and strictly only of their device', () => {
	assert.deepEqual(
		[
			isTaken('10.0.0.1', {}),
			isTaken('10.0.0.1', { 'wan.accept_local': 1 }),
			isTaken('10.0.0.1', { 'all.accept_local': 1 }),
			isTaken('10.0.0.1', { 'all.accept_local': 1, ...STRICT }),
			isTaken('192.0.2.1', { 'all.accept_local': 1, ...STRICT }),
		],
		[false, true, true, false, true],
	);
});

test('rules of somebody’s own have all sources looked up', () => {
	// The broadcast address of lan: only a look into the tables tells.
	assert.equal(isTaken('10.0.0.255', {}), true);
	assert.equal(isTaken('10.0.0.255', {}, 'rule'), false);
});
