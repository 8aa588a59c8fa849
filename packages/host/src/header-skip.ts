/**
 * Where the upper header of an IPv6 packet is, as ICMPv6 and reassembly look for it in packets that may
 * be cut or damaged (net/ipv6/exthdrs_core.c, ipv6_skip_exthdr): lengths are believed, even beyond the
 * end, and a later fragment has no upper header. The walk that trusts nothing is wire's.
 */
import { fragmentOffset } from '@xfrm/wire';
import { IpProto } from '@xfrm/wire/xfrm';

/** Result of a walk; `at` may lie beyond the packet. */
export class SkippedHeaders {
	at: number = 0;
	proto: number = 0;
	/** A fragment header was met. */
	fragment: boolean = false;
	/** Octets of the datagram in front of this fragment. */
	fragmentOffset: number = 0;
}

/** Walks from the header `proto` at `at`; false when the chain ends before there is an upper header. */
export function skipHeaders(
	skipped: SkippedHeaders,
	view: DataView,
	at: number,
	end: number,
	proto: number,
): boolean {
	skipped.at = at;
	skipped.proto = proto;
	skipped.fragment = false;
	skipped.fragmentOffset = 0;
	while (isSkipped(skipped.proto)) {
		if (skipped.at + 2 > end) {
			return false;
		}
		let octets = (view.getUint8(skipped.at + 1) + 1) * 8;
		if (skipped.proto === IpProto.Fragment) {
			if (skipped.at + 4 > end) {
				return false;
			}
			skipped.fragment = true;
			skipped.fragmentOffset = fragmentOffset(view, skipped.at);
			if (skipped.fragmentOffset !== 0) {
				return true;
			}
			octets = 8;
		} else if (skipped.proto === IpProto.Ah) {
			octets = (view.getUint8(skipped.at + 1) + 2) * 4;
		}
		skipped.proto = view.getUint8(skipped.at);
		skipped.at += octets;
	}
	return skipped.proto !== IpProto.NoNext;
}

function isSkipped(proto: number): boolean {
	return (
		proto === IpProto.HopByHop ||
		proto === IpProto.Routing ||
		proto === IpProto.Fragment ||
		proto === IpProto.Ah ||
		proto === IpProto.DestinationOptions
	);
}
