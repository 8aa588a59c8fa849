/**
 * What a host does to the world outside, as values: the caller carries them out and nothing else
 * happens (sans-IO). They come in the order in which Linux would have done them.
 */
import type { Address } from '@xfrm/wire/xfrm';

/** A packet leaves by a device; the octets are the caller's to keep. */
export interface EmitEffect {
	readonly kind: 'emit';
	readonly device: string;
	readonly packet: Uint8Array;
}

/** A socket got a packet whose policy check was passed. */
export interface DeliverEffect {
	readonly kind: 'deliver';
	readonly socketId: number;
	/** 2 or 10. */
	readonly family: number;
	/** Of the socket: 17 for UDP, the raw socket's protocol else. */
	readonly proto: number;
	/** Addresses as the socket sees them: the home address where a home address option was. */
	readonly source: Address;
	readonly destination: Address;
	/** TTL or hop limit. */
	readonly hopLimit: number;
	/** TOS or traffic class. */
	readonly trafficClass: number;
	/** Ports, 0 for raw sockets. */
	readonly sport: number;
	readonly dport: number;
	/** What a read returns: raw IPv4 with its IP header, raw IPv6 behind the last extension header, UDP its data. */
	readonly payload: Uint8Array;
}

/** An ICMP error reached a socket that takes them (IP_RECVERR). */
export interface SocketErrorEffect {
	readonly kind: 'socket-error';
	readonly socketId: number;
	readonly family: number;
	/** Local port of the UDP socket, 0 for raw ones. */
	readonly port: number;
	/** Positive errno. */
	readonly error: number;
	readonly icmpType: number;
	readonly icmpCode: number;
}

/** Octets are to be written to a connection: ESP or IKE in TCP. */
export interface StreamWriteEffect {
	readonly kind: 'stream-write';
	readonly streamId: number;
	readonly octets: Uint8Array;
}

/** A message of a connection is for whoever has it: IKE, the four zero octets in front too. */
export interface StreamMessageEffect {
	readonly kind: 'stream-message';
	readonly streamId: number;
	readonly message: Uint8Array;
}

/** Nothing more can be read from a connection. */
export interface StreamErrorEffect {
	readonly kind: 'stream-error';
	readonly streamId: number;
	/** Positive errno. */
	readonly error: number;
}

export type HostEffect =
	| EmitEffect
	| DeliverEffect
	| SocketErrorEffect
	| StreamWriteEffect
	| StreamMessageEffect
	| StreamErrorEffect;
