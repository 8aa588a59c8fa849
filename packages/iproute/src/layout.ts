/** How things are printed: the options of `ip`, ends of lines, and small forms that several printers share. */
import { formatCivil } from './civil-time.ts';
import type { CommandContext, PrintOptions, Release } from './command.ts';
import type { FlagWords } from './flag-words.ts';
import { KeyNames } from './key-names.ts';

export class Layout {
	readonly stats: number;
	readonly oneline: boolean;
	readonly nokeys: boolean;
	/** Family of selectors that have none. */
	readonly family: number;
	readonly release: Release;
	/** Names that stand for keys; undefined: keys are shown, or hidden without a name. */
	readonly keys: KeyNames | undefined;
	/** The same for JSON, which has no other way to hide one. */
	readonly jsonKeys: KeyNames | undefined;
	readonly #context: CommandContext;

	constructor(print: PrintOptions, release: Release, context: CommandContext) {
		this.stats = print.stats;
		this.oneline = print.oneline;
		this.nokeys = print.nokeys;
		this.family = print.family;
		this.release = release;
		this.keys = print.nokeys ? undefined : context.keys;
		this.jsonKeys = print.nokeys ? (context.keys ?? new KeyNames()) : context.keys;
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
