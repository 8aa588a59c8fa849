/**
 * Collects what engine and host tell while one packet walks, in order, with the effects in their places:
 * whenever something is told, everything that came out before it is taken over first.
 */
import type { TraceEvent, Tracer } from '@xfrm/engine';
import type { Host, HostEffect, HostTraceEvent, HostTracer } from '@xfrm/host';

export interface EffectFact {
	readonly kind: 'effect';
	readonly effect: HostEffect;
}

/** Everything that a story is made of. */
export type Fact = TraceEvent | HostTraceEvent | EffectFact;

export class Recorder implements Tracer, HostTracer {
	readonly facts: Fact[] = [];
	readonly #host: Host;

	/** Attaches itself to the host and its engine. */
	constructor(host: Host) {
		this.#host = host;
		host.tracer = this;
		host.engine.net.tracer = this;
	}

	note(event: TraceEvent | HostTraceEvent): void {
		this.#takeEffects();
		this.facts.push(event);
	}

	/** Ends the record with the effects that were collected since the last fact; nothing more is noted. */
	finish(effects: readonly HostEffect[]): readonly Fact[] {
		this.facts.push(...effects.map((effect) => ({ kind: 'effect' as const, effect })));
		this.#host.tracer = null;
		this.#host.engine.net.tracer = null;
		return this.facts;
	}

	#takeEffects(): void {
		for (let effect = this.#host.pollEffect(); effect !== undefined; ) {
			this.facts.push({ kind: 'effect', effect });
			effect = this.#host.pollEffect();
		}
	}
}
