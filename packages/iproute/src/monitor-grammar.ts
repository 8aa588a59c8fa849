/** `ip xfrm monitor …` (spec 5.1; iproute2's ip/xfrm_monitor.c). */
import { Group } from '@xfrm/wire/xfrm';
import { refuseCommand } from './problem.ts';
import { abbreviates, type Reading } from './reading.ts';
import type { Intent } from './state-grammar.ts';

/** Objects by name, in the order in which abbreviations are tried. Mapping and migrate have no name (C-10). */
const OBJECTS: readonly (readonly [name: string, group: number])[] = [
	['acquire', Group.Acquire],
	['expire', Group.Expire],
	['SA', Group.Sa],
	['aevent', Group.Aevents],
	['policy', Group.Policy],
	['report', Group.Report],
];

const ALL_GROUPS = 0xffff_ffff;

/** Reads what follows `monitor`. @spec C-10 */
export function readMonitor(reading: Reading): Intent {
	const { words } = reading;
	let groups = 0;
	let allNsid = false;
	let nokeys = false;
	let file: string | undefined;
	for (; words.more; words.pass()) {
		const { word, text } = words;
		if (abbreviates(text, 'file')) {
			file = words.next('a file').text;
		} else if (text === 'nokeys') {
			// It hides the keys of reports, which have none: ip shows those of states nevertheless.
			nokeys = true;
		} else if (text === 'all') {
			// What no name means.
		} else if (abbreviates(text, 'all-nsid')) {
			allNsid = true;
		} else {
			const group = OBJECTS.find(([name]) => abbreviates(text, name))?.[1];
			if (group === undefined) {
				const names = OBJECTS.map(([name]) => name).join(', ');
				refuseCommand(
					word,
					`Argument "${text}" is unknown, try "ip xfrm monitor help".`,
					`${names}, all, all-nsid or nokeys`,
					255,
				);
			}
			groups |= 1 << (group - 1);
		}
	}
	const plan = {
		kind: 'monitor',
		groups: groups === 0 ? ALL_GROUPS : groups,
		allNsid,
		nokeys,
		...(file === undefined ? {} : { file }),
	} as const;
	return { messages: [], plan };
}
