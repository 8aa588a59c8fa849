/** Messages in a stream: where they begin and end, however the octets come. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { frameMessage, STREAM_MESSAGE_OCTETS_MAX, StreamMessages } from './esp-in-tcp.ts';
import { formatHex, parseHex } from './hex.ts';

function bytes(hex: string): Uint8Array {
	const parsed = parseHex(hex);
	assert.ok(parsed instanceof Uint8Array);
	return parsed;
}

const rows: readonly { name: string; pieces: string[]; messages: string[]; broken?: boolean }[] = [
	{ name: 'one message', pieces: ['0006 01020304'], messages: ['01020304'] },
	{ name: 'two in one', pieces: ['0003 ff 0004 0102'], messages: ['ff', '0102'] },
	{ name: 'in pieces', pieces: ['00', '0601', '0203', '04'], messages: ['01020304'] },
	{ name: 'a piece without octets', pieces: ['0004 01', '', '02'], messages: ['0102'] },
	{ name: 'nothing but a length', pieces: ['0002 0003 ff'], messages: ['', 'ff'] },
	{
		name: 'length 1 ends the stream',
		pieces: ['0003 ff 0001 0003 ff', '0003 ff'],
		messages: ['ff'],
		broken: true,
	},
	{ name: 'length 0 ends the stream', pieces: ['0000', '0003 ff'], messages: [], broken: true },
];

// @spec T-12
describe('messages in a stream', () => {
	for (const { name, pieces, messages, broken = false } of rows) {
		it(name, () => {
			const stream = new StreamMessages();
			const found = pieces.flatMap((piece) => stream.push(bytes(piece)));
			assert.deepEqual(found.map(formatHex), messages);
			assert.equal(stream.broken, broken);
		});
	}

	it('come out as they were framed, however they are cut', () => {
		const message = fc.uint8Array({ maxLength: 40 });
		const cuts = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1 });
		fc.assert(
			fc.property(fc.array(message), cuts, (all, sizes) => {
				const whole = all.flatMap((one) => [...(frameMessage(one) ?? [])]);
				const stream = new StreamMessages();
				const found: string[] = [];
				for (let at = 0, i = 0; at < whole.length; i++) {
					const size = (sizes[i % sizes.length] ?? 0) + (i % sizes.length === 0 ? 1 : 0);
					found.push(...stream.push(Uint8Array.from(whole.slice(at, at + size))).map(formatHex));
					at += size;
				}
				assert.deepEqual(found, all.map(formatHex));
			}),
		);
	});

	it('are no longer than their length field can say', () => {
		const longest = frameMessage(new Uint8Array(STREAM_MESSAGE_OCTETS_MAX));
		assert.equal(longest && formatHex(longest.subarray(0, 2)), 'ffff');
		assert.equal(frameMessage(new Uint8Array(STREAM_MESSAGE_OCTETS_MAX + 1)), undefined);
	});
});
