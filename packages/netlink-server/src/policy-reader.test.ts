import assert from 'node:assert/strict';
import { test } from 'node:test';
import { XfrmPolicy } from '@xfrm/engine';
import {
	attribute,
	attributeValue,
	encodeMessage,
	MESSAGE_HEADER_OCTETS,
	policyConfigOf,
	splitMessages,
	type UserPolicyInfo,
	userPolicyInfo,
	userTemplate,
	XFRM_ATTRIBUTES,
	type XfrmAttribute,
} from '@xfrm/netlink';
import fc from 'fast-check';
import { packedPolicy, readPolicyInfo, readTemplates, templateCountOf } from './policy-reader.ts';
import { RequestAttributes } from './request.ts';

/** Any octets are a payload and a template. */
const payload: fc.Arbitrary<UserPolicyInfo> = octets(168).map((bytes) =>
	userPolicyInfo.read(new DataView(bytes.buffer), 0),
);
const templates = fc.array(
	octets(64).map((bytes) => userTemplate.read(new DataView(bytes.buffer), 0)),
	{ minLength: 1, maxLength: 6 },
);
const word = fc.nat(0xffff_ffff);

function octets(length: number): fc.Arbitrary<Uint8Array> {
	return fc
		.uint8Array({ minLength: length, maxLength: length })
		.map((bytes) => Uint8Array.from(bytes));
}

test('a policy read into words is the one read by way of values', () => {
	const attributes = fc.record(
		{ tmpl: templates, mark: fc.record({ v: word, m: word }), ifId: word },
		{ requiredKeys: [] },
	);
	fc.assert(
		fc.property(payload, attributes, (body, { tmpl, mark, ifId }) => {
			const list: XfrmAttribute[] = [
				...(tmpl === undefined ? [] : [attribute('tmpl', tmpl)]),
				...(mark === undefined ? [] : [attribute('mark', mark)]),
				...(ifId === undefined ? [] : [attribute('ifId', ifId)]),
			];
			const header = { flags: 1, seq: 0, pid: 0 };
			const bytes = encodeMessage({ name: 'newpolicy', ...header, body, attributes: list });
			// A message in front: nothing may be read from the start of the datagram.
			const datagram = new Uint8Array([16, 0, 0, 0, ...new Array<number>(12).fill(0), ...bytes]);
			const [, raw] = splitMessages(datagram);
			assert.ok(raw);
			const read = new RequestAttributes(raw, userPolicyInfo.octets, XFRM_ATTRIBUTES, 41);
			const at = raw.at + MESSAGE_HEADER_OCTETS;
			const info = readPolicyInfo(raw.view, at, templateCountOf(read));
			readTemplates(read, info.words);
			const policy = new XfrmPolicy(packedPolicy(info, 0, at, read), 1);
			const values = policyConfigOf(body, { get: (name) => attributeValue(list, name) });
			// Where a template says no family, making values fills in the policy's; here the server does.
			const family = body.selector.family;
			const filled = policy.config.templates.map((template) =>
				template.family === 0 ? { ...template, family } : template,
			);
			assert.deepEqual({ ...policy.config, templates: filled }, new XfrmPolicy(values, 1).config);
			assert.equal(info.share, body.share);
			assert.equal(info.index, body.index);
		}),
	);
});
