/**
 * Requests over a netlink socket, each with all that comes back for it: how much that is follows from the
 * request (an acknowledgement, one answer, a dump to its end).
 */
import {
	ControlType,
	MessageFlag,
	MessageType,
	type NetlinkSocket,
	type RawMessage,
	splitMessages,
} from '@xfrm/netlink';

/** Sends a datagram and gives all datagrams that came back for it. Rejects with `TransportError`. */
export async function exchangeOver(
	socket: NetlinkSocket,
	datagram: Uint8Array,
): Promise<readonly Uint8Array[]> {
	const requests = splitMessages(datagram);
	const last = requests[requests.length - 1];
	if (last === undefined) {
		return [];
	}
	// Whatever is neither asked nor acknowledged answers only where it is refused.
	const silent = requests.length > 1 || !isAsked(last);
	socket.send(silent ? acknowledged(datagram, last) : datagram);
	const answers: Uint8Array[] = [];
	for (;;) {
		const { datagrams } = await socket.receive();
		for (const answer of datagrams) {
			answers.push(answer);
			if (splitMessages(answer).some((raw) => ends(raw, last, silent))) {
				return answers;
			}
		}
	}
}

/** Requests that are answered by a message. */
const ASKING: ReadonlySet<number> = new Set([
	MessageType.GetSa,
	MessageType.GetPolicy,
	MessageType.AllocSpi,
	MessageType.GetAe,
	MessageType.GetSadInfo,
	MessageType.GetSpdInfo,
	MessageType.GetDefault,
]);

/** Does a request get an answer or an acknowledgement by itself? */
function isAsked(request: RawMessage): boolean {
	return ASKING.has(request.type) || (request.flags & MessageFlag.Ack) !== 0;
}

/** Asks for an acknowledgement of the last request. */
function acknowledged(datagram: Uint8Array, last: RawMessage): Uint8Array {
	const copy = datagram.slice();
	const at = copy.length - last.bytes.length;
	const view = new DataView(copy.buffer);
	view.setUint16(at + 6, view.getUint16(at + 6, true) | MessageFlag.Ack, true);
	return copy;
}

/** Is this the last message that comes for a request? */
function ends(raw: RawMessage, request: RawMessage, silent: boolean): boolean {
	if (raw.seq !== request.seq) {
		return false;
	}
	if (raw.type === ControlType.Error) {
		return true;
	}
	const isDump = (request.flags & MessageFlag.Dump) === MessageFlag.Dump;
	if (isDump) {
		return raw.type === ControlType.Done;
	}
	return !silent && (request.flags & MessageFlag.Ack) === 0;
}
