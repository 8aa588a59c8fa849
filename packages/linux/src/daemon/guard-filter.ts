/**
 * The filter of the guard: follows the engine's policies and makes nf_tables say the same, before a change of them
 * is acknowledged. What a packet meets is in guard-rules.ts, in which order policies decide in guard-layers.ts.
 *
 * What protects leaves a moment after its policy has been deleted: key managers take policies away to put them back
 * with other templates, and nothing may slip out in between.
 *
 * The verdict of the filter is the engine's, but for that moment, and where guard-shape.ts says that it is wider, or
 * the kernel's order of policies of equal priority goes round in a circle (guard-entry.ts); there, what lets go
 * gives way.
 */
import { type Engine, SELECTOR_WORDS, type TableWatcher, type XfrmPolicy } from '@xfrm/engine';
import { DefaultAction, Direction, Errno, PolicyType } from '@xfrm/wire/xfrm';
import { TABLE_OWNED } from '../nftables/nft-abi.ts';
import { NftBatch } from '../nftables/nft-batch.ts';
import type { NftSocket } from '../nftables/nft-socket.ts';
import { type GuardCounters, writeCounters } from './guard-counters.ts';
import { FORBID, type GuardEntry, isPossible, LET_GO, laneMark, protects } from './guard-entry.ts';
import { GuardLayers } from './guard-layers.ts';
import {
	decide,
	defaultChain,
	writeFrame,
	writeInterface,
	writeLane,
	writeLaneMark,
	writeReverse,
} from './guard-rules.ts';
import { GuardTable } from './guard-table.ts';
import { CAPTURE_MARK } from './marks.ts';

/** The guard's table of nf_tables, of family inet. */
export const GUARD_TABLE = 'xfrm';

/** What a policy that is gone has protected is let go so much later, unless it is back by then. */
const LET_GO_US = 250_000;

const DIRECTIONS = [Direction.In, Direction.Out, Direction.Fwd] as const;
const TYPES = [PolicyType.Main, PolicyType.Sub] as const;

/** Policies of a direction and type. */
interface Part {
	readonly layers: GuardLayers;
	table: GuardTable;
}

/** Takes the table away, if there is one, by the socket that owns it. 0 or errno. */
export function removeFilter(socket: NftSocket): number {
	if (socket.findTable(GUARD_TABLE) !== 0) {
		return 0;
	}
	const batch = new NftBatch(GUARD_TABLE);
	batch.deleteTable();
	return socket.commit(batch);
}

export class GuardFilter implements TableWatcher {
	readonly #engine: Engine;
	readonly #socket: Pick<NftSocket, 'commit'>;
	/** Without: packets are captured, and nothing is dropped. */
	readonly #drops: boolean;
	/** Lane of packets of a mark. */
	readonly #laneOf: (mark: number) => number;
	readonly #counters: GuardCounters | undefined;
	readonly #batch: NftBatch = new NftBatch(GUARD_TABLE);
	readonly #entries: Map<XfrmPolicy, GuardEntry> = new Map();
	/** By direction and type. */
	readonly #parts: Map<number, Part> = new Map();
	readonly #changed: Set<XfrmPolicy> = new Set();
	/** Policies that are gone and still protect, by what they are for; the oldest first. */
	readonly #leaving: Map<string, { readonly policy: XfrmPolicy; readonly dueUs: number }> =
		new Map();
	/** Marks of the lanes that have a device by now. */
	readonly #laneMarks: number[] = [];
	/** Devices by if_id. */
	readonly #interfaces: Set<string> = new Set();
	/** Of the engine's tables, when the kernel was told of them last. */
	#generation: number = Number.NaN;
	/** What the kernel was told of defaults and thresholds last; undefined before the first time. */
	#defaults: readonly number[] | undefined;
	#threshold4: readonly number[] = [];
	#threshold6: readonly number[] = [];
	/** Flags of the table, as far as this kernel knows them. */
	#flags: number = TABLE_OWNED;

