/** A request that Linux would refuse: thrown by the handlers, caught once, in server.ts. */
import type { ExtendedAck } from '@xfrm/netlink';
import { Errno, type Refusal } from '@xfrm/wire/xfrm';

export class XfrmError extends Error {
	/** Positive. */
	readonly errno: Errno;
	/** What the extended acknowledgement tells. */
	readonly extended: ExtendedAck;

	/** `message` is the sentence for people; `where` the attribute that is to blame. */
	constructor(errno: Errno, message?: string, where: ExtendedAck = {}) {
		super(message ?? `errno ${errno}`);
		this.name = 'XfrmError';
		this.errno = errno;
		this.extended = message === undefined ? where : { message, ...where };
	}
}

/** Refuses with EINVAL, a sentence, and the attribute that is to blame. */
export function invalid(message?: string, where?: ExtendedAck): never {
	throw new XfrmError(Errno.EINVAL, message, where);
}

/** Refuses as the engine did. */
export function refused(refusal: Refusal): never {
	throw new XfrmError(refusal.errno, refusal.message);
}
