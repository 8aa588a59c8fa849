/**
 * Some of the packets that were dropped, each with the tables as they were: enough that `xfrm explain
 * --daemon --last-drop` can tell what became of it. Of every verdict one a second is kept at most.
 *
 * The engine rewrites packets in place, so a packet that is opened and refused is not what came any more.
 * So packets are copied before the engine has them, but only where that costs nothing that counts: when
 * one comes alone, or lately one was dropped that was not copied.
 *
 * Tables are lists of the engine's own objects. A state that is deleted meanwhile is still told of, but its
 * keys are wiped there too, as are those of one that the packet met at its limit, where it went on the spot. A
 * larval state that it has asked for itself came behind it, and is left out. What of a state changes by packets
 * is kept for those that the packet met.
 */
import {
	type Bundle,
	type EngineDoor,
	ReplayCounter,
	StateCondition,
	Verdict,
	type XfrmPolicy,
	type XfrmState,
} from '@xfrm/engine';
import type { PacketBuffer } from '@xfrm/wire';
import { Group } from '@xfrm/wire/xfrm';
import {
	DROP_SAMPLE_OCTETS,
	DROP_SAMPLES_MAX,
	DROP_TABLE_MEMBERS_MAX,
	PACKETS_PER_CALL,
} from '../limits.ts';
import type { DropTable } from './drop-table.ts';

/** Verdicts are below. */
const VERDICTS = 128;
/** Of each verdict one is kept in so long. */
const PAUSE_US = 1_000_000;
/** So long behind a drop that was not copied, all packets are. */
const ALERT_US = 10_000_000;
/** Copied at other times: batches of this many. */
const FEW = 1;

/** Verdicts of a state that does not admit a packet: they come before it is opened. */
const NOT_ADMITTED: readonly number[] = [
	Verdict.AcquireError,
	Verdict.InStateInvalid,
	Verdict.InStateMismatch,
	Verdict.InStateSeqError,
	Verdict.InStateExpired,
];

/** The tables at one moment, newest first. */
export interface SampledTables {
	readonly generation: number;
	readonly states: readonly XfrmState[];
	readonly policies: readonly XfrmPolicy[];
	readonly defaults: readonly [number, number, number];
}

/** Numbers of a state when it met the packet. */
export interface SampledWindow {
	readonly state: XfrmState;
	readonly counters: Int32Array;
	readonly bitmap: Uint32Array;
}

/** Which way a packet went: of programs here and behind, or from the network. */
export type SampleWay = 'outward' | 'inward';

export interface DropSample {
	readonly timeUs: number;
	readonly way: SampleWay;
	readonly verdict: number;
	/** The IP packet. */
	readonly packet: Uint8Array;
	/** It is as it came; otherwise as it was when it was dropped, which may be garbage. */
	readonly isWhole: boolean;
	/** Mark that it came with, u32. */
	readonly mark: number;
	/** Interface that it came by, 0 when not known. */
	readonly ifindex: number;
	/** if_id of the device that it was to leave by, 0 for none. */
	readonly ifId: number;
	/** Why, one of docs/reasons.md; null where the engine has said so itself. */
	readonly code: string | null;
	/** States that it had come through, outermost first. */
	readonly path: readonly XfrmState[];
	readonly tables: SampledTables;
	/** States that it met and that went with it, at a hard limit: the tables have them no more. */
	readonly gone: readonly XfrmState[];
	readonly windows: readonly SampledWindow[];
	/** A key manager heard what was asked for. */
	readonly isHeard: boolean;
}

