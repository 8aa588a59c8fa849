/**
 * What the engine tells key managers, as values: netlink-server makes NETLINK_XFRM notifications of
 * them. Only what the engine does by itself is here; the answer to a command (NEWSA, DELSA, FLUSHSA …)
 * is multicast by whoever carried the command out.
 */
import type {
	Address,
	Encap,
	KmAddress,
	MigrateEntry,
	PolicySnapshot,
	Selector,
	StateId,
	StateSnapshot,
	Template,
} from '@xfrm/wire/xfrm';

/** A required or optional state is missing. `state` is the larval state, `policy` the one that asks. */
export interface AcquireEvent {
	readonly kind: 'acquire';
	readonly id: StateId;
	readonly saddr: Address;
	readonly selector: Selector;
	readonly policy: PolicySnapshot;
	readonly template: Template;
	/** Of the larval state; the answer carries it. */
	readonly seq: number;
	/** Larval state's processor, if the policy binds acquires to processors. */
	readonly pcpu?: number;
}

export interface ExpireEvent {
	readonly kind: 'expire';
	readonly state: StateSnapshot;
	readonly hard: boolean;
}

export interface PolicyExpireEvent {
	readonly kind: 'policy-expire';
	readonly policy: PolicySnapshot;
	readonly hard: boolean;
}

/** Replay values changed enough; `flags` are `AeventFlag`s: caused by replay or timer. */
export interface AeventEvent {
	readonly kind: 'aevent';
	readonly state: StateSnapshot;
	readonly flags: number;
}

/** A destination-options policy refused a packet (T-60). */
export interface ReportEvent {
	readonly kind: 'report';
	readonly proto: number;
	readonly selector: Selector;
	readonly address?: Address;
}

/** An encapsulated packet came from another address or port (NT-7). Ports in host order. */
export interface MappingEvent {
	readonly kind: 'mapping';
	readonly id: StateId;
	readonly reqid: number;
	readonly family: number;
	readonly oldSaddr: Address;
	readonly newSaddr: Address;
	readonly oldSport: number;
	readonly newSport: number;
}

/** Endpoints moved (G-7). */
export interface MigrateEvent {
	readonly kind: 'migrate';
	readonly selector: Selector;
	readonly direction: number;
	readonly type: number;
	readonly entries: readonly MigrateEntry[];
	readonly kmAddress?: KmAddress;
	readonly encap?: Encap;
}

export type EngineEvent =
	| AcquireEvent
	| ExpireEvent
	| PolicyExpireEvent
	| AeventEvent
	| ReportEvent
	| MappingEvent
	| MigrateEvent;
