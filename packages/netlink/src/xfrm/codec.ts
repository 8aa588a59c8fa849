/**
 * Codecs as data: a struct is a table of fields at offsets, so that one loop reads and writes them all,
 * a test can compare them with the ABI, and the tables can be exported (spec 2.4).
 *
 * @spec N-4
 */
import { ADDRESS_OCTETS, type Address } from '@xfrm/wire/xfrm';

/** A value of fixed size at a place in memory. The caller has checked that it fits. */
export interface Codec<T> {
	/** `u8`, `u32`, `be16` … or the struct's name in the kernel. */
	readonly name: string;
	readonly octets: number;
	read(view: DataView, at: number): T;
	write(view: DataView, at: number, value: T): void;
}

/** A field: where it is, and what. */
export interface Field<T> {
	readonly at: number;
	readonly codec: Codec<T>;
}

/** A struct: a codec whose fields can be looked at. Padding reads as nothing and is written as it was. */
export interface Struct<T> extends Codec<T> {
	readonly fields: ReadonlyMap<string, Field<unknown>>;
}

/**
 * Makes a struct's codec of its fields; every property of T has to have its place. A loop over fields makes
 * objects that V8 treats as dictionaries: structs that come a hundred thousand times bring `read` or `write`
 * written out, five times as fast, which a test holds against the table.
 */
export function struct<T extends object>(
	name: string,
	octets: number,
	places: { readonly [K in keyof T]-?: readonly [at: number, codec: Codec<T[K]>] },
	writtenOut: Partial<Pick<Codec<T>, 'read' | 'write'>> = {},
): Struct<T> {
	const fields = new Map<string, Field<unknown>>();
	for (const [key, [at, codec]] of Object.entries(places) as [
		string,
		readonly [number, Codec<unknown>],
	][]) {
		fields.set(key, { at, codec });
	}
	const entries = [...fields];
	return {
		name,
		octets,
		fields,
		read(view, at) {
			const value: Record<string, unknown> = {};
			for (const [key, field] of entries) {
				value[key] = field.codec.read(view, at + field.at);
			}
			// The parameter `places` demands every property of T, each with the codec of its type.
			return value as T;
		},
		write(view, at, value) {
			const properties = value as Readonly<Record<string, unknown>>;
			for (const [key, field] of entries) {
				field.codec.write(view, at + field.at, properties[key]);
			}
		},
		...writtenOut,
	};
}

export const u8: Codec<number> = {
	name: 'u8',
	octets: 1,
	read: (view, at) => view.getUint8(at),
	write: (view, at, value) => view.setUint8(at, value),
};

export const u16: Codec<number> = {
	name: 'u16',
	octets: 2,
	read: (view, at) => view.getUint16(at, true),
	write: (view, at, value) => view.setUint16(at, value, true),
};

export const u32: Codec<number> = {
	name: 'u32',
	octets: 4,
	read: (view, at) => view.getUint32(at, true),
	write: (view, at, value) => view.setUint32(at, value, true),
};

export const s32: Codec<number> = {
	name: 's32',
	octets: 4,
	read: (view, at) => view.getInt32(at, true),
	write: (view, at, value) => view.setInt32(at, value, true),
};

/** Ports and port masks: network order on the wire. */
export const be16: Codec<number> = {
	name: 'be16',
	octets: 2,
	read: (view, at) => view.getUint16(at, false),
	write: (view, at, value) => view.setUint16(at, value, false),
};

/** SPIs: network order on the wire. */
export const be32: Codec<number> = {
	name: 'be32',
	octets: 4,
	read: (view, at) => view.getUint32(at, false),
	write: (view, at, value) => view.setUint32(at, value, false),
};

const HIGH = 0x1_0000_0000;
const ALL_ONES = 0xffff_ffff;

/** XFRM_INF (all ones) is `Infinity`, everything else a double, exact up to 2^53. */
export function readU64(view: DataView, at: number): number {
	const low = view.getUint32(at, true);
	const high = view.getUint32(at + 4, true);
	return low === ALL_ONES && high === ALL_ONES ? Number.POSITIVE_INFINITY : high * HIGH + low;
}

