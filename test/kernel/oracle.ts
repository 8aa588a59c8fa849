/**
 * Real Linuxes 6.1 to ask: Debian's user-mode-linux, an ordinary process, booted by oracle/boot with
 * oracle/relay.py in it. Jobs go in as files, many at a time, answers come back as lines.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { formatHex } from '@xfrm/wire';
import { bytesOf } from '../golden/laboratory.ts';
import type { VectorCase } from '../golden/vector-case.ts';
import type { Dialogue } from './commands.ts';
import { Job, type JobAnswer } from './job.ts';
import type { Case } from './scenario.ts';

const folder: string = fileURLToPath(new URL('./oracle/', import.meta.url));

/** Fetches and unpacks the kernel when it is not there; the reason why it can't be had, or undefined. */
export function setUpOracle(place: 'guest' | 'qemu'): string | undefined {
	if (process.platform !== 'linux' || process.getuid?.() !== 0) {
		return 'a Linux machine and root are needed';
	}
	if (spawnSync('apt-get', ['--version']).error !== undefined) {
		return 'apt-get is needed to fetch the guest’s kernel';
	}
	const program = place === 'qemu' ? 'setup-qemu' : 'setup';
	const run = spawnSync(`${folder}${program}`, { stdio: ['ignore', 2, 2] });
	return run.status === 0
		? undefined
		: `oracle/${program} failed with status ${run.status}; does apt-get update help?`;
}

const SAID_CHARACTERS_MAX = 2000;
const GUEST_SECONDS_MAX = 7200;
/** A guest is given up for a fresh one after so many namespaces that cannot be taken down, or jobs. */
const LEFT_MAX = 80;
const JOBS_MAX = 3000;
/** Lifetimes and time-outs are of a second at least. */
const LATE_SECONDS = 0.5;
const ATTEMPTS_MAX = 3;

/** The guest did not do what it is there for; the message says all that is known. */
export class GuestError extends Error {}

/** What the relay writes: an answer, a question in a dialogue, or that a job could not be carried out. */
type Line =
	| JobAnswer
	| { readonly n: number; readonly ask: true; readonly back?: readonly string[] }
	| { readonly n: number; readonly failed: string };

interface Waiting {
	readonly job: Job;
	readonly resolve: (answer: JobAnswer) => void;
	readonly reject: (error: GuestError) => void;
	/** Whoever waits for what came back in a dialogue. */
	back?: (datagrams: readonly Uint8Array[]) => void;
}

/** What a guest under qemu loads beside the transforms; its cases name them (`Case.modules`). */
export const DEVICE_MODULES: readonly string[] = ['xfrm_interface', 'ip_vti', 'ip6_vti'];

/**
 * Where the relay runs: in user-mode Linux, in Debian's kernel under qemu with DEVICE_MODULES, or
 * on this machine, in namespaces that nothing else sees.
 */
export type Place = 'guest' | 'qemu' | 'here';

/** What a kernel did, and how many seconds it took beyond what the case sleeps. */
interface Told {
	readonly vector: VectorCase;
	readonly late: number;
}

/** One guest. */
class Guest {
	readonly #child: ChildProcess;
	readonly #run: string = mkdtempSync(join(tmpdir(), 'xfrm-guest-'));
	readonly #waiting: Map<number, Waiting> = new Map();
	readonly #ended: Promise<void>;
	/** Lines that the next file takes along. */
	#lines: string[] = [];
	#files = 0;
	#jobs = 0;
	#answered = 0;
	#left = 0;
	/** The last that the guest, or `boot`, said on stderr. */
	#said = '';
	#end: string | undefined;

