/** Refusals that no packet of the golden files meets: no route, a quote that is cut, no way to wait. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Flow } from '@xfrm/wire';
import { Errno } from '@xfrm/wire/xfrm';
import { Batch } from './batch.ts';
import {
	addState,
	arrived,
	bytes,
	counted,
	ip,
	makeNamespace,
	NOW_US,
	udp,
} from './input-fixture.test.ts';
import {
	addOutPolicy,
	inner,
	makeEngine,
	makeRoute,
	sent,
	tunnelTemplate,
} from './output-fixture.test.ts';
import { reverseCheck } from './policy-check.ts';
import { PacketAction } from './verdict.ts';

const ICMP_FLAG = 16;

// @spec O-1 O-15
test('a packet without a route, or an ICMP error without one, is refused: EHOSTUNREACH', () => {
	const { engine } = makeEngine();
	addOutPolicy(engine, { templates: [tunnelTemplate()] });
	for (const call of ['lookup', 'lookupIcmpError'] as const) {
		const packet = sent(inner(), makeRoute());
		packet.route = null;
		if (call === 'lookup') {
			engine.lookup(Batch.of(NOW_US, packet));
		} else {
			engine.lookupIcmpError(packet, new Flow(), null, NOW_US);
		}
		assert.deepEqual([packet.action, packet.error], [PacketAction.Drop, Errno.EHOSTUNREACH], call);
	}
	assert.deepEqual(counted(engine.net), { XfrmOutError: 2 });
});

// @spec O-7 O-15
test('an ICMP error does not wait in a hold queue: it is dropped with EAGAIN', () => {
	const { engine } = makeEngine();
	engine.net.sysctl.xfrm_larval_drop = 0;
	engine.net.listeners = 1;
	addOutPolicy(engine, { templates: [tunnelTemplate()] });
	const packet = sent(inner(), makeRoute());
	engine.lookupIcmpError(packet, new Flow(), null, NOW_US);
	assert.deepEqual([packet.action, packet.error], [PacketAction.Drop, Errno.EAGAIN]);
	assert.deepEqual(counted(engine.net), { XfrmOutNoStates: 1 });
});

// @spec P-31
test('a quoted packet that is cut inside of its IP header is not accepted', () => {
	const net = makeNamespace();
	const state = addState(net, { flags: ICMP_FLAG });
	const packet = arrived(ip(1, udp(bytes('00'))));
	packet.path[0] = state;
	packet.pathCount = 1;
	assert.equal(reverseCheck(net, packet, packet.end - 19), false);
	assert.deepEqual(counted(net), { XfrmInHdrError: 1 });
});
