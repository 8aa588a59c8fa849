/**
 * Somebody on a link who sees everything and may put in anything: packets seen before, ESP with a foreign
 * SPI's number far ahead and a bad ICV, and plaintext with a forged marker.
 */
import {
	fillUdpChecksum,
	IPV4_DESTINATION_AT,
	IPV4_HEADER_OCTETS,
	IPV4_SOURCE_AT,
	IPV6_DESTINATION_AT,
	IPV6_HEADER_OCTETS,
	IPV6_SOURCE_AT,
	setIpv4Checksum,
	writeIpv4,
	writeIpv6,
	writeUdp,
} from '@xfrm/wire';
import { type Address, Family, IpProto } from '@xfrm/wire/xfrm';
import type { Link } from './links/link.ts';
import type { SimRandom } from './random.ts';
import { FORGED_MARKER, USER_PORT } from './traffic.ts';

/** Packets it remembers. */
const MEMORY_MAX = 200;

/** Ends of a forged datagram. */
export interface ForgedFlow {
	readonly family: number;
	readonly source: Address;
	readonly destination: Address;
	/** The end of the link that it is put in at the way to. */
	readonly to: number;
}

interface Seen {
	readonly packet: Uint8Array;
	readonly to: number;
}

export class Attacker {
	readonly #link: Link;
	readonly #random: SimRandom;
	readonly #forged: readonly ForgedFlow[];
	readonly #memory: Seen[] = [];

	constructor(link: Link, random: SimRandom, forged: readonly ForgedFlow[]) {
		this.#link = link;
		this.#random = random;
		this.#forged = forged;
		link.tap((_, packet, from) => this.#remember({ packet, to: 1 - from }));
	}

	/** Does one thing. */
	act(): void {
		const kind = this.#random.below(4);
		if (kind === 0 && this.#forged.length > 0) {
			const flow = this.#random.pick(this.#forged);
			this.#link.inject(forgedDatagram(flow), flow.to, 0);
			return;
		}
		if (this.#memory.length === 0) {
			return;
		}
		const { packet, to } = this.#random.pick(this.#memory);
		this.#link.inject(kind === 1 ? this.#ahead(packet) : packet, to, 0);
	}

	#remember(seen: Seen): void {
		if (this.#memory.length < MEMORY_MAX) {
			this.#memory.push(seen);
		} else {
			// Old ones stay for a while: only those are behind the window.
			this.#memory[this.#random.below(MEMORY_MAX)] = seen;
		}
	}

	/** The packet with another sequence number, a little or far ahead; its ICV is wrong then. */
	#ahead(packet: Uint8Array): Uint8Array {
		const changed = packet.slice();
		const at = espAt(changed);
		if (at >= 0 && at + 8 <= changed.length) {
			const view = new DataView(changed.buffer);
			const more = this.#random.chance(0.5) ? this.#random.between(1, 40) : this.#random.word();
			view.setUint32(at + 4, view.getUint32(at + 4) + more);
		}
		return changed;
	}
}

/** Where the ESP header begins, also in UDP; -1 when there is none. */
export function espAt(packet: Uint8Array): number {
	const ipv4 = (packet[0] ?? 0) >> 4 === 4;
	const at = ipv4 ? ((packet[0] ?? 0) & 15) * 4 : 40;
	const proto = packet[ipv4 ? 9 : 6];
	if (proto === IpProto.Esp) {
		return at;
	}
	return proto === IpProto.Udp ? at + 8 : -1;
}

function forgedDatagram({ family, source, destination }: ForgedFlow): Uint8Array {
	const octets = 8 + FORGED_MARKER.length;
	const ipv4 = family === Family.Ipv4;
	const at = ipv4 ? IPV4_HEADER_OCTETS : IPV6_HEADER_OCTETS;
	const packet = new Uint8Array(at + octets);
	const view = new DataView(packet.buffer);
	const ends = { source, destination };
	if (ipv4) {
		const options = new Uint8Array(0);
		const plain = { tos: 0, totalLength: packet.length, id: 1, fragmentWord: 0, ttl: 64 };
		writeIpv4(view, 0, { ...plain, protocol: IpProto.Udp, options, ...ends });
		setIpv4Checksum(view, 0);
	} else {
		const plain = { trafficClass: 0, flowLabel: 0, payloadLength: octets, hopLimit: 64 };
		writeIpv6(view, 0, { ...plain, nextHeader: IpProto.Udp, ...ends });
	}
	writeUdp(view, at, USER_PORT, USER_PORT, octets);
	packet.set(FORGED_MARKER, at + 8);
	const sourceAt = ipv4 ? IPV4_SOURCE_AT : IPV6_SOURCE_AT;
	const destinationAt = ipv4 ? IPV4_DESTINATION_AT : IPV6_DESTINATION_AT;
	fillUdpChecksum(packet, view, family, sourceAt, destinationAt, at, packet.length);
	return packet;
}
