/** The first place where what a kernel did and what we did are not the same, ready to be read by a person. */

export interface Difference {
	/** Where: `step 3 emit 0 packet`. */
	readonly field: string;
	readonly want: string;
	readonly have: string;
}

/** As text for a terminal; long values are cut around the first place where they part. */
export function formatDifference(difference: Difference): string {
	const { field, want, have } = difference;
	let same = 0;
	while (same < want.length && want[same] === have[same]) {
		same++;
	}
	const from = Math.max(0, same - 24);
	const cut = (text: string): string => {
		const piece = text.slice(from, from + 160);
		return `${from > 0 ? '…' : ''}${piece}${from + 160 < text.length ? '…' : ''}`;
	};
	const at = want.length > 160 || have.length > 160 ? ` (part at character ${same})` : '';
	return `${field}${at}\n      want ${cut(want)}\n      have ${cut(have)}`;
}

/** Compares two plain values as JSON, keys sorted. */
export function differs(field: string, want: unknown, have: unknown): Difference | undefined {
	const [a, b] = [stable(want), stable(have)];
	return a === b ? undefined : { field, want: a, have: b };
}

function stable(value: unknown): string {
	if (value === undefined) {
		return 'nothing';
	}
	return JSON.stringify(value, (_key, part: unknown) =>
		part !== null && typeof part === 'object' && !Array.isArray(part)
			? Object.fromEntries(Object.entries(part).sort(([x], [y]) => (x < y ? -1 : 1)))
			: part,
	);
}
