// Sockets beside an owner's, in a real kernel: for one family or for both, as the owner's is.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { after, test } from 'node:test';
import { type PacketBuffer, parseIpv4, parseIpv6 } from '@xfrm/wire';
import { type Address, anyAddress, Family, formatAddress, parseAddress } from '@xfrm/wire/xfrm';
import { loadCLibrary } from '../c-library.ts';
import {
	AF_INET,
	AF_INET6,
	IpOption,
	Ipv6Option,
	intValue,
	Level,
	SocketKind,
	SocketOption,
	sockaddr,
} from '../native/abi.ts';
import { ffiNative } from '../native/ffi.ts';
import type { Native } from '../native/seam.ts';
import { emptyMessage } from '../rtnetlink/rtnetlink-socket.ts';
import { CLONE_NEWNET } from '../socket-abi.ts';
import { DatagramSender } from './datagram-sender.ts';
import { type EncapPort, EncapPorts, takeDatagram, udpGap } from './encap-ports.ts';
import { lackForBed } from './guard-bed.test.ts';
import { PacketRows, placeInSlab } from './packet-rows.ts';
import { PacketSlab } from './packet-slab.ts';

const PORT = 4500;
const SLOT_OCTETS = 2048;
const { Ipv4, Ipv6 } = Family;

/** What an IKE daemon does: takes a port, and prints what comes to it. */
const OWNER = `
const [type, address, only] = process.argv.slice(1);
const socket = require('node:dgram').createSocket({ type, ipv6Only: only === 'only' });
socket.on('message', (octets) => console.log(octets.toString('hex')));
socket.bind(${PORT}, address, () => console.log('bound'));
`;

function address(text: string): Address {
	return parseAddress(text)?.address ?? anyAddress();
}

class Bed {
	readonly native: Native = ffiNative();
	readonly ports: EncapPorts = new EncapPorts(
		this.native,
		() => {},
		() => {},
	);
	readonly slab: PacketSlab = new PacketSlab(this.native, 4 * SLOT_OCTETS);
	readonly rows: PacketRows = new PacketRows(this.slab, SLOT_OCTETS, 2);
	readonly sender: DatagramSender = new DatagramSender(this.native, this.slab.bytes);
	readonly #owners: ChildProcess[] = [];

	/** Puts this process into a namespace, for good. */
	constructor() {
		assert.equal(loadCLibrary().unshare(CLONE_NEWNET), 0);
		assert.equal(spawnSync('ip', ['link', 'set', 'lo', 'up']).status, 0);
	}

	/** Starts an owner, and answers its output and the socket beside it. */
	async share(...words: readonly string[]): Promise<{ heard: string[]; port: EncapPort }> {
		const owner = spawn(process.execPath, ['-e', OWNER, '--', ...words]);
		this.#owners.push(owner);
		const heard: string[] = [];
		owner.stdout.on('data', (data) => heard.push(...String(data).trim().split('\n')));
		await once(owner.stdout, 'data');
		this.ports.lookAround(new Set([PORT]));
		const [port] = this.ports.ports.values();
		assert.ok(port !== undefined);
		return { heard, port };
	}

	async end(port: EncapPort): Promise<void> {
		this.ports.drop(port);
		const owner = this.#owners.pop();
		owner?.kill('SIGKILL');
		await (owner && once(owner, 'close'));
	}

	/** Could another program of this user's have the port too? */
	canShare(): boolean {
		const { native } = this;
		const fd = native.socket(AF_INET, SocketKind.Datagram, 0);
		native.setOption(fd, Level.Socket, SocketOption.ReusePort, intValue(1));
		const bound = native.bind(fd, sockaddr(Ipv4, address('0.0.0.0'), PORT));
		native.close(fd);
		return bound === 0;
	}

	/** Sends from a loopback address to itself; answers the socket and its port. */
	send(family: number, payload: string): { fd: number; sport: number } {
		const { native } = this;
		const ipv4 = family === Ipv4;
		const fd = native.socket(ipv4 ? AF_INET : AF_INET6, SocketKind.Datagram, 0);
		const own = address(ipv4 ? '127.0.0.1' : '::1');
		native.bind(fd, sockaddr(family, own, 0));
		const name = new Uint8Array(ipv4 ? 16 : 28);
		native.socketName(fd, name);
		native.setOption(fd, Level.Ip, IpOption.Tos, intValue(0xb8));
		native.setOption(fd, Level.Ip, IpOption.Ttl, intValue(33));
		native.setOption(fd, Level.Ipv6, Ipv6Option.TrafficClass, intValue(0xb8));
		// IPV6_UNICAST_HOPS.
		native.setOption(fd, Level.Ipv6, 16, intValue(33));
		const octets = Buffer.from(payload, 'hex');
		assert.equal(native.send(fd, octets, sockaddr(family, own, PORT)), octets.length);
		return { fd, sport: new DataView(name.buffer).getUint16(2) };
	}

