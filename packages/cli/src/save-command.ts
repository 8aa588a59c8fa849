/** `xfrm save`: states and policies that are in force as one JSON snapshot, for rules and `xfrm load`. */
import { closeSync, fchmodSync, openSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { KeyNames } from '@xfrm/iproute';
import { XfrmClient } from '@xfrm/netlink';
import { readTables, snapshotJson } from './kernel-tables.ts';
import { namedTarget, transportTo } from './target.ts';
import { utcOffsetSeconds } from './time-zone.ts';
import { UsageError, usageErrorOf } from './usage.ts';

const OPTIONS = {
	'show-keys': { type: 'boolean' },
	kernel: { type: 'boolean' },
	daemon: { type: 'boolean' },
	output: { type: 'string', short: 'o' },
} as const;

/** Writes the snapshot to stdout or to a file; the exit status. */
export async function saveCommand(args: readonly string[]): Promise<number> {
	const values = parseSaveArguments(args);
	const { 'show-keys': showKeys = false, output } = values;
	const target = namedTarget(values);
	const library = await import('@xfrm/linux');
	const { interfaceName } = library;
	const client = new XfrmClient(transportTo(target, library));
	try {
		const tables = await readTables(client);
		const text = `${JSON.stringify(
			snapshotJson(tables, {
				...(showKeys ? {} : { keys: new KeyNames() }),
				time: Math.floor(Date.now() / 1000),
				context: { interfaceName, utcOffsetSeconds },
			}),
		)}\n`;
		if (output === undefined) {
			process.stdout.write(text);
		} else {
			writePrivately(output, text);
		}
		return 0;
	} finally {
		client.close();
	}
}

function parseSaveArguments(args: readonly string[]): {
	readonly 'show-keys'?: boolean;
	readonly output?: string;
	readonly kernel?: boolean;
	readonly daemon?: boolean;
} {
	try {
		return parseArgs({ args: [...args], options: OPTIONS, strict: true }).values;
	} catch (error) {
		throw usageErrorOf(error, 'save');
	}
}

/** A file that only its owner reads: with --show-keys whoever has it can read the traffic. */
function writePrivately(path: string, text: string): void {
	try {
		const fd = openSync(path, 'w', 0o600);
		try {
			fchmodSync(fd, 0o600); // it may have been there
			writeFileSync(fd, text);
		} finally {
			closeSync(fd);
		}
	} catch (error) {
		const why = error instanceof Error ? error.message : String(error);
		throw new UsageError(`${path} cannot be written: ${why}`);
	}
}
