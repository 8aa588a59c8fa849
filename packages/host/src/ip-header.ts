/** IP headers that this host makes: for ICMP messages and for what UDP and raw sockets send. */
import {
	IPV4_DONT_FRAGMENT,
	IPV4_HEADER_OCTETS,
	type PacketBuffer,
	writeIpv4,
	writeIpv6,
} from '@xfrm/wire';
import { type Address, Family } from '@xfrm/wire/xfrm';
import type { Stack } from './stack.ts';

/** What a header says, for either family. */
export interface OwnHeader {
	readonly source: Address;
	readonly destination: Address;
	/** TOS or traffic class. */
	readonly trafficClass: number;
	readonly hopLimit: number;
	readonly proto: number;
	/** IPv4: sets DF. */
	readonly dontFragment: boolean;
	/** IPv4 options with their padding. */
	readonly options?: Uint8Array;
	/** IPv4 identification, absent for an unpredictable one. */
	readonly fixedId?: number;
	readonly payloadOctets: number;
}

const NO_OPTIONS = new Uint8Array(0);

/**
 * Writes a header at `packet.start` and sets `end` behind the payload; the buffer must have the room.
 *
 * @returns where the payload begins, which `transportAt` is set to as well
 */
export function writeIpHeader(stack: Stack, packet: PacketBuffer, header: OwnHeader): number {
	const { start, view, family } = packet;
	const { source, destination, trafficClass, hopLimit, proto, payloadOctets } = header;
	const options = header.options ?? NO_OPTIONS;
	const octets =
		family === Family.Ipv4
			? writeIpv4(view, start, {
					tos: trafficClass,
					totalLength: IPV4_HEADER_OCTETS + options.length + payloadOctets,
					id: header.fixedId ?? stack.ipv4Id(),
					fragmentWord: header.dontFragment ? IPV4_DONT_FRAGMENT : 0,
					ttl: hopLimit,
					protocol: proto,
					source,
					destination,
					options,
				})
			: writeIpv6(view, start, {
					trafficClass,
					flowLabel: stack.sysctls.auto_flowlabels === 0 ? 0 : stack.random32() & 0xfffff,
					payloadLength: payloadOctets,
					nextHeader: proto,
					hopLimit,
					source,
					destination,
				});
	const at = start + octets;
	packet.transportAt = at;
	packet.nextHeaderAt = start + (family === Family.Ipv4 ? 9 : 6);
	packet.proto = proto;
	packet.end = at + payloadOctets;
	return at;
}
