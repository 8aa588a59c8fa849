/** The running kernel as the transport of a client. */
import type { NetlinkTransport } from '@xfrm/netlink';
import { KernelSocket, type KernelSocketOptions } from './kernel-socket.ts';
import { adviceFor } from './requirement.ts';

/** Opens NETLINK_XFRM sockets in the network namespace of the process. */
export function linuxTransport(options: KernelSocketOptions = {}): NetlinkTransport {
	return {
		open: () => new KernelSocket(options),
		after(milliseconds, fire) {
			const timer = setTimeout(fire, milliseconds);
			return () => clearTimeout(timer);
		},
		explain: adviceFor,
	};
}
