/**
 * The data planes that are compared, each set up between the same two hosts: our daemon with rules by `ip xfrm`,
 * strongSwan's kernel-libipsec, wireguard-go, a tunnel that only copies. All carry inner addresses of 10.1.0.0/16 ↔
 * 10.2.0.0/16 over 192.168.80.0/24, or their like in IPv6.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Host, type Laboratory, type Running, until, XFRM } from '../test/ike/laboratory.ts';

export interface Gateways {
	readonly a: Host;
	readonly b: Host;
}

/** A data plane that is up, with the processes that do the work at either end. */
export interface Plane {
	readonly pidsA: readonly number[];
	readonly pidsB: readonly number[];
}

type End = 'a' | 'b';

/** Addresses of one family. */
export interface Network {
	readonly outer: Readonly<Record<End, string>>;
	/** Of the first tunnel. */
	readonly inner: Readonly<Record<End, string>>;
	/** All inner addresses of an end, as a prefix. */
	readonly prefix: Readonly<Record<End, string>>;
	/** Of one inner address. */
	readonly hostBits: 32 | 128;
}

export const IPV4: Network = {
	outer: { a: '192.168.80.1', b: '192.168.80.2' },
	inner: { a: '10.1.0.1', b: '10.2.0.1' },
	prefix: { a: '10.1.0.0/16', b: '10.2.0.0/16' },
	hostBits: 32,
};
export const IPV6: Network = {
	outer: { a: 'fd00:80::1', b: 'fd00:80::2' },
	inner: { a: 'fd00:1::1', b: 'fd00:2::1' },
	prefix: { a: 'fd00:1::/64', b: 'fd00:2::/64' },
	hostBits: 128,
};
const KEY = '0x00112233445566778899aabbccddeeff01020304';
const ESP_PORT = 4500;
/** Both ends, and who is at the other. */
const ENDS = [
	['a', 'b'],
	['b', 'a'],
] as const;

/** Inner addresses of a tunnel, by its number from 0. */
export function innerOf(end: End, tunnel: number): string {
	const number = tunnel + 1;
	return `10.${end === 'a' ? 1 : 2}.${number >> 8}.${number & 255}`;
}

/** Two hosts with a wire, inner addresses on lo, and a route to the other's. */
export function gateways(laboratory: Laboratory): Gateways {
	const [a, b] = [laboratory.host('a'), laboratory.host('b')];
	const addresses = (end: End): string[] => [`${IPV4.outer[end]}/24`, `${IPV6.outer[end]}/64`];
	laboratory.wire(a, 'eth0', addresses('a'), b, 'eth0', addresses('b'));
	for (const host of [a, b]) {
		// As veth devices are: they take large packets whole.
		host.must('ip link set eth0 gso_max_segs 65535');
	}
	return { a, b };
}

function addInner(ends: Gateways, network: Network): void {
	const { inner, outer, prefix, hostBits } = network;
	for (const [own, peer] of ENDS) {
		const host = ends[own];
		if (hostBits === 32) {
			// On lo, all of a prefix are the host's own.
			host.must(`ip address add ${inner[own]}/16 dev lo`);
		} else {
			host.must(`ip address add ${inner[own]}/128 dev lo nodad`);
		}
		host.must(`ip route add ${prefix[peer]} via ${outer[peer]} src ${inner[own]}`);
	}
}

/** What is asked of a plane of ours. */
export interface OurSetting {
	readonly provider: string;
	/** ESP in UDP; wants somebody who has port 4500, as an IKE daemon would. */
	readonly encap: boolean;
	/** Default: IPv4. */
	readonly network?: Network;
	/** Each with addresses, states and policies of its own; default 1. IPv4 only, if more. */
	readonly tunnels?: number;
}

