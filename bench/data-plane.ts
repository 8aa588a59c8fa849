/**
 * `npm run bench:data-plane`: our daemon with each of its providers, and what else does ESP or its like in user
 * space, one after the other between the same two gateways, in a quarter of an hour.
 *
 *     npm run bench:data-plane [-- SECTION…] [-- --seconds N] [-- --json] [-- --check] [-- --docs]
 *
 *     packet    nanoseconds a packet in the daemon's own process, without system calls
 *     tcp       one TCP stream: throughput, processor time a gigabit
 *     udp       15,000 datagrams a second of 1372 octets in bursts: processor time a packet, loss, median round trips
 *               when it is quiet, beside them and of themselves
 *     even      the same one by one, sent back: processor time a packet, median round trip
 *     small     as many packets of 64 octets as go
 *     tunnels   15,000 datagrams a second over 1, 10, 100, 1,000 tunnels
 *     memory    of a daemon with many states and policies, fresh and behind dumps, rekeys, reloads and a restart
 *     control   ten thousand policies, and states, by `ip -batch`, and single changes, beside the running kernel
 *
 * Needs root, iperf3, strongSwan with libcharon-extra-plugins, wireguard-go and wireguard-tools; what is not installed
 * is left out and said. With libipsec-mb-dev the addon's AES-GCM is ipsec-mb's: the page says whose it is. Gateways
 * are network namespaces on this machine, which also runs the ends of the streams: read ratios, and processor time of
 * the gateways' own processes. `--docs` writes the figures into docs/data-plane-speed.md, `--check` ends with 1 where a
 * ratio misses its bound by half.
 */
import { existsSync } from 'node:fs';
import { Laboratory, pause, reasonToSkip } from '../test/ike/laboratory.ts';
import { controlSection } from './data-plane-control.ts';
import { memorySection } from './data-plane-memory.ts';
import { coldCost, packetCosts, sealingCost } from './data-plane-packet.ts';
import { writePage } from './data-plane-page.ts';
import {
	barePlane,
	COMPILER,
	copyingPlane,
	type Gateways,
	gateways,
	IPV4,
	IPV6,
	libipsecPlane,
	type Network,
	type OurSetting,
	ourPlane,
	type Plane,
	wireguardPlane,
} from './data-plane-peers.ts';
import {
	datagrams,
	type EchoResult,
	echo,
	roundTrip,
	roundTripBeside,
	type Spent,
	spreadDatagrams,
	tcpStream,
} from './data-plane-traffic.ts';
import { type Comparison, leastOf, Report, type Row } from './report.ts';

/** A plane that is measured, with what it needs that may not be installed. */
interface Case {
	readonly name: string;
	readonly needs?: string;
	up(ends: Gateways): Promise<Plane>;
}

/** Bounds against kernel-libipsec: throughput at least, processor time and round trip at most. */
interface Bounds {
	readonly least?: number;
	readonly most?: number;
}

const LIBIPSEC = 'kernel-libipsec';
const UDP_PACKETS_PER_SECOND = 15_000;
/** Payload of an IPv4 packet of 1372 octets, and of one of 64. */
const UDP_OCTETS = 1344;
const SMALL_OCTETS = 36;
const PINGS = 200;

const libipsec = (name: string, network: Network): Case => ({
	name,
	needs: '/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so',
	up: (ends) => libipsecPlane(ends, network),
});
const wireguard: Case = {
	name: 'wireguard-go',
	needs: '/usr/bin/wireguard-go',
	up: wireguardPlane,
};
const ours = (name: string, setting: OurSetting): Case => ({
	name,
	up: (ends) => ourPlane(ends, setting),
});
const addon: Case = ours('addon', { provider: 'addon', encap: true });
const ffi: Case = ours('ffi', { provider: 'ffi', encap: true });

/** Runs a plane between fresh hosts. undefined, and said, when it is not to be had here. */
async function inLaboratory<T>(
	{ name, needs, up }: Case,
	act: (ends: Gateways, plane: Plane) => Promise<T>,
): Promise<T | undefined> {
	if (needs !== undefined && !existsSync(needs)) {
		process.stderr.write(`bench data-plane: ${name} is left out: no ${needs}\n`);
		return undefined;
	}
	const laboratory = new Laboratory();
	try {
		const ends = gateways(laboratory);
		const plane = await up(ends);
		await pause(300);
		return await act(ends, plane);
	} catch (error) {
		const why = error instanceof Error ? error.message : String(error);
		process.stderr.write(`bench data-plane: ${name} failed: ${why}\n`);
		return undefined;
	} finally {
		await laboratory.close();
	}
}

const processorOf = ({ processorA, processorB }: Spent): number => processorA + processorB;

/** The ratio of a figure to the first case's, which is libipsec's. */
class Beside {
	#first: number | undefined;

