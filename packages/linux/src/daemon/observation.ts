/**
 * What the daemon tells of itself, over the socket by which it is configured, so that the same rules say who
 * may ask: a message of a type that NETLINK_XFRM will never have, answered by text (JSON) in parts, by the
 * tables that belong to it as NEWSA and NEWPOLICY, and by NLMSG_DONE.
 *
 *      0      4     6     8     12    16     20      24
 *     +------+-----+-----+-----+-----+------+-------+
 *     |length|type |flags| seq | pid | what | which |
 *     +------+-----+-----+-----+-----+------+-------+
 */
import {
	COUNTER_COUNT,
	type EngineDoor,
	StateCondition,
	verdictName,
	type XfrmState,
} from '@xfrm/engine';
import {
	encodeDone,
	joinMessages,
	MESSAGE_HEADER_OCTETS,
	MessageFlag,
	type MessageHeader,
	MessageWriter,
	type RawMessage,
	splitMessages,
	viewOf,
} from '@xfrm/netlink';
import { policyAnswer, stateAnswer } from '@xfrm/netlink-server';
import { formatHex } from '@xfrm/wire';
import { Group } from '@xfrm/wire/xfrm';
import type { DropSample, DropSamples, SampledWindow } from './drop-samples.ts';
import { type DropRow, type DropTable, stateCause, stateName } from './drop-table.ts';
import type { InterfaceList } from './interface-list.ts';
import { dropName } from './own-drops.ts';

/** Far above the last of NETLINK_XFRM. */
export const OBSERVATION_TYPE = 0x7866;

/** What may be asked for. */
export const Observed = { Numbers: 0, Drop: 1 } as const;

const REQUEST_OCTETS: number = MESSAGE_HEADER_OCTETS + 8;
/** Octets of a datagram, at most: below what any receiver has room for. */
const PART_OCTETS = 0x4000;

/** What the data plane counts besides the engine, by name. */
export type OwnCounters = Readonly<Record<string, number>>;

/** The daemon's numbers, as JSON. */
export interface DaemonNumbers {
	readonly schema: 1;
	readonly object: 'daemon';
	/** Unix seconds. */
	readonly time: number;
	/** By the names of /proc/net/xfrm_stat, in its order. */
	readonly counters: Readonly<Record<string, number>>;
	/** What only the daemon counts. */
	readonly own: OwnCounters;
	readonly drops: readonly DropRow[];
	readonly states: number;
	readonly policies: number;
	/** Devices by if_id, which are TUN devices to the kernel. */
	readonly devices: readonly DaemonDevice[];
	/** A key manager listens: it is asked for states that are missing. */
	readonly heard: boolean;
	/** Drops that can be asked for, newest first. */
	readonly samples: readonly SampleHead[];
}

/** What `ip link add NAME type xfrm if_id N` is to a kernel. */
export interface DaemonDevice {
	readonly name: string;
	readonly if_id: number;
}

/** A dropped packet without its tables. */
export interface SampleHead {
	/** Unix seconds, with fractions. */
	readonly time: number;
	readonly way: DropSample['way'];
	readonly counter: string;
	readonly packet: string;
	/** The packet is as it came. */
	readonly whole: boolean;
	readonly mark: number;
	readonly ifindex: number;
	/** Of the device that it was to leave by, 0 for none. */
	readonly if_id: number;
	/** A key manager heard what it asked for. */
	readonly heard: boolean;
	/** Why the daemon itself has dropped it, one of docs/reasons.md; null where the tables tell. */
	readonly code: string | null;
	/** SPIs of the states that it had come through. */
	readonly via: readonly number[];
	/** States whose keys are wiped since: how dumps name them. */
	readonly wiped: readonly string[];
	readonly defaults: readonly [number, number, number];
}

/** The request, with everything but its number and sender. */
export function observationRequest(what: number, which: number, seq: number): Uint8Array {
	const bytes = new Uint8Array(REQUEST_OCTETS);
	const view = viewOf(bytes);
	view.setUint32(0, bytes.length, true);
	view.setUint16(4, OBSERVATION_TYPE, true);
	view.setUint16(6, MessageFlag.Request, true);
	view.setUint32(8, seq, true);
	view.setUint32(16, what, true);
	view.setUint32(20, which, true);
	return bytes;
}

/** Is this datagram one? */
export function takeObservationRequest(datagram: Uint8Array): RawMessage | undefined {
	if ((datagram[4] ?? 0) + 256 * (datagram[5] ?? 0) !== OBSERVATION_TYPE) {
		return undefined;
	}
	const [request] = splitMessages(datagram);
	const isOne = request?.type === OBSERVATION_TYPE && request.payload.length >= 8;
	return isOne ? request : undefined;
}

