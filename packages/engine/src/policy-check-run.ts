/**
 * What the policy check keeps between packets: places that are refilled, the last report, and flows that
 * passed lately.
 *
 * A flow is kept with the state that it came by, none or one. The cache is direct mapped, and an entry is
 * good as long as no state, policy or default has changed (the namespace's generation). Refusals are not
 * kept, as they count and report; nor is what an ICMP error was let through for, which is in the packet it
 * quotes.
 *
 * @hotpath
 */
import { Flow, type PacketBuffer } from '@xfrm/wire';
import { MAX_DEPTH, type Template } from '@xfrm/wire/xfrm';
import { flowPlace, flowsEqual } from './flow-cache.ts';
import { FLOW_CACHE_ENTRIES } from './limits.ts';
import type { XfrmPolicy } from './policy.ts';
import type { XfrmState } from './state.ts';

class CheckedFlow {
	readonly flow: Flow = new Flow();
	direction: number = 0;
	ifId: number = 0;
	generation: number = 0;
	state: XfrmState | null = null;
	/** Policies that were met, for their use time. */
	policy: XfrmPolicy | null = null;
	main: XfrmPolicy | null = null;
	verified: number = 0;
}

export class PolicyCheckRun {
	/** Whole Unix seconds of the call. */
	seconds: number = 0;
	/** The policy that decides, and the MAIN policy beside it when it is a SUB policy (P-22). */
	policy: XfrmPolicy | null = null;
	main: XfrmPolicy | null = null;
	/** `verifiedCount` of a packet that passes (I-17). */
	verified: number = 0;
	/** Did the check look at the packet that an ICMP error quotes? */
	usedQuote: boolean = false;

	/** Flow of a packet that an ICMP error quotes, reversed. */
	readonly embedded: Flow = new Flow();
	/** Flow of a check that is not of the packet itself (reverse check). */
	readonly reversed: Flow = new Flow();
	/** Templates in the order of the walk, innermost first, and the policy each is of. */
	readonly templates: (Template | null)[] = new Array<Template | null>(MAX_DEPTH).fill(null);
	readonly owners: (XfrmPolicy | null)[] = new Array<XfrmPolicy | null>(MAX_DEPTH).fill(null);
	templateCount: number = 0;

	/**
	 * The packet that the last REPORT was about, and when: a second check of the same packet tells nothing
	 * new (T-60). Compared by identity only, never read.
	 */
	reportedPacket: PacketBuffer | null = null;
	readonly reportedAt: Float64Array = new Float64Array(1);

	private readonly entries: (CheckedFlow | null)[] = new Array<CheckedFlow | null>(
		FLOW_CACHE_ENTRIES,
	).fill(null);

	/** Forgets the templates. */
	clear(): void {
		for (let i = 0; i < this.templateCount; i++) {
			this.templates[i] = null;
			this.owners[i] = null;
		}
		this.templateCount = 0;
	}

	/**
	 * Has this flow passed before, by the same state? Then its policies are used again, and `verified` is
	 * what it was.
	 *
	 * @spec P-15 I-17
	 */
	recall(
		flow: Flow,
		direction: number,
		ifId: number,
		generation: number,
		state: XfrmState | null,
	): boolean {
		const entry = this.entries[flowPlace(flow)] ?? null;
		if (
			entry === null ||
			entry.generation !== generation ||
			entry.state !== state ||
			entry.direction !== direction ||
			entry.ifId !== ifId ||
			!flowsEqual(entry.flow, flow)
		) {
			return false;
		}
		this.verified = entry.verified;
		this.policy = entry.policy;
		this.main = entry.main;
		if (entry.policy !== null) {
			entry.policy.useTime = this.seconds;
		}
		if (entry.main !== null) {
			entry.main.useTime = this.seconds;
		}
		return true;
	}

	/** Keeps that a flow passed, with the policies it met. */
	remember(
		flow: Flow,
		direction: number,
		ifId: number,
		generation: number,
		state: XfrmState | null,
	): void {
		const at = flowPlace(flow);
		let entry = this.entries[at] ?? null;
		if (entry === null) {
			entry = new CheckedFlow();
			this.entries[at] = entry;
		}
		entry.flow.copyFrom(flow);
		entry.direction = direction;
		entry.ifId = ifId;
		entry.generation = generation;
		entry.state = state;
		entry.policy = this.policy;
		entry.main = this.main;
		entry.verified = this.verified;
	}
}
