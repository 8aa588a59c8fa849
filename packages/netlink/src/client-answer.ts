/** Reading the messages that came back: each has to be what the request asks for, or it is EPROTO. */
import { Errno } from '@xfrm/wire/xfrm';
import type { RawMessage } from './message.ts';
import { NetlinkError } from './netlink-error.ts';
import { decodeMessage, type MessageName, type NamedMessage } from './xfrm/messages.ts';

/** The message of this name. @throws NetlinkError EPROTO when it is another, or cut short */
function readAs<N extends MessageName>(
	operation: string,
	raw: RawMessage,
	name: N,
): NamedMessage<N> {
	const message = decodeMessage(raw);
	if (message?.name !== name) {
		const came = message?.name ?? `a message of type ${raw.type} and ${raw.bytes.length} octets`;
		const detail = `expected ${name}, got ${came}`;
		throw new NetlinkError({ operation, errno: Errno.EPROTO, detail });
	}
	// Its name was compared.
	return message as unknown as NamedMessage<N>;
}

/** The one message of an answer. @throws NetlinkError EPROTO */
export function onlyAnswer<N extends MessageName>(
	operation: string,
	answers: readonly RawMessage[],
	name: N,
): NamedMessage<N> {
	const [answer, second] = answers;
	if (answer === undefined || second !== undefined) {
		const detail = `expected one answer, got ${answers.length}`;
		throw new NetlinkError({ operation, errno: Errno.EPROTO, detail });
	}
	return readAs(operation, answer, name);
}

/** The members of a dump. @throws NetlinkError EPROTO */
export function membersOf<N extends MessageName>(
	operation: string,
	members: readonly RawMessage[],
	name: N,
): NamedMessage<N>[] {
	return members.map((raw) => readAs(operation, raw, name));
}

/** The promise's value, or undefined when it was refused with this error number. */
export async function unlessErrno<T>(errno: number, promise: Promise<T>): Promise<T | undefined> {
	try {
		return await promise;
	} catch (error) {
		if (error instanceof NetlinkError && error.errno === errno) {
			return undefined;
		}
		throw error;
	}
}
