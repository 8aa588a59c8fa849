import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCommand } from '@xfrm/iproute';
import { decodeMessage, type NamedMessage, splitMessages } from '@xfrm/netlink';
import { innerMtu } from './inner-mtu.ts';

function state(rest: string): NamedMessage<'newsa'> {
	const { command } = parseCommand(`state add src 192.0.2.1 dst 192.0.2.2 proto ${rest}`);
	const [raw] = splitMessages(command?.requests[0] ?? new Uint8Array(0));
	const message = raw && decodeMessage(raw);
	assert.equal(message?.name, 'newsa');
	return message as NamedMessage<'newsa'>;
}

const GCM = `aead rfc4106(gcm(aes)) 0x${'00'.repeat(20)} 128`;
const CBC = `enc cbc(aes) 0x${'00'.repeat(16)} auth-trunc hmac(sha256) 0x${'00'.repeat(32)} 128`;

// What Linux tells inward for these paths.
const rows: readonly (readonly [rest: string, mtu: number, inner: number | undefined])[] = [
	[`esp spi 1 mode tunnel ${GCM}`, 1280, 1226],
	[`esp spi 1 mode tunnel ${GCM} encap espinudp 4500 4500 0.0.0.0`, 1280, 1218],
	[`esp spi 1 mode tunnel ${CBC}`, 1500, 1438],
	[`esp spi 1 mode transport ${GCM}`, 1500, undefined],
];
for (const [rest, mtu, inner] of rows) {
	test(`${rest.slice(0, 60)} at ${mtu}: ${inner}`, () => {
		assert.equal(innerMtu(state(rest), mtu), inner);
	});
}
