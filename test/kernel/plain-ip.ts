/**
 * Plain IP for the judge: what a host does around XFRM. Packets with odd options, extension headers,
 * checksums, lengths, TTLs and addresses, whole and in fragments, to the host and through it, under
 * policies that allow, block or ask for a tunnel that nobody has.
 *
 * Not asked, because clocks or chance answer: IPv6 segments that are reset (flow label), redirects
 * (rate), IPv4 packets from the host to itself (identification of errors), UDP sockets.
 */
import { addressOctets, fragmentPacket, type IpVersion } from './packet.ts';
import type { Random } from './random.ts';
import type { Scenario, Step } from './scenario.ts';

/** Addresses by where they are, seen from the host. */
interface Places {
	readonly own: readonly string[];
	readonly lan: string;
	readonly wan: string;
	/** Behind a router on wan. */
	readonly far: string;
	readonly nowhere: string;
	/** What must not stand in a packet from outside. */
	readonly martians: readonly string[];
	/** Groups and broadcasts. */
	readonly many: readonly string[];
}

const PLACES: Readonly<Record<IpVersion, Places>> = {
	4: {
		own: ['10.1.0.1', '192.0.2.1', '10.3.0.1'],
		lan: '10.1.0.9',
		wan: '192.0.2.9',
		far: '10.2.0.9',
		nowhere: '203.0.113.7',
		martians: ['10.1.0.1', '127.0.0.1', '224.0.0.1', '0.0.0.0', '0.1.2.3', '255.255.255.255'],
		many: ['10.1.0.255', '255.255.255.255', '127.0.0.1', '0.0.0.0', '0.1.2.3'],
	},
	6: {
		own: ['fd01::1', '2001:db8::1', 'fd03::1'],
		lan: 'fd01::9',
		wan: '2001:db8::9',
		far: 'fd02::9',
		nowhere: '2001:db8:ffff::7',
		martians: ['fd01::1', '::1', 'ff02::1', '::0', 'fe80::9'],
		many: ['::1', 'fd01::77'],
	},
};

const SETUP: readonly string[] = [
	'addr add 10.1.0.1/24 dev lan',
	'addr add 192.0.2.1/24 dev wan',
	'route add 10.2.0.0/24 dev wan',
	'addr add fd01::1/64 dev lan',
	'addr add 2001:db8::1/64 dev wan',
	'route add fd02::/64 dev wan',
	'addr add 10.3.0.1/32 dev lan',
	'addr add fd03::1/128 dev lan',
];

