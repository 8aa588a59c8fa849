/** The running kernel for `xfrm explain --kernel`: its rules, and the host around them as `ip` tells it. */
import { spawnSync } from 'node:child_process';
import { NetlinkError, TransportError, XfrmClient } from '@xfrm/netlink';
import type { ExplainArguments } from './explain-arguments.ts';
import type { RulesText } from './explain-input.ts';
import { readTables, snapshotJson } from './kernel-tables.ts';
import { utcOffsetSeconds } from './time-zone.ts';
import { UsageError } from './usage.ts';

/** What a kernel is asked for the host: outputs that `--host` reads too. */
const HOST_QUESTIONS: readonly (readonly string[])[] = [['address'], ['route'], ['-6', 'route']];

/** Rules as text, and the host; undefined where the options say what the host is. */
export async function readKernel(
	asked: Pick<ExplainArguments, 'hosts' | 'locals'>,
): Promise<{ readonly rules: RulesText; readonly host: string | undefined }> {
	const { interfaceName, linuxTransport } = await import('@xfrm/linux');
	let client: XfrmClient | undefined;
	try {
		client = new XfrmClient(linuxTransport());
		const tables = await readTables(client);
		const time = Math.floor(Date.now() / 1000);
		const json = snapshotJson(tables, { time, context: { interfaceName, utcOffsetSeconds } });
		const rules = { file: '(kernel)', text: JSON.stringify(json), host: undefined };
		const told = asked.hosts.length > 0 || asked.locals.length > 0;
		return { rules, host: told ? undefined : hostText() };
	} catch (error) {
		if (error instanceof NetlinkError || error instanceof TransportError) {
			throw new UsageError(
				`--kernel: ${error.message} (reading needs CAP_NET_ADMIN: run it as root)`,
			);
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
