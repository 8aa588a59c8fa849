/** What a NEWPOLICY or UPDPOLICY says, as a value; also what dumps and events tell of a policy. */

import type { Address } from './address.ts';
import type { LifetimeConfig, LifetimeCurrent } from './lifetime.ts';
import type { Selector } from './selector.ts';
import type { Mark, Offload, SecurityContext, StateId } from './state-config.ts';

/** `struct xfrm_user_tmpl`: a demand for one state. */
export interface Template {
	readonly id: StateId;
	readonly saddr: Address;
	/** 0 is the policy's family. */
	readonly family: number;
	readonly reqid: number;
	readonly mode: number;
	readonly share: number;
	/** 0 required, else optional (`level use`). */
	readonly optional: number;
	readonly aalgos: number;
	readonly ealgos: number;
	readonly calgos: number;
}

export interface PolicyConfig {
	readonly selector: Selector;
	readonly lifetime: LifetimeConfig;
	readonly priority: number;
	/** 0 lets the engine choose (P-8). */
	readonly index: number;
	readonly direction: number;
	readonly action: number;
	readonly flags: number;
	readonly share: number;
	readonly type: number;
	readonly templates: readonly Template[];
	readonly mark?: Mark;
	readonly ifId?: number;
	readonly securityContext?: SecurityContext;
	readonly offload?: Offload;
}

/** A policy as dumps show it. `direction` is 3 + direction for a socket's policy. */
export interface PolicySnapshot extends PolicyConfig {
	readonly lifetimeCurrent: LifetimeCurrent;
}

/** One entry of MIGRATE (`struct xfrm_user_migrate`). */
export interface MigrateEntry {
	readonly oldDaddr: Address;
	readonly oldSaddr: Address;
	readonly newDaddr: Address;
	readonly newSaddr: Address;
	readonly proto: number;
	readonly mode: number;
	readonly reqid: number;
	readonly oldFamily: number;
	readonly newFamily: number;
}

/** `struct xfrm_user_kmaddress`. */
export interface KmAddress {
	readonly local: Address;
	readonly remote: Address;
	readonly family: number;
}
