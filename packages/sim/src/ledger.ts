/**
 * What was done under which key: a crypto provider around another that writes down every ESP packet
 * sealed and opened. Keys are the same at both ends of a state, so that one `Ledger` serves all hosts;
 * each host has a `HostLedger` of its own, which is its provider.
 *
 * This is the only place where the whole sequence number shows: of an ESN state the wire has half.
 *
 * On request a seal fails, as hardware does now and then: the number that the packet had stays used.
 */
import {
	type CryptoBatch,
	type CryptoKey,
	type CryptoProvider,
	CryptoStatus,
	type EspKeySpec,
	type MacKeySpec,
} from '@xfrm/crypto/provider';
import { formatHex } from '@xfrm/wire';

/** One key, all hosts. */
class KeyHistory {
	/** High half × 2^32 + low half. */
	readonly sealed: Set<number> = new Set();
	readonly accepted: Set<number> = new Set();
}

/** One key at one host. */
export class KeyUse {
	readonly history: KeyHistory;
	sealedCount: number = 0;
	acceptedCount: number = 0;
	/** Largest number accepted; -1 for none. */
	acceptedTop: number = -1;

	constructor(history: KeyHistory) {
		this.history = history;
	}
}

export class Ledger {
	readonly #keys: Map<string, KeyHistory> = new Map();
	/** What was found wrong while sealing or opening; whoever looks takes it away. */
	complaint: string | undefined = undefined;

	of(spec: EspKeySpec): KeyHistory {
		const { aead, crypt, auth } = spec;
		const parts = [aead?.key, crypt?.key, auth?.key].map((key) => (key ? formatHex(key) : ''));
		const name = parts.join('-');
		let history = this.#keys.get(name);
		if (history === undefined) {
			history = new KeyHistory();
			this.#keys.set(name, history);
		}
		return history;
	}
}

/** The sequence number of job `i`, whose AAD begins with SPI and low half. */
function numberOf(batch: CryptoBatch, i: number, esn: boolean): number {
	const bytes = batch.bytes[i] ?? new Uint8Array(0);
	const at = (batch.aadAt[i] ?? 0) + 4;
	const low =
		(((bytes[at] ?? 0) << 24) |
			((bytes[at + 1] ?? 0) << 16) |
			((bytes[at + 2] ?? 0) << 8) |
			(bytes[at + 3] ?? 0)) >>>
		0;
	return esn ? ((batch.seqHi[i] ?? 0) >>> 0) * 0x1_0000_0000 + low : low;
}

interface Known {
	readonly use: KeyUse;
	readonly esn: boolean;
}

/** An ESP packet that was opened, and that is accepted if the engine goes on with it. */
interface Opened {
	readonly key: CryptoKey;
	readonly use: KeyUse;
	readonly number: number;
}

export class HostLedger implements CryptoProvider {
	readonly name: string = 'ledger';
	/** Is the next seal to fail? Asked for every packet. */
	failsSeal: () => boolean = () => false;
	readonly #ledger: Ledger;
	readonly #provider: CryptoProvider;
	readonly #known: WeakMap<CryptoKey, Known> = new WeakMap();
	#opened: Opened[] = [];

	constructor(ledger: Ledger, provider: CryptoProvider) {
		this.#ledger = ledger;
		this.#provider = provider;
	}

	supports(kind: 'aead' | 'auth' | 'crypt' | 'comp', name: string, icvBits?: number): boolean {
		return this.#provider.supports(kind, name, icvBits);
	}

	espKey(spec: EspKeySpec): CryptoKey | undefined {
		const key = this.#provider.espKey(spec);
		if (key !== undefined) {
			this.#known.set(key, { use: new KeyUse(this.#ledger.of(spec)), esn: spec.esn });
		}
		return key;
	}

	macKey(spec: MacKeySpec): CryptoKey | undefined {
		return this.#provider.macKey(spec);
	}

	compressor(name: string): CryptoKey | undefined {
		return this.#provider.compressor(name);
	}

	/** What this host did with a key; undefined for one that is none of ESP. */
	useOf(key: CryptoKey): KeyUse | undefined {
		return this.#known.get(key)?.use;
	}

	seal(batch: CryptoBatch): void {
		for (let i = 0; i < batch.count; i++) {
			const key = batch.keys[i];
			const known = key && this.#known.get(key);
			if (known === undefined) {
				continue;
			}
			const { use, esn } = known;
			const number = numberOf(batch, i, esn);
			if (use.history.sealed.has(number)) {
				this.#ledger.complaint ??= `sequence number ${number} sealed twice under one key`;
			}
			use.history.sealed.add(number);
			use.sealedCount++;
		}
		this.#provider.seal(batch);
		for (let i = 0; i < batch.count; i++) {
			if (this.failsSeal()) {
				batch.status[i] = CryptoStatus.Invalid;
			}
		}
	}

	open(batch: CryptoBatch): void {
		const numbers: Opened[] = [];
		for (let i = 0; i < batch.count; i++) {
			const key = batch.keys[i];
			const known = key && this.#known.get(key);
			if (key !== undefined && known !== undefined) {
				numbers[i] = { key, use: known.use, number: numberOf(batch, i, known.esn) };
			}
		}
		this.#provider.open(batch);
		for (let i = 0; i < batch.count; i++) {
			const opened = numbers[i];
			if (opened !== undefined && batch.status[i] === CryptoStatus.Ok) {
				this.#opened.push(opened);
			}
		}
	}

	/** The engine is done with a packet: what was opened of it counts, but not by the state that refused it. */
	settleOpened(refusedBy: CryptoKey | undefined): void {
		for (const { use, number } of this.#opened.filter(({ key }) => key !== refusedBy)) {
			if (use.history.accepted.has(number)) {
				this.#ledger.complaint ??= `sequence number ${number} accepted twice under one key`;
			}
			use.history.accepted.add(number);
			use.acceptedCount++;
			use.acceptedTop = Math.max(use.acceptedTop, number);
		}
		this.#opened = [];
	}
}
