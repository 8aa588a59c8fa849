/**
 * Options of an IPv4 packet that arrives (RFC 791 §3.1; net/ipv4/ip_options.c): what contradicts itself
 * is answered with a parameter problem, source routes are refused (they are off by default in Linux, and
 * have no switch here), record route and timestamp are filled in.
 */
import {
	IcmpType,
	IPV4_OPTIONS_AT,
	Ipv4Option,
	ipv4HeaderOctets,
	ipv4OptionOctets,
	setIpv4Checksum,
} from '@xfrm/wire';
import { type Address, anyAddress, Family } from '@xfrm/wire/xfrm';
import { destinationOf, sourceOf } from './address-words.ts';
import { HostDrop } from './host-trace.ts';
import { sendIcmpError } from './icmp-send.ts';
import type { Reception } from './reception.ts';
import { routeOutput } from './route-lookup.ts';
import { selectSource } from './source-address.ts';
import type { Stack } from './stack.ts';

/** What a look at one option says. */
const Finding = { Fine: -1, SourceRoute: -2 } as const;

/** Flags of a timestamp option (low half of its fourth octet). */
const TimestampKind = { Only: 0, WithAddress: 1, Prespecified: 3 } as const;

const DAY_MS = 86_400_000;

/**
 * Looks through the options and fills in what is asked for; false when the packet goes no further, and
 * everything due has been sent.
 */
export function receiveIpv4Options(stack: Stack, reception: Reception): boolean {
	const { packet } = reception;
	const { view, start } = packet;
	const end = start + ipv4HeaderOctets(view, start);
	const seen = new Set<number>();
	let at = start + IPV4_OPTIONS_AT;
	while (at < end) {
		const type = view.getUint8(at);
		if (type === Ipv4Option.End) {
			clearRest(reception, at, end);
			break;
		}
		const octets = ipv4OptionOctets(view, at, end);
		if (octets === 0) {
			return refuse(stack, reception, at - start);
		}
		const finding = examine(stack, reception, at, octets, seen);
		if (finding === Finding.SourceRoute) {
			stack.drop(HostDrop.Ipv4Options);
			return false;
		}
		if (finding >= 0) {
			return refuse(stack, reception, finding);
		}
		noteOption(reception, type, at - start);
		at += octets;
	}
	return true;
}

/** Nothing may stand behind the end of the options. */
function clearRest(reception: Reception, at: number, end: number): void {
	const { bytes } = reception.packet;
	for (let i = at; i < end; i++) {
		if (bytes[i] !== Ipv4Option.End) {
			bytes[i] = Ipv4Option.End;
			reception.optionsChanged = true;
		}
	}
}

/** What answers to the packet have to take over. */
function noteOption(reception: Reception, type: number, offset: number): void {
	if (type === Ipv4Option.RecordRoute) {
		reception.recordRouteAt = offset;
	} else if (type === Ipv4Option.Timestamp) {
		reception.timestampAt = offset;
	}
}

function refuse(stack: Stack, reception: Reception, pointer: number): boolean {
	stack.drop(HostDrop.Ipv4Options);
	sendIcmpError(stack, reception, IcmpType.ParameterProblem, 0, pointer << 24);
	return false;
}

/** Offset from the packet's start of what is wrong with an option, or a `Finding`. */
function examine(
	stack: Stack,
	reception: Reception,
	at: number,
	octets: number,
	seen: Set<number>,
): number {
	const { view, start } = reception.packet;
	const type = view.getUint8(at);
	switch (type) {
		case Ipv4Option.LooseSourceRoute:
		case Ipv4Option.StrictSourceRoute:
		case Ipv4Option.RecordRoute:
			if (octets < 3) {
				return at + 1 - start;
			}
			if (view.getUint8(at + 2) < 4) {
				return at + 2 - start;
			}
			break;
		case Ipv4Option.Timestamp:
			if (octets < 4) {
				return at + 1 - start;
			}
			if (view.getUint8(at + 2) < 5) {
				return at + 2 - start;
			}
			break;
		case Ipv4Option.RouterAlert:
			return octets < 4 ? at + 1 - start : Finding.Fine;
		default:
			return Finding.Fine;
	}
	if (seen.has(type)) {
		return at - start;
	}
	seen.add(type);
	if (type === Ipv4Option.RecordRoute) {
		return recordRoute(stack, reception, at, octets);
	}
	return type === Ipv4Option.Timestamp
		? recordTime(stack, reception, at, octets)
		: Finding.SourceRoute;
}

/**
 * The address by which this host tells of itself: the destination, if it is one of ours; else the source of what
 * it would send back, or one of the device it came by (net/ipv4/fib_frontend.c:fib_compute_spec_dst).
 */
function ownAddress(stack: Stack, reception: Reception): Address {
	const { packet, owner, broadcast } = reception;
	if (owner !== undefined && !broadcast) {
		return destinationOf(packet);
	}
	const source = sourceOf(packet);
	const back = routeOutput(stack, Family.Ipv4, source, anyAddress(), 0, 0);
	if (typeof back !== 'number') {
		return back.source;
	}
	const near = { kind: 'unicast', gateway: source } as const;
	return selectSource(stack.devices, Family.Ipv4, reception.device, source, near);
}

