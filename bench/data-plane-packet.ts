/**
 * What a packet costs the daemon in its own process, outward and inward, without system calls: what a device hands
 * over is cut, looked up, sealed and made a message; what a socket hands over is taken apart, opened, checked and
 * joined. The real parts of two data planes stand back to back, over a wire of memory.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Engine, linux619 } from '@xfrm/engine';
import {
	type Route,
	setIpv4Checksum,
	TCP_HEADER_OCTETS,
	TcpFlag,
	writeIpv4,
	writeTcp,
	writeUdp,
} from '@xfrm/wire';
import {
	type Address,
	anyAddress,
	anySelector,
	Direction,
	EncapType,
	Family,
	IpProto,
	Mode,
	parseAddress,
	UNLIMITED,
} from '@xfrm/wire/xfrm';
import { ArrivalDevices } from '../packages/linux/src/daemon/arrival-devices.ts';
import { DropSamples } from '../packages/linux/src/daemon/drop-samples.ts';
import { DropTable } from '../packages/linux/src/daemon/drop-table.ts';
import { type EncapPort, EncapPorts } from '../packages/linux/src/daemon/encap-ports.ts';
import { Inbound } from '../packages/linux/src/daemon/inbound.ts';
import type { InterfaceList } from '../packages/linux/src/daemon/interface-list.ts';
import { type Lane, Outbound } from '../packages/linux/src/daemon/outbound.ts';
import type { OuterSockets } from '../packages/linux/src/daemon/outer-sockets.ts';
import { PacketSlab } from '../packages/linux/src/daemon/packet-slab.ts';
import { SequenceLedger } from '../packages/linux/src/daemon/sequence-ledger.ts';
import { Transmitter } from '../packages/linux/src/daemon/transmitter.ts';
import { VNET_HEADER_OCTETS, writeSegmentVnet } from '../packages/linux/src/daemon/vnet-header.ts';
import { SLAB_OCTETS } from '../packages/linux/src/limits.ts';
import { AF_INET, MtuDiscover } from '../packages/linux/src/native/abi.ts';
import {
	LOCAL_OCTETS,
	type PacketBatch,
	PEER_OCTETS,
} from '../packages/linux/src/native/packet-batch.ts';
import { chooseProvider, type ProviderName } from '../packages/linux/src/native/providers.ts';
import type { PortKind } from '../packages/linux/src/native/seam.ts';
import { KernelRoutes } from '../packages/linux/src/rtnetlink/kernel-routes.ts';

import { AES_GCM, type Course, inward, outward } from './engine-course.ts';

const NOW_US = Date.now() * 1000;
const PORT = 4500;
const IPV4_OCTETS = 20;
const MTU = 1500;
/** Octets of a message on the wire of memory. */
const MESSAGE_OCTETS_MAX = 65_536;

type End = 0 | 1;

function address(text: string): Address {
	const parsed = parseAddress(text);
	if (parsed === undefined) {
		throw new RangeError(`no address: ${text}`);
	}
	return parsed.address;
}

const OUTER: readonly [Address, Address] = [address('192.168.80.1'), address('192.168.80.2')];
const INNER: readonly [Address, Address] = [address('10.1.0.1'), address('10.2.0.1')];

function routeOf(kind: Route['kind'], source: Address): Route {
	const where = { family: Family.Ipv4, ifindex: 2, loopback: false, noXfrm: false };
	return { ...where, kind, source, mtu: MTU, hopLimit: 64 };
}

/** A message on the wire. */
class Message {
	readonly bytes: Uint8Array = new Uint8Array(MESSAGE_OCTETS_MAX);
	octets: number = 0;
	segmentOctets: number = 0;
}

