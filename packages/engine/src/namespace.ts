/**
 * One network namespace's XFRM: its tables, counters, settings and what it borrowed from outside (the
 * kernel's struct netns_xfrm). Modules of the engine are functions over it, as the kernel's are over
 * `struct net`. No clock, socket or random source here: time comes with each call, the rest by options.
 */
import { CryptoBatch, type CryptoProvider } from '@xfrm/crypto/provider';
import type { Route } from '@xfrm/wire';
import { type Address, DefaultAction, type Group } from '@xfrm/wire/xfrm';
import type { DropWatcher } from './drop-watcher.ts';
import type { EngineEvent } from './events.ts';
import { HelperSpis } from './helper-spis.ts';
import { InputPlan } from './input-plan.ts';
import type { Available, KernelProfile } from './kernel-profile.ts';
import { CRYPTO_JOBS_MAX, EVENTS_MAX, EVENTS_TAKEN_MAX } from './limits.ts';
import { NatKeepalives } from './nat-keepalive.ts';
import { OutputRun } from './output-run.ts';
import type { XfrmPolicy } from './policy.ts';
import { PolicyCheckRun } from './policy-check-run.ts';
import { Sad } from './sad.ts';
import { Spd } from './spd.ts';
import type { XfrmState } from './state.ts';
import type { TableWatcher } from './table-watcher.ts';
import { TimerTable } from './timer-table.ts';
import type { Tracer } from './trace.ts';
import { COUNTER_COUNT, type Verdict } from './verdict.ts';

/** The only question the engine asks outward at run time. undefined: no route (EHOSTUNREACH). */
export type RouteLookup = (
	family: number,
	daddr: Address,
	saddr: Address,
	mark: number,
	oif: number,
) => Route | undefined;

/** A number above 0 for an established connection between these; 0: none; below 0: one that is not for ESP. */
export type StreamLookup = (
	family: number,
	saddr: Address,
	sport: number,
	daddr: Address,
	dport: number,
) => number;

export interface EngineOptions {
	readonly profile: KernelProfile;
	/** Default: what the provider can do. */
	readonly available?: Available;
	readonly provider: CryptoProvider;
	/** Fills the octets with unpredictable ones: SPIs, IVs, salts, identifications. */
	readonly random: (bytes: Uint8Array) => void;
	readonly processors?: number;
	readonly route: RouteLookup;
	/**
	 * Of all routes together: changes when any answer of `route` may have changed. Without it the OUT lookup asks
	 * anew for every packet, and remembers no flow.
	 */
	readonly routeGeneration?: () => number;
	/** Is this address one of the host's, and a home address (T-58)? */
	readonly isHomeAddress?: (address: Address) => boolean;
	/** The connection that ESP in TCP goes by (T-12); absent: there is never one. */
	readonly espStream?: StreamLookup;
}

/** sysctls that XFRM reads, by their last name. */
export interface Sysctls {
	xfrm_aevent_etime: number;
	xfrm_aevent_rseqth: number;
	xfrm_larval_drop: number;
	xfrm_acq_expires: number;
	ip_no_pmtu_disc: number;
}

/** Values that are otherwise random or counted, fixed for tests and explain; consumed in order. */
export interface FixedFields {
	readonly ivs: Uint8Array[];
	readonly ipIds: number[];
	/** Octets for the ESP padding instead of 1, 2, 3 …, or for the padding of an AH; consumed by the next header. */
	readonly paddings: Uint8Array[];
}

