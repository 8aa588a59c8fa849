/**
 * The daemon gives up the rights that it has no use for, and what the environment would make of Node.
 *
 * Capabilities belong to threads, and Node has started some by now: so the bounding set is made smaller, and
 * the process becomes the same program anew, which then has no more than that in any of its threads.
 */
import { readFileSync } from 'node:fs';
import { close as closeInspector } from 'node:inspector';
import { become } from '../exec/become.ts';
import { ffiNative } from '../native/ffi.ts';

/** `PR_CAPBSET_DROP`. */
const DROP_FROM_BOUNDING_SET = 24;

/** Binding ports below 1024, the network, raw sockets, descriptors of IKE daemons. */
const NEEDED: readonly number[] = [10, 12, 13, 19];
const CAPABILITY_MAX = 63;

/** Numbers of the capabilities in a mask as /proc/PID/status prints it. */
export function capabilities(hex: string): number[] {
	const mask = BigInt(`0x${hex}`);
	const found: number[] = [];
	for (let number = 0; number <= CAPABILITY_MAX; number++) {
		if (((mask >> BigInt(number)) & 1n) === 1n) {
			found.push(number);
		}
	}
	return found;
}

/** Becomes the same program with fewer rights and without NODE_OPTIONS, if it has more than it needs. */
export function shedRights(): void {
	const status = readFileSync('/proc/self/status', 'latin1');
	const bounding = capabilities(/^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0');
	const { NODE_OPTIONS: options, ...environment } = process.env;
	const excess = bounding.filter((number) => !NEEDED.includes(number));
	const native = ffiNative();
	// Where the right to drop rights is missing they stay: a container has few of them anyway.
	const dropped = excess.filter((number) => native.prctl(DROP_FROM_BOUNDING_SET, number) === 0);
	if (dropped.length > 0 || options !== undefined) {
		// Its socket would be given on, with nobody behind it.
		closeInspector();
		const args = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
		become(native, process.execPath, args, environment);
	}
}
