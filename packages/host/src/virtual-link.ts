/**
 * What makes a device virtual: it hands packets to XFRM instead of to a wire. Two sorts (link types xfrm;
 * vti and vti6):
 *
 *     xfrm   states and policies are chosen by if_id; `external`: by the route's encapsulation
 *     vti    outward policies are chosen by the mark `outKey`; inward the outer addresses name the device,
 *            and `inKey` is the mark of state lookup and policy check
 *
 * Making and changing them is virtual-link-setup.ts; packets pass through transmit.ts and arrival.ts.
 */
import type { Address } from '@xfrm/wire/xfrm';

/** An XFRM interface. */
export interface XfrmLink {
	readonly kind: 'xfrm';
	/** 0 for an external one. */
	readonly ifId: number;
	/** Interface number of the link, 0 for none. */
	readonly link: number;
	/** Takes if_id and link from each packet's route (collect metadata). */
	readonly external: boolean;
}

/** A VTI device. */
export interface VtiLink {
	readonly kind: 'vti';
	/** Of the outer addresses: 2 for type vti, 10 for vti6. */
	readonly family: number;
	/** All zero: any. */
	readonly local: Address;
	readonly remote: Address;
	/** Marks, int32. */
	readonly inKey: number;
	readonly outKey: number;
	/** Interface number of the link, 0 for none. */
	readonly link: number;
}

export type VirtualLink = XfrmLink | VtiLink;

/** `ip link add NAME type xfrm …`; absent: as the kernel takes what is not said. */
export interface XfrmLinkConfig {
	readonly type: 'xfrm';
	readonly ifId?: number;
	/** Name of the link. */
	readonly link?: string;
	readonly external?: boolean;
}

/** `ip link add NAME type vti|vti6 …`. */
export interface VtiLinkConfig {
	readonly type: 'vti' | 'vti6';
	readonly local?: Address;
	readonly remote?: Address;
	readonly inKey?: number;
	readonly outKey?: number;
	readonly link?: string;
}

export type VirtualLinkConfig = XfrmLinkConfig | VtiLinkConfig;

/** What an `encap xfrm` route says to an external XFRM interface. */
export interface RouteEncap {
	readonly ifId: number;
	/** Name of the link, which becomes the flow's output interface. */
	readonly link?: string;
}

/** Counters of a virtual device, as /proc/net/dev has them; other devices count nothing here. */
export interface LinkCounters {
	rxPackets: number;
	rxBytes: number;
	rxErrors: number;
	rxDropped: number;
	txPackets: number;
	txBytes: number;
	txErrors: number;
	txDropped: number;
	collisions: number;
	/** Carrier errors and aborted ones together. */
	carrier: number;
}

export function newLinkCounters(): LinkCounters {
	return {
		rxPackets: 0,
		rxBytes: 0,
		rxErrors: 0,
		rxDropped: 0,
		txPackets: 0,
		txBytes: 0,
		txErrors: 0,
		txDropped: 0,
		collisions: 0,
		carrier: 0,
	};
}
