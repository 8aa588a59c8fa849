/**
 * Ends the process when a test takes too much processor time, from a thread of its own: for loops outside of the
 * mutated module, which the switch does not see.
 */
import { Worker } from 'node:worker_threads';

/** No test of the house needs as much. */
const TEST_MS_MAX = 15_000;
const LOOK_MS = 500;

const WORKER = `
const { workerData: { shared } } = require('node:worker_threads');
const count = new Int32Array(shared);
let last = -1;
let since = 0;
setInterval(() => {
	const { user, system } = process.cpuUsage();
	const now = (user + system) / 1000;
	const current = Atomics.load(count, 0);
	if (current !== last) {
		last = current;
		since = now;
	} else if (now - since > ${TEST_MS_MAX}) {
		process.kill(process.pid, 'SIGKILL');
	}
}, ${LOOK_MS});
`;

export class EndlessWatch {
	readonly #count: Int32Array = new Int32Array(new SharedArrayBuffer(4));

	constructor() {
		const worker = new Worker(WORKER, {
			eval: true,
			execArgv: [],
			workerData: { shared: this.#count.buffer },
		});
		worker.unref();
	}

	/** A test begins. */
	next(): void {
		Atomics.add(this.#count, 0, 1);
	}
}
