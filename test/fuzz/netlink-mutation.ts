/**
 * Hostile requests: captured ones, damaged. The damage is of the kinds that parsers fall over: bits, lengths
 * that lie, attributes cut, stretched, doubled, exchanged, numbers at the border, messages glued together.
 */
import {
	align4,
	attributeValue,
	decodeMessage,
	encodeMessage,
	joinMessages,
	MESSAGE_HEADER_OCTETS,
	splitMessages,
	viewOf,
} from '@xfrm/netlink';
import { anySelector } from '@xfrm/wire/xfrm';
import { goldenFolder, readLines } from '../golden/golden-files.ts';
import type { Random } from '../kernel/random.ts';
import { type NetlinkCase, octets, type RawCase } from '../netlink/netlink-case.ts';

/** Longest datagram that is put in. */
const OCTETS_MAX = 0x1_0000;

/** Numbers at which something changes. */
const BORDERS: readonly number[] = [
	0, 1, 2, 3, 4, 5, 7, 8, 0x0f, 0x10, 0x13, 0x29, 0x2a, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000,
	0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff,
];

/** Requests of the golden files. */
export function goldenRequests(): Uint8Array[] {
	const folder = goldenFolder();
	const raw = (readLines<RawCase>(folder, 'netlink-raw-619') ?? []).flatMap(
		({ requests }) => requests,
	);
	const commands = (readLines<NetlinkCase>(folder, 'kernel-netlink-619') ?? [])
		.flatMap((one) => one.commands)
		.flatMap(({ messages }) => messages)
		.filter(([way]) => way === 'to')
		.map(([, hex]) => hex);
	const captured = [...new Set([...raw, ...commands])].map(octets);
	return [...captured, ...captured.flatMap(migrateStates)];
}

/** A MIGRATE_STATE of each state that a captured request names: no kernel at hand has made one. */
function migrateStates(datagram: Uint8Array): Uint8Array[] {
	const requests = splitMessages(datagram).map(decodeMessage);
	return requests.flatMap((request) => {
		if (request?.name !== 'delsa' && request?.name !== 'newsa') {
			return [];
		}
		const id =
			request.name === 'delsa' ? request.body : { ...request.body.id, family: request.body.family };
		const body = {
			id,
			newDaddr: id.daddr,
			newSaddr: id.daddr,
			oldMark: attributeValue(request.attributes, 'mark') ?? { v: 0, m: 0 },
			newSelector: anySelector(id.family),
			newReqid: 1,
			flags: 0,
			newFamily: id.family,
			reserved: 0,
		};
		return encodeMessage({ ...request, name: 'migratestate', body, attributes: [] });
	});
}

type Mutation = (random: Random, datagram: Uint8Array, seeds: readonly Uint8Array[]) => Uint8Array;

/** Where attributes begin in the first message, for payloads of the sizes that there are. */
function attributePlace(random: Random, datagram: Uint8Array): number {
	const payload = random.pick([0, 4, 24, 48, 64, 132, 168, 176, 224, 232, 280]);
	let at = MESSAGE_HEADER_OCTETS + payload;
	const view = viewOf(datagram);
	for (let skip = random.int(0, 4); skip > 0 && at + 4 <= datagram.length; skip--) {
		at += Math.max(4, align4(view.getUint16(at, true)));
	}
	return at;
}

function insert(datagram: Uint8Array, at: number, piece: Uint8Array): Uint8Array {
	const longer = new Uint8Array(datagram.length + piece.length);
	longer.set(datagram.subarray(0, at));
	longer.set(piece, at);
	longer.set(datagram.subarray(at), at + piece.length);
	return longer;
}

