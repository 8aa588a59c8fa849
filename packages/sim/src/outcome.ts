/** One history by its name, and what came of it. */
import type { CryptoProvider } from '@xfrm/crypto/provider';
import { type Failure, History } from './history.ts';
import { scenarios } from './scenarios/scenarios.ts';
import type { Seed } from './seed.ts';

export interface Outcome {
	readonly seed: Seed;
	readonly steps: number;
	/** Packets that went through an engine's door, call by call. */
	readonly packets: number;
	readonly sent: number;
	readonly delivered: number;
	readonly failure: Failure | undefined;
	/** A pcapng file of all links up to the end, when it was asked for. */
	readonly capture: Uint8Array | undefined;
}

/** Lives through the history of this name; the same name always ends in the same outcome. */
export function runHistory(
	seed: Seed,
	provider: CryptoProvider,
	options: { readonly record?: boolean } = {},
): Outcome {
	const scenario = scenarios.find(({ name }) => name === seed.scenario);
	if (scenario === undefined) {
		throw new RangeError(`no scenario ${seed.scenario}`);
	}
	const history = new History({ seed: seed.number, provider, record: options.record === true });
	scenario.build(history);
	history.run();
	const { steps, packets, traffic, failure, capture } = history;
	const { sent, delivered } = traffic;
	return { seed, steps, packets, sent, delivered, failure, capture: capture?.file() };
}
