/**
 * The key that policies and state selectors are matched against (`struct flowi`). One mutable object
 * belongs to each packet and is refilled, so that the packet path makes none.
 *
 * @hotpath
 */
import { type Address, addressOctets, anyAddress } from './xfrm/address.ts';

export class Flow {
	family: number = 0;
	/** Addresses as four 32-bit words in network order of octets, first word first; IPv4 has one, the rest is 0. */
	readonly saddr: Int32Array = new Int32Array(4);
	readonly daddr: Int32Array = new Int32Array(4);
	/** 0 when the walk through the headers ran out of data. */
	proto: number = 0;
	/** Host order; ICMP type, MH type, high half of a GRE key where the protocol says so (P-26). */
	sport: number = 0;
	/** Host order; ICMP code, low half of a GRE key. */
	dport: number = 0;
	/** Packet or socket mark, int32. */
	mark: number = 0;
	/** Output interface (P-29), 0 for none. */
	oif: number = 0;

	copyFrom(other: Flow): void {
		this.family = other.family;
		for (let i = 0; i < 4; i++) {
			this.saddr[i] = other.saddr[i] ?? 0;
			this.daddr[i] = other.daddr[i] ?? 0;
		}
		this.proto = other.proto;
		this.sport = other.sport;
		this.dport = other.dport;
		this.mark = other.mark;
		this.oif = other.oif;
	}

	/** As when new. */
	clear(): void {
		this.family = 0;
		for (let i = 0; i < 4; i++) {
			this.saddr[i] = 0;
			this.daddr[i] = 0;
		}
		this.proto = 0;
		this.sport = 0;
		this.dport = 0;
		this.mark = 0;
		this.oif = 0;
	}
}

/** Puts an address of this family into the words of a flow; the words an IPv4 address lacks become 0. */
export function setFlowAddress(words: Int32Array, address: Address, family: number): void {
	const count = addressOctets(family) >> 2;
	for (let i = 0; i < 4; i++) {
		words[i] =
			i >= count
				? 0
				: ((address[4 * i] ?? 0) << 24) |
					((address[4 * i + 1] ?? 0) << 16) |
					((address[4 * i + 2] ?? 0) << 8) |
					(address[4 * i + 3] ?? 0);
	}
}

/** A flow's address as a fresh `Address`: for events and for printing, off the packet path. */
export function flowAddress(words: Int32Array, family: number): Address {
	const address = anyAddress();
	const octets = addressOctets(family);
	for (let i = 0; i < octets; i++) {
		address[i] = (words[i >> 2] ?? 0) >> (24 - 8 * (i & 3));
	}
	return address;
}
