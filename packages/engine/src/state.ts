/**
 * A state (SA): one transform in one direction, with its identity, keys, replay window and counters
 * (struct xfrm_state, include/net/xfrm.h). This file is the object; what can be done with it is in
 * sad.ts (indexes), state-commands.ts (add, update, …), lifetime.ts, replay.ts and transforms/.
 *
 * Numbers that may pass 2^31 or have fractions live in typed arrays, so that counting allocates nothing.
 */
import type { AeadInfo, AuthInfo, CompInfo, CryptInfo } from '@xfrm/crypto/algorithms';
import type { CryptoKey } from '@xfrm/crypto/provider';
import type { Address, Encap, StateConfig } from '@xfrm/wire/xfrm';
import { anyAddress, IpProto, isUnlimited } from '@xfrm/wire/xfrm';
import { ReplayWindow } from './replay-window.ts';
import { SelectorMatcher } from './selector-match.ts';
import { sharedWords } from './shared-addresses.ts';
import { float64s, uint32s } from './small-arrays.ts';
import { Timer, TimerKind, type TimerTable } from './timer-table.ts';

/** `km.state`. */
export const StateCondition = {
	Void: 0,
	Acq: 1,
	Valid: 2,
	Error: 3,
	Expired: 4,
	Dead: 5,
} as const;
export type StateCondition = (typeof StateCondition)[keyof typeof StateCondition];

/** Places in `XfrmState.lifetime`: octets and packets counted, Unix seconds of adding and first use. */
export const Current = { Bytes: 0, Packets: 1, AddTime: 2, UseTime: 3, LastUsed: 4 } as const;

/** Places in `XfrmState.limits`: the eight limits, Infinity or 0 for none as in LifetimeConfig. */
export const Limit = {
	SoftByte: 0,
	HardByte: 1,
	SoftPacket: 2,
	HardPacket: 3,
	SoftAdd: 4,
	HardAdd: 5,
	SoftUse: 6,
	HardUse: 7,
} as const;

/** Places in `XfrmState.stats` (S-17). */
export const StateStat = { ReplayWindow: 0, Replay: 1, IntegrityFailed: 2 } as const;

/** Limits of all states that have none; never written to. */
const NO_LIMITS: Float64Array = Float64Array.of(
	Number.POSITIVE_INFINITY,
	Number.POSITIVE_INFINITY,
	Number.POSITIVE_INFINITY,
	Number.POSITIVE_INFINITY,
	0,
	0,
	0,
	0,
);

export class XfrmState {
	/** What it was made of; replaced as a whole when an update or a migration changes it. */
	config: StateConfig;

	// Identity, in the form that lookups compare.
	readonly family: number;
	readonly proto: number;
	/** ESP or AH: its packets have sequence numbers, and may share a call of the crypto provider. */
	readonly isSealing: boolean;
	/** SPI as int32 (host order); 0 for none. */
	spi: number;
	/** Shared with other states: never written to. */
	readonly daddr: Int32Array;
	readonly saddr: Int32Array;
	readonly mode: number;
	readonly reqid: number;
	/** Masked at insertion (S-2). */
	markValue: number;
	readonly markMask: number;
	ifId: number;
	/** Sequence number of its acquire, 0 for none. */
	seq: number;
	readonly flags: number;
	readonly extraFlags: number;
	private matcher: SelectorMatcher | null = null;
	/** SaDirection. */
	direction: number;
	/** Processor it is bound to, -1 for none. */
	readonly pcpu: number;

	condition: StateCondition = StateCondition.Void;
	/** Soft limit passed (`km.dying`). */
	dying: boolean = false;
	/** The timer waits for the soft add limit, this many seconds after it was set (L-7). */
	softAddPending: boolean = false;
	softAddSeconds: number = 0;
	/** Made by IPComp for packets that came uncompressed (S-19). */
	kernelOwned: boolean = false;
	/** Such a helper, for a state that needs one; and how many states use this one. */
	helper: XfrmState | null = null;
	helperUsers: number = 0;
	/** Which of several is met first in the SAD's indexes: the one with the largest. */
	order: number = 0;

	// Transform: set by the type's init.
	aead: AeadInfo | undefined = undefined;
	auth: AuthInfo | undefined = undefined;
	crypt: CryptInfo | undefined = undefined;
	comp: CompInfo | undefined = undefined;
	/** Undefined when the provider cannot do the algorithm: then packets are refused, not the state. */
	key: CryptoKey | undefined = undefined;
	/** Octets in front of the payload, outer IP header of tunnels included, and behind it at most (U-2). */
	headerOctets: number = 0;
	trailerOctets: number = 0;
	/** Of `headerOctets` the transform's own: without outer IP header and BEET's reserve. */
	transformOctets: number = 0;
	ivOctets: number = 0;
	icvOctets: number = 0;
	/** Payload and trailer are padded to a multiple of this (T-2). */
	blockOctets: number = 4;
	/** Mask of the IV's counter, high and low word, int32; random once a state (T-6). */
	ivSaltHigh: number = 0;
	ivSaltLow: number = 0;

	encap: Encap | undefined;
	coaddr: Address | undefined;
	outputMarkValue: number;
	outputMarkMask: number;
	tfcpad: number;

