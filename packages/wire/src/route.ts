/** What a route lookup answers: the engine asks for it, `host` or a driver's cache gives it. */
import type { Address } from './xfrm/address.ts';

export interface Route {
	readonly family: number;
	/** Interface the packet leaves by; its number stands in flows and selectors. */
	readonly ifindex: number;
	readonly loopback: boolean;
	readonly kind:
		| 'unicast'
		| 'local'
		| 'multicast'
		| 'broadcast'
		| 'unreachable'
		| 'blackhole'
		| 'prohibit';
	/** Source address for a sender that has none. */
	readonly source: Address;
	/** Next hop, absent when the destination is on the link. */
	readonly gateway?: Address;
	/** Octets of IP packet, learned path MTU included. */
	readonly mtu: number;
	/** TTL or hop limit of packets made here. */
	readonly hopLimit: number;
	/** Output through this device is never transformed (sysctl disable_xfrm, P-18). */
	readonly noXfrm: boolean;
}