	constructor(
		engine: Engine,
		socket: Pick<NftSocket, 'commit'>,
		drops: boolean,
		laneOf: (mark: number) => number,
		counters?: GuardCounters,
	) {
		this.#engine = engine;
		this.#socket = socket;
		this.#drops = drops;
		this.#laneOf = laneOf;
		this.#counters = counters;
	}

	stateChanged(): void {}
	stateGone(): void {}

	policyChanged(policy: XfrmPolicy, replaced: XfrmPolicy | null): void {
		this.#note(policy);
		if (replaced !== null) {
			this.#note(replaced);
		}
	}

	policyGone(policy: XfrmPolicy): void {
		this.#note(policy);
	}

	/** Does anything demand protection? Without, no guard is needed. */
	get demandsProtection(): boolean {
		for (const { policy, verdict } of this.#entries.values()) {
			if (verdict !== LET_GO && !policy.dead) {
				return true;
			}
		}
		return this.#engine.net.defaults.includes(DefaultAction.Block);
	}

	/** Does the filter keep the kernel's order everywhere? */
	get isExact(): boolean {
		return [...this.#parts.values()].every(({ layers }) => layers.isExact);
	}

	/** The device of the next lane is there. 0 or errno, as of `update`. */
	addLane(mark: number): number {
		const lane = this.#laneMarks.push(mark) - 1;
		this.#batch.restart();
		this.#writeLane(lane, mark);
		return this.#defaults === undefined || this.#batch.isEmpty ? 0 : this.#commit();
	}

	/** A device of an if_id is there. 0 or errno, as of `update`. */
	addInterface(name: string): number {
		this.#batch.restart();
		if (!this.#interfaces.has(name)) {
			this.#interfaces.add(name);
			this.#writeInterface(name);
		}
		return this.#defaults === undefined || this.#batch.isEmpty ? 0 : this.#commit();
	}

	/** No device of an if_id has this name any more. 0 or errno, as of `update`. */
	removeInterface(name: string): number {
		return this.#interfaces.delete(name) && this.#defaults !== undefined ? this.writeAnew() : 0;
	}

	/**
	 * Makes the kernel's table say what the engine's do.
	 *
	 * @returns 0, or the errno of a kernel that refuses even to write it anew
	 */
	update(nowUs: number): number {
		const { generation, spd } = this.#engine.net;
		if (generation === this.#generation && nowUs < this.dueUs) {
			return 0;
		}
		this.#generation = generation;
		if (
			this.#defaults === undefined ||
			!areEqual(this.#threshold4, spd.threshold4) ||
			!areEqual(this.#threshold6, spd.threshold6)
		) {
			return this.writeAnew();
		}
		const hasDefaults = areEqual(this.#defaults, this.#engine.net.defaults);
		if (this.#changed.size === 0 && hasDefaults && nowUs < this.dueUs) {
			return 0;
		}
		this.#batch.restart();
		if (!this.#writeChanges(nowUs)) {
			return this.writeAnew();
		}
		if (!hasDefaults) {
			this.#defaults = [...this.#engine.net.defaults];
			this.#writeDefaults(true);
		}
		return this.#batch.isEmpty ? 0 : this.#commit();
	}

	/** When `update` has something to do even if nothing changes. */
	get dueUs(): number {
		if (this.#leaving.size === 0) {
			return Number.POSITIVE_INFINITY;
		}
		for (const { dueUs } of this.#leaving.values()) {
			return dueUs;
		}
		return Number.POSITIVE_INFINITY;
	}

	/** Puts a table in the place of the one that is there, if one is, without a moment between. */
	writeAnew(): number {
		const { defaults, spd } = this.#engine.net;
		this.#changed.clear();
		this.#leaving.clear();
		this.#entries.clear();
		this.#parts.clear();
		this.#defaults = [...defaults];
		this.#threshold4 = [...spd.threshold4];
		this.#threshold6 = [...spd.threshold6];
		for (const policy of spd.policies()) {
			this.#makeEntry(policy);
		}
		this.#putAllInLayers();
		// Packets that are dropped between this and the new table are the only ones that are not counted.
		this.#counters?.read();
		let errno = this.#commitAll();
		if (errno === Errno.EOPNOTSUPP && this.#flags !== 0) {
			this.#flags = 0;
			errno = this.#commitAll();
		}
		if (errno === Errno.ENOENT && this.#batch.hasCounters) {
			this.#batch.hasCounters = false;
			errno = this.#commitAll();
		}
		return errno;
	}

	#note(policy: XfrmPolicy): void {
		if (policy.socketId === 0) {
			this.#changed.add(policy);
		}
	}

	/** Carries the batch out; somebody who has changed the table is overruled. */
	#commit(): number {
		const errno = this.#socket.commit(this.#batch);
		return errno === 0 ? 0 : this.writeAnew();
	}

	#commitAll(): number {
		const batch = this.#batch;
		batch.restart();
		batch.addTable();
		batch.deleteTable();
		batch.addTable(this.#flags);
		this.#writeCounters();
		writeFrame(batch, this.#drops);
		for (const [lane, mark] of this.#laneMarks.entries()) {
			this.#writeLane(lane, mark);
		}
		for (const name of this.#interfaces) {
			this.#writeInterface(name);
		}
		for (const direction of DIRECTIONS) {
			for (const type of TYPES) {
				this.#part(direction, type).table = new GuardTable(direction, type);
			}
		}
		for (const entry of this.#entries.values()) {
			this.#partOf(entry).table.add(batch, entry);
		}
		for (const { table } of this.#parts.values()) {
			table.write(batch);
		}
		this.#writeDefaults(false);
		return this.#socket.commit(batch);
	}

	#writeCounters(): void {
		if (this.#drops && this.#batch.hasCounters) {
			writeCounters(this.#batch, this.#counters?.known);
		}
	}

	#writeLane(lane: number, mark: number): void {
		if (mark !== 0) {
			writeLaneMark(this.#batch, lane, mark);
		}
		writeReverse(this.#batch, lane, mark);
		if (this.#drops) {
			writeLane(this.#batch, lane);
		}
	}

	#writeInterface(name: string): void {
		if (this.#drops) {
			writeInterface(this.#batch, name);
		}
	}

	/** Writes what policies have changed; false when all has to be written anew. */
	#writeChanges(nowUs: number): boolean {
		for (const [id, { policy, dueUs }] of this.#leaving) {
			if (dueUs > nowUs) {
				break;
			}
			this.#leaving.delete(id);
			this.#remove(policy);
		}
		for (const policy of this.#changed) {
			const entry = this.#entries.get(policy);
			if (policy.dead && entry !== undefined && entry.verdict !== LET_GO) {
				this.#leaving.set(identity(policy), { policy, dueUs: nowUs + LET_GO_US });
			} else {
				this.#remove(policy);
			}
		}
		for (const policy of this.#changed) {
			const entry = policy.dead ? undefined : this.#makeEntry(policy);
			if (entry !== undefined && !this.#insert(entry)) {
				return false;
			}
		}
		this.#changed.clear();
		return this.#writeKeys();
	}

	/** False when there are too many sets for it. */
	#writeKeys(): boolean {
		let isLoose = false;
		for (const { table } of this.#parts.values()) {
			table.write(this.#batch);
			isLoose ||= table.isLoose;
		}
		return !isLoose;
	}

	#remove(policy: XfrmPolicy): void {
		const entry = this.#entries.get(policy);
		if (entry !== undefined) {
			const { layers, table } = this.#partOf(entry);
			layers.remove(entry);
			table.remove(this.#batch, entry, entry.layer);
			this.#entries.delete(policy);
		}
	}

	#insert(entry: GuardEntry): boolean {
		if (this.#leaving.size > 0) {
			const id = identity(entry.policy);
			const before = this.#leaving.get(id);
			if (before !== undefined) {
				this.#leaving.delete(id);
				this.#remove(before.policy);
			}
		}
		const { layers, table } = this.#partOf(entry);
		const moves = layers.insert(entry);
		if (moves === undefined) {
			return false;
		}
		table.add(this.#batch, entry);
		for (const move of moves) {
			table.remove(this.#batch, move.entry, move.from);
			table.add(this.#batch, move.entry);
		}
		return true;
	}

	/** First who is met first, so that hardly any entry has to make room for another. */
	#putAllInLayers(): void {
		const entries = [...this.#entries.values()].sort(
			({ policy: a }, { policy: b }) => a.priority - b.priority || a.age - b.age,
		);
		const waiting = new Map<Part, GuardEntry[]>();
		for (const entry of entries) {
			const part = this.#partOf(entry);
			const members = waiting.get(part);
			if (members === undefined) {
				waiting.set(part, [entry]);
			} else {
				members.push(entry);
			}
		}
		for (const [{ layers }, members] of waiting) {
			// Again for each priority whose order goes round in a circle.
			for (let at = 0; at < members.length; ) {
				const entry = members[at] as GuardEntry;
				if (layers.insert(entry) === undefined) {
					layers.restart(entry.policy.priority);
					at = 0;
				} else {
					at++;
				}
			}
		}
	}

	#makeEntry(policy: XfrmPolicy): GuardEntry | undefined {
		const { direction, socketId, ifId } = policy;
		const mine = socketId === 0 && ifId === 0 && (this.#drops || direction === Direction.Out);
		if (!mine || !isPossible(policy)) {
			return undefined;
		}
		const entry = { policy, verdict: this.#verdictOf(policy), layer: 0, place: 0 };
		this.#entries.set(policy, entry);
		return entry;
	}

	#verdictOf(policy: XfrmPolicy): number {
		if (!protects(policy)) {
			return LET_GO;
		}
		return policy.direction === Direction.Out
			? CAPTURE_MARK | this.#laneOf(laneMark(policy))
			: FORBID;
	}

	#partOf({ policy }: GuardEntry): Part {
		return this.#part(policy.direction, policy.type);
	}

	#part(direction: number, type: number): Part {
		const place = direction * TYPES.length + type;
		let part = this.#parts.get(place);
		if (part === undefined) {
			part = { layers: new GuardLayers(), table: new GuardTable(direction, type) };
			this.#parts.set(place, part);
		}
		return part;
	}

	/** @param anew there are some already */
	#writeDefaults(anew: boolean): void {
		for (const direction of this.#drops ? DIRECTIONS : [Direction.Out]) {
			const chain = defaultChain(direction);
			if (anew) {
				this.#batch.flushChain(chain);
			}
			if (this.#engine.net.defaults[direction] === DefaultAction.Block) {
				const wanted = direction === Direction.Out ? CAPTURE_MARK | this.#laneOf(0) : FORBID;
				this.#batch.addRule(chain, (rule) => decide(rule, wanted, direction, PolicyType.Main));
			}
		}
	}
}

function areEqual(a: readonly number[], b: readonly number[]): boolean {
	for (let i = 0; i < b.length; i++) {
		if (a[i] !== b[i]) {
			return false;
		}
	}
	return a.length === b.length;
}

/** Room for what a policy is for. */
const identityWords: Int32Array = new Int32Array(4 + SELECTOR_WORDS);
const identityOctets: Buffer = Buffer.from(identityWords.buffer);

/** What a policy is for, as characters: at most one that is there has it (P-5, P-6). */
function identity({ direction, type, markValue, markMask, words }: XfrmPolicy): string {
	identityWords[0] = direction;
	identityWords[1] = type;
	identityWords[2] = markValue;
	identityWords[3] = markMask;
	for (let i = 0; i < SELECTOR_WORDS; i++) {
		identityWords[4 + i] = words[i] ?? 0;
	}
	return identityOctets.toString('latin1');
}
