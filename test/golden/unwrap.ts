/**
 * Takes a protected packet apart with the keys of the states that made it. The golden runner needs that
 * twice: to learn values that only the plaintext shows (IVs and identifications of inner layers, which
 * are then given to the engine), and to compare packets whose octets a compressor chose.
 */
import { inflateRawSync } from 'node:zlib';
import { CryptoBatch, CryptoStatus } from '@xfrm/crypto/provider';
import type { EngineDoor, XfrmState } from '@xfrm/engine';
import { checksumAdd, checksumFold, formatHex } from '@xfrm/wire';

export interface Unwrapped {
	/** IVs of the ESP headers met, outermost first. */
	readonly ivs: Uint8Array[];
	/** Identifications of the IPv4 headers met, undefined where DF is set, outermost first. */
	readonly ids: (number | undefined)[];
	/** Identification of the innermost IPv4 header, DF or not. */
	innerId: number | undefined;
	/** Octets that rounded AH and ESP up, outermost first; none when there are layers that were not opened. */
	readonly paddings: Uint8Array[];
	/** A line a layer, without what is not deterministic and without lengths and checksums. */
	readonly layers: string[];
	/** Compressed octets were met: lengths around them are the compressor's business. */
	compressed: boolean;
	/** IPv6 fragments were met inside: their identifications are random. */
	fragmented: boolean;
	/** All the way to the plaintext? */
	complete: boolean;
}

/** Takes `packet` apart as far as the engine's states have keys for it. */
export function unwrap(packet: Uint8Array, engine: EngineDoor): Unwrapped {
	const result: Unwrapped = {
		ivs: [],
		ids: [],
		innerId: undefined,
		paddings: [],
		layers: [],
		compressed: false,
		fragmented: false,
		complete: true,
	};
	new Walk(engine, result).ip(packet);
	return result;
}

/** Octets that a header has at least: fragment header, AH. */
const LEAST_OCTETS: ReadonlyMap<number, number> = new Map([
	[44, 8],
	[51, 12],
]);

class Walk {
	readonly engine: EngineDoor;
	readonly result: Unwrapped;
	destination = '';

	constructor(engine: EngineDoor, result: Unwrapped) {
		this.engine = engine;
		this.result = result;
	}

	note(line: string): void {
		this.result.layers.push(line);
	}

	ip(packet: Uint8Array): void {
		const version = (packet[0] ?? 0) >> 4;
		if (version === 4 && packet.length >= 20) {
			this.ipv4(packet);
		} else if (version === 6 && packet.length >= 40) {
			this.ipv6(packet);
		} else {
			this.note(`data ${formatHex(packet)}`);
		}
	}

	ipv4(packet: Uint8Array): void {
		const view = viewOf(packet);
		const octets = ((packet[0] ?? 0) & 15) * 4;
		const fragment = view.getUint16(6);
		const dontFragment = (fragment & 0x4000) !== 0;
		this.result.ids.push(dontFragment ? undefined : view.getUint16(4));
		this.result.innerId = view.getUint16(4);
		this.destination = formatHex(packet.subarray(16, 20));
		const sound = checksumFold(checksumAdd(packet, 0, octets, 0)) === 0;
		const id = dontFragment ? ` id ${view.getUint16(4)}` : '';
		this.note(
			`ipv4 tos ${packet[1]} fragment ${fragment}${id} ttl ${packet[8]} proto ${packet[9]} ` +
				`${formatHex(packet.subarray(12, octets))} checksum ${sound}`,
		);
		const end = Math.min(packet.length, view.getUint16(2));
		if ((fragment & 0x3fff) !== 0) {
			this.fragment(fragment & 0x1fff, packet[9] ?? 0, packet.subarray(octets, end));
			return;
		}
		this.next(packet[9] ?? 0, packet.subarray(octets, end));
	}

	ipv6(packet: Uint8Array): void {
		this.destination = formatHex(packet.subarray(24, 40));
		// The flow label of what is made here is random.
		this.note(
			`ipv6 class ${((packet[0] ?? 0) << 4) & 0xf0} ${(packet[1] ?? 0) >> 4} next ${packet[6]} ` +
				`hop ${packet[7]} ${formatHex(packet.subarray(8, 40))}`,
		);
		this.next(packet[6] ?? 0, packet.subarray(40));
	}

	/** Of a first fragment the padding of an AH can be told that has no transform behind it. */
	fragment(offset: number, proto: number, data: Uint8Array): void {
		this.opaque(data);
		if (
			offset === 0 &&
			proto === 51 &&
			data.length >= 12 &&
			![50, 51, 108].includes(data[0] ?? 0)
		) {
			this.ahPadding(data);
		}
	}

	ahPadding(data: Uint8Array): void {
		if (data.length < 12) {
			return;
		}
		const icvOctets = this.state(51, viewOf(data).getUint32(4))?.icvOctets ?? 0;
		this.result.paddings.push(data.slice(12 + icvOctets, ((data[1] ?? 0) + 2) * 4));
	}

