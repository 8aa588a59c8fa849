/** What the counters of /proc/net/xfrm_stat say has happened. */
import { counterMeaning } from '@xfrm/explain';
import type { MachineFacts } from './facts.ts';
import type { FindingKind, Found } from './finding.ts';

/** More would hide the rest. */
const SHOWN_MAX = 6;

function countersUp({ counters, risen, daemon }: MachineFacts): readonly Found[] {
	const up = [...(counters ?? [])].filter(([, value]) => value > 0);
	// Those that rise now are the ones to look at.
	up.sort(([a, x], [b, y]) => (risen.get(b) ?? 0) - (risen.get(a) ?? 0) || y - x);
	return up.slice(0, SHOWN_MAX).map(([name, value]) => {
		const by = risen.get(name) ?? 0;
		const meaning = counterMeaning(name);
		const since = sinceWhen(name, daemon);
		const head = `${name} ${value} ${since}${by > 0 ? ', rising' : ''}`;
		return {
			severity: 'warn',
			text:
				meaning === undefined ? `${head}.` : `${head}: ${meaning.means}. Usually ${meaning.cause}.`,
			command: commandFor(name, daemon),
		};
	});
}

/** The guard's counters stay in the kernel, whatever becomes of the daemon. */
function sinceWhen(name: string, daemon: boolean): string {
	if (name.startsWith('plaintext-')) {
		return 'since the guard was set up';
	}
	return daemon ? 'since the daemon was started' : 'since boot';
}

/** What the guard drops is kept nowhere. */
function commandFor(name: string, daemon: boolean): string {
	if (name === 'plaintext-out') {
		return 'nft list ruleset # docs/beside-the-daemon.md';
	}
	if (name.startsWith('plaintext-')) {
		return 'xfrm top; xfrm explain --daemon --dev DEVICE @capture.pcap';
	}
	return daemon ? 'xfrm top; xfrm explain --daemon --last-drop' : 'xfrm stat --watch';
}

export const COUNTER_FINDINGS: readonly FindingKind[] = [
	{
		id: 'counter',
		title: 'drops',
		meaning:
			'The kernel has dropped packets; each counter of /proc/net/xfrm_stat names a kind of reason. They count from boot, or from when the network namespace was made.',
		remedy:
			'See which counter rises with `xfrm stat --watch`; capture one packet and ask `xfrm explain --kernel` which policy, state and field it is.',
		find: countersUp,
	},
];
