/**
 * What runs here, for `xfrm explain --kernel` and `--daemon`: the rules of the kernel or the daemon, and the
 * host around them as `ip` tells it.
 */
import { spawnSync } from 'node:child_process';
import type { DaemonDevice, DaemonNumbers } from '@xfrm/linux';
import { NetlinkError, TransportError, XfrmClient } from '@xfrm/netlink';
import { Errno } from '@xfrm/wire/xfrm';
import type { ExplainArguments } from './explain-arguments.ts';
import type { RulesText } from './explain-input.ts';
import { readTables, snapshotJson } from './kernel-tables.ts';
import { outageText } from './outage.ts';
import { type Target, transportTo } from './target.ts';
import { utcOffsetSeconds } from './time-zone.ts';
import { UsageError } from './usage.ts';

/** What `ip` is asked for the host: outputs that `--host` reads too. */
const HOST_QUESTIONS: readonly (readonly string[])[] = [['address'], ['route'], ['-6', 'route']];
/** Only the description of an XFRM interface has its if_id. */
const XFRM_INTERFACES: readonly string[] = ['-d', 'link', 'show', 'type', 'xfrm'];

/** What is in force here. */
export interface Running {
	readonly rules: RulesText;
	readonly host: string | undefined;
	/** A key manager listens; the kernel does not say whether one does. */
	readonly heard: boolean;
}

/** Rules as text, and the host; undefined where the options say what the host is. @throws UsageError */
export async function readRunning(
	target: Target,
	asked: Pick<ExplainArguments, 'hosts' | 'locals'>,
): Promise<Running> {
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
		const numbers = target === 'daemon' ? await readNumbers() : undefined;
		const host = told ? undefined : hostText(numbers?.devices);
		return { rules, host, heard: numbers?.heard ?? true };
	} catch (error) {
		if (error instanceof NetlinkError || error instanceof TransportError) {
			const text = outageText(error) ?? `${error.message}${adviceFor(error.errno)}`;
			throw new UsageError(`--${target}: ${text}`);
		}
		throw error;
	} finally {
		client?.close();
	}
}

async function readNumbers(): Promise<DaemonNumbers> {
	const { DaemonObserver } = await import('@xfrm/linux');
	const observer = new DaemonObserver();
	return observer.numbers().finally(() => observer.close());
}

/**
 * What `ip` prints of interfaces by if_id, addresses and routes; undefined where there is no ip.
 *
 * @param devices the daemon's, undefined for the kernel
 */
export function hostText(devices: readonly DaemonDevice[] | undefined): string | undefined {
	const ask = (words: readonly string[]) => spawnSync('ip', [...words], { encoding: 'utf8' });
	const parts = HOST_QUESTIONS.map(ask);
	const [first] = parts;
	if (first?.status !== 0) {
		return undefined;
	}
	const texts = parts.map(({ stdout }) => stdout);
	return devices === undefined
		? [ask(XFRM_INTERFACES).stdout, ...texts].join('')
		: [daemonInterfaces(first.stdout, devices), ...texts.map(withoutLanes)].join('');
}

/** The daemon's own devices stand between it and the kernel: no packet of its host goes by them. */
export function withoutLanes(text: string): string {
	return text
		.replace(/^\d+: xfrmd\d+: .*\n(?:[ \t].*\n)*/gm, '')
		.replace(/^.* dev xfrmd\d+ .*\n/gm, '');
}

/** Devices that the daemon has made for an if_id are TUN devices to `ip`: only the daemon knows whose. */
export function daemonInterfaces(addresses: string, devices: readonly DaemonDevice[]): string {
	const ifIds = new Map(devices.map((device) => [device.name, device.if_id]));
	return [...addresses.matchAll(/^(\d+: ([^\s:@]+))[^\s:]*: /gm)]
		.flatMap(([, start, name = '']) =>
			ifIds.has(name) ? [`${start}: <UP>\n    xfrm if_id ${ifIds.get(name)}\n`] : [],
		)
		.join('');
}

/** Only what is refused for want of a right is helped by having it. */
function adviceFor(errno: number): string {
	return errno === Errno.EPERM ? ' (reading needs CAP_NET_ADMIN: run it as root)' : '';
}
