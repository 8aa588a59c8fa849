/**
 * Opens what a capture holds, by the keys of the rules. A capture is no host: packets of both directions are opened,
 * repeated ones too, without marks, limits and policies. Each destination has a little world of its own, in
 * which the states are made over so that only the key decides.
 *
 * Sequence numbers of 64 bits: a packet shows the lower half. The upper one is tried, beginning with the one that
 * opened the state's last packet.
 */
import { ReplayCounter, type XfrmState } from '@xfrm/engine';
import { setIpv4Checksum } from '@xfrm/wire';
import {
	anySelector,
	Family,
	formatAddress,
	IpProto,
	type StateConfig,
	StateFlag,
	UNLIMITED,
} from '@xfrm/wire/xfrm';
import type { StateRef } from './answer.ts';
import { stateRefOf } from './answer-refs.ts';
import { Digest } from './digest.ts';
import type { Explainer } from './explainer.ts';
import { keyOctets, stateCommand } from './fix-command.ts';
import { endsOf } from './fix-parts.ts';
import { type PacketFacts, packetFacts } from './packet-text.ts';
import { type Fact, Recorder } from './recorder.ts';

/** What became of one packet. */
export type Opened =
	/** Opened: what was inside, and by which states, outermost first. */
	| { readonly kind: 'opened'; readonly packet: Uint8Array; readonly states: readonly StateRef[] }
	/** Protected, but not to be opened: why, as a code of docs/reasons.md. */
	| { readonly kind: 'closed'; readonly code: string }
	/** Nothing to open. */
	| { readonly kind: 'plain' };

/** Upper halves of a sequence number that are tried around the one that the rules tell. */
const HIGH_TRIES = 4;

export class Decryptor {
	readonly #rules: Explainer;
	readonly #random: (bytes: Uint8Array) => void;
	readonly #configs: StateConfig[] = [];
	/** SPIs whose keys the rules hide. */
	readonly #hidden: Set<number> = new Set();
	readonly #spis: Set<number> = new Set();
	/** By destination. */
	readonly #worlds: Map<string, Explainer> = new Map();
	/** By SPI: the upper half that opened the last packet. */
	readonly #highs: Map<number, number> = new Map();

	/** @param rules an explainer with the states, of which nothing is changed */
	constructor(rules: Explainer, random: (bytes: Uint8Array) => void) {
		this.#rules = rules;
		this.#random = random;
		const { engine } = rules.world;
		for (const state of [...engine.states()].reverse()) {
			if (state.kernelOwned) {
				continue;
			}
			this.#spis.add(state.spi >>> 0);
			if (rules.hidesKey(state)) {
				this.#hidden.add(state.spi >>> 0);
			} else {
				this.#configs.push(bare(engine.snapshotState(state)));
				const { OseqHi, SeqHi } = ReplayCounter;
				const [sent = 0, received = 0] = [OseqHi, SeqHi].map((at) => state.replay.counters[at]);
				this.#highs.set(state.spi >>> 0, Math.max(sent >>> 0, received >>> 0));
			}
		}
	}

	/** Opens a packet that has a whole IP header. */
	open(packet: Uint8Array): Opened {
		const facts = packetFacts(packet);
		const proto = facts?.proto;
		const isEsp = proto === IpProto.Esp || proto === IpProto.Ah || proto === IpProto.Comp;
		const inUdp = facts === undefined ? undefined : this.#espInUdp(packet, facts);
		if (facts === undefined || !(isEsp || inUdp !== undefined)) {
			return { kind: 'plain' };
		}
		const plain = inUdp === undefined ? packet : withoutUdp(packet, facts, inUdp);
		const { spi, seq } = packetFacts(plain) ?? facts;
		if (spi !== undefined && this.#hidden.has(spi)) {
			return { kind: 'closed', code: 'key.hidden' };
		}
		const { family, destination } = endsOf(plain);
		const world = this.#worldOf(family, destination);
		const esn = [...world.world.engine.states()].find(
			(state) => state.spi >>> 0 === spi && (state.flags & StateFlag.Esn) !== 0,
		);
		return esn === undefined || seq === undefined
			? receive(world, plain)
			: this.#openEsn(world, plain, esn, seq);
	}

