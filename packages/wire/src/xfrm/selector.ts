/** `struct xfrm_selector` as a value: what traffic a policy or a state is for. */
import { type Address, anyAddress } from './address.ts';

/** Ports and masks are host order here. Identity of policies is by all 56 octets (P-5, P-6): nothing is normalized. */
export interface Selector {
	readonly daddr: Address;
	readonly saddr: Address;
	readonly dport: number;
	readonly dportMask: number;
	readonly sport: number;
	readonly sportMask: number;
	/** Family of the addresses; 0 in a state's selector: both families (S-14). */
	readonly family: number;
	readonly prefixlenD: number;
	readonly prefixlenS: number;
	/** Upper protocol, 0 for any. */
	readonly proto: number;
	/** Interface index, 0 for any. */
	readonly ifindex: number;
	/** Stored and compared, never matched. */
	readonly user: number;
}

/** The selector that matches everything of a family. */
export function anySelector(family: number): Selector {
	return {
		daddr: anyAddress(),
		saddr: anyAddress(),
		dport: 0,
		dportMask: 0,
		sport: 0,
		sportMask: 0,
		family,
		prefixlenD: 0,
		prefixlenS: 0,
		proto: 0,
		ifindex: 0,
		user: 0,
	};
}
