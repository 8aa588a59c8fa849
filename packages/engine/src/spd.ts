/** The set of policies and its lookup: stub. */
import type { KernelProfile } from './kernel-profile.ts';

export class Spd {
	readonly profile: KernelProfile;
	constructor(profile: KernelProfile) {
		this.profile = profile;
	}
}
