/**
 * Stands at an engine's door and looks at every call of the packet path from outside: do verdicts and
 * counters agree, does the bundle hold the states that a plain scan would choose, what became of each
 * buffer. It changes nothing of what goes in or comes out.
 *
 * Buffers: host and driver own them, so the engine has to be done with a buffer when it says Drop, Consume,
 * or has transformed it. `reclaim` takes these back at the end of a step and poisons their octets, as a
 * driver's pool would hand them to the next packet: who still reads one reads nonsense.
 */
import { type Batch, Bundle, COUNTER_COUNT, type EngineDoor, PacketAction } from '@xfrm/engine';
import type { PacketBuffer } from '@xfrm/wire';
import { wrongState } from './invariants/state-choice.ts';
import type { HostLedger } from './ledger.ts';

export const POISON_OCTET = 0xdb;

type PacketCall = 'lookup' | 'transform' | 'input' | 'policyCheck';

export class EngineWatch {
	/** The first thing found wrong; whoever looks takes it away. */
	complaint: string | undefined = undefined;
	/** Calls with a packet. */
	packets: number = 0;
	readonly #engine: EngineDoor;
	readonly #ledger: HostLedger;
	/** Buffers of this step and the last answer about each. */
	readonly #lent: Map<PacketBuffer, number> = new Map();
	readonly #before: Float64Array = new Float64Array(COUNTER_COUNT + 1);

	constructor(engine: EngineDoor, ledger: HostLedger) {
		this.#engine = engine;
		this.#ledger = ledger;
		const { lookup, transform, input, policyCheck, udpEncapInput } = engine;
		engine.lookup = (batch) => {
			this.#around('lookup', batch, () => lookup.call(engine, batch));
			this.#checkBundles(batch);
		};
		engine.transform = (batch) => {
			this.#around('transform', batch, () => transform.call(engine, batch));
		};
		engine.input = (batch) => {
			this.#around('input', batch, () => input.call(engine, batch));
			this.#settle(batch);
		};
		engine.udpEncapInput = (batch, encapType) => {
			this.#around('input', batch, () => udpEncapInput.call(engine, batch, encapType));
			this.#settle(batch);
		};
		engine.policyCheck = (batch, direction) => {
			this.#around('policyCheck', batch, () => policyCheck.call(engine, batch, direction));
		};
	}

	/** Takes back the buffers that the engine is done with. */
	reclaim(): void {
		for (const [packet, action] of this.#lent) {
			if (
				action === PacketAction.Drop ||
				action === PacketAction.Consume ||
				action === PacketAction.Transformed
			) {
				packet.bytes.fill(POISON_OCTET);
			}
		}
		this.#lent.clear();
	}

	#around(call: PacketCall, batch: Batch, body: () => void): void {
		const { counters } = this.#engine.net;
		this.#before.set(counters);
		const transformed = batch.packets.map((packet) => packet.bundle !== null);
		body();
		for (const [i, packet] of batch.packets.entries()) {
			this.packets++;
			// A packet without a bundle is not looked at by transform: its action is of the call before.
			if (call !== 'transform' || transformed[i] === true) {
				this.#lent.set(packet, packet.action);
			}
		}
		this.#checkCounters(call, batch, transformed);
	}

	/** Every drop that Linux counts is counted once, and nothing else is. */
	#checkCounters(call: PacketCall, batch: Batch, transformed: readonly boolean[]): void {
		const { counters } = this.#engine.net;
		for (const [i, packet] of batch.packets.entries()) {
			const counted = packet.verdict >= 1 && packet.verdict <= COUNTER_COUNT;
			const own = call !== 'transform' || transformed[i] === true;
			if (packet.action === PacketAction.Drop && counted && own) {
				this.#before[packet.verdict] = (this.#before[packet.verdict] ?? 0) + 1;
			}
		}
		for (let verdict = 1; verdict <= COUNTER_COUNT; verdict++) {
			if (counters[verdict] !== this.#before[verdict]) {
				const expected = this.#before[verdict];
				this.complaint ??= `${call}: counter ${verdict} is ${counters[verdict]}, not ${expected}`;
			}
		}
	}

	#checkBundles(batch: Batch): void {
		for (const packet of batch.packets) {
			if (packet.bundle instanceof Bundle) {
				this.complaint ??= wrongState(this.#engine, packet.bundle, packet.flow);
			}
		}
	}

	/** Opened packets count as accepted when the engine goes on with them. */
	#settle(batch: Batch): void {
		const [packet] = batch.packets;
		if (packet !== undefined) {
			const { action } = packet;
			this.#ledger.settleOpened(
				action === PacketAction.Reinject || action === PacketAction.Continue,
			);
		}
	}
}
