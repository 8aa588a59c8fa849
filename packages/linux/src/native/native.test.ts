// What every provider has to do, without any right. A provider that is not there on this machine is skipped.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Errno, Family, parseAddress } from '@xfrm/wire/xfrm';
import fc from 'fast-check';
import { RECEIVE_OCTETS } from '../limits.ts';
import { netSysctl } from '../net-sysctl.ts';
import {
	getLink,
	getRoute,
	parseLinkDefaults,
	parseRoute,
	RouteType,
} from '../rtnetlink/rtnetlink-message.ts';
import { RtnetlinkSocket } from '../rtnetlink/rtnetlink-socket.ts';
import {
	AF_INET,
	IpOption,
	intValue,
	Level,
	OpenFlag,
	SocketKind,
	SocketOption,
	sockaddr,
	UdpOption,
} from './abi.ts';
import { addonNative } from './addon.ts';
import { CompileError } from './compiled.ts';
import { ffiNative } from './ffi.ts';
import { moveOctets, NOT, OctetMoves } from './octet-moves.ts';
import { PacketBatch } from './packet-batch.ts';
import { PollSet } from './poll-set.ts';
import type { Native } from './seam.ts';

const linux = process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch);
const needsRoot = process.geteuid?.() === 0 ? false : 'needs root, to set marks';
const needsLinux = linux ? false : 'needs Linux on x86-64 or arm64';

/** Why a provider is not to be had here; false when it is. */
function lack(make: () => Native): string | false {
	try {
		make();
		return false;
	} catch (error) {
		if (error instanceof CompileError) {
			return error.message;
		}
		throw error;
	}
}

/** More than the largest packet. */
const LARGE_OCTETS = 66_000;

const loopback = parseAddress('127.0.0.1')?.address ?? new Uint8Array(16);

/** A UDP socket on a free port of 127.0.0.1. */
function udp(native: Native): { readonly fd: number; readonly address: Uint8Array } {
	const fd = native.socket(AF_INET, SocketKind.Datagram, 0);
	assert.ok(fd >= 0);
	assert.equal(native.bind(fd, sockaddr(Family.Ipv4, loopback, 0)), 0);
	const address = new Uint8Array(16);
	assert.equal(native.socketName(fd, address), 16);
	native.setOption(fd, Level.Ip, IpOption.PacketInfo, intValue(1));
	native.setOption(fd, Level.Ip, IpOption.ReceiveTos, intValue(1));
	native.setOption(fd, Level.Ip, IpOption.ReceiveTtl, intValue(1));
	return { fd, address };
}