export class DropSamples {
	readonly #engine: EngineDoor;
	readonly #drops: DropTable;
	readonly #copies: Uint8Array = new Uint8Array(PACKETS_PER_CALL * DROP_SAMPLE_OCTETS);
	readonly #copiesView: DataView = new DataView(this.#copies.buffer);
	readonly #copied: (PacketBuffer | null)[] = new Array(PACKETS_PER_CALL).fill(null);
	readonly #octets: Int32Array = new Int32Array(PACKETS_PER_CALL);
	readonly #marks: Int32Array = new Int32Array(PACKETS_PER_CALL);
	#count: number = 0;
	readonly #keptUs: Float64Array = new Float64Array(VERDICTS);
	/** Verdicts of which the newest packet that is kept is not whole: a whole one is welcome at once. */
	readonly #lacking: Uint8Array = new Uint8Array(VERDICTS);
	#alertUntilUs: number = 0;
	/** Of the engine, before the packets that came together. */
	#acquireSeq: number = 0;
	/** Newest last. */
	readonly #samples: DropSample[] = [];

	/** @param drops is told of each drop before it is noted here */
	constructor(engine: EngineDoor, drops: DropTable) {
		this.#engine = engine;
		this.#drops = drops;
	}

	/** Packets that came together, before the engine has them. */
	begin(packets: readonly PacketBuffer[], nowUs: number): void {
		this.#count = 0;
		this.#acquireSeq = this.#engine.net.acquireSeq;
		if (packets.length > FEW && nowUs >= this.#alertUntilUs) {
			return;
		}
		const count = Math.min(packets.length, PACKETS_PER_CALL);
		for (let row = 0; row < count; row++) {
			const packet = packets[row];
			if (packet !== undefined) {
				this.#copy(packet);
			}
		}
	}

	#copy(packet: PacketBuffer): void {
		const octets = packet.end - packet.start;
		if (octets > DROP_SAMPLE_OCTETS) {
			return;
		}
		const row = this.#count++;
		copyOctets(packet, this.#copies, this.#copiesView, row * DROP_SAMPLE_OCTETS);
		this.#copied[row] = packet;
		this.#octets[row] = octets;
		this.#marks[row] = packet.mark;
	}

	/**
	 * A packet was dropped by the engine: keeps it, if none of its kind was kept just now.
	 *
	 * @param isOpened it came through states, and what was inside was dropped
	 */
	note(packet: PacketBuffer, way: SampleWay, nowUs: number, isOpened: boolean = false): void {
		if (packet.verdict !== 0) {
			const untouched = way === 'outward' ? packet.bundle === null : !isOpened && isSealed(packet);
			this.#note(packet, packet.verdict, null, way, untouched, nowUs);
		}
	}

	/**
	 * A packet on its way out was dropped by the data plane itself: counts and keeps it.
	 *
	 * @param verdict an `OwnDrop`, or one of the engine's from 64 on
	 * @param code one of docs/reasons.md
	 * @param untouched nothing was put on it yet
	 * @param state that it has been through, where its bundle does not say any more
	 */
	refuse(
		packet: PacketBuffer,
		verdict: number,
		code: string,
		untouched: boolean,
		nowUs: number,
		state: XfrmState | null = null,
	): void {
		// Only the lookup puts an object there, and only a bundle.
		const bundle = packet.bundle as Bundle | null;
		const met = state ?? bundle?.first?.state ?? null;
		this.#engine.net.dropWatcher?.dropped(verdict, met, bundle?.policy ?? null, code);
		this.#note(packet, verdict, code, 'outward', untouched, nowUs);
	}

