/**
 * The daemon's memory of its tables, for a successor: states, policies and defaults, a line for each change,
 * on a file system in memory unless asked otherwise. A change is in the journal before it is acknowledged.
 *
 * The journal is a watcher of the engine's tables: it collects what has changed and writes it when it is
 * told to (`flush`). A successor restores what it says, through the netlink server as any program would,
 * and then begins a journal of its own that says the same in as few lines.
 */
import { existsSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
	type Engine,
	restoreLarval,
	restorePolicyUse,
	restoreStateUse,
	StateCondition,
	type TableWatcher,
	type XfrmPolicy,
	type XfrmState,
} from '@xfrm/engine';
import {
	beginMessage,
	ControlType,
	MessageFlag,
	policyRequestAttributes,
	policyRequestBody,
	splitMessages,
	stateRequestAttributes,
	stateRequestBody,
	viewOf,
	writeAttributes,
} from '@xfrm/netlink';
import type { NetlinkServer } from '@xfrm/netlink-server';
import type { PolicySnapshot, StateSnapshot } from '@xfrm/wire/xfrm';
import type { Native } from '../native/seam.ts';
import { JournalFile, type JournalReader } from './journal-file.ts';
import {
	JOURNAL_VERSION,
	policyOf,
	readJournal,
	readObject,
	stateOf,
	writePolicy,
	writeRecord,
	writeState,
} from './journal-record.ts';
import { SequenceLedger, type SlotContent } from './sequence-ledger.ts';
import { StartError } from './start-error.ts';

/** Restored objects come as requests of nobody. */
const RESTORE_HEADER = { flags: MessageFlag.Request | MessageFlag.Ack, seq: 1, pid: 0 };

/** What a restore came to. */
export interface Restored {
	readonly states: number;
	readonly policies: number;
	/** Sentences about what could not be restored. */
	readonly refused: readonly string[];
}

function journalPath(folder: string): string {
	return join(folder, 'journal');
}

/** Is there a predecessor's journal in the folder? */
export function hasJournal(folder: string): boolean {
	return existsSync(journalPath(folder));
}

/** A journal in a folder, with a ledger beside it. @throws StartError when the ledger cannot be made */
export function openJournal(folder: string, engine: Engine, native?: Native): Journal {
	try {
		const ledger = new SequenceLedger(join(folder, 'ledger'), native);
		return new Journal(new JournalFile(journalPath(folder)), ledger, engine);
	} catch (error) {
		const why = error instanceof Error ? error.message : String(error);
		throw new StartError(`the journal cannot be made (${why}): name a folder by --state-dir`);
	}
}

export class Journal implements TableWatcher {
	/** Of its states' numbers. */
	readonly ledger: SequenceLedger;
	readonly #file: JournalFile;
	readonly #engine: Engine;
	readonly #numbers: Map<XfrmState | XfrmPolicy, number> = new Map();
	readonly #changedStates: Set<XfrmState> = new Set();
	readonly #changedPolicies: Set<XfrmPolicy> = new Set();
	readonly #gone: number[] = [];
	/** Of the engine's tables, when all of them was written. */
	#flushedGeneration: number = -1;
	/** As it says; empty before it says any. */
	#defaults: readonly number[] = [];
	#nextNumber: number = 1;
	/** Slots that restored states had. */
	readonly #slotsBefore: Map<XfrmState, number> = new Map();

	constructor(file: JournalFile, ledger: SequenceLedger, engine: Engine) {
		this.#file = file;
		this.ledger = ledger;
		this.#engine = engine;
	}

	/** Is there one of a predecessor's? */
	get exists(): boolean {
		return this.#file.exists;
	}

	/** Brings a predecessor's tables back, and begins a journal of its own. @throws StartError */
	begin(server: NetlinkServer, nowUs: number): Restored {
		const restored = this.exists
			? this.#read(server, nowUs)
			: { states: 0, policies: 0, refused: [] };
		this.#engine.net.watcher = this;
		try {
			this.#writeAnew();
		} catch (error) {
			const why = error instanceof Error ? error.message : String(error);
			throw new StartError(`the journal cannot be written (${why})`);
		}
		return restored;
	}

	stateChanged(state: XfrmState): void {
		if (!state.kernelOwned) {
			this.#changedStates.add(state);
		}
	}

	stateGone(state: XfrmState): void {
		this.#changedStates.delete(state);
		this.ledger.release(state);
		this.#forget(state);
	}

	policyChanged(policy: XfrmPolicy, replaced: XfrmPolicy | null): void {
		const number = replaced === null ? undefined : this.#numbers.get(replaced);
		if (replaced !== null && number !== undefined) {
			// The new one has its place.
			this.#numbers.delete(replaced);
			this.#numbers.set(policy, number);
		}
		if (replaced !== null) {
			this.#changedPolicies.delete(replaced);
		}
		if (policy.socketId === 0) {
			this.#changedPolicies.add(policy);
		}
	}

