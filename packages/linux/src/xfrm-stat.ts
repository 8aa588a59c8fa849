/** /proc/net/xfrm_stat: what the running kernel has counted in this process's network namespace. */
import { readFileSync } from 'node:fs';

/** Counters by name, in the kernel's order; undefined where it counts nothing (CONFIG_XFRM_STATISTICS). */
export function readXfrmStat(
	path: string = '/proc/net/xfrm_stat',
): ReadonlyMap<string, number> | undefined {
	let text: string;
	try {
		text = readFileSync(path, 'latin1');
	} catch {
		return undefined;
	}
	return new Map(
		text
			.split('\n')
			.map((line) => line.trim().split(/\s+/))
			.filter((words) => words.length === 2)
			.map(([name = '', value = '0']) => [name, Number(value)]),
	);
}
