/**
 * `xfrm state|policy|monitor …`: the language of `ip xfrm`, its text and its exit statuses, on the daemon of
 * this network namespace if one runs, else on the running kernel. What is ours begins with two hyphens and
 * may stand anywhere: --json, --show-keys, --kernel, --daemon, --profile.
 */
import { readFileSync } from 'node:fs';
import {
	batchLines,
	batchOf,
	type Command,
	type CommandContext,
	KeyNames,
	parseCommand,
	runCommandAsync,
} from '@xfrm/iproute/commands';
import { type NetlinkSocket, TransportError } from '@xfrm/netlink';
import { Errno } from '@xfrm/wire/xfrm';
import { exchangeOver } from './socket-exchange.ts';
import { type Target, transportTo } from './target.ts';
import { utcOffsetSeconds } from './time-zone.ts';
import { UsageError } from './usage.ts';

/** `ip`'s status for what fails outside of the kernel. */
const FAILED = 1;

interface Asked {
	readonly words: readonly string[];
	readonly context: CommandContext;
	readonly showKeys: boolean;
	/** Who is asked, when that was said. */
	readonly target: Target | undefined;
}

function parseAsked(args: readonly string[], library: typeof import('@xfrm/linux')): Asked {
	const words: string[] = [];
	let json = false;
	let showKeys = false;
	let target: Asked['target'];
	let release: CommandContext['release'] = '7.1';
	for (let at = 0; at < args.length; at++) {
		const word = args[at] ?? '';
		if (word === '--json') {
			json = true;
		} else if (word === '--show-keys') {
			showKeys = true;
		} else if (word === '--profile') {
			release = releaseOf(args[++at]);
		} else if (word === '--kernel' || word === '--daemon') {
			target = word === '--kernel' ? 'kernel' : 'daemon';
		} else {
			words.push(word);
		}
	}
	const { interfaceIndex, interfaceName } = library;
	const context = { interfaceIndex, interfaceName, utcOffsetSeconds, release, json };
	return { words, context, showKeys, target };
}

/** Whose texts are printed: 6.1's with the profile of that kernel. */
function releaseOf(profile: string | undefined): '6.1' | '7.1' {
	if (profile !== 'linux61' && profile !== 'linux619' && profile !== 'linux72') {
		throw new UsageError(`found "${profile ?? ''}", expected --profile linux61|linux619|linux72`);
	}
	return profile === 'linux61' ? '6.1' : '7.1';
}

/** Runs the words of a command line; the exit status. */
export async function ipCommand(args: readonly string[]): Promise<number> {
	const library = await import('@xfrm/linux');
	const asked = parseAsked(args, library);
	const session = new Session(asked, () => transportTo(asked.target, library).open());
	try {
		return await session.run();
	} catch (error) {
		if (error instanceof TransportError) {
			process.stderr.write(`xfrm: ${error.message}\n`);
			return FAILED;
		}
		throw error;
	} finally {
		session.close();
	}
}

/** One socket for all commands, opened by the first that needs one. */
class Session {
	readonly #asked: Asked;
	readonly #keys: KeyNames = new KeyNames();
	readonly #open: () => NetlinkSocket;
	#socket: NetlinkSocket | undefined;
	#seq: number = 1;

	constructor(asked: Asked, open: () => NetlinkSocket) {
		this.#asked = asked;
		this.#open = open;
	}

	close(): void {
		this.#socket?.close();
	}

	get #connected(): NetlinkSocket {
		this.#socket ??= this.#open();
		return this.#socket;
	}

	async run(): Promise<number> {
		const { words } = this.#asked;
		const batch = batchOf(words);
		if (batch === undefined) {
			return this.#command(words);
		}
		const text = readBatch(batch.file);
		if (text === undefined) {
			return FAILED;
		}
		let status = 0;
		for (const { line, text: command } of batchLines(text)) {
			const options = batch.options.join(' ');
			const done = await this.#command(`${options} ${command}`);
			if (done !== 0 && !batch.force) {
				return done;
			}
			if (done !== 0) {
				process.stderr.write(`Command failed ${batch.file}:${line}\n`);
				status = FAILED;
			}
		}
		return status;
	}

	async #command(words: string | readonly string[]): Promise<number> {
		const { context } = this.#asked;
		const { command, problem } = parseCommand(words, { ...context, seq: this.#seq });
		if (command === undefined) {
			process.stderr.write(`${problem.message}\n`);
			return problem.status;
		}
		this.#seq += command.requests.length;
		const printed = { ...context, keys: this.#hides(command) ? this.#keys : undefined };
		if (command.plan.kind === 'monitor') {
			const { watchEvents } = await import('./monitor-events.ts');
			return watchEvents(command, command.plan, () => this.#connected, printed);
		}
		const exchange = (datagram: Uint8Array): Promise<readonly Uint8Array[]> =>
			exchangeOver(this.#connected, datagram);
		const { status, stdout, stderr, errno } = await runCommandAsync(command, exchange, printed);
		process.stdout.write(stdout);
		process.stderr.write(errno === Errno.EPERM ? withAdvice(stderr) : stderr);
		return status;
	}

	/** Keys are hidden unless asked for; `nokeys` does it in ip's way. */
	#hides(command: Command): boolean {
		const nokeys = command.print.nokeys || (command.plan.kind === 'monitor' && command.plan.nokeys);
		return !this.#asked.showKeys && !nokeys;
	}
}

/** What ip says, and what can be done about it. */
function withAdvice(stderr: string): string {
	const advice =
		'xfrm: XFRM needs CAP_NET_ADMIN in this network namespace, for reading too: run it as root, or try ' +
		'it in a namespace of your own with "unshare -rn"\n';
	return process.geteuid?.() === 0 ? stderr : stderr + advice;
}

/** The text of a batch file, undefined after a complaint in ip's words. */
function readBatch(file: string): string | undefined {
	try {
		return readFileSync(file === '-' ? 0 : file, 'utf8');
	} catch {
		const reason = `Cannot open file "${file}" for reading: No such file or directory`;
		process.stderr.write(`${reason}\n`);
		return undefined;
	}
}
