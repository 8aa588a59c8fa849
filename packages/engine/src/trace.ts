/**
 * What the engine tells a tracer while it handles a packet. Facts only: explain words them. Without a
 * tracer (`Namespace.tracer` null, as on the fast path) none of this is made. Events come in the order
 * of processing; values are snapshots, so a tracer may keep them.
 */
import type { Flow } from '@xfrm/wire';
import type { Address, Template } from '@xfrm/wire/xfrm';
import type { XfrmPolicy } from './policy.ts';
import type { XfrmState } from './state.ts';
import type { Verdict } from './verdict.ts';

/**
 * Why an object lost: the field that decided first, named as `ip xfrm` names it (src dst proto sport
 * dport type code dev mark if_id priority ptype dir action reqid spi mode level sel encap family limit
 * replay …, `order` for ties), what was wanted and what was there, as text.
 */
export interface Loser<T> {
	readonly object: T;
	readonly field: string;
	readonly want: string;
	readonly have: string;
}

/** A policy lookup in one SPD (or a socket), with everything of that direction that lost. */
export interface PolicyLookupTrace {
	readonly kind: 'policy';
	readonly table: 'socket' | 'sub' | 'main';
	readonly direction: number;
	readonly flow: Flow;
	readonly ifId: number;
	readonly winner: XfrmPolicy | undefined;
	readonly losers: readonly Loser<XfrmPolicy>[];
	/** The lookup was made for a packet quoted by an ICMP error. */
	readonly embedded: boolean;
}

/** No policy: the default decided. */
export interface DefaultPolicyTrace {
	readonly kind: 'default-policy';
	readonly direction: number;
	readonly accepted: boolean;
}

/** A template is being resolved (output). Addresses are those the state must have. */
export interface TemplateTrace {
	readonly kind: 'template';
	readonly policy: XfrmPolicy;
	readonly position: number;
	readonly count: number;
	readonly template: Template;
	readonly family: number;
	readonly saddr: Address;
	readonly daddr: Address;
}

/** The state for a template was looked for (xfrm_state_find). */
export interface StateSelectTrace {
	readonly kind: 'state-select';
	readonly template: Template;
	readonly winner: XfrmState | undefined;
	readonly losers: readonly Loser<XfrmState>[];
	/**
	 * found; acquire: asked a key manager; larval: one is asked already; no-listener; exists (S-26);
	 * error: the candidate is in ERROR or EXPIRED.
	 */
	readonly outcome: 'found' | 'acquire' | 'larval' | 'no-listener' | 'exists' | 'error';
	readonly optional: boolean;
}

/** The state for an incoming packet was looked for, by SPI or (HAO, RH2) by addresses. */
export interface StateLookupTrace {
	readonly kind: 'state-lookup';
	readonly proto: number;
	readonly spi: number;
	readonly family: number;
	readonly daddr: Address;
	readonly saddr: Address;
	readonly mark: number;
	readonly winner: XfrmState | undefined;
	readonly losers: readonly Loser<XfrmState>[];
}

/** A check of a state against the packet. Only failed ones and those worth telling are noted. */
export interface StateCheckTrace {
	readonly kind: 'state-check';
	readonly state: XfrmState;
	readonly field: string;
	readonly passed: boolean;
	readonly want: string;
	readonly have: string;
}

/** A header was put around the packet or taken off; `before` and `after` are whole packets. */
export interface TransformTrace {
	readonly kind: 'transform';
	readonly operation: 'mode' | 'seal' | 'open';
	readonly state: XfrmState;
	readonly before: Uint8Array;
	readonly after: Uint8Array;
	/** Named facts: seq, iv, pad, icv octets, outer addresses, ttl, df, tos … */
	readonly details: Readonly<Record<string, string | number>>;
}

/** Input: a template of the policy was compared with the sec path. */
export interface TemplateCheckTrace {
	readonly kind: 'template-check';
	readonly policy: XfrmPolicy;
	readonly position: number;
	readonly template: Template;
	readonly state: XfrmState | undefined;
	readonly losers: readonly Loser<XfrmState>[];
	readonly passed: boolean;
}

/** A counter went up, or a silent drop happened. */
export interface VerdictTrace {
	readonly kind: 'verdict';
	readonly verdict: Verdict;
	readonly state: XfrmState | undefined;
	readonly policy: XfrmPolicy | undefined;
	/** Stable reason, finer than the counter: 'in.state.mark' … registered in docs/reasons.md. */
	readonly code: string;
}

/** IPTFS keeps a packet: outward in its queue, inward a payload whose end, or turn, is to come. */
export interface KeptTrace {
	readonly kind: 'kept';
	readonly state: XfrmState;
	/** As of a verdict. */
	readonly code: string;
}

export type TraceEvent =
	| PolicyLookupTrace
	| DefaultPolicyTrace
	| TemplateTrace
	| StateSelectTrace
	| StateLookupTrace
	| StateCheckTrace
	| TransformTrace
	| TemplateCheckTrace
	| KeptTrace
	| VerdictTrace;

export interface Tracer {
	note(event: TraceEvent): void;
}
