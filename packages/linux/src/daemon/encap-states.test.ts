import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nullProvider } from '@xfrm/crypto/null';
import { Engine, linux619 } from '@xfrm/engine';
import {
	anySelector,
	EncapType,
	Family,
	parseAddress,
	type StateConfig,
	UNLIMITED,
} from '@xfrm/wire/xfrm';
import { EncapStates } from './encap-states.ts';

const NOW_US = 1_764_000_000_000_000;

function address(text: string): Uint8Array {
	return parseAddress(text)?.address ?? new Uint8Array(16);
}

function state(spi: number, port: number): StateConfig {
	const encap = { type: EncapType.EspInUdp, sport: port, dport: 9, oa: address('0.0.0.0') };
	return {
		id: { daddr: address('192.0.2.2'), spi, proto: 50 },
		saddr: address('192.0.2.1'),
		family: Family.Ipv4,
		selector: anySelector(Family.Ipv4),
		lifetime: UNLIMITED,
		aead: { name: 'rfc4106(gcm(aes))', key: new Uint8Array(20), keyBits: 160, icvBits: 128 },
		reqid: 1,
		mode: 1,
		replayWindow: 32,
		flags: 0,
		seq: 0,
		...(port === 0 ? {} : { encap }),
	};
}

test('ports are new once, and there as long as a state has them', () => {
	const engine = new Engine({
		profile: linux619,
		provider: nullProvider(),
		random: (octets) => octets.fill(1),
		route: () => undefined,
	});
	const add = (spi: number, port: number): void => {
		assert.equal(engine.addState(state(spi, port), NOW_US).refusal, undefined);
	};
	add(1, 4500);
	const states = new EncapStates(({ family, encap, config: { saddr } }) =>
		encap === undefined ? undefined : { family, address: saddr, port: encap.sport },
	);
	const takeNewPorts = (): readonly number[] => states.takeNewEnds().map(({ port }) => port);
	states.begin(engine.states());
	engine.net.watcher = states;
	assert.deepEqual(takeNewPorts(), [4500]);
	assert.deepEqual(takeNewPorts(), []);

	add(2, 0);
	add(3, 4501);
	add(4, 4501);
	assert.deepEqual(takeNewPorts(), [4501, 4501]);
	assert.deepEqual([...states.ports].sort(), [4500, 4501]);

	add(5, 4502);
	for (const spi of [1, 5]) {
		const { id, family } = state(spi, 0);
		engine.deleteState({ id, family, mark: 0 }, NOW_US);
	}
	assert.deepEqual(takeNewPorts(), [], 'gone before anybody asked');
	assert.deepEqual([...states.ports], [4501]);
});
