import assert from 'node:assert/strict';
import { test } from 'node:test';
import { anySelector, Family, parseAddress } from '@xfrm/wire/xfrm';
import { SelectorMatcher } from './selector-match.ts';

test('masks are those of the prefix, of longer ones than there are those of the longest', () => {
	for (const [prefixlenD, masks] of [
		[0, [0, 0, 0, 0]],
		[1, [0x8000_0000 | 0, 0, 0, 0]],
		[32, [-1, 0, 0, 0]],
		[33, [-1, 0x8000_0000 | 0, 0, 0]],
		[127, [-1, -1, -1, -2]],
		[128, [-1, -1, -1, -1]],
		[255, [-1, -1, -1, -1]],
	] as const) {
		const { daddrMask } = new SelectorMatcher({ ...anySelector(Family.Ipv6), prefixlenD });
		assert.deepEqual([...daddrMask], masks, String(prefixlenD));
	}
});

test('what many selectors have in common they share', () => {
	const daddr = parseAddress('10.1.0.0')?.address ?? new Uint8Array();
	const selector = { ...anySelector(Family.Ipv4), daddr, prefixlenD: 16 };
	const [one, other] = [new SelectorMatcher(selector), new SelectorMatcher(selector)];
	assert.deepEqual([...one.daddr], [0x0a01_0000, 0, 0, 0]);
	assert.equal(one.daddrMask, other.daddrMask);
	assert.equal(one.saddr, other.saddr);
	assert.equal(one.saddrMask, other.saddrMask);
});
