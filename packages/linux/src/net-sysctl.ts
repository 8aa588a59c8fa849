/** Numbers under /proc/sys/net: the sysctls of the network namespace that a thread is in. */
import { readFileSync } from 'node:fs';

/** Reads one, such as `ipv4/route/min_pmtu`; undefined where the kernel has none, or none of the namespace's own. */
export function netSysctl(path: string): number | undefined {
	try {
		const value = Number.parseInt(readFileSync(`/proc/sys/net/${path}`, 'latin1'), 10);
		return Number.isInteger(value) ? value : undefined;
	} catch {
		return undefined;
	}
}