	policyGone(policy: XfrmPolicy): void {
		this.#changedPolicies.delete(policy);
		this.#forget(policy);
	}

	/** Makes all changes so far durable. @throws Error of the file system; what was not written is kept for later */
	flush(): void {
		const { generation } = this.#engine.net;
		const changes = this.#gone.length + this.#changedStates.size + this.#changedPolicies.size;
		// Asked after every round of the loop: mostly there is nothing. Defaults are of the generation.
		if (changes === 0 && generation === this.#flushedGeneration) {
			return;
		}
		let lines = '';
		for (const number of this.#gone) {
			lines += writeRecord({ kind: 'gone', number });
		}
		for (const state of this.#changedStates) {
			lines += this.#stateLine(state);
		}
		for (const policy of this.#changedPolicies) {
			lines += this.#policyLine(policy);
		}
		lines += this.#defaultsLine();
		if (lines === '') {
			this.#flushedGeneration = generation;
			return;
		}
		if (this.#file.isLong) {
			this.#writeAnew();
			return;
		}
		this.#file.append(lines);
		this.#settled();
	}

	close(): void {
		this.ledger.close();
		this.#file.close();
		this.#engine.net.watcher = null;
	}

	/** Nothing is left for a successor: the folder goes. */
	remove(): void {
		rmSync(dirname(this.#file.path), { recursive: true, force: true });
	}

	#settled(): void {
		this.#flushedGeneration = this.#engine.net.generation;
		this.#gone.length = 0;
		this.#changedStates.clear();
		this.#changedPolicies.clear();
		if (!this.#saysDefaults()) {
			this.#defaults = [...this.#engine.net.defaults];
		}
	}

	#forget(object: XfrmState | XfrmPolicy): void {
		const number = this.#numbers.get(object);
		if (number !== undefined) {
			this.#numbers.delete(object);
			this.#gone.push(number);
		}
	}

