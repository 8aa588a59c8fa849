/**
 * The key that policies and state selectors are matched against (`struct flowi`). One mutable object
 * belongs to each packet and is refilled, so that the packet path makes none.
 */

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
}
