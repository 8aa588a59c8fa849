/**
 * Traffic through a data plane that is up, and what it costs: one TCP stream, datagrams at a rate or as many as
 * go, datagrams over many tunnels in turn, round trips. Streams are iperf3's.
 */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Host, pause, until } from '../test/ike/laboratory.ts';
import {
	COMPILER,
	compiled,
	type Gateways,
	IPV4,
	innerOf,
	type Network,
	type Plane,
} from './data-plane-peers.ts';

/** Processor seconds of a stream at either end, and how long it took. */
export interface Spent {
	readonly seconds: number;
	readonly processorA: number;
	readonly processorB: number;
}

export interface TcpResult extends Spent {
	readonly gigabits: number;
	/** Payload segments. */
	readonly packets: number;
}

export interface DatagramResult extends Spent {
	readonly sent: number;
	readonly arrived: number;
}

const TICKS_PER_SECOND = 100;
const IPERF_PORT = 5201;
const SPREAD_PORT = 7000;
/** A stream's first second is not counted: compilers, windows and caches are warm then. */
const WARM_UP_SECONDS = 1;
/** Streams of which the fastest counts. */
const STREAMS = 3;

/** Processor seconds that processes have used, threads included (proc(5)). */
function processorSeconds(pids: readonly number[]): number {
	let ticks = 0;
	for (const pid of pids) {
		const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
		const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
		ticks += Number(fields[11]) + Number(fields[12]);
	}
	return ticks / TICKS_PER_SECOND;
}

interface IperfReport {
	readonly error?: string;
	readonly start: { readonly tcp_mss_default?: number };
	readonly end: {
		readonly sum_received?: { readonly bytes: number; readonly seconds: number };
		readonly sum?: {
			readonly packets: number;
			readonly lost_packets: number;
			readonly seconds: number;
		};
	};
}

async function iperf(
	from: Host,
	{ inner }: Network,
	seconds: number,
	options: readonly string[],
): Promise<IperfReport> {
	const command = ['iperf3', '-J', '-c', inner.b, '-B', inner.a, '-t', String(seconds), ...options];
	const running = from.start(command);
	await running.ended;
	const report = JSON.parse(running.stdout) as IperfReport;
	if (report.error !== undefined) {
		throw new Error(`iperf3: ${report.error}`);
	}
	return report;
}

/** Starts the server and warms up; then runs, and says what was spent meanwhile. */
async function measured<T>(
	{ a, b }: Gateways,
	plane: Plane,
	network: Network,
	seconds: number,
	options: readonly string[],
	take: (report: IperfReport) => T & { readonly seconds: number },
): Promise<T & Spent> {
	const port = `:${IPERF_PORT.toString(16).toUpperCase()} `;
	const table = network.hostBits === 32 ? 'tcp' : 'tcp6';
	const isUp = (): boolean => b.must(`cat /proc/net/${table}`).includes(port);
	if (!isUp()) {
		b.start(['iperf3', '-s', '-B', network.inner.b]);
		await until('iperf3', isUp);
	}
	await iperf(a, network, WARM_UP_SECONDS, options);
	const before = [processorSeconds(plane.pidsA), processorSeconds(plane.pidsB)] as const;
	const report = await iperf(a, network, seconds, options);
	return {
		...take(report),
		processorA: processorSeconds(plane.pidsA) - before[0],
		processorB: processorSeconds(plane.pidsB) - before[1],
	};
}

const rateOf = ({ gigabits, seconds }: TcpResult): number => gigabits / seconds;

/** One TCP stream, the fastest of some: all of them need both processors, which others may want as well. */
export async function tcpStream(
	ends: Gateways,
	plane: Plane,
	seconds: number,
	network: Network = IPV4,
): Promise<TcpResult> {
	let best = await oneStream(ends, plane, seconds, network);
	for (let i = 1; i < STREAMS; i++) {
		const other = await oneStream(ends, plane, seconds, network);
		best = rateOf(other) > rateOf(best) ? other : best;
	}
	return best;
}

function oneStream(
	ends: Gateways,
	plane: Plane,
	seconds: number,
	network: Network,
): Promise<TcpResult> {
	return measured(ends, plane, network, seconds, [], ({ start, end }) => {
		const { bytes, seconds: took } = end.sum_received ?? { bytes: 0, seconds };
		const segments = bytes / (start.tcp_mss_default ?? 1);
		return { seconds: took, gigabits: (bytes * 8) / 1e9, packets: segments };
	});
}

/** Datagrams of so many octets of payload, `packetsPerSecond` of them, 0 for as many as go. */
export function datagrams(
	ends: Gateways,
	plane: Plane,
	seconds: number,
	octets: number,
	packetsPerSecond: number,
): Promise<DatagramResult> {
	const options = ['-u', '-l', String(octets), '-b', String(packetsPerSecond * octets * 8)];
	return measured(ends, plane, IPV4, seconds, options, ({ end }) => {
		const {
			packets,
			lost_packets: lost,
			seconds: took,
		} = end.sum ?? {
			packets: 0,
			lost_packets: 0,
			seconds,
		};
		return { seconds: took, sent: packets, arrived: packets - lost };
	});
}

/** Pings before those that are measured: the way back has carried nothing yet, and compilers have to see it. */
const WARM_UP_PINGS = 3000;

/** Seconds between pings that are measured. */
const PING_GAP = 0.01;

async function ping({ a }: Gateways, gap: number, count: number): Promise<number[]> {
	const { inner } = IPV4;
	const command = `ping -n -i ${gap} -c ${count} -I ${inner.a} ${inner.b}`;
	const running = a.start(command.split(' '));
	await running.ended;
	const times = [...running.stdout.matchAll(/time=([\d.]+) ms/g)];
	return times.map(([, ms]) => Number(ms) * 1000);
}

