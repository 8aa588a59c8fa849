/**
 * A network namespace of its own for a test that speaks with the running kernel: the process leaves the
 * one it was started in, so nothing that it does is seen outside, and it begins with empty tables.
 */
import { createRequire } from 'node:module';
import { adviceFor, KernelSocket } from '@xfrm/linux';
import { TransportError } from '@xfrm/netlink';
import { Errno } from '@xfrm/wire/xfrm';

const CLONE_NEWNET = 0x4000_0000;

interface Koffi {
	load(path: null): { func(prototype: string): (argument: number) => number };
	errno(): number;
}

let setUser: ((uid: number) => number) | undefined;

/** Changes the effective user of this process. Node's own function refuses to where io_uring could be in use. */
export function setEffectiveUser(uid: number): void {
	setUser ??= (createRequire(import.meta.url)('koffi') as Koffi)
		.load(null)
		.func('int seteuid(uint32_t uid)');
	setUser(uid);
}

/**
 * Enters a new network namespace: sockets opened from now on are in it.
 *
 * @returns why it cannot be had, to skip the test with; undefined when it is there
 */
export function enterNamespace(): string | undefined {
	if (process.platform !== 'linux') {
		return 'needs Linux';
	}
	const koffi = createRequire(import.meta.url)('koffi') as Koffi;
	// Only the main thread moves, and it is the one that opens sockets.
	const unshare = koffi.load(null).func('int unshare(int flags)');
	if (unshare(CLONE_NEWNET) !== 0) {
		const errno = koffi.errno();
		return errno === Errno.EPERM
			? 'needs root, to have a network namespace of its own'
			: `unshare(CLONE_NEWNET) failed: errno ${errno}`;
	}
	try {
		new KernelSocket().close();
	} catch (error) {
		if (error instanceof TransportError && error.errno !== Errno.ENOSYS) {
			return `${error.message}: ${adviceFor(error.errno) ?? ''}`;
		}
		throw error;
	}
	return undefined;
}
