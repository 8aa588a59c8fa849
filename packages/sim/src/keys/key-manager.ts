/**
 * A scripted key manager, as an IKE daemon would be: it hears notifications of NETLINK_XFRM, sends
 * requests of it, and exchanges mail with its peers. Sans-IO: bytes, mail and time come in by calls.
 *
 *     ACQUIRE       → ALLOCSPI (in), mail `request` → the peer: ALLOCSPI, UPDSA (in), NEWSA (out),
 *                     mail `response` → UPDSA (in), NEWSA (out) with the acquire's number
 *     EXPIRE soft   → the same for a new pair; the old one is deleted a while later
 *     EXPIRE hard   → the pair's other state is deleted, the peer told
 *     MAPPING       → UPDSA with the new port
 *
 * When both ends replace one pair at the same time, the new pair of the smaller nonce is deleted by who
 * began it (RFC 7296 2.8.1). Its moods are its faults: late, dead, confused (confusion.ts). Who was not well
 * starts anew, as a daemon that was restarted: flush, and a mail `hello`.
 */
import { decodeMessage, eventOf, splitMessages, type XfrmEvent } from '@xfrm/netlink';
import { addressEquals } from '@xfrm/wire/xfrm';
import type { SimRandom } from '../random.ts';
import { confuse } from './confusion.ts';
import {
	addressOf,
	type Connection,
	type Envelope,
	KEY_OCTETS,
	type Mail,
	mixKeys,
	type PairKeys,
	protoOf,
} from './connection.ts';
import { type Pair, PairTable } from './pair-table.ts';
import type { SendRequest } from './requests.ts';

export type Mood = 'well' | 'late' | 'dead' | 'confused';

/** How often, and after what time, a request without an answer is sent again. */
const TRIES_MAX = 6;
const RETRY_US = 2_000_000;
/** Answers that are kept for requests that come again. */
const ANSWERED_MAX = 64;
/** How long an old pair stays beside its successor. */
const OVERLAP_US = 3_000_000;
/** A late one takes up to this long; a larval state waits 30 s. */
const LATE_US = 20_000_000;

type Request = Extract<Mail, { kind: 'request' }>;
type Response = Extract<Mail, { kind: 'response' }>;

/** What the world does for it. */
export interface Surroundings {
	readonly send: SendRequest;
	post(to: string, mail: Mail): void;
	after(us: number, action: () => void): void;
}

/** An exchange that this end began and that has no answer yet. */
interface Exchange {
	readonly connection: Connection;
	readonly spi: number;
	readonly keys: PairKeys;
	readonly nonce: number;
	readonly acquireSeq: number;
	readonly replaces: Pair | undefined;
}

export class KeyManager {
	readonly #random: SimRandom;
	readonly #around: Surroundings;
	readonly #connections: readonly Connection[];
	#mood: Mood = 'well';
	/** Changes with each start: what was planned before is void. */
	#life: number = 0;
	readonly #pairs: PairTable;
	readonly #exchanges: Map<number, Exchange> = new Map();
	/** Answers, by exchange: a request that comes again gets the same. */
	readonly #answered: Map<number, Response> = new Map();
	/** Pairs, by inbound SPI, that are redundant after a collision: not to be replaced any more. */
	readonly #redundant: Set<number> = new Set();

	constructor(random: SimRandom, connections: readonly Connection[], around: Surroundings) {
		this.#random = random;
		this.#connections = connections;
		this.#around = around;
		this.#pairs = new PairTable(around.send);
	}

	/** Changes its mood; who becomes well after having been dead or confused starts anew. */
	setMood(mood: Mood): void {
		const before = this.#mood;
		this.#mood = mood;
		if (mood === 'well' && (before === 'dead' || before === 'confused')) {
			this.start();
		}
	}

