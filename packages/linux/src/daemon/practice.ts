/**
 * V8 compiles what has run some thousand times, which takes it half a second of a processor, and meanwhile a burst of
 * changes takes twice as long as it might. So the loop practises as long as nobody wants anything of it: it makes and
 * forgets policies in tables of nobody's (practice-tables.ts), and asks itself what changes nothing, so that the code
 * is made for either.
 *
 * The tables stay, and something in them: where no object of a class is left, V8 forgets what it has compiled for it.
 */
import type { Native } from '../native/seam.ts';
import { emptyMessage } from '../rtnetlink/rtnetlink-socket.ts';
import { AF_NETLINK, NETLINK_USERSOCK, SOCKET_TYPE, sockaddrNl } from '../socket-abi.ts';
import { DAEMON_PORT } from './marks.ts';
import { harmlessRequest } from './practice-requests.ts';
import { type PracticeOptions, PracticeTables } from './practice-tables.ts';

/** Requests of a step: packets wait for it. */
const STEP_REQUESTS = 8;
/** Requests of all. */
const REQUESTS = 4000;
/** Between two requests, so that all has its time that waits for one. */
const STEP_US = 10_000;

/** A program that asks the daemon what changes nothing. */
class OwnClient {
	readonly #native: Native;
	readonly #fd: number;
	readonly #daemon: Uint8Array = sockaddrNl(DAEMON_PORT);
	readonly #request: Uint8Array = harmlessRequest();
	readonly #answer: Uint8Array = new Uint8Array(256);
	readonly #message = emptyMessage(0);

	constructor(native: Native) {
		this.#native = native;
		this.#fd = native.socket(AF_NETLINK, SOCKET_TYPE, NETLINK_USERSOCK);
	}

	/** Reads what was answered before. */
	ask(): void {
		this.#native.receive(this.#fd, this.#answer, this.#message);
		this.#native.send(this.#fd, this.#request, this.#daemon);
	}

	close(): void {
		this.#native.close(this.#fd);
	}
}

export class Practice {
	readonly #options: PracticeOptions;
	readonly #client: OwnClient;
	/** Undefined before the first step. */
	#tables: PracticeTables | undefined;
	#isOver: boolean = false;
	#nowUs: number = 0;
	#asked: number = 0;

	constructor(options: PracticeOptions) {
		this.#options = options;
		this.#client = new OwnClient(options.native);
	}

	/** In its tables. */
	get policyCount(): number {
		return this.#tables?.policyCount ?? 0;
	}

	/** Is there no more to learn? */
	get isOver(): boolean {
		return this.#isOver;
	}

	/** Carries out some requests. */
	step(nowUs: number): void {
		try {
			this.#tables ??= new PracticeTables(this.#options, nowUs);
			for (let i = 0; i < STEP_REQUESTS; i++) {
				this.#nowUs = Math.max(this.#nowUs, nowUs) + STEP_US;
				this.#asked++;
				this.#tables.change(this.#nowUs);
			}
			this.#client.ask();
		} catch {
			// What the system denies to practice it denies to the daemon, who tells of it when it matters.
			this.close();
		}
		if (this.#asked >= REQUESTS) {
			this.close();
		}
	}

	/** Ends it. */
	close(): void {
		if (!this.#isOver) {
			this.#isOver = true;
			this.#client.close();
			this.#tables?.close();
		}
	}
}
