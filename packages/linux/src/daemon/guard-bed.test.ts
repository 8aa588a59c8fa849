// A network namespace to try the guard's filter in, with real packets; no test of its own.
//
//     feed1 ─ feed0 [forwards, and is 10.3/16 and 2001:db8:3::/48] exit0 ─ exit1
//
// Packets are put on feed1, and looked for at exit1 (forwarded in clear), in the lanes' devices (captured), and in
// raw sockets (delivered).
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { viewOf } from '@xfrm/netlink';
import { loadCLibrary } from '../c-library.ts';
import { interfaceIndex } from '../interface-name.ts';
import type { Native } from '../native/seam.ts';
import { emptyMessage } from '../rtnetlink/rtnetlink-socket.ts';
import { CLONE_NEWNET } from '../socket-abi.ts';
import { openTun } from './tun-device.ts';
import { VNET_HEADER_OCTETS } from './vnet-header.ts';

const AF_PACKET = 17;
const SOCK_RAW_NONBLOCK = 3 | 0o4000;
const ETH_P_ALL = 0x0003;
/** Header of Ethernet. */
const FRAME_OCTETS = 14;
/** Nobody's address: what is sent to it at exit1 is for somebody else, and goes no further. */
const PEER = '02:00:00:00:00:99';
const RAW_PROTOCOLS = [6, 17, 47, 99, 132];
/** Room for what a burst of packets makes in turn. */
const QUEUE_MS = 300;

/** Where a packet has come to: a lane's number, in clear, to a socket here, or nowhere. */
export type Seen = number | 'forwarded' | 'delivered' | 'nowhere';

/** Why there can be none; false when there can. */
export function lackForBed(): string | false {
	if (process.platform !== 'linux' || process.geteuid?.() !== 0) {
		return 'needs root on Linux';
	}
	if (spawnSync('ip', ['-V']).status !== 0) {
		return 'apt-get install iproute2';
	}
	const { status, stderr } = spawnSync('unshare', ['-n', 'ip', 'link', 'add', 'type', 'veth']);
	return status === 0 ? false : `needs network namespaces with veth: ${stderr}`;
}

function run(command: string): void {
	const { status, stderr } = spawnSync('sh', ['-ec', command], { encoding: 'utf8' });
	assert.equal(status, 0, `${command}: ${stderr}`);
}

export class GuardBed {
	readonly #native: Native;
	readonly #feed: number;
	readonly #feedAddress: Uint8Array;
	readonly #exit: number;
	readonly #raws: number[];
	readonly #tuns: number[];
	readonly #frame: Uint8Array = new Uint8Array(2048);
	/** Interface that packets leave by. */
	readonly exitIndex: number;

