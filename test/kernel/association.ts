/**
 * A random association between two hosts, A that sends and B that receives, as `ip` commands: addresses
 * and routes, states, policies. Each host has `lan` and `wan` (golden/README.md).
 */
import { sharesAnySourceBucket } from './any-source.ts';
import type { IpVersion } from './packet.ts';
import type { Random } from './random.ts';

export interface Ends {
	readonly outer: IpVersion;
	readonly inner: IpVersion;
	readonly wanA: string;
	readonly wanB: string;
	readonly netA: string;
	readonly netB: string;
	/** Hosts in the plaintext networks; `ownA` and `ownB` are the gateways' own addresses there. */
	readonly hostA: string;
	readonly hostB: string;
	readonly ownA: string;
	readonly ownB: string;
}

function prefix(version: IpVersion): number {
	return version === 4 ? 24 : 64;
}

export function randomEnds(random: Random, outer: IpVersion, inner: IpVersion): Ends {
	for (;;) {
		const ends = drawEnds(random, outer, inner);
		if (!meetsByAccident(ends)) {
			return ends;
		}
	}
}

/** Would a search find a state between these hosts that is not the right one (any-source.ts)? */
function meetsByAccident(ends: Ends): boolean {
	const { wanA, wanB, hostA, hostB, ownA, ownB } = ends;
	const pairs: readonly (readonly [string, string])[] = [
		[wanA, wanB],
		...[hostA, ownA].flatMap((a) => [hostB, ownB].map((b) => [a, b] as const)),
	];
	return pairs.some(([a, b]) => sharesAnySourceBucket(a, b) || sharesAnySourceBucket(b, a));
}

function drawEnds(random: Random, outer: IpVersion, inner: IpVersion): Ends {
	const hex = (): string => random.int(1, 0xffff).toString(16);
	const [a, b, c] = [random.int(1, 250), random.int(1, 120), random.int(1, 250)];
	const wan4 = random.pick(['192.0.2', '198.51.100', '203.0.113']);
	const wan6 = `2001:db8:${hex()}:${hex()}`;
	const [net4a, net4b] = [`10.${a}.${b}`, `10.${a}.${b + 128}`];
	const [net6a, net6b] = [`fd00:${hex()}:${hex()}:1`, `fd01:${hex()}:${hex()}:2`];
	const four = inner === 4;
	return {
		outer,
		inner,
		wanA: outer === 4 ? `${wan4}.${random.int(1, 120)}` : `${wan6}::${hex()}`,
		wanB: outer === 4 ? `${wan4}.${random.int(121, 250)}` : `${wan6}::1:${hex()}`,
		netA: four ? `${net4a}.0/24` : `${net6a}::/64`,
		netB: four ? `${net4b}.0/24` : `${net6b}::/64`,
		hostA: four ? `${net4a}.${random.int(2, 250)}` : `${net6a}::${random.int(2, 9)}:${hex()}`,
		hostB: four ? `${net4b}.${c}` : `${net6b}::${random.int(2, 9)}:${hex()}`,
		ownA: four ? `${net4a}.1` : `${net6a}::1`,
		ownB: four ? `${net4b}.1` : `${net6b}::1`,
	};
}

/** The other end's view. */
export function swapEnds(ends: Ends): Ends {
	return {
		...ends,
		wanA: ends.wanB,
		wanB: ends.wanA,
		netA: ends.netB,
		netB: ends.netA,
		hostA: ends.hostB,
		hostB: ends.hostA,
		ownA: ends.ownB,
		ownB: ends.ownA,
	};
}

/** Addresses and routes of host A. */
export function setupCommands(ends: Ends): string[] {
	return [
		`addr add ${ends.ownA}/${prefix(ends.inner)} dev lan`,
		`addr add ${ends.wanA}/${prefix(ends.outer)} dev wan`,
		`route add ${ends.netB} dev wan`,
	];
}

export interface Algorithms {
	/** Words of `ip xfrm state`. */
	readonly words: string;
	readonly name: string;
	/** Octets of IV on the wire. */
	readonly ivOctets: number;
}

interface AuthChoice {
	readonly name: string;
	readonly key: number;
	readonly truncs: readonly number[];
}

const auths: readonly AuthChoice[] = [
	{ name: 'hmac(md5)', key: 16, truncs: [96, 128] },
	{ name: 'hmac(sha1)', key: 20, truncs: [96, 160, 80] },
	{ name: 'hmac(sha256)', key: 32, truncs: [96, 128, 256] },
	{ name: 'hmac(sha384)', key: 48, truncs: [192] },
	{ name: 'hmac(sha512)', key: 64, truncs: [256, 512] },
	{ name: 'hmac(rmd160)', key: 20, truncs: [96, 160] },
	{ name: 'xcbc(aes)', key: 16, truncs: [96, 128] },
	{ name: 'cmac(aes)', key: 16, truncs: [96, 128] },
];

