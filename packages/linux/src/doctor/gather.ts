/** Gathers what `xfrm doctor` looks at: from /proc and /sys, from `ip`, `nft` and `iptables`, over netlink. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { release, version } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { DAEMON_COUNTERS } from '@xfrm/explain';
import { NetlinkError, TransportError, XfrmClient } from '@xfrm/netlink';
import { formatAddress } from '@xfrm/wire/xfrm';
import { type DaemonDevice, type DaemonNumbers, DaemonObserver } from '../daemon-observation.ts';
import { defaultTransport, hasDaemon } from '../daemon-transport.ts';
import { linuxTransport } from '../linux-transport.ts';
import { openScratchSocket } from '../scratch-namespace.ts';
import { readXfrmStat } from '../xfrm-stat.ts';
import { probeAbilities } from './abilities.ts';
import type { AbilityFacts, LinkFacts, MachineFacts, RouteFacts, SocketFacts } from './facts.ts';
import { parseIptables, parseNft } from './packet-filter.ts';

/** Milliseconds between the two readings of the counters. */
const WATCH_MS = 500;
/** Milliseconds that a program may take. */
const PROGRAM_MS = 10_000;
const OUTPUT_OCTETS_MAX = 64 << 20;

/** What was asked for. */
export interface GatherOptions {
	/** Nothing is tried in a namespace, so no module is loaded; default false. */
	readonly quiet?: boolean;
}

class Gatherer {
	readonly unseen: string[] = [];

	/** Output of a program; empty, with a note, where it is not there or refuses. */
	async run(program: string, args: readonly string[], needed: boolean = true): Promise<string> {
		try {
			return await outputOf(program, args);
		} catch (error) {
			const code = (error as NodeJS.ErrnoException).code;
			if (needed || code !== 'ENOENT') {
				const why = code === 'ENOENT' ? 'is not installed' : 'refuses to answer';
				this.unseen.push(`${program} ${why}: what it would tell was not looked at`);
			}
			return '';
		}
	}
}

function outputOf(program: string, args: readonly string[]): Promise<string> {
	const options = { timeout: PROGRAM_MS, maxBuffer: OUTPUT_OCTETS_MAX };
	return new Promise((resolve, reject) => {
		execFile(program, [...args], options, (error, stdout) => {
			if (error === null) {
				resolve(stdout);
			} else {
				reject(error);
			}
		});
	});
}

function readText(path: string): string | undefined {
	try {
		return readFileSync(path, 'latin1');
	} catch {
		return undefined;
	}
}

/** A row of `ip -j -d address`. */
interface IpAddressRow {
	readonly ifname?: string;
	readonly ifindex?: number;
	readonly flags?: readonly string[];
	readonly operstate?: string;
	readonly mtu?: number;
	readonly linkinfo?: {
		readonly info_kind?: string;
		readonly info_data?: { readonly if_id?: string | number };
	};
	readonly addr_info?: readonly { readonly local?: string; readonly prefixlen?: number }[];
}

/** Interfaces of `ip -j -d address`; an output of another form has none. */
export function parseLinks(text: string): readonly LinkFacts[] {
	return parseRows<IpAddressRow>(text).map((row) => {
		const { ifname = '', ifindex = 0, flags = [], mtu = 0, linkinfo, addr_info: list = [] } = row;
		const ifId = linkinfo?.info_data?.if_id;
		return {
			name: ifname,
			index: ifindex,
			// A device without carrier is up, and carries nothing.
			up: flags.includes('UP') && !flags.includes('NO-CARRIER'),
			mtu,
			kind: linkinfo?.info_kind ?? '',
			ifId: ifId === undefined ? undefined : Number(ifId),
			addresses: list
				.filter(({ local }) => local !== undefined)
				.map(({ local = '', prefixlen = 0 }) => ({ address: local, prefix: prefixlen })),
		};
	});
}

/** Rows of `ip -j`; JSON of another form has none. */
function parseRows<T>(text: string): readonly T[] {
	try {
		const rows: unknown = JSON.parse(text);
		return Array.isArray(rows) ? (rows as readonly T[]).filter((row) => row !== null) : [];
	} catch {
		return [];
	}
}

interface IpRouteRow {
	readonly dev?: string;
	readonly metrics?: readonly { readonly mtu?: number }[];
	readonly type?: string;
}

/** The way of `ip -j route get`. */
export function parseRoute(text: string): RouteFacts | undefined {
	const [row] = parseRows<IpRouteRow>(text);
	const unreachable = row?.type === 'unreachable' || row?.type === 'blackhole';
	return row?.dev === undefined || unreachable
		? undefined
		: { dev: row.dev, mtu: row.metrics?.find(({ mtu }) => mtu !== undefined)?.mtu };
}

