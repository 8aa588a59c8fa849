/**
 * A tunnel judged end to end: what leaves here arrives at the peer, the peer's answer leaves there and comes back
 * here. The peer is a host with rules of its own where they are given; otherwise this host seen from the other
 * side: the same states, the policies with their directions exchanged.
 */
import type { XfrmPolicy } from '@xfrm/engine';
import { parseHex } from '@xfrm/wire';
import { Direction, Family, IpProto, type StateConfig } from '@xfrm/wire/xfrm';
import type { Answer, BothWays } from './answer.ts';
import type { Explainer, PacketOptions } from './explainer.ts';
import { keyOctets, policyCommand, stateCommand } from './fix-command.ts';
import { endsOf } from './fix-parts.ts';
import { makePacket } from './flow-text.ts';
import type { Question } from './journal.ts';
import { packetFacts } from './packet-text.ts';

/** This host as its peer would have to be. Its guesses say so. */
export function mirrorPeer(here: Explainer, random: (bytes: Uint8Array) => void): Explainer {
	const peer = here.fresh(random);
	const { engine } = here.world;
	const deviceName = (): undefined => undefined;
	for (const state of [...engine.states()].reverse()) {
		if (!state.kernelOwned) {
			const config = seenFromPeer(engine.snapshotState(state));
			peer.run(stateCommand('add', config, keyOctets, deviceName));
			if (here.hidesKey(state)) {
				peer.assume('the keys that the dump hides are the same at both ends');
			}
		}
	}
	for (const policy of [...engine.policies()].reverse()) {
		for (const direction of peerDirections(policy)) {
			const { selector, ...config } = policy.config;
			const known = { ...selector, ifindex: 0 };
			const one = { ...config, selector: known, direction, index: 0 };
			// Those of in and fwd may become the same one for out.
			peer.run(policyCommand('add', one, deviceName));
		}
	}
	peer.assume('the peer has the same states, and the policies for its side');
	return peer;
}

/** What we have sent, it has received, and the other way round. */
function seenFromPeer(config: StateConfig): StateConfig {
	const { replay, replayEsn, direction, encap, mark: _mark, ifId: _ifId, ...rest } = config;
	return {
		...rest,
		outputMark: { v: 0, m: 0 },
		...(replay === undefined ? {} : { replay: { oseq: replay.seq, seq: replay.oseq, bitmap: 0 } }),
		...(replayEsn === undefined
			? {}
			: {
					replayEsn: {
						...replayEsn,
						oseq: replayEsn.seq,
						oseqHi: replayEsn.seqHi,
						seq: replayEsn.oseq,
						seqHi: replayEsn.oseqHi,
					},
				}),
		...(direction === undefined || direction === 0 ? {} : { direction: 3 - direction }),
		...(encap === undefined ? {} : { encap }),
	};
}

function peerDirections(policy: XfrmPolicy): readonly number[] {
	if (policy.socketId !== 0) {
		return [];
	}
	return policy.direction === Direction.Out ? [Direction.In, Direction.Fwd] : [Direction.Out];
}

/** Sends what left here to the peer, and the peer's answer back; undefined when nothing left. */
export function askBothWays(here: Explainer, peer: Explainer): BothWays | undefined {
	const { question } = here;
	if (question === undefined || question.answer.direction === 'in') {
		return undefined;
	}
	const { answer } = question;
	const left = answer.packets.at(-1);
	if ((answer.outcome !== 'transform' && answer.outcome !== 'pass') || left === undefined) {
		return undefined;
	}
	const arrived = arriveAll(peer, answer.packets);
	if (arrived === undefined || !went(arrived)) {
		return arrived === undefined ? undefined : { peer: arrived };
	}
	const forwarded = peer.question?.digest.forwarded === true;
	const reply = peer.ask(replyTo(question.packet), {
		direction: forwarded ? 'fwd' : 'out',
		...(forwarded ? {} : { sender: 'socket' as const }),
	});
	if (!went(reply)) {
		return { peer: arrived, reply };
	}
	const back = arriveAll(here, reply.packets, deviceBack(question));
	return back === undefined ? { peer: arrived, reply } : { peer: arrived, reply, back };
}

function went(answer: Answer): boolean {
	return (
		answer.outcome === 'transform' || answer.outcome === 'pass' || answer.outcome === 'unknown'
	);
}

/** Fragments arrive one after the other: the answer is that of the last. */
function arriveAll(
	at: Explainer,
	packets: readonly string[],
	options: Partial<PacketOptions> = {},
): Answer | undefined {
	let answer: Answer | undefined;
	for (const hex of packets) {
		const packet = parseHex(hex);
		if (packet instanceof Uint8Array) {
			answer = at.ask(packet, { ...options, direction: 'in' });
		}
	}
	return answer;
}

/** The answer comes by the device by which the packet left. */
function deviceBack({ answer }: Question<PacketOptions>): Partial<PacketOptions> {
	const emitted = answer.steps.findLast(({ step }) => step === 'EMIT')?.which;
	return emitted === undefined ? {} : { device: emitted };
}

/** The packet that answers: ends and ports exchanged, an echo request replied to. */
export function replyTo(packet: Uint8Array): Uint8Array {
	const { family, source, destination } = endsOf(packet);
	const facts = packetFacts(packet);
	const at = facts?.transportAt ?? packet.length;
	const proto = facts?.proto ?? IpProto.Udp;
	const icmp = proto === IpProto.Icmp || proto === IpProto.Icmpv6;
	const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
	const ported = !icmp && at + 4 <= packet.length;
	const echo = family === Family.Ipv4 ? 0 : 129;
	return makePacket({
		family,
		source: destination,
		destination: source,
		proto,
		sport: icmp ? echo : ported ? view.getUint16(at + 2) : 0,
		dport: ported ? view.getUint16(at) : 0,
	});
}
