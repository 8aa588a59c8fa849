/** Kinds of cases about packets that are cut, damaged, in fragments, or too big. */
import { randomEnds } from './association.ts';
import { associate, type Kind, protoSpec, shuffle } from './kind.ts';
import { fragmentPacket } from './packet.ts';
import type { Random } from './random.ts';
import { randomPacket, type Step } from './scenario.ts';

const fragments: Kind = {
	name: 'fragments',
	make(random, id) {
		const version = random.pick([4, 6] as const);
		const ends = randomEnds(random, version, version);
		const mode = random.pick(['transport', 'tunnel'] as const);
		const spec = protoSpec(random, ends, random.pick(['esp', 'ah']), mode);
		const big = (): string =>
			mode === 'transport'
				? randomPacket(random, version, ends.wanA, ends.wanB, 1440)
				: randomPacket(random, version, ends.ownA, ends.hostB, 1440);
		return associate(random, id, {
			ends,
			specs: [spec],
			tunnel: mode === 'tunnel',
			steps: Array.from({ length: 4 }, () => ({ at: 'local' as const, packet: big() })),
			damage: 2,
			mapSteps: (steps) => steps.flatMap((step) => inFragments(random, step)),
		});
	},
};

/** Mostly all fragments of a packet, in any order; some lost, some twice. */
function inFragments(random: Random, step: Step): Step[] {
	if (!('packet' in step) || random.chance(0.2)) {
		return [step];
	}
	const size = 8 * random.int(2, 60);
	const parts = fragmentPacket(step.packet, size, random.u32());
	if (random.chance(0.15)) {
		parts.splice(random.int(0, parts.length - 1), 1);
	}
	if (random.chance(0.15) && parts[0] !== undefined) {
		parts.push(parts[0]);
	}
	const order = random.chance(0.5) ? shuffle(random, parts) : parts;
	return order.map((packet) => ({ at: 'wan', packet, note: 'a fragment' }));
}

const damaged: Kind = {
	name: 'damaged',
	make(random, id) {
		const version = random.pick([4, 6] as const);
		const ends = randomEnds(random, version, version);
		const mode = random.pick(['transport', 'tunnel'] as const);
		const spec = protoSpec(random, ends, random.pick(['esp', 'ah', 'comp']), mode);
		return associate(random, id, { ends, specs: [spec], tunnel: mode === 'tunnel', damage: 8 });
	},
};

export const packetKinds: readonly Kind[] = [fragments, damaged];
