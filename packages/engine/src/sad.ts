/**
 * The set of states (SAD) with its four indexes and one global list (net/xfrm/xfrm_state.c: state_bydst,
 * state_bysrc, state_byspi, state_byseq, state_all). Every index is newest first: what was inserted last
 * is met first, which decides between equal candidates.
 *
 * An index is a Map from an int32 hash to a bucket; a bucket holds states in the order of insertion, so
 * readers walk it from its end, and compare every field, as different keys may share a hash.
 *
 * @hotpath
 * @spec S-1 S-20
 */
import { Family } from '@xfrm/wire/xfrm';
import { invariant } from './invariant.ts';
import { StateCondition, type XfrmState } from './state.ts';

/** States that share a hash, oldest first. */
export type StateBucket = readonly XfrmState[];

const emptyBucket: StateBucket = [];

/** Spreads a word over all 32 bits (the finalizer of MurmurHash3). */
function mix(hash: number, word: number): number {
	let mixed = Math.imul(hash ^ word, 0x85ebca6b);
	mixed ^= mixed >>> 13;
	mixed = Math.imul(mixed, 0xc2b2ae35);
	return mixed ^ (mixed >>> 16);
}

function hashAddress(hash: number, address: Int32Array, family: number): number {
	let mixed = mix(hash, address[0] ?? 0);
	if (family !== Family.Ipv4) {
		mixed = mix(mixed, address[1] ?? 0);
		mixed = mix(mixed, address[2] ?? 0);
		mixed = mix(mixed, address[3] ?? 0);
	}
	return mixed;
}

/** Equal under this family: IPv4 compares one word. */
export function wordsEqual(a: Int32Array, b: Int32Array, family: number): boolean {
	return (
		a[0] === b[0] && (family !== Family.Ipv6 || (a[1] === b[1] && a[2] === b[2] && a[3] === b[3]))
	);
}

/** Is it the any-address of its family? */
export function wordsAny(a: Int32Array, family: number): boolean {
	return a[0] === 0 && (family === Family.Ipv4 || ((a[1] ?? 0) | (a[2] ?? 0) | (a[3] ?? 0)) === 0);
}

function spiHash(daddr: Int32Array, spi: number, proto: number, family: number): number {
	return hashAddress(mix(spi, proto), daddr, family);
}

function pairHash(daddr: Int32Array, saddr: Int32Array, family: number): number {
	return hashAddress(hashAddress(family, daddr, family), saddr, family);
}

/** A key of SPI and protocol that is exact; above 2^31, so for the control plane only. */
function spiProtoKey(spi: number, proto: number): number {
	return proto * 0x1_0000_0000 + (spi >>> 0);
}

function add(index: Map<number, XfrmState[]>, hash: number, state: XfrmState): void {
	const bucket = index.get(hash);
	if (bucket === undefined) {
		index.set(hash, [state]);
	} else {
		bucket.push(state);
	}
}

function drop(index: Map<number, XfrmState[]>, hash: number, state: XfrmState): void {
	const bucket = index.get(hash);
	const at = bucket?.lastIndexOf(state) ?? -1;
	invariant(bucket !== undefined && at >= 0, 'a state keeps its identity while it is inserted');
	bucket.splice(at, 1);
	if (bucket.length === 0) {
		index.delete(hash);
	}
}

export class Sad {
	/** By daddr, saddr, reqid, family. */
	private readonly byDestination: Map<number, XfrmState[]> = new Map();
	/** By daddr, saddr, family. */
	private readonly byPair: Map<number, XfrmState[]> = new Map();
	/** By daddr, SPI, protocol, family; states with an SPI only. */
	private readonly bySpiHash: Map<number, XfrmState[]> = new Map();
	/** By sequence number of the acquire; states with one only. */
	private readonly bySeqNumber: Map<number, XfrmState[]> = new Map();
	/** How many states use an SPI with a protocol (ALLOCSPI asks). */
	private readonly spiUsers: Map<number, number> = new Map();
	private orderLast: number = 0;
	/** Ends of the global list. */
	newest: XfrmState | null = null;
	oldest: XfrmState | null = null;
	count: number = 0;
	/** Most states there ever were: the kernel's table grows with them and never shrinks. */
	countMost: number = 0;

	/** Puts a state at the head of every index that its identity allows. */
	insert(state: XfrmState): void {
		state.order = ++this.orderLast;
		state.newer = null;
		state.older = this.newest;
		if (this.newest === null) {
			this.oldest = state;
		} else {
			this.newest.newer = state;
		}
		this.newest = state;
		this.count++;
		this.countMost = Math.max(this.countMost, this.count);
		const pair = pairHash(state.daddr, state.saddr, state.family);
		add(this.byDestination, mix(pair, state.reqid), state);
		add(this.byPair, pair, state);
		if (state.spi !== 0) {
			this.addSpi(state);
		}
		if (state.seq !== 0) {
			add(this.bySeqNumber, state.seq, state);
		}
	}