	opaque(data: Uint8Array): void {
		this.result.complete = false;
		this.result.paddings.length = 0;
		this.note(`data ${formatHex(data)}`);
	}

	next(proto: number, data: Uint8Array): void {
		if ((LEAST_OCTETS.get(proto) ?? 0) > data.length) {
			// What only looks like a header, in a packet that went through.
			this.opaque(data);
			return;
		}
		switch (proto) {
			case 4:
			case 41:
				this.ip(data);
				return;
			case 0:
			case 43:
			case 60: {
				const octets = ((data[1] ?? 0) + 1) * 8;
				this.note(`extension ${proto} ${formatHex(data.subarray(0, octets))}`);
				this.next(data[0] ?? 59, data.subarray(octets));
				return;
			}
			case 44:
				this.result.fragmented = true;
				this.note(`fragment ${formatHex(data.subarray(0, 4))}`);
				this.fragment(viewOf(data).getUint16(2) >> 3, data[0] ?? 59, data.subarray(8));
				return;
			case 17:
				this.udp(data);
				return;
			case 50:
				this.esp(data);
				return;
			case 51:
				this.note(`ah ${formatHex(data.subarray(0, 12))}`);
				this.ahPadding(data);
				this.next(data[0] ?? 59, data.subarray(((data[1] ?? 0) + 2) * 4));
				return;
			case 108:
				this.comp(data);
				return;
			default:
				this.note(`proto ${proto} ${formatHex(data)}`);
		}
	}

	udp(data: Uint8Array): void {
		const view = viewOf(data);
		const encap = data.length > 12 && this.hasEncap(view.getUint16(0));
		if (encap && view.getUint32(8) !== 0) {
			this.note(`udp ${formatHex(data.subarray(0, 4))}`);
			this.esp(data.subarray(8));
		} else if (encap && data.length > 20 && view.getUint32(12) === 0) {
			this.note(`udp-nonike ${formatHex(data.subarray(0, 4))}`);
			this.esp(data.subarray(16));
		} else {
			this.note(`proto 17 ${formatHex(data)}`);
		}
	}

	/** Does a state send from this port? */
	hasEncap(sport: number): boolean {
		return [...this.engine.states()].some((state) => state.encap?.sport === sport);
	}

	/**
	 * The state with this SPI and destination. One of transport mode may have been put around a packet to
	 * somebody else, in front of a tunnel's: then the SPI alone tells.
	 */
	state(proto: number, spi: number): XfrmState | undefined {
		const all = [...this.engine.states()].filter(
			(state) => state.proto === proto && state.spi >>> 0 === spi,
		);
		const octets = (state: XfrmState): number => (state.family === 2 ? 4 : 16);
		const own = all.find(
			(state) => formatHex(state.config.id.daddr.subarray(0, octets(state))) === this.destination,
		);
		return own ?? all[0];
	}

	esp(data: Uint8Array): void {
		if (data.length < 8) {
			this.opaque(data);
			return;
		}
		const state = this.state(50, viewOf(data).getUint32(0));
		const key = state?.key;
		if (state === undefined || key === undefined) {
			this.opaque(data);
			return;
		}
		const iv = data.slice(8, 8 + state.ivOctets);
		const bytes = data.slice();
		const text = 8 + state.ivOctets;
		const end = data.length - state.icvOctets;
		const batch = new CryptoBatch(1);
		batch.count = 1;
		batch.keys[0] = key;
		batch.bytes[0] = bytes;
		batch.out[0] = bytes;
		batch.aadAt[0] = 0;
		batch.ivAt[0] = 8;
		batch.textAt[0] = text;
		batch.textEnd[0] = end;
		batch.outAt[0] = end;
		batch.outEnd[0] = data.length;
		batch.seqHi[0] = state.replay.counters[1] ?? 0;
		if (end < text + 2) {
			this.opaque(data);
			return;
		}
		this.engine.net.provider.open(batch);
		if (batch.status[0] !== CryptoStatus.Ok) {
			this.note('ICV is wrong');
			this.opaque(data);
			return;
		}
		if (iv.length > 0) {
			this.result.ivs.push(iv);
		}
		const next = bytes[end - 1] ?? 0;
		const pad = bytes[end - 2] ?? 0;
		this.result.paddings.push(bytes.slice(end - 2 - pad, end - 2));
		this.note(`esp ${formatHex(data.subarray(0, 8))} iv ${formatHex(iv)} next ${next}`);
		this.next(next, bytes.subarray(text, end - 2 - pad));
	}

	comp(data: Uint8Array): void {
		this.result.compressed = true;
		this.note(`comp ${formatHex(data.subarray(0, 4))}`);
		let plain: Uint8Array;
		try {
			plain = inflateRawSync(data.subarray(4));
		} catch (error) {
			this.note(`cannot be inflated: ${String(error)}`);
			return;
		}
		this.next(data[0] ?? 59, plain);
	}
}

function viewOf(bytes: Uint8Array): DataView {
	return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