/** Policies and states of one end, as `ip -batch` reads them. */
export function rules(own: End, peer: End, setting: OurSetting): string {
	const { encap, network = IPV4, tunnels = 1 } = setting;
	const { outer, hostBits } = network;
	const lines: string[] = [];
	for (let tunnel = 0; tunnel < tunnels; tunnel++) {
		const inner =
			tunnels > 1 ? { a: innerOf('a', tunnel), b: innerOf('b', tunnel) } : network.inner;
		const state = (from: End, to: End): string =>
			`xfrm state add src ${outer[from]} dst ${outer[to]} proto esp ` +
			`spi ${0x1000 + 2 * tunnel + (from === 'a' ? 0 : 1)} reqid ${tunnel + 1} mode tunnel ` +
			`replay-window 32 aead rfc4106(gcm(aes)) ${KEY} 128` +
			`${encap ? ` encap espinudp ${ESP_PORT} ${ESP_PORT} ${hostBits === 32 ? '0.0.0.0' : '::'}` : ''}`;
		const policy = (from: End, to: End, direction: string): string =>
			`xfrm policy add src ${inner[from]}/${hostBits} dst ${inner[to]}/${hostBits} dir ${direction} ` +
			`tmpl src ${outer[from]} dst ${outer[to]} proto esp reqid ${tunnel + 1} mode tunnel`;
		lines.push(state(own, peer), state(peer, own));
		lines.push(policy(own, peer, 'out'), policy(peer, own, 'in'));
	}
	return `${lines.join('\n')}\n`;
}

/** By `ip -batch`, however long it takes. */
export async function loadRules(host: Host, text: string): Promise<void> {
	const batch = join(host.folder, 'rules');
	writeFileSync(batch, text);
	const ip = host.start([process.execPath, XFRM, 'exec', '--', 'ip', '-batch', batch]);
	if ((await ip.ended) !== 0) {
		throw new Error(`${host.name}: ip -batch: ${ip.stderr}`);
	}
}

/** A daemon whose /run is memory, as it is on every machine that systemd has started. */
export async function startDaemon(host: Host, provider: string): Promise<Running> {
	const daemon = [process.execPath, XFRM, 'daemon', '--provider', provider];
	const shell = 'mount -t tmpfs none /run && exec "$@"';
	const running = host.start(['sh', '-c', shell, 'sh', ...daemon]);
	const isUp = (): boolean =>
		running.stdout.startsWith('ready ') || running.process.exitCode !== null;
	await until(`${host.name}: daemon`, isUp, 30_000);
	if (!running.stdout.startsWith('ready ')) {
		throw new Error(`${host.name}: daemon ended: ${running.stderr}`);
	}
	return running;
}

/** Our daemon at both ends. */
export async function ourPlane(ends: Gateways, setting: OurSetting): Promise<Plane> {
	const { network = IPV4 } = setting;
	addInner(ends, network);
	const start = (host: Host): Promise<Running> => startDaemon(host, setting.provider);
	const [daemonA, daemonB] = await Promise.all([start(ends.a), start(ends.b)]);
	for (const [own, peer] of ENDS) {
		const host = ends[own];
		if (setting.encap) {
			const [kind, table] = network.hostBits === 32 ? ['udp4', 'udp'] : ['udp6', 'udp6'];
			// As IKE daemons do: IPv6 has a socket of its own.
			const options = `{ type: '${kind}', ipv6Only: ${kind === 'udp6'} }`;
			const owner = `require('dgram').createSocket(${options}).bind(${ESP_PORT})`;
			host.start([process.execPath, '-e', owner]);
			await until('the port', () => host.must(`cat /proc/net/${table}`).includes(':1194 '));
		}
		await loadRules(host, rules(own, peer, setting));
	}
	return { pidsA: [daemonA.pid], pidsB: [daemonB.pid] };
}

function charonSettings(folder: string): string {
	return `charon {
	load_modular = yes
	plugins {
		include /etc/strongswan.d/charon/*.conf
		vici { socket = unix://${folder}/vici }
		kernel-libipsec { load = yes }
	}
	pidfile = ${folder}/pid
}
`;
}

function charonConnection(own: End, peer: End, { outer, inner, hostBits }: Network): string {
	return `connections { gw {
	version = 2
	local_addrs = ${outer[own]}
	remote_addrs = ${outer[peer]}
	mobike = no
	proposals = aes128-sha256-x25519
	local { auth = psk }
	remote { auth = psk }
	children { net {
		local_ts = ${inner[own]}/${hostBits}
		remote_ts = ${inner[peer]}/${hostBits}
		esp_proposals = aes128gcm16
	} }
} }
secrets { ike-1 { secret = "a secret of the bench" } }
`;
}

