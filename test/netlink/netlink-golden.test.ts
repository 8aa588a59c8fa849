import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeMessage, encodeMessage, splitMessages } from '@xfrm/netlink';
import { formatHex } from '@xfrm/wire';
import { goldenFolder, readLines } from '../golden/golden-files.ts';
import { type NetlinkCase, octets } from './netlink-case.ts';

// The files as wholes are run by test/golden, by way of netlink-runner.ts.

// @spec N-2 N-3 N-4
test('every message of ip and the kernel is the same after decoding and encoding', () => {
	let count = 0;
	for (const file of ['kernel-netlink', 'kernel-netlink-619']) {
		const lines = readLines<NetlinkCase>(goldenFolder(), file);
		assert.ok(lines, `${file} is absent`);
		for (const [, hex] of lines.flatMap(({ commands }) => commands.flatMap((c) => c.messages))) {
			for (const raw of splitMessages(octets(hex)).filter(({ type }) => type >= 0x10)) {
				const message = decodeMessage(raw);
				assert.equal(message && formatHex(encodeMessage(message)), formatHex(raw.bytes));
				count++;
			}
		}
	}
	assert.ok(count > 3000);
});
