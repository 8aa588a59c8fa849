/**
 * NETLINK_NETFILTER for nf_tables: batches that are carried out before the send returns, so that nothing waits.
 */
import { ControlType, MessageWriter, viewOf } from '@xfrm/netlink';
import { Errno } from '@xfrm/wire/xfrm';
import { intValue, Level, SocketOption } from '../native/abi.ts';
import type { Native, ReceivedMessage } from '../native/seam.ts';
import { emptyMessage } from '../rtnetlink/rtnetlink-socket.ts';
import { AF_NETLINK, NETLINK_USERSOCK, SOCKET_TYPE, sockaddrNl } from '../socket-abi.ts';
import {
	NETLINK_NETFILTER,
	NfProto,
	NftType,
	SUBSYSTEM_NFTABLES,
	TableAttribute,
} from './nft-abi.ts';
import type { NftBatch } from './nft-batch.ts';

/** Room for the largest batch: a table of a hundred thousand policies. */
const SEND_OCTETS_MAX = 0x400_0000;
/** A refusal quotes the message that it is about. */
const ANSWER_OCTETS = 0x2_0000;
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
		const writer = new MessageWriter({
			type: (SUBSYSTEM_NFTABLES << 8) | NftType.GetTable,
			flags: REQUEST,
			seq: 0,
			pid: 0,
		});
		const at = writer.append(4);
		writer.view.setUint8(at, NfProto.Inet);
		const nameAt = writer.appendAttribute(TableAttribute.Name, name.length + 1);
		new TextEncoder().encodeInto(name, writer.bytes.subarray(nameAt));
		return this.#exchange(writer.finish());
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

function errnoOf(answer: Uint8Array, octets: number): number {
	const view = viewOf(answer);
	if (octets < 20) {
		return Errno.EBADMSG;
	}
	return view.getUint16(4, true) === ControlType.Error ? Math.abs(view.getInt32(16, true)) : 0;
}
