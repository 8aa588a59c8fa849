/**
 * Target `captures`: damaged pcap and pcapng files. Whatever a file holds, its packets are read, or a sentence
 * with a place says why not; then what is in the packets is looked at, whatever their link layer.
 */
import { readFileSync } from 'node:fs';
import { packetFacts, packetText } from '@xfrm/explain';
import {
	isLinkPayload,
	LinkType,
	linkPayload,
	openCapture,
	pcapFileHeader,
	pcapngInterface,
	pcapngPacket,
	pcapngSection,
	pcapRecord,
} from '@xfrm/wire';
import type { Random } from '../kernel/random.ts';
import { goldenPackets } from './golden-packets.ts';
import type { Subject, SubjectTarget } from './subject.ts';
import { check } from './target.ts';

const TIME = { seconds: 1_700_000_000, nanoseconds: 5 };

function joined(pieces: readonly Uint8Array[]): Uint8Array {
	return new Uint8Array(pieces.flatMap((piece) => [...piece]));
}

/** The packet as it stands in a frame of this link layer. */
function framed(linkType: number, packet: Uint8Array): Uint8Array {
	const isIpv4 = (packet[0] ?? 0) >> 4 === 4;
	const [high, low] = isIpv4 ? [0x08, 0x00] : [0x86, 0xdd];
	const head: Readonly<Record<number, readonly number[]>> = {
		[LinkType.Ethernet]: [...Array(12).fill(2), 0x81, 0, 0, 7, high, low],
		[LinkType.Null]: [isIpv4 ? 2 : 30, 0, 0, 0],
		[LinkType.LinuxSll]: [0, 0, 0, 1, 0, 6, ...Array(8).fill(3), high, low],
		[LinkType.LinuxSll2]: [high, low, 0, 0, ...Array(16).fill(4)],
	};
	return joined([new Uint8Array(head[linkType] ?? []), packet]);
}

function captureOf(random: Random, packets: readonly Uint8Array[]): Uint8Array {
	const linkType = random.pick(Object.values(LinkType));
	const frames = packets.map((packet) => framed(linkType, packet));
	return random.chance(0.5)
		? joined([pcapFileHeader(linkType), ...frames.map((frame) => pcapRecord(frame, TIME))])
		: joined([
				pcapngSection(),
				pcapngInterface(linkType),
				pcapngInterface(LinkType.Raw),
				...frames.map((frame) => pcapngPacket(random.int(0, 1), frame, TIME, frame.length + 3)),
			]);
}

function seeds(random: Random): Uint8Array[] {
	const packets = goldenPackets(random, 300).filter(({ length }) => length < 300);
	const example = readFileSync(new URL('../../examples/site-b.pcap', import.meta.url));
	const captures = Array.from({ length: 60 }, () =>
		captureOf(
			random,
			Array.from({ length: random.int(0, 4) }, () => random.pick(packets)),
		),
	);
	return [new Uint8Array(example), ...captures];
}

/** Reads a file to its end. */
class Reading implements Subject {
	attempt(file: Uint8Array): string {
		const reader = openCapture(file);
		let packets = 0;
		const seen = new Set<string>();
		for (let packet = reader.next(); packet !== undefined; packet = reader.next()) {
			packets++;
			check(packets <= file.length, 'more packets than octets');
			const { at, data, number } = packet;
			check(number === packets, `packet ${packets} is called ${number}`);
			check(at >= 0 && at + data.length <= file.length, 'a packet outside of the file');
			check((packet.time?.nanoseconds ?? 0) >= 0, 'a time before time');
			seen.add(this.#look(packet.linkType, data));
		}
		const { error } = reader;
		check(reader.next() === undefined, 'a packet after the end');
		check(error === undefined || (error.packet >= 1 && error.at <= file.length), 'no such place');
		const what = error?.message.replace(/found .*/, '').replaceAll(/[0-9]+/g, '#') ?? '';
		return `${[...seen].sort().join()} ${what} ${reader.skippedBlocks > 0}`;
	}

	#look(linkType: number, frame: Uint8Array): string {
		const payload = linkPayload(linkType, frame);
		if (!isLinkPayload(payload)) {
			return payload.reason.replaceAll(/[0-9][0-9a-fx]*/g, '#');
		}
		const { at, end } = payload;
		check(at >= 0 && at <= end && end <= frame.length, 'an IP packet outside of its frame');
		const packet = frame.subarray(at, end);
		packetText(packet);
		const facts = packetFacts(packet);
		return facts === undefined ? 'no facts' : 'facts';
	}
}

export const captureTarget: SubjectTarget = {
	name: 'captures',
	open: () => new Reading(),
	seeds,
};
