/** Counters of XFRM interfaces and VTI devices that a step raised, in the form of `expect.links`. */
import type { LinkCounters } from '@xfrm/host';
import { type Difference, differs } from './difference.ts';
import type { Laboratory } from './laboratory.ts';
import type { Expectation } from './vector-case.ts';

/** Compares what went up with what the step tells; one that tells nothing changed nothing. */
export function compareLinks(
	lab: Laboratory,
	expect: Expectation,
	name: string,
): Difference | undefined {
	const have: Record<string, Record<string, number>> = {};
	for (const { name: device, virtual, counters } of lab.world.host.devices()) {
		if (virtual === null) {
			continue;
		}
		const raised = raisedBy(lab.links.get(device), counters);
		if (Object.keys(raised).length > 0) {
			have[device] = raised;
		}
		lab.links.set(device, { ...counters });
	}
	return differs(`${name} links`, expect.links ?? {}, have);
}

function raisedBy(before: LinkCounters | undefined, now: LinkCounters): Record<string, number> {
	const raised: Record<string, number> = {};
	for (const [field, value] of Object.entries(now)) {
		const more = value - (before?.[field as keyof LinkCounters] ?? 0);
		if (more !== 0) {
			raised[field.replace(/[A-Z]/, (letter) => `_${letter.toLowerCase()}`)] = more;
		}
	}
	return raised;
}