const IPV4_OPTIONS: readonly (readonly number[])[] = [
	[1, 1, 1, 0],
	[7, 7, 4, 0, 0, 0, 0, 0],
	[7, 11, 8, 1, 2, 3, 4, 0, 0, 0, 0, 0],
	[7, 3, 4, 0],
	[7, 2, 1, 0],
	[7, 7, 3, 0, 0, 0, 0, 0],
	[7, 7, 6, 0, 0, 0, 0, 0],
	[7, 7, 8, 9, 9, 9, 9, 7],
	[7, 3, 4, 7, 3, 4, 0, 0],
	[131, 7, 4, 10, 2, 0, 9, 0],
	[137, 7, 4, 10, 2, 0, 9, 0],
	[148, 4, 0, 0],
	[148, 3, 0, 0],
	[130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
	[0x1e, 4, 1, 2],
	[0x9e, 5, 1, 2],
	[0, 5, 6, 7],
	[68, 8, 9, 0, 1, 2, 3, 4],
	[68, 8, 9, 0xf0, 1, 2, 3, 4],
	[68, 4, 4, 0],
];

const IPV6_OPTIONS: readonly (readonly number[])[] = [
	[0],
	[1, 0],
	[1, 2, 0, 0],
	[1, 4, 0, 0, 0, 0],
	[1, 3, 0, 1, 0],
	[0x1e, 0],
	[0x1e, 2, 1, 2],
	[0x3e, 4, 1, 2, 3, 4],
	[0x5e, 1, 1],
	[0x9e, 1, 1],
	[0xde, 1, 1],
	[5, 2, 0, 0],
	[0xc2, 4, 0, 0, 1, 0],
];

const UDP_LITE = 136;

const be16 = (value: number): number[] => [(value >> 8) & 255, value & 255];
const be32 = (value: number): number[] => [...be16(value >>> 16), ...be16(value & 0xffff)];

/** The checksum over octets, an odd last one padded with zero. */
function checksum(octets: readonly number[]): number {
	let sum = 0;
	for (let i = 0; i < octets.length; i += 2) {
		sum += ((octets[i] ?? 0) << 8) | (octets[i + 1] ?? 0);
	}
	while (sum > 0xffff) {
		sum = (sum & 0xffff) + (sum >>> 16);
	}
	return ~sum & 0xffff;
}

interface Header {
	readonly src: string;
	readonly dst: string;
	readonly proto: number;
	readonly ttl: number;
	readonly tos: number;
	readonly dontFragment: boolean;
	readonly options: readonly number[];
}

function withHeader(
	random: Random,
	version: IpVersion,
	header: Header,
	payload: readonly number[],
): number[] {
	const { src, dst, proto, ttl, tos, dontFragment, options } = header;
	const ends = [...addressOctets(src), ...addressOctets(dst)];
	if (version === 6) {
		const first = [0x60 | (tos >> 4), (tos & 15) << 4, 0, 0];
		return [...first, ...be16(payload.length), proto, ttl, ...ends, ...payload];
	}
	const octets = 20 + options.length;
	const first = [0x40 | (octets / 4), tos, ...be16(octets + payload.length)];
	const second = [...be16(random.int(1, 65535)), dontFragment ? 0x40 : 0, 0];
	const bare = [...first, ...second, ttl, proto, 0, 0, ...ends, ...options];
	bare.splice(10, 2, ...be16(checksum(bare)));
	return [...bare, ...payload];
}

/** What stands behind the IP headers: mostly sound. */
function upper(random: Random, src: string, dst: string, proto: number): number[] {
	const payload = [
		...random.bytes(random.pick([0, 1, 3, 8, 40, 69, 70, 300, 1200, 1240, 1472, 2500])),
	];
	const [header, at] = upperHeader(random, proto, payload.length);
	if (at < 0) {
		return payload;
	}
	const octets = [...header, ...payload];
	const ends = [...addressOctets(src), ...addressOctets(dst)];
	const pseudo = proto === 1 ? [] : [...ends, ...be32(octets.length), 0, 0, 0, proto];
	const covered = proto === UDP_LITE ? ((octets[4] ?? 0) << 8) | (octets[5] ?? 0) : 0;
	const right = checksum([...pseudo, ...octets.slice(0, covered || undefined)]);
	const damage = random.chance(0.08) ? 1 << random.int(0, 15) : 0;
	const neverZero = proto === 17 || proto === UDP_LITE;
	octets.splice(at, 2, ...be16((right === 0 && neverZero ? 0xffff : right) ^ damage));
	return octets;
}

/** A header and where its checksum stands, -1 for none. */
function upperHeader(random: Random, proto: number, octets: number): [number[], number] {
	switch (proto) {
		case 17: {
			const length = octets + 8 + (random.chance(0.06) ? random.pick([-1, 1, -9, 4]) : 0);
			const port = random.pick([4242, 4243, random.int(5000, 9000)]);
			return [[...be16(random.int(1, 65535)), ...be16(port), ...be16(length), 0, 0], 6];
		}
		case UDP_LITE: {
			const covered = random.pick([0, 8, 9, octets + 8, octets + 9, 7]);
			return [[...be16(random.int(1, 65535)), ...be16(4242), ...be16(covered), 0, 0], 6];
		}
		case 6: {
			const words = random.pick([5, 5, 5, 6, 4, 15]);
			const flags = random.pick([2, 0x12, 0x10, 4, 1, 0x11, 0x18]);
			const numbers = [...be32(random.u32()), ...be32(random.u32())];
			const ports = [...be16(random.int(1, 65535)), ...be16(80)];
			const options = words === 6 ? [1, 1, 1, 0] : [];
			return [[...ports, ...numbers, words << 4, flags, 1, 0, 0, 0, 0, 0, ...options], 16];
		}
		case 1:
			return [icmp(random, random.pick([0, 8, 3, 11, 12, 5, 4, 14, 40, 17])), 2];
		case 58:
			return [icmp(random, random.pick([128, 129, 1, 2, 3, 4, 200, 100, 5])), 2];
		default:
			return [[], -1];
	}
}

function icmp(random: Random, type: number): number[] {
	return [type, random.pick([0, 1, 3, 4]), 0, 0, ...be32(random.pick([0, 1400, 1300, 1000, 68]))];
}

/** A chain of extension headers in front of `next`: the first one's number and the octets. */
function extensionHeaders(random: Random, next: number): [first: number, octets: number[]] {
	const headers: [number, number[]][] = Array.from({ length: random.int(1, 3) }, () => {
		const proto = random.pick([0, 60, 60, 43, 44]);
		return [proto, extensionHeader(random, proto)];
	});
	if (random.chance(0.7)) {
		headers.sort(([a], [b]) => Number(b === 0) - Number(a === 0));
	}
	const octets = headers.flatMap(([, body], i) => [headers[i + 1]?.[0] ?? next, ...body]);
	return [headers[0]?.[0] ?? next, octets];
}

/** A header without its first octet. */
function extensionHeader(random: Random, proto: number): number[] {
	if (proto === 43) {
		const units = random.pick([0, 2]);
		const address = units === 2 ? addressOctets('fd01::1') : [];
		const [type, left] = [random.pick([0, 2, 3, 4, 99]), random.pick([0, 0, 1, 2])];
		return [units, type, left, 0, 0, 0, 0, ...address];
	}
	if (proto === 44) {
		return [0, 0, random.pick([0, 0, 0, 1]), ...be32(random.u32())];
	}
	const options = Array.from({ length: random.int(0, 4) }, () => random.pick(IPV6_OPTIONS)).flat();
	const missing = (8 - ((options.length + 2) % 8)) % 8;
	const padding =
		missing === 1
			? [0]
			: missing > 1
				? [1, missing - 2, ...Array<number>(missing - 2).fill(0)]
				: [];
	return [(options.length + 2 + padding.length) / 8 - 1, ...options, ...padding];
}

function ends(
	random: Random,
	version: IpVersion,
	at: 'lan' | 'wan' | 'local',
): [src: string, dst: string] {
	const places = PLACES[version];
	const { own, lan, wan, far, nowhere, martians, many } = places;
	const [first = lan, second = wan] = own;
	if (at === 'local') {
		const targets = version === 4 ? [far, wan, lan, nowhere] : [...own, far, wan, lan, nowhere];
		return [random.pick([first, second]), random.pick(targets)];
	}
	const src = random.chance(0.06)
		? random.pick(martians)
		: random.pick(at === 'lan' ? [lan, lan, nowhere] : [wan, far, far]);
	const through = at === 'lan' || version === 6 ? [far, far, wan] : [lan, lan];
	const dst = random.chance(0.05)
		? random.pick(many)
		: random.pick([...own, ...through, ...(at === 'lan' ? [nowhere] : [])]);
	return [src, dst];
}

/** Steps for one packet, or for one datagram in fragments. */
function packetSteps(random: Random, version: IpVersion, at: 'lan' | 'wan' | 'local'): Step[] {
	const [src, dst] = ends(random, version, at);
	const control = version === 4 ? 1 : 58;
	const segments = version === 4 ? [6] : [];
	const known = [17, 17, 17, control, control, 253, ...segments];
	const proto = random.pick([...known, random.int(0, 255), UDP_LITE, 59, 4, 41, 50, 51, 108, 135]);
	const payload = upper(random, src, dst, proto);
	const extended = version === 6 && random.chance(0.4);
	const [next, chain] = extended ? extensionHeaders(random, proto) : [proto, []];
	const header: Header = {
		src,
		dst,
		proto: next,
		ttl: random.pick([64, 64, 64, 64, 1, 0, 2, 255]),
		tos: random.pick([0, 0, 0x10, 0x1e, 0xb9, 3]),
		dontFragment: random.chance(0.4),
		options: version === 4 && random.chance(0.2) ? random.pick(IPV4_OPTIONS) : [],
	};
	const octets = withHeader(random, version, header, [...chain, ...payload]);
	const whole = Buffer.from(octets).toString('hex');
	if (!extended && !header.dontFragment && payload.length > 24 && random.chance(0.25)) {
		const size = 8 * Math.max(1, Math.ceil(payload.length / random.int(9, 40)));
		const pieces = fragmentPacket(whole, size, random.u32());
		return disturbed(random, pieces).map((packet) => ({ at, packet }));
	}
	return [{ at, packet: at === 'local' ? whole : damaged(random, octets) }];
}

/** Fragments out of order, one missing, one repeated. */
function disturbed(random: Random, pieces: string[]): string[] {
	if (random.chance(0.3)) {
		pieces.reverse();
	}
	if (random.chance(0.2)) {
		pieces.splice(random.int(0, pieces.length - 1), 1);
	}
	const [first] = pieces;
	return first !== undefined && random.chance(0.2) ? [...pieces, first] : pieces;
}

/** Now and then an octet changed (not the version), cut, or something behind the end. */
function damaged(random: Random, octets: number[]): string {
	const copy = octets.slice();
	if (random.chance(0.04)) {
		copy[random.int(1, 19)] = random.int(0, 255);
	}
	const cut = random.chance(0.04) ? copy.slice(0, random.int(1, copy.length)) : copy;
	return Buffer.from(random.chance(0.03) ? [...cut, 1, 2, 3] : cut).toString('hex');
}

function randomPolicy(random: Random, version: IpVersion, dir: string): string {
	const any = version === 4 ? 'src 0.0.0.0/0 dst 0.0.0.0/0' : 'src ::/0 dst ::/0';
	const tunnel =
		version === 4
			? 'tmpl src 192.0.2.9 dst 192.0.2.1 proto esp mode tunnel'
			: 'tmpl src 2001:db8::9 dst 2001:db8::1 proto esp mode tunnel';
	const actions = ['action block', 'action allow', ...(dir === 'out' ? [] : [tunnel])];
	const protos = [
		'',
		'',
		'proto udp',
		'proto tcp',
		version === 4 ? 'proto icmp' : 'proto ipv6-icmp',
	];
	return `ip xfrm policy add ${any} ${random.pick(protos)} dir ${dir} ${random.pick(actions)}`;
}

/** How the sources of what arrives are looked at, over IPv4. */
function randomSourceChecks(random: Random): Readonly<Record<string, number>> {
	const conf = `net.ipv4.conf.${random.pick(['lan', 'wan', 'all'])}`;
	const settings: readonly Readonly<Record<string, number>>[] = [
		{ [`${conf}.rp_filter`]: 1 },
		{ [`${conf}.rp_filter`]: 2 },
		{ [`${conf}.rp_filter`]: 1, 'net.ipv4.conf.wan.accept_local': 1 },
		{ [`${conf}.accept_local`]: 1 },
		{ 'net.ipv4.conf.all.send_redirects': 0, 'net.ipv4.conf.lan.send_redirects': 0 },
	];
	return random.chance(0.4) ? random.pick(settings) : {};
}

/** A scenario of about a dozen packets. */
export function plainIpScenario(random: Random, id: string): Scenario {
	const xfrm: string[] = [];
	for (const dir of ['in', 'fwd', 'out']) {
		for (const version of [4, 6] as const) {
			// Nothing outward over IPv6: the kernel's own multicasts would be counted too.
			if (!(dir === 'out' && version === 6) && random.chance(0.2)) {
				xfrm.push(randomPolicy(random, version, dir));
			}
		}
	}
	const refusing = [
		'route add unreachable 203.0.113.0/24',
		'route add prohibit 2001:db8:ffff::/48',
	];
	const setup = [
		...SETUP,
		...(random.chance(0.3) ? ['link set wan mtu 1280'] : []),
		...(random.chance(0.2) ? refusing : []),
		// Rules and local routes of somebody's own have sources looked up that are not otherwise.
		...(random.chance(0.1) ? ['route add local 10.2.0.8/29 dev lo'] : []),
		...(random.chance(0.1) ? ['rule add from 10.77.0.0/16 lookup main'] : []),
	];
	const sysctl = randomSourceChecks(random);
	const steps: Step[] = [];
	while (steps.length < 12) {
		const at = random.pick(['lan', 'lan', 'wan', 'wan', 'local'] as const);
		steps.push(...packetSteps(random, random.pick([4, 6] as const), at));
	}
	return { first: { id, tags: ['in', 'out', 'plain'], setup, sysctl, xfrm, steps } };
}
