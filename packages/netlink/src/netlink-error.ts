/** The one error of the client: what was asked, what the kernel said, where in the request. */
import { errnoName, errnoText } from '@xfrm/wire/xfrm';
import type { ExtendedAck } from './ack.ts';

/** What a `NetlinkError` is made of. */
export interface NetlinkErrorFields {
	readonly operation: string;
	readonly errno: number;
	/** What the ext-ack said, or what the client has to say itself. */
	readonly detail?: string;
	readonly extended?: ExtendedAck;
	/** What a person can do about it. */
	readonly advice?: string;
}

/**
 * Every promise of the client that rejects does so with this. The kernel's refusals carry its error
 * number; the client's own are ETIMEDOUT (no answer in time), ECANCELED (the caller gave up), EINTR (a
 * table changed under each attempt to list it), ENOBUFS (answers were lost), EBADF (closed) and EPROTO
 * (an answer that makes no sense).
 */
export class NetlinkError extends Error {
	/** The method that failed, as one writes it: `states.add`. */
	readonly operation: string;
	/** Positive. */
	readonly errno: number;
	/** Name of `errno`: `EEXIST`. */
	readonly code: string;
	/** The kernel's sentence (NLMSGERR_ATTR_MSG), or the client's own. */
	readonly detail: string | undefined;
	/** Octets from the start of the request to the attribute in question (NLMSGERR_ATTR_OFFS). */
	readonly offset: number | undefined;
	/** Everything the extended acknowledgement told. */
	readonly extended: ExtendedAck;

	constructor(fields: NetlinkErrorFields) {
		const { operation, errno, detail, extended = {}, advice } = fields;
		const sentences = [`${errnoText(errno)} (${errnoName(errno)})`, detail, advice];
		super(`${operation}: ${sentences.filter((text) => text !== undefined).join(': ')}`);
		this.name = 'NetlinkError';
		this.operation = operation;
		this.errno = errno;
		this.code = errnoName(errno);
		this.detail = detail;
		this.offset = extended.offset;
		this.extended = extended;
	}
}
