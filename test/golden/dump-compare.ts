/**
 * Dumps of NETLINK_XFRM after a case, octet by octet but for what no two runs have in common: times, the
 * numbers that acquires draw, and (where another compressor made other octets) what states have counted.
 */
import type { World } from '@xfrm/explain';
import { AttributeReader, MessageType, messageSpec, splitMessages } from '@xfrm/netlink';
import { formatHex } from '@xfrm/wire';
import { type Difference, differs } from './difference.ts';
import { bytesOf } from './laboratory.ts';
import type { Conversation } from './vector-case.ts';

/** Places of `xfrm_usersa_info` and `xfrm_userpolicy_info` in a message. */
const STATE_TIMES: readonly number[] = [16 + 176, 16 + 184];
const STATE_BYTES_AT = 16 + 160;
const STATE_SEQ_AT = 16 + 204;
const POLICY_TIMES: readonly number[] = [16 + 136, 16 + 144];
const STATE_OCTETS = 16 + 224;
const XFRMA_LASTUSED = 15;
/** Stands in front of 64-bit values, where a machine needs them aligned: as user-mode Linux does. */
const XFRMA_PAD = 27;
const FLAG_MULTI = 2;

/** What is in the message, without what nobody can foresee. */
function masked(message: Uint8Array, type: number, otherOctets: boolean): string {
	const copy = type === MessageType.NewSa ? withoutPad(message) : message.slice();
	const view = new DataView(copy.buffer);
	// Whose request it was.
	view.setUint32(8, 0);
	view.setUint32(12, 0);
	const times =
		type === MessageType.NewSa ? STATE_TIMES : type === MessageType.NewPolicy ? POLICY_TIMES : [];
	for (const at of times) {
		const isSet = view.getBigUint64(at, true) !== 0n;
		view.setBigUint64(at, isSet ? 1n : 0n, true);
	}
	if (type === MessageType.NewSa) {
		view.setUint32(STATE_SEQ_AT, view.getUint32(STATE_SEQ_AT, true) === 0 ? 0 : 1, true);
		for (const reader = new AttributeReader(copy, STATE_OCTETS); reader.next(); ) {
			if (reader.type === XFRMA_LASTUSED) {
				view.setBigUint64(reader.at, 1n, true);
			}
		}
		if (otherOctets) {
			view.setBigUint64(STATE_BYTES_AT, 0n, true);
		}
	}
	return formatHex(copy);
}

function withoutPad(message: Uint8Array): Uint8Array {
	for (const reader = new AttributeReader(message, STATE_OCTETS); reader.next(); ) {
		if (reader.type === XFRMA_PAD && reader.length === 0) {
			const copy = new Uint8Array(message.length - 4);
			copy.set(message.subarray(0, reader.headerAt));
			copy.set(message.subarray(reader.at), reader.headerAt);
			new DataView(copy.buffer).setUint32(0, copy.length, true);
			return copy;
		}
	}
	return message.slice();
}

/** Members of a dump one by one: how they are spread over datagrams is the kernel's buffers' business. */
function members(datagrams: readonly Uint8Array[], otherOctets: boolean): string[] {
	return datagrams
		.flatMap(splitMessages)
		.filter((raw) => messageSpec(raw.type) !== undefined || (raw.flags & FLAG_MULTI) === 0)
		.map((raw) => masked(raw.bytes, raw.type, otherOctets));
}

/** Puts the same requests to the engine's server. */
export function compareDumps(
	world: World,
	conversations: readonly Conversation[],
	otherOctets: boolean,
): Difference | undefined {
	for (const [i, { request, answers }] of conversations.entries()) {
		const want = members(answers.map(bytesOf), otherOctets);
		const have = members(world.request(bytesOf(request)), otherOctets);
		const difference = differs(`after dump ${i}`, want, have);
		if (difference !== undefined) {
			return difference;
		}
	}
	return undefined;
}