const SYSCTLS = [
	'net.ipv4.ip_forward',
	'net.ipv6.conf.all.forwarding',
	'net.core.xfrm_larval_drop',
	'net.core.xfrm_acq_expires',
];
const DEVICE_SYSCTLS = ['disable_xfrm', 'disable_policy', 'rp_filter', 'send_redirects'];

function readSysctls(links: readonly LinkFacts[]): ReadonlyMap<string, string> {
	const values = new Map<string, string>();
	const read = (name: string, path: string): void => {
		const text = readText(`/proc/sys/${path}`);
		if (text !== undefined) {
			values.set(name, text.trim());
		}
	};
	for (const name of SYSCTLS) {
		read(name, name.replaceAll('.', '/'));
	}
	// A device's name may have dots in it: as paths they are what they are.
	for (const device of ['all', 'default', ...links.map(({ name }) => name)]) {
		for (const name of DEVICE_SYSCTLS) {
			read(`net.ipv4.conf.${device}.${name}`, `net/ipv4/conf/${device}/${name}`);
		}
	}
	return values;
}

/** Processes of this network namespace: names by number. */
function processesHere(): ReadonlyMap<string, string> {
	const here = linkText('/proc/self/ns/net');
	const names = new Map<string, string>();
	for (const pid of readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name))) {
		const name = readText(`/proc/${pid}/comm`)?.trim();
		if (name !== undefined && linkText(`/proc/${pid}/ns/net`) === here) {
			names.set(pid, name);
		}
	}
	return names;
}

function linkText(path: string): string | undefined {
	try {
		return readlinkSync(path);
	} catch {
		return undefined;
	}
}

/** Ports of /proc/net/udp and udp6, with the socket's inode. */
export function parseUdp(
	text: string,
): readonly { readonly port: number; readonly inode: string }[] {
	return text
		.split('\n')
		.slice(1)
		.map((line) => line.trim().split(/\s+/))
		.filter((words) => words.length > 9)
		.map((words) => ({
			port: Number.parseInt(words[1]?.split(':')[1] ?? '0', 16),
			inode: words[9] ?? '',
		}));
}

const IKE_PORTS = new Set([500, 4500]);

function readSockets(processes: ReadonlyMap<string, string>): readonly SocketFacts[] {
	const text = ['/proc/net/udp', '/proc/net/udp6'].map((path) => readText(path) ?? '');
	const open = text.flatMap(parseUdp);
	const owners = new Map<string, string>();
	const asked = new Set(open.filter(({ port }) => IKE_PORTS.has(port)).map(({ inode }) => inode));
	for (const [pid, name] of asked.size === 0 ? [] : processes) {
		for (const fd of listed(`/proc/${pid}/fd`)) {
			const inode = /^socket:\[(\d+)\]$/.exec(linkText(`/proc/${pid}/fd/${fd}`) ?? '')?.[1];
			if (inode !== undefined && asked.has(inode)) {
				owners.set(inode, name);
			}
		}
	}
	return open.map(({ port, inode }) => ({ port, process: owners.get(inode) }));
}

function listed(path: string): readonly string[] {
	try {
		return readdirSync(path);
	} catch {
		return [];
	}
}

const KEY_MANAGERS = new Set(['charon', 'charon-systemd', 'charon-nm', 'pluto', 'iked', 'racoon']);

function readConfined(): readonly string[] {
	const text = readText('/sys/kernel/security/apparmor/profiles') ?? '';
	return text
		.split('\n')
		.filter(
			(line) => /charon|pluto|swanctl|stroke|starter/.test(line) && line.endsWith('(enforce)'),
		)
		.map((line) => line.replace(/ \(enforce\)$/, ''));
}

/** When a kernel was built, Unix seconds, from `uname -v`. */
export function parseBuildTime(text: string): number | undefined {
	const day = /\((\d{4}-\d{2}-\d{2})\)/.exec(text)?.[1];
	const date = /\w{3} (\w{3} +\d+ [\d:]{8})(?: \w+)? (\d{4})/.exec(text);
	const written = day ?? (date === null ? undefined : `${date[1]} ${date[2]} UTC`);
	const time = written === undefined ? Number.NaN : Date.parse(written);
	return Number.isNaN(time) ? undefined : time / 1000;
}

async function tryAbilities(): Promise<AbilityFacts | { readonly untried: string }> {
	try {
		const socketOf = openScratchSocket();
		return await probeAbilities({ ...linuxTransport(), open: () => socketOf });
	} catch (error) {
		if (error instanceof TransportError || error instanceof NetlinkError) {
			return { untried: error.message };
		}
		throw error;
	}
}

interface Tables {
	readonly states: MachineFacts['states'];
	readonly policies: MachineFacts['policies'];
	readonly refused: string | undefined;
}

