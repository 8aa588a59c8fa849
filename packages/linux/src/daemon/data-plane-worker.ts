/** The worker thread of the daemon: starts the data plane, runs it, and says what became of it. */
import { rmSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { chooseProvider } from '../native/providers.ts';
import { DataPlane } from './data-plane.ts';
import { GuardError } from './guard.ts';
import { hasJournal } from './journal.ts';
import { StartError } from './start-error.ts';
import { Command, type WorkerMessage, type WorkerOptions } from './worker-protocol.ts';

const { controlFd, wakeFd, command, folder, interfaces, noGuard, provider } =
	workerData as WorkerOptions;

function tell(message: WorkerMessage): void {
	parentPort?.postMessage(message);
}

function start(): DataPlane | undefined {
	const isNew = !hasJournal(folder);
	try {
		const { native, crypto } = chooseProvider(provider);
		return new DataPlane({
			native,
			crypto,
			controlFd,
			wakeFd,
			folder,
			interfaces,
			noGuard,
			onWake: () => Atomics.load(command, 0) === Command.Stop,
			log: (level, text) => tell({ kind: 'log', level, text }),
		});
	} catch (error) {
		if (error instanceof StartError || error instanceof GuardError) {
			if (isNew) {
				rmSync(folder, { recursive: true, force: true });
			}
			tell({ kind: 'refused', text: error.message });
			return undefined;
		}
		throw error;
	}
}

const plane: DataPlane | undefined = start();
if (plane !== undefined) {
	tell({ kind: 'ready' });
	plane.run();
	tell({ kind: 'stopped', guarded: plane.close() });
}
