/**
 * The name of a history: version of the simulation, scenario, number. One name, one history; a name of
 * another version would mean another history, so it is refused rather than shown.
 *
 *     2-site-to-site-4711
 */

/** Raise it with every change that makes an old name mean another history. */
export const HISTORY_VERSION = 2;

export interface Seed {
	readonly scenario: string;
	/** 0 … 2^32 - 1. */
	readonly number: number;
}

export function formatSeed(seed: Seed): string {
	return `${HISTORY_VERSION}-${seed.scenario}-${seed.number}`;
}

/** Reads a seed; a string instead of one says why not. */
export function parseSeed(text: string, scenarios: readonly string[]): Seed | string {
	const [, version = '', scenario = '', digits = ''] =
		/^(\d+)-([a-z-]+)-(\d+)$/.exec(text.trim()) ?? [];
	if (version === '') {
		return `${text}: expected VERSION-SCENARIO-NUMBER, as ${formatSeed({ scenario: 'site-to-site', number: 1 })}`;
	}
	if (Number(version) !== HISTORY_VERSION) {
		return `${text} is of version ${version}; this is version ${HISTORY_VERSION}, where it would be another history`;
	}
	if (!scenarios.includes(scenario)) {
		return `${text}: no scenario ${scenario}; there are ${scenarios.join(', ')}`;
	}
	const number = Number(digits);
	return number <= 0xffff_ffff ? { scenario, number } : `${text}: a number is at most 2^32 - 1`;
}
