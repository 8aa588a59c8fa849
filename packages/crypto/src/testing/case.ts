/** The harness of conformance suites: a case is a name and a function that throws when it fails. */

export interface Case {
	readonly name: string;
	run(): void;
}

/** Throws unless both print the same; octets print as hex. */
export function expectSame(actual: unknown, expected: unknown, what: string): void {
	const got = print(actual);
	const wanted = print(expected);
	if (got !== wanted) {
		throw new Error(`${what}: expected ${wanted}, got ${got}`);
	}
}

/** Throws unless `run` throws a RangeError. */
export function expectRangeError(run: () => unknown, what: string): void {
	try {
		run();
	} catch (error) {
		if (error instanceof RangeError) {
			return;
		}
		throw error;
	}
	throw new Error(`${what}: expected a RangeError, got none`);
}

function print(value: unknown): string {
	return value instanceof Uint8Array ? `0x${toHex(value)}` : String(value);
}

export function fromHex(hex: string): Uint8Array {
	const bytes = new Uint8Array(hex.length / 2);
	for (let i = 0; i < bytes.length; i += 1) {
		bytes[i] = Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16);
	}
	return bytes;
}

export function toHex(bytes: Uint8Array): string {
	let hex = '';
	for (const octet of bytes) {
		hex += octet.toString(16).padStart(2, '0');
	}
	return hex;
}

/** Octets that look random and are the same each time: xorshift32 of the seed. */
export function seededOctets(octets: number, seed: number): Uint8Array {
	const bytes = new Uint8Array(octets);
	let x = (seed + 1) * 0x9e3779b1;
	for (let i = 0; i < octets; i += 1) {
		x ^= x << 13;
		x ^= x >>> 17;
		x ^= x << 5;
		bytes[i] = x >>> 24;
	}
	return bytes;
}
