import assert from 'node:assert/strict';
import { test } from 'node:test';
import { input } from './input.ts';
import {
	addPolicy,
	addState,
	arrived,
	batchOf,
	esp,
	ip,
	makeNamespace,
	SPI,
	udp,
} from './input-fixture.test.ts';
import { lookup } from './output-lookup.ts';
import { policyCheck } from './policy-check.ts';
import { verdictName } from './verdict.ts';

test('a watcher is told of every drop: state, policy and reason, without a tracer', () => {
	const net = makeNamespace();
	addState(net);
	const block = addPolicy(net, { action: 1 });
	const told: string[] = [];
	net.dropWatcher = {
		dropped: (verdict, state, policy, code) => {
			const spi = state === null ? '-' : (state.spi >>> 0).toString(16);
			told.push(`${verdictName(verdict)} ${spi} ${policy?.index ?? '-'} ${code}`);
		},
	};
	const sealed = (): ReturnType<typeof arrived> => arrived(ip(50, esp(ip(17, udp()))));
	const batch = batchOf(sealed(), sealed(), arrived(ip(50, esp(ip(17, udp()), { spi: 5 }))));
	input(net, batch);
	const [opened] = batch.packets;
	assert.ok(opened !== undefined);
	policyCheck(net, batchOf(opened), 0);
	lookup(net, batchOf(arrived(ip(17, udp()))));
	const spi = SPI.toString(16);
	assert.deepEqual(told.sort(), [
		'XfrmInNoStates - - in.state.none',
		`XfrmInPolBlock - ${block.index} check.block`,
		`XfrmInStateSeqError ${spi} - in.replay.repeated`,
		'XfrmOutError - - out.route',
	]);
	net.rehearsing = true;
	input(net, batchOf(sealed()));
	assert.equal(told.length, 4);
});
