/** The plain twin of the policy lookup: signatures first, bodies follow. */
import type { Flow } from '@xfrm/wire';
import type { XfrmPolicy } from './policy.ts';
import type { Spd } from './spd.ts';
import type { Loser } from './trace.ts';

export interface PolicyScan {
	readonly winner: XfrmPolicy | undefined;
	readonly losers: readonly Loser<XfrmPolicy>[];
}

/** Everything of this direction and type: who wins, and by which field each other one lost. */
export function scanPolicies(
	spd: Spd,
	flow: Flow,
	direction: number,
	type: number,
	ifId: number,
): PolicyScan {
	void [spd, flow, direction, type, ifId];
	return { winner: undefined, losers: [] };
}