	/** Sends a packet back to where it has come from; answers what comes to that socket. */
	sendBack(packet: PacketBuffer, port: EncapPort, fd: number): string {
		const { view, transportAt: at } = packet;
		view.setUint16(at + 2, view.getUint16(at));
		view.setUint16(at, PORT);
		assert.ok(this.sender.accepts(packet, port));
		this.sender.add(packet, at, placeInSlab(packet), port);
		const counters = { sent: 0, delivered: 0, failed: 0 };
		this.sender.flush(counters);
		assert.deepEqual(counters, { sent: 1, delivered: 0, failed: 0 });
		const octets = new Uint8Array(SLOT_OCTETS);
		const count = this.native.receive(fd, octets, emptyMessage(0));
		return Buffer.from(octets.subarray(0, Math.max(0, count))).toString('hex');
	}

	/** What has come beside the owner, as whole packets. */
	receive(port: EncapPort): PacketBuffer[] {
		const { rows } = this;
		rows.prepare(udpGap(port.family));
		const count = this.native.receivePackets(port.fd, 'datagram', rows.batch);
		return Array.from({ length: Math.max(0, count) }, (_, row) => {
			const packet = rows.fresh(row);
			takeDatagram(packet, rows.batch, row, rows.batch.octets[row] ?? 0, port);
			return packet;
		});
	}
}

/** Its headers and payload, in words. */
function told(packet: PacketBuffer): string {
	const { bytes, view, start, transportAt: at, end, family } = packet;
	const ipv4 = family === Ipv4 ? parseIpv4(bytes, start, end) : undefined;
	const ipv6 = family === Ipv6 ? parseIpv6(bytes, start, end) : undefined;
	const { source, destination } = ipv4 ?? ipv6 ?? {};
	assert.ok(source !== undefined && destination !== undefined);
	const quality = `${ipv4?.tos ?? ipv6?.trafficClass} ${ipv4?.ttl ?? ipv6?.hopLimit}`;
	const [from, to] = [formatAddress(source, family), formatAddress(destination, family)];
	const payload = Buffer.from(bytes.subarray(at + 8, end)).toString('hex');
	return `${from} ${view.getUint16(at)} ${to} ${view.getUint16(at + 2)} ${quality} ${payload}`;
}

const ESP = 'c0000001000000070011223344556677';
const IKE = '00000000112233445566778899aabbcc';

const skip = lackForBed();
const bed = skip === false ? new Bed() : undefined;
after(() => bed?.ports.close());

const owners: readonly [string, readonly string[], v4: boolean, v6: boolean][] = [
	['of both families', ['udp6', '::'], true, true],
	['of IPv6 alone', ['udp6', '::', 'only'], false, true],
	['of IPv4', ['udp4', '0.0.0.0'], true, false],
	['of one address of IPv6', ['udp6', '::1'], false, true],
];

for (const [name, words, takesIpv4, takesIpv6] of owners) {
	test(`an owner ${name}: ESP beside it, IKE to it`, { skip }, async () => {
		assert.ok(bed !== undefined);
		const { heard, port } = await bed.share(...words);
		try {
			assert.equal(port.takesIpv4, takesIpv4);
			for (const [family, own, takes] of [
				[Ipv4, '127.0.0.1', takesIpv4],
				[Ipv6, '::1', takesIpv6],
			] as const) {
				const found = bed.ports.find(family, PORT, address(own), 0);
				assert.equal(found, takes ? port : undefined, own);
				if (!takes) {
					continue;
				}
				const { fd, sport } = bed.send(family, ESP);
				const packets = bed.receive(port);
				const want: string = `${own} ${sport} ${own} ${PORT} 184 33 ${ESP}`;
				assert.deepEqual(packets.map(told), [want]);
				for (const packet of packets) {
					assert.equal(bed.sendBack(packet, port, fd), ESP);
				}
				bed.native.close(fd);
				heard.length = 0;
				bed.native.close(bed.send(family, IKE).fd);
				for (let turn = 0; turn < 100 && heard.length === 0; turn++) {
					await new Promise((resolve) => setTimeout(resolve, 10));
				}
				assert.deepEqual(heard, [IKE]);
				assert.deepEqual(bed.receive(port), []);
			}
		} finally {
			await bed.end(port);
		}
	});
}

test('an owner that stays has its port for itself again, and shares it once more', {
	skip,
}, async () => {
	assert.ok(bed !== undefined);
	const { port } = await bed.share('udp4', '0.0.0.0');
	try {
		for (const leave of [() => bed.ports.lookAround(new Set()), () => bed.ports.close()]) {
			assert.equal(bed.canShare(), true);
			leave();
			assert.equal(bed.ports.ports.size, 0);
			assert.equal(bed.canShare(), false);
			bed.ports.lookAround(new Set([PORT]));
			const [again] = bed.ports.ports.values();
			assert.ok(again !== undefined);
			bed.native.close(bed.send(Ipv4, ESP).fd);
			assert.equal(bed.receive(again).length, 1);
		}
	} finally {
		bed.ports.close();
		await bed.end(port);
	}
});
