/**
 * The kernel's sysctls of XFRM, where it has them: programs set them for the kernel's XFRM, and mean the
 * daemon's (charon writes xfrm_acq_expires at its start).
 */
import { readFileSync } from 'node:fs';
import type { Sysctls } from '@xfrm/engine';

const NAMES = [
	'xfrm_acq_expires',
	'xfrm_aevent_etime',
	'xfrm_aevent_rseqth',
	'xfrm_larval_drop',
] as const;

/** Takes over the values of this network namespace. */
export function followSysctls(sysctls: Sysctls): void {
	for (const name of NAMES) {
		try {
			const value = Number(readFileSync(`/proc/sys/net/core/${name}`, 'latin1'));
			sysctls[name] = Number.isInteger(value) ? value : sysctls[name];
		} catch {
			// A kernel without XFRM: its defaults hold.
			return;
		}
	}
}
