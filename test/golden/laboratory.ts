/** The host of a golden case, as the kernel's laboratory had it (golden/README.md). */
import { nodeProvider } from '@xfrm/crypto/node';
import type { Available, KernelProfile } from '@xfrm/engine';
import { type Observed, World } from '@xfrm/explain';
import type { LinkCounters } from '@xfrm/host';
import { formatHex, parseHex } from '@xfrm/wire';
import { addressFrom } from '@xfrm/wire/xfrm';
import { setSocketPolicy, socketPolicyOption } from './socket-policy.ts';

/** When the world of a case begins: some time in 2023, so that times are of a real size. */
const START_US = 1_700_000_000_500_000;
/** Time between steps: enough for timestamps to differ, too little for lifetimes. */
export const STEP_US = 2000;

const provider = nodeProvider();

/** Sockets that the laboratory reads: the first that are opened. Senders and UDP_ENCAP sockets follow. */
export const SOCKETS_READ = 8;

/** Next headers of IPv6 that no raw socket can be open for: sent by one for protocol 255. */
const EXTENSION_HEADERS: readonly number[] = [0, 43, 44, 60];

/** Octets that look random and are the same in every run. */
export function seededRandom(seed: number): (bytes: Uint8Array) => void {
	let state = seed >>> 0 || 1;
	return (bytes) => {
		for (let i = 0; i < bytes.length; i++) {
			state ^= state << 13;
			state ^= state >>> 17;
			state ^= state << 5;
			bytes[i] = state & 255;
		}
	};
}

/** A host with two devices, forwarding, and sockets that take what is delivered. */
export interface Laboratory {
	readonly world: World;
	/** The one with 6.19: two processors, sockets that are told of ICMP errors, states that tell more. */
	readonly newer: boolean;
	/** wan is an Ethernet device. */
	readonly ether: boolean;
	/** The engine follows another kernel than the one that made the case. */
	otherKernel: boolean;
	/** A UDP socket sends in the step at hand: the host makes the headers. */
	ownHeader: boolean;
	/** Counters of virtual devices as they stood when last compared. */
	readonly links: Map<string, LinkCounters>;
	/** The case's TCP connection, 0 for none. */
	connection: number;
	/** Sockets that take what is delivered, by family and port or protocol. */
	readonly receivers: ReadonlyMap<string, number>;
	/** Raw sockets that have sent, by what they are bound to: they stay open, and get what is theirs. */
	readonly senders: Map<string, number>;
	/** Our compressor made other octets than the kernel's, maybe longer ones: states around it count them. */
	otherOctets: boolean;
}

/** Number of `lan`: 6.19 came with a device before it, and so do ip_vti (one) and ip6_vti (two). */
export function firstDeviceNumber(modules: readonly string[], newer: boolean): number {
	const before = newer || modules.includes('ip_vti') ? 1 : 0;
	return 2 + before + (modules.includes('ip6_vti') ? 2 : 0);
}

/**
 * Makes the laboratory that a case was captured in, with an engine that follows `profile`.
 *
 * @param ether the case has an Ethernet device for wan; link headers are not shown, so only its number differs
 */
export function makeLaboratory(
	profile: KernelProfile,
	available: Available,
	newer: boolean,
	ether = false,
): Laboratory {
	const world = new World({
		profile,
		available,
		provider,
		random: seededRandom(20261),
		startUs: START_US,
		processors: newer ? 2 : 1,
	});
	for (const name of ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding']) {
		world.setSysctl(name, 1);
	}
	for (const name of ['net.ipv4.icmp_echo_ignore_all', 'net.ipv6.icmp.echo_ignore_all']) {
		world.setSysctl(name, 1); // a host that answers no echo at all refuses the name
	}
	const first = firstDeviceNumber([...(available.modules ?? [])], newer);
	world.host.addDevice('lan', first);
	// An Ethernet wan was made anew, in place of the first.
	world.host.addDevice('wan', first + (ether ? 2 : 1));
	world.run('link set lan up mtu 1500');
	world.run('link set wan up mtu 1500');
	const receivers = new Map<string, number>();
	for (const family of [2, 10]) {
		const version = family === 2 ? 4 : 6;
		for (const proto of [family === 2 ? 1 : 58, 253]) {
			receivers.set(`${version} ${proto}`, world.host.openRaw({ family, proto }).value ?? 0);
		}
		for (const port of [4242, 4243]) {
			const opened = world.host.openUdp({ family, port, receiveErrors: newer });
			receivers.set(`${version} ${port}`, opened.value ?? 0);
		}
	}
	const otherKernel = newer !== (profile.name !== 'linux61');
	return {
		world,
		newer,
		ether,
		otherKernel,
		ownHeader: false,
		links: new Map(),
		connection: 0,
		receivers,
		senders: new Map(),
		otherOctets: false,
	};
}

/** How a raw socket of a step is made. */
export interface RawSender {
	readonly mark?: number;
	/** Device that it is bound to. */
	readonly bind_dev?: string;
	/** Its policy, as a command. */
	readonly policy?: string;
}

/** A raw socket sends a packet with its header; sockets are made once for source, protocol and options. */
export function sendByRawSocket(lab: Laboratory, packet: Uint8Array, sender: RawSender): Observed {
	const { world, senders } = lab;
	const { mark = 0, bind_dev: device, policy } = sender;
	const ipv4 = (packet[0] ?? 0) >> 4 === 4;
	const next = packet[ipv4 ? 9 : 6] ?? 0;
	const proto = !ipv4 && EXTENSION_HEADERS.includes(next) ? 255 : next;
	const source = ipv4 ? addressFrom(packet, 12, 4) : addressFrom(packet, 8, 16);
	const family = ipv4 ? 2 : 10;
	const option = policy === undefined ? '' : socketPolicyOption(policy);
	const key = `${family} ${proto} ${mark} ${formatHex(source)} ${device ?? ''} ${option}`;
	let socketId = senders.get(key);
	if (socketId === undefined) {
		const bound = device === undefined ? {} : { device };
		const options = { family, proto, source, mark, headerIncluded: true, ...bound };
		const opened = world.host.openRaw(options);
		if (opened.refusal !== undefined) {
			return world.observe(opened.refusal.errno);
		}
		socketId = opened.value;
		senders.set(key, socketId);
		if (policy !== undefined) {
			setSocketPolicy(world, socketId, policy);
		}
	}
	return world.observe(world.host.sendRaw(socketId, packet, world.nowUs));
}

/** Octets of hex text from a golden file, which is sound. */
export function bytesOf(hex: string): Uint8Array {
	const bytes = parseHex(hex);
	if (!(bytes instanceof Uint8Array)) {
		throw new RangeError(`not hex: ${hex}`);
	}
	return bytes;
}
