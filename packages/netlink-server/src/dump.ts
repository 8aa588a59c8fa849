/**
 * Dumps of states and policies: newest first, in parts, surviving what happens between the parts
 * (spec N-12 … N-15; net/netlink/af_netlink.c: netlink_dump).
 */
import type { EngineDoor, XfrmState } from '@xfrm/engine';
import {
	type AddressFilter,
	type ExtendedAck,
	encodeDone,
	MessageFlag,
	type RawMessage,
	XFRM_ATTRIBUTES,
} from '@xfrm/netlink';
import { Family, IpProto, prefixMatches } from '@xfrm/wire/xfrm';
import { DUMP_PART_OCTETS } from './limits.ts';
import { policyMessage, stateMessage } from './notify.ts';
import { RequestAttributes } from './request.ts';
import { invalid, XfrmError } from './xfrm-error.ts';

const PREFIX_MAX = 128;
const ANY_IPSEC = 255;

/** A dump in progress. */
export class Dump {
	readonly #members: Iterator<Uint8Array>;
	readonly #end: (empty: boolean) => Uint8Array;
	#empty: boolean = true;
	/** Got from the iterator, but did not fit into the last part. */
	#held: Uint8Array | undefined = undefined;

	/** `end` makes the message that ends it, told whether there was no member. */
	constructor(members: Iterable<Uint8Array>, end: (empty: boolean) => Uint8Array) {
		this.#members = members[Symbol.iterator]();
		this.#end = end;
	}

	/** The next datagram; the one that ends the dump comes alone, as the kernel sends it. */
	next(): { readonly datagram: Uint8Array; readonly last: boolean } {
		const part: Uint8Array[] = [];
		let octets = 0;
		for (;;) {
			const member = this.#held ?? this.#pull();
			this.#held = undefined;
			if (member === undefined) {
				break;
			}
			if (octets > 0 && octets + member.length > DUMP_PART_OCTETS) {
				this.#held = member;
				break;
			}
			part.push(member);
			octets += member.length;
		}
		if (octets === 0) {
			return { datagram: this.#end(this.#empty), last: true };
		}
		this.#empty = false;
		const datagram = new Uint8Array(octets);
		let at = 0;
		for (const member of part) {
			datagram.set(member, at);
			at += member.length;
		}
		return { datagram, last: false };
	}

	#pull(): Uint8Array | undefined {
		const step = this.#members.next();
		return step.done === true ? undefined : step.value;
	}
}

/** Does the state's protocol belong to this one: 0 is all, 255 ESP, AH and IPComp? */
function protocolMatches(proto: number, wanted: number): boolean {
	if (wanted === ANY_IPSEC) {
		return proto === IpProto.Esp || proto === IpProto.Ah || proto === IpProto.Comp;
	}
	return wanted === 0 || proto === wanted;
}

/** @spec N-14 */
function filterMatches(state: XfrmState, filter: AddressFilter): boolean {
	const { family } = filter;
	if ((family === Family.Ipv4 || family === Family.Ipv6) && family !== state.family) {
		return false;
	}
	const { saddr, id } = state.config;
	// All 16 octets count, whatever the family: the kernel compares words.
	return (
		prefixMatches(saddr, filter.saddr, filter.splen, Family.Ipv6) &&
		prefixMatches(id.daddr, filter.daddr, filter.dplen, Family.Ipv6)
	);
}

interface DumpHeader {
	readonly flags: number;
	readonly seq: number;
	readonly pid: number;
}

function* stateMembers(
	engine: EngineDoor,
	header: DumpHeader,
	proto: number,
	filter: AddressFilter | undefined,
): Generator<Uint8Array> {
	for (const state of engine.states()) {
		if (
			protocolMatches(state.proto, proto) &&
			(filter === undefined || filterMatches(state, filter))
		) {
			yield stateMessage('newsa', header, engine.snapshotState(state));
		}
	}
}

/** All policies there are, of both types and of sockets. @spec N-15 */
function* policyMembers(engine: EngineDoor, header: DumpHeader): Generator<Uint8Array> {
	for (const policy of engine.policies()) {
		yield policyMessage('newpolicy', header, engine.snapshotPolicy(policy));
	}
}

/** A dump that found an error at its start: only its end, which carries the error (N-12). */
function failedDump(
	header: DumpHeader,
	errno: number,
	extAck: boolean,
	extended: ExtendedAck,
): Dump {
	const told = extAck && extended.message !== undefined;
	return new Dump([], () => encodeDone(header, errno, told ? extended : undefined));
}

/**
 * Starts the dump that a GETSA asks for. It has no payload: attributes begin behind the header.
 *
 * @spec N-12 N-13 N-14
 */
export function dumpStates(
	engine: EngineDoor,
	request: RawMessage,
	portId: number,
	extAck: boolean,
): Dump {
	const header = { flags: MessageFlag.Multi, seq: request.seq, pid: portId };
	let warning: ExtendedAck = {};
	try {
		const attributes = new RequestAttributes(
			request.payload,
			0,
			XFRM_ATTRIBUTES,
			engine.net.profile.attributeMax,
		);
		if (attributes.leftover > 0) {
			warning = { message: 'bytes leftover after parsing attributes' };
		}
		const filter = attributes.get('addressFilter');
		if (filter !== undefined && (filter.splen > PREFIX_MAX || filter.dplen > PREFIX_MAX)) {
			invalid();
		}
		const proto = attributes.get('proto') ?? 0;
		// A warning belongs to the first part, and only the end can carry it.
		const warns = extAck && warning.message !== undefined;
		return new Dump(stateMembers(engine, header, proto, filter), (empty) =>
			encodeDone(header, 0, warns && empty ? warning : undefined),
		);
	} catch (error) {
		if (error instanceof XfrmError) {
			return failedDump(header, error.errno, extAck, { ...warning, ...error.extended });
		}
		throw error;
	}
}

/** Starts the dump that a GETPOLICY asks for: both types and sockets' policies, no filter (N-15). */
export function dumpPolicies(engine: EngineDoor, request: RawMessage, portId: number): Dump {
	const header = { flags: MessageFlag.Multi, seq: request.seq, pid: portId };
	return new Dump(policyMembers(engine, header), () => encodeDone(header, 0));
}
