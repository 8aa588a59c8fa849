/**
 * Options of the hop-by-hop and destination options headers (RFC 8200 §4.2), and the home address
 * option of Mobile IPv6 (RFC 6275 §6.3).
 *
 *     +---------------+---------------+-------------------------------+
 *     |  Next Header  |  Hdr Ext Len  |  Option Type  |  Opt Data Len |
 *     +---------------+---------------+---------------+---------------+
 *     |  data …  (Pad1 is a single octet 0, without length)
 *
 * The two highest bits of a type say what to do with an unknown one, the third that the data may
 * change on the way (it counts as zeros for AH).
 *
 * @hotpath
 */

export const OptionType = {
	Pad1: 0,
	PadN: 1,
	TunnelEncapsulationLimit: 4,
	RouterAlert: 5,
	Jumbo: 0xc2,
	HomeAddress: 0xc9,
} as const;

/** Bit of an option type: the data may change en route. */
export const OPTION_MUTABLE = 0x20;

/** Octets of the destination options header that carries a home address alone (T-51). */
export const HOME_ADDRESS_HEADER_OCTETS = 24;

/** Octets of the header at `at`, from its length octet; at least 2 octets must be there. */
export function optionsHeaderOctets(view: DataView, at: number): number {
	return (view.getUint8(at + 1) + 1) * 8;
}

/** Is there an options header at `at` that ends before `end`? */
export function fitsOptionsHeader(view: DataView, at: number, end: number): boolean {
	return at + 8 <= end && at + optionsHeaderOctets(view, at) <= end;
}

/**
 * Octets of the option at `at`: 1 for Pad1, 0 when its length is missing or reaches beyond `end` (the
 * end of the header). Walk with `at += octets` until `at === end`.
 */
export function optionOctets(view: DataView, at: number, end: number): number {
	if (at >= end) {
		return 0;
	}
	if (view.getUint8(at) === OptionType.Pad1) {
		return 1;
	}
	if (at + 2 > end) {
		return 0;
	}
	const octets = 2 + view.getUint8(at + 1);
	return at + octets <= end ? octets : 0;
}

/**
 * Offset of the first option of this type in the options header at `at`; -1 when there is none, or the
 * header is damaged in front of it.
 */
export function findDestinationOption(
	view: DataView,
	at: number,
	end: number,
	type: number,
): number {
	if (!fitsOptionsHeader(view, at, end)) {
		return -1;
	}
	const headerEnd = at + optionsHeaderOctets(view, at);
	let option = at + 2;
	while (option < headerEnd) {
		const octets = optionOctets(view, option, headerEnd);
		if (octets === 0) {
			return -1;
		}
		if (view.getUint8(option) === type) {
			return option;
		}
		option += octets;
	}
	return -1;
}

/** Offset of the address in the home address option at `optionAt`, or -1 when its length is not 16 (T-57). */
export function homeAddressAt(view: DataView, optionAt: number): number {
	return view.getUint8(optionAt + 1) === 16 ? optionAt + 2 : -1;
}

/** Writes a Pad1 or PadN of `octets` (0 writes nothing). */
export function writePadding(view: DataView, at: number, octets: number): void {
	if (octets === 0) {
		return;
	}
	if (octets === 1) {
		view.setUint8(at, OptionType.Pad1);
		return;
	}
	view.setUint8(at, OptionType.PadN);
	view.setUint8(at + 1, octets - 2);
	for (let i = 2; i < octets; i++) {
		view.setUint8(at + i, 0);
	}
}

/**
 * Writes the 24 octets of a destination options header with PadN and a home address option, all but
 * the address, whose offset it returns.
 *
 * @spec T-51; RFC 6275 §6.3
 */
export function writeHomeAddressHeader(view: DataView, at: number, nextHeader: number): number {
	view.setUint8(at, nextHeader);
	view.setUint8(at + 1, HOME_ADDRESS_HEADER_OCTETS / 8 - 1);
	writePadding(view, at + 2, 4);
	view.setUint8(at + 6, OptionType.HomeAddress);
	view.setUint8(at + 7, 16);
	return at + 8;
}