	constructor(place: Place) {
		const relay = ['python3', '-S', 'relay.py'];
		const booter = `${folder}${place === 'qemu' ? 'boot-qemu' : 'boot'}`;
		const boot = [booter, '-t', String(GUEST_SECONDS_MAX), '-r', this.#run, '--'];
		const [program = '', ...args] = place === 'here' ? relay : [...boot, ...relay];
		this.#child = spawn(program, args, {
			stdio: ['ignore', 'pipe', 'pipe'],
			cwd: folder,
			env: { ...process.env, ORACLE_RUN: this.#run, ORACLE_MODULES: DEVICE_MODULES.join(' ') },
		});
		this.#child.stderr?.on('data', (data: Buffer) => {
			this.#said = (this.#said + data.toString()).slice(-SAID_CHARACTERS_MAX);
		});
		if (this.#child.stdout !== null) {
			createInterface({ input: this.#child.stdout }).on('line', (line) => this.#take(line));
		}
		this.#ended = new Promise((resolve) => {
			this.#child.on('close', (status) => {
				const when =
					this.#answered === 0 ? 'did not come up' : `ended after ${this.#answered} cases`;
				this.#end = `the guest ${when} (boot's status ${status}): ${this.#said.trim()}`;
				for (const { reject } of this.#waiting.values()) {
					reject(new GuestError(this.#end));
				}
				this.#waiting.clear();
				rmSync(this.#run, { recursive: true, force: true });
				resolve();
			});
		});
	}

	/** Is it time for another guest? */
	get isWorn(): boolean {
		return this.#left >= LEFT_MAX || this.#jobs >= JOBS_MAX;
	}

	get isIdle(): boolean {
		return this.#waiting.size === 0;
	}

	/** What the kernel did; rejects, and says why, when the guest is gone or could not run the case. */
	async ask(question: Case): Promise<Told> {
		const job = new Job(question);
		const n = this.#jobs++;
		const answer = await new Promise<JobAnswer>((resolve, reject) => {
			if (this.#end !== undefined) {
				reject(new GuestError(this.#end));
				return;
			}
			this.#waiting.set(n, { job, resolve, reject });
			this.#send({ n, ...job.body });
		});
		return { vector: job.golden(answer), late: answer.late };
	}

	/** Ends the guest and waits for it. */
	async close(): Promise<void> {
		if (this.#end === undefined) {
			this.#flush();
			this.#write('');
		}
		await this.#ended;
	}

	#send(message: object): void {
		this.#lines.push(JSON.stringify(message));
		if (this.#lines.length === 1) {
			setImmediate(() => this.#flush());
		}
	}

	#flush(): void {
		if (this.#lines.length > 0) {
			this.#write(`${this.#lines.join('\n')}\n`);
			this.#lines = [];
		}
	}

	#write(text: string): void {
		if (this.#end === undefined) {
			writeFileSync(join(this.#run, 'new'), text);
			renameSync(join(this.#run, 'new'), join(this.#run, `in.${this.#files++}`));
		}
	}

	#take(text: string): void {
		const line = JSON.parse(text) as Line;
		const waiting = this.#waiting.get(line.n);
		if (waiting === undefined) {
			return;
		}
		if ('ask' in line) {
			this.#talk(line.n, waiting, line.back);
			return;
		}
		this.#waiting.delete(line.n);
		this.#answered++;
		if ('failed' in line) {
			waiting.reject(new GuestError(`the guest could not run a case: ${line.failed}`));
		} else {
			this.#left = line.left;
			waiting.resolve(line);
		}
	}

	#talk(n: number, waiting: Waiting, back: readonly string[] | undefined): void {
		if (back !== undefined) {
			waiting.back?.(back.map(bytesOf));
			return;
		}
		const dialogue: Dialogue = (datagram) =>
			new Promise((resolve) => {
				waiting.back = resolve;
				this.#send({ n, send: formatHex(datagram) });
			});
		void waiting.job.talk(dialogue).then(() => this.#send({ n, send: null }));
	}
}

/** A place for guests, one after the other: a fresh one when the last is worn. */
export class Oracle {
	readonly #place: Place;
	#guest: Guest;
	#ending: Promise<void>[] = [];

	constructor(place: Place) {
		this.#place = place;
		this.#guest = new Guest(place);
	}

	/**
	 * What a kernel did, as a golden case. One that was late is asked again: on a busy machine a second may pass
	 * between two steps, and what lives for a second is gone.
	 *
	 * @throws GuestError
	 */
	async ask(question: Case): Promise<VectorCase> {
		let told = await this.#askOnce(question);
		for (let attempt = 2; told.late > LATE_SECONDS && attempt <= ATTEMPTS_MAX; attempt++) {
			told = await this.#askOnce(question);
		}
		return told.vector;
	}

	async #askOnce(question: Case): Promise<Told> {
		const guest = this.#guest;
		if (guest.isWorn) {
			this.#guest = new Guest(this.#place);
		}
		try {
			return await this.#guest.ask(question);
		} finally {
			if (guest !== this.#guest && guest.isIdle) {
				this.#ending.push(guest.close());
			}
		}
	}

	/** Ends the guests and waits for them. */
	async close(): Promise<void> {
		await Promise.all([this.#guest.close(), ...this.#ending]);
		this.#ending = [];
	}
}