	#numberOf(object: XfrmState | XfrmPolicy): number {
		let number = this.#numbers.get(object);
		if (number === undefined) {
			number = this.#nextNumber++;
			this.#numbers.set(object, number);
		}
		return number;
	}

	#stateLine(state: XfrmState): string {
		const number = this.#numberOf(state);
		const slot = this.ledger.assign(state, number, this.#slotsBefore.get(state));
		this.#slotsBefore.delete(state);
		return writeState(state, number, slot);
	}

	#policyLine(policy: XfrmPolicy): string {
		const number = this.#numberOf(policy);
		return writePolicy(policy, number);
	}

	#defaultsLine(): string {
		const { defaults } = this.#engine.net;
		return this.#saysDefaults() ? '' : writeRecord({ kind: 'defaults', defaults });
	}

	#saysDefaults(): boolean {
		const [input, output, forward] = this.#engine.net.defaults;
		const [toldInput, toldOutput, toldForward] = this.#defaults;
		return input === toldInput && output === toldOutput && forward === toldForward;
	}

	/** Writes a journal that says how things are, and puts it in the place of the one before. */
	#writeAnew(): void {
		this.#defaults = [];
		this.#file.writeAnew(this.#allLines());
		this.#settled();
	}

	/** Oldest first, as they are to come back. */
	*#allLines(): Generator<string, void, undefined> {
		yield writeRecord({ kind: 'head', version: JOURNAL_VERSION });
		for (const state of [...this.#engine.states()].reverse()) {
			if (!state.kernelOwned) {
				yield this.#stateLine(state);
			}
		}
		for (const policy of [...this.#engine.policies()].reverse()) {
			if (policy.socketId === 0) {
				yield this.#policyLine(policy);
			}
		}
		yield this.#defaultsLine();
	}

	#unreadable(why: string): StartError {
		return new StartError(
			`${this.#file.path}: ${why}; "xfrm daemon --cleanup" forgets it, with all states and policies`,
		);
	}

	#read(server: NetlinkServer, nowUs: number): Restored {
		const reader = this.#file.reader();
		try {
			return this.#restore(server, reader, nowUs);
		} finally {
			reader.close();
		}
	}

	#restore(server: NetlinkServer, reader: JournalReader, nowUs: number): Restored {
		const tables = readJournal(reader);
		if (typeof tables === 'string') {
			throw this.#unreadable(tables);
		}
		const client = server.connect({ portId: 0 });
		const refused: string[] = [];
		let states = 0;
		let policies = 0;
		for (const object of tables.objects) {
			const { number } = object;
			const record = readObject(reader, object);
			if (typeof record === 'string') {
				throw this.#unreadable(record);
			}
			this.#nextNumber = Math.max(this.#nextNumber, number + 1);
			if (record.kind === 'policy') {
				policies++;
				this.#restorePolicy(server, client, policyOf(record), number, nowUs, refused);
			} else {
				states++;
				const content = this.ledger.read(record.slot, number);
				if (content === undefined) {
					refused.push('a state without its numbers is left out');
					continue;
				}
				const state = continued(stateOf(record), content);
				const made = this.#restoreState(server, client, state, nowUs, refused);
				if (made !== undefined) {
					this.#numbers.set(made, number);
					this.#slotsBefore.set(made, record.slot);
				}
			}
		}
		const { defaults } = this.#engine.net;
		for (const direction of [0, 1, 2] as const) {
			defaults[direction] = tables.defaults?.[direction] ?? defaults[direction];
		}
		server.disconnect(client);
		return { states, policies, refused };
	}

	#restoreState(
		server: NetlinkServer,
		client: ReturnType<NetlinkServer['connect']>,
		state: StateSnapshot,
		nowUs: number,
		refused: string[],
	): XfrmState | undefined {
		if (state.condition === StateCondition.Acq) {
			return restoreLarval(this.#engine.net, state, nowUs);
		}
		const { direction = 0, mappingThresholdSeconds = 0, ...rest } = state;
		// What is unset cannot be said in a request.
		const config = {
			...rest,
			...(direction === 0 ? {} : { direction }),
			...(mappingThresholdSeconds === 0 ? {} : { mappingThresholdSeconds }),
		};
		const writer = beginMessage('newsa', stateRequestBody(config), RESTORE_HEADER);
		writeAttributes(writer, stateRequestAttributes(config));
		const errno = errnoOf(server.begin(client, writer.finish(), nowUs));
		if (errno !== 0) {
			refused.push(`a state is refused with errno ${errno}`);
			return undefined;
		}
		const { id, family, saddr, mark } = state;
		const query = { id, family, saddr, mark: ((mark?.v ?? 0) & (mark?.m ?? 0)) | 0 };
		const made = this.#engine.findState(query);
		if (made !== undefined) {
			restoreStateUse(made, state.stats, state.lastUsed ?? 0);
		}
		return made;
	}

	#restorePolicy(
		server: NetlinkServer,
		client: ReturnType<NetlinkServer['connect']>,
		policy: PolicySnapshot,
		number: number,
		nowUs: number,
		refused: string[],
	): void {
		const writer = beginMessage('newpolicy', policyRequestBody(policy), RESTORE_HEADER);
		writeAttributes(writer, policyRequestAttributes(policy));
		const errno = errnoOf(server.begin(client, writer.finish(), nowUs));
		if (errno !== 0) {
			refused.push(`a policy is refused with errno ${errno}`);
			return;
		}
		const { direction, type, ifId = 0, mark = { v: 0, m: 0 }, index, selector } = policy;
		const made = this.#engine.findPolicy({ direction, type, ifId, mark, index, selector });
		if (made !== undefined) {
			this.#numbers.set(made, number);
			restorePolicyUse(made, policy.lifetimeCurrent);
		}
	}
}

/** The errno of an acknowledgement. */
function errnoOf(answers: readonly Uint8Array[]): number {
	for (const raw of answers.flatMap((answer) => splitMessages(answer))) {
		if (raw.type === ControlType.Error) {
			return -viewOf(raw.payload).getInt32(0, true);
		}
	}
	return 0;
}

const ALL_SEEN = 0xffff_ffff;

/**
 * A state as its successor has to go on with it: numbers begin behind the lease, and all up to the top of
 * the window count as seen.
 */
export function continued(state: StateSnapshot, { lease, top }: SlotContent): StateSnapshot {
	const { replay, replayEsn } = state;
	const low = (value: number): number => value % 2 ** 32;
	const high = (value: number): number => Math.floor(value / 2 ** 32);
	if (replayEsn !== undefined) {
		const oseq = Math.max(lease, replayEsn.oseqHi * 2 ** 32 + replayEsn.oseq);
		const seq = Math.max(top, replayEsn.seqHi * 2 ** 32 + replayEsn.seq);
		return {
			...state,
			replayEsn: {
				...replayEsn,
				oseq: low(oseq),
				oseqHi: high(oseq),
				seq: low(seq),
				seqHi: high(seq),
				bmp: seq === 0 ? replayEsn.bmp : replayEsn.bmp.slice().fill(ALL_SEEN),
			},
		};
	}
	if (replay === undefined) {
		return state;
	}
	const oseq = Math.min(Math.max(lease, replay.oseq), ALL_SEEN);
	const seq = Math.max(top, replay.seq);
	return { ...state, replay: { oseq, seq, bitmap: seq === 0 ? replay.bitmap : ALL_SEEN } };
}