/** strongSwan's own user-space ESP. */
export async function libipsecPlane(ends: Gateways, network: Network): Promise<Plane> {
	addInner(ends, network);
	const pids: number[] = [];
	const swanctl = (host: Host, words: string): string =>
		host.must([
			'env',
			`STRONGSWAN_CONF=${host.folder}/strongswan.conf`,
			`SWANCTL_DIR=${host.folder}/swanctl`,
			'swanctl',
			...words.split(' '),
			'--uri',
			`unix://${host.folder}/vici`,
		]);
	for (const [own, peer] of ENDS) {
		const host = ends[own];
		const { folder } = host;
		mkdirSync(join(folder, 'swanctl'), { recursive: true });
		writeFileSync(join(folder, 'strongswan.conf'), charonSettings(folder));
		writeFileSync(join(folder, 'swanctl', 'swanctl.conf'), charonConnection(own, peer, network));
		const running = host.start(
			['unshare', '-m', 'sh', '-c', 'mount -t tmpfs none /run; exec /usr/lib/ipsec/charon'],
			{ STRONGSWAN_CONF: join(folder, 'strongswan.conf') },
		);
		pids.push(running.pid);
		await until('charon', () => host.run(`test -S ${folder}/vici`).status === 0, 10_000);
		swanctl(host, '--load-all');
	}
	swanctl(ends.a, '--initiate --child net');
	return { pidsA: pids.slice(0, 1), pidsB: pids.slice(1) };
}

/** Gives the first tunnel to a device: its own address, and a route to the other's. */
function routeInner(host: Host, device: string, own: End, peer: End): void {
	host.must(`ip address add ${IPV4.inner[own]}/32 dev ${device}`);
	host.must(`ip link set ${device} mtu 1420 up`);
	host.must(`ip route add ${IPV4.inner[peer]}/32 dev ${device}`);
}

/** wireguard-go: another protocol and cipher (ChaCha20-Poly1305), for the same work. */
export async function wireguardPlane(ends: Gateways): Promise<Plane> {
	const { a, b } = ends;
	const [secretA, secretB] = [a.must('wg genkey').trim(), b.must('wg genkey').trim()];
	const publicOf = (host: Host, secret: string): string => host.must('wg pubkey', secret).trim();
	const pids: number[] = [];
	for (const [own, peer, secret, peerKey] of [
		['a', 'b', secretA, publicOf(b, secretB)],
		['b', 'a', secretB, publicOf(a, secretA)],
	] as const) {
		const host = ends[own];
		const device = `wg${own}`;
		const running = host.start(['wireguard-go', '-f', device]);
		pids.push(running.pid);
		await until('wireguard-go', () => host.run(`ip link show ${device}`).status === 0);
		const file = join(host.folder, 'wg.conf');
		writeFileSync(
			file,
			`[Interface]\nPrivateKey = ${secret}\nListenPort = 51820\n[Peer]\nPublicKey = ${peerKey}\n` +
				`AllowedIPs = ${IPV4.inner[peer]}/32\nEndpoint = ${IPV4.outer[peer]}:51820\n`,
		);
		await until('its socket', () => host.run(`wg setconf ${device} ${file}`).status === 0);
		routeInner(host, device, own, peer);
	}
	return { pidsA: pids.slice(0, 1), pidsB: pids.slice(1) };
}

export const COMPILER = '/usr/bin/cc';
const COPYING_SOURCE = fileURLToPath(new URL('copying-tunnel.c', import.meta.url));

/** A program of one source, made in a folder. */
export function compiled(source: string, folder: string): string {
	const program = join(folder, basename(source, '.c'));
	execFileSync(COMPILER, ['-O2', '-o', program, source]);
	return program;
}

/** The least that user space can do: packets are copied between device and socket, and nothing else. */
export async function copyingPlane(ends: Gateways): Promise<Plane> {
	const pids: number[] = [];
	for (const [own, peer] of ENDS) {
		const host = ends[own];
		const device = `copy${own}`;
		const program = compiled(COPYING_SOURCE, host.folder);
		const { outer } = IPV4;
		const running = host.start([program, device, outer[own], outer[peer], String(ESP_PORT)]);
		pids.push(running.pid);
		await until('its device', () => host.run(`ip link show ${device}`).status === 0);
		routeInner(host, device, own, peer);
	}
	return { pidsA: pids.slice(0, 1), pidsB: pids.slice(1) };
}

/** No tunnel at all: what the wire and the measuring programs can do. */
export async function barePlane(ends: Gateways): Promise<Plane> {
	addInner(ends, IPV4);
	return { pidsA: [], pidsB: [] };
}
