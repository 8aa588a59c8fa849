import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Secrets } from './secrets.ts';

const ONE = '3f1a5be2c8d04976aa10e5cd27b3648f';
const LONG = `${ONE}9e02c571`;

test('keys are hidden however they are written, the longest first', () => {
	const secrets = new Secrets(false);
	secrets.learn(['enc', 'cbc(aes)', `0x${ONE}`, 'auth', 'hmac(sha1)', 'a long secret']);
	secrets.learn(['aead', 'rfc4106(gcm(aes))', `0x${LONG}`, 'enc', 'cbc(des)', '0x1234']);
	const rows: readonly (readonly [string, string])[] = [
		[`enc cbc(aes) 0x${ONE}`, 'enc cbc(aes) key#1'],
		[`enc 0x${ONE.toUpperCase()}`, 'enc key#1'],
		[`4500${ONE}0011`, '4500key#10011'],
		[`0x${LONG} 0x${ONE}`, 'key#3 key#1'],
		[`${ONE}${ONE}`, 'key#1key#1'],
		['auth a long secret', 'auth key#2'],
		['0x1234 1234', 'key#4 1234'],
		['spi 0x3f1a5be2 192.0.2.1', 'spi 0x3f1a5be2 192.0.2.1'],
	];
	assert.deepEqual(
		rows.map(([text]) => secrets.hide(text)),
		rows.map(([, hidden]) => hidden),
	);
	assert.equal(secrets.nameOf(Uint8Array.of(0x12, 0x34)), 'key#4');
	assert.equal(secrets.nameOf(Uint8Array.of(0x12, 0x35)), 'key#5');
});

test('ten thousand keys are learned and hidden in no time', () => {
	const secrets = new Secrets(false);
	const keys = Array.from({ length: 10_000 }, (_, i) => `0x${i.toString(16).padStart(40, '0')}`);
	const start = performance.now();
	for (const key of keys) {
		secrets.learn(['aead', 'rfc4106(gcm(aes))', key, '128']);
	}
	const hidden = secrets.hide(keys.join('\n'));
	// Each compared with each took twenty seconds.
	assert.ok(performance.now() - start < 3000);
	assert.ok(hidden.startsWith('key#1\nkey#2\n') && hidden.endsWith('key#10000'));
});