for (const make of [ffiNative, addonNative]) {
	const skip = needsLinux === false ? lack(make) : needsLinux;
	test(`${make.name}: errors are negative numbers`, { skip }, () => {
		const native = make();
		assert.equal(native.close(1_000_000), -Errno.EBADF);
		assert.equal(native.open('/nowhere', OpenFlag.ReadWrite), -Errno.ENOENT);
		assert.equal(native.execve('/nowhere', ['x'], []), -Errno.ENOENT);
	});

	test(`${make.name}: an eventfd wakes who waits for it`, { skip }, () => {
		const native = make();
		const fd = native.eventfd();
		const set = new PollSet(native, 2);
		let woken = 0;
		set.add(fd, () => woken++);
		assert.equal(set.wait(0), 0);
		assert.equal(native.yieldProcessor(), 0);
		set.dispatch();
		assert.equal(native.write(fd, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0)), 8);
		assert.equal(set.wait(1000), 1);
		set.dispatch();
		assert.equal(woken, 1);
		set.remove(fd);
		assert.equal(set.wait(0), 0, 'still readable, and waited for no longer');
		set.dispatch();
		assert.equal(woken, 1);
		native.close(fd);
		set.close();
	});

	test(`${make.name}: who was added first is called first, whoever was ready first`, {
		skip,
	}, () => {
		const native = make();
		const fds = [native.eventfd(), native.eventfd(), native.eventfd()];
		const set = new PollSet(native, 3);
		let called: number[] = [];
		for (const [i, fd] of fds.entries()) {
			set.add(fd, () => called.push(i));
		}
		const one = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);
		for (const i of [2, 1]) {
			native.write(fds[i] ?? -1, one);
		}
		assert.equal(set.wait(1000), 2);
		set.dispatch();
		assert.deepEqual(called, [1, 2]);
		called = [];
		native.write(fds[0] ?? -1, one);
		assert.equal(set.wait(1000), 3);
		set.dispatch();
		assert.deepEqual(called, [0, 1, 2]);
		for (const fd of fds) {
			native.close(fd);
		}
		set.close();
	});

	test(`${make.name}: a receive stops when it has enough, and the next goes on`, { skip }, () => {
		const native = make();
		const [from, to] = [udp(native), udp(native)];
		const octets = RECEIVE_OCTETS / 4;
		const batch = new PacketBatch(new Uint8Array(10 * octets), 10);
		for (let row = 0; row < 10; row++) {
			batch.at[row] = row * octets;
			batch.room[row] = octets;
		}
		const send = (value: number, size: number): void => {
			native.send(from.fd, new Uint8Array(size).fill(value), to.address);
		};
		for (let value = 0; value < 4; value++) {
			send(value, octets);
		}
		send(4, 9);
		send(5, 9);
		assert.equal(native.receivePackets(to.fd, 'socket', batch), 4);
		assert.equal(batch.isFilled(4), true);
		assert.equal(batch.slab[3 * octets], 3);
		assert.equal(native.receivePackets(to.fd, 'socket', batch), 2);
		assert.equal(batch.isFilled(2), false);
		assert.equal(batch.slab[octets], 5);
		native.close(from.fd);
		native.close(to.fd);
	});

	test(`${make.name}: octets are copied and summed as without a provider`, { skip }, () => {
		const native = make();
		const pieces = fc.array(
			fc.record({
				from: fc.integer({ min: 0, max: 2000 }),
				to: fc.constantFrom(NOT, 80_000, 80_001, 80_006),
				octets: fc.oneof(
					fc.integer({ min: 0, max: 40 }),
					fc.integer({ min: 0, max: 5000 }),
					fc.integer({ min: 32_760, max: LARGE_OCTETS }),
				),
				sum: fc.constantFrom(NOT, 0, 1, 0xffff),
			}),
			{ maxLength: 4 },
		);
		const filled = fc.constantFrom(0, 0xff, 7);
		const slabOctets = 0x2_8000;
		const slabs = [new ArrayBuffer(slabOctets), native.packetMemory(slabOctets)];
		fc.assert(
			fc.property(pieces, filled, (rows, filling) => {
				const [expected, actual] = slabs.map(
					(memory) => new OctetMoves(new Uint8Array(memory, 8, slabOctets - 8), 4),
				);
				for (const moves of [expected, actual]) {
					assert.ok(moves !== undefined);
					moves.slab.forEach((_, i) => {
						moves.slab[i] = i * filling;
					});
					for (const { from, to, octets, sum } of rows) {
						moves.add(from, to, octets, sum);
					}
				}
				assert.ok(expected !== undefined && actual !== undefined);
				moveOctets(expected);
				native.moveOctets(actual);
				assert.deepEqual(actual.slab, expected.slab);
				assert.deepEqual(actual.sum, expected.sum);
			}),
			{ numRuns: 60 },
		);
	});

	test(`${make.name}: packets through sockets, many a call`, { skip }, () => {
		const native = make();
		const [from, to] = [udp(native), udp(native)];
		const slab = new Uint8Array(8 * 64);
		const out = new PacketBatch(slab, 4);
		for (let row = 0; row < 3; row++) {
			slab.set([row, 1, 2], row * 64);
			out.at[row] = row * 64;
			out.octets[row] = 3 + row;
			out.setPeer(row, to.address);
		}
		// A row in the middle that cannot go does not stop the others.
		out.setPeer(1, sockaddr(Family.Ipv4, new Uint8Array(16).fill(255), 9));
		out.count = 3;
		native.sendPackets(from.fd, 'socket', out);
		assert.deepEqual([...out.status.subarray(0, 3)], [0, -Errno.EACCES, 0]);

		const into = new PacketBatch(slab, 4);
		for (let row = 0; row < 4; row++) {
			into.at[row] = (row + 4) * 64;
			into.room[row] = 64;
		}
		assert.equal(native.receivePackets(to.fd, 'socket', into), 2);
		assert.deepEqual([...into.octets.subarray(0, 2)], [3, 5]);
		assert.deepEqual([...slab.subarray(4 * 64, 4 * 64 + 3)], [0, 1, 2]);
		assert.equal(slab[5 * 64], 2);
		assert.deepEqual([...into.local.subarray(0, 4)], [127, 0, 0, 1]);
		assert.equal(into.ifindex[0], 1);
		assert.equal(into.hopLimit[0], 64);
		assert.deepEqual(into.peer.slice(0, 8), from.address.slice(0, 8));
		assert.equal(native.receivePackets(to.fd, 'socket', into), 0);
		native.close(from.fd);
		native.close(to.fd);
	});

	test(`${make.name}: marks of what comes`, { skip: skip || needsRoot }, (context) => {
		const native = make();
		const [from, to] = [udp(native), udp(native)];
		if (native.setOption(to.fd, Level.Socket, SocketOption.ReceiveMark, intValue(1)) < 0) {
			context.skip('needs Linux 5.19');
			return;
		}
		const batch = new PacketBatch(new Uint8Array(2 * 64), 2);
		batch.at[1] = 64;
		batch.room.fill(64);
		for (const mark of [-7, 0]) {
			native.setOption(from.fd, Level.Socket, SocketOption.Mark, intValue(mark));
			assert.equal(native.send(from.fd, Uint8Array.of(1, 2), to.address), 2);
		}
		assert.equal(native.receivePackets(to.fd, 'socket', batch), 2);
		assert.deepEqual([...batch.mark], [-7, 0]);
		native.setOption(to.fd, Level.Socket, SocketOption.ReceiveMark, intValue(0));
		native.send(from.fd, Uint8Array.of(1, 2), to.address);
		assert.equal(native.receivePackets(to.fd, 'socket', batch), 1);
		assert.equal(batch.mark[0], 0);
		// To be sent: a row's own stands in place of the socket's, whatever kind it is.
		native.setOption(to.fd, Level.Socket, SocketOption.ReceiveMark, intValue(1));
		native.setOption(from.fd, Level.Socket, SocketOption.Mark, intValue(5));
		const out = new PacketBatch(new Uint8Array(64), 2);
		out.octets.fill(9);
		out.mark[1] = 42;
		out.count = 2;
		for (const row of [0, 1]) {
			out.setPeer(row, to.address);
			out.local.set([127, 0, 0, 1], row * 16);
			out.hopLimit[row] = 64;
		}
		for (const kind of ['socket', 'datagram'] as const) {
			native.sendPackets(from.fd, kind, out);
			assert.deepEqual([...out.status], [0, 0], kind);
			assert.equal(native.receivePackets(to.fd, 'socket', batch), 2);
			assert.deepEqual([...batch.mark], [5, 42], kind);
			assert.deepEqual([...batch.octets], [9, 9], kind);
		}
		native.close(from.fd);
		native.close(to.fd);
	});

	test(`${make.name}: datagrams in segments, gathered, from an address of ours`, { skip }, () => {
		const native = make();
		const [from, to] = [udp(native), udp(native)];
		const into = new PacketBatch(new Uint8Array(4 * 512), 4);
		for (let row = 0; row < 4; row++) {
			into.at[row] = row * 512;
			into.room[row] = 512;
		}
		const slab = Uint8Array.from({ length: 512 }, (_, i) => i);
		const out = new PacketBatch(slab, 4);
		// One message of 100, 100 and 40 octets, and one of 7.
		for (const [row, octets] of [100, 100, 40, 7].entries()) {
			out.at[row] = row * 128;
			out.octets[row] = octets;
			out.joined[row] = row === 1 || row === 2 ? 1 : 0;
			out.setPeer(row, to.address);
			out.local.set([127, 0, 0, 1], row * 16);
			out.trafficClass[row] = 0x28;
			out.hopLimit[row] = 33;
		}
		out.segmentOctets[0] = 100;
		out.count = 4;
		native.sendPackets(from.fd, 'datagram', out);
		assert.deepEqual([...out.status], [0, 0, 0, 0]);
		assert.equal(native.receivePackets(to.fd, 'socket', into), 4);
		assert.deepEqual([...into.octets], [100, 100, 40, 7]);
		assert.deepEqual([...into.segmentOctets], [0, 0, 0, 0]);
		assert.deepEqual([...into.trafficClass], [0x28, 0x28, 0x28, 0x28]);
		assert.deepEqual([...into.hopLimit], [33, 33, 33, 33]);
		assert.deepEqual(into.slab.slice(512, 612), slab.slice(128, 228));

		native.setOption(to.fd, Level.Udp, UdpOption.Gro, intValue(1));
		native.sendPackets(from.fd, 'datagram', out);
		assert.equal(native.receivePackets(to.fd, 'datagram', into), 2);
		assert.deepEqual([...into.octets.subarray(0, 2)], [240, 7]);
		assert.deepEqual([...into.segmentOctets.subarray(0, 2)], [100, 0]);
		assert.deepEqual(into.slab.slice(200, 240), slab.slice(256, 296));
		native.close(from.fd);
		native.close(to.fd);
	});

	test(`${make.name}: a copy of a descriptor by pidfd`, { skip }, () => {
		const native = make();
		const pidfd = native.pidfdOpen(process.pid);
		assert.ok(pidfd >= 0);
		const fd = native.eventfd();
		const copy = native.pidfdGetfd(pidfd, fd);
		assert.ok(copy > fd);
		native.write(copy, Uint8Array.of(5, 0, 0, 0, 0, 0, 0, 0));
		const counted = new Uint8Array(8);
		assert.equal(native.read(fd, counted), 8);
		assert.equal(counted[0], 5);
		for (const open of [copy, fd, pidfd]) {
			native.close(open);
		}
	});

	test(`${make.name}: the kernel answers questions about routes and links`, { skip }, () => {
		const native = make();
		const socket = new RtnetlinkSocket(native);
		const question = {
			family: Family.Ipv4,
			daddr: loopback,
			saddr: new Uint8Array(16),
			mark: 0,
			oif: 0,
		};
		const [route] = socket.request(getRoute(question)).messages;
		assert.ok(route !== undefined);
		const { type, oif, source } = parseRoute(route) ?? {};
		assert.deepEqual([type, oif, source], [RouteType.Local, 1, loopback]);
		const [link] = socket.request(getLink(1)).messages;
		assert.ok(link !== undefined);
		const mtu = Number(readFileSync('/sys/class/net/lo/mtu', 'latin1'));
		assert.deepEqual(parseLinkDefaults(link), {
			mtu,
			ipv6Mtu: netSysctl('ipv6/conf/lo/mtu') ?? mtu,
			ipv6HopLimit: netSysctl('ipv6/conf/lo/hop_limit') ?? 0,
		});
		assert.notEqual(socket.request(getLink(0x7fff_ffff)).errno, 0);
		socket.close();
	});
}
