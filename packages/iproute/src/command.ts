/**
 * A command of `ip xfrm`, read: the requests it sends, and what is done with the answers. How commands are
 * read is in parse-command.ts, how they are carried out in run-command.ts.
 */
import type { PolicyFilter, StateFilter } from './dump-filter.ts';
import type { KeyNames } from './key-names.ts';
import type { Problem } from './problem.ts';

/** Whose grammar and texts are spoken: 6.1 knows neither directions nor processors of states. */
export type Release = '6.1' | '7.1';

/** How answers are printed: `ip`'s options before the object. */
export interface PrintOptions {
	/** How often -s was given: 1 shows lifetimes and statistics, 2 more. */
	readonly stats: number;
	/** -o: lines of one object are joined by backslashes. */
	readonly oneline: boolean;
	/** -t: events carry the time. */
	readonly timestamp: boolean;
	/** -ts: in one word. */
	readonly shortTimestamp?: boolean;
	/** Keys are not shown. */
	readonly nokeys: boolean;
	/** -4, -6 or 0. */
	readonly family: number;
}

/** What is done with the answers to a command's requests. */
export type Plan =
	/** The kernel acknowledges. */
	| { readonly kind: 'acknowledged' }
	/** The kernel answers with one message, which is printed. */
	| { readonly kind: 'answered' }
	/** The kernel dumps; what passes the filter is printed. */
	| { readonly kind: 'list'; readonly filter: StateFilter | PolicyFilter }
	/** The kernel dumps, what passes the filter is deleted, until nothing is left. */
	| { readonly kind: 'deleteall'; readonly filter: StateFilter | PolicyFilter }
	/** Events of these groups (`1 << (group - 1)`) are printed as they come. */
	| {
			readonly kind: 'monitor';
			readonly groups: number;
			readonly allNsid: boolean;
			readonly nokeys: boolean;
			/** Events come from this file of netlink messages. */
			readonly file?: string;
	  }
	/** Nothing is sent; the text goes to stderr. */
	| { readonly kind: 'help'; readonly text: string };

/** A command of `ip xfrm`, read and ready to send. */
export interface Command {
	readonly object: 'state' | 'policy' | 'monitor';
	/** Full keyword: `add`, `deleteall`, `list`, `setdefault` … */
	readonly action: string;
	/** Requests in order, a datagram each; those of `deleteall` go on as answers come. */
	readonly requests: readonly Uint8Array[];
	readonly plan: Plan;
	readonly print: PrintOptions;
	readonly release: Release;
	/** The words it was made of, options and `ip xfrm` included. */
	readonly words: readonly string[];
}

export type ParsedCommand =
	| { readonly command: Command; readonly problem?: undefined }
	| { readonly problem: Problem; readonly command?: undefined };

/** What a command needs to know from outside. */
export interface CommandContext {
	/** Index of an interface, undefined when there is none of this name. */
	readonly interfaceIndex?: (name: string) => number | undefined;
	/** Name of an interface, undefined when there is none: printed as `if7` then. */
	readonly interfaceName?: (index: number) => string | undefined;
	/** Seconds east of UTC at a time (Unix seconds), for printed times; default UTC. */
	readonly utcOffsetSeconds?: (time: number) => number;
	/** Sequence number of the first request; default 1. */
	readonly seq?: number;
	/** Line number for problems; default 1. */
	readonly line?: number;
	/** Default 7.1. */
	readonly release?: Release;
	/** Answers and events are printed as lines of JSON instead of text. */
	readonly json?: boolean;
	/** Keys are printed as `<<key#1 hidden>>`, unless the command says `nokeys`. */
	readonly keys?: KeyNames | undefined;
}

/** What a command did, as `ip` would show it. */
export interface CommandResult {
	/** 0, 1 or 255 for what `ip` refuses, 2 when the kernel did (C-11). */
	readonly status: number;
	readonly stdout: string;
	readonly stderr: string;
	/** Of the kernel's refusal, positive; 0 for none. */
	readonly errno: number;
	/** The kernel's sentence, when it gave one. */
	readonly message?: string;
}

/** Sends a datagram and gives all datagrams that came back. */
export type Exchange = (datagram: Uint8Array) => readonly Uint8Array[];

/** The same, later. */
export type AsyncExchange = (datagram: Uint8Array) => Promise<readonly Uint8Array[]>;
