/**
 * TCP connections that carry ESP and IKE (RFC 9329; net/xfrm/espintcp.c). There is no TCP here: somebody else
 * carries the octets, this host only knows that the connection is there, cuts what comes into messages and
 * says what is to be written.
 */
import { type Answer, answer, PacketAction, refuse } from '@xfrm/engine';
import {
	frameMessage,
	HEADROOM_OCTETS,
	PacketBuffer,
	StreamMessages,
	TAILROOM_OCTETS,
	writeIpv4,
	writeIpv6,
} from '@xfrm/wire';
import { type Address, addressEquals, Errno, Family, IpProto } from '@xfrm/wire/xfrm';
import { afterInput, deliverIpv4, deliverIpv6 } from './deliver.ts';
import { STREAMS_MAX } from './limits.ts';
import { Reception } from './reception.ts';
import { routeOutput } from './route-lookup.ts';
import type { Stack } from './stack.ts';

/** An established connection, seen from this host. */
export interface StreamOptions {
	readonly family: number;
	readonly local: Address;
	readonly localPort: number;
	readonly remote: Address;
	readonly remotePort: number;
	/** It was made one for ESP (the ULP `espintcp`); otherwise it only stands in the way of states. */
	readonly espInTcp: boolean;
}

/** Hop limit of the header that stands for the segments'. */
const HOP_LIMIT = 64;
const HEADER_OCTETS_MAX = 40;
const NO_OPTIONS = new Uint8Array(0);

export class Stream {
	readonly id: number;
	readonly options: StreamOptions;
	readonly messages: StreamMessages = new StreamMessages();

	constructor(id: number, options: StreamOptions) {
		this.id = id;
		this.options = options;
	}
}

export class StreamTable {
	private readonly byId: Map<number, Stream> = new Map();
	private nextId = 1;

	/** Knows a connection from now on: its number. */
	open(options: StreamOptions): Answer<number> {
		if (this.byId.size >= STREAMS_MAX) {
			return refuse(Errno.ENOMEM, `At most ${STREAMS_MAX} streams`);
		}
		const stream = new Stream(this.nextId++, options);
		this.byId.set(stream.id, stream);
		return answer(stream.id);
	}

	close(id: number): boolean {
		return this.byId.delete(id);
	}

	/** Throws RangeError for a number that is none: that is no peer's fault. */
	get(id: number): Stream {
		const stream = this.byId.get(id);
		if (stream === undefined) {
			throw new RangeError(`no stream ${id}`);
		}
		return stream;
	}

	/** What the engine asks: the number of the connection, 0 for none, -1 when it is not for ESP. */
	find(family: number, local: Address, localPort: number, remote: Address, port: number): number {
		for (const { id, options } of this.byId.values()) {
			if (
				options.family === family &&
				options.localPort === localPort &&
				options.remotePort === port &&
				addressEquals(options.local, local, family) &&
				addressEquals(options.remote, remote, family)
			) {
				return options.espInTcp ? id : -1;
			}
		}
		return 0;
	}
}

/**
 * Octets have come by the connection. A length that is none ends it: its reader is told EINVAL, once.
 *
 * @spec T-12
 */
export function receiveStream(stack: Stack, id: number, octets: Uint8Array): void {
	const stream = stack.streams.get(id);
	const wasBroken = stream.messages.broken;
	for (const message of stream.messages.push(octets)) {
		receiveMessage(stack, stream, message);
	}
	if (stream.messages.broken && !wasBroken) {
		stack.effect({ kind: 'stream-error', streamId: id, error: Errno.EINVAL });
	}
}

function receiveMessage(stack: Stack, stream: Stream, message: Uint8Array): void {
	const { family, local, remote, remotePort } = stream.options;
	const packet = makePacket(stream.options, message);
	const route = routeOutput(stack, family, remote, local, 0, 0);
	const ifindex = typeof route === 'number' ? 0 : route.ifindex;
	const device = stack.devices.numbered(ifindex) ?? stack.devices.loopback;
	packet.iif = device.ifindex;
	packet.encapSport = remotePort;
	stack.engine.tcpEncapInput(stack.batchOf(packet));
	if (packet.action === PacketAction.ToSocket) {
		stack.effect({ kind: 'stream-message', streamId: stream.id, message });
		return;
	}
	const reception = new Reception(packet, device, 0, false);
	reception.owner = stack.devices.withAddress(family, local) ?? device;
	reception.checksumTrusted = packet.action === PacketAction.Continue;
	if (afterInput(stack, reception)) {
		if (family === Family.Ipv4) {
			deliverIpv4(stack, reception);
		} else {
			deliverIpv6(stack, reception);
		}
	}
}

/** The message behind an IP header as its segment had one. */
function makePacket(options: StreamOptions, message: Uint8Array): PacketBuffer {
	const { family, local, remote } = options;
	const packet = new PacketBuffer(
		HEADROOM_OCTETS + HEADER_OCTETS_MAX + message.length + TAILROOM_OCTETS,
	);
	const { view, start } = packet;
	const ipv4 = family === Family.Ipv4;
	const octets = ipv4
		? writeIpv4(view, start, {
				tos: 0,
				totalLength: (20 + message.length) & 0xffff,
				id: 0,
				fragmentWord: 0,
				ttl: HOP_LIMIT,
				protocol: IpProto.Esp,
				source: remote,
				destination: local,
				options: NO_OPTIONS,
			})
		: writeIpv6(view, start, {
				trafficClass: 0,
				flowLabel: 0,
				payloadLength: message.length,
				nextHeader: IpProto.Esp,
				hopLimit: HOP_LIMIT,
				source: remote,
				destination: local,
			});
	packet.family = family;
	packet.nextHeaderAt = start + (ipv4 ? 9 : 6);
	packet.transportAt = start + octets;
	packet.bytes.set(message, packet.transportAt);
	packet.end = packet.transportAt + message.length;
	return packet;
}

/**
 * Whoever has the connection sends a message by it, IKE as a rule: it is framed, whatever it begins with.
 *
 * @returns errno, 0 when it goes
 * @spec T-12
 */
export function sendStream(stack: Stack, id: number, message: Uint8Array): number {
	const stream = stack.streams.get(id);
	const octets = stream.options.espInTcp ? frameMessage(message) : message.slice();
	if (octets === undefined) {
		return Errno.EMSGSIZE;
	}
	stack.effect({ kind: 'stream-write', streamId: id, octets });
	return 0;
}
