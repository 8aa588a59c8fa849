/**
 * The data planes that are compared, each set up between the same two hosts: our daemon with rules by `ip xfrm`,
 * strongSwan's kernel-libipsec, wireguard-go. All carry 10.1.0.1 ↔ 10.2.0.1 over 192.168.80.0/24.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Host, type Laboratory, type Running, until } from '../test/ike/laboratory.ts';

export interface Gateways {
	readonly a: Host;
	readonly b: Host;
}

/** A data plane that is up, with the processes that do the work at either end. */
export interface Plane {
	readonly pidsA: readonly number[];
	readonly pidsB: readonly number[];
}

const OUTER = { a: '192.168.80.1', b: '192.168.80.2' } as const;
export const INNER = { a: '10.1.0.1', b: '10.2.0.1' } as const;
const KEY = '0x00112233445566778899aabbccddeeff01020304';
const ESP_PORT = 4500;

/** Two hosts with a wire, inner addresses on lo, and a route to the other's. */
export function gateways(laboratory: Laboratory): Gateways {
	const [a, b] = [laboratory.host('a'), laboratory.host('b')];
	laboratory.wire(a, 'eth0', [`${OUTER.a}/24`], b, 'eth0', [`${OUTER.b}/24`]);
	for (const host of [a, b]) {
		// As veth devices are: they take large packets whole.
		host.must('ip link set eth0 gso_max_segs 65535');
	}
	return { a, b };
}

function addInner({ a, b }: Gateways): void {
	for (const [host, own, peer] of [
		[a, 'a', 'b'],
		[b, 'b', 'a'],
	] as const) {
		host.must(`ip address add ${INNER[own]}/32 dev lo`);
		host.must(`ip route add ${INNER[peer]}/32 via ${OUTER[peer]} src ${INNER[own]}`);
	}
}

/** Policies and states of one end, as `ip -batch` reads them. */
function rules(own: 'a' | 'b', peer: 'a' | 'b', encap: boolean): string {
	const state = (from: 'a' | 'b', to: 'a' | 'b', spi: string): string =>
		`xfrm state add src ${OUTER[from]} dst ${OUTER[to]} proto esp spi ${spi} reqid 1 mode tunnel ` +
		`replay-window 32 aead rfc4106(gcm(aes)) ${KEY} 128` +
		`${encap ? ` encap espinudp ${ESP_PORT} ${ESP_PORT} 0.0.0.0` : ''}\n`;
	const policy = (from: 'a' | 'b', to: 'a' | 'b', direction: string): string =>
		`xfrm policy add src ${INNER[from]}/32 dst ${INNER[to]}/32 dir ${direction} ` +
		`tmpl src ${OUTER[from]} dst ${OUTER[to]} proto esp reqid 1 mode tunnel\n`;
	const [out, back] = own === 'a' ? ['0x101', '0x102'] : ['0x102', '0x101'];
	return (
		state(own, peer, out) +
		state(peer, own, back) +
		policy(own, peer, 'out') +
		policy(peer, own, 'in')
	);
}

/** Ours; `encap` wants somebody who has port 4500, as an IKE daemon would. */
export async function ourPlane(ends: Gateways, provider: string, encap: boolean): Promise<Plane> {
	const { a, b } = ends;
	addInner(ends);
	const start = (host: Host): Promise<Running> => host.daemon('--provider', provider);
	const [daemonA, daemonB] = await Promise.all([start(a), start(b)]);
	for (const [host, own, peer] of [
		[a, 'a', 'b'],
		[b, 'b', 'a'],
	] as const) {
		if (encap) {
			const owner = `require('dgram').createSocket('udp4').bind(${ESP_PORT})`;
			host.start([process.execPath, '-e', owner]);
			await until('the port', () => host.must('cat /proc/net/udp').includes(':1194 '));
		}
		const batch = join(host.folder, 'rules');
		writeFileSync(batch, rules(own, peer, encap));
		host.mustExec(`ip -batch ${batch}`);
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

function charonConnection(own: 'a' | 'b', peer: 'a' | 'b'): string {
	return `connections { gw {
	version = 2
	local_addrs = ${OUTER[own]}
	remote_addrs = ${OUTER[peer]}
	mobike = no
	proposals = aes128-sha256-x25519
	local { auth = psk }
	remote { auth = psk }
	children { net {
		local_ts = ${INNER[own]}/32
		remote_ts = ${INNER[peer]}/32
		esp_proposals = aes128gcm16
	} }
} }
secrets { ike-1 { secret = "a secret of the bench" } }
`;
}

/** strongSwan's own user-space ESP. */
export async function libipsecPlane(ends: Gateways): Promise<Plane> {
	const { a, b } = ends;
	addInner(ends);
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
	for (const [host, own, peer] of [
		[a, 'a', 'b'],
		[b, 'b', 'a'],
	] as const) {
		const { folder } = host;
		mkdirSync(join(folder, 'swanctl'), { recursive: true });
		writeFileSync(join(folder, 'strongswan.conf'), charonSettings(folder));
		writeFileSync(join(folder, 'swanctl', 'swanctl.conf'), charonConnection(own, peer));
		const running = host.start(
			['unshare', '-m', 'sh', '-c', 'mount -t tmpfs none /run; exec /usr/lib/ipsec/charon'],
			{ STRONGSWAN_CONF: join(folder, 'strongswan.conf') },
		);
		pids.push(running.pid);
		await until('charon', () => host.run(`test -S ${folder}/vici`).status === 0, 10_000);
		swanctl(host, '--load-all');
	}
	swanctl(a, '--initiate --child net');
	return { pidsA: pids.slice(0, 1), pidsB: pids.slice(1) };
}

/** wireguard-go: another protocol and cipher (ChaCha20-Poly1305), for the same work. */
export async function wireguardPlane(ends: Gateways): Promise<Plane> {
	const { a, b } = ends;
	const [secretA, secretB] = [a.must('wg genkey').trim(), b.must('wg genkey').trim()];
	const publicOf = (host: Host, secret: string): string => host.must('wg pubkey', secret).trim();
	const pids: number[] = [];
	for (const [host, own, peer, secret, peerKey] of [
		[a, 'a', 'b', secretA, publicOf(b, secretB)],
		[b, 'b', 'a', secretB, publicOf(a, secretA)],
	] as const) {
		const device = `wg${own}`;
		const running = host.start(['wireguard-go', '-f', device]);
		pids.push(running.pid);
		await until('wireguard-go', () => host.run(`ip link show ${device}`).status === 0);
		const file = join(host.folder, 'wg.conf');
		writeFileSync(
			file,
			`[Interface]\nPrivateKey = ${secret}\nListenPort = 51820\n[Peer]\nPublicKey = ${peerKey}\n` +
				`AllowedIPs = ${INNER[peer]}/32\nEndpoint = ${OUTER[peer]}:51820\n`,
		);
		await until('its socket', () => host.run(`wg setconf ${device} ${file}`).status === 0);
		host.must(`ip address add ${INNER[own]}/32 dev ${device}`);
		host.must(`ip link set ${device} mtu 1420 up`);
		host.must(`ip route add ${INNER[peer]}/32 dev ${device}`);
	}
	return { pidsA: pids.slice(0, 1), pidsB: pids.slice(1) };
}

/** No tunnel at all: what the wire and the measuring programs can do. */
export async function barePlane(ends: Gateways): Promise<Plane> {
	addInner(ends);
	return { pidsA: [], pidsB: [] };
}
