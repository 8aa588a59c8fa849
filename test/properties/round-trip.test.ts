/**
 * What our output makes, our input takes: every algorithm × mode × family × ESN × encapsulation, and
 * transforms behind each other. The packet that comes out is the one that went in, to the octet.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AEAD_ALGORITHMS, AUTH_ALGORITHMS, CRYPT_ALGORITHMS } from '@xfrm/crypto/algorithms';
import { nodeProvider } from '@xfrm/crypto/node';
import { type Engine, linux61, linux619 } from '@xfrm/engine';
import { formatHex, IPV4_DONT_FRAGMENT, PacketBuffer, setIpv4Checksum } from '@xfrm/wire';
import { Direction, Family, IpProto, Mode } from '@xfrm/wire/xfrm';
import fc from 'fast-check';
import {
	type Algorithms,
	type Association,
	arriving,
	innerAddress,
	type Layer,
	makeEnd,
	pseudoRandom,
	receive,
	send,
	udpPacket,
} from './tunnel-ends.ts';

const provider = nodeProvider();
const { Esp, Ah, Comp } = IpProto;
const { Transport, Tunnel, Beet } = Mode;
const FAMILIES = [Family.Ipv4, Family.Ipv6];

function key(octets: number): { key: Uint8Array; keyBits: number } {
	return { key: Uint8Array.from({ length: octets }, (_, i) => i * 7 + 1), keyBits: octets * 8 };
}

const aeads: readonly Algorithms[] = AEAD_ALGORITHMS.filter(({ name, icvBits }) =>
	provider.supports('aead', name, icvBits),
).flatMap(({ name, icvBits, keyOctets }) =>
	keyOctets.map((octets) => ({ aead: { name, icvBits, ...key(octets) } })),
);

const auths: readonly Algorithms[] = AUTH_ALGORITHMS.filter(({ name }) =>
	provider.supports('auth', name),
).flatMap(({ name, keyOctets, icvFullBits, icvDefaultBits }) =>
	[...new Set([icvDefaultBits, icvFullBits, Math.min(icvFullBits, 128)])].map((truncBits) => ({
		auth: { name, truncBits, ...key(keyOctets?.[0] ?? 20) },
	})),
);

const crypts: readonly Algorithms[] = CRYPT_ALGORITHMS.filter(({ name }) =>
	provider.supports('crypt', name),
).map(({ name, keyOctetsMin }) => ({ crypt: { name, ...key(keyOctetsMin) } }));

const SHA256: Algorithms = { auth: { name: 'hmac(sha256)', truncBits: 128, ...key(32) } };
const AES_CBC: Algorithms = { crypt: { name: 'cbc(aes)', ...key(16) } };
const GCM: Algorithms = { aead: { name: 'rfc4106(gcm(aes))', icvBits: 128, ...key(20) } };
const DEFLATE: Algorithms = { comp: { name: 'deflate', ...key(0) } };

/** Every cipher with one MAC, every MAC with one cipher, ciphers without MAC, combined modes. */
const espAlgorithms: readonly Algorithms[] = [
	...aeads,
	...crypts,
	...crypts.map((crypt) => ({ ...crypt, ...SHA256 })),
	...auths.map((auth) => ({ ...AES_CBC, ...auth })),
];

function nameOf({ aead, crypt, auth, comp }: Algorithms): string {
	return [
		aead === undefined ? '' : `${aead.name}:${aead.icvBits}/${aead.keyBits}`,
		crypt?.name ?? '',
		auth === undefined ? '' : `${auth.name}:${auth.truncBits}`,
		comp?.name ?? '',
	]
		.filter((part) => part !== '')
		.join(' ');
}

/** Payloads that compress and ones that do not, from none to more than a small MTU. */
const payload = fc.record({
	octets: fc.oneof(fc.nat({ max: 40 }), fc.nat({ max: 1600 })),
	noise: fc.boolean(),
	seed: fc.nat(),
});

function payloadOf({
	octets,
	noise,
	seed,
}: {
	octets: number;
	noise: boolean;
	seed: number;
}): Uint8Array {
	const bytes = new Uint8Array(octets).fill(0x55);
	if (noise) {
		pseudoRandom(seed)(bytes);
	}
	return bytes;
}

function ends(
	layers: readonly Layer[],
	outer: number,
	inner: number,
): [Engine, Engine, Association] {
	const association: Association = { number: 1, outer, inner, layers };
	const profile = layers.some(({ encapType }) => encapType === 1) ? linux61 : linux619;
	return [
		makeEnd([association], Direction.Out, profile),
		makeEnd([association], Direction.In, profile),
		association,
	];
}

