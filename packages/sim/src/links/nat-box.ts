/**
 * A NAT box (RFC 3022, port translation): UDP over IPv4 from inside leaves with the box's address and a
 * port of its own, answers find their way back, everything else is dropped. `rebind` forgets all
 * mappings, as boxes do when they restart or time out: what leaves next gets a new port.
 */
import {
	fillUdpChecksum,
	fitsIpv4,
	fitsUdp,
	IPV4_DESTINATION_AT,
	IPV4_SOURCE_AT,
	ipv4HeaderOctets,
	ipv4IsFragment,
	ipv4Protocol,
	setIpv4Checksum,
	setUdpDestinationPort,
	setUdpSourcePort,
	udpChecksum,
	udpDestinationPort,
	udpSourcePort,
} from '@xfrm/wire';
import { type Address, IpProto } from '@xfrm/wire/xfrm';
import type { Link, LinkEnd } from './link.ts';

const FIRST_PORT = 20_000;
const LAST_PORT = 60_000;

interface Mapping {
	/** Source address (4 octets) and port inside. */
	readonly address: Uint8Array;
	readonly port: number;
	/** Port outside. */
	readonly outside: number;
}

export class NatBox {
	readonly #address: Uint8Array;
	readonly #inside: { readonly link: Link; readonly end: number };
	readonly #outside: { readonly link: Link; readonly end: number };
	readonly #byInside: Map<string, Mapping> = new Map();
	readonly #byPort: Map<number, Mapping> = new Map();
	#nextPort: number = FIRST_PORT;

	/** Plugs itself into both links at the ends that are given. */
	constructor(
		address: Address,
		inside: { readonly link: Link; readonly end: number },
		outside: { readonly link: Link; readonly end: number },
	) {
		this.#address = address.slice(0, 4);
		this.#inside = inside;
		this.#outside = outside;
		const outward: LinkEnd = { receive: (packet) => this.#outward(packet) };
		const inward: LinkEnd = { receive: (packet) => this.#inward(packet) };
		inside.link.plug(inside.end, outward);
		outside.link.plug(outside.end, inward);
	}

	/** The port by which somebody inside is seen outside; makes the mapping if there is none. */
	portOf(address: Uint8Array, port: number): number {
		const key = `${address.subarray(0, 4).join('.')}:${port}`;
		const known = this.#byInside.get(key);
		if (known !== undefined) {
			return known.outside;
		}
		const outside = this.#nextPort;
		this.#nextPort = outside >= LAST_PORT ? FIRST_PORT : outside + 1;
		const mapping = { address: address.slice(0, 4), port, outside };
		this.#byInside.set(key, mapping);
		this.#byPort.set(outside, mapping);
		return outside;
	}

	/** Forgets all mappings. */
	rebind(): void {
		this.#byInside.clear();
		this.#byPort.clear();
	}

	#outward(packet: Uint8Array): void {
		const udpAt = translatable(packet);
		if (udpAt < 0) {
			return;
		}
		const copy = packet.slice();
		const view = new DataView(copy.buffer);
		const source = copy.subarray(IPV4_SOURCE_AT, IPV4_SOURCE_AT + 4);
		setUdpSourcePort(view, udpAt, this.portOf(source, udpSourcePort(view, udpAt)));
		copy.set(this.#address, IPV4_SOURCE_AT);
		finish(copy, view, udpAt);
		this.#outside.link.send(copy, this.#outside.end);
	}

	#inward(packet: Uint8Array): void {
		const udpAt = translatable(packet);
		if (udpAt < 0) {
			return;
		}
		const copy = packet.slice();
		const view = new DataView(copy.buffer);
		const mapping = this.#byPort.get(udpDestinationPort(view, udpAt));
		if (mapping !== undefined) {
			copy.set(mapping.address, IPV4_DESTINATION_AT);
			setUdpDestinationPort(view, udpAt, mapping.port);
			finish(copy, view, udpAt);
			this.#inside.link.send(copy, this.#inside.end);
		}
	}
}

/** Where the UDP header is; -1 for what a NAT box drops. */
function translatable(packet: Uint8Array): number {
	const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
	if (!fitsIpv4(view, 0, packet.length) || ipv4Protocol(view, 0) !== IpProto.Udp) {
		return -1;
	}
	const udpAt = ipv4HeaderOctets(view, 0);
	return ipv4IsFragment(view, 0) || !fitsUdp(view, udpAt, packet.length) ? -1 : udpAt;
}

/** Checksums after a translation; a UDP checksum of 0 stays. */
function finish(packet: Uint8Array, view: DataView, udpAt: number): void {
	setIpv4Checksum(view, 0);
	if (udpChecksum(view, udpAt) !== 0) {
		fillUdpChecksum(packet, view, 2, IPV4_SOURCE_AT, IPV4_DESTINATION_AT, udpAt, packet.length);
	}
}
