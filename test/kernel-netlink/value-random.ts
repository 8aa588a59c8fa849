/**
 * Random values for the fields and attributes of NETLINK_XFRM. Pools are small, so that requests meet what
 * earlier ones made; each has values that are sound and, after them, ones at the border or beyond.
 */
import {
	type AttributeName,
	type AttributeValues,
	type Struct,
	userPolicyInfo,
	userSaInfo,
	xfrmSelector,
} from '@xfrm/netlink';
import { anySelector, parseAddress, type Selector, type Template } from '@xfrm/wire/xfrm';
import type { Random } from '../kernel/random.ts';

/** Sound values first; with the probability `wild` one of the others is taken. */
interface Pool {
	readonly sound: readonly number[];
	readonly wild: readonly number[];
}

const pool = (sound: readonly number[], wild: readonly number[] = sound): Pool => ({ sound, wild });

const U32 = 0xffff_ffff;
const NEVER = Number.POSITIVE_INFINITY;

const octetLimit = pool([NEVER, 0, 1000], [1, 2 ** 40]);
/** No time that could pass during a test: timers are the kernel's own. */
const timeLimit = pool([0, 0, 100_000], [2 ** 33, 1_000_000]);

/** By the name of the field, wherever it stands. */
const FIELDS: Readonly<Record<string, Pool>> = {
	dport: pool([0, 0, 80], [65535]),
	sport: pool([0, 0, 500], [65535]),
	dportMask: pool([0, 0, 65535], [255, 0xff00]),
	sportMask: pool([0, 0, 65535], [255, 0xff00]),
	family: pool([2, 2, 2, 10], [0, 1, 3, 255, 65535]),
	prefixlenD: pool([0, 24, 32], [33, 64, 128, 129, 255]),
	prefixlenS: pool([0, 24, 32], [33, 64, 128, 129, 255]),
	ifindex: pool([0, 0, 1], [2, 9999, -1, -(2 ** 31)]),
	user: pool([0, 0, 1000], [U32]),
	spi: pool([0x100, 0x101, 0xc000_0001], [0, 1, 255, 256, 0xffff, 0x10000, U32]),
	softByteLimit: octetLimit,
	hardByteLimit: octetLimit,
	softPacketLimit: octetLimit,
	hardPacketLimit: octetLimit,
	softAddExpiresSeconds: timeLimit,
	hardAddExpiresSeconds: timeLimit,
	softUseExpiresSeconds: timeLimit,
	hardUseExpiresSeconds: timeLimit,
	bytes: pool([0], [7, 2 ** 33]),
	packets: pool([0], [7, 2 ** 33]),
	addTime: pool([0], [1, 2 ** 31]),
	useTime: pool([0], [1, 2 ** 31]),
	priority: pool([0, 1, 100], [2 ** 31, U32]),
	index: pool([0, 0, 0, 8, 9, 10, 16, 17, 25], [1, 7, 24, 800, 2 ** 31, U32]),
	direction: pool([0, 1, 1, 2], [3, 4, 5, 255]),
	action: pool([0, 0, 1], [2, 255]),
	flags: pool([0, 0, 1, 2], [4, 8, 16, 32, 64, 128, 255]),
	share: pool([0, 0, 1, 2, 3], [4, 255]),
	mode: pool([0, 1, 1, 4], [2, 3, 5, 6, 255]),
	reqid: pool([0, 1, 7], [U32]),
	seq: pool([0, 0, 77], [U32]),
	replayWindow: pool([0, 32], [1, 33, 64, 255]),
	optional: pool([0, 0, 1], [2, 255]),
	aalgos: pool([U32, 0], [1]),
	ealgos: pool([U32, 0], [1]),
	calgos: pool([U32, 0], [1]),
	hard: pool([0, 1], [2, 255]),
	min: pool([0x100, 0x200], [0, 1, 0xffff, U32]),
	max: pool([0x100, 0x200], [0, 0x10000, U32]),
	in: pool([0, 1, 2], [3, 255]),
	fwd: pool([0, 1, 2], [3, 255]),
	out: pool([0, 1, 2], [3, 255]),
	sadhcnt: pool([0]),
	oldFamily: pool([2, 2, 10], [0, 255]),
	newFamily: pool([2, 2, 10], [0, 255]),
};
const ANY_NUMBER = pool([0, 1], [2, 255, 65535, U32]);
const IDENTITY_PROTO = pool([50, 50, 50, 51, 108, 60, 43], [0, 4, 17, 41, 135, 255]);
const UPPER_PROTO = pool([0, 0, 6, 17], [1, 47, 58, 135, 255]);
const FLUSH_PROTO = pool([0, 50, 51, 255], [108, 43, 1, 254]);

