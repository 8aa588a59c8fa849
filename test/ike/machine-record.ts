/**
 * All that a daemon could leave behind on a host, as lines: what can be set of its network namespace, what stands in
 * it, whose sockets are open, and who runs. What changes by itself (counters, times, what neighbours have told) is left
 * out.
 */
import { readFileSync } from 'node:fs';
import { type Host, runOn } from './laboratory.ts';

/** Each prints lines, which are told behind the name. */
const COMMANDS: Readonly<Record<string, string>> = {
	link: 'ip -d -o link',
	address: 'ip -o address',
	rule: 'ip -d -4 rule; ip -d -6 rule',
	route: 'ip -d -4 route show table all; ip -d -6 route show table all',
	neighbour: 'ip neighbour show nud permanent; ip neighbour show proxy; ip -6 neighbour show proxy',
	discipline: 'tc qdisc show',
	filter: 'nft -n list ruleset',
	socket:
		'cat /proc/net/netlink /proc/net/raw /proc/net/raw6 /proc/net/packet | tr -s " " | cut -d " " -f 2-4; ' +
		'ss -Hlntu | tr -s " "',
	sysctl: 'find /proc/sys/net -type f -perm /200 -exec grep -Hs "" {} + || true',
};

/** The lines, of each command in its order. */
export function machineRecord(host: Host): readonly string[] {
	const lines = Object.entries(COMMANDS).flatMap(([name, command]) =>
		host
			.must(['sh', '-c', command])
			.trimEnd()
			.split(/ *\n/)
			.map((line) => `${name}: ${line}`),
	);
	const pids = runOn(host.machine, ['ip', 'netns', 'pids', host.namespace]).stdout.match(/\d+/g);
	const programs = (pids ?? []).map(
		(pid) => `program: ${readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ')}`,
	);
	return [...lines, ...programs];
}

/** Lines that are gone (-) and lines that have come (+). */
export function difference(before: readonly string[], after: readonly string[]): readonly string[] {
	return [
		...without(before, after).map((line) => `-${line}`),
		...without(after, before).map((line) => `+${line}`),
	];
}

/** Each line of others takes one that is equal away. */
function without(lines: readonly string[], others: readonly string[]): readonly string[] {
	const counts = new Map<string, number>();
	for (const line of others) {
		counts.set(line, (counts.get(line) ?? 0) + 1);
	}
	return lines.filter((line) => {
		const count = counts.get(line) ?? 0;
		counts.set(line, count - 1);
		return count <= 0;
	});
}
