/** What a running daemon tells of itself (daemon/observation.ts), asked for by another program or thread. */
import {
	ControlType,
	decodeMessage,
	type NamedMessage,
	type NetlinkSocket,
	parseAck,
	type RawMessage,
	splitMessages,
	TransportError,
} from '@xfrm/netlink';
import { Errno, errnoText } from '@xfrm/wire/xfrm';
import {
	type DaemonNumbers,
	OBSERVATION_TYPE,
	Observed,
	observationRequest,
	type SampleHead,
} from './daemon/observation.ts';
import { daemonTransport } from './daemon-transport.ts';

export type { DropRow, PolicyCause, StateCause } from './daemon/drop-table.ts';
export type { DaemonDevice, DaemonNumbers, OwnCounters, SampleHead } from './daemon/observation.ts';

/** How long an answer may take. */
const ANSWER_MS_MAX = 5000;

/** A dropped packet with the tables as they were, newest first, as a dump has them. */
export interface ToldDrop {
	readonly head: SampleHead;
	readonly states: readonly NamedMessage<'newsa'>[];
	readonly policies: readonly NamedMessage<'newpolicy'>[];
}

/** Asks the daemon of this network namespace, by one socket. */
export class DaemonObserver {
	readonly #socket: NetlinkSocket;
	#seq: number = 0;

	/** @throws TransportError when there is no daemon, or it does not answer */
	constructor() {
		this.#socket = daemonTransport().open();
	}

	/** Its counters and drops. Rejects with TransportError. */
	async numbers(): Promise<DaemonNumbers> {
		// What it says is ours: a daemon of another version says `schema`.
		return JSON.parse(textOf(await this.#ask(Observed.Numbers, 0))) as DaemonNumbers;
	}

	/**
	 * A packet that it has dropped, undefined when it has kept none such.
	 *
	 * @param which 0 is the newest
	 */
	async drop(which: number): Promise<ToldDrop | undefined> {
		const answers = await this.#ask(Observed.Drop, which);
		if (answers.length === 0) {
			return undefined;
		}
		const messages = answers.flatMap((raw) => decodeMessage(raw) ?? []);
		return {
			head: JSON.parse(textOf(answers)) as SampleHead,
			states: messages.filter((one) => one.name === 'newsa'),
			policies: messages.filter((one) => one.name === 'newpolicy'),
		};
	}

	close(): void {
		this.#socket.close();
	}

	async #ask(what: number, which: number): Promise<readonly RawMessage[]> {
		this.#seq++;
		this.#socket.send(observationRequest(what, which, this.#seq));
		const late = setTimeout(() => this.#socket.close(), ANSWER_MS_MAX);
		try {
			return await this.#answers();
		} finally {
			clearTimeout(late);
		}
	}

	async #answers(): Promise<readonly RawMessage[]> {
		const answers: RawMessage[] = [];
		for (;;) {
			const { datagrams, overrun } = await this.#socket.receive();
			if (overrun) {
				throw new TransportError(Errno.ENOBUFS, 'the answer of the daemon was lost: ask again');
			}
			for (const raw of datagrams.flatMap(splitMessages)) {
				if (raw.seq !== this.#seq) {
					continue;
				}
				if (raw.type === ControlType.Done) {
					return answers;
				}
				if (raw.type === ControlType.Error) {
					throw refusalOf(raw);
				}
				answers.push(raw);
			}
		}
	}
}

function refusalOf(raw: RawMessage): TransportError {
	const errno = parseAck(raw)?.errno ?? 0;
	const text =
		errno === Errno.EINVAL
			? 'the daemon is of another version: it tells nothing of itself'
			: `the daemon refuses: ${errnoText(errno)}`;
	return new TransportError(errno, text);
}

function textOf(messages: readonly RawMessage[]): string {
	const parts = messages.filter(({ type }) => type === OBSERVATION_TYPE);
	return Buffer.concat(parts.map(({ payload }) => payload)).toString();
}