const ADDRESSES: readonly Uint8Array[] = [
	'192.0.2.1',
	'198.51.100.2',
	'198.51.100.3',
	'2001:db8::1',
	'2001:db8::2',
	'0.0.0.0',
].map((text) => parseAddress(text)?.address ?? new Uint8Array(16));

const NAMES: Readonly<Record<'auth' | 'crypt' | 'aead' | 'comp', readonly string[]>> = {
	auth: [
		'hmac(sha256)',
		'hmac(sha1)',
		'sha1',
		'digest_null',
		'hmac(md5)',
		'xcbc(aes)',
		'cmac(aes)',
		'hmac(sm3)',
		'rot13',
	],
	crypt: [
		'cbc(aes)',
		'aes',
		'ecb(cipher_null)',
		'cipher_null',
		'rfc3686(ctr(aes))',
		'cbc(des3_ede)',
		'blowfish',
		'',
	],
	aead: [
		'rfc4106(gcm(aes))',
		'rfc4309(ccm(aes))',
		'rfc7539esp(chacha20,poly1305)',
		'rfc4543(gcm(aes))',
		'x',
	],
	comp: ['deflate', 'lzs', 'lzjh', 'gzip'],
};

/** Makes values; how often a field is wild is asked anew for each message. */
export class ValueRandom {
	readonly random: Random;
	/** Probability of a field at the border or beyond. */
	wild: number = 0;

	constructor(random: Random) {
		this.random = random;
	}

	number(from: Pool): number {
		return this.random.pick(this.random.chance(this.wild) ? from.wild : from.sound);
	}

	field(key: string): number {
		return this.number(FIELDS[key] ?? ANY_NUMBER);
	}

	address(): Uint8Array {
		return this.random.pick(ADDRESSES);
	}

	/** Mostly one of a few, so that policies are met again. */
	selector(): Selector {
		if (!this.random.chance(0.3)) {
			const [near = new Uint8Array(16), far = near] = ADDRESSES;
			const prefixlenD = this.random.pick([24, 32]);
			return { ...anySelector(2), saddr: near, daddr: far, prefixlenD, prefixlenS: 0 };
		}
		return this.struct(xfrmSelector.fields, 'selector') as unknown as Selector;
	}

	/** A value for every field of a struct, nested ones too. */
	struct(fields: Struct<object>['fields'], within: string): Record<string, unknown> {
		const value: Record<string, unknown> = {};
		for (const [key, { codec }] of fields) {
			if ('fields' in codec) {
				const { fields: inner } = codec as Struct<object>;
				value[key] = key === 'selector' ? this.selector() : this.struct(inner, codec.name);
			} else if (codec.name === 'xfrm_address_t') {
				value[key] = this.address();
			} else if (key === 'proto') {
				value[key] = this.number(protoPool(within));
			} else {
				value[key] = this.field(key);
			}
		}
		return value;
	}

	template(): Template {
		return {
			id: {
				daddr: this.address(),
				spi: this.random.chance(0.7) ? 0 : this.field('spi'),
				proto: this.number(IDENTITY_PROTO),
			},
			saddr: this.address(),
			family: this.field('family'),
			reqid: this.field('reqid'),
			mode: this.field('mode'),
			share: this.field('share'),
			optional: this.random.chance(0.7) ? 0 : this.field('optional'),
			aalgos: this.field('aalgos'),
			ealgos: this.field('ealgos'),
			calgos: this.field('calgos'),
		};
	}