/** An engine with one tunnel of AES-GCM-128 in UDP. */
function makeEngine(own: End, routes: KernelRoutes, provider: ProviderName): Engine {
	const engine = new Engine({
		profile: linux619,
		provider: chooseProvider(provider).crypto,
		random: (octets) => octets.fill(7),
		route: routes.lookup,
		routeGeneration: () => routes.generation,
	});
	const key = Uint8Array.from({ length: 20 }, (_, i) => i);
	for (const [from, to] of [
		[0, 1],
		[1, 0],
	] as const) {
		const id = { daddr: OUTER[to], spi: 0x101 + from, proto: IpProto.Esp };
		const ends = { saddr: OUTER[from], family: Family.Ipv4, reqid: 1, mode: Mode.Tunnel };
		engine.addState(
			{
				...ends,
				id,
				selector: anySelector(Family.Ipv4),
				lifetime: UNLIMITED,
				replayWindow: 32,
				flags: 0,
				seq: 0,
				encap: { type: EncapType.EspInUdp, sport: PORT, dport: PORT, oa: anyAddress() },
				aead: { name: 'rfc4106(gcm(aes))', key, keyBits: 160, icvBits: 128 },
			},
			NOW_US,
		);
		const every = { aalgos: 0xffffffff, ealgos: 0xffffffff, calgos: 0xffffffff };
		const [saddr, daddr] = [INNER[from], INNER[to]];
		engine.addPolicy(
			{
				selector: { ...anySelector(Family.Ipv4), saddr, daddr, prefixlenS: 32, prefixlenD: 32 },
				lifetime: UNLIMITED,
				priority: 0,
				index: 0,
				direction: from === own ? Direction.Out : Direction.In,
				action: 0,
				flags: 0,
				share: 0,
				type: 0,
				templates: [{ ...ends, ...every, id: { ...id, spi: 0 }, share: 0, optional: 0 }],
			},
			NOW_US,
		);
	}
	return engine;
}

/** One gateway's data plane, whose device and sockets are memory. */
class Side {
	readonly #lane: Lane = { fd: -1, ifindex: 9, mark: 0, ifId: 0 };
	readonly #port: EncapPort;
	readonly #outbound: Outbound;
	readonly #inbound: Inbound;
	readonly #native: ReturnType<typeof chooseProvider>['native'];
	/** What the device hands over next: packets behind their vnet headers. */
	device: readonly Uint8Array[] = [];
	/** What came out of the socket, and what is to come out of it next. */
	readonly sent: Message[] = [];
	sentCount: number = 0;
	incoming: readonly Message[] = [];
	incomingCount: number = 0;
	/** Messages to the device. */
	delivered: number = 0;
	/** Time that the memory took, which is no part of the figure. */
	#memoryMs: number = 0;

	constructor(own: End, provider: ProviderName, folder: string) {
		const { native } = chooseProvider(provider);
		this.#native = native;
		native.receivePackets = (_fd, kind, batch) => this.#timed(() => this.#receive(kind, batch));
		native.sendPackets = (_fd, kind, batch) => this.#timed(() => this.#send(kind, batch));
		const routes = new KernelRoutes(native);
		const [local, out] = [routeOf('local', OUTER[own]), routeOf('unicast', OUTER[own])];
		const answer = (_: number, daddr: Address): Route => (daddr[1] === own + 1 ? local : out);
		Object.assign(routes, { lookup: answer });
		const engine = makeEngine(own, routes, provider);
		const slab = new PacketSlab(native, SLAB_OCTETS);
		// Nothing goes there: all is in UDP.
		const transmitter = new Transmitter(native, {} as OuterSockets, slab);
		const ledger = new SequenceLedger(join(folder, `ledger-${own}`), native);
		for (const [number, state] of [...engine.states()].entries()) {
			ledger.assign(state, number + 1);
		}
		const samples = new DropSamples(engine, new DropTable());
		const ports = new EncapPorts(
			native,
			() => {},
			() => {},
		);
		const owner = { inode: 1, pidfd: -1, wasShared: false };
		const place = { fd: -1, family: Family.Ipv4, port: PORT, ...owner };
		const discovery = MtuDiscover.Probe;
		this.#port = { ...place, address: OUTER[own], takesIpv4: true, discovery };
		ports.ports.set(1, this.#port);
		const shared = [transmitter, ledger, samples] as const;
		// States have no if_id here, so that there are no devices to ask for.
		const devices = new ArrivalDevices([], {} as InterfaceList);
		this.#outbound = new Outbound(native, engine, routes, ports, ...shared, slab);
		this.#inbound = new Inbound(native, engine, routes, ...shared, devices, slab);
	}

	/** Milliseconds from the device to the socket. */
	passOut(): number {
		this.sentCount = 0;
		this.#memoryMs = 0;
		const from = performance.now();
		this.#outbound.pass(this.#lane, NOW_US);
		return performance.now() - from - this.#memoryMs;
	}

	/** Milliseconds from the socket to the device. */
	passIn(): number {
		this.#memoryMs = 0;
		const from = performance.now();
		this.#inbound.passDatagrams(this.#port, this.#lane, NOW_US);
		return performance.now() - from - this.#memoryMs;
	}

	close(): void {
		this.#native.receivePackets = () => 0;
	}

	#timed<T>(act: () => T): T {
		const from = performance.now();
		const result = act();
		this.#memoryMs += performance.now() - from;
		return result;
	}