/** The median, in microseconds; NaN without any. */
function median(times: readonly number[]): number {
	return [...times].sort((x, y) => x - y)[times.length >> 1] ?? Number.NaN;
}

/** Round trips of pings 10 ms apart, behind many faster ones: their median in microseconds. */
export async function roundTrip(ends: Gateways, count: number): Promise<number> {
	await ping(ends, 0.002, WARM_UP_PINGS);
	return median(await ping(ends, PING_GAP, count));
}

/** The same beside a stream of datagrams, of which all planes have compiled what they need. */
export async function roundTripBeside(
	ends: Gateways,
	plane: Plane,
	count: number,
	octets: number,
	packetsPerSecond: number,
): Promise<number> {
	const seconds = 2 * PING_GAP * count;
	const stream = datagrams(ends, plane, seconds, octets, packetsPerSecond);
	await pause(1000 * (WARM_UP_SECONDS + 0.5));
	const times = await ping(ends, PING_GAP, count);
	await stream;
	return median(times);
}

const ECHO_PORT = 7007;
const ECHO_SOURCE = fileURLToPath(new URL('datagram-echo.c', import.meta.url));

/** A stream that the other end sends back: `burst` datagrams at once, all in all so many a second. */
export interface Echo {
	readonly octets: number;
	readonly packetsPerSecond: number;
	readonly burst: number;
	readonly seconds: number;
}

/** What it took. */
export interface EchoResult extends Spent {
	/** Datagrams on the way there and on the way back. */
	readonly packets: number;
	/** The median of how long they were away, in microseconds. */
	readonly roundTrip: number;
}

/** Sends a stream and has it sent back; undefined where there is no C compiler. */
export async function echo(
	{ a, b }: Gateways,
	plane: Plane,
	{ octets, packetsPerSecond, burst, seconds }: Echo,
): Promise<EchoResult | undefined> {
	if (!existsSync(COMPILER)) {
		return undefined;
	}
	const program = compiled(ECHO_SOURCE, a.folder);
	const { inner } = IPV4;
	const server = b.start([program, 'serve', inner.b, String(ECHO_PORT)]);
	const ask = async (howLong: number): Promise<number[]> => {
		const numbers = [octets, packetsPerSecond, burst, howLong].map(String);
		const client = a.start([program, 'ask', inner.b, String(ECHO_PORT), inner.a, ...numbers]);
		await client.ended;
		return client.stdout.split(' ').map(Number);
	};
	await ask(WARM_UP_SECONDS);
	const before = [processorSeconds(plane.pidsA), processorSeconds(plane.pidsB)] as const;
	const [sent = 0, back = 0, medianNs = Number.NaN] = await ask(seconds);
	server.process.kill();
	await server.ended;
	return {
		seconds,
		packets: sent + back,
		roundTrip: medianNs / 1000,
		processorA: processorSeconds(plane.pidsA) - before[0],
		processorB: processorSeconds(plane.pidsB) - before[1],
	};
}

/** What the spreading ends run: datagrams in turn from each tunnel's address to its other end, every millisecond. */
function sender(tunnels: number, octets: number, packetsPerSecond: number): string {
	const pairs = Array.from({ length: tunnels }, (_, i) => [innerOf('a', i), innerOf('b', i)]);
	return `
		const { createSocket } = require('node:dgram');
		const bytes = Buffer.alloc(${octets});
		const ends = ${JSON.stringify(pairs)}.map(([from, to]) => {
			const socket = createSocket({ type: 'udp4', sendBufferSize: 1 << 20 });
			socket.bind(0, from);
			return [socket, to];
		});
		let turn = 0;
		const begin = performance.now();
		setInterval(() => {
			const due = (performance.now() - begin - 500) * ${packetsPerSecond / 1000};
			for (; turn < due; turn++) {
				const [socket, to] = ends[turn % ends.length];
				socket.send(bytes, ${SPREAD_PORT}, to, () => {});
			}
		}, 1);`;
}

const RECEIVER = `
	const { createSocket } = require('node:dgram');
	const socket = createSocket({ type: 'udp4', recvBufferSize: 1 << 24 });
	socket.bind(${SPREAD_PORT}, () => process.stdout.write('bound'));`;

/** Datagrams that have come to a host's sockets, read or not. */
function arrivedAt(host: Host): number {
	const rows = host.must('cat /proc/net/snmp').split('\n');
	const [, values = ''] = rows.filter((row) => row.startsWith('Udp:'));
	const [, arrived, , errors] = values.split(' ').map(Number);
	return (arrived ?? 0) + (errors ?? 0);
}

/** Datagrams over many tunnels in turn. */
export async function spreadDatagrams(
	{ a, b }: Gateways,
	plane: Plane,
	seconds: number,
	tunnels: number,
	octets: number,
	packetsPerSecond: number,
): Promise<DatagramResult> {
	const receiver = b.start([process.execPath, '-e', RECEIVER]);
	await until('a receiver', () => receiver.stdout === 'bound');
	a.start([process.execPath, '-e', sender(tunnels, octets, packetsPerSecond)]);
	await pause(1000 * (WARM_UP_SECONDS + 0.5));
	const begin = performance.now();
	const before = [
		arrivedAt(b),
		processorSeconds(plane.pidsA),
		processorSeconds(plane.pidsB),
	] as const;
	await pause(1000 * seconds);
	const arrived = arrivedAt(b) - before[0];
	return {
		seconds: (performance.now() - begin) / 1000,
		sent: packetsPerSecond * seconds,
		arrived,
		processorA: processorSeconds(plane.pidsA) - before[1],
		processorB: processorSeconds(plane.pidsB) - before[2],
	};
}
