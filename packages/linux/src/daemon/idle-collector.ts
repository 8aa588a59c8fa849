/**
 * Collects the worker's garbage when it has nothing else to do. V8 does so in the event loop, to which the worker
 * never returns: without, a burst of changes would leave its memory as large as it was at its largest.
 */
import { getHeapStatistics } from 'node:v8';

/** So much may have come since the last time, garbage or not. */
const GROWTH_OCTETS_MAX = 0x80_0000;
/** Of a larger heap a collection takes longer than packets like to wait: V8 decides when. */
const HEAP_OCTETS_MAX = 0x1000_0000;
/** Packets and changes between two looks of who has nothing to do. */
const IDLE_WORK_MAX = 32;

/** What it is made of; by default V8's own, where `--expose-gc` has made it known. */
export interface Heap {
	collect(): void;
	octets(): number;
}

function ownHeap(): Heap | undefined {
	const { gc } = globalThis;
	return gc === undefined
		? undefined
		: { collect: () => gc(), octets: () => getHeapStatistics().used_heap_size };
}

export class IdleCollector {
	readonly #heap: Heap | undefined;
	#octetsBefore: number = 0;
	#workBefore: number = 0;

	constructor(heap: Heap | undefined = ownHeap()) {
		this.#heap = heap;
	}

	/**
	 * To be called now and then.
	 *
	 * @param work what has been done up to now, in packets and changes
	 */
	look(work: number): void {
		const heap = this.#heap;
		const isIdle = work - this.#workBefore <= IDLE_WORK_MAX;
		this.#workBefore = work;
		if (heap === undefined || !isIdle) {
			return;
		}
		const octets = heap.octets();
		if (octets - this.#octetsBefore > GROWTH_OCTETS_MAX && octets < HEAP_OCTETS_MAX) {
			heap.collect();
			this.#octetsBefore = heap.octets();
		}
	}
}