	/** Of mode IPTFS: its IptfsReceiver or IptfsQueue, made for the first packet. */
	iptfs: object | null = null;

	readonly replay: ReplayWindow;
	readonly lifetime: Float64Array = float64s(5);
	limits: Float64Array = NO_LIMITS;
	/** So many packets may come before byte and packet limits need a look (lifetime.ts). */
	packetsToSpare: number = 0;
	private statsMade: Uint32Array | null = null;

	// Key manager thresholds.
	mappingThresholdSeconds: number;
	/** Last reported mapping, for the rate limit of NT-7: Unix seconds and port. */
	mappingReportedAt: number = 0;
	mappingReportedSport: number = 0;

	private lifetimeTimerMade: Timer | null = null;
	private replayTimerMade: Timer | null = null;

	/** Links of the global newest-first list, kept by sad.ts. */
	newer: XfrmState | null = null;
	older: XfrmState | null = null;

	constructor(config: StateConfig) {
		this.config = config;
		this.family = config.family;
		this.proto = config.id.proto;
		this.isSealing = this.proto === IpProto.Esp || this.proto === IpProto.Ah;
		this.spi = config.id.spi | 0;
		this.daddr = sharedWords(config.id.daddr, config.family);
		this.saddr = sharedWords(config.saddr, config.family);
		this.mode = config.mode;
		this.reqid = config.reqid | 0;
		this.markValue = (config.mark?.v ?? 0) | 0;
		this.markMask = (config.mark?.m ?? 0) | 0;
		this.ifId = (config.ifId ?? 0) | 0;
		this.seq = config.seq | 0;
		this.flags = config.flags;
		this.extraFlags = config.extraFlags ?? 0;
		this.direction = config.direction ?? 0;
		this.pcpu = config.pcpu ?? -1;
		this.encap = config.encap;
		this.coaddr = config.coaddr;
		this.outputMarkValue = (config.outputMark?.v ?? 0) | 0;
		this.outputMarkMask = (config.outputMark?.m ?? 0) | 0;
		this.tfcpad = config.tfcpad ?? 0;
		this.mappingThresholdSeconds = config.mappingThresholdSeconds ?? 0;
		this.replay = new ReplayWindow(config);
		this.setLimits(config);
	}

	/** Takes the eight limits over from a configuration. */
	setLimits(config: StateConfig): void {
		const { lifetime } = config;
		this.packetsToSpare = 0;
		if (isUnlimited(lifetime)) {
			this.limits = NO_LIMITS;
			return;
		}
		const limits = float64s(8);
		this.limits = limits;
		limits[Limit.SoftByte] = lifetime.softByteLimit;
		limits[Limit.HardByte] = lifetime.hardByteLimit;
		limits[Limit.SoftPacket] = lifetime.softPacketLimit;
		limits[Limit.HardPacket] = lifetime.hardPacketLimit;
		limits[Limit.SoftAdd] = lifetime.softAddExpiresSeconds;
		limits[Limit.HardAdd] = lifetime.hardAddExpiresSeconds;
		limits[Limit.SoftUse] = lifetime.softUseExpiresSeconds;
		limits[Limit.HardUse] = lifetime.hardUseExpiresSeconds;
	}

	/** Failures by `StateStat`, to be counted; made when the first one comes. */
	get stats(): Uint32Array {
		this.statsMade ??= uint32s(3);
		return this.statsMade;
	}

	/** How many failures of a kind (`StateStat`) were counted. */
	statOf(kind: number): number {
		return this.statsMade?.[kind] ?? 0;
	}

	/** Its selector, ready for matching; made when it is first asked for. */
	get selector(): SelectorMatcher {
		this.matcher ??= new SelectorMatcher(this.config.selector);
		return this.matcher;
	}

	set selector(matcher: SelectorMatcher) {
		this.matcher = matcher;
	}

	/** Next look at its time limits; kept by lifetime.ts. */
	get lifetimeTimer(): Timer {
		this.lifetimeTimerMade ??= new Timer(TimerKind.StateLifetime, this);
		return this.lifetimeTimerMade;
	}

	/** Next look at its replay values; kept by replay.ts. */
	get replayTimer(): Timer {
		this.replayTimerMade ??= new Timer(TimerKind.StateReplay, this);
		return this.replayTimerMade;
	}

	/** Stops the timers that it ever had. */
	stopTimers(timers: TimerTable): void {
		if (this.lifetimeTimerMade !== null) {
			timers.stop(this.lifetimeTimerMade);
		}
		if (this.replayTimerMade !== null) {
			timers.stop(this.replayTimerMade);
		}
	}

	/** Does the mark fit (S-3)? */
	markFits(mark: number): boolean {
		return ((mark & this.markMask) | 0) === this.markValue;
	}

	/** Destination as an address value. */
	get daddrAddress(): Address {
		return this.config.id.daddr ?? anyAddress();
	}
}

/** Modes that put a whole packet inside another: their removal ends the input loop (I-8). */
export function isTunnelFlagged(mode: number): boolean {
	return mode === 1 || mode === 4 || mode === 5;
}