	#algorithm(kind: keyof typeof NAMES): { name: string; key: Uint8Array; keyBits: number } {
		const names = NAMES[kind];
		const name = this.random.chance(0.6) ? (names[0] ?? '') : this.random.pick(names);
		const key = this.random.bytes(this.random.pick([0, 1, 16, 20, 32]));
		const wrong = this.random.chance(this.wild) ? this.random.pick([-8, -1, 1, 8, 800]) : 0;
		const keyBits = (key.length * 8 + wrong) >>> 0;
		return { name, key, keyBits: this.random.chance(this.wild / 4) ? U32 : keyBits };
	}

	#list<T>(countMax: number, make: () => T): T[] {
		const count = this.random.chance(this.wild)
			? this.random.pick([0, countMax, countMax + 1])
			: this.random.int(1, 2);
		return Array.from({ length: count }, make);
	}

	/** A value for an attribute. */
	attribute<N extends AttributeName>(name: N): AttributeValues[N] {
		const make = this.#makers[name] ?? (() => this.number(pool([0, 1, 2, 7], [255, 65535])));
		// The table's rows make what their names say; others are integers.
		return make() as AttributeValues[N];
	}

	readonly #makers: { readonly [N in AttributeName]?: () => AttributeValues[N] } = {
		algAuth: () => this.#algorithm('auth'),
		algAuthTrunc: () => ({
			...this.#algorithm('auth'),
			truncBits: this.number(pool([96, 128, 0], [1, 127, 256, 512, U32])),
		}),
		algCrypt: () => this.#algorithm('crypt'),
		algComp: () => this.#algorithm('comp'),
		algAead: () => ({
			...this.#algorithm('aead'),
			icvBits: this.number(pool([128, 96, 64], [0, 8, 127, 256])),
		}),
		encap: () => ({
			type: this.number(pool([2], [0, 1, 3, 7, 8, 65535])),
			sport: 4500,
			dport: 4500,
			oa: this.address(),
		}),
		tmpl: () => this.#list(6, () => this.template()),
		secCtx: () => {
			const context = this.random.bytes(this.random.pick([0, 1, 4, 12]));
			const wrong = this.random.chance(this.wild) ? this.random.pick([-1, 1, 100]) : 0;
			const ctxLen = context.length;
			return { len: 8 + ctxLen + wrong, exttype: 8, ctxAlg: 1, ctxDoi: 1, ctxLen, context };
		},
		ltimeVal: () => ({ bytes: 1, packets: 2, addTime: 3, useTime: 4 }),
		replayVal: () => ({
			oseq: this.number(pool([0, 1], [U32])),
			seq: this.number(pool([0, 1], [U32])),
			bitmap: this.number(pool([0, 1], [U32])),
		}),
		replayEsnVal: () => {
			const words = this.number(pool([1, 2, 0], [4, 127, 128]));
			const bmpLen = this.random.chance(this.wild)
				? this.random.pick([words + 1, 129, U32])
				: words;
			return {
				bmpLen,
				oseq: this.number(pool([0, 1], [U32])),
				seq: this.number(pool([0, 1], [U32])),
				oseqHi: this.number(pool([0], [1, U32])),
				seqHi: this.number(pool([0], [1, U32])),
				replayWindow: this.number(pool([0, 32], [33, 64, U32])),
				bmp: new Uint32Array(words),
			};
		},
		srcaddr: () => this.address(),
		coaddr: () => this.address(),
		policyType: () => ({ type: this.number(pool([0, 0, 1], [2, 255])) }),
		migrate: () =>
			this.#list(6, () => ({
				oldDaddr: this.address(),
				oldSaddr: this.address(),
				newDaddr: this.address(),
				newSaddr: this.address(),
				proto: this.number(IDENTITY_PROTO),
				mode: this.field('mode'),
				reqid: this.field('reqid'),
				oldFamily: this.field('oldFamily'),
				newFamily: this.field('newFamily'),
			})),
		kmaddress: () => ({
			local: this.address(),
			remote: this.address(),
			family: this.field('family'),
		}),
		mark: () => ({ v: this.random.pick([0, 1, 3, 0x100]), m: this.random.pick([0, 1, 0xff, U32]) }),
		addressFilter: () => ({
			saddr: this.address(),
			daddr: this.address(),
			family: this.field('family'),
			splen: this.number(pool([0, 24, 32], [64, 128, 129, 255])),
			dplen: this.number(pool([0, 24, 32], [64, 128, 129, 255])),
		}),
		proto: () => this.number(FLUSH_PROTO),
		offloadDev: () => ({
			ifindex: this.number(pool([0, 1], [9999])),
			flags: this.number(pool([0, 2], [1, 4, 8, 255])),
		}),
		ifId: () => this.number(pool([0, 1, 42], [U32])),
		saDir: () => this.number(pool([1, 2], [0, 3, 255])),
		saPcpu: () => this.number(pool([0, 1], [2, 64, U32])),
		lastused: () => 5,
		iptfsDontFrag: () => true,
		sa: () =>
			this.struct(userSaInfo.fields, 'xfrm_usersa_info') as unknown as AttributeValues['sa'],
		policy: () =>
			this.struct(
				userPolicyInfo.fields,
				'xfrm_userpolicy_info',
			) as unknown as AttributeValues['policy'],
		sadHinfo: () => ({ sadhcnt: 1, sadhmcnt: 2 }),
		spdInfo: () => ({ incnt: 1, outcnt: 2, fwdcnt: 3, inscnt: 4, outscnt: 5, fwdscnt: 6 }),
		spdHinfo: () => ({ spdhcnt: 1, spdhmcnt: 2 }),
		spdIpv4Hthresh: () => this.#threshold(32),
		spdIpv6Hthresh: () => this.#threshold(128),
	};

	#threshold(most: number): { lbits: number; rbits: number } {
		const bits = pool([0, 16, most], [most + 1, 255]);
		return { lbits: this.number(bits), rbits: this.number(bits) };
	}
}

function protoPool(within: string): Pool {
	if (within === 'selector' || within === 'xfrm_selector') {
		return UPPER_PROTO;
	}
	return within === 'xfrm_usersa_flush' ? FLUSH_PROTO : IDENTITY_PROTO;
}
