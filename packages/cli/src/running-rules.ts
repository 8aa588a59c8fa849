/**
 * What runs here, for `xfrm explain --kernel` and `--daemon`: the rules of the kernel or the daemon, and the
 * host around them as `ip` tells it.
 */
import { spawnSync } from 'node:child_process';
import { markText, reasonTitle } from '@xfrm/explain';
import type { ToldDrop } from '@xfrm/linux';
import { attributeValue, NetlinkError, TransportError, XfrmClient } from '@xfrm/netlink';
import { Errno, Family, formatAddress } from '@xfrm/wire/xfrm';
import type { ExplainArguments, Item } from './explain-arguments.ts';
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
		return { rules, host: told ? undefined : hostText(target) };
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

/** What `ip` prints of interfaces by if_id, addresses and routes; undefined where there is no ip. */
function hostText(target: Target): string | undefined {
	const ask = (words: readonly string[]) => spawnSync('ip', [...words], { encoding: 'utf8' });
	const parts = HOST_QUESTIONS.map(ask);
	const [first] = parts;
	if (first?.status !== 0) {
		return undefined;
	}
	const interfaces =
		target === 'daemon' ? daemonInterfaces(first.stdout) : ask(XFRM_INTERFACES).stdout;
	return [interfaces, ...parts.map(({ stdout }) => stdout)].join('');
}

/** Devices that the daemon has made for an if_id are TUN devices to `ip`: their names tell. */
export function daemonInterfaces(addresses: string): string {
	return [...addresses.matchAll(/^(\d+: xfrm-(\d+)): /gm)]
		.map(([, start = '', ifId = '']) => `${start}: <UP>\n    xfrm if_id ${ifId}\n`)
		.join('');
}

/** A packet that the daemon has dropped, as something to explain. */
export interface DroppedPacket {
	/** Tables as they were. */
	readonly rules: RulesText;
	readonly host: string | undefined;
	readonly item: Item;
	/** Where and when, for people. */
	readonly note: string;
}

/**
 * The packet that was dropped last, or before that.
 *
 * @param which 0 is the newest
 * @throws UsageError when there is none, or only what was left of it
 */
export async function readDrop(
	which: number,
	asked: Pick<ExplainArguments, 'hosts' | 'locals'>,
): Promise<DroppedPacket> {
	const { DaemonObserver, interfaceName } = await import('@xfrm/linux');
	let told: ToldDrop | undefined;
	try {
		const observer = new DaemonObserver();
		told = await observer.drop(which).finally(() => observer.close());
	} catch (error) {
		if (error instanceof TransportError) {
			throw new UsageError(`--daemon: ${error.message}`);
		}
		throw error;
	}
	if (told === undefined) {
		throw new UsageError(
			which === 0
				? 'the daemon has dropped no packet'
				: `the daemon has kept fewer than ${which + 1} dropped packets (xfrm top --once tells how many)`,
		);
	}
	const { head } = told;
	const when = new Date(head.time * 1000).toISOString();
	if (!head.whole) {
		throw new UsageError(
			`a packet was dropped at ${when} (${head.counter}), but is not kept as it came: the next one will be`,
		);
	}
	const device = head.ifindex === 0 ? undefined : interfaceName(head.ifindex);
	const why = head.code === null ? '' : `: ${reasonTitle(head.code).replace(/\.$/, '')}`;
	return {
		rules: { file: '(daemon)', text: tablesOf(told, interfaceName), host: undefined },
		host: asked.hosts.length > 0 || asked.locals.length > 0 ? undefined : hostText('daemon'),
		item: {
			text: head.packet,
			options: {
				mark: head.mark,
				...(head.if_id === 0 ? {} : { ifId: head.if_id }),
				...(head.way === 'inward' ? { direction: 'in' as const } : {}),
				...(device === undefined || head.way !== 'inward' ? {} : { device }),
			},
			time: { seconds: head.time, relative: false },
		},
		note: `dropped at ${when}, ${head.counter}${why}; rules as they were then`,
	};
}

function tablesOf(told: ToldDrop, interfaceName: (ifindex: number) => string | undefined): string {
	const { head, states, policies } = told;
	const wiped = new Set(head.wiped);
	const [ins, outs, forwards] = head.defaults;
	const tables = {
		states,
		policies,
		defaults: { in: ins, out: outs, fwd: forwards },
		thresholds: { threshold4: { lbits: 32, rbits: 32 }, threshold6: { lbits: 128, rbits: 128 } },
	};
	const json = snapshotJson(tables, {
		time: Math.floor(head.time),
		context: { interfaceName, utcOffsetSeconds },
		isWiped: ({ body, attributes }) => {
			const mark = attributeValue(attributes, 'mark');
			const suffix = mark === undefined ? '' : ` mark ${markText(mark.v, mark.m)}`;
			const family = body.family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
			const { proto, spi, daddr } = body.id;
			return wiped.has(`${proto} ${spi} ${formatAddress(daddr, family)}${suffix}`);
		},
	});
	return JSON.stringify(json);
}

/** Only what is refused for want of a right is helped by having it. */
function adviceFor(errno: number): string {
	return errno === Errno.EPERM ? ' (reading needs CAP_NET_ADMIN: run it as root)' : '';
}
