/**
 * Sockets of a host: raw ones (with or without a header of their own) and UDP ones, as far as packets
 * can tell them apart. Who gets what is in deliver.ts, sending in send.ts. A socket's policies live in
 * the engine under the socket's number (P-19).
 */
import { type Answer, answer, refuse } from '@xfrm/engine';
import { type Address, addressEquals, Errno, isAnyAddress } from '@xfrm/wire/xfrm';
import { SOCKETS_MAX } from './limits.ts';

/** What all sockets may be told. */
export interface SocketOptions {
	/** 2 or 10; an IPv6 socket takes IPv6 only here. */
	readonly family: number;
	/** Bound address; absent: any. */
	readonly source?: Address;
	/** SO_MARK. */
	readonly mark?: number;
	/** SO_BINDTODEVICE. */
	readonly device?: string;
	/** if_id of the xfrm interface that its packets are routed into; they are looked up with it. */
	readonly ifId?: number;
	/** IP_TOS or IPV6_TCLASS. */
	readonly trafficClass?: number;
	/** IP_TTL or IPV6_UNICAST_HOPS; absent: the route's. */
	readonly hopLimit?: number;
	/** IP_MTU_DISCOVER: true sets DF and refuses what is too long (the default, IP_PMTUDISC_WANT, fragments it). */
	readonly dontFragment?: boolean;
	/** IP_RECVERR: ICMP errors become effects. */
	readonly receiveErrors?: boolean;
}

/** A raw socket; with `headerIncluded` (IP_HDRINCL) it writes its own IP header. */
export interface RawSocketOptions extends SocketOptions {
	readonly proto: number;
	readonly headerIncluded?: boolean;
	/**
	 * With `headerIncluded`: the flow has what the packet has, ports and all, as if the socket that it really
	 * belongs to (TCP, ping …) had sent it. For questions about packets.
	 */
	readonly wholeFlow?: boolean;
}

export interface UdpSocketOptions extends SocketOptions {
	readonly port: number;
	/** UDP_ENCAP: an `EncapType`. Refused with ENOPROTOOPT as the kernel would (NT-1). */
	readonly encap?: number;
}

export class Socket {
	readonly id: number;
	readonly kind: 'raw' | 'udp';
	readonly options: SocketOptions;
	/** Protocol of a raw socket, 17 for UDP. */
	readonly proto: number;
	/** Local port, 0 for raw sockets. */
	readonly port: number;
	readonly headerIncluded: boolean;
	readonly wholeFlow: boolean;
	/** UDP_ENCAP type, 0 for none. */
	readonly encap: number;
	/** It has a policy for direction in, so that checks are never left out (I-21). */
	hasInPolicy: boolean = false;

	constructor(id: number, kind: 'raw' | 'udp', options: RawSocketOptions | UdpSocketOptions) {
		this.id = id;
		this.kind = kind;
		this.options = options;
		this.proto = 'proto' in options ? options.proto : 17;
		this.port = 'port' in options ? options.port : 0;
		this.headerIncluded = 'headerIncluded' in options && options.headerIncluded === true;
		this.wholeFlow = 'wholeFlow' in options && options.wholeFlow === true;
		this.encap = ('encap' in options ? options.encap : undefined) ?? 0;
	}

	/** Does a packet to `daddr` that came by `device` fit what it is bound to? */
	accepts(family: number, daddr: Address, device: string): boolean {
		const { source, device: bound } = this.options;
		return (
			this.options.family === family &&
			(bound === undefined || bound === device) &&
			(source === undefined || isAnyAddress(source, family) || addressEquals(source, daddr, family))
		);
	}
}

/** All sockets, in order of opening. */
export class SocketTable {
	private readonly byId: Map<number, Socket> = new Map();
	private nextId = 1;

	get(id: number): Socket | undefined {
		return this.byId.get(id);
	}

	all(): IterableIterator<Socket> {
		return this.byId.values();
	}

	openRaw(options: RawSocketOptions): Answer<number> {
		return this.insert((id) => new Socket(id, 'raw', options));
	}

	openUdp(options: UdpSocketOptions): Answer<number> {
		return this.insert((id) => new Socket(id, 'udp', options));
	}

	close(id: number): boolean {
		return this.byId.delete(id);
	}

	private insert(make: (id: number) => Socket): Answer<number> {
		if (this.byId.size >= SOCKETS_MAX) {
			return refuse(Errno.ENOMEM, `At most ${SOCKETS_MAX} sockets`);
		}
		const socket = make(this.nextId++);
		this.byId.set(socket.id, socket);
		return answer(socket.id);
	}
}
