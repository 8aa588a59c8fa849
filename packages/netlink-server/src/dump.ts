/**
 * Dumps of states and policies: newest first, in parts, surviving what happens between the parts
 * (spec N-12 … N-15; net/netlink/af_netlink.c: netlink_dump).
 */
import { type EngineDoor, StateCondition, type XfrmPolicy, type XfrmState } from '@xfrm/engine';
import {
	type AddressFilter,
	type ExtendedAck,
	encodeDone,
	MessageFlag,
	type MessageHeader,
	MessageType,
	MessageWriter,
	type RawMessage,
	viewOf,
	XFRM_ATTRIBUTES,
} from '@xfrm/netlink';
import { Family, IpProto, prefixMatches } from '@xfrm/wire/xfrm';
import { DUMP_PART_OCTETS } from './limits.ts';
import { policyMessageOctets, writePolicyMessage } from './policy-writer.ts';
import { RequestAttributes } from './request.ts';
import { appendState } from './state-writer.ts';
import { invalid, XfrmError } from './xfrm-error.ts';

const PREFIX_MAX = 128;
const ANY_IPSEC = 255;

/** How the members of a dump become messages. */
interface Scribe<T> {
	/** Did it go since the iterator gave it? */
	isGone(member: T): boolean;
	octets(member: T): number;
	/** Writes the message of the member that `octets` was asked for last into memory that is zero. */
	write(bytes: Uint8Array, view: DataView, at: number, member: T): void;
}

/** A dump in progress. */
export interface Dump {
	/** The next datagram; the one that ends the dump comes alone, as the kernel sends it. */
	next(): { readonly datagram: Uint8Array; readonly last: boolean };
}

/** A dump of what an iterator gives; messages are made at the moment in which they are written. */
class TableDump<T> implements Dump {
	readonly #members: Iterator<T>;
	readonly #scribe: Scribe<T>;
	readonly #end: (empty: boolean) => Uint8Array;
	#empty: boolean = true;
	/** Got from the iterator, but did not fit into the last part. */
	#held: T | undefined = undefined;

	/** `end` makes the message that ends it, told whether there was no member. */
	constructor(members: Iterable<T>, scribe: Scribe<T>, end: (empty: boolean) => Uint8Array) {
		this.#members = members[Symbol.iterator]();
		this.#scribe = scribe;
		this.#end = end;
	}

	next(): { readonly datagram: Uint8Array; readonly last: boolean } {
		const scribe = this.#scribe;
		const held = this.#held;
		let member = held === undefined || scribe.isGone(held) ? this.#pull() : held;
		this.#held = undefined;
		if (member === undefined) {
			return { datagram: this.#end(this.#empty), last: true };
		}
		this.#empty = false;
		let octets = scribe.octets(member);
		const bytes = new Uint8Array(Math.max(octets, DUMP_PART_OCTETS));
		const view = viewOf(bytes);
		let at = 0;
		while (member !== undefined && at + octets <= bytes.length) {
			scribe.write(bytes, view, at, member);
			at += octets;
			member = this.#pull();
			octets = member === undefined ? 0 : scribe.octets(member);
		}
		this.#held = member;
		return { datagram: bytes.subarray(0, at), last: false };
	}

	#pull(): T | undefined {
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
	proto: number,
	filter: AddressFilter | undefined,
): Generator<XfrmState> {
	for (const state of engine.states()) {
		if (
			protocolMatches(state.proto, proto) &&
			(filter === undefined || filterMatches(state, filter))
		) {
			yield state;
		}
	}
}

/** How long a state's message is shows when it is written: that is done in memory of its own. */
class StateScribe implements Scribe<XfrmState> {
	readonly #header: MessageHeader;
	readonly #writer: MessageWriter;

	constructor(header: DumpHeader) {
		this.#header = { ...header, type: MessageType.NewSa };
		this.#writer = new MessageWriter(this.#header);
	}

	isGone(state: XfrmState): boolean {
		return state.condition === StateCondition.Dead;
	}

	octets(state: XfrmState): number {
		this.#writer.restart(this.#header);
		appendState(this.#writer, state);
		return this.#writer.paddedLength;
	}

	/** The one that `octets` was asked for last. */
	write(bytes: Uint8Array, _view: DataView, at: number): void {
		this.#writer.copyTo(bytes, at);
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
	const end = encodeDone(header, errno, told ? extended : undefined);
	return { next: () => ({ datagram: end, last: true }) };
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
			request,
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
		const members = stateMembers(engine, proto, filter);
		return new TableDump(members, new StateScribe(header), (empty) =>
			encodeDone(header, 0, warns && empty ? warning : undefined),
		);
	} catch (error) {
		if (error instanceof XfrmError) {
			return failedDump(header, error.errno, extAck, { ...warning, ...error.extended });
		}
		throw error;
	}
}

/** Starts the dump that a GETPOLICY asks for: both types and sockets' policies, no filter. @spec N-15 */
export function dumpPolicies(engine: EngineDoor, request: RawMessage, portId: number): Dump {
	const header = { flags: MessageFlag.Multi, seq: request.seq, pid: portId };
	const scribe: Scribe<XfrmPolicy> = {
		isGone: (policy) => policy.dead,
		octets: policyMessageOctets,
		write: (_bytes, view, at, policy) => writePolicyMessage(view, at, policy, header),
	};
	return new TableDump(engine.policies(), scribe, () => encodeDone(header, 0));
}
