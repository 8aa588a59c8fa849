/** What is said, and what is done about it, when a daemon that is being watched is not there for a while. */
import { NetlinkError, TransportError } from '@xfrm/netlink';
import { Errno } from '@xfrm/wire/xfrm';

/** Why the daemon is out of reach, as a sentence; undefined for any other failure. */
export function outageText(error: unknown): string | undefined {
	if (error instanceof NetlinkError) {
		return error.errno === Errno.ECONNREFUSED ? (error.detail ?? error.message) : undefined;
	}
	// EPERM is an answer.
	return error instanceof TransportError && error.errno !== Errno.EPERM ? error.message : undefined;
}
