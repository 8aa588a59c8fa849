import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AttributeReader, splitMessages } from '@xfrm/netlink';
import { BatchType, ElementListAttribute, NftType } from './nft-abi.ts';
import { NftBatch } from './nft-batch.ts';
import { loadMeta, whenEqual } from './nft-expression.ts';

/** Type, flags, and octets of each message. */
function shape(bytes: Uint8Array): readonly (readonly number[])[] {
	return splitMessages(bytes.slice()).map(({ type, flags, bytes: { length } }) => [
		type,
		flags,
		length,
	]);
}

const REQUEST = 1;
const ACK = 4;
const CREATE = 0x400;
const APPEND = 0x800;
const NFTABLES = 10 << 8;

test('a batch has its envelope, and the last message of it is acknowledged', () => {
	const batch = new NftBatch('t');
	assert.equal(batch.isEmpty, true);
	batch.addTable(6);
	batch.addChain('c', { hook: 3, priority: -1, type: 'route' });
	batch.flushChain('c');
	batch.addSet('s', { keyType: 7, keyOctets: 4 });
	batch.deleteTable();
	assert.equal(batch.isEmpty, false);
	const bytes = batch.finish();
	assert.deepEqual(shape(bytes), [
		[BatchType.Begin, REQUEST, 20],
		[NFTABLES | NftType.NewTable, REQUEST | CREATE, 36],
		[NFTABLES | NftType.NewChain, REQUEST | CREATE, 76],
		[NFTABLES | NftType.DeleteRule, REQUEST, 36],
		[NFTABLES | NftType.NewSet, REQUEST | CREATE, 68],
		[NFTABLES | NftType.DeleteTable, REQUEST | ACK, 28],
		[BatchType.End, REQUEST, 20],
	]);
	// Family inet of all that is between; the subsystem, big-endian, of the envelope.
	const families = splitMessages(bytes.slice()).map(({ payload }) => [...payload.subarray(0, 4)]);
	const inner = [1, 0, 0, 0];
	assert.deepEqual(families, [[0, 0, 0, 10], inner, inner, inner, inner, inner, [0, 0, 0, 10]]);
	batch.restart();
	assert.equal(batch.isEmpty, true);
});

test('a rule: expressions in lists, numbers in network order', () => {
	const batch = new NftBatch('t');
	batch.addRule('c', (rule) => {
		loadMeta(rule, 3, 1);
		whenEqual(rule, Uint8Array.of(1, 2, 3, 4), 1);
	});
	const [, rule] = splitMessages(batch.finish().slice());
	assert.ok(rule !== undefined);
	assert.equal(rule.flags, REQUEST | CREATE | APPEND | ACK);
	assert.equal(
		Buffer.from(rule.payload.subarray(4)).toString('hex'),
		[
			'06000100 74000000 06000200 63000000 54000480',
			'24000180 09000100 6d657461 00000000 14000280 08000100 00000009 08000200 00000003',
			'2c000180 08000100 636d7000 20000280',
			'08000100 00000009 08000200 00000000 0c000380 08000100 01020304',
		]
			.join('')
			.replaceAll(' ', ''),
	);
});

test('elements of a set share a message, up to the length of an attribute', () => {
	const batch = new NftBatch('t');
	const octets = Buffer.alloc(52);
	for (let i = 0; i < 3000; i++) {
		octets.writeUInt32BE(i);
		batch.addElement('s', octets.toString('latin1'));
	}
	const key = octets.toString('latin1');
	batch.deleteElement('s', key);
	batch.deleteElement('other', key);
	const messages = splitMessages(batch.finish().slice());
	const counts = messages.slice(1, -1).map(({ type, payload }) => {
		let elements = 0;
		for (const reader = new AttributeReader(payload, 4); reader.next(); ) {
			if (reader.type === ElementListAttribute.Elements) {
				const inner = new AttributeReader(payload, reader.at, reader.at + reader.length);
				for (; inner.next(); elements++) {
					assert.equal(inner.length, 60);
				}
			}
		}
		return [type & 0xff, elements];
	});
	const { NewElement, DeleteElement } = NftType;
	assert.deepEqual(counts, [
		[NewElement, 960],
		[NewElement, 960],
		[NewElement, 960],
		[NewElement, 120],
		[DeleteElement, 1],
		[DeleteElement, 1],
	]);
});