function recordRoute(stack: Stack, reception: Reception, at: number, octets: number): number {
	const { view, bytes, start } = reception.packet;
	const pointer = view.getUint8(at + 2);
	if (pointer > octets) {
		return Finding.Fine;
	}
	if (pointer + 3 > octets) {
		return at + 2 - start;
	}
	bytes.set(ownAddress(stack, reception).subarray(0, 4), at + pointer - 1);
	view.setUint8(at + 2, pointer + 4);
	reception.optionsChanged = true;
	reception.routeRecorded = 4;
	return Finding.Fine;
}

function recordTime(stack: Stack, reception: Reception, at: number, octets: number): number {
	const { view, bytes, start } = reception.packet;
	const pointer = view.getUint8(at + 2);
	const flags = view.getUint8(at + 3);
	const kind = flags & 15;
	if (pointer > octets) {
		if (kind !== TimestampKind.Prespecified) {
			const overflow = flags >> 4;
			if (overflow === 15) {
				return at + 3 - start;
			}
			view.setUint8(at + 3, kind | ((overflow + 1) << 4));
			reception.optionsChanged = true;
		}
		return Finding.Fine;
	}
	const slot = kind === TimestampKind.Only ? 4 : 8;
	if (pointer + slot - 1 > octets) {
		return at + 2 - start;
	}
	const slotAt = at + pointer - 1;
	if (kind === TimestampKind.WithAddress) {
		bytes.set(ownAddress(stack, reception).subarray(0, 4), slotAt);
	} else if (kind === TimestampKind.Prespecified) {
		const wanted = new Uint8Array(16);
		wanted.set(bytes.subarray(slotAt, slotAt + 4));
		if (stack.devices.withAddress(Family.Ipv4, wanted) === undefined) {
			return Finding.Fine;
		}
	} else if (kind !== TimestampKind.Only) {
		return Finding.Fine;
	}
	view.setUint32(slotAt + slot - 4, timestamp(stack));
	view.setUint8(at + 2, pointer + slot);
	reception.optionsChanged = true;
	reception.timeRecorded = slot;
	return Finding.Fine;
}

/** Milliseconds since midnight UT, as timestamps count (RFC 791 §3.1). */
function timestamp(stack: Stack): number {
	return Math.floor(stack.nowUs / 1000) % DAY_MS;
}

/**
 * A router tells of the address it sends from instead of the one it was reached by, and makes the header
 * checksum right again; that of a packet for us stays as it came.
 */
export function forwardIpv4Options(stack: Stack, reception: Reception): void {
	const { packet, recordRouteAt, routeRecorded, optionsChanged } = reception;
	const { view, bytes, start } = packet;
	if (routeRecorded !== 0) {
		const at = start + recordRouteAt;
		const onward = routeOutput(stack, Family.Ipv4, destinationOf(packet), anyAddress(), 0, 0);
		if (typeof onward !== 'number') {
			bytes.set(onward.source.subarray(0, 4), at + view.getUint8(at + 2) - 5);
		}
	}
	if (optionsChanged) {
		setIpv4Checksum(view, start);
	}
}

/**
 * The options of an answer to a packet: record route and timestamp are taken over, with this host in
 * them once more. undefined: there is no room for it, and no answer is sent.
 *
 * @param source of the answer
 */
export function echoedIpv4Options(
	stack: Stack,
	reception: Reception,
	source: Address,
): Uint8Array | undefined {
	const { recordRouteAt, timestampAt } = reception;
	const options: number[] = [];
	if (recordRouteAt !== 0 && !echoRoute(reception, options, source)) {
		return undefined;
	}
	if (timestampAt !== 0 && !echoTime(stack, reception, options, source)) {
		return undefined;
	}
	while (options.length % 4 !== 0) {
		options.push(Ipv4Option.End);
	}
	return Uint8Array.from(options);
}

/** The octets of an option of the packet. */
function optionAt(reception: Reception, offset: number): Uint8Array {
	const { bytes, view, start } = reception.packet;
	const at = start + offset;
	return bytes.slice(at, at + view.getUint8(at + 1));
}

function echoRoute(reception: Reception, options: number[], source: Address): boolean {
	const option = optionAt(reception, reception.recordRouteAt);
	const pointer = option[2] ?? 0;
	if (reception.routeRecorded !== 0 && pointer <= option.length) {
		if (pointer + 3 > option.length) {
			return false;
		}
		option.set(source.subarray(0, 4), pointer - 1);
		option[2] = pointer + 4;
	}
	options.push(...option);
	return true;
}

function echoTime(stack: Stack, reception: Reception, options: number[], source: Address): boolean {
	const option = optionAt(reception, reception.timestampAt);
	const pointer = option[2] ?? 0;
	const slot = reception.timeRecorded;
	const kind = (option[3] ?? 0) & 15;
	if (slot !== 0 && pointer <= option.length && kind !== TimestampKind.Prespecified) {
		if (pointer + slot - 1 > option.length) {
			return false;
		}
		if (slot === 8) {
			option.set(source.subarray(0, 4), pointer - 1);
		}
		new DataView(option.buffer).setUint32(pointer + slot - 5, timestamp(stack));
		option[2] = pointer + slot;
	}
	options.push(...option);
	return true;
}
