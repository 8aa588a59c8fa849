/** `xfrm top`: states by traffic and drops by cause, again and again. */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { DaemonObserver } from '@xfrm/linux';
import { XfrmClient } from '@xfrm/netlink';
import { readCounters } from './stat-command.ts';
import { namedTarget, type Target, transportTo } from './target.ts';
import { type TopReading, topFrame, topText } from './top-view.ts';
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
/** Lines of a frame besides the rows of its two tables. */
const FRAME_LINES = 8;
const COLUMNS_DEFAULT = 160;
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
	const client = new XfrmClient(transportTo(known, library));
	const observer = known === 'daemon' ? new library.DaemonObserver() : undefined;
	try {
		let before: TopReading | undefined;
		for (;;) {
			const now = await read(client, observer);
			const frame = topFrame(now, before);
			process.stdout.write(json ? `${JSON.stringify(frame)}\n` : textOf(frame, once));
			if (once) {
				return 0;
			}
			before = now;
			await sleep(interval * 1000);
		}
	} finally {
		observer?.close();
		client.close();
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

async function read(client: XfrmClient, observer: DaemonObserver | undefined): Promise<TopReading> {
	const states = await client.states.dump();
	if (observer === undefined) {
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
	const { time, policies, counters, drops, own } = await observer.numbers();
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

function textOf(frame: ReturnType<typeof topFrame>, once: boolean): string {
	const {
		isTTY,
		rows = 2 * ROWS_DEFAULT + FRAME_LINES,
		columns = COLUMNS_DEFAULT,
	} = process.stdout;
	const room = once ? ROWS_DEFAULT : Math.max(1, Math.floor((rows - FRAME_LINES) / 2));
	const text = `${topText(frame, room, columns).join('\n')}\n`;
	if (once) {
		return text;
	}
	return isTTY === true ? `${CLEAR}${text}` : `${text}\n`;
}
