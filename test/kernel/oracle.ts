/**
 * A real Linux 6.1 to ask: Debian's user-mode-linux, an ordinary process, booted by oracle/boot with
 * oracle/lab.py as a server on a pipe. A case goes in as a line of JSON, and comes back with what the
 * kernel did (form: golden/README.md).
 */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const folder: string = fileURLToPath(new URL('./oracle/', import.meta.url));

/** Fetches and unpacks the kernel when it is not there; the reason why it can't be had, or undefined. */
export function setUpOracle(): string | undefined {
	if (process.platform !== 'linux' || process.getuid?.() !== 0) {
		return 'a Linux machine and root are needed';
	}
	if (spawnSync('apt-get', ['--version']).error !== undefined) {
		return 'apt-get is needed to fetch the package user-mode-linux';
	}
	const run = spawnSync(`${folder}setup`, { stdio: ['ignore', 2, 2] });
	return run.status === 0 ? undefined : `oracle/setup failed with status ${run.status}`;
}

const SAID_CHARACTERS_MAX = 2000;

/** The guest did not do what it is there for; the message says all that is known. */
export class GuestError extends Error {}

/** One guest. Cases are answered in the order they were asked. */
export class Oracle {
	readonly #child: ChildProcessWithoutNullStreams;
	readonly #lines: Interface;
	readonly #waiting: ((line: string | undefined) => void)[] = [];
	/** The last that the guest, or `boot`, said on stderr. */
	#said = '';
	#answered = 0;
	#ended: string | undefined;

	constructor(secondsMax: number) {
		this.#child = spawn(
			`${folder}boot`,
			['-t', String(secondsMax), '-C', folder, '--', 'python3', 'lab.py'],
			{
				stdio: ['pipe', 'pipe', 'pipe'],
			},
		);
		this.#child.stderr.on('data', (data: Buffer) => {
			this.#said = (this.#said + data.toString()).slice(-SAID_CHARACTERS_MAX);
		});
		// Somebody who writes to a guest that is gone learns so by its end, not by EPIPE.
		this.#child.stdin.on('error', () => undefined);
		this.#lines = createInterface({ input: this.#child.stdout });
		this.#lines.on('line', (line) => this.#waiting.shift()?.(line));
		this.#child.on('close', (status) => {
			const when = this.#answered === 0 ? 'did not come up' : `ended after ${this.#answered} cases`;
			this.#ended = `the guest ${when} (boot's status ${status}): ${this.#said.trim()}`;
			for (const wake of this.#waiting.splice(0)) {
				wake(undefined);
			}
		});
	}

	/** What the kernel did; throws, and says why, when the guest is gone or could not run the case. */
	async ask<T>(question: object): Promise<T> {
		const line = await new Promise<string | undefined>((resolve) => {
			if (this.#ended !== undefined) {
				resolve(undefined);
				return;
			}
			this.#waiting.push(resolve);
			this.#child.stdin.write(`${JSON.stringify(question)}\n`);
		});
		if (line === undefined) {
			throw new GuestError(this.#ended ?? 'the guest is gone');
		}
		this.#answered++;
		const answer = JSON.parse(line) as T & { failed?: string };
		if (answer.failed !== undefined) {
			throw new GuestError(`the guest could not run a case: ${answer.failed}`);
		}
		return answer;
	}

	/** Ends the guest and waits for it. */
	async close(): Promise<void> {
		if (this.#ended !== undefined) {
			return;
		}
		const gone = new Promise((resolve) => this.#child.once('close', resolve));
		this.#child.stdin.end('quit\n');
		await gone;
	}
}