	#note(
		packet: PacketBuffer,
		verdict: number,
		code: string | null,
		way: SampleWay,
		untouched: boolean,
		nowUs: number,
	): void {
		const row = this.#copied.indexOf(packet);
		const isCopied = row >= 0 && row < this.#count;
		const isWhole = isCopied || untouched;
		const isDue = nowUs - (this.#keptUs[verdict] ?? 0) >= PAUSE_US;
		if (!isDue && !(isWhole && this.#lacking[verdict] === 1)) {
			return;
		}
		this.#keptUs[verdict] = nowUs;
		this.#lacking[verdict] = isWhole ? 0 : 1;
		if (!isWhole) {
			this.#alertUntilUs = nowUs + ALERT_US;
		} else if (!this.#lacking.includes(1)) {
			this.#alertUntilUs = 0;
		}
		const from = row * DROP_SAMPLE_OCTETS;
		const path = packet.path.slice(0, packet.pathCount) as XfrmState[];
		this.#keep({
			timeUs: nowUs,
			way,
			verdict,
			packet: isCopied ? this.#copies.slice(from, from + (this.#octets[row] ?? 0)) : packet.copy(),
			isWhole,
			mark: (isCopied ? (this.#marks[row] ?? 0) : packet.mark) >>> 0,
			ifindex: packet.iif,
			ifId: way === 'outward' ? packet.ifId : 0,
			code,
			path,
			tables: this.#tables(),
			gone: this.#met(path, verdict).filter(({ condition }) => condition === StateCondition.Dead),
			windows: path.map((state) => windowFor(state, verdict)),
			isHeard: this.#engine.net.listens(Group.Acquire),
		});
	}

	/** Inward the path has its states; outward nothing has, once it is dropped. */
	#met(path: readonly XfrmState[], verdict: number): readonly XfrmState[] {
		const { expired } = this.#drops;
		return verdict === Verdict.OutStateExpired && expired !== null ? [expired] : path;
	}

	#isNewlyAsked({ condition, seq }: XfrmState): boolean {
		return condition === StateCondition.Acq && ((seq - this.#acquireSeq) | 0) > 0;
	}

	/** What is kept, newest first. */
	list(): readonly DropSample[] {
		return [...this.#samples].reverse();
	}

	#keep(sample: DropSample): void {
		this.#samples.push(sample);
		while (this.#samples.length > 1 && this.#isTooMuch()) {
			this.#samples.shift();
		}
	}

	#isTooMuch(): boolean {
		const tables = new Set(this.#samples.map((sample) => sample.tables));
		let members = 0;
		for (const { states, policies } of tables) {
			members += states.length + policies.length;
		}
		return this.#samples.length > DROP_SAMPLES_MAX || members > DROP_TABLE_MEMBERS_MAX;
	}

	/** The tables now, shared with the sample before if nothing has changed. */
	#tables(): SampledTables {
		const { net } = this.#engine;
		// What packets of now have asked for was not there before them.
		const states = [...this.#engine.states()].filter((state) => !this.#isNewlyAsked(state));
		const before = this.#samples.at(-1)?.tables;
		// Larval states come without a new generation: no bundle is stale by them.
		if (
			before?.generation === net.generation &&
			before.states.length === states.length &&
			before.states[0] === states[0]
		) {
			return before;
		}
		return {
			generation: net.generation,
			states,
			policies: [...this.#engine.policies()],
			defaults: [...net.defaults],
		};
	}
}

/**
 * The window of a state as the packet met it. Where it let the packet in, it has moved on since and would
 * call it a replay: it is told as an empty one.
 */
function windowFor(state: XfrmState, verdict: number): SampledWindow {
	const counters = state.replay.counters.slice();
	const bitmap = state.replay.bitmap.slice();
	if (verdict !== Verdict.InStateSeqError) {
		counters[ReplayCounter.Seq] = 0;
		bitmap.fill(0);
	}
	return { state, counters, bitmap };
}

/** Octet by octet would take longer for a long packet, and `set` takes a new array for any. */
function copyOctets(packet: PacketBuffer, to: Uint8Array, toView: DataView, at: number): void {
	const { bytes, view, end } = packet;
	const shift = at - packet.start;
	let from = packet.start;
	for (; from + 4 <= end; from += 4) {
		toView.setInt32(from + shift, view.getInt32(from));
	}
	for (; from < end; from++) {
		to[from + shift] = bytes[from] ?? 0;
	}
}

/**
 * Is an inbound packet as it came? Nothing is done to it by looking its state up, and nothing by a state that does not
 * admit it, but that it may be marked.
 */
function isSealed({ pathCount, path, verdict, encapType }: PacketBuffer): boolean {
	if (pathCount === 0) {
		return true;
	}
	const [state] = path as readonly (XfrmState | null)[];
	const isRefused = pathCount === 1 && NOT_ADMITTED.includes(verdict);
	return isRefused && encapType === 0 && state?.outputMarkMask === 0;
}