/** Everything that can be observed. */
export interface Sources {
	readonly engine: EngineDoor;
	readonly drops: DropTable;
	readonly samples: DropSamples;
	readonly own: () => OwnCounters;
	readonly interfaces: Pick<InterfaceList, 'named'>;
}

/** The datagrams that answer a request. */
export function observe(request: RawMessage, sources: Sources, nowUs: number): Uint8Array[] {
	const view = viewOf(request.payload);
	const header = { flags: MessageFlag.Multi, seq: request.seq, pid: request.pid };
	const sample = sources.samples.list()[view.getUint32(4, true)];
	const messages =
		view.getUint32(0, true) === Observed.Drop
			? sample === undefined
				? []
				: dropMessages(sample, header)
			: textMessages(JSON.stringify(numbersOf(sources, nowUs)), header);
	return [...joined(messages), encodeDone(header, 0)];
}

function numbersOf(
	{ engine, drops, samples, own, interfaces }: Sources,
	nowUs: number,
): DaemonNumbers {
	const counters: Record<string, number> = {};
	for (let verdict = 1; verdict <= COUNTER_COUNT; verdict++) {
		counters[verdictName(verdict) ?? ''] = engine.net.counters[verdict] ?? 0;
	}
	const [ins, outs, forwards] = engine.spdInfo().counts;
	return {
		schema: 1,
		object: 'daemon',
		time: nowUs / 1_000_000,
		counters,
		own: own(),
		drops: drops.rows(),
		states: engine.sadInfo().stateCount,
		policies: ins + outs + forwards,
		heard: engine.net.listens(Group.Acquire),
		devices: [...interfaces.named()].map(([ifId, name]) => ({ name, if_id: ifId >>> 0 })),
		samples: samples.list().map(headOf),
	};
}

function headOf(sample: DropSample): SampleHead {
	const {
		timeUs,
		way,
		verdict,
		packet,
		isWhole,
		mark,
		ifindex,
		ifId,
		isHeard,
		code,
		path,
		tables,
	} = sample;
	return {
		time: timeUs / 1_000_000,
		way,
		counter: dropName(verdict),
		packet: formatHex(packet),
		whole: isWhole,
		mark,
		ifindex,
		if_id: ifId >>> 0,
		heard: isHeard,
		code,
		via: path.map(({ spi }) => spi >>> 0),
		wiped: statesOf(sample)
			.filter(isWiped)
			.map((state) => stateName(stateCause(state))),
		defaults: tables.defaults,
	};
}

/** Those that a packet met, and all others of its time. */
function statesOf({ gone, tables }: DropSample): readonly XfrmState[] {
	return [...gone.filter((state) => !tables.states.includes(state)), ...tables.states];
}

function isWiped({ condition }: XfrmState): boolean {
	return condition === StateCondition.Dead;
}

type Head = Omit<MessageHeader, 'type'>;

function dropMessages(sample: DropSample, header: Head): Uint8Array[] {
	const { tables, windows } = sample;
	const told = statesOf(sample);
	const text = textMessages(JSON.stringify(headOf(sample)), header);
	const before = windows.map(({ state }) => windowOf(state));
	windows.forEach(restore);
	const states = told.map((state) => stateAnswer(state, header));
	before.forEach(restore);
	return [...text, ...states, ...tables.policies.map((policy) => policyAnswer(policy, header))];
}

/** A state's numbers now. */
function windowOf(state: XfrmState): SampledWindow {
	const { counters, bitmap } = state.replay;
	return { state, counters: counters.slice(), bitmap: bitmap.slice() };
}

/** Makes a state as it was; only while nothing else can look at it. */
function restore({ state, counters, bitmap }: SampledWindow): void {
	state.replay.counters.set(counters);
	state.replay.bitmap.set(bitmap);
}

function textMessages(text: string, header: Head): Uint8Array[] {
	const octets = new TextEncoder().encode(text);
	const messages: Uint8Array[] = [];
	for (let at = 0; at < octets.length; at += PART_OCTETS) {
		const writer = new MessageWriter({ ...header, type: OBSERVATION_TYPE });
		writer.appendBytes(octets.subarray(at, at + PART_OCTETS));
		messages.push(writer.finish(true));
	}
	return messages;
}

/** Messages as few datagrams. */
function joined(messages: readonly Uint8Array[]): Uint8Array[] {
	const parts: Uint8Array[] = [];
	let part: Uint8Array[] = [];
	let octets = 0;
	const end = (): void => {
		if (part.length > 0) {
			parts.push(joinMessages(part));
		}
		part = [];
		octets = 0;
	};
	for (const message of messages) {
		const room = (message.length + 3) & ~3;
		if (octets + room > PART_OCTETS) {
			end();
		}
		part.push(message);
		octets += room;
	}
	end();
	return parts;
}