	/**
	 * Takes a state out of all indexes; it is DEAD from now on. Its `older` stays, so that a walk that
	 * stands on it can go on.
	 *
	 * @spec S-12
	 */
	remove(state: XfrmState): void {
		const pair = pairHash(state.daddr, state.saddr, state.family);
		drop(this.byDestination, mix(pair, state.reqid), state);
		drop(this.byPair, pair, state);
		if (state.spi !== 0) {
			drop(this.bySpiHash, spiHash(state.daddr, state.spi, state.proto, state.family), state);
			const key = spiProtoKey(state.spi, state.proto);
			const users = (this.spiUsers.get(key) ?? 0) - 1;
			if (users > 0) {
				this.spiUsers.set(key, users);
			} else {
				this.spiUsers.delete(key);
			}
		}
		if (state.seq !== 0) {
			drop(this.bySeqNumber, state.seq, state);
		}
		if (state.newer === null) {
			this.newest = state.older;
		} else {
			state.newer.older = state.older;
		}
		if (state.older === null) {
			this.oldest = state.newer;
		} else {
			state.older.newer = state.newer;
		}
		state.newer = null;
		state.condition = StateCondition.Dead;
		this.count--;
	}

	/** Gives an inserted state without SPI its SPI (ALLOCSPI): now the newest of its SPI bucket. */
	assignSpi(state: XfrmState, spi: number): void {
		state.spi = spi | 0;
		this.addSpi(state);
	}

	/**
	 * The state for an incoming packet: equal family, SPI, protocol, destination, mark fits; the newest of
	 * several. if_id plays no role.
	 *
	 * @spec S-3 S-4
	 */
	bySpi(
		family: number,
		daddr: Int32Array,
		spi: number,
		proto: number,
		mark: number,
	): XfrmState | null {
		const bucket = this.bySpiHash.get(spiHash(daddr, spi, proto, family));
		if (bucket === undefined) {
			return null;
		}
		for (let i = bucket.length - 1; i >= 0; i--) {
			const state = bucket[i];
			if (
				state !== undefined &&
				state.spi === spi &&
				state.proto === proto &&
				state.family === family &&
				wordsEqual(state.daddr, daddr, family) &&
				state.markFits(mark)
			) {
				return state;
			}
		}
		return null;
	}

	/** Does any state but this one answer `bySpi` for the place that it is to move to? */
	isTaken(family: number, daddr: Int32Array, mover: XfrmState, mark: number): boolean {
		const { spi, proto } = mover;
		const bucket = this.bySpiHash.get(spiHash(daddr, spi, proto, family)) ?? emptyBucket;
		for (const state of bucket) {
			if (
				state !== mover &&
				state.spi === spi &&
				state.proto === proto &&
				state.family === family &&
				wordsEqual(state.daddr, daddr, family) &&
				state.markFits(mark)
			) {
				return true;
			}
		}
		return false;
	}

	/**
	 * The state of a protocol without SPI: equal addresses, protocol, family, mark fits; the newest.
	 *
	 * @spec S-5
	 */
	byAddress(
		family: number,
		daddr: Int32Array,
		saddr: Int32Array,
		proto: number,
		mark: number,
	): XfrmState | null {
		const bucket = this.byPair.get(pairHash(daddr, saddr, family));
		if (bucket === undefined) {
			return null;
		}
		for (let i = bucket.length - 1; i >= 0; i--) {
			const state = bucket[i];
			if (
				state !== undefined &&
				state.proto === proto &&
				state.family === family &&
				wordsEqual(state.daddr, daddr, family) &&
				wordsEqual(state.saddr, saddr, family) &&
				state.markFits(mark)
			) {
				return state;
			}
		}
		return null;
	}

	/** States that may have these addresses and this reqid, oldest first; compare every field. */
	destinationBucket(
		family: number,
		daddr: Int32Array,
		saddr: Int32Array,
		reqid: number,
	): StateBucket {
		return this.byDestination.get(mix(pairHash(daddr, saddr, family), reqid)) ?? emptyBucket;
	}

	/** States that may have these addresses, oldest first; compare every field. */
	pairBucket(family: number, daddr: Int32Array, saddr: Int32Array): StateBucket {
		return this.byPair.get(pairHash(daddr, saddr, family)) ?? emptyBucket;
	}

	/** States with this acquire sequence number, oldest first. */
	seqBucket(seq: number): StateBucket {
		return this.bySeqNumber.get(seq) ?? emptyBucket;
	}

	/** Does any state of this protocol have this SPI, whatever its destination? */
	spiInUse(spi: number, proto: number): boolean {
		return this.spiUsers.has(spiProtoKey(spi, proto));
	}

	/** The next older state of the global list that is still there; `state` itself may be gone. */
	olderThan(state: XfrmState): XfrmState | null {
		let older = state.older;
		while (older !== null && older.condition === StateCondition.Dead) {
			older = older.older;
		}
		return older;
	}

	/**
	 * Newest first. States may come and go between two steps: those that go are left out, those that come
	 * are not met.
	 */
	*states(): Generator<XfrmState, void, undefined> {
		for (let state = this.newest; state !== null; state = this.olderThan(state)) {
			yield state;
		}
	}

	private addSpi(state: XfrmState): void {
		add(this.bySpiHash, spiHash(state.daddr, state.spi, state.proto, state.family), state);
		const key = spiProtoKey(state.spi, state.proto);
		this.spiUsers.set(key, (this.spiUsers.get(key) ?? 0) + 1);
	}
}
