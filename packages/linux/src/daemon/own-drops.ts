/**
 * What the data plane itself does not let through, beside the verdicts of the engine: told in the same table
 * and kept by the same rules, named as its own counters are.
 */
import { verdictName } from '@xfrm/engine';

/** Numbers behind the engine's verdicts. */
export const OwnDrop = {
	/** ESP in UDP while nobody has its port. */
	Portless: 120,
	/** No numbers could be leased. */
	Unleased: 121,
	/** A device by if_id has no policy, state or route for it. */
	Carrier: 122,
	/** It would leave by the device by if_id that it is in. */
	Collision: 123,
	/** The guard: plaintext that a policy of direction IN forbids, as read from its counters. */
	PlaintextIn: 124,
	/** What should have left protected, and would not have. */
	PlaintextOut: 125,
	/** Plaintext that a policy of direction FWD forbids. */
	PlaintextFwd: 126,
} as const;

const NAMES: Readonly<Record<number, string>> = {
	[OwnDrop.Portless]: 'portless',
	[OwnDrop.Unleased]: 'unleased',
	[OwnDrop.Carrier]: 'carrier',
	[OwnDrop.Collision]: 'collisions',
	[OwnDrop.PlaintextIn]: 'plaintext-in',
	[OwnDrop.PlaintextOut]: 'plaintext-out',
	[OwnDrop.PlaintextFwd]: 'plaintext-fwd',
};

/** As in /proc/net/xfrm_stat, or our own name of what Linux does not count. */
export function dropName(verdict: number): string {
	return verdictName(verdict) ?? NAMES[verdict] ?? String(verdict);
}