	/** Puts this process into the namespace, for good. */
	constructor(native: Native, lanes: number) {
		this.#native = native;
		assert.equal(loadCLibrary().unshare(CLONE_NEWNET), 0);
		run(`
			ip link set lo up
			ip link add feed0 type veth peer name feed1
			ip link add exit0 type veth peer name exit1
			for d in feed1 exit1; do echo 1 > /proc/sys/net/ipv6/conf/$d/disable_ipv6; done
			echo 0 > /proc/sys/net/ipv6/conf/feed0/accept_dad; echo 0 > /proc/sys/net/ipv6/conf/exit0/accept_dad
			echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter; echo 0 > /proc/sys/net/ipv4/conf/default/rp_filter
			for d in feed0 feed1 exit0 exit1; do echo 0 > /proc/sys/net/ipv4/conf/$d/rp_filter; ip link set $d up; done
			echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
			ip address add 192.0.2.1/24 dev exit0; ip address add 2001:db8:b::1/64 dev exit0 nodad
			ip neigh add 192.0.2.2 lladdr ${PEER} dev exit0; ip neigh add 2001:db8:b::2 lladdr ${PEER} dev exit0
			ip route add default via 192.0.2.2; ip -6 route add default via 2001:db8:b::2
			ip route add local 10.3.0.0/16 dev lo; ip -6 route add local 2001:db8:3::/48 dev lo
		`);
		this.exitIndex = interfaceIndex('exit0') ?? 0;
		this.#feed = this.#packetSocket('feed1');
		this.#feedAddress = linkAddress('feed1');
		this.#frame.set(macOf('feed0'), 0);
		this.#exit = this.#packetSocket('exit1');
		this.#raws = [2, 10].flatMap((family) =>
			[family === 2 ? 1 : 58, ...RAW_PROTOCOLS].map((proto) => {
				const fd = native.socket(family, SOCK_RAW_NONBLOCK, proto);
				assert.ok(fd >= 0);
				return fd;
			}),
		);
		this.#tuns = Array.from({ length: lanes }, (_, lane) => openTun(native, `xfrmd${lane}`).fd);
	}

	/** Interface of a lane's device. */
	laneIndex(lane: number): number {
		return interfaceIndex(`xfrmd${lane}`) ?? 0;
	}

	/** Sends packets, which end with their numbers (u32) from `first` on, and looks where they have come to. */
	async tell(packets: readonly Uint8Array[], first: number): Promise<Seen[]> {
		for (const packet of packets) {
			this.#frame.set(packet, FRAME_OCTETS);
			const ipv4 = (packet[0] ?? 0) >> 4 === 4;
			this.#frame.set(ipv4 ? [8, 0] : [0x86, 0xdd], 12);
			const frame = this.#frame.subarray(0, FRAME_OCTETS + packet.length);
			assert.equal(this.#native.send(this.#feed, frame, this.#feedAddress), frame.length);
		}
		const seen: Seen[] = packets.map(() => 'nowhere');
		let missing = packets.length;
		const note = (packet: Uint8Array, where: Seen): void => {
			if (packet.length < 4) {
				return;
			}
			// What has been late for a burst before is none of this one.
			const number = viewOf(packet).getUint32(packet.length - 4) - first;
			if (seen[number] === 'nowhere') {
				seen[number] = where;
				missing--;
			}
		};
		const until = performance.now() + QUEUE_MS;
		for (let quiet = 0; missing > 0 && quiet < 3 && performance.now() < until; ) {
			quiet = this.#drain(note) ? 0 : quiet + 1;
			await new Promise((resolve) => setTimeout(resolve, 1));
		}
		return seen;
	}

	/** True when anything was there. */
	#drain(note: (packet: Uint8Array, where: Seen) => void): boolean {
		let any = false;
		const take = (fd: number, skip: number, where: Seen, isTun: boolean): void => {
			const bytes = new Uint8Array(4096);
			const message = emptyMessage(0);
			for (;;) {
				const octets = isTun
					? this.#native.read(fd, bytes)
					: this.#native.receive(fd, bytes, message);
				if (octets <= 0) {
					return;
				}
				any = true;
				note(bytes.subarray(skip, octets), where);
			}
		};
		take(this.#exit, FRAME_OCTETS, 'forwarded', false);
		for (const raw of this.#raws) {
			take(raw, 0, 'delivered', false);
		}
		for (const [lane, fd] of this.#tuns.entries()) {
			take(fd, VNET_HEADER_OCTETS, lane, true);
		}
		return any;
	}

	#packetSocket(device: string): number {
		const fd = this.#native.socket(AF_PACKET, SOCK_RAW_NONBLOCK, 0x0300);
		assert.ok(fd >= 0);
		assert.equal(this.#native.bind(fd, linkAddress(device)), 0);
		return fd;
	}
}

function linkAddress(device: string): Uint8Array {
	const address = new Uint8Array(20);
	const view = new DataView(address.buffer);
	view.setUint16(0, AF_PACKET, true);
	view.setUint16(2, ETH_P_ALL);
	view.setInt32(4, interfaceIndex(device) ?? 0, true);
	return address;
}

function macOf(device: string): number[] {
	const { stdout } = spawnSync('ip', ['-o', 'link', 'show', 'dev', device], { encoding: 'utf8' });
	const text = / link\/ether (\S+) /.exec(stdout)?.[1] ?? '';
	return text.split(':').map((octet) => Number.parseInt(octet, 16));
}
