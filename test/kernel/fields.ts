/**
 * What the kernel chose in a packet that left by `wan`, in the form of `fields` in golden/README.md: the
 * IV and the identification, so that the engine can be given the same.
 */

export interface Fields {
	readonly chain: number[];
	ip_id?: number;
	flow?: number;
	/** Offset of a later fragment: nothing else is known of it. */
	fragment?: number;
	esp_at?: number;
	spi?: number;
	seq?: number;
	iv?: string;
	udp?: [number, number];
	ah_at?: number;
	ah_spi?: number;
	ah_seq?: number;
	ipcomp_at?: number;
	cpi?: number;
}

const ESP = 50;
const AH = 51;
const COMP = 108;
const UDP = 17;
const FRAGMENT = 44;
const extensionHeaders: readonly number[] = [0, 43, 60];

/** Octets of IV by SPI, read off the commands that made the states. */
export function ivOctetsBySpi(commands: readonly string[]): Map<number, number> {
	const octets = new Map<number, number>();
	for (const command of commands) {
		const spi = /\bspi (0x[0-9a-f]+|\d+)/.exec(command)?.[1];
		if (spi === undefined || !/\bproto esp\b/.test(command)) {
			continue;
		}
		const cipher = /\benc '?([^' ]+)/.exec(command)?.[1] ?? 'aead';
		const length = cipher.includes('null') ? 0 : /^cbc\((aes|camellia|sm4)\)/.test(cipher) ? 16 : 8;
		octets.set(Number(spi), length);
	}
	return octets;
}

/** Walks the packet as far as it is in clear. */
export function fieldsOf(hex: string, ivOctets: ReadonlyMap<number, number>): Fields {
	const bytes = Buffer.from(hex, 'hex');
	const fields: Fields = { chain: [] };
	let at = 0;
	let proto = (bytes[0] ?? 0) >> 4 === 4 ? 4 : 41;
	for (let depth = 0; depth < 12; depth++) {
		const next = step(bytes, at, proto, fields, ivOctets);
		if (next === undefined) {
			break;
		}
		[at, proto] = next;
	}
	return fields;
}

/** What has to be there of a header before it is read; of extension headers two octets. */
const headerOctetsMin: ReadonlyMap<number, number> = new Map([
	[4, 20],
	[41, 40],
	[FRAGMENT, 8],
	[AH, 12],
	[COMP, 4],
	[ESP, 8],
	[UDP, 8],
]);

/** One header: where the next one is and its protocol, or undefined at the end of what can be seen. */
function step(
	bytes: Buffer,
	at: number,
	proto: number,
	fields: Fields,
	ivOctets: ReadonlyMap<number, number>,
): [number, number] | undefined {
	if (at > 0 && proto !== 4 && proto !== 41) {
		fields.chain.push(proto);
	}
	if (at + (headerOctetsMin.get(proto) ?? 2) > bytes.length) {
		return undefined;
	}
	switch (proto) {
		case 4:
			return ipv4(bytes, at, fields);
		case 41:
			if (at === 0) {
				fields.flow = bytes.readUInt32BE(0) & 0xfffff;
			}
			return at + 40 <= bytes.length ? [at + 40, bytes[at + 6] ?? 0] : undefined;
		case FRAGMENT: {
			const offset = bytes.readUInt16BE(at + 2) & 0xfff8;
			if (offset > 0) {
				fields.fragment = offset;
				return undefined;
			}
			return [at + 8, bytes[at] ?? 0];
		}
		case AH:
			fields.ah_at = at;
			fields.ah_spi = bytes.readUInt32BE(at + 4);
			fields.ah_seq = bytes.readUInt32BE(at + 8);
			return [at + ((bytes[at + 1] ?? 0) + 2) * 4, bytes[at] ?? 0];
		case COMP:
			fields.ipcomp_at = at;
			fields.cpi = bytes.readUInt16BE(at + 2);
			return undefined;
		case UDP:
			return udp(bytes, at, fields, ivOctets);
		case ESP:
			esp(bytes, at, fields, ivOctets);
			return undefined;
		default:
			return extensionHeaders.includes(proto)
				? [at + ((bytes[at + 1] ?? 0) + 1) * 8, bytes[at] ?? 0]
				: undefined;
	}
}

function ipv4(bytes: Buffer, at: number, fields: Fields): [number, number] | undefined {
	if (at === 0) {
		fields.ip_id = bytes.readUInt16BE(4);
		const offset = (bytes.readUInt16BE(6) & 0x1fff) * 8;
		if (offset > 0) {
			fields.fragment = offset;
			return undefined;
		}
	}
	return [at + ((bytes[at] ?? 0) & 15) * 4, bytes[at + 9] ?? 0];
}

/** ESP in UDP when a state has the SPI that stands behind the ports. */
function udp(
	bytes: Buffer,
	at: number,
	fields: Fields,
	ivOctets: ReadonlyMap<number, number>,
): [number, number] | undefined {
	if (at + 16 > bytes.length || !ivOctets.has(bytes.readUInt32BE(at + 8))) {
		return undefined;
	}
	fields.udp = [bytes.readUInt16BE(at), bytes.readUInt16BE(at + 2)];
	return [at + 8, ESP];
}

function esp(
	bytes: Buffer,
	at: number,
	fields: Fields,
	ivOctets: ReadonlyMap<number, number>,
): void {
	if (at + 8 > bytes.length) {
		return;
	}
	const spi = bytes.readUInt32BE(at);
	const length = ivOctets.get(spi);
	fields.esp_at = at;
	fields.spi = spi;
	fields.seq = bytes.readUInt32BE(at + 4);
	if (length !== undefined) {
		fields.iv = bytes.subarray(at + 8, at + 8 + length).toString('hex');
	}
}
