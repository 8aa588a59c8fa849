/** What a handler works with: the request, whom it came from, and where answers and notifications go. */
import type { EngineDoor } from '@xfrm/engine';
import {
	beginMessage,
	type MessageBodies,
	type MessageName,
	type RawMessage,
	writeAttributes,
	type XfrmAttribute,
} from '@xfrm/netlink';
import type { NetlinkClient } from './client.ts';
import type { RequestAttributes } from './request.ts';

/** A message to be sent to the subscribers of a group. */
export interface Notification {
	/** `Group`. */
	readonly group: number;
	/** Makes the message: only called when somebody listens, as most of the time nobody does. */
	message(): Uint8Array;
}

export interface RequestContext {
	readonly engine: EngineDoor;
	readonly client: NetlinkClient;
	readonly request: RawMessage;
	readonly attributes: RequestAttributes;
	/** Microseconds since the Unix epoch. */
	readonly nowUs: number;
	/** Answers the requester: sent before the acknowledgement (N-10). */
	reply(message: Uint8Array): void;
	/** Sends to whoever listens. */
	notify(notification: Notification): void;
}

/** A whole message: payload, then attributes. */
export function buildMessage<N extends MessageName>(
	name: N,
	header: { readonly flags?: number; readonly seq: number; readonly pid: number },
	body: MessageBodies[N],
	attributes: readonly XfrmAttribute[] = [],
): Uint8Array {
	const writer = beginMessage(name, body, { flags: 0, ...header });
	writeAttributes(writer, attributes);
	return writer.finish();
}

/** The header of an answer: the request's sequence number, the requester's port id (N-10). */
export function replyHeader(context: RequestContext): { seq: number; pid: number } {
	return { seq: context.request.seq, pid: context.client.portId };
}

/** The header of a notification: both numbers as the requester wrote them (N-16). */
export function notifyHeader(context: RequestContext): { seq: number; pid: number } {
	return { seq: context.request.seq, pid: context.request.pid };
}