	of(value: number, bounds: Bounds = {}): Comparison | undefined {
		if (this.#first === undefined) {
			this.#first = value;
			return undefined;
		}
		return { against: LIBIPSEC, ratio: value / this.#first, ...bounds };
	}
}

/** The Go implementation's own report, for 1400 octets of AES-GCM-128. */
const GO = { outward: 818, inward: 709 } as const;

async function packetSection(report: Report): Promise<void> {
	for (const provider of ['addon', 'ffi'] as const) {
		for (const cost of [...packetCosts(provider), sealingCost(provider)]) {
			const { name, octets, outward, inward } = cost;
			const beside = (go: number, ns: number): Comparison | undefined =>
				octets === 1400 ? { against: `what a Go ESP reports, ${go}`, ratio: ns / go } : undefined;
			report.add(`${provider}, ${name}: out`, outward, 'ns', beside(GO.outward, outward));
			report.add(`${provider}, ${name}: in`, inward, 'ns', beside(GO.inward, inward));
		}
		const cold = coldCost(provider);
		report.add(`${provider}, ${cold.name}: out`, cold.outward, 'ns');
		report.add(`${provider}, ${cold.name}: in`, cold.inward, 'ns');
	}
}

const TCP_CASES: readonly (Case & { readonly network?: Network; readonly bounds?: Bounds })[] = [
	libipsec(LIBIPSEC, IPV4),
	{ ...addon, bounds: { least: 8, most: 0.1 } },
	{ ...ffi, bounds: { least: 4 } },
	ours('addon, plain ESP', { provider: 'addon', encap: false }),
	ours('ffi, plain ESP', { provider: 'ffi', encap: false }),
	{
		...ours('addon, IPv6', { provider: 'addon', encap: true, network: IPV6 }),
		network: IPV6,
	},
	wireguard,
	{ name: 'no tunnel', up: barePlane },
];

async function tcpSection(report: Report, seconds: number): Promise<void> {
	const [rates, costs] = [new Beside(), new Beside()];
	for (const one of TCP_CASES) {
		const { name, network = IPV4, bounds = {} } = one;
		const result = await inLaboratory(one, (ends, plane) =>
			tcpStream(ends, plane, seconds, network),
		);
		if (result === undefined) {
			continue;
		}
		const { gigabits, seconds: took, packets } = result;
		const megabits = (gigabits * 1000) / took;
		const { most, ...least } = bounds;
		report.add(`${name}: throughput`, megabits, 'Mbit/s', rates.of(megabits, least));
		report.add(`${name}: packets`, packets / took, '/s');
		if (processorOf(result) > 0) {
			report.add(`${name}: processor, sender`, result.processorA / gigabits, 's/Gbit');
			report.add(`${name}: processor, receiver`, result.processorB / gigabits, 's/Gbit');
			const both = processorOf(result) / gigabits;
			const beside = costs.of(both, most === undefined ? {} : { most });
			report.add(`${name}: processor, both`, both, 's/Gbit', beside);
		}
	}
}

/** What a plane needs for datagrams in bursts of a millisecond. */
interface UdpFigures {
	/** Processor time of both gateways for a packet, in microseconds. */
	readonly each: number;
	/** Of a hundred. */
	readonly lost: number;
	/** Round trips, in microseconds; NaN where they cannot be measured. */
	readonly quiet: number;
	readonly beside: number;
	readonly stream: number;
}

async function udpFigures(ends: Gateways, plane: Plane, seconds: number): Promise<UdpFigures> {
	const rate = UDP_PACKETS_PER_SECOND;
	const result = await datagrams(ends, plane, seconds, UDP_OCTETS, rate);
	return {
		each: (processorOf(result) * 1e6) / result.arrived,
		lost: (100 * (result.sent - result.arrived)) / result.sent,
		quiet: await roundTrip(ends, PINGS),
		beside: await roundTripBeside(ends, plane, PINGS, UDP_OCTETS, rate),
		stream: (await sentBack(ends, plane, seconds, rate / 1000))?.roundTrip ?? Number.NaN,
	};
}

/** The stream, in bursts of so many, sent back. */
function sentBack(
	ends: Gateways,
	plane: Plane,
	seconds: number,
	burst: number,
): Promise<EchoResult | undefined> {
	const packetsPerSecond = UDP_PACKETS_PER_SECOND;
	return echo(ends, plane, { octets: UDP_OCTETS, packetsPerSecond, burst, seconds });
}

/** What only copies is no rival: it shows what is left for those who protect. */
const copying: Case = { name: 'copying only', needs: COMPILER, up: copyingPlane };
const UDP_CASES: readonly Case[] = [
	libipsec(LIBIPSEC, IPV4),
	addon,
	ffi,
	wireguard,
	copying,
	{ name: 'no tunnel', up: barePlane },
];
const UDP_ROUNDS = 3;

/** Each plane in turn, as what else the machine does comes and goes in minutes; of each figure the least. */
async function inTurns<T extends Readonly<Record<keyof T, number>>>(
	act: (ends: Gateways, plane: Plane) => Promise<T | undefined>,
): Promise<ReadonlyMap<string, T>> {
	const all = new Map<string, T>();
	for (let round = 0; round < UDP_ROUNDS; round++) {
		for (const one of UDP_CASES) {
			const figures = await inLaboratory(one, act);
			if (figures !== undefined) {
				const before = all.get(one.name);
				all.set(one.name, before === undefined ? figures : leastOf(before, figures));
			}
		}
	}
	return all;
}

const boundsOf = (name: string): Bounds => (name === addon.name ? { most: 0.5 } : {});

async function udpSection(report: Report, seconds: number): Promise<void> {
	const all = await inTurns((ends, plane) => udpFigures(ends, plane, seconds));
	const [costs, trips] = [new Beside(), new Beside()];
	const [busyTrips, streamTrips] = [new Beside(), new Beside()];
	for (const [name, { each, lost, quiet, beside, stream }] of all) {
		const bounds = boundsOf(name);
		if (each > 0) {
			report.add(`${name}: processor, both`, each, 'µs/packet', costs.of(each, bounds));
		}
		report.add(`${name}: lost`, lost, '%');
		const trip = `${name}: median round trip`;
		report.add(trip, quiet, 'µs', trips.of(quiet, bounds));
		report.add(`${trip}, beside the stream`, beside, 'µs', busyTrips.of(beside, bounds));
		if (!Number.isNaN(stream)) {
			const name = `${trip}, of a stream that comes back`;
			report.add(name, stream, 'µs', streamTrips.of(stream, bounds));
		}
	}
}

async function evenSection(report: Report, seconds: number): Promise<void> {
	const all = await inTurns(async (ends, plane) => {
		const result = await sentBack(ends, plane, seconds, 1);
		return result === undefined
			? undefined
			: { each: (processorOf(result) * 1e6) / result.packets, trip: result.roundTrip };
	});
	const [costs, trips] = [new Beside(), new Beside()];
	for (const [name, { each, trip }] of all) {
		const bounds = boundsOf(name);
		if (each > 0) {
			report.add(`${name}: processor, both`, each, 'µs/packet', costs.of(each, bounds));
		}
		report.add(`${name}: median round trip`, trip, 'µs', trips.of(trip, bounds));
	}
}

async function smallSection(report: Report, seconds: number): Promise<void> {
	const [rates, costs] = [new Beside(), new Beside()];
	const plain = ours('addon, plain ESP', { provider: 'addon', encap: false });
	for (const one of [libipsec(LIBIPSEC, IPV4), addon, ffi, plain, wireguard]) {
		const { name } = one;
		await inLaboratory(one, async (ends, plane) => {
			const result = await datagrams(ends, plane, seconds, SMALL_OCTETS, 0);
			const rate = result.arrived / result.seconds;
			report.add(`${name}: arrived`, rate, '/s', rates.of(rate));
			const each = (processorOf(result) * 1e6) / result.arrived;
			report.add(`${name}: processor, both`, each, 'µs/packet', costs.of(each));
		});
	}
}

async function tunnelSection(report: Report, seconds: number): Promise<void> {
	let first: number | undefined;
	for (const tunnels of [1, 10, 100, 1000]) {
		const name = `${tunnels} tunnel${tunnels === 1 ? '' : 's'}`;
		const one = ours(name, { provider: 'addon', encap: true, tunnels });
		await inLaboratory(one, async (ends, plane) => {
			const rate = UDP_PACKETS_PER_SECOND;
			const result = await spreadDatagrams(ends, plane, seconds, tunnels, UDP_OCTETS, rate);
			const each = (processorOf(result) * 1e6) / result.arrived;
			const beside =
				first === undefined ? undefined : { against: 'one tunnel', ratio: each / first };
			first ??= each;
			report.add(`${name}: processor, both`, each, 'µs/packet', beside);
			report.add(`${name}: arrived`, result.arrived / result.seconds, '/s');
		});
	}
}

/** In the order in which they run. */
const SECTIONS: ReadonlyMap<string, (report: Report, seconds: number) => Promise<void>> = new Map([
	['packet', packetSection],
	['tcp', tcpSection],
	['udp', udpSection],
	['even', evenSection],
	['small', smallSection],
	['tunnels', tunnelSection],
	['memory', memorySection],
	['control', controlSection],
]);

async function main(): Promise<void> {
	const words = process.argv.slice(2);
	const at = words.indexOf('--seconds');
	const seconds = at < 0 ? 5 : Number(words[at + 1]);
	const names = words.filter((word, i) => !word.startsWith('--') && (at < 0 || i !== at + 1));
	const unknown = names.find((name) => !SECTIONS.has(name));
	const refusal =
		unknown === undefined
			? (reasonToSkip() ?? (existsSync('/usr/bin/iperf3') ? undefined : 'needs iperf3'))
			: `no section ${unknown}; there are ${[...SECTIONS.keys()].join(', ')}`;
	if (refusal !== undefined) {
		process.stderr.write(`bench data-plane: ${refusal}\n`);
		process.exitCode = 2;
		return;
	}
	const tables = new Map<string, readonly Row[]>();
	for (const [name, run] of SECTIONS) {
		if (names.length === 0 || names.includes(name)) {
			const report = new Report(`data-plane ${name}`);
			await run(report, seconds);
			report.finish();
			tables.set(name, report.rows);
		}
	}
	if (words.includes('--docs')) {
		writePage(tables);
	}
}

await main();
