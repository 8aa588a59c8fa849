/**
 * What the guard has dropped: counters of nf_tables that its rules share, one for each way. Linux counts such packets
 * as XfrmInTmplMismatch, XfrmInPolBlock or XfrmInNoPols; here they never come to the engine.
 *
 * They stand in the guard's table, so that what was dropped while no daemon ran is counted too. A table that is written
 * anew goes on from what the one before has counted, and a successor from its predecessor's.
 */
import { Direction } from '@xfrm/wire/xfrm';
import type { Counted, NftBatch } from '../nftables/nft-batch.ts';
import type { NftSocket } from '../nftables/nft-socket.ts';
import { OwnDrop } from './own-drops.ts';

/** By direction: OUT is what should have been captured, and left by another device. */
const COUNTERS: readonly {
	readonly direction: number;
	readonly name: string;
	readonly verdict: number;
	readonly code: string;
}[] = [
	{
		direction: Direction.In,
		name: 'plaintext-in',
		verdict: OwnDrop.PlaintextIn,
		code: 'daemon.plaintext',
	},
	{
		direction: Direction.Out,
		name: 'plaintext-out',
		verdict: OwnDrop.PlaintextOut,
		code: 'daemon.leak',
	},
	{
		direction: Direction.Fwd,
		name: 'plaintext-fwd',
		verdict: OwnDrop.PlaintextFwd,
		code: 'daemon.plaintext',
	},
];

const NOTHING: Counted = { packets: 0n, octets: 0n };

/** Whoever tells of drops by cause. */
export interface CountTaker {
	/**
	 * @param verdict an `OwnDrop`
	 * @param code one of docs/reasons.md
	 * @param packets since there is a guard
	 */
	counted(verdict: number, code: string, packets: number): void;
}

/** The counter of what is dropped in a direction. */
export function guardCounter(direction: number): string {
	return COUNTERS.find((one) => one.direction === direction)?.name ?? '';
}

export class GuardCounters {
	readonly #socket: Pick<NftSocket, 'counters'>;
	readonly #table: string;
	/** What was read last, by name. */
	known: ReadonlyMap<string, Counted> = new Map();

	constructor(socket: Pick<NftSocket, 'counters'>, table: string) {
		this.#socket = socket;
		this.#table = table;
	}

	/** Asks the kernel; where it tells of none, as the table is gone, what it told last holds. */
	read(): void {
		const told = this.#socket.counters(this.#table);
		if (told.size > 0) {
			this.known = told;
		}
	}

	/** Tells what was read last. */
	tell(taker: CountTaker): void {
		for (const { name, verdict, code } of COUNTERS) {
			const { packets } = this.known.get(name) ?? NOTHING;
			taker.counted(verdict, code, Number(packets));
		}
	}
}

/** Counters of a table that has none yet, which go on from what is known. */
export function writeCounters(
	batch: NftBatch,
	known: ReadonlyMap<string, Counted> = new Map(),
): void {
	for (const { name } of COUNTERS) {
		batch.addCounter(name, known.get(name) ?? NOTHING);
	}
}
