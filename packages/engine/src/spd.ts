/** The set of policies and its lookup: signatures first, body follows. */
import type { Flow } from '@xfrm/wire';
import type { KernelProfile } from './kernel-profile.ts';
import type { XfrmPolicy } from './policy.ts';

export class Spd {
	readonly profile: KernelProfile;
	/** Policies by direction: in, out, fwd (main and sub together), then the same of sockets. */
	readonly counts: Int32Array = new Int32Array(6);

	constructor(profile: KernelProfile) {
		this.profile = profile;
	}

	/** The best policy of this direction and type for a flow (P-2 … P-4b); refreshes its use time (P-15). */
	lookup(
		flow: Flow,
		direction: number,
		type: number,
		ifId: number,
		nowSeconds: number,
	): XfrmPolicy | null {
		void [flow, direction, type, ifId, nowSeconds];
		return null;
	}

	/** A socket's own policy, if it has one for this direction (0 in, 1 out) and it fits the flow (P-19). */
	socketPolicy(
		socketId: number,
		direction: number,
		flow: Flow,
		ifId: number,
		nowSeconds: number,
	): XfrmPolicy | null {
		void [socketId, direction, flow, ifId, nowSeconds];
		return null;
	}

	/** Has the socket any policy for this direction, fitting or not (I-21)? */
	hasSocketPolicy(socketId: number, direction: number): boolean {
		void [socketId, direction];
		return false;
	}
}
