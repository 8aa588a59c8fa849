import assert from 'node:assert/strict';
import { test } from 'node:test';
import { anyAddress, anySelector, UNLIMITED, UNUSED } from '@xfrm/wire/xfrm';
import fc from 'fast-check';
import { MessageFlag, type RawMessage, splitMessages } from '../message.ts';
import { MessageWriter } from '../message-writer.ts';
import { attribute, attributeSpec, XFRM_ATTRIBUTES } from './attributes.ts';
import type { Codec, Struct } from './codec.ts';
import {
	decodeMessage,
	encodeMessage,
	MESSAGES,
	type NamedMessage,
	type XfrmMessage,
} from './messages.ts';
import { userMigrate, userTemplate } from './policy.ts';
import { xfrmMark } from './selector.ts';

function only(datagram: Uint8Array): RawMessage {
	const [raw] = splitMessages(datagram);
	assert.ok(raw);
	return raw;
}

/** Size and the offset of each field, as on x86-64. */
// @spec N-4
test('every payload has the size and fields of the ABI', () => {
	const sizes = Object.fromEntries(MESSAGES.map(({ name, body }) => [name, body.octets]));
	assert.deepEqual(sizes, {
		newsa: 224,
		delsa: 24,
		getsa: 24,
		dumpsa: 0,
		newpolicy: 168,
		delpolicy: 64,
		getpolicy: 64,
		dumppolicy: 0,
		allocspi: 232,
		acquire: 280,
		expire: 232,
		updpolicy: 168,
		updsa: 224,
		polexpire: 176,
		flushsa: 1,
		flushpolicy: 0,
		newae: 48,
		getae: 48,
		report: 60,
		migrate: 64,
		newsadinfo: 4,
		getsadinfo: 4,
		newspdinfo: 4,
		getspdinfo: 4,
		mapping: 64,
		setdefault: 3,
		getdefault: 3,
		migratestate: 132,
	});
	for (const { name, body } of MESSAGES) {
		let end = 0;
		for (const [field, { at, codec }] of (body as Struct<unknown>).fields) {
			assert.ok(at >= end, `${name}.${field} begins at ${at}, before ${end}`);
			end = at + codec.octets;
		}
		assert.ok(end <= body.octets, `${name} ends at ${end}`);
	}
});

/** As a struct's fields say, each read by its own fields. */
function readByTable(codec: Codec<unknown>, view: DataView, at: number): unknown {
	if (!('fields' in codec)) {
		return codec.read(view, at);
	}
	const { fields } = codec as Struct<unknown>;
	return Object.fromEntries(
		[...fields].map(([name, field]) => [name, readByTable(field.codec, view, at + field.at)]),
	);
}

/** Likewise for writing. */
function writeByTable(codec: Codec<unknown>, view: DataView, at: number, value: unknown): void {
	if (!('fields' in codec)) {
		codec.write(view, at, value);
		return;
	}
	for (const [name, field] of (codec as Struct<unknown>).fields) {
		const part = (value as Readonly<Record<string, unknown>>)[name];
		writeByTable(field.codec, view, at + field.at, part);
	}
}

// @spec N-4
test('structs read and write what their fields say, written out or not', () => {
	const structs = [...MESSAGES.map(({ body }) => body), userTemplate, userMigrate, xfrmMark];
	fc.assert(
		fc.property(
			fc.uint8Array({ minLength: 290, maxLength: 290 }),
			fc.array(fc.tuple(fc.nat(289), fc.constantFrom(0, 0xff), fc.nat(70))),
			(octets, runs) => {
				for (const [from, octet, length] of runs) {
					octets.fill(octet, from, from + length);
				}
				const view = new DataView(octets.buffer);
				for (const codec of structs) {
					const value = readByTable(codec, view, 0);
					assert.deepEqual(codec.read(view, 0), value, codec.name);
					const [written, byTable] = [new Uint8Array(290), new Uint8Array(290)];
					(codec as Codec<unknown>).write(new DataView(written.buffer), 0, codec.read(view, 0));
					writeByTable(codec, new DataView(byTable.buffer), 0, value);
					assert.deepEqual(written, byTable, codec.name);
				}
			},
		),
	);
});

test('attributes are numbered without gaps but for padding', () => {
	const missing: number[] = [];
	for (let number = 1; number <= XFRM_ATTRIBUTES.max; number++) {
		const row = XFRM_ATTRIBUTES.byNumber(number);
		if (row === undefined) {
			missing.push(number);
		} else {
			assert.equal(attributeSpec(row.name).number, number);
		}
	}
	assert.deepEqual(missing, [27]);
});

function expire(): NamedMessage<'expire'> {
	return {
		name: 'expire',
		flags: 0,
		seq: 1,
		pid: 2,
		body: {
			state: {
				selector: anySelector(2),
				id: { daddr: anyAddress(), spi: 0xc0ffee01, proto: 50 },
				saddr: anyAddress(),
				lifetime: { ...UNLIMITED, softByteLimit: 2 ** 53 },
				lifetimeCurrent: UNUSED,
				stats: { replayWindow: 1, replay: 2, integrityFailed: 3 },
				seq: 4,
				reqid: 5,
				family: 2,
				mode: 1,
				replayWindow: 32,
				flags: 128,
			},
			hard: 1,
		},
		attributes: [attribute('mark', { v: 1, m: 0xff })],
	};
}

