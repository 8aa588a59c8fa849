/**
 * The set of states (SAD) with its four indexes and one global list (net/xfrm/xfrm_state.c: state_bydst,
 * state_bysrc, state_byspi, state_byseq, state_all). Every index is newest first: what was inserted last
 * is met first, which decides between equal candidates; but growing tables of Linux turn their chains round, and so
 * do ours (state-buckets.ts).
 *
 * Readers walk the entries of a hash and compare every field, as different keys may share a hash:
 *
 *     for (let entry = index.first(hash); entry !== NONE; entry = index.next(entry)) … index.owner(entry)
 *
 * @hotpath
 * @spec S-1 S-20
 */
import { Family } from '@xfrm/wire/xfrm';
import { HashChains, NONE } from './hash-chains.ts';
import { StateCondition, type XfrmState } from './state.ts';
import { StateBuckets } from './state-buckets.ts';

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

/** Hash of `Sad.byPair`. */
export function pairHash(family: number, daddr: Int32Array, saddr: Int32Array): number {
	return hashAddress(hashAddress(family, daddr, family), saddr, family);
}

/** Hash of `Sad.byDestination`. */
export function destinationHash(
	family: number,
	daddr: Int32Array,
	saddr: Int32Array,
	reqid: number,
): number {
	return mix(pairHash(family, daddr, saddr), reqid);
}

/** Hash of `Sad.bySeqNumber`. */
export function seqHash(seq: number): number {
	return mix(0, seq);
}

export class Sad {
	/** By daddr, saddr, reqid, family. */
	readonly byDestination: HashChains<XfrmState> = new HashChains();
	/** By daddr, saddr, family. */
	readonly byPair: HashChains<XfrmState> = new HashChains();
	/** By sequence number of the acquire; states with one only. */
	readonly bySeqNumber: HashChains<XfrmState> = new HashChains();
	/** By daddr, SPI, protocol, family; states with an SPI only. */
	private readonly bySpiHash: HashChains<XfrmState> = new HashChains();
	/** The same by SPI and protocol alone (ALLOCSPI asks). */
	private readonly spiUsers: HashChains<XfrmState> = new HashChains();
	private readonly buckets: StateBuckets = new StateBuckets();
	private orderLast: number = 0;
	/** Ends of the global list. */
	newest: XfrmState | null = null;
	oldest: XfrmState | null = null;
	count: number = 0;

	/** Buckets that the kernel's table would have. */
	get bucketCount(): number {
		return this.buckets.count;
	}

	/** Puts a state at the head of every index that its identity allows. */
	insert(state: XfrmState): void {
		state.newer = null;
		state.older = this.newest;
		if (this.newest === null) {
			this.oldest = state;
		} else {
			this.newest.newer = state;
		}
		this.newest = state;
		this.count++;
		this.index(state);
		if (this.buckets.insert(state, this.count)) {
			this.turnRound();
		}
	}

	private index(state: XfrmState): void {
		state.order = ++this.orderLast;
		const pair = pairHash(state.family, state.daddr, state.saddr);
		this.byDestination.insert(mix(pair, state.reqid), state);
		this.byPair.insert(pair, state);
		if (state.spi !== 0) {
			this.addSpi(state);
		}
		if (state.seq !== 0) {
			this.bySeqNumber.insert(seqHash(state.seq), state);
		}
	}

	/** Puts all states into the indexes anew, in the order in which a table that grows does. */
	private turnRound(): void {
		for (const index of [
			this.byDestination,
			this.byPair,
			this.bySeqNumber,
			this.bySpiHash,
			this.spiUsers,
		]) {
			index.clear();
		}
		for (const state of this.buckets.grow(this.states())) {
			this.index(state);
		}
	}

	/**
	 * Takes a state out of all indexes; it is DEAD from now on. Its `older` stays, so that a walk that
	 * stands on it can go on.
	 *
	 * @spec S-12
	 */
	remove(state: XfrmState): void {
		this.buckets.remove(state);
		const pair = pairHash(state.family, state.daddr, state.saddr);
		this.byDestination.remove(mix(pair, state.reqid), state);
		this.byPair.remove(pair, state);
		if (state.spi !== 0) {
			this.bySpiHash.remove(spiHash(state.daddr, state.spi, state.proto, state.family), state);
			this.spiUsers.remove(mix(state.spi, state.proto), state);
		}
		if (state.seq !== 0) {
			this.bySeqNumber.remove(seqHash(state.seq), state);
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
		const { bySpiHash: index } = this;
		for (
			let entry = index.first(spiHash(daddr, spi, proto, family));
			entry !== NONE;
			entry = index.next(entry)
		) {
			const state = index.owner(entry);
			if (
				state !== null &&
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
		const { bySpiHash: index } = this;
		for (
			let entry = index.first(spiHash(daddr, spi, proto, family));
			entry !== NONE;
			entry = index.next(entry)
		) {
			const state = index.owner(entry);
			if (
				state !== null &&
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
		const { byPair: index } = this;
		for (
			let entry = index.first(pairHash(family, daddr, saddr));
			entry !== NONE;
			entry = index.next(entry)
		) {
			const state = index.owner(entry);
			if (
				state !== null &&
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

	/** Does any state of this protocol have this SPI, whatever its destination? */
	spiInUse(spi: number, proto: number): boolean {
		const { spiUsers: index } = this;
		for (let entry = index.first(mix(spi | 0, proto)); entry !== NONE; entry = index.next(entry)) {
			const state = index.owner(entry);
			if (state !== null && state.spi === (spi | 0) && state.proto === proto) {
				return true;
			}
		}
		return false;
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
		this.bySpiHash.insert(spiHash(state.daddr, state.spi, state.proto, state.family), state);
		this.spiUsers.insert(mix(state.spi, state.proto), state);
	}
}
