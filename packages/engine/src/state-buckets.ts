/**
 * When Linux's table of states grows, and in which order its states then are (net/xfrm/xfrm_hash.h,
 * net/xfrm/xfrm_state.c: xfrm_hash_grow_check, xfrm_hash_resize). Only this much of its buckets can be seen from
 * outside: the number of them (GETSADINFO), and that a table which grows turns each of its chains round. Of states
 * that were added within the same second the newest is met first, and taken, as long as there are fewer than eight;
 * then, once two share a bucket, the oldest of those that were there.
 *
 *     bucket 1 | newest … older |       doubled, from the last bucket on, each from its head:  | older … newest |
 *
 * The kernel doubles a moment later, in a work queue; here it is at once. Addresses are added and hashed as words of
 * a little-endian machine; the hash of IPv6 addresses is Bob Jenkins' lookup3 (public domain).
 *
 * @spec S-20
 */
import { Family } from '@xfrm/wire/xfrm';
import type { XfrmState } from './state.ts';

const BUCKETS_FIRST = 8;
/** xfrm_state_hashmax. */
export const BUCKETS_MAX: number = 1 << 20;
/** lookup3's start value for four words. */
const LOOKUP3_START = (0xdead_beef + (4 << 2)) | 0;

export class StateBuckets {
	/** How many states each bucket has. */
	private sizes: Int32Array = new Int32Array(BUCKETS_FIRST);

	get count(): number {
		return this.sizes.length;
	}

	/** Counts a state of now so many; does the table grow now that it is there? */
	insert(state: XfrmState, stateCount: number): boolean {
		const { sizes } = this;
		const bucket = this.bucketOf(state);
		const isShared = (sizes[bucket] ?? 0) > 0;
		sizes[bucket] = (sizes[bucket] ?? 0) + 1;
		return isShared && sizes.length < BUCKETS_MAX && stateCount >= sizes.length;
	}

	remove(state: XfrmState): void {
		const bucket = this.bucketOf(state);
		this.sizes[bucket] = (this.sizes[bucket] ?? 0) - 1;
	}

	/** Doubles; answers the states in the order in which they are put into the new table, each at a head. */
	grow(states: Iterable<XfrmState>): readonly XfrmState[] {
		const placed = Array.from(states, (state) => ({ state, bucket: this.bucketOf(state) }));
		placed.sort((a, b) => b.bucket - a.bucket || b.state.order - a.state.order);
		this.sizes = new Int32Array(2 * this.sizes.length);
		return placed.map(({ state }) => {
			const bucket = this.bucketOf(state);
			this.sizes[bucket] = (this.sizes[bucket] ?? 0) + 1;
			return state;
		});
	}

	private bucketOf({ family, daddr, saddr, reqid }: XfrmState): number {
		let hash = family ^ reqid;
		if (family === Family.Ipv4) {
			hash ^= swapped((swapped(daddr[0] ?? 0) + swapped(saddr[0] ?? 0)) | 0);
		} else if (family === Family.Ipv6) {
			hash ^= lookup3(daddr) ^ lookup3(saddr);
		}
		return (hash ^ (hash >>> 16)) & (this.sizes.length - 1);
	}
}

/** A word with its octets in the other order. */
function swapped(word: number): number {
	return (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
}

function rotated(word: number, bits: number): number {
	return (word << bits) | (word >>> (32 - bits));
}

/** lookup3's hashword of an IPv6 address, with initial value 0. */
function lookup3(address: Int32Array): number {
	let a = (LOOKUP3_START + swapped(address[0] ?? 0)) | 0;
	let b = (LOOKUP3_START + swapped(address[1] ?? 0)) | 0;
	let c = (LOOKUP3_START + swapped(address[2] ?? 0)) | 0;
	for (let round = 0; round < 2; round++) {
		a = (a - c) ^ rotated(c, round === 0 ? 4 : 16);
		c = (c + b) | 0;
		b = (b - a) ^ rotated(a, round === 0 ? 6 : 19);
		a = (a + c) | 0;
		c = (c - b) ^ rotated(b, round === 0 ? 8 : 4);
		b = (b + a) | 0;
	}
	a = (a + swapped(address[3] ?? 0)) | 0;
	c = ((c ^ b) - rotated(b, 14)) | 0;
	a = ((a ^ c) - rotated(c, 11)) | 0;
	b = ((b ^ a) - rotated(a, 25)) | 0;
	c = ((c ^ b) - rotated(b, 16)) | 0;
	a = ((a ^ c) - rotated(c, 4)) | 0;
	b = ((b ^ a) - rotated(a, 14)) | 0;
	return ((c ^ b) - rotated(b, 24)) | 0;
}
