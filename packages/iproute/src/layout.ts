/** How things are printed: the options of `ip`, ends of lines, and small forms that several printers share. */
import type { CommandContext, PrintOptions, Release } from './command.ts';
import type { FlagWords } from './flag-words.ts';

export class Layout {
	readonly stats: number;
	readonly oneline: boolean;
	readonly nokeys: boolean;
	/** Family of selectors that have none. */
	readonly family: number;
	readonly release: Release;
	readonly #context: CommandContext;

	constructor(print: PrintOptions, release: Release, context: CommandContext) {
		this.stats = print.stats;
		this.oneline = print.oneline;
		this.nokeys = print.nokeys;
		this.family = print.family;
		this.release = release;
		this.#context = context;
	}

	/** Ends a line; with -o the lines of one object are joined. */
	get end(): string {
		return this.oneline ? '\\' : '\n';
	}

	/** Ends an object: with -o its one line. */
	get objectEnd(): string {
		return this.oneline ? '\n' : '';
	}

	deviceName(index: number): string {
		return this.#context.interfaceName?.(index) ?? `if${index}`;
	}

	/** A time as `YYYY-MM-DD hh:mm:ss`, `-` for never. */
	time(seconds: number): string {
		if (seconds === 0) {
			return '-';
		}
		const offset = this.#context.utcOffsetSeconds?.(seconds) ?? 0;
		return formatCivil(seconds + offset);
	}
}

/**
 * Year, month and day of a day since 1970, by the calendar's cycle of 400 years, with years that begin in
 * March (after H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
 */
function civilFromDays(days: number): readonly [year: number, month: number, day: number] {
	const shifted = days + 719_468;
	const era = Math.floor(shifted / 146_097);
	const dayOfEra = shifted - era * 146_097;
	const yearOfEra = Math.floor(
		(dayOfEra -
			Math.floor(dayOfEra / 1460) +
			Math.floor(dayOfEra / 36_524) -
			Math.floor(dayOfEra / 146_096)) /
			365,
	);
	const dayOfYear =
		dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
	const marchMonth = Math.floor((5 * dayOfYear + 2) / 153);
	const day = dayOfYear - Math.floor((153 * marchMonth + 2) / 5) + 1;
	const month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9;
	return [yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day];
}

const DAY_SECONDS = 86_400;
/** Beyond this the C library's year does not fit any more. */
const TIME_MAX = 67_768_036_191_676_800;

function formatCivil(seconds: number): string {
	if (seconds >= TIME_MAX) {
		return 'invalid-time';
	}
	const days = Math.floor(seconds / DAY_SECONDS);
	const rest = seconds - days * DAY_SECONDS;
	const [year, month, day] = civilFromDays(days);
	const two = (value: number): string => String(value).padStart(2, '0');
	const clock = [Math.floor(rest / 3600), Math.floor(rest / 60) % 60, rest % 60].map(two);
	return `${String(year).padStart(4, '0')}-${two(month)}-${two(day)} ${clock.join(':')}`;
}

/** `%08x` */
export function hex8(value: number): string {
	return value.toString(16).padStart(8, '0');
}

/** `%#x`: zero has no prefix. */
export function hexAlternate(value: number): string {
	return value === 0 ? '0' : `0x${value.toString(16)}`;
}

/** `%08u` */
export function decimal8(value: number): string {
	return String(value).padStart(8, '0');
}

/** Eight binary digits. */
export function binary8(value: number): string {
	return value.toString(2).padStart(8, '0');
}

/** Names of flags with blanks between, then what has no name in hexadecimal. */
export function flagText(flags: number, words: FlagWords): string {
	let rest = flags;
	let text = '';
	for (const [name, bit] of words) {
		if ((rest & bit) !== 0) {
			rest = (rest & ~bit) >>> 0;
			text += rest === 0 ? name : `${name} `;
		}
	}
	return rest === 0 ? text : text + rest.toString(16);
}
