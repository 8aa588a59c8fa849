/**
 * Ends the process when an input takes too long, and prints it: from a thread of its own, as a loop without
 * end lets nothing else run. Time is the processor's: a process that has to wait for its turn does not hang.
 */
import { Worker } from 'node:worker_threads';

/** No input may take longer. */
const INPUT_MS_MAX = 20_000;
const LOOK_MS = 1000;
const INPUT_OCTETS_MAX = 1 << 20;
/** Words in front of the input: how many inputs there were, and the length of this one. */
const HEAD_WORDS = 2;

const WORKER = `
const { workerData: { shared, rows } } = require('node:worker_threads');
const head = new Int32Array(shared, 0, ${HEAD_WORDS});
let last = -1;
let since = 0;
setInterval(() => {
	const count = Atomics.load(head, 0);
	const { user, system } = process.cpuUsage();
	const now = (user + system) / 1000;
	if (count !== last) {
		last = count;
		since = now;
	} else if (now - since > ${INPUT_MS_MAX}) {
		const input = Buffer.from(new Uint8Array(shared, ${4 * HEAD_WORDS}, Atomics.load(head, 1)));
		const { appendFileSync, mkdirSync, writeSync } = require('node:fs');
		writeSync(1, 'input ' + count + ' hangs: ' + input.toString('hex') + '\\n');
		mkdirSync(require('node:path').dirname(rows), { recursive: true });
		appendFileSync(rows, '# hangs\\n' + input.toString('hex') + '\\n');
		process.kill(process.pid, 'SIGKILL');
	}
}, ${LOOK_MS});
`;

export class Watchdog {
	readonly #shared: SharedArrayBuffer = new SharedArrayBuffer(4 * HEAD_WORDS + INPUT_OCTETS_MAX);
	readonly #head: Int32Array = new Int32Array(this.#shared, 0, HEAD_WORDS);
	readonly #input: Uint8Array = new Uint8Array(this.#shared, 4 * HEAD_WORDS);
	readonly #worker: Worker;

	/** @param rows file that an input which hangs is added to */
	constructor(rows: string) {
		this.#worker = new Worker(WORKER, {
			eval: true,
			execArgv: [],
			workerData: { shared: this.#shared, rows },
		});
	}

	/** Notes the input that is about to be given in. */
	watch(input: Uint8Array): void {
		this.#input.set(input.subarray(0, INPUT_OCTETS_MAX));
		Atomics.store(this.#head, 1, Math.min(input.length, INPUT_OCTETS_MAX));
		Atomics.add(this.#head, 0, 1);
	}

	async stop(): Promise<void> {
		await this.#worker.terminate();
	}
}