export class Namespace {
	readonly profile: KernelProfile;
	readonly available: Available;
	/** Modules that are loaded by now (`Available.modules`); the host adds those of its devices. */
	readonly modules: Set<string>;
	readonly provider: CryptoProvider;
	readonly options: EngineOptions;
	readonly processors: number;
	readonly sad: Sad = new Sad();
	readonly spd: Spd;
	readonly timers: TimerTable = new TimerTable();
	/** Numbers of IPv6 sources, for IPComp's helper states (T-32). */
	readonly helperSpis: HelperSpis = new HelperSpis();
	/** States that send NAT keepalives (NT-9). */
	readonly keepalives: NatKeepalives = new NatKeepalives();
	/** Counters by verdict; entry 0 is unused. */
	readonly counters: Float64Array = new Float64Array(COUNTER_COUNT + 1);
	readonly sysctl: Sysctls = {
		xfrm_aevent_etime: 10,
		xfrm_aevent_rseqth: 2,
		xfrm_larval_drop: 1,
		xfrm_acq_expires: 30,
		ip_no_pmtu_disc: 0,
	};
	/** Default policies by direction (D-1). */
	readonly defaults: [number, number, number] = [
		DefaultAction.Accept,
		DefaultAction.Accept,
		DefaultAction.Accept,
	];
	/** Groups that somebody listens to, bit `1 << (group - 1)`; netlink-server keeps it. */
	listeners: number = 0;
	/** Changes with every change of states, policies or defaults: bundles of another generation are stale. */
	generation: number = 1;
	/** Next acquire sequence number. */
	acquireSeq: number = 0;
	/** Why the last `selectState` found none: positive errno (S-25 … S-28). */
	selectErrno: number = 0;
	tracer: Tracer | null = null;
	/** Told of changes of the tables. */
	watcher: TableWatcher | null = null;
	/** Told of packets that are dropped. */
	dropWatcher: DropWatcher | null = null;
	fixed: FixedFields | null = null;
	/** A lookup is only tried (rehearsal.ts): nothing is counted, told or made. */
	rehearsing: boolean = false;
	/** A key manager would have been asked since `rehearsing` began. */
	rehearsedAcquire: boolean = false;
	/** The time of the call in progress: entry 0, microseconds. An array so that storing it costs no heap. */
	readonly now: Float64Array = new Float64Array(1);
	/** Processor of the call in progress. */
	processor: number = 0;
	readonly jobs: CryptoBatch = new CryptoBatch(CRYPTO_JOBS_MAX);
	/** What the output path keeps between calls. */
	readonly outputRun: OutputRun;
	/** What the input path keeps between calls. */
	readonly inputPlan: InputPlan = new InputPlan();
	/** What the policy check keeps between calls. */
	readonly checkRun: PolicyCheckRun = new PolicyCheckRun();
	/** Events not yet taken, from `eventsTaken` on. */
	readonly events: EngineEvent[] = [];
	private eventsTaken: number = 0;
	eventsLost: number = 0;

	constructor(options: EngineOptions, available: Available) {
		this.options = options;
		this.profile = options.profile;
		this.available = available;
		this.modules = new Set(available.modules);
		this.provider = options.provider;
		this.processors = options.processors ?? 1;
		this.spd = new Spd(options.profile);
		this.outputRun = new OutputRun(options.random);
	}

	/** Whole Unix seconds of the call in progress. */
	nowSeconds(): number {
		return Math.floor((this.now[0] ?? 0) / 1_000_000);
	}

	listens(group: (typeof Group)[keyof typeof Group]): boolean {
		return (this.listeners & (1 << (group - 1))) !== 0;
	}

	emit(event: EngineEvent): void {
		if (this.rehearsing) {
			return;
		}
		if (this.events.length - this.eventsTaken >= EVENTS_MAX) {
			this.eventsLost++;
			return;
		}
		this.events.push(event);
	}

	/** Takes the oldest event, without moving the others each time. */
	takeEvent(): EngineEvent | undefined {
		const event = this.events[this.eventsTaken];
		if (event === undefined) {
			return undefined;
		}
		this.eventsTaken++;
		if (this.eventsTaken === this.events.length || this.eventsTaken >= EVENTS_TAKEN_MAX) {
			this.events.splice(0, this.eventsTaken);
			this.eventsTaken = 0;
		}
		return event;
	}

	/** Tells whoever attributes losses of one. */
	tellDrop(
		verdict: Verdict,
		state: XfrmState | null,
		policy: XfrmPolicy | null,
		code: string,
	): void {
		if (this.dropWatcher !== null && !this.rehearsing) {
			this.dropWatcher.dropped(verdict, state, policy, code);
		}
	}

	/** Raises the counter of a verdict that Linux counts. */
	count(verdict: number): void {
		if (verdict >= 1 && verdict <= COUNTER_COUNT && !this.rehearsing) {
			this.counters[verdict] = (this.counters[verdict] ?? 0) + 1;
		}
	}
}
