/**
 * A network namespace that nobody else sees, to try requests in before they are made where it matters: the
 * same kernel answers them, and what was tried is gone with the last socket.
 */
import { closeSync, openSync } from 'node:fs';
import { TransportError } from '@xfrm/netlink';
import { type CLibrary, loadCLibrary } from './c-library.ts';
import { KernelSocket } from './kernel-socket.ts';
import { CLONE_NEWNET } from './socket-abi.ts';

const REFUSED =
	'a network namespace to try the rules in could not be made: run it as root, or with "unshare -rn"';

/**
 * Opens a NETLINK_XFRM socket in a new network namespace, which lives as long as the socket does. The
 * calling thread is in its own namespace again when this returns.
 *
 * @throws TransportError EPERM without CAP_SYS_ADMIN
 */
export function openScratchSocket(): KernelSocket {
	const library = loadCLibrary();
	const home = openSync('/proc/thread-self/ns/net', 'r');
	try {
		if (library.unshare(CLONE_NEWNET) !== 0) {
			throw new TransportError(library.errno(), REFUSED);
		}
		try {
			return new KernelSocket();
		} finally {
			goHome(library, home);
		}
	} finally {
		closeSync(home);
	}
}

function goHome(library: CLibrary, home: number): void {
	if (library.setns(home, CLONE_NEWNET) !== 0) {
		const why = 'this thread cannot go back to its own network namespace';
		throw new TransportError(library.errno(), why);
	}
}