/** `auth NAME KEY` or `auth-trunc NAME KEY BITS`. */
export function randomAuth(random: Random): Algorithms {
	const auth = random.pick(auths);
	const key = auth.name.startsWith('hmac') && random.chance(0.2) ? random.int(1, 140) : auth.key;
	const bits = random.pick([0, ...auth.truncs]);
	return {
		words:
			bits === 0
				? `auth '${auth.name}' 0x${random.hex(key)}`
				: `auth-trunc '${auth.name}' 0x${random.hex(key)} ${bits}`,
		name: `${auth.name}/${bits}`,
		ivOctets: 0,
	};
}

interface CipherChoice {
	readonly name: string;
	readonly keys: readonly number[];
	readonly ivOctets: number;
}

const ciphers: readonly CipherChoice[] = [
	{ name: 'cbc(aes)', keys: [16, 24, 32], ivOctets: 16 },
	{ name: 'rfc3686(ctr(aes))', keys: [20, 28, 36], ivOctets: 8 },
	{ name: 'cbc(des3_ede)', keys: [24], ivOctets: 8 },
	{ name: 'cbc(camellia)', keys: [16, 24, 32], ivOctets: 16 },
	{ name: 'ecb(cipher_null)', keys: [0], ivOctets: 0 },
];

const aeads: readonly [name: string, keys: readonly number[], icvs: readonly number[]][] = [
	['rfc4106(gcm(aes))', [20, 28, 36], [64, 96, 128]],
	['rfc4309(ccm(aes))', [19, 27, 35], [64, 96, 128]],
	['rfc4543(gcm(aes))', [20, 28, 36], [128]],
	['rfc7539esp(chacha20,poly1305)', [36], [128]],
];

/** Algorithms for ESP: combined mode, cipher with authentication, or a cipher alone. */
export function randomEspAlgorithms(random: Random, authenticated = false): Algorithms {
	if (random.chance(0.5)) {
		const [name, keys, icvs] = random.pick(aeads);
		const icv = random.pick(icvs);
		return {
			words: `aead '${name}' 0x${random.hex(random.pick(keys))} ${icv}`,
			name: `${name}/${icv}`,
			ivOctets: 8,
		};
	}
	const cipher = random.pick(ciphers);
	const key = random.pick(cipher.keys);
	const words = `enc '${cipher.name}' ${key === 0 ? '""' : `0x${random.hex(key)}`}`;
	if (!authenticated && random.chance(0.1)) {
		return { words, name: cipher.name, ivOctets: cipher.ivOctets };
	}
	const auth = randomAuth(random);
	return {
		words: `${words} ${auth.words}`,
		name: `${cipher.name}+${auth.name}`,
		ivOctets: cipher.ivOctets,
	};
}

export interface StateSpec {
	readonly src: string;
	readonly dst: string;
	readonly proto: 'esp' | 'ah' | 'comp' | 'hao' | 'route2';
	readonly spi?: number;
	readonly reqid?: number;
	readonly mode: 'transport' | 'tunnel' | 'beet' | 'ro';
	readonly algorithms: Algorithms;
	/** Further words in front of the algorithms: flags, windows, marks, limits, selector, encap. */
	readonly extra?: string;
}

export function stateCommand(spec: StateSpec): string {
	const spi = spec.spi === undefined ? '' : ` spi 0x${spec.spi.toString(16)}`;
	const reqid = spec.reqid === undefined ? '' : ` reqid ${spec.reqid}`;
	const extra = spec.extra === undefined || spec.extra === '' ? '' : ` ${spec.extra}`;
	const id = `src ${spec.src} dst ${spec.dst} proto ${spec.proto}${spi}${reqid}`;
	return `ip xfrm state add ${id} mode ${spec.mode}${extra} ${spec.algorithms.words}`.trimEnd();
}

/** A template that asks for the state. */
export function templateWords(spec: StateSpec, level = ''): string {
	const ends = spec.mode === 'transport' ? '' : ` src ${spec.src} dst ${spec.dst}`;
	const reqid = spec.reqid === undefined ? '' : ` reqid ${spec.reqid}`;
	return `tmpl${ends} proto ${spec.proto}${reqid} mode ${spec.mode}${level}`;
}

export function policyCommand(
	selector: string,
	direction: 'in' | 'out' | 'fwd',
	rest: string,
): string {
	return `ip xfrm policy add ${selector} dir ${direction} ${rest}`.trimEnd();
}

export function randomSpi(random: Random): number {
	return random.chance(0.5) ? 0xc0000000 + random.int(0, 0x0fffffff) : random.int(256, 0x0fffffff);
}
