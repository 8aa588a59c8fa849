import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseAddress } from '@xfrm/wire/xfrm';
import { parseHostLine } from './host-command.ts';
import { InputError, splitWords } from './input.ts';

const ONE = parseAddress('192.0.2.1')?.address;
const TWO = parseAddress('192.0.2.2')?.address;

// @spec X-1 X-13
describe('XFRM interfaces and VTI in ip link', () => {
	const rows: readonly (readonly [line: string, want: object])[] = [
		[
			'ip link add x0 type xfrm dev wan if_id 0x2a',
			{ virtual: { type: 'xfrm', link: 'wan', ifId: 42 } },
		],
		['link add name x0 type xfrm if_id 42', { virtual: { type: 'xfrm', ifId: 42 } }],
		['link add dev x0 mtu 1400 type xfrm external', { virtual: { type: 'xfrm', external: true } }],
		['link change x0 type xfrm if_id 43', { verb: 'set', virtual: { type: 'xfrm', ifId: 43 } }],
		['link del x0 type xfrm', { verb: 'del' }],
		[
			'link add x0 type vti local 192.0.2.1 remote 192.0.2.2 ikey 7 okey 0.0.1.0',
			{ virtual: { type: 'vti', local: ONE, remote: TWO, inKey: 7, outKey: 256 } },
		],
		['link add x0 type vti6 key 9 remote any', { virtual: { type: 'vti6', inKey: 9, outKey: 9 } }],
		[
			'link add x0 type xfrm if_id 0',
			{ refusal: 'Error: argument "0" is wrong: if_id value is invalid' },
		],
		['link add x0 type xfrm dev wan', { refusal: 'Error: argument "IF_ID" is required' }],
		[
			'link add x0 type xfrm external if_id 4',
			{ refusal: "xfrmi: both 'external' and if_id/link cannot be specified" },
		],
	];
	for (const [line, want] of rows) {
		it(line, () => {
			const [command] = parseHostLine(splitWords(line), { device: undefined });
			assert.ok(command !== undefined);
			const fields = command as unknown as Record<string, unknown>;
			assert.equal(fields['device'], 'x0');
			const have = Object.keys(want).map((key) => [key, fields[key]]);
			assert.deepEqual(Object.fromEntries(have), want);
		});
	}

	it('in what ip -d link prints', () => {
		const context = { device: undefined };
		const lines = ['7: x0@wan: <NOARP,UP> mtu 1500', '    xfrm if_id 0x2a addrgenmode none'];
		const [, described] = lines.flatMap((line) => parseHostLine(splitWords(line), context));
		assert.deepEqual(described, {
			object: 'link',
			verb: 'add',
			device: 'x0',
			settings: {},
			describes: true,
			virtual: { type: 'xfrm', ifId: 42, link: 'wan' },
		});
	});

	it('in routes', () => {
		const line = 'route add 10.0.0.0/8 dev x0 encap xfrm if_id 5 link_dev wan';
		const [command] = parseHostLine(splitWords(line), { device: undefined });
		assert.ok(command?.object === 'route');
		assert.deepEqual(command.config.encap, { ifId: 5, link: 'wan' });
	});

	const wrong: readonly (readonly [line: string, found: string])[] = [
		['link add x0 type xfrm if_id', 'the end of the line'],
		['link add x0 type xfrm frob', '"frob"'],
		['link add x0 type vti ikey 1.2.3.256', '"1.2.3.256"'],
		['route add 10.0.0.0/8 dev x0 encap mpls 5', '"mpls"'],
		['route add 10.0.0.0/8 dev x0 encap xfrm if_id 0', 'the end of the line'],
	];
	for (const [line, found] of wrong) {
		it(`not: ${line}`, () => {
			assert.throws(
				() => parseHostLine(splitWords(line), { device: undefined }),
				(error) => error instanceof InputError && error.fault.found === found,
			);
		});
	}
});
