// The order of layers, without a kernel: whoever is first in them decides as the engine's table does.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeProvider } from '@xfrm/crypto/node';
import { Engine, linux619, type XfrmPolicy } from '@xfrm/engine';
import { decodeFlow } from '@xfrm/wire';
import { Direction, Family, PolicyType } from '@xfrm/wire/xfrm';
import { type GuardEntry, LET_GO, protects } from './guard-entry.ts';
import { Dice, metPacket, randomPacket, randomPolicy, type World } from './guard-fuzz.test.ts';
import { GuardLayers } from './guard-layers.ts';

const NOW_US = 1_764_000_000_000_000;
const WORLD: World = { direction: Direction.Out, devices: [], inexact: false };

function makeEngine(): Engine {
	return new Engine({
		profile: linux619,
		provider: nodeProvider(),
		random: (octets) => octets.fill(1),
		route: () => undefined,
	});
}

/** Entries of the engine's MAIN policies in layers. */
class Layered {
	readonly engine: Engine = makeEngine();
	readonly layers: GuardLayers = new GuardLayers();
	readonly entries: Map<XfrmPolicy, GuardEntry> = new Map();
	/** Entries that had to make room. */
	moves: number = 0;

	constructor() {
		this.engine.net.watcher = {
			stateChanged: () => {},
			stateGone: () => {},
			policyChanged: (policy, replaced) => {
				if (replaced !== null) {
					this.#remove(replaced);
				}
				this.#insert(policy);
			},
			policyGone: (policy) => this.#remove(policy),
		};
	}

	#insert(policy: XfrmPolicy): void {
		const verdict = protects(policy) ? 1 + (policy.markValue & 0xff) : LET_GO;
		const entry = { policy, verdict, layer: 0, place: 0 };
		this.entries.set(policy, entry);
		const moved = this.layers.insert(entry);
		assert.ok(moved !== undefined, 'without updates there is no circle');
		this.moves += moved.length;
	}

	#remove(policy: XfrmPolicy): void {
		const entry = this.entries.get(policy);
		assert.ok(entry !== undefined);
		this.layers.remove(entry);
		this.entries.delete(policy);
	}
}

test('who is first in the layers wants what the engine’s first wants', () => {
	for (let seed = 1; seed <= 20; seed++) {
		const dice = new Dice(seed);
		const layered = new Layered();
		const { engine, entries } = layered;
		for (let round = 0; round < 20; round++) {
			for (let change = 0; change < 10; change++) {
				const policies = [...engine.policies()];
				if (policies.length > 5 && dice.rarely(3)) {
					const { direction, type, index, config } = dice.of(policies);
					const { mark = { v: 0, m: 0 }, selector } = config;
					engine.deletePolicy({ direction, type, ifId: 0, mark, index, selector }, NOW_US);
				} else {
					engine.addPolicy({ ...randomPolicy(dice, WORLD), type: PolicyType.Main }, NOW_US);
				}
			}
			for (let i = 0; i < 30; i++) {
				const packet = metPacket(randomPacket(dice, WORLD, i));
				decodeFlow(packet.flow, packet, false);
				const best = engine.net.spd.best(packet.flow, Direction.Out, PolicyType.Main, 0);
				const wanted = best === null ? undefined : entries.get(best)?.verdict;
				const matching = [...entries.values()].filter(
					({ policy }) =>
						policy.family === packet.family &&
						policy.selector.matches(packet.flow) &&
						policy.markFits(packet.flow.mark),
				);
				const layer = Math.min(...matching.map((entry) => entry.layer));
				const first = new Set(
					matching.filter((entry) => entry.layer === layer).map(({ verdict }) => verdict),
				);
				assert.deepEqual([...first], wanted === undefined ? [] : [wanted], `seed ${seed}`);
			}
		}
	}
});

test('a circle is told, and the order that is kept then has what protects in front', () => {
	const dice = new Dice(3);
	let circles = 0;
	for (let seed = 1; seed <= 400; seed++) {
		const engine = makeEngine();
		for (let i = 0; i < 12; i++) {
			engine.addPolicy({ ...randomPolicy(dice, WORLD), type: 0, priority: 1 }, NOW_US);
			const { config } = dice.of([...engine.policies()]);
			engine.updatePolicy(config, NOW_US);
		}
		const layers = new GuardLayers();
		const entries = [...engine.policies()].map((policy) => ({
			policy,
			verdict: protects(policy) ? 1 : LET_GO,
			layer: 0,
			place: 0,
		}));
		const circular = entries.find((entry) => layers.insert(entry) === undefined);
		if (circular !== undefined) {
			circles++;
			assert.equal(layers.isExact, true);
			layers.restart(1);
			assert.equal(layers.isExact, false);
			assert.ok(entries.every((entry) => layers.insert(entry) !== undefined));
			assert.ok(entries.every(({ verdict, layer }) => layer === (verdict === LET_GO ? layer : 0)));
		}
	}
	assert.ok(circles > 0);
});

test('ten thousand tunnels behind a bypass take two layers, and nothing makes room', () => {
	const layered = new Layered();
	const dice = new Dice(7);
	const bypass = { ...randomPolicy(dice, WORLD), templates: [], action: 0, type: 0, priority: 1 };
	const any = { ...bypass.selector, family: Family.Ipv4, prefixlenS: 0, prefixlenD: 0 };
	layered.engine.addPolicy({ ...bypass, selector: { ...any, proto: 6, dport: 22 } }, NOW_US);
	let tunnel = randomPolicy(dice, WORLD);
	while (tunnel.templates.length === 0) {
		tunnel = randomPolicy(dice, WORLD);
	}
	for (let i = 0; i < 10_000; i++) {
		const daddr = new Uint8Array(16);
		daddr.set([10, i >> 8, i, 0]);
		const selector = { ...any, daddr, prefixlenD: 24, proto: 0, sportMask: 0, dportMask: 0 };
		layered.engine.addPolicy({ ...tunnel, type: 0, priority: 2, selector }, NOW_US);
	}
	const inLayers = [0, 0, 0];
	for (const { layer } of layered.entries.values()) {
		inLayers[layer] = (inLayers[layer] ?? 0) + 1;
	}
	assert.deepEqual(inLayers, [1, 10_000, 0]);
	assert.equal(layered.moves, 0);
});
