/**
 * Algorithms on the wire: `struct xfrm_algo`, `xfrm_algo_auth`, `xfrm_algo_aead` (spec 2.4).
 *
 *      0          64        68                       68 or 72
 *     +----------+---------+-----------------------+-----
 *     |name, NUL |key bits |trunc or ICV bits (not | key
 *     |          |         | in xfrm_algo)         |
 *     +----------+---------+-----------------------+-----
 *
 * A key shorter than its bits say is read as far as it goes; the receiver compares.
 */
import type { AeadAlgorithm, Algorithm, AuthAlgorithm } from '@xfrm/wire/xfrm';
import { copyOctets, putOctets, readName, type ValueCodec, writeName } from './codec.ts';

const NAME_OCTETS = 64;

/** Octets of a key of so many bits, in the kernel's 32-bit arithmetic: it wraps near 2^32. */
export function keyOctets(keyBits: number): number {
	return ((keyBits + 7) >>> 0) >>> 3;
}

function readKey(view: DataView, at: number, length: number, keyBits: number): Uint8Array {
	return copyOctets(view, at, Math.min(keyOctets(keyBits), length));
}

/** `struct xfrm_algo`. */
export const algorithm: ValueCodec<Algorithm> = {
	name: 'xfrm_algo',
	octetsMin: 68,
	octetsOf: (value) => 68 + value.key.length,
	read(view, at, length) {
		const keyBits = view.getUint32(at + 64, true);
		const key = readKey(view, at + 68, length - 68, keyBits);
		return { name: readName(view, at, NAME_OCTETS), key, keyBits };
	},
	write(view, at, value) {
		writeName(view, at, NAME_OCTETS, value.name);
		view.setUint32(at + 64, value.keyBits, true);
		putOctets(view, at + 68, value.key);
	},
};

/** Both structs with a second length. */
function withBits<K extends 'truncBits' | 'icvBits'>(
	name: string,
	bits: K,
): ValueCodec<Algorithm & Readonly<Record<K, number>>> {
	return {
		name,
		octetsMin: 72,
		octetsOf: (value) => 72 + value.key.length,
		read(view, at, length) {
			const keyBits = view.getUint32(at + 64, true);
			const second = view.getUint32(at + 68, true);
			const key = readKey(view, at + 72, length - 72, keyBits);
			const value = { name: readName(view, at, NAME_OCTETS), key, keyBits, [bits]: second };
			// TypeScript widens a computed property's key to string.
			return value as unknown as Algorithm & Record<K, number>;
		},
		write(view, at, value) {
			writeName(view, at, NAME_OCTETS, value.name);
			view.setUint32(at + 64, value.keyBits, true);
			view.setUint32(at + 68, value[bits], true);
			putOctets(view, at + 72, value.key);
		},
	};
}

/** `struct xfrm_algo_auth`. */
export const authAlgorithm: ValueCodec<AuthAlgorithm> = withBits('xfrm_algo_auth', 'truncBits');

/** `struct xfrm_algo_aead`. */
export const aeadAlgorithm: ValueCodec<AeadAlgorithm> = withBits('xfrm_algo_aead', 'icvBits');
