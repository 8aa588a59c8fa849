/** Listens on a wire, and tells protected packets from plaintext. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CapturePacket, captureTimeUs, openCapture } from '@xfrm/wire';
import type { Host, Running } from './laboratory.ts';
import { pause, until } from './laboratory.ts';

/** A packet in ESP. */
export interface Protected {
	readonly spi: number;
	readonly seq: number;
	/** Of the IP packet. */
	readonly octets: number;
	/** Source of the outer packet. */
	readonly from: string;
	/** When it was seen, in microseconds. */
	readonly timeUs: number;
}

/** What was seen, in order. */
export interface Seen {
	/** ESP, in UDP or not. */
	readonly esp: readonly Protected[];
	/** NAT keepalives: datagrams of one octet. */
	readonly keepalives: number;
	/** IP packets between inner addresses that were in clear. */
	readonly plain: number;
}

/** An SPI that was silent for so long is another state's by then: IKE daemons choose them at random of 28 bits. */
const SPI_SILENT_US = 60_000_000;

/** No sequence number was seen twice under a state's SPI. @throws AssertionError with those that were */
export function assertNumbersOnce(esp: readonly Protected[]): void {
	const states = new Map<string, { lastUs: number; readonly numbers: Set<number> }>();
	const twice: string[] = [];
	for (const { from, spi, seq, timeUs } of esp) {
		const id = `${from} ${spi.toString(16)}`;
		let state = states.get(id);
		if (state === undefined || timeUs - state.lastUs > SPI_SILENT_US) {
			state = { lastUs: timeUs, numbers: new Set() };
			states.set(id, state);
		}
		if (state.numbers.has(seq)) {
			twice.push(`${id}:${seq}`);
		}
		state.numbers.add(seq);
		state.lastUs = timeUs;
	}
	assert.deepEqual(twice, [], 'no number twice');
}

export class WireWatch {
	readonly #file: string;
	readonly #running: Running;

	private constructor(file: string, running: Running) {
		this.#file = file;
		this.#running = running;
	}

	static async start(host: Host, device: string): Promise<WireWatch> {
		const file = join(host.folder, `${device}-${Date.now()}.pcap`);
		const how = ['-U', '-n', '--immediate-mode', '-B', '16384'];
		const running = host.start(['tcpdump', ...how, '-i', device, '-w', file, 'ip or ip6']);
		await until('tcpdump', () => running.stderr.includes('listening on'));
		return new WireWatch(file, running);
	}

	/** Ends the capture. @param isInner tells an address of the plaintext side */
	async stop(isInner: (address: string) => boolean): Promise<Seen> {
		// What was the last on the wire has to get through tcpdump.
		await pause(100);
		this.#running.kill('SIGINT');
		await this.#running.ended;
		return summary(readFileSync(this.#file), isInner);
	}
}

const ETHERNET_OCTETS = 14;

const KEEPALIVE_OCTETS = 9;

function summary(bytes: Uint8Array, isInner: (address: string) => boolean): Seen {
	const esp: Protected[] = [];
	let keepalives = 0;
	let plain = 0;
	for (const { data: frame, time } of packets(bytes)) {
		const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
		const ipAt = ETHERNET_OCTETS;
		const ipv4 = view.getUint8(ipAt) >> 4 === 4;
		const proto = view.getUint8(ipAt + (ipv4 ? 9 : 6));
		const upperAt = ipAt + (ipv4 ? (view.getUint8(ipAt) & 15) * 4 : 40);
		const isUdp = proto === 17 && upperAt + 9 <= view.byteLength;
		if (isUdp && view.getUint16(upperAt + 4) === KEEPALIVE_OCTETS) {
			keepalives += view.getUint8(upperAt + 8) === 0xff ? 1 : 0;
			continue;
		}
		const isEncap = isUdp && isEspInUdp(view, upperAt);
		const at = upperAt + (isEncap ? 8 : 0);
		if ((proto === 50 || isEncap) && at + 8 <= view.byteLength) {
			const octets = ipv4 ? view.getUint16(ipAt + 2) : 40 + view.getUint16(ipAt + 4);
			const from = addressText(view, ipAt, ipv4);
			const timeUs = time === undefined ? 0 : captureTimeUs(time);
			esp.push({ spi: view.getUint32(at), seq: view.getUint32(at + 4), octets, from, timeUs });
			continue;
		}
		plain += isInner(addressText(view, ipAt, ipv4)) ? 1 : 0;
	}
	return { esp, keepalives, plain };
}

/** By one of its ports, and as it does not begin with the non-ESP marker. */
function isEspInUdp(view: DataView, udpAt: number): boolean {
	const port = view.getUint16(udpAt) === 4500 || view.getUint16(udpAt + 2) === 4500;
	return port && udpAt + 12 <= view.byteLength && view.getUint32(udpAt + 8) !== 0;
}

/** Source of a packet, as far as tests compare them. */
function addressText(view: DataView, ipAt: number, ipv4: boolean): string {
	if (ipv4) {
		return [12, 13, 14, 15].map((at) => view.getUint8(ipAt + at)).join('.');
	}
	const words = [8, 10, 12, 14, 16, 18, 20, 22].map((at) => view.getUint16(ipAt + at).toString(16));
	return words.join(':');
}

function* packets(bytes: Uint8Array): Generator<CapturePacket> {
	const reader = openCapture(bytes);
	for (let packet = reader.next(); packet !== undefined; packet = reader.next()) {
		yield packet;
	}
}