	/** Starts anew: no states, and the peers are told. */
	start(): void {
		this.#life++;
		this.#exchanges.clear();
		this.#answered.clear();
		this.#redundant.clear();
		this.#pairs.flush();
		for (const peer of new Set(this.#connections.map((connection) => connection.peer))) {
			this.#around.post(peer, { kind: 'hello' });
		}
	}

	/** Somebody outside asks for new keys on all connections. */
	rekeyAll(): void {
		for (const pair of this.#pairs.all()) {
			this.#replace(pair);
		}
	}

	/** Notifications of NETLINK_XFRM. */
	hear(datagrams: readonly Uint8Array[]): void {
		for (const message of datagrams.flatMap(splitMessages)) {
			const decoded = decodeMessage(message);
			const event = decoded && eventOf(decoded);
			if (event === undefined || this.#mood === 'dead') {
				continue;
			}
			if (this.#mood === 'confused') {
				confuse(this.#random, this.#around.send, event, this.#connections);
			}
			this.#later(() => this.#handle(event));
		}
	}

	/** Mail from a peer. */
	receive({ from, port, mail }: Envelope): void {
		if (this.#mood === 'dead') {
			return;
		}
		for (const connection of this.#connections) {
			if (connection.peer === from && port !== 0 && connection.udpPort !== undefined) {
				this.#pairs.moveTo(connection, port);
			}
		}
		this.#later(() => this.#answer(from, mail));
	}

	/** Thinking takes time; a late one takes more of it. Nothing is done in another life. */
	#later(action: () => void): void {
		const us = this.#random.between(200, 20_000);
		const late = this.#mood === 'late' ? this.#random.below(LATE_US) : 0;
		this.#afterwards(us + late, action);
	}

	#afterwards(us: number, action: () => void): void {
		const life = this.#life;
		this.#around.after(us, () => {
			if (life === this.#life && this.#mood !== 'dead') {
				action();
			}
		});
	}

	#handle(event: XfrmEvent): void {
		switch (event.kind) {
			case 'acquire': {
				const reqid = event.templates[0]?.reqid ?? 0;
				const connection = this.#connections.find(
					(one) =>
						one.reqid === reqid &&
						protoOf(one) === event.id.proto &&
						addressEquals(
							addressOf(one.remote).address,
							event.id.daddr,
							addressOf(one.remote).family,
						),
				);
				if (connection !== undefined) {
					this.#begin(connection, event.seq, undefined);
				}
				return;
			}
			case 'expire': {
				const pair = this.#pairs.of(event.state.id);
				if (pair !== undefined && event.hard) {
					this.#remove(pair);
				} else if (pair !== undefined) {
					this.#replace(pair);
				}
				return;
			}
			case 'mapping': {
				const pair = this.#pairs.bySpi(event.mapping.id.spi);
				if (pair !== undefined) {
					this.#pairs.moveTo(pair.connection, event.mapping.newSport);
				}
				return;
			}
			default:
				return;
		}
	}

	#replace(pair: Pair): void {
		if (pair.replacedBy === 0 && !this.#redundant.has(pair.inSpi)) {
			pair.replacedBy = this.#begin(pair.connection, 0, pair);
		}
	}

	/** Begins an exchange; its number, 0 when none could be begun. */
	#begin(connection: Connection, acquireSeq: number, replaces: Pair | undefined): number {
		for (const [number, exchange] of this.#exchanges) {
			if (exchange.connection === connection && exchange.replaces === replaces) {
				return number;
			}
		}
		const spi = this.#pairs.reserve(connection);
		if (spi === undefined) {
			return 0;
		}
		const number = (this.#random.word() >>> 1) + 1;
		const keys = {
			toInitiator: this.#random.octets(KEY_OCTETS),
			toResponder: this.#random.octets(KEY_OCTETS),
		};
		const nonce = this.#random.word() >>> 0;
		this.#exchanges.set(number, { connection, spi, keys, nonce, acquireSeq, replaces });
		if (replaces !== undefined) {
			replaces.own = { nonce, spi };
		}
		this.#ask(number, TRIES_MAX);
		return number;
	}

	/** Sends the request of an exchange, and again while there is no answer. */
	#ask(number: number, tries: number): void {
		const exchange = this.#exchanges.get(number);
		if (exchange === undefined) {
			return;
		}
		if (tries === 0) {
			this.#giveUp(number, exchange);
			return;
		}
		const { connection, spi, nonce, keys, replaces } = exchange;
		this.#around.post(connection.peer, {
			kind: 'request',
			exchange: number,
			connection: connection.name,
			spi,
			nonce,
			keys,
			replaces: replaces?.inSpi ?? 0,
		});
		this.#afterwards(RETRY_US, () => this.#ask(number, tries - 1));
	}

	/** No answer came. The larval state dies by itself; what the peer may have made of it should too. */
	#giveUp(number: number, { connection, spi, replaces }: Exchange): void {
		this.#exchanges.delete(number);
		if (replaces?.replacedBy === number) {
			replaces.replacedBy = 0;
			replaces.own = undefined;
		}
		this.#around.post(connection.peer, { kind: 'delete', spis: [spi] });
	}

	#answer(from: string, mail: Mail): void {
		switch (mail.kind) {
			case 'request':
				this.#accept(mail);
				return;
			case 'response':
				this.#complete(mail);
				return;
			case 'delete':
				for (const pair of this.#pairs.all()) {
					if (pair.connection.peer === from && mail.spis.includes(pair.outSpi)) {
						this.#forget(pair);
					}
				}
				return;
			case 'hello':
				for (const pair of this.#pairs.all()) {
					if (pair.connection.peer === from) {
						this.#forget(pair);
					}
				}
				return;
		}
	}

	/** The responder's part. */
	#accept(mail: Request): void {
		const connection = this.#connections.find((one) => one.name === mail.connection);
		if (connection === undefined) {
			return;
		}
		const answered = this.#answered.get(mail.exchange);
		if (answered !== undefined) {
			this.#around.post(connection.peer, answered);
			return;
		}
		const isRedundant = this.#losesAgainstOurs(mail.replaces, mail.exchange, mail.nonce);
		const spi = this.#pairs.reserve(connection);
		if (spi === undefined) {
			return;
		}
		const share = this.#random.octets(KEY_OCTETS);
		const keys = mixKeys(mail.keys, share);
		const [inKey, outKey] = [keys.toResponder, keys.toInitiator];
		if (!this.#pairs.install({ connection, inSpi: spi, outSpi: mail.spi, inKey, outKey }, 0)) {
			return;
		}
		if (isRedundant) {
			this.#redundant.add(spi);
		}
		this.#respond(connection, { kind: 'response', exchange: mail.exchange, spi, share });
	}

	#respond(connection: Connection, response: Response): void {
		this.#answered.set(response.exchange, response);
		for (const oldest of this.#answered.keys()) {
			if (this.#answered.size <= ANSWERED_MAX) {
				break;
			}
			this.#answered.delete(oldest);
		}
		this.#around.post(connection.peer, response);
	}

	/**
	 * The peer replaces a pair. If we do so too, the exchange of the smaller nonce was in vain, and who began it
	 * deletes what came of it. Is that the peer's?
	 */
	#losesAgainstOurs(outSpi: number, exchange: number, nonce: number): boolean {
		for (const pair of this.#pairs.all()) {
			if (outSpi === 0 || pair.outSpi !== outSpi) {
				continue;
			}
			const { own } = pair;
			pair.replacedBy ||= exchange;
			if (own !== undefined && own.nonce < nonce) {
				this.#redundant.add(own.spi);
				this.#afterwards(OVERLAP_US, () => this.#removeBySpi(own.spi));
			}
			return own !== undefined && own.nonce > nonce;
		}
		return false;
	}

	/** The initiator's part. */
	#complete(mail: Response): void {
		const exchange = this.#exchanges.get(mail.exchange);
		if (exchange === undefined) {
			return;
		}
		this.#exchanges.delete(mail.exchange);
		const { connection, spi, acquireSeq, replaces } = exchange;
		const keys = mixKeys(exchange.keys, mail.share);
		const [inKey, outKey] = [keys.toInitiator, keys.toResponder];
		const agreement = { connection, inSpi: spi, outSpi: mail.spi, inKey, outKey };
		if (this.#pairs.install(agreement, acquireSeq) && replaces !== undefined) {
			this.#afterwards(OVERLAP_US, () => this.#removeBySpi(replaces.inSpi));
		}
	}

	#removeBySpi(inSpi: number): void {
		const pair = this.#pairs.bySpi(inSpi);
		if (pair !== undefined) {
			this.#remove(pair);
		}
	}

	/** Deletes a pair and tells the peer. */
	#remove(pair: Pair): void {
		this.#forget(pair);
		this.#around.post(pair.connection.peer, { kind: 'delete', spis: [pair.inSpi] });
	}

	#forget(pair: Pair): void {
		this.#redundant.delete(pair.inSpi);
		this.#pairs.delete(pair);
	}
}
