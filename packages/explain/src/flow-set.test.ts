/** Sets of flows say what lookups say: the parts are a partition, and each flow's lookup is its part's. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { linux61, linux619 } from '@xfrm/engine';
import { PacketBuffer } from '@xfrm/wire';
import { anyRegion, Dimension, type Region } from './box.ts';
import type { FlowContext } from './flow-sample.ts';
import { FlowSets, type Part, type Treatment } from './flow-set.ts';
import { splitWords } from './input.ts';
import { FlowLookup, writeFlow } from './lookup.ts';
import { FlowLine, readFlowLine } from './lookup-line.ts';
import { numbers, randomFlow, randomHost } from './random-rules-fixture.test.ts';

/** Rule sets, policies at most, flows a set; many more: `npm run test:flow-sets`. */
const [SETS, POLICIES, FLOWS] = [40, 60, 60];

function isIn(region: Region, line: FlowLine): boolean {
	const words = [...line.saddr, ...line.daddr, line.proto, line.sport, line.dport, line.mark | 0];
	return words.every((word, dimension) => {
		const cubes = region[dimension] ?? null;
		return (
			cubes === null ||
			cubes.some((value, i) => i % 2 === 0 && ((value ^ word) & (cubes[i + 1] ?? 0)) === 0)
		);
	});
}

function text({ outcome, verdict, policies, states }: Treatment): string {
	const own = policies.map(({ direction, index }) => `${direction}:${index}`);
	return `${outcome} ${verdict} ${own.join()} ${states.map(({ spi }) => spi).join()}`;
}

describe('sets of flows', () => {
	for (const profile of [linux619, linux61]) {
		it(`are cut up exactly, ${profile.name}`, () => {
			let checked = 0;
			for (let seed = 1; seed <= SETS; seed++) {
				const random = numbers(seed);
				const { explainer } = randomHost(seed, 1 + random(POLICIES), profile);
				const { world } = explainer;
				const lookup = new FlowLookup(world);
				const line = new FlowLine();
				const packet = new PacketBuffer(2048);
				const parts = new Map<string, readonly Part[]>();
				const via = random(3) === 0 ? viaOf(world.engine.states()) : [];
				for (let i = 0; i < FLOWS; i++) {
					const flow = randomFlow(random);
					readFlowLine(flow, line, splitWords);
					const { family, direction, ifId, device } = line;
					const context: FlowContext = {
						family,
						direction,
						ifId,
						device,
						via: direction === 1 ? [] : via,
					};
					const key = `${family} ${direction} ${ifId}`;
					const known = parts.get(key) ?? [
						...new FlowSets([{ world, lookup }], context).parts(anyRegion()),
					];
					parts.set(key, known);
					line.via.push(...context.via);
					// A flow's ports are those that its protocol has.
					writeFlow(packet, line);
					const { sport, dport } = lookup.decode(packet, line);
					Object.assign(line, { sport, dport });
					const mine = known.filter(({ region }) => isIn(region, line));
					assert.equal(mine.length, 1, `seed ${seed}: ${flow} is in ${mine.length} parts`);
					const [treatment] = mine[0]?.treatments ?? [];
					assert.ok(treatment !== undefined);
					assert.equal(text(treatment), text(lookup.lookLine(line)), `seed ${seed}: ${flow}`);
					checked++;
				}
			}
			assert.equal(checked, SETS * FLOWS);
		});
	}

	it('know that protocols without ports have none', () => {
		const { explainer } = randomHost(1, 0);
		explainer.run('xfrm policy flush');
		explainer.run('xfrm policy setdefault in accept out accept fwd accept');
		explainer.run('xfrm policy add src 0.0.0.0/0 dst 0.0.0.0/0 dport 53 dir out action block');
		const lookup = new FlowLookup(explainer.world);
		const context = { family: 2, direction: 1, ifId: 0, device: '', via: [] };
		const sets = new FlowSets([{ world: explainer.world, lookup }], context);
		const blocked = [...sets.parts(anyRegion(), ([one]) => one?.outcome === 'drop')];
		const protos = blocked.flatMap(({ region }) =>
			(region[Dimension.Proto] ?? []).filter((_, i) => i % 2 === 0),
		);
		// ICMP codes and keys of GRE stand in the place of ports.
		assert.deepEqual(
			protos.sort((a, b) => a - b),
			[1, 6, 17, 47, 132, 136],
		);
	});
});

function viaOf(states: Iterable<{ readonly spi: number }>): number[] {
	for (const { spi } of states) {
		return [spi];
	}
	return [];
}
