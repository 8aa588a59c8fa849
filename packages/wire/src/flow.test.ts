import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Flow, flowAddress, setFlowAddress } from './flow.ts';
import { parseAddress } from './xfrm/address.ts';
import { Family } from './xfrm/constants.ts';

function addressOf(text: string): Uint8Array {
	const parsed = parseAddress(text);
	assert.ok(parsed !== undefined);
	return parsed.address;
}

test('addresses go into words in network order and come out again', () => {
	const words = new Int32Array(4).fill(-1);
	setFlowAddress(words, addressOf('192.0.2.255'), Family.Ipv4);
	assert.deepEqual([...words], [0xc00002ff | 0, 0, 0, 0]);
	assert.deepEqual(flowAddress(words, Family.Ipv4), addressOf('192.0.2.255'));
	setFlowAddress(words, addressOf('2001:db8::ff00:0:1'), Family.Ipv6);
	assert.deepEqual([...words], [0x20010db8, 0, 0xff00, 1]);
	assert.deepEqual(flowAddress(words, Family.Ipv6), addressOf('2001:db8::ff00:0:1'));
});

test('a copy is equal, and a cleared flow is as when new', () => {
	const flow = new Flow();
	flow.family = Family.Ipv6;
	flow.saddr.set([1, 2, 3, 4]);
	flow.daddr.set([5, 6, 7, 8]);
	flow.proto = 17;
	flow.sport = 1;
	flow.dport = 2;
	flow.mark = -1;
	flow.oif = 3;
	const copy = new Flow();
	copy.copyFrom(flow);
	assert.deepEqual(copy, flow);
	copy.clear();
	assert.deepEqual(copy, new Flow());
});
