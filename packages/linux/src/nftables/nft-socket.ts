/**
 * NETLINK_NETFILTER for nf_tables: batches that are carried out before the send returns, so that nothing waits.
 */
import {
	AttributeReader,
	ControlType,
	MessageFlag,
	MessageWriter,
	type RawMessage,
	splitMessages,
	viewOf,
} from '@xfrm/netlink';
import { Errno } from '@xfrm/wire/xfrm';
import { intValue, Level, SocketOption } from '../native/abi.ts';
import type { Native, ReceivedMessage } from '../native/seam.ts';
import { emptyMessage } from '../rtnetlink/rtnetlink-socket.ts';
import { AF_NETLINK, NETLINK_USERSOCK, SOCKET_TYPE, sockaddrNl } from '../socket-abi.ts';
import {
	CounterAttribute,
	NETLINK_NETFILTER,
	NfProto,
	NftType,
	OBJECT_COUNTER,
	ObjectAttribute,
	SUBSYSTEM_NFTABLES,
	TableAttribute,
} from './nft-abi.ts';
import type { Counted, NftBatch } from './nft-batch.ts';

/** Room for the largest batch: a table of a hundred thousand policies. */
const SEND_OCTETS_MAX = 0x400_0000;
/** A refusal quotes the message that it is about. */
const ANSWER_OCTETS = 0x2_0000;
/** Octets of family, version and resource, which all messages begin with. */
const FAMILY_OCTETS = 4;
/** Datagrams of a table's counters: they fit into one, and another ends it. */
const DUMP_DATAGRAMS_MAX = 16;
/** `NLM_F_REQUEST`. */
const REQUEST = 1;

export class NftSocket {
	readonly #native: Native;
	readonly #fd: number;
	/** Of who answers. */
	readonly #answerer: Uint8Array = sockaddrNl(0);
	readonly #answer: Uint8Array = new Uint8Array(ANSWER_OCTETS);
	readonly #message: ReceivedMessage = emptyMessage(0);

	/**
	 * @param answerer whose answers are taken: one that talks to itself hears what it says, which is no refusal
	 * @throws RangeError when this kernel has no such netlink protocol, with the errno in it
	 */
	constructor(native: Native, answerer: 'kernel' | 'itself' = 'kernel') {
		const protocol = answerer === 'kernel' ? NETLINK_NETFILTER : NETLINK_USERSOCK;
		this.#native = native;
		this.#fd = native.socket(AF_NETLINK, SOCKET_TYPE, protocol);
		if (this.#fd < 0) {
			throw new RangeError(`no netlink socket of protocol ${protocol}: errno ${-this.#fd}`);
		}
		native.bind(this.#fd, sockaddrNl(0));
		const size = intValue(SEND_OCTETS_MAX);
		native.setOption(this.#fd, Level.Socket, SocketOption.SendBufferForce, size);
		if (answerer === 'itself') {
			native.socketName(this.#fd, this.#answerer);
		}
	}

	/** Has the kernel carry out a batch: 0, or the errno of the first message that it refuses, and then none is. */
	commit(batch: NftBatch): number {
		const bytes = batch.finish();
		return this.#exchange(bytes);
	}

	/** Is there a table of family inet of this name? 0, or ENOENT, or what stands in the way. */
	findTable(name: string): number {
		return this.#exchange(question(NftType.GetTable, REQUEST, name).finish());
	}

	/** The counters of a table of family inet, by name; none when there is no such table. */
	counters(table: string): ReadonlyMap<string, Counted> {
		const counters = new Map<string, Counted>();
		const writer = question(NftType.GetObject, REQUEST | MessageFlag.Dump, table);
		writer.view.setUint32(writer.appendAttribute(ObjectAttribute.Type, 4), OBJECT_COUNTER);
		if (this.#native.send(this.#fd, writer.finish(), this.#answerer) < 0) {
			return counters;
		}
		for (let datagrams = 0; datagrams < DUMP_DATAGRAMS_MAX; datagrams++) {
			const octets = this.#native.receive(this.#fd, this.#answer, this.#message);
			if (octets < 0) {
				return counters;
			}
			for (const raw of splitMessages(this.#answer.subarray(0, octets))) {
				if (raw.type === ControlType.Done || raw.type === ControlType.Error) {
					return counters;
				}
				putCounter(counters, raw);
			}
		}
		this.#drain();
		return counters;
	}

	close(): void {
		this.#native.close(this.#fd);
	}

	/** The first answer tells: refusals come before the acknowledgement, which is the last message's. */
	#exchange(bytes: Uint8Array): number {
		const sent = this.#native.send(this.#fd, bytes, this.#answerer);
		if (sent < 0) {
			return -sent;
		}
		const octets = this.#native.receive(this.#fd, this.#answer, this.#message);
		if (octets < 0) {
			return -octets;
		}
		const errno = errnoOf(this.#answer, octets);
		if (errno !== 0) {
			this.#drain();
		}
		return errno;
	}

	#drain(): void {
		while (this.#native.receive(this.#fd, this.#answer, this.#message) >= 0) {}
	}
}

/** A message of family inet that names a table: as its first attribute, of whatever is asked for. */
function question(type: number, flags: number, table: string): MessageWriter {
	const writer = new MessageWriter({
		type: (SUBSYSTEM_NFTABLES << 8) | type,
		flags,
		seq: 0,
		pid: 0,
	});
	const at = writer.append(FAMILY_OCTETS);
	writer.view.setUint8(at, NfProto.Inet);
	const nameAt = writer.appendAttribute(TableAttribute.Name, table.length + 1);
	new TextEncoder().encodeInto(table, writer.bytes.subarray(nameAt));
	return writer;
}

function putCounter(counters: Map<string, Counted>, { type, payload }: RawMessage): void {
	if (type !== ((SUBSYSTEM_NFTABLES << 8) | NftType.NewObject)) {
		return;
	}
	let name = '';
	let counted: Counted = { packets: 0n, octets: 0n };
	const reader = new AttributeReader(payload, FAMILY_OCTETS);
	while (reader.next()) {
		if (reader.type === ObjectAttribute.Name) {
			name = new TextDecoder().decode(reader.value().subarray(0, -1));
		} else if (reader.type === ObjectAttribute.Data) {
			counted = countedIn(reader.value());
		}
	}
	counters.set(name, counted);
}

function countedIn(data: Uint8Array): Counted {
	const counted = { packets: 0n, octets: 0n };
	const reader = new AttributeReader(data, 0);
	while (reader.next()) {
		if (reader.length === 8) {
			const value = reader.view.getBigUint64(reader.at);
			counted[reader.type === CounterAttribute.Packets ? 'packets' : 'octets'] = value;
		}
	}
	return counted;
}

function errnoOf(answer: Uint8Array, octets: number): number {
	const view = viewOf(answer);
	if (octets < 20) {
		return Errno.EBADMSG;
	}
	return view.getUint16(4, true) === ControlType.Error ? Math.abs(view.getInt32(16, true)) : 0;
}
