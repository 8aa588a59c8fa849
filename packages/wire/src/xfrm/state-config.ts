/**
 * What a NEWSA or UPDSA says, as a value; the same value is what dumps and events tell of a state.
 * Field names follow the kernel's by rule (`replay_window` → `replayWindow`). An optional field is an
 * attribute that was not there.
 */
import type { Address } from './address.ts';
import type { LifetimeConfig, LifetimeCurrent } from './lifetime.ts';
import type { Selector } from './selector.ts';

/** value/mask pair of packet marks; matches when (mark AND m) == v. */
export interface Mark {
	readonly v: number;
	readonly m: number;
}

/** `struct xfrm_id`: spi in host order. */
export interface StateId {
	readonly daddr: Address;
	readonly spi: number;
	readonly proto: number;
}

/** `struct xfrm_algo`; `keyBits` as sent (the key has ceil(keyBits / 8) octets). */
export interface Algorithm {
	readonly name: string;
	readonly key: Uint8Array;
	readonly keyBits: number;
}

/** `struct xfrm_algo_auth`: `truncBits` 0 asks for the default. */
export interface AuthAlgorithm extends Algorithm {
	readonly truncBits: number;
}

/** `struct xfrm_algo_aead`. */
export interface AeadAlgorithm extends Algorithm {
	readonly icvBits: number;
}

/** `struct xfrm_encap_tmpl`; ports in host order. */
export interface Encap {
	readonly type: number;
	readonly sport: number;
	readonly dport: number;
	readonly oa: Address;
}

/** `struct xfrm_replay_state` (legacy). */
export interface ReplayLegacy {
	readonly oseq: number;
	readonly seq: number;
	readonly bitmap: number;
}

/** `struct xfrm_replay_state_esn`; `bmp` may be shorter than `bmpLen` words when a client sent none. */
export interface ReplayEsn {
	readonly bmpLen: number;
	readonly oseq: number;
	readonly seq: number;
	readonly oseqHi: number;
	readonly seqHi: number;
	readonly replayWindow: number;
	readonly bmp: Uint32Array;
}

/** `struct xfrm_stats` of a state. */
export interface StateStats {
	readonly replayWindow: number;
	readonly replay: number;
	readonly integrityFailed: number;
}

/** Settings of mode IPTFS (6.14+), each absent unless given. */
export interface IptfsConfig {
	readonly dropTimeUs?: number;
	readonly reorderWindow?: number;
	readonly dontFragment?: boolean;
	readonly initDelayUs?: number;
	readonly maxQueueOctets?: number;
	readonly packetOctets?: number;
}

/** Device offload as asked for; accepted and without effect here. */
export interface Offload {
	readonly ifindex: number;
	readonly flags: number;
}

/** LSM label. */
export interface SecurityContext {
	readonly alg: number;
	readonly doi: number;
	readonly context: Uint8Array;
}

export interface StateConfig {
	readonly id: StateId;
	readonly saddr: Address;
	readonly family: number;
	readonly selector: Selector;
	readonly lifetime: LifetimeConfig;
	readonly reqid: number;
	readonly mode: number;
	/** Legacy window octet; 0 when `replayEsn` is given. */
	readonly replayWindow: number;
	readonly flags: number;
	/** Sequence number of the acquire that this answers; 0 for none. */
	readonly seq: number;
	readonly aead?: AeadAlgorithm;
	/** From ALG_AUTH (then truncBits is 0) or ALG_AUTH_TRUNC, which wins. */
	readonly auth?: AuthAlgorithm;
	readonly crypt?: Algorithm;
	readonly comp?: Algorithm;
	readonly encap?: Encap;
	readonly coaddr?: Address;
	readonly securityContext?: SecurityContext;
	readonly replay?: ReplayLegacy;
	readonly replayEsn?: ReplayEsn;
	readonly replayThreshold?: number;
	/** Attribute ETIMER_THRESH, raw as sent (trap 17). */
	readonly expiryTimer?: number;
	readonly lifetimeCurrent?: LifetimeCurrent;
	readonly tfcpad?: number;
	readonly mark?: Mark;
	/** Output mark; mask 0xffffffff when only the value was sent. */
	readonly outputMark?: Mark;
	readonly extraFlags?: number;
	readonly offload?: Offload;
	readonly ifId?: number;
	readonly mappingThresholdSeconds?: number;
	readonly direction?: number;
	readonly natKeepaliveSeconds?: number;
	readonly pcpu?: number;
	readonly iptfs?: IptfsConfig;
}

/** A state as dumps show it: its configuration and what has become of it. */
export interface StateSnapshot extends StateConfig {
	readonly lifetimeCurrent: LifetimeCurrent;
	readonly stats: StateStats;
	/** `km.state`: see `StateCondition` of the engine. */
	readonly condition: number;
	/** Last use, Unix seconds; absent or 0 for never (S-18). */
	readonly lastUsed?: number;
	/** Does the kernel own it (helper of IPComp, S-19)? */
	readonly kernelOwned: boolean;
}
