// Which ICMP errors narrow a path, in a real kernel: those that quote a packet of a state, and no others.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { nodeProvider } from '@xfrm/crypto/node';
import { Engine, linux619 } from '@xfrm/engine';
import {
	fillIcmpChecksum,
	IcmpType,
	Icmpv6Type,
	writeIcmp,
	writeIpv4,
	writeIpv6,
} from '@xfrm/wire';
import {
	type Address,
	anyAddress,
	anySelector,
	EncapType,
	Family,
	IpProto,
	Mode,
	parseAddress,
	type StateConfig,
	StateFlag,
	UNLIMITED,
} from '@xfrm/wire/xfrm';
import { loadCLibrary } from '../c-library.ts';
import { AF_INET, AF_INET6, SocketKind, sockaddr } from '../native/abi.ts';
import { ffiNative } from '../native/ffi.ts';
import type { Native } from '../native/seam.ts';
import { KernelRoutes } from '../rtnetlink/kernel-routes.ts';
import { CLONE_NEWNET } from '../socket-abi.ts';
import { lackForBed } from './guard-bed.test.ts';
import { type ErrorSocket, openErrorSockets, takeErrors } from './outer-errors.ts';
import { OuterSockets } from './outer-sockets.ts';

const SPI = 0xc000_0001;
const SPI_IN_UDP = 0xc000_0002;
/** Of a state whose output mark leads its packets by a route of their own. */
const SPI_MARKED = 0xc000_0003;
const OUTPUT_MARK = 42;
const PORT = 4500;
const NOW_US = 1_764_000_000_000_000;
const LATER_US: number = NOW_US + 600_000_000;
const { Ipv4, Ipv6 } = Family;

function address(text: string): Address {
	return parseAddress(text)?.address ?? anyAddress();
}

const OWN4 = address('192.0.2.1');
const OWN6 = address('2001:db8::1');
const PEER4 = address('192.0.2.2');
const PEER6 = address('2001:db8::2');

function ip(words: string): string {
	const { status, stdout, stderr } = spawnSync('ip', words.split(' '), { encoding: 'utf8' });
	assert.equal(status, 0, `ip ${words}: ${stderr}`);
	return stdout;
}

function addState(
	engine: Engine,
	family: number,
	spi: number,
	changes: Partial<StateConfig> = {},
): void {
	const ipv4 = family === Ipv4;
	const { refusal } = engine.addState(
		{
			id: { daddr: ipv4 ? PEER4 : PEER6, spi, proto: IpProto.Esp },
			saddr: ipv4 ? OWN4 : OWN6,
			family,
			selector: anySelector(0),
			lifetime: UNLIMITED,
			reqid: 1,
			mode: Mode.Tunnel,
			replayWindow: 32,
			flags: StateFlag.AfUnspec,
			seq: 0,
			aead: {
				name: 'rfc4106(gcm(aes))',
				key: new Uint8Array(20).fill(1),
				keyBits: 160,
				icvBits: 128,
			},
			...changes,
		},
		NOW_US,
	);
	assert.equal(refusal, undefined);
}

/** What an error is about. */
interface Forged {
	readonly family: number;
	readonly mtu: number;
	readonly spi: number;
	/** Ports of the quoted packet, when it is in UDP. */
	readonly ports?: readonly [sport: number, dport: number];
}

/** "Too big" about a packet from here to the peer, as somebody on the way would send it. */
function tooBig({ family, mtu, spi, ports }: Forged): Uint8Array {
	const ipv4 = family === Ipv4;
	const ipOctets = ipv4 ? 20 : 40;
	const upperOctets = ports === undefined ? 8 : 16;
	const bytes = new Uint8Array(8 + ipOctets + upperOctets);
	const view = new DataView(bytes.buffer);
	const proto = ports === undefined ? IpProto.Esp : IpProto.Udp;
	if (ipv4) {
		writeIcmp(view, 0, IcmpType.DestinationUnreachable, 4, mtu);
		writeIpv4(view, 8, {
			tos: 0,
			totalLength: 1500,
			id: 0,
			fragmentWord: 0x4000,
			ttl: 60,
			protocol: proto,
			source: OWN4,
			destination: PEER4,
			options: new Uint8Array(0),
		});
	} else {
		writeIcmp(view, 0, Icmpv6Type.PacketTooBig, 0, mtu);
		writeIpv6(view, 8, {
			trafficClass: 0,
			flowLabel: 0,
			payloadLength: 1460,
			nextHeader: proto,
			hopLimit: 60,
			source: OWN6,
			destination: PEER6,
		});
	}
	let at = 8 + ipOctets;
	if (ports !== undefined) {
		view.setUint16(at, ports[0]);
		view.setUint16(at + 2, ports[1]);
		view.setUint16(at + 4, 1480);
		at += 8;
	}
	view.setUint32(at, spi);
	view.setUint32(at + 4, 1);
	if (ipv4) {
		fillIcmpChecksum(bytes, view, 0, bytes.length);
	}
	return bytes;
}