async function readTables(): Promise<Tables> {
	let client: XfrmClient | undefined;
	try {
		client = new XfrmClient(defaultTransport());
		const states = await client.states.dump();
		const policies = await client.policies.dump();
		return { states, policies, refused: undefined };
	} catch (error) {
		if (error instanceof TransportError || error instanceof NetlinkError) {
			return { states: [], policies: [], refused: error.message };
		}
		throw error;
	} finally {
		client?.close();
	}
}

async function routesTo(
	gatherer: Gatherer,
	{ states }: Tables,
	links: readonly LinkFacts[],
): Promise<ReadonlyMap<string, RouteFacts | undefined>> {
	const own = new Set(links.flatMap(({ addresses }) => addresses.map(({ address }) => address)));
	const ends = states.flatMap(({ body: { id, saddr, family } }) => [
		formatAddress(id.daddr, family),
		formatAddress(saddr, family),
	]);
	const peers = [...new Set(ends)].filter((end) => !own.has(end)).slice(0, PEERS_MAX);
	const routes = new Map<string, RouteFacts | undefined>();
	for (const peer of gatherer.unseen.some((note) => note.startsWith('ip ')) ? [] : peers) {
		try {
			routes.set(peer, parseRoute(await outputOf('ip', ['-j', 'route', 'get', peer])));
		} catch {
			routes.set(peer, undefined); // unreachable: `ip` ends with status 2
		}
	}
	return routes;
}

/** Each peer costs a process; a gateway with more has most of them over the same routes. */
const PEERS_MAX = 64;

/** Those of Linux, and what the daemon drops under names of its own. */
export function countersOf({ counters, drops }: DaemonNumbers): ReadonlyMap<string, number> {
	const all = new Map(Object.entries(counters));
	for (const { counter, packets } of drops) {
		if (Object.hasOwn(DAEMON_COUNTERS, counter)) {
			all.set(counter, (all.get(counter) ?? 0) + packets);
		}
	}
	return all;
}

/** What a daemon tells, if one answers. */
async function readNumbers(): Promise<DaemonNumbers | undefined> {
	if (!hasDaemon()) {
		return undefined;
	}
	let observer: DaemonObserver | undefined;
	try {
		observer = new DaemonObserver();
		return await observer.numbers();
	} catch (error) {
		if (error instanceof TransportError) {
			return undefined;
		}
		throw error;
	} finally {
		observer?.close();
	}
}

/** The daemon's if it answers, else the kernel's. */
function countersNow(numbers: DaemonNumbers | undefined): ReadonlyMap<string, number> | undefined {
	return numbers === undefined ? readXfrmStat() : countersOf(numbers);
}

/** Devices that the daemon has made are TUN devices to `ip`. */
export function withIfIds(
	links: readonly LinkFacts[],
	devices: readonly DaemonDevice[],
): readonly LinkFacts[] {
	const ifIds = new Map(devices.map((device) => [device.name, device.if_id]));
	return links.map((link) => ({ ...link, ifId: link.ifId ?? ifIds.get(link.name) }));
}

/** Gathers everything that this process may see. */
export async function gatherFacts(options: GatherOptions = {}): Promise<MachineFacts> {
	const gatherer = new Gatherer();
	const numbers = await readNumbers();
	const before = countersNow(numbers);
	const started = performance.now();
	const tables = await readTables();
	const quiet = options.quiet === true || tables.refused !== undefined;
	const tried = quiet ? { untried: 'not asked for' } : await tryAbilities();
	const links = withIfIds(
		parseLinks(await gatherer.run('ip', ['-j', '-d', 'address'])),
		numbers?.devices ?? [],
	);
	const routes = await routesTo(gatherer, tables, links);
	const filter = [
		...parseNft(await gatherer.run('nft', ['-j', 'list', 'ruleset'], false)),
		...parseIptables(await gatherer.run('iptables-save', [], false)),
	];
	const processes = processesHere();
	await sleep(Math.max(0, WATCH_MS - (performance.now() - started)));
	const counters = countersNow(await readNumbers());
	const risen = new Map(
		[...(counters ?? [])]
			.map(([name, value]) => [name, value - (before?.get(name) ?? 0)] as const)
			.filter(([, by]) => by > 0),
	);
	return {
		...tables,
		release: release(),
		...('untried' in tried
			? { untried: quiet ? undefined : tried.untried, abilities: undefined }
			: { untried: undefined, abilities: tried }),
		daemon: hasDaemon(),
		counters,
		risen,
		sysctls: readSysctls(links),
		links,
		routes,
		sockets: readSockets(processes),
		filter,
		confined: readConfined(),
		xfrmInterfaces: existsSync('/sys/module/xfrm_interface'),
		keyManagers: [...new Set([...processes.values()].filter((name) => KEY_MANAGERS.has(name)))],
		clock: { now: Date.now() / 1000, kernelBuilt: parseBuildTime(version()) },
		unseen: gatherer.unseen,
	};
}