	/** Octets between IP header and ESP in UDP: the UDP header, and eight zeros of the older kind. */
	#espInUdp(packet: Uint8Array, { proto, transportAt: at }: PacketFacts): number | undefined {
		if (proto !== IpProto.Udp) {
			return undefined;
		}
		const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
		return [8, 16].find(
			(octets) => at + octets + 8 <= packet.length && this.#spis.has(view.getUint32(at + octets)),
		);
	}

	#openEsn(world: Explainer, packet: Uint8Array, state: XfrmState, seq: number): Opened {
		const spi = state.spi >>> 0;
		const last = this.#highs.get(spi) ?? 0;
		const tries = new Set([last, last + 1, Math.max(0, last - 1), 0]);
		let opened: Opened = { kind: 'closed', code: 'in.icv' };
		for (const high of [...tries].slice(0, HIGH_TRIES)) {
			// The packet is the next one: a debugger's way to say which upper half is meant.
			state.replay.setCounters(0, 0, (seq - 1) | 0, seq === 0 ? high - 1 : high);
			state.replay.bitmap.fill(0);
			opened = receive(world, packet);
			if (opened.kind === 'opened') {
				this.#highs.set(spi, high);
				return opened;
			}
		}
		return opened;
	}

	/** A host with this one address: with more of them, its own packets would come from itself. */
	#worldOf(family: number, destination: Uint8Array): Explainer {
		const known = family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
		const address = formatAddress(destination, known);
		let world = this.#worlds.get(address);
		if (world === undefined) {
			world = this.#rules.fresh(this.#random);
			world.run('link set eth0 up mtu 65535');
			world.run(`addr add ${address}/${known === Family.Ipv4 ? 32 : 128} dev eth0`);
			world.run(
				known === Family.Ipv4 ? 'route add default dev eth0' : '-6 route add default dev eth0',
			);
			for (const config of this.#configs) {
				world.run(stateCommand('add', config, keyOctets, () => undefined));
			}
			this.#worlds.set(address, world);
		}
		return world;
	}
}

/** The state as only its key makes it. */
function bare(config: StateConfig): StateConfig {
	const {
		mark: _mark,
		outputMark: _outputMark,
		ifId: _ifId,
		replay: _replay,
		replayEsn: _replayEsn,
		encap: _encap,
		direction: _direction,
		...rest
	} = config;
	const esn = (config.flags & StateFlag.Esn) !== 0;
	return {
		...rest,
		lifetime: UNLIMITED,
		selector: anySelector(0),
		// Numbers of 32 bits need no window, which would refuse what was captured twice.
		replayWindow: esn ? 64 : 0,
	};
}

function receive(world: Explainer, packet: Uint8Array): Opened {
	const recorder = new Recorder(world.world.host);
	const observed = world.world.receive('eth0', packet);
	const facts = recorder.finish(observed.effects);
	const digest = new Digest(facts, packet);
	const inner = innermost(facts);
	if (inner !== undefined) {
		const states = digest.applied.map((state) => stateRefOf(state, false));
		return { kind: 'opened', packet: inner, states };
	}
	if (digest.waiting) {
		return { kind: 'closed', code: 'in.fragment' };
	}
	const code = digest.lacksAlgorithm ? 'provider.algorithm' : digest.verdicts[0]?.code;
	return { kind: 'closed', code: code ?? digest.hostDrop?.code ?? 'in.silent' };
}

/** The packet as it had become when the last layer was off. */
function innermost(facts: readonly Fact[]): Uint8Array | undefined {
	let inner: Uint8Array | undefined;
	for (const fact of facts) {
		if (fact.kind === 'transform' && (fact.operation === 'open' || inner !== undefined)) {
			inner = fact.after;
		} else if (fact.kind === 'policy' && inner !== undefined) {
			// What the host does with it from here on is not the capture's.
			return inner;
		}
	}
	return inner;
}

/** ESP in UDP as plain ESP: these octets between are taken out. */
function withoutUdp(
	packet: Uint8Array,
	{ transportAt: at, family }: PacketFacts,
	octets: number,
): Uint8Array {
	const plain = new Uint8Array(packet.length - octets);
	plain.set(packet.subarray(0, at));
	plain.set(packet.subarray(at + octets), at);
	const view = new DataView(plain.buffer);
	if (family === Family.Ipv4) {
		view.setUint16(2, plain.length);
		view.setUint8(9, IpProto.Esp);
		setIpv4Checksum(view, 0);
	} else {
		view.setUint16(4, plain.length - 40);
		view.setUint8(6, IpProto.Esp);
	}
	return plain;
}