/** Writes a u64. */
export function writeU64(view: DataView, at: number, value: number): void {
	const infinite = value >= HIGH * HIGH;
	view.setUint32(at, infinite ? ALL_ONES : value % HIGH, true);
	view.setUint32(at + 4, infinite ? ALL_ONES : value / HIGH, true);
}

/** Counts and limits. Values between what a double and a u64 can say are clamped. */
export const u64: Codec<number> = {
	name: 'u64',
	octets: 8,
	read: readU64,
	write: writeU64,
};

/** An address, a copy of its own. Octet by octet: to make a view of the place takes longer. */
export function readAddress(view: DataView, at: number): Address {
	const copy = new Uint8Array(ADDRESS_OCTETS);
	for (let i = 0; i < ADDRESS_OCTETS; i++) {
		copy[i] = view.getUint8(at + i);
	}
	return copy;
}

/** Writes an address. */
export function writeAddress(view: DataView, at: number, address: Address): void {
	for (let i = 0; i < address.length; i++) {
		view.setUint8(at + i, address[i] ?? 0);
	}
}

/** An address: always 16 octets. */
export const address: Codec<Address> = {
	name: 'xfrm_address_t',
	octets: ADDRESS_OCTETS,
	read: readAddress,
	write: writeAddress,
};

/** An attribute's value: as long as it is, at least `octetsMin`. The reader never looks behind `length`. */
export interface ValueCodec<T> {
	readonly name: string;
	/** Shorter ones are ERANGE for the kernel (N-8). */
	readonly octetsMin: number;
	octetsOf(value: T): number;
	read(view: DataView, at: number, length: number): T;
	write(view: DataView, at: number, value: T): void;
}

/** A fixed codec as an attribute's value; what is behind it is not looked at. */
export function fixed<T>(codec: Codec<T>): ValueCodec<T> {
	return {
		name: codec.name,
		octetsMin: codec.octets,
		octetsOf: () => codec.octets,
		read: (view, at) => codec.read(view, at),
		write: (view, at, value) => codec.write(view, at, value),
	};
}

/** As many elements as fit; a rest shorter than one is not looked at. */
export function arrayOf<T>(codec: Codec<T>): ValueCodec<readonly T[]> {
	return {
		name: `${codec.name}[]`,
		octetsMin: codec.octets,
		octetsOf: (value) => value.length * codec.octets,
		read(view, at, length) {
			const values: T[] = [];
			for (let rest = 0; rest + codec.octets <= length; rest += codec.octets) {
				values.push(codec.read(view, at + rest));
			}
			return values;
		},
		write(view, at, values) {
			for (const [i, value] of values.entries()) {
				codec.write(view, at + i * codec.octets, value);
			}
		},
	};
}

/** A flag: there or not, no value. */
export const flag: ValueCodec<true> = {
	name: 'flag',
	octetsMin: 0,
	octetsOf: () => 0,
	read: () => true,
	write: () => {},
};

/** A copy of octets. */
export function copyOctets(view: DataView, at: number, length: number): Uint8Array {
	return new Uint8Array(view.buffer, view.byteOffset + at, length).slice();
}

/** Writes octets. */
export function putOctets(view: DataView, at: number, bytes: Uint8Array): void {
	new Uint8Array(view.buffer, view.byteOffset + at, bytes.length).set(bytes);
}

/** Reads a NUL-terminated name of at most `max` octets as Latin-1, so that any octets come back. */
export function readName(view: DataView, at: number, max: number): string {
	let text = '';
	for (let i = 0; i < max; i++) {
		const octet = view.getUint8(at + i);
		if (octet === 0) {
			break;
		}
		text += String.fromCharCode(octet);
	}
	return text;
}

/** Writes a name, cut to `max - 1` octets so that a NUL follows. */
export function writeName(view: DataView, at: number, max: number, name: string): void {
	for (let i = 0; i < Math.min(name.length, max - 1); i++) {
		view.setUint8(at + i, name.charCodeAt(i) & 0xff);
	}
}
