/**
 * The daemon in the place of the kernel, as the transport of a client: the same messages, to another port
 * of another protocol. Nothing is sent before the port has answered with root's credentials.
 */
import { readFileSync } from 'node:fs';
import { type NetlinkTransport, TransportError } from '@xfrm/netlink';
import { Errno } from '@xfrm/wire/xfrm';
import { DAEMON_PORT } from './daemon/marks.ts';
import { netlinkSockets } from './daemon/socket-list.ts';
import { daemonAnswers } from './exec/daemon-probe.ts';
import { KernelSocket, type KernelSocketOptions } from './kernel-socket.ts';
import { linuxTransport } from './linux-transport.ts';
import { ffiNative } from './native/ffi.ts';
import { NETLINK_USERSOCK } from './socket-abi.ts';

/** How long a daemon may take to answer: as long as the shim waits. */
const ANSWER_MS_MAX = 5000;

/** Is the port id of a daemon taken in this network namespace? Loads nothing. */
export function hasDaemon(): boolean {
	try {
		const text = readFileSync('/proc/net/netlink', 'latin1');
		return netlinkSockets(text, NETLINK_USERSOCK).some(({ portId }) => portId === DAEMON_PORT);
	} catch {
		return false;
	}
}

/** Opens sockets to the daemon of this network namespace; TransportError when it does not answer. */
export function daemonTransport(options: KernelSocketOptions = {}): NetlinkTransport {
	return {
		...linuxTransport(options),
		open: () => {
			if (!hasDaemon()) {
				throw new TransportError(
					Errno.ECONNREFUSED,
					'no xfrm daemon runs in this network namespace: start it with "xfrm daemon"',
				);
			}
			if (!daemonAnswers(ffiNative(), ANSWER_MS_MAX)) {
				throw new TransportError(
					Errno.ECONNREFUSED,
					'the xfrm daemon of this network namespace does not answer: it has died, or hangs',
				);
			}
			return new KernelSocket({ ...options, daemonPort: DAEMON_PORT });
		},
	};
}

/** The daemon of this network namespace if one is there, else the kernel. */
export function defaultTransport(options: KernelSocketOptions = {}): NetlinkTransport {
	return hasDaemon() ? daemonTransport(options) : linuxTransport(options);
}