/** BEET between families loses what the outer header has no place for: flow label, or IPv4's id. */
function expected(packet: Uint8Array, layers: readonly Layer[], outer: number): Uint8Array {
	const copy = packet.slice();
	const view = new DataView(copy.buffer);
	const ipv4 = (copy[0] ?? 0) >> 4 === 4;
	if (layers.some(({ mode }) => mode === Beet)) {
		if (ipv4 && outer === Family.Ipv6) {
			view.setUint32(4, IPV4_DONT_FRAGMENT);
			setIpv4Checksum(view, 0);
		} else if (!ipv4 && outer === Family.Ipv4) {
			view.setUint32(0, view.getUint32(0) & 0xfff00000);
		}
	}
	return copy;
}

/** Sends packets of random length and looks whether they come out as they went in. */
function check(layers: readonly Layer[], outer: number, inner: number, runs: number): void {
	const label = `mode ${layers[0]?.mode} esn ${layers[0]?.esn} ${inner} in ${outer}`;
	const [sender, receiver, association] = ends(layers, outer, inner);
	const [source, destination] = [innerAddress(association, 1), innerAddress(association, 2)];
	const encapType = layers.find((layer) => layer.encapType !== undefined)?.encapType ?? 2;
	fc.assert(
		fc.property(payload, (chosen) => {
			const packet = udpPacket(association.inner, source, destination, payloadOf(chosen));
			const wire = send(sender, packet);
			assert.ok(wire !== undefined, `${label}: not sent`);
			const buffer = PacketBuffer.from(wire);
			assert.ok(arriving(buffer), 'no IP packet on the wire');
			const accepted = receive(receiver, buffer, encapType);
			assert.ok(accepted, `${label}: verdict ${buffer.verdict}`);
			assert.equal(formatHex(buffer.copy()), formatHex(expected(packet, layers, outer)), label);
		}),
		// Sequence numbers move on, so that a shrunk example would be another packet.
		{ numRuns: runs, endOnFailure: true, includeErrorInReport: true },
	);
}

/** Outer and inner families of a mode. */
function familiesOf(mode: number): [number, number][] {
	return mode === Transport
		? FAMILIES.map((family) => [family, family])
		: FAMILIES.flatMap((outer) => FAMILIES.map((inner): [number, number] => [outer, inner]));
}

for (const algorithms of espAlgorithms) {
	// @spec T-1 T-2 T-4 T-5 T-6 T-8 T-9 T-10 M-1 M-3 M-4 M-5 M-6 M-7 M-8 M-10
	test(`ESP ${nameOf(algorithms)}`, () => {
		for (const mode of [Transport, Tunnel, Beet]) {
			for (const [outer, inner] of familiesOf(mode)) {
				for (const esn of [false, true]) {
					check([{ proto: Esp, mode, algorithms, esn }], outer, inner, 3);
				}
			}
		}
	});
}

for (const encapType of [1, 2]) {
	// @spec NT-1 NT-2 NT-3 NT-5
	test(`ESP in UDP, type ${encapType}`, () => {
		for (const algorithms of [GCM, { ...AES_CBC, ...SHA256 }]) {
			for (const mode of [Transport, Tunnel, Beet]) {
				for (const [outer, inner] of familiesOf(mode)) {
					for (const esn of [false, true]) {
						check([{ proto: Esp, mode, algorithms, esn, encapType }], outer, inner, 4);
					}
				}
			}
		}
	});
}

for (const algorithms of auths) {
	// @spec T-20 T-21 T-22 T-23 T-24 T-26
	test(`AH ${nameOf(algorithms)}`, () => {
		for (const mode of [Transport, Tunnel]) {
			for (const [outer, inner] of familiesOf(mode)) {
				for (const esn of [false, true]) {
					for (const flags of [0, 64]) {
						check([{ proto: Ah, mode, algorithms, esn, flags }], outer, inner, 3);
					}
				}
			}
		}
	});
}

// @spec T-30 T-31 T-32 T-33 T-34 T-35
test('IPComp deflate, compressed or not', () => {
	for (const [outer, inner] of familiesOf(Transport)) {
		check([{ proto: Comp, mode: Transport, algorithms: DEFLATE }], outer, inner, 30);
	}
});

const esp: Layer = { proto: Esp, mode: Transport, algorithms: GCM };
const ah: Layer = { proto: Ah, mode: Transport, algorithms: SHA256 };
const comp: Layer = { proto: Comp, mode: Transport, algorithms: DEFLATE };
const chains: readonly (readonly [string, readonly Layer[]])[] = [
	['ESP, AH', [esp, ah]],
	['ESP tunnel, AH', [{ ...esp, mode: Tunnel }, ah]],
	['IPComp, ESP', [comp, esp]],
	['IPComp, ESP, AH', [comp, esp, ah]],
	['ESP BEET, AH', [{ ...esp, mode: Beet }, ah]],
	['ESP, ESP in tunnel', [esp, { ...esp, mode: Tunnel }]],
];

for (const [name, layers] of chains) {
	// @spec I-8 I-15
	test(`layers: ${name}`, () => {
		const mode = layers.some((layer) => layer.mode !== Transport) ? Tunnel : Transport;
		for (const [outer, inner] of familiesOf(mode)) {
			check(layers, outer, inner, 10);
		}
	});
}
