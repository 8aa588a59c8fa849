/**
 * The chain of headers behind an IPv6 header (RFC 8200 §4), walked in place.
 *
 *     +---------------+---------------+------------- - - -
 *     |  Next Header  |  Hdr Ext Len  |  header specific
 *     +---------------+---------------+------------- - - -
 *
 * Most count their length in units of 8 octets beyond the first 8; a fragment header always has 8
 * octets, an AH counts units of 4 beyond the first 8 (RFC 4302 §2.2).
 *
 * A walk is a `HeaderChain` that its owner keeps and restarts: `startChain`, then `stepChain` until it
 * says no. It ends by itself, because each step moves forward by at least 8 octets. What a flow needs
 * of the chain is in flow-decode.ts, as Linux has rules of its own for it.
 *
 * @hotpath
 */
import { findDestinationOption, OptionType } from './destination-options.ts';
import { fragmentOffset } from './fragment.ts';
import { IPV6_HEADER_OCTETS, IPV6_NEXT_HEADER_AT, IPV6_PAYLOAD_OCTETS_MAX } from './ipv6.ts';
import { IpProto } from './xfrm/constants.ts';

/** Octets that every extension header has at least. */
export const EXTENSION_HEADER_OCTETS_MIN = 8;

/** Is it a header that a chain goes on behind: hop-by-hop, routing, fragment, destination options, AH, mobility? */
export function isExtensionHeader(proto: number): boolean {
	return (
		proto === IpProto.HopByHop ||
		proto === IpProto.Routing ||
		proto === IpProto.Fragment ||
		proto === IpProto.DestinationOptions ||
		proto === IpProto.Ah ||
		proto === IpProto.MobilityHeader
	);
}

export function extensionNextHeader(view: DataView, at: number): number {
	return view.getUint8(at);
}
export function setExtensionNextHeader(view: DataView, at: number, proto: number): void {
	view.setUint8(at, proto);
}

/**
 * Octets of the extension header `proto` at `at`: 0 when `proto` is none or its length is not there
 * yet. It may reach beyond the data: compare with `end`, or use `fitsExtensionHeader`.
 */
export function extensionHeaderOctets(
	proto: number,
	view: DataView,
	at: number,
	end: number,
): number {
	if (!isExtensionHeader(proto) || at + 2 > end) {
		return 0;
	}
	if (proto === IpProto.Fragment) {
		return 8;
	}
	const units = view.getUint8(at + 1);
	return proto === IpProto.Ah ? (units + 2) * 4 : (units + 1) * 8;
}

/** Is there a whole extension header `proto` at `at` that ends before `end`? */
export function fitsExtensionHeader(
	proto: number,
	view: DataView,
	at: number,
	end: number,
): boolean {
	const octets = extensionHeaderOctets(proto, view, at, end);
	return octets >= EXTENSION_HEADER_OCTETS_MIN && at + octets <= end;
}

/** Where a walk stands. */
export class HeaderChain {
	/** Offset of the octet that names `proto`. */
	nextHeaderAt: number = 0;
	/** Protocol of the header at `at`. */
	proto: number = 0;
	/** Offset of the header; may be `end` when nothing follows. */
	at: number = 0;
	/** A header of the chain does not fit: `at` and `proto` are those of that header. */
	broken: boolean = false;
	/** The walk has passed the header of a later fragment: at `at` are data from the middle of something. */
	inFragment: boolean = false;
}

/** Puts the walk on the first header behind the IPv6 header at `ipAt`, which the caller knows to fit. */
export function startChain(chain: HeaderChain, view: DataView, ipAt: number): void {
	chain.nextHeaderAt = ipAt + IPV6_NEXT_HEADER_AT;
	chain.proto = view.getUint8(chain.nextHeaderAt);
	chain.at = ipAt + IPV6_HEADER_OCTETS;
	chain.broken = false;
	chain.inFragment = false;
}

/**
 * Moves on behind the extension header that the walk stands on; false when it stands on none, on a
 * broken one, or in a later fragment.
 */
export function stepChain(chain: HeaderChain, view: DataView, end: number): boolean {
	if (chain.inFragment || !isExtensionHeader(chain.proto)) {
		return false;
	}
	if (!fitsExtensionHeader(chain.proto, view, chain.at, end)) {
		chain.broken = true;
		return false;
	}
	const octets = extensionHeaderOctets(chain.proto, view, chain.at, end);
	chain.inFragment = chain.proto === IpProto.Fragment && fragmentOffset(view, chain.at) !== 0;
	chain.nextHeaderAt = chain.at;
	chain.proto = view.getUint8(chain.at);
	chain.at += octets;
	return true;
}

/**
 * Walks to the first header that is no extension header, to a Mobility Header, or to a later
 * fragment's data; false when a header before that is broken.
 */
export function walkToUpperHeader(
	chain: HeaderChain,
	view: DataView,
	ipAt: number,
	end: number,
): boolean {
	startChain(chain, view, ipAt);
	while (chain.proto !== IpProto.MobilityHeader && stepChain(chain, view, end)) {
		// Every step leads forward.
	}
	return !chain.broken;
}

/** Walks to the header `proto`; false when it is not in the chain, or behind a broken header. */
export function walkToHeader(
	chain: HeaderChain,
	view: DataView,
	ipAt: number,
	end: number,
	proto: number,
): boolean {
	startChain(chain, view, ipAt);
	while (chain.proto !== proto) {
		if (!stepChain(chain, view, end)) {
			return false;
		}
	}
	return !chain.inFragment;
}

/**
 * Walks to the end of the unfragmentable part, which is where Linux puts a fragment header and the
 * header of a transport mode: behind hop-by-hop, routing, destination options in front of a routing
 * header, and destination options with a home address anywhere. False when the chain is broken.
 *
 * @spec M-2; RFC 8200 §4.5, net/ipv6/output_core.c (ip6_find_1stfragopt)
 */
export function walkUnfragmentable(
	chain: HeaderChain,
	view: DataView,
	ipAt: number,
	end: number,
): boolean {
	startChain(chain, view, ipAt);
	let routed = false;
	for (;;) {
		if (chain.proto === IpProto.Routing) {
			routed = true;
		} else if (chain.proto === IpProto.DestinationOptions) {
			const home = findDestinationOption(view, chain.at, end, OptionType.HomeAddress) >= 0;
			if (!home && routed) {
				return true;
			}
		} else if (chain.proto !== IpProto.HopByHop) {
			return true;
		}
		if (!stepChain(chain, view, end) || chain.at - ipAt > IPV6_PAYLOAD_OCTETS_MAX) {
			chain.broken = true;
			return false;
		}
	}
}
