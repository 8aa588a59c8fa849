/**
 * What is put to the kernel and to the engine: a case in the form of golden/kernel-vectors.jsonl, and,
 * made of what the kernel then emitted, the cases of the receiving host.
 */

import type { EncapSocketText, ReceiverPolicy } from '../golden/vector-case.ts';
import type { Ends } from './association.ts';
import type { IpVersion, PlainPacket } from './packet.ts';
import { fragmentPacket, makePacket, randomPayload } from './packet.ts';
import type { Random } from './random.ts';

/** A packet that is put in; `policy`: that of the raw socket that sends it, as a command. */
export interface PacketStep {
	readonly at: 'lan' | 'wan' | 'local';
	readonly packet: string;
	readonly mark?: number;
	readonly note?: string;
	readonly sender?: 'udp';
	readonly bind_dev?: string;
	readonly policy?: string;
}

export type Step =
	| PacketStep
	/** Commands without the word `ip`; with `sleep_ms` what comes out is told after a while. */
	| { ip: string[]; sleep_ms?: number }
	| { sleep_ms: number };

export interface Case {
	readonly id: string;
	readonly tags: readonly string[];
	readonly sysctl?: Readonly<Record<string, number>>;
	/** Modules that are loaded beside those that the transforms need. */
	readonly modules?: readonly string[];
	readonly setup: readonly string[];
	readonly xfrm: readonly string[];
	readonly encap?: readonly EncapSocketText[];
	/** Policies of sockets that take what is delivered. */
	readonly policies?: readonly ReceiverPolicy[];
	readonly steps: readonly Step[];
}

export interface Scenario {
	readonly first: Case;
	/** The receiving host's cases, given the packets that left by `wan`. */
	readonly inbound?: (emitted: readonly string[]) => Case[];
}

/** A random plain packet from one address to another. */
export function randomPacket(
	random: Random,
	version: IpVersion,
	src: string,
	dst: string,
	lengthMax = 1200,
): string {
	const length = random.chance(0.5) ? random.int(0, 80) : random.int(0, lengthMax);
	const proto = random.pick(['udp', 'raw', 'icmp'] as const);
	const packet: PlainPacket = {
		src,
		dst,
		proto,
		payload: randomPayload(random, proto === 'raw' ? Math.max(1, length) : length),
		tos: random.pick([0, 0, 0x10, 0xb8, 0xb9, 0xba, 0xfc, 3]),
		ttl: random.int(30, 255),
		id: random.int(1, 65535),
		dontFragment: random.chance(0.5),
		flowLabel: random.chance(0.3) ? random.int(0, 0xfffff) : 0,
		...(proto === 'udp'
			? {
					sport: random.int(1, 65535),
					dport: random.pick([4242, 4243, 4242, random.int(5000, 9999)]),
				}
			: {
					sport: version === 4 ? random.pick([14, 17, 18]) : random.int(200, 250),
					dport: random.int(0, 3),
				}),
		...(version === 4 && random.chance(0.1) ? { options: [1, 1, 1, 0] } : {}),
	};
	return makePacket(version, packet);
}

/** Packets that host A sends to B: from the network behind it, or its own. */
export function sendingSteps(random: Random, ends: Ends, tunnel: boolean, count: number): Step[] {
	return Array.from({ length: count }, () => {
		if (!tunnel) {
			return {
				at: 'local' as const,
				packet: randomPacket(random, ends.outer, ends.wanA, ends.wanB),
			};
		}
		const own = random.chance(0.25);
		const target = random.chance(0.6) ? ends.hostB : ends.ownB;
		return {
			at: own ? ('local' as const) : ('lan' as const),
			packet: randomPacket(random, ends.inner, own ? ends.ownA : ends.hostA, target),
		};
	});
}

/** What B receives: the packets in order, then copies of them repeated, damaged, cut, in fragments. */
export function receivingSteps(random: Random, emitted: readonly string[], damage: number): Step[] {
	const steps: Step[] = emitted.map((packet) => ({ at: 'wan', packet }));
	for (let i = 0; i < damage && emitted.length > 0; i++) {
		const packet = random.pick(emitted);
		steps.splice(random.int(0, steps.length), 0, damagedStep(random, packet));
	}
	return steps;
}

/** Extension and IP header octets of a wire packet that damage leaves alone. */
function headerOctets(packet: string): number {
	const first = Number.parseInt(packet.slice(0, 2), 16);
	return first >> 4 === 4 ? (first & 15) * 4 : 40;
}

function damagedStep(random: Random, packet: string): Step {
	const header = headerOctets(packet);
	const length = packet.length / 2;
	switch (random.int(0, 4)) {
		case 0:
			return { at: 'wan', packet, note: 'repeated' };
		case 1:
			return { at: 'wan', packet: cut(packet, random.int(header, length - 1)), note: 'cut' };
		case 2: {
			const size = 8 * random.int(1, 8);
			const parts = fragmentPacket(packet, size, random.u32());
			return { at: 'wan', packet: random.pick(parts), note: 'a fragment of it' };
		}
		default: {
			const bytes = Buffer.from(packet, 'hex');
			const at = random.int(header, length - 1);
			bytes[at] = (bytes[at] ?? 0) ^ (1 << random.int(0, 7));
			return { at: 'wan', packet: bytes.toString('hex'), note: `octet ${at} changed` };
		}
	}
}

/** The first octets of a packet, its IP header told so. */
export function cut(packet: string, length: number): string {
	const bytes = Buffer.from(packet, 'hex').subarray(0, length);
	if ((bytes[0] ?? 0) >> 4 === 6) {
		bytes.writeUInt16BE(length - 40, 4);
		return bytes.toString('hex');
	}
	bytes.writeUInt16BE(length, 2);
	bytes.writeUInt16BE(0, 10);
	let sum = 0;
	for (let i = 0; i < headerOctets(packet); i += 2) {
		sum += bytes.readUInt16BE(i);
	}
	while (sum > 0xffff) {
		sum = (sum & 0xffff) + (sum >>> 16);
	}
	bytes.writeUInt16BE(0xffff ^ sum, 10);
	return bytes.toString('hex');
}