	#receive(kind: PortKind, batch: PacketBatch): number {
		const count = kind === 'tun' ? this.device.length : this.incomingCount;
		for (let row = 0; row < count; row++) {
			const message = this.incoming[row];
			if (kind === 'tun' || message === undefined) {
				const packet = this.device[row] ?? new Uint8Array(0);
				batch.slab.set(packet, batch.at[row]);
				batch.octets[row] = packet.length;
				continue;
			}
			batch.slab.set(message.bytes.subarray(0, message.octets), batch.at[row]);
			batch.octets[row] = message.octets;
			batch.segmentOctets[row] = message.segmentOctets;
			batch.hopLimit[row] = 64;
			batch.peerView.setUint16(row * PEER_OCTETS, AF_INET, true);
			batch.peerView.setUint16(row * PEER_OCTETS + 2, PORT);
			batch.peer.set(OUTER[0].subarray(0, 4), row * PEER_OCTETS + 4);
			batch.local.set(OUTER[1].subarray(0, 4), row * LOCAL_OCTETS);
		}
		batch.count = count;
		return count;
	}

	#send(kind: PortKind, batch: PacketBatch): void {
		for (let row = 0; row < batch.count; row++) {
			batch.status[row] = 0;
			const begins = batch.joined[row] !== 1;
			if (kind === 'tun') {
				this.delivered += begins ? 1 : 0;
				continue;
			}
			if (begins) {
				this.sent[this.sentCount] ??= new Message();
				const message = this.sent[this.sentCount++] as Message;
				message.octets = 0;
				message.segmentOctets = batch.segmentOctets[row] ?? 0;
			}
			const message = this.sent[this.sentCount - 1] as Message;
			const [at, octets] = [batch.at[row] ?? 0, batch.octets[row] ?? 0];
			message.bytes.set(batch.slab.subarray(at, at + octets), message.octets);
			message.octets += octets;
		}
	}
}

/** A packet of the first end's to the second's, behind its vnet header. */
function packetOf(proto: number, octets: number): { bytes: Uint8Array; view: DataView } {
	const bytes = new Uint8Array(VNET_HEADER_OCTETS + octets);
	const view = new DataView(bytes.buffer);
	writeIpv4(view, VNET_HEADER_OCTETS, {
		tos: 0,
		totalLength: octets,
		id: 0,
		fragmentWord: 0x4000,
		ttl: 64,
		protocol: proto,
		source: INNER[0].subarray(0, 4),
		destination: INNER[1].subarray(0, 4),
		options: new Uint8Array(0),
	});
	setIpv4Checksum(view, VNET_HEADER_OCTETS);
	return { bytes, view };
}

function datagram(octets: number): Uint8Array {
	const { bytes, view } = packetOf(IpProto.Udp, octets);
	writeUdp(view, VNET_HEADER_OCTETS + IPV4_OCTETS, 5000, 5001, octets - IPV4_OCTETS);
	return bytes;
}

/** One large piece of a TCP stream, to be cut into packets of so many octets. */
function largePiece(packets: number, octets: number): Uint8Array {
	const headerOctets = IPV4_OCTETS + TCP_HEADER_OCTETS;
	const each = octets - headerOctets;
	const { bytes, view } = packetOf(IpProto.Tcp, headerOctets + packets * each);
	const stream = { sport: 1, dport: 2, sequence: 1, acknowledgment: 1, window: 500 };
	writeTcp(view, VNET_HEADER_OCTETS + IPV4_OCTETS, { ...stream, flags: TcpFlag.Ack });
	writeSegmentVnet(view, 0, 1, IPV4_OCTETS, headerOctets, each);
	return bytes;
}

/** What packets are measured with. */
const SHAPES: readonly {
	readonly name: string;
	readonly packets: number;
	readonly device: readonly Uint8Array[];
}[] = [
	{
		name: '1400 octets, 32 datagrams at once',
		packets: 32,
		device: new Array(32).fill(datagram(1400)),
	},
	{ name: '1400 octets, one datagram', packets: 1, device: [datagram(1400)] },
	{
		name: '64 octets, 32 datagrams at once',
		packets: 32,
		device: new Array(32).fill(datagram(64)),
	},
	{
		name: '1400 octets, TCP, 44 segments in one piece',
		packets: 44,
		device: [largePiece(44, 1400)],
	},
];

/** Nanoseconds a packet. */
export interface PacketCost {
	readonly name: string;
	readonly octets: number;
	readonly outward: number;
	readonly inward: number;
}

/** Passes of one slice, which is short enough to fall between what else the machine does. */
const SLICE_PACKETS = 2000;
const SLICES = 200;