/** A host with a peer behind a device of 1500 octets, in a namespace of its own; this process stays in it. */
class Bed {
	readonly native: Native = ffiNative();
	readonly engine: Engine;
	readonly routes: KernelRoutes;
	readonly #errors: readonly ErrorSocket[];

	constructor() {
		assert.equal(loadCLibrary().unshare(CLONE_NEWNET), 0);
		ip('link set lo up');
		ip('link add wide type veth peer name far');
		ip('link set far up');
		ip('link set wide mtu 1500 up');
		ip('address add 192.0.2.1/24 dev wide');
		ip('address add 2001:db8::1/64 dev wide nodad');
		this.engine = new Engine({
			profile: linux619,
			provider: nodeProvider(),
			random: (octets) => octets.fill(1),
			route: () => undefined,
		});
		addState(this.engine, Ipv4, SPI);
		addState(this.engine, Ipv6, SPI);
		const encap = { type: EncapType.EspInUdp, sport: PORT, dport: PORT, oa: anyAddress() };
		addState(this.engine, Ipv4, SPI_IN_UDP, { encap });
		addState(this.engine, Ipv4, SPI_MARKED, { outputMark: { v: OUTPUT_MARK, m: -1 } });
		this.routes = new KernelRoutes(this.native);
		new OuterSockets(this.native);
		this.#errors = openErrorSockets(this.native);
		// As an IKE daemon has it.
		const ike = this.native.socket(AF_INET, SocketKind.Datagram, 0);
		assert.equal(this.native.bind(ike, sockaddr(Ipv4, OWN4, PORT)), 0);
	}

	/** The path MTU after an error has come. */
	after(forged: Forged): number {
		const { native, engine, routes } = this;
		const { family } = forged;
		const ipv4 = family === Ipv4;
		const domain = ipv4 ? AF_INET : AF_INET6;
		const fd = native.socket(domain, SocketKind.Raw, ipv4 ? IpProto.Icmp : IpProto.Icmpv6);
		const bytes = tooBig(forged);
		assert.equal(native.send(fd, bytes, sockaddr(family, ipv4 ? OWN4 : OWN6, 0)), bytes.length);
		native.close(fd);
		for (const socket of this.#errors) {
			takeErrors(native, engine, routes, socket, NOW_US);
		}
		return this.mtu(family);
	}

	/** Of the path to the peer, as the engine hears of it. */
	mtu(family: number, mark: number = 0): number {
		const any = anyAddress();
		const peer = family === Ipv4 ? PEER4 : PEER6;
		return this.routes.lookup(family, peer, any, mark, 0)?.mtu ?? 0;
	}
}

const rows: readonly [string, Forged, want: number][] = [
	['another SPI', { family: Ipv4, mtu: 1000, spi: 7 }, 1500],
	['another SPI over IPv6', { family: Ipv6, mtu: 1300, spi: 7 }, 1500],
	['the SPI of a state in UDP, without UDP', { family: Ipv4, mtu: 1000, spi: SPI_IN_UDP }, 1500],
	[
		'the SPI of a plain state, in UDP',
		{ family: Ipv4, mtu: 1000, spi: SPI, ports: [PORT, PORT] },
		1500,
	],
	['IKE', { family: Ipv4, mtu: 1000, spi: 0, ports: [PORT, PORT] }, 1500],
	['another port', { family: Ipv4, mtu: 1000, spi: SPI_IN_UDP, ports: [PORT, 4501] }, 1500],
	['a state, wider than it is', { family: Ipv4, mtu: 1501, spi: SPI }, 1500],
	['a state in UDP', { family: Ipv4, mtu: 1400, spi: SPI_IN_UDP, ports: [PORT, PORT] }, 1400],
	['a state', { family: Ipv4, mtu: 1300, spi: SPI }, 1300],
	['a state, wider than was heard before', { family: Ipv4, mtu: 1400, spi: SPI }, 1300],
	['a state, below what IPv4 goes down to', { family: Ipv4, mtu: 68, spi: SPI }, 552],
	['a state, below what IPv6 has', { family: Ipv6, mtu: 1279, spi: SPI }, 1500],
	['a state over IPv6', { family: Ipv6, mtu: 1280, spi: SPI }, 1280],
];