// @spec N-3
test('SPIs are in network order, marks in the machine’s, XFRM_INF is Infinity', () => {
	const bytes = encodeMessage(expire());
	const hex = (from: number, to: number): string =>
		[...bytes.subarray(from, to)].map((octet) => octet.toString(16).padStart(2, '0')).join('');
	assert.equal(hex(16 + 72, 16 + 76), 'c0ffee01');
	assert.equal(hex(16 + 96, 16 + 112), `00000000000020${'0'.repeat(2)}${'f'.repeat(16)}`);
	assert.equal(hex(16 + 232, bytes.length), '0c00150001000000ff000000');
	assert.deepEqual(decodeMessage(only(bytes)), expire());
});

test('what is not known, repeated or too short keeps its place', () => {
	const writer = new MessageWriter({ type: 0x1d, flags: 0, seq: 0, pid: 0 });
	const put = (type: number, octets: readonly number[]): void => {
		const at = writer.appendAttribute(type, octets.length);
		writer.bytes.set(octets, at);
	};
	put(99, [1, 2, 3]);
	put(31, [7, 0, 0, 0]);
	put(31, [8, 0]);
	put(31 | 0x8000, [9, 0, 0, 0]);
	writer.appendBytes(Uint8Array.from([1, 0, 0, 0]));
	const bytes = writer.finish();
	const message = decodeMessage(only(bytes));
	assert.deepEqual(message?.attributes, [
		{ name: 'unknown', type: 99, value: Uint8Array.from([1, 2, 3]) },
		{ name: 'ifId', value: 7 },
		{ name: 'unknown', type: 31, value: Uint8Array.from([8, 0]) },
		{ name: 'ifId', value: 9, flags: 0x8000 },
	]);
	assert.deepEqual(message?.rest, Uint8Array.from([1, 0, 0, 0]));
	assert.deepEqual(message && encodeMessage(message), bytes);
});

const header = fc.record({
	type: fc.integer({ min: 0x0e, max: 0x2b }),
	flags: fc.constantFrom(0, 2, MessageFlag.Request, 0x301, 5),
});
const attributeBytes = fc
	.tuple(fc.integer({ min: 0, max: 44 }), fc.uint8Array({ maxLength: 260 }))
	.map(([type, value]) => {
		const octets = new Uint8Array((4 + value.length + 3) & ~3);
		new DataView(octets.buffer).setUint16(0, 4 + value.length, true);
		new DataView(octets.buffer).setUint16(2, type, true);
		octets.set(value, 4);
		return octets;
	});

/** Any payload, any attributes; often as long as the struct wants it. */
const anyMessage = fc
	.tuple(header, fc.uint8Array({ minLength: 0, maxLength: 290 }), fc.array(attributeBytes))
	.map(([{ type, flags }, payload, attributes]) => {
		const writer = new MessageWriter({ type, flags, seq: 0, pid: 0 });
		writer.appendBytes(payload);
		for (const octets of attributes) {
			writer.appendBytes(octets);
		}
		return writer.finish();
	});

test('decode, encode, decode: the same value, whatever the octets', () => {
	fc.assert(
		fc.property(anyMessage, (datagram) => {
			const first = decodeMessage(only(datagram));
			if (first === undefined) {
				return;
			}
			const second: XfrmMessage | undefined = decodeMessage(only(encodeMessage(first)));
			assert.deepEqual(second, first);
		}),
		{ numRuns: 2000 },
	);
});

test('no truncation of a message throws', () => {
	const bytes = encodeMessage(expire());
	for (let length = 16; length < bytes.length; length++) {
		const cut = bytes.slice(0, length);
		new DataView(cut.buffer).setUint32(0, length, true);
		const message = decodeMessage(only(cut));
		assert.equal(message === undefined, length < 16 + 232);
	}
});

// @spec G-8
test('one MIGRATE attribute holds as many entries as fit into it', () => {
	const entry = (reqid: number): Uint8Array => {
		const octets = new Uint8Array(76);
		new DataView(octets.buffer).setUint32(68, reqid, true);
		return octets;
	};
	const writer = new MessageWriter({ type: 0x21, flags: MessageFlag.Request, seq: 0, pid: 0 });
	writer.appendBytes(new Uint8Array(64));
	writer.appendBytes(Uint8Array.from([4 + 2 * 76, 0, 17, 0, ...entry(7), ...entry(9)]));
	const message = decodeMessage(only(writer.finish()));
	assert.ok(message?.name === 'migrate');
	const entries = message.attributes.flatMap((one) => (one.name === 'migrate' ? one.value : []));
	assert.deepEqual(
		entries.map(({ reqid }) => reqid),
		[7, 9],
	);
});
