/**
 * Deadlines as data: a binary heap of timers, earliest first, equal deadlines in the order in which they
 * were set. Nothing is called back: whoever handles a timeout takes due timers out by `takeDue` and looks
 * at `kind`. The kernel's counterpart are one hrtimer or timer_list an object.
 */

/** What a timer is for; `owner` is the object. */
export const TimerKind = {
	/** Lifetime of a state (L-4, L-8): owner is an XfrmState. */
	StateLifetime: 0,
	/** Replay notification: owner is an XfrmState. */
	StateReplay: 1,
	/** Lifetime of a policy (P-16): owner is an XfrmPolicy. */
	PolicyLifetime: 2,
	/** Retry of a policy's hold queue (O-8): owner is the queue. */
	HoldQueue: 3,
	/** NAT keepalives (NT-9): owner is the namespace's NatKeepalives. */
	NatKeepalive: 4,
	/** Drop time or delay of IPTFS (M-32, M-33): owner is an IptfsReceiver or an IptfsQueue. */
	Iptfs: 5,
} as const;
export type TimerKind = (typeof TimerKind)[keyof typeof TimerKind];

/** One timer of one object. It belongs to at most one table, and a new deadline replaces the old. */
export class Timer {
	readonly kind: TimerKind;
	readonly owner: object;
	/** Microseconds since the Unix epoch; Infinity when it is not set. */
	deadlineUs: number = Number.POSITIVE_INFINITY;
	/** Place in the heap, -1 when it is not set. */
	place: number = -1;
	/** Order of setting, for equal deadlines. */
	order: number = 0;

	constructor(kind: TimerKind, owner: object) {
		this.kind = kind;
		this.owner = owner;
	}

	get isSet(): boolean {
		return this.place >= 0;
	}
}

/** @spec L-4 */
export class TimerTable {
	private readonly heap: Timer[] = [];
	private orderLast: number = 0;

	get count(): number {
		return this.heap.length;
	}

	/** Earliest deadline, Infinity when no timer is set. */
	next(): number {
		return this.heap[0]?.deadlineUs ?? Number.POSITIVE_INFINITY;
	}

	/** Sets or moves a timer; true when it was set before (as mod_timer answers). */
	set(timer: Timer, deadlineUs: number): boolean {
		const wasSet = timer.isSet;
		timer.deadlineUs = deadlineUs;
		timer.order = ++this.orderLast;
		if (!wasSet) {
			timer.place = this.heap.length;
			this.heap.push(timer);
		}
		this.siftUp(timer.place);
		this.siftDown(timer.place);
		return wasSet;
	}

	/** Unsets a timer; true when it was set. */
	stop(timer: Timer): boolean {
		const place = timer.place;
		if (place < 0) {
			return false;
		}
		const last = this.heap.pop();
		if (last !== undefined && last !== timer) {
			this.put(last, place);
			this.siftUp(place);
			this.siftDown(last.place);
		}
		timer.place = -1;
		timer.deadlineUs = Number.POSITIVE_INFINITY;
		return true;
	}

	/** Takes out the earliest timer whose deadline is not after `nowUs`. */
	takeDue(nowUs: number): Timer | undefined {
		const first = this.heap[0];
		if (first === undefined || first.deadlineUs > nowUs) {
			return undefined;
		}
		this.stop(first);
		return first;
	}

	private put(timer: Timer, place: number): void {
		this.heap[place] = timer;
		timer.place = place;
	}

	private siftUp(from: number): void {
		let place = from;
		const timer = this.heap[place];
		while (timer !== undefined && place > 0) {
			const parentPlace = (place - 1) >> 1;
			const parent = this.heap[parentPlace];
			if (parent === undefined || !isBefore(timer, parent)) {
				break;
			}
			this.put(parent, place);
			this.put(timer, parentPlace);
			place = parentPlace;
		}
	}

	private siftDown(from: number): void {
		let place = from;
		const timer = this.heap[place];
		while (timer !== undefined) {
			let childPlace = 2 * place + 1;
			let child = this.heap[childPlace];
			const right = this.heap[childPlace + 1];
			if (child !== undefined && right !== undefined && isBefore(right, child)) {
				child = right;
				childPlace++;
			}
			if (child === undefined || !isBefore(child, timer)) {
				break;
			}
			this.put(child, place);
			this.put(timer, childPlace);
			place = childPlace;
		}
	}
}

function isBefore(a: Timer, b: Timer): boolean {
	return a.deadlineUs < b.deadlineUs || (a.deadlineUs === b.deadlineUs && a.order < b.order);
}