/** @spec U-7 */
test('which errors narrow a path, and for how long', { skip: lackForBed() }, () => {
	const bed = new Bed();
	for (const [name, forged, want] of rows) {
		assert.equal(bed.after(forged), want, name);
	}
	// The kernel believes those about a socket of the IKE daemon's: that is for its own packets.
	assert.match(ip('route get 192.0.2.2'), /mtu 1000/);
	bed.routes.lookAround(LATER_US - 1);
	assert.deepEqual([bed.mtu(Ipv4), bed.mtu(Ipv6)], [552, 1280]);
	bed.routes.lookAround(LATER_US);
	assert.deepEqual([bed.mtu(Ipv4), bed.mtu(Ipv6)], [1500, 1500]);
	ip('route add 192.0.2.2/32 dev wide mtu 1450');
	bed.routes.takeEvents();
	assert.equal(bed.mtu(Ipv4), 1450);
	assert.equal(bed.after({ family: Ipv4, mtu: 900, spi: 0, ports: [PORT, PORT] }), 1450);
	// By the way that the packet went, which may be wider than the one of other packets.
	ip(`rule add fwmark ${OUTPUT_MARK} table 100`);
	ip('route add 192.0.2.0/24 dev wide table 100');
	bed.routes.takeEvents();
	assert.equal(bed.mtu(Ipv4, OUTPUT_MARK), 1500);
	assert.equal(bed.after({ family: Ipv4, mtu: 1470, spi: SPI_MARKED }), 1450);
	assert.equal(bed.mtu(Ipv4, OUTPUT_MARK), 1470);
});

/** The host's own in this namespace. */
function set(name: string, value: number): void {
	writeFileSync(`/proc/sys/net/${name}`, String(value));
}

/** @spec U-7 */
test('what is learned of a path holds for that way, and as the host’s sysctls say', {
	skip: lackForBed(),
}, () => {
	const bed = new Bed();
	const { sysctl } = bed.engine.net;
	const about = (mtu: number): Forged => ({ family: Ipv4, mtu, spi: SPI });
	// Another way is as wide as it was; the first is remembered.
	ip('link add other type veth peer name beyond');
	ip('link set beyond up');
	ip('link set other up');
	assert.equal(bed.after(about(1300)), 1300);
	ip('route add 192.0.2.2/32 dev other');
	bed.routes.takeEvents();
	assert.equal(bed.mtu(Ipv4), 1500);
	ip('route del 192.0.2.2/32 dev other');
	bed.routes.takeEvents();
	assert.equal(bed.mtu(Ipv4), 1300);
	for (const [mode, want] of [
		[2, 1300],
		[3, 1300],
		[1, 552],
	] as const) {
		sysctl.ip_no_pmtu_disc = mode;
		assert.equal(bed.after(about(1200)), want, `ip_no_pmtu_disc ${mode}`);
	}
	sysctl.ip_no_pmtu_disc = 0;
	set('ipv4/route/min_pmtu', 400);
	set('ipv4/route/mtu_expires', 5);
	assert.equal(bed.after(about(300)), 400);
	bed.routes.lookAround(NOW_US + 4_999_999);
	assert.equal(bed.mtu(Ipv4), 400);
	bed.routes.lookAround(NOW_US + 5_000_000);
	assert.equal(bed.mtu(Ipv4), 1500);
	set('ipv6/route/mtu_expires', 7);
	assert.equal(bed.after({ family: Ipv6, mtu: 1300, spi: SPI }), 1300);
	bed.routes.lookAround(NOW_US + 7_000_000);
	assert.equal(bed.mtu(Ipv6), 1500);
	for (const [peer, family, want] of [
		['192.0.2.2/32', Ipv4, 1450],
		['2001:db8::2/128', Ipv6, 1450],
	] as const) {
		ip(`route add ${peer} dev wide mtu lock 1450`);
		bed.routes.takeEvents();
		assert.equal(bed.after({ family, mtu: 1300, spi: SPI }), want, 'locked');
	}
});
