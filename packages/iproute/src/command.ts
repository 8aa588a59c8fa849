/**
 * Commands of `ip xfrm` as netlink requests (spec 5.1; iproute2's ip/xfrm_state.c, ip/xfrm_policy.c).
 */
import type { Problem } from './problem.ts';

/** What a command needs to know from outside. */
export interface CommandContext {
	/** Index of an interface, 0 or undefined when there is none of this name. */
	readonly interfaceIndex?: (name: string) => number | undefined;
	/** Name of an interface, undefined when there is none. */
	readonly interfaceName?: (index: number) => string | undefined;
	/** Sequence number of the first request; default 1. */
	readonly seq?: number;
	/** Line number for problems; default 1. */
	readonly line?: number;
}

/** A command of `ip xfrm`, read and ready to send. */
export interface Command {
	readonly object: 'state' | 'policy' | 'monitor';
	/** Full keyword: `add`, `deleteall`, `list`, `setdefault` … */
	readonly action: string;
	/** Requests in order, a datagram each; those of `deleteall` depend on answers, see `runCommand`. */
	readonly requests: readonly Uint8Array[];
	/** The words it was made of. */
	readonly words: readonly string[];
}

export type ParsedCommand =
	| { readonly command: Command; readonly problem?: undefined }
	| { readonly problem: Problem; readonly command?: undefined };

/** What a command did, as `ip` would show it. */
export interface CommandResult {
	/** 0, 1 for bad arguments, 2 when the kernel refused (C-11). */
	readonly status: number;
	readonly stdout: string;
	readonly stderr: string;
	/** Of the refusal, positive; 0 for none. */
	readonly errno: number;
}

/** Sends a datagram and gives all datagrams that came back. */
export type Exchange = (datagram: Uint8Array) => readonly Uint8Array[];

/**
 * Reads one command, as text with shell quotes or as words, with or without the leading words `ip` and
 * `xfrm` and options between them.
 */
export function parseCommand(
	_input: string | readonly string[],
	_context?: CommandContext,
): ParsedCommand {
	throw new RangeError('not written yet');
}

/** Carries a command out over any exchange of datagrams and words the answers as `ip` does. */
export function runCommand(
	_command: Command,
	_exchange: Exchange,
	_context?: CommandContext,
): CommandResult {
	throw new RangeError('not written yet');
}
