/**
 * The kernel's sysctls that XFRM reads, where it has them: programs set them for the kernel's XFRM, and mean the
 * daemon's (charon writes xfrm_acq_expires at its start). The kernel heeds them at once, and so does the engine: a
 * value is read from the kernel when it is asked for, but not again within a millisecond, as thousands of states a
 * second are made.
 */
import { openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { Sysctls } from '@xfrm/engine';
import { nowUs } from './clock.ts';

const FILES: Readonly<Record<keyof Sysctls, string>> = {
	xfrm_acq_expires: 'core/xfrm_acq_expires',
	xfrm_aevent_etime: 'core/xfrm_aevent_etime',
	xfrm_aevent_rseqth: 'core/xfrm_aevent_rseqth',
	xfrm_larval_drop: 'core/xfrm_larval_drop',
	ip_no_pmtu_disc: 'ipv4/ip_no_pmtu_disc',
};

const VALID_US = 1000;
/** Digits of a number, and the end of the line. */
const OCTETS_MAX = 16;

const buffer = Buffer.alloc(OCTETS_MAX);

/**
 * Has values follow those of the network namespace that this thread is in, for good.
 *
 * @param folder where they are, by default the kernel's
 * @param clock microseconds
 */
export function followSysctls(
	sysctls: Sysctls,
	folder: string = '/proc/sys/net',
	clock: () => number = nowUs,
): void {
	for (const name of Object.keys(FILES) as (keyof Sysctls)[]) {
		const fd = opened(join(folder, FILES[name]));
		let value = sysctls[name];
		let validUntil = Number.NEGATIVE_INFINITY;
		if (fd === undefined) {
			continue;
		}
		const get = (): number => {
			const now = clock();
			if (now >= validUntil) {
				validUntil = now + VALID_US;
				value = read(fd) ?? value;
			}
			return value;
		};
		Object.defineProperty(sysctls, name, { get });
	}
}

/** undefined in a kernel that does not have it, whose default holds. */
function opened(path: string): number | undefined {
	try {
		return openSync(path, 'r');
	} catch {
		return undefined;
	}
}

/** undefined: what is known holds. */
function read(fd: number): number | undefined {
	try {
		const octets = readSync(fd, buffer, 0, OCTETS_MAX, 0);
		const value = Number.parseInt(buffer.toString('latin1', 0, octets), 10);
		// The kernel keeps them without a sign, and shows them with one.
		return Number.isInteger(value) ? value >>> 0 : undefined;
	} catch {
		return undefined;
	}
}