/** A ledger is in memory where the daemon's is: on a tmpfs. */
function inFolder<T>(act: (folder: string) => T): T {
	const folder = mkdtempSync(join('/dev/shm', 'xfrm-bench-'));
	try {
		return act(folder);
	} finally {
		rmSync(folder, { recursive: true });
	}
}

/** Two ends, and a packet's way between them. */
class Pair {
	readonly #a: Side;
	readonly #b: Side;

	constructor(provider: ProviderName, folder: string, device: readonly Uint8Array[]) {
		this.#a = new Side(0, provider, folder);
		this.#b = new Side(1, provider, folder);
		this.#a.device = device;
	}

	/** Milliseconds outward and inward; `between` is called before either. */
	round(between?: () => void): readonly [number, number] {
		const [a, b] = [this.#a, this.#b];
		between?.();
		const outMs = a.passOut();
		b.incoming = a.sent;
		b.incomingCount = a.sentCount;
		between?.();
		const before = b.delivered;
		const inMs = b.passIn();
		if (b.delivered === before) {
			throw new Error('nothing came through');
		}
		return [outMs, inMs];
	}
}

/** The least of many short slices, for each shape. @throws CompileError where a provider is not to be had */
export function packetCosts(provider: ProviderName): PacketCost[] {
	return SHAPES.map(({ name, packets, device }) =>
		inFolder((folder) => {
			const pair = new Pair(provider, folder, device);
			let [outLeast, inLeast] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
			const passes = Math.ceil(SLICE_PACKETS / packets);
			for (let slice = 0; slice < SLICES; slice++) {
				let [outMs, inMs] = [0, 0];
				for (let pass = 0; pass < passes; pass++) {
					const [out, into] = pair.round();
					outMs += out;
					inMs += into;
				}
				outLeast = Math.min(outLeast, outMs);
				inLeast = Math.min(inLeast, inMs);
			}
			const each = 1e6 / (passes * packets);
			const octets = Number.parseInt(name, 10);
			return { name, octets, outward: outLeast * each, inward: inLeast * each };
		}),
	);
}

/** More than any processor's caches hold. */
const OTHER_OCTETS = 0x800_0000;
const CACHE_LINE_OCTETS = 64;
const ROUNDS_TO_COMPILE = 20_000;
const ROUNDS_COLD = 301;

function medianOf(values: readonly number[]): number {
	return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

/**
 * A lone packet where nothing of the daemon is in the processor's caches any more, code included, as on a machine
 * that has done other things since the last one. @throws CompileError where the provider is not to be had
 */
export function coldCost(provider: ProviderName): PacketCost {
	const octets = 1400;
	const other = new Uint8Array(OTHER_OCTETS);
	const forget = (): void => {
		for (let at = 0; at < OTHER_OCTETS; at += CACHE_LINE_OCTETS) {
			other[at] = (other[at] ?? 0) + 1;
		}
	};
	const times = inFolder((folder) => {
		const pair = new Pair(provider, folder, [datagram(octets)]);
		for (let i = 0; i < ROUNDS_TO_COMPILE; i++) {
			pair.round();
		}
		return Array.from({ length: ROUNDS_COLD }, () => pair.round(forget));
	});
	const [outward, inward] = [0, 1].map(
		(way) => 1e6 * medianOf(times.map((time) => time[way] ?? 0)),
	);
	const name = `${octets} octets, one datagram, caches cold`;
	return { name, octets, outward: outward ?? Number.NaN, inward: inward ?? Number.NaN };
}

/**
 * The engine with a provider's crypto, and nothing else: lookup and transform outward, `input` inward. A tunnel with
 * ESN and a hundred policies, in batches of 64. @throws CompileError where the provider is not to be had
 */
export function sealingCost(provider: ProviderName): PacketCost {
	const octets = 1400;
	const setting = { provider: chooseProvider(provider).crypto, algorithms: AES_GCM };
	const least = ({ packets, run, reset }: Course): number => {
		const passes = Math.ceil(SLICE_PACKETS / packets);
		let [best, bestReset] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
		for (let slice = 0; slice < SLICES; slice++) {
			const from = performance.now();
			for (let i = 0; i < passes; i++) {
				reset();
			}
			const between = performance.now();
			for (let i = 0; i < passes; i++) {
				reset();
				run();
			}
			bestReset = Math.min(bestReset, between - from);
			best = Math.min(best, performance.now() - between);
		}
		return ((best - bestReset) * 1e6) / (passes * packets);
	};
	const [outwards, inwards] = [outward(setting, octets, true), inward(setting, octets, true)];
	const name = `${octets} octets, engine and crypto alone`;
	return { name, octets, outward: least(outwards), inward: least(inwards) };
}
