/** `xfrm top`: states by traffic and drops by cause, again and again. */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { XfrmClient } from '@xfrm/netlink';
import { outageText } from './outage.ts';
import { readCounters } from './stat-command.ts';
import { namedTarget, type Target, transportTo } from './target.ts';
import { utcOffsetSeconds } from './time-zone.ts';
import { type TopReading, type TopRoom, topFrame, topText, topTime } from './top-view.ts';
import { UsageError, usageErrorOf } from './usage.ts';

const OPTIONS = {
	json: { type: 'boolean' },
	once: { type: 'boolean' },
	kernel: { type: 'boolean' },
	daemon: { type: 'boolean' },
} as const;

/** Seconds between two frames, unless told. */
const INTERVAL_DEFAULT = 2;
/** Rows of each table where there is no terminal to say. */
const ROWS_DEFAULT = 20;
const CLEAR = '\x1b[H\x1b[2J';

interface TopArguments {
	readonly json: boolean;
	readonly once: boolean;
	readonly target: Target | undefined;
	/** Seconds. */
	readonly interval: number;
}

/** Prints frames until the process is ended, or one; the exit status. */
export async function topCommand(args: readonly string[]): Promise<number> {
	const { json, once, target, interval } = parseTopArguments(args);
	const library = await import('@xfrm/linux');
	const known = target ?? (library.hasDaemon() ? 'daemon' : 'kernel');
	const source = new Source(known, library);
	try {
		let before: TopReading | undefined;
		// A daemon that is not there at all is no outage.
		let isSeen = false;
		for (;;) {
			const now = await source.read().catch((error) => {
				const outage = isSeen ? outageText(error) : undefined;
				if (outage === undefined) {
					throw error;
				}
				return outage;
			});
			if (typeof now === 'string') {
				source.close();
				tellOutage(now, before !== undefined, json);
				before = undefined;
			} else {
				const frame = topFrame(now, before);
				process.stdout.write(json ? `${JSON.stringify(frame)}\n` : textOf(frame, once));
				before = now;
				isSeen = true;
			}
			if (once) {
				return 0;
			}
			await sleep(interval * 1000);
		}
	} finally {
		source.close();
	}
}

/** On a terminal in the place of the frame, elsewhere once: who reads a pipe reads frames. */
function tellOutage(text: string, isNew: boolean, json: boolean): void {
	if (process.stdout.isTTY === true && !json) {
		const time = topTime(Date.now() / 1000, utcOffsetSeconds(Date.now() / 1000));
		process.stdout.write(`${CLEAR}daemon  ${time}  ${text}\nwaiting for it\n`);
	} else if (isNew) {
		process.stderr.write(`xfrm: ${text}; waiting for it\n`);
	}
}

function parseTopArguments(args: readonly string[]): TopArguments {
	let parsed: ReturnType<typeof parse>;
	try {
		parsed = parse(args);
	} catch (error) {
		throw usageErrorOf(error, 'top');
	}
	const { values, positionals } = parsed;
	const [word, more] = positionals;
	const interval = word === undefined ? INTERVAL_DEFAULT : Number(word);
	if (more !== undefined || !(interval > 0)) {
		throw new UsageError(
			`found "${more ?? word}", expected xfrm top [--once] [--json] [--kernel|--daemon] [SECONDS]`,
		);
	}
	const { json = false, once = false } = values;
	return { json, once, interval, target: namedTarget(values) };
}

function parse(args: readonly string[]) {
	return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
}

type Library = typeof import('@xfrm/linux');

/** Where readings come from, by sockets that are opened when they are wanted. */
class Source {
	readonly #target: Target;
	readonly #library: Library;
	#client: XfrmClient | undefined;
	#observer: InstanceType<Library['DaemonObserver']> | undefined;

	constructor(target: Target, library: Library) {
		this.#target = target;
		this.#library = library;
	}

	/** Rejects with NetlinkError and TransportError. */
	async read(): Promise<TopReading> {
		this.#client ??= new XfrmClient(transportTo(this.#target, this.#library));
		const states = await this.#client.states.dump();
		return this.#target === 'kernel'
			? this.#kernelReading(this.#client, states)
			: this.#daemonReading(states);
	}

	async #kernelReading(client: XfrmClient, states: TopReading['states']): Promise<TopReading> {
		const { counts } = await client.info.policies();
		const { incnt, outcnt, fwdcnt } = counts;
		return {
			time: Date.now() / 1000,
			target: 'kernel',
			states,
			policies: incnt + outcnt + fwdcnt,
			counters: readCounters(),
			drops: [],
			own: new Map(),
		};
	}

	async #daemonReading(states: TopReading['states']): Promise<TopReading> {
		this.#observer ??= new this.#library.DaemonObserver();
		const { time, policies, counters, drops, own } = await this.#observer.numbers();
		return {
			time,
			target: 'daemon',
			states,
			policies,
			counters: new Map(Object.entries(counters)),
			drops,
			own: new Map(Object.entries(own)),
		};
	}

	close(): void {
		this.#observer?.close();
		this.#client?.close();
		this.#observer = undefined;
		this.#client = undefined;
	}
}

function textOf(frame: ReturnType<typeof topFrame>, once: boolean): string {
	const { isTTY, rows = Number.POSITIVE_INFINITY, columns } = process.stdout;
	const isScreen = isTTY === true && !once;
	const room: TopRoom = {
		// The cursor stands below.
		lines: isScreen ? rows - 1 : Number.POSITIVE_INFINITY,
		rows: isScreen ? Number.POSITIVE_INFINITY : ROWS_DEFAULT,
		columns: columns ?? Number.POSITIVE_INFINITY,
	};
	const lines = topText(frame, room, utcOffsetSeconds(frame.time));
	const text = `${lines.join('\n')}\n`;
	if (once) {
		return text;
	}
	return isScreen ? `${CLEAR}${text}` : `${text}\n`;
}
