/**
 * A door in front of an engine's that looks at every call of the packet path: do verdicts and counters
 * agree, does the bundle hold the states that a plain scan would choose, what became of each buffer. It
 * changes nothing of what goes in or comes out; all other calls are the engine's own.
 *
 * Buffers: host and driver own them, so the engine has to be done with a buffer when it says Drop, Consume,
 * or has transformed it. `reclaim` takes these back at the end of a step and poisons their octets, as a
 * driver's pool would hand them to the next packet: who still reads one reads nonsense.
 */
import type { CryptoKey } from '@xfrm/crypto/provider';
import {
	type Batch,
	Bundle,
	COUNTER_COUNT,
	type EngineDoor,
	PacketAction,
	Verdict,
	XfrmState,
} from '@xfrm/engine';
import type { PacketBuffer } from '@xfrm/wire';
import { wrongState } from './invariants/state-choice.ts';
import type { HostLedger } from './ledger.ts';

export const POISON_OCTET = 0xdb;

/** Drops of a packet whose next header no state could be found for: all states before had accepted it. */
const BEFORE_A_STATE: ReadonlySet<number> = new Set([
	Verdict.InHdrError,
	Verdict.InBufferError,
	Verdict.InNoStates,
]);

/** The key of the state that a packet was dropped for, the last of its path. */
function refusingKey({ path, pathCount, verdict }: PacketBuffer): CryptoKey | undefined {
	const last = path[pathCount - 1];
	return last instanceof XfrmState && !BEFORE_A_STATE.has(verdict) ? last.key : undefined;
}

type PacketCall = 'lookup' | 'transform' | 'input' | 'policyCheck';

export class EngineWatch {
	/** The first thing found wrong; whoever looks takes it away. */
	complaint: string | undefined = undefined;
	/** Calls with a packet. */
	packets: number = 0;
	/** What the rooms above see instead of the engine. */
	readonly door: EngineDoor;
	readonly #engine: EngineDoor;
	readonly #ledger: HostLedger;
	/** Buffers of this step and the last answer about each. */
	readonly #lent: Map<PacketBuffer, number> = new Map();
	readonly #before: Float64Array = new Float64Array(COUNTER_COUNT + 1);

	constructor(engine: EngineDoor, ledger: HostLedger) {
		this.#engine = engine;
		this.#ledger = ledger;
		this.door = Object.assign(Object.create(engine) as EngineDoor, this.#watched());
	}

	/** The calls that are looked at. */
	#watched(): Partial<EngineDoor> {
		const engine = this.#engine;
		return {
			lookup: (batch) => {
				this.#around('lookup', batch, () => engine.lookup(batch));
				this.#checkBundles(batch);
			},
			transform: (batch) => {
				this.#around('transform', batch, () => engine.transform(batch));
			},
			input: (batch) => {
				this.#around('input', batch, () => engine.input(batch));
				this.#settle(batch);
			},
			udpEncapInput: (batch, encapType, admit) => {
				this.#around('input', batch, () => engine.udpEncapInput(batch, encapType, admit));
				this.#settle(batch);
			},
			policyCheck: (batch, direction) => {
				this.#around('policyCheck', batch, () => engine.policyCheck(batch, direction));
			},
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

	/** What was opened of a packet counts as accepted, but by the state that it was dropped for. */
	#settle(batch: Batch): void {
		const [packet] = batch.packets;
		if (packet !== undefined) {
			this.#ledger.settleOpened(
				packet.action === PacketAction.Drop ? refusingKey(packet) : undefined,
			);
		}
	}
}
