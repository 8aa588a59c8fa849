import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatAddress } from '@xfrm/wire/xfrm';
import { readPrefix } from './address-text.ts';
import { parseU64, parseUnsigned } from './number-text.ts';
import { Unreadable } from './problem.ts';

test('numbers are those of strtoul with base 0', () => {
	const rows: [text: string, value: number | undefined][] = [
		['0', 0],
		['42', 42],
		['+42', 42],
		['0x1F', 31],
		['010', 8],
		['08', undefined],
		['4294967295', 0xffff_ffff],
		['4294967296', undefined],
		['', undefined],
		['0x', undefined],
		['1x', undefined],
		['-1', undefined],
		['1.0', undefined],
	];
	for (const [text, value] of rows) {
		assert.equal(parseUnsigned(text, 0xffff_ffff), value, text);
	}
	assert.equal(parseU64('18446744073709551615'), Number.POSITIVE_INFINITY);
	assert.equal(parseU64('-1'), Number.POSITIVE_INFINITY);
	assert.equal(parseU64('18446744073709551616'), undefined);
	assert.equal(parseU64('9007199254740992'), 2 ** 53);
});

test('prefixes are those of iproute2', () => {
	const rows: [text: string, family: number, printed: string | undefined][] = [
		['10.0.0.1', 0, '10.0.0.1/32'],
		['10.0.0.1/24', 2, '10.0.0.1/24'],
		['10/8', 0, '10.0.0.0/8'],
		['10.1', 0, '10.1.0.0/32'],
		['0x0a.010.0.1', 0, '10.8.0.1/32'],
		['10.0.0.0/255.255.0.0', 0, '10.0.0.0/16'],
		['10.0.0.0/255.0.255.0', 0, undefined],
		['10.0.0.0/33', 0, undefined],
		['10.0.0.0.0', 0, undefined],
		['256.0.0.1', 0, undefined],
		['10.0.0.1', 10, undefined],
		['2001:db8::1/64', 0, '2001:db8::1/64'],
		['::ffff:1.2.3.4', 10, '::ffff:1.2.3.4/128'],
		['2001:db8::1', 2, undefined],
		['2001:db8::/129', 0, undefined],
		['any', 2, '0.0.0.0/0'],
		['default', 10, '::/0'],
	];
	for (const [text, family, printed] of rows) {
		let result: string | undefined;
		try {
			const prefix = readPrefix({ text, line: 1, column: 1 }, family);
			result = `${formatAddress(prefix.address, prefix.family)}/${prefix.prefixLength}`;
		} catch (error) {
			assert.ok(error instanceof Unreadable);
			assert.equal(error.problem.status, 1);
		}
		assert.equal(result, printed, text);
	}
});
