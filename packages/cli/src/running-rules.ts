/**
 * What runs here, for `xfrm explain --kernel` and `--daemon`: the rules of the kernel or the daemon, and the
 * host around them as `ip` tells it.
 */
import { spawnSync } from 'node:child_process';
import { NetlinkError, TransportError, XfrmClient } from '@xfrm/netlink';
import { Errno } from '@xfrm/wire/xfrm';
import type { ExplainArguments } from './explain-arguments.ts';
import type { RulesText } from './explain-input.ts';
import { readTables, snapshotJson } from './kernel-tables.ts';
import { type Target, transportTo } from './target.ts';
import { utcOffsetSeconds } from './time-zone.ts';
import { UsageError } from './usage.ts';

/** What `ip` is asked for the host: outputs that `--host` reads too. */
const HOST_QUESTIONS: readonly (readonly string[])[] = [['address'], ['route'], ['-6', 'route']];

/** Rules as text, and the host; undefined where the options say what the host is. @throws UsageError */
export async function readRunning(
	target: Target,
	asked: Pick<ExplainArguments, 'hosts' | 'locals'>,
): Promise<{ readonly rules: RulesText; readonly host: string | undefined }> {
	const library = await import('@xfrm/linux');
	const { interfaceName } = library;
	let client: XfrmClient | undefined;
	try {
		client = new XfrmClient(transportTo(target, library));
		const tables = await readTables(client);
		const time = Math.floor(Date.now() / 1000);
		const json = snapshotJson(tables, { time, context: { interfaceName, utcOffsetSeconds } });
		const rules = { file: `(${target})`, text: JSON.stringify(json), host: undefined };
		const told = asked.hosts.length > 0 || asked.locals.length > 0;
		return { rules, host: told ? undefined : hostText() };
	} catch (error) {
		if (error instanceof NetlinkError || error instanceof TransportError) {
			throw new UsageError(`--${target}: ${error.message}${adviceFor(error.errno)}`);
		}
		throw error;
	} finally {
		client?.close();
	}
}

/** What `ip` prints of addresses and routes; undefined where there is no ip. */
function hostText(): string | undefined {
	const parts = HOST_QUESTIONS.map((words) => spawnSync('ip', [...words], { encoding: 'utf8' }));
	const [first] = parts;
	return first?.status === 0 ? parts.map(({ stdout }) => stdout).join('') : undefined;
}

/** Only what is refused for want of a right is helped by having it. */
function adviceFor(errno: number): string {
	return errno === Errno.EPERM ? ' (reading needs CAP_NET_ADMIN: run it as root)' : '';
}