/** An attribute of any number with random octets. */
function randomAttribute(random: Random): Uint8Array {
	const octetCount = random.chance(0.1) ? random.int(0, 600) : random.int(0, 80);
	const bytes = new Uint8Array(align4(4 + octetCount));
	for (let i = 4; i < bytes.length; i++) {
		bytes[i] = random.chance(0.5) ? 0 : random.u32();
	}
	viewOf(bytes).setUint16(0, 4 + octetCount, true);
	viewOf(bytes).setUint16(2, random.int(0, 45) | (random.chance(0.1) ? 0x8000 : 0), true);
	return bytes;
}

/** Makes the length of the first message that of the datagram again. */
function mendLength(datagram: Uint8Array): Uint8Array {
	if (datagram.length >= 4) {
		viewOf(datagram).setUint32(0, datagram.length, true);
	}
	return datagram;
}

const MUTATIONS: readonly Mutation[] = [
	function flipBits(random, datagram) {
		for (let i = random.int(1, 8); i > 0 && datagram.length > 0; i--) {
			const at = random.int(0, datagram.length - 1);
			datagram[at] = (datagram[at] ?? 0) ^ (1 << random.int(0, 7));
		}
		return datagram;
	},
	function setBorder(random, datagram) {
		const width = random.pick([1, 2, 4]);
		if (datagram.length >= width) {
			const at = random.int(0, datagram.length - width);
			const value = random.pick(BORDERS);
			for (let i = 0; i < width; i++) {
				datagram[at + i] = value >>> (8 * (random.chance(0.3) ? width - 1 - i : i));
			}
		}
		return datagram;
	},
	function setType(random, datagram) {
		if (datagram.length >= 8) {
			datagram[4] = random.int(0x0e, 0x2b);
			viewOf(datagram).setUint16(
				6,
				random.pick([1, 5, 0x301, 0x305, 0x101, 0x105, 0, 0xffff]),
				true,
			);
		}
		return datagram;
	},
	function lieAboutLength(random, datagram) {
		const at = attributePlace(random, datagram);
		if (at + 4 <= datagram.length) {
			viewOf(datagram).setUint16(at, random.pick(BORDERS) & 0xffff, true);
		}
		return datagram;
	},
	function renumber(random, datagram) {
		const at = attributePlace(random, datagram);
		if (at + 4 <= datagram.length) {
			viewOf(datagram).setUint16(at + 2, random.int(0, 45), true);
		}
		return datagram;
	},
	function cut(random, datagram) {
		const shorter = datagram.slice(0, random.int(0, datagram.length));
		return random.chance(0.7) ? mendLength(shorter) : shorter;
	},
	function addAttribute(random, datagram) {
		const at = random.chance(0.5) ? datagram.length : attributePlace(random, datagram);
		return mendLength(insert(datagram, Math.min(at, datagram.length), randomAttribute(random)));
	},
	function spliceOther(random, datagram, seeds) {
		const other = random.pick(seeds);
		const from = random.int(0, other.length);
		const piece = other.subarray(from, random.int(from, other.length));
		return mendLength(insert(datagram, random.int(0, datagram.length), piece));
	},
	function glueOther(random, datagram, seeds) {
		return joinMessages([datagram, random.pick(seeds)]);
	},
	function exchangePayload(random, datagram, seeds) {
		const other = random.pick(seeds).slice();
		const from = MESSAGE_HEADER_OCTETS;
		other.set(
			datagram.subarray(from, Math.min(datagram.length, other.length)),
			Math.min(from, other.length),
		);
		return other;
	},
];

/** A datagram made of a seed by up to six mutations; now and then the seed itself, so that tables fill. */
export function hostileDatagram(random: Random, seeds: readonly Uint8Array[]): Uint8Array {
	let datagram: Uint8Array = random.pick(seeds).slice();
	if (random.chance(0.3)) {
		return datagram;
	}
	for (let i = random.int(1, 6); i > 0; i--) {
		datagram = random.pick(MUTATIONS)(random, datagram, seeds);
	}
	return datagram.length > OCTETS_MAX ? datagram.slice(0, OCTETS_MAX) : datagram;
}
