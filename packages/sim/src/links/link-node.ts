/**
 * What may happen to a packet on a link, each as a small node: it gets a packet with the time it has been
 * under way and hands it on, once, several times or never. Nodes stand in a row; the last one delivers.
 *
 * Faults ask `faults.active` each time, so that a history can end in calm; delay, MTU and partition are
 * facts of the link and stay.
 */
import type { SimRandom } from '../random.ts';

/** Hands a packet to the next node. */
export type Forward = (packet: Uint8Array, afterUs: number) => void;
export type LinkNode = (packet: Uint8Array, afterUs: number, forward: Forward) => void;

/** Do links misbehave at the moment? */
export interface Faults {
	active: boolean;
}

/** Is a link cut? */
export interface Partition {
	cut: boolean;
}

/** Takes `us`, and up to `jitterUs` more for each packet: with jitter packets overtake each other. */
export function delay(random: SimRandom, us: number, jitterUs: number = 0): LinkNode {
	return (packet, afterUs, forward) => {
		forward(packet, afterUs + us + (jitterUs === 0 ? 0 : random.below(jitterUs)));
	};
}

export function loss(random: SimRandom, faults: Faults, probability: number): LinkNode {
	return (packet, afterUs, forward) => {
		if (!(faults.active && random.chance(probability))) {
			forward(packet, afterUs);
		}
	};
}

/** Holds some packets back for up to `us`. */
export function reordering(
	random: SimRandom,
	faults: Faults,
	probability: number,
	us: number,
): LinkNode {
	return (packet, afterUs, forward) => {
		const late = faults.active && random.chance(probability);
		forward(packet, afterUs + (late ? random.below(us) : 0));
	};
}

export function duplication(random: SimRandom, faults: Faults, probability: number): LinkNode {
	return (packet, afterUs, forward) => {
		forward(packet, afterUs);
		if (faults.active && random.chance(probability)) {
			forward(packet, afterUs + random.below(50_000));
		}
	};
}

/** Turns one bit of some packets over. */
export function corruption(random: SimRandom, faults: Faults, probability: number): LinkNode {
	return (packet, afterUs, forward) => {
		if (!(faults.active && random.chance(probability))) {
			forward(packet, afterUs);
			return;
		}
		const damaged = packet.slice();
		const bit = random.below(8 * damaged.length);
		damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
		forward(damaged, afterUs);
	};
}

/** Swallows what is longer: a black hole, as no router tells of it. */
export function mtu(octets: number): LinkNode {
	return (packet, afterUs, forward) => {
		if (packet.length <= octets) {
			forward(packet, afterUs);
		}
	};
}

export function partition(state: Partition): LinkNode {
	return (packet, afterUs, forward) => {
		if (!state.cut) {
			forward(packet, afterUs);
		}
	};
}

/** Nodes in a row as one. */
export function inRow(nodes: readonly LinkNode[]): LinkNode {
	return nodes.reduceRight<LinkNode>(
		(rest, node) => (packet, afterUs, forward) => {
			node(packet, afterUs, (passed, us) => rest(passed, us, forward));
		},
		(packet, afterUs, forward) => forward(packet, afterUs),
	);
}
