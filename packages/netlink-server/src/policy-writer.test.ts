import assert from 'node:assert/strict';
import { test } from 'node:test';
import { XfrmPolicy } from '@xfrm/engine';
import {
	anyAddress,
	anySelector,
	type PolicyConfig,
	type Template,
	UNLIMITED,
} from '@xfrm/wire/xfrm';
import { policyMessage } from './notify.ts';
import { policyMessageOctets, writePolicyMessage } from './policy-writer.ts';

const octets = (first: number): Uint8Array => Uint8Array.from({ length: 16 }, (_, i) => first + i);

const template: Template = {
	id: { daddr: octets(0x90), spi: 0xc000_0001, proto: 50 },
	saddr: octets(0xa0),
	family: 10,
	reqid: 0xffff_fffe,
	mode: 1,
	share: 2,
	optional: 1,
	aalgos: 0xffff_ffff,
	ealgos: 0x8000_0000,
	calgos: 3,
};

const config: PolicyConfig = {
	selector: {
		...anySelector(10),
		daddr: octets(1),
		saddr: octets(0xe0),
		dport: 0xfedc,
		dportMask: 0xff00,
		sport: 0x8001,
		sportMask: 0xffff,
		prefixlenD: 128,
		prefixlenS: 65,
		proto: 0x84,
		ifindex: -5,
		user: 0xffff_fff0,
	},
	lifetime: { ...UNLIMITED, softByteLimit: 2 ** 40 + 1, hardAddExpiresSeconds: 3600 },
	priority: 0xffff_ffff,
	index: 0,
	direction: 2,
	action: 1,
	flags: 5,
	share: 3,
	type: 1,
	templates: [template],
};

// @spec N-13 N-15
test('written directly, a policy is the same as by way of its values', () => {
	const { mark: _, ...plain } = config;
	const rows: [name: string, Partial<PolicyConfig>, socketId?: number][] = [
		['all fields', {}],
		['mark and if_id', { mark: { v: 0x8000_0001, m: 0xf000_000f }, ifId: 0xffff_fff1 }],
		['mark of nothing', { mark: { v: 5, m: 0 } }],
		['no template', { templates: [] }],
		[
			'six templates',
			{ templates: Array.from({ length: 6 }, (_v, i) => ({ ...template, reqid: i })) },
		],
		['no limits', { lifetime: UNLIMITED }],
		['of a socket', { direction: 1, type: 0 }, 7],
		['IPv4', { selector: { ...anySelector(2), daddr: anyAddress() } }],
	];
	const header = { flags: 2, seq: 0xffff_fff3, pid: 0x8000_0007 };
	for (const [name, options, socketId = 0] of rows) {
		const policy = new XfrmPolicy({ ...plain, ...options }, 0xffff_fff9);
		policy.socketId = socketId;
		policy.addTime = 1_764_000_000;
		policy.useTime = 4_300_000_000;
		const want = policyMessage('newpolicy', header, {
			...policy.config,
			direction: policy.direction + (socketId === 0 ? 0 : 3),
			lifetimeCurrent: { bytes: 0, packets: 0, addTime: 1_764_000_000, useTime: 4_300_000_000 },
		});
		const bytes = new Uint8Array(8 + policyMessageOctets(policy));
		writePolicyMessage(new DataView(bytes.buffer), 8, policy, header);
		assert.deepEqual(bytes.subarray(8), want, name);
	}
});
