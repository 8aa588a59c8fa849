/**
 * The pairs of states that a key manager has made, and how they get into the kernel and out of it: every
 * change here is a request of NETLINK_XFRM.
 */
import type { StateInput } from '@xfrm/netlink';
import { addressEquals, type StateId } from '@xfrm/wire/xfrm';
import { addressOf, type Connection, KEY_OCTETS, stateOf } from './connection.ts';
import { allocSpi, deleteState, flushStates, putState, type SendRequest } from './requests.ts';

/** What two ends have agreed on. */
export interface Agreement {
	readonly connection: Connection;
	readonly inSpi: number;
	readonly outSpi: number;
	readonly inKey: Uint8Array;
	readonly outKey: Uint8Array;
}

/** Both states of a connection that were made together. */
export interface Pair extends Agreement {
	/** The exchange that is to replace it, the peer's or our own, 0 for none. */
	replacedBy: number;
	/** Nonce and inbound SPI of our own, when there is one. */
	own: { readonly nonce: number; readonly spi: number } | undefined;
}

export class PairTable {
	readonly #send: SendRequest;
	/** By inbound SPI. */
	readonly #pairs: Map<number, Pair> = new Map();
	/** Ports that peers are seen by, by connection. */
	readonly #ports: Map<string, number> = new Map();

	constructor(send: SendRequest) {
		this.#send = send;
	}

	/** All pairs, as they are now. */
	all(): readonly Pair[] {
		return [...this.#pairs.values()];
	}

	bySpi(inSpi: number): Pair | undefined {
		return this.#pairs.get(inSpi);
	}

	/** The pair that a state of the kernel belongs to. */
	of(id: StateId): Pair | undefined {
		for (const pair of this.#pairs.values()) {
			const { address, family } = addressOf(pair.connection.local);
			const inbound = addressEquals(id.daddr, address, family);
			if (inbound ? pair.inSpi === id.spi : pair.outSpi === id.spi) {
				return pair;
			}
		}
		return undefined;
	}

	/** An SPI to receive by, with a larval state that keeps it; undefined when there is none. */
	reserve(connection: Connection): number | undefined {
		const wish = stateOf(connection, 'in', 0, new Uint8Array(KEY_OCTETS), this.#portOf(connection));
		return allocSpi(this.#send, wish).state?.id.spi;
	}

	/**
	 * Inbound state first, so that nothing is sent to where nobody listens. False when the kernel refused one;
	 * then there is none.
	 *
	 * @param seq of the acquire that is answered, 0 for none
	 */
	install(agreement: Agreement, seq: number): boolean {
		const states = this.#statesOf(agreement);
		if (putState(this.#send, 'updsa', states.in).errno !== 0) {
			return false;
		}
		if (putState(this.#send, 'newsa', { ...states.out, seq }).errno !== 0) {
			deleteState(this.#send, states.in.id, states.in.family);
			return false;
		}
		this.#pairs.set(agreement.inSpi, { ...agreement, replacedBy: 0, own: undefined });
		return true;
	}

	/** Deletes both states; one that is gone already is no mistake. */
	delete(pair: Pair): void {
		this.#pairs.delete(pair.inSpi);
		const states = this.#statesOf(pair);
		deleteState(this.#send, states.in.id, states.in.family);
		deleteState(this.#send, states.out.id, states.out.family);
	}

	/** Deletes everything, also what this table does not know of. */
	flush(): void {
		this.#pairs.clear();
		flushStates(this.#send);
	}

	/** The peer is seen by another port: all states of the connection follow. */
	moveTo(connection: Connection, port: number): void {
		if (this.#portOf(connection) === port) {
			return;
		}
		this.#ports.set(connection.name, port);
		for (const pair of this.#pairs.values()) {
			if (pair.connection === connection) {
				const states = this.#statesOf(pair);
				putState(this.#send, 'updsa', states.in);
				putState(this.#send, 'updsa', states.out);
			}
		}
	}

	#portOf(connection: Connection): number {
		return this.#ports.get(connection.name) ?? connection.udpPort ?? 0;
	}

	#statesOf({
		connection,
		inSpi,
		outSpi,
		inKey,
		outKey,
	}: Agreement): Record<'in' | 'out', StateInput> {
		const port = this.#portOf(connection);
		return {
			in: stateOf(connection, 'in', inSpi, inKey, port),
			out: stateOf(connection, 'out', outSpi, outKey, port),
		};
	}
}
