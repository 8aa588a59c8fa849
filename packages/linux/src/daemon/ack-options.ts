/**
 * What a program wants to be told of a refusal, which it has told the kernel's end of its socket: NETLINK_EXT_ACK and
 * NETLINK_CAP_ACK (net/netlink/af_netlink.c: netlink_ack). The server writes refusals with all that there is to say;
 * here they become what the socket has asked for.
 *
 *     header 16 | errno 4 | the request, or its header alone (NLM_F_CAPPED) | attributes (NLM_F_ACK_TLVS)
 */
import { ControlType, MessageFlag, viewOf } from '@xfrm/netlink';
import { Level } from '../native/abi.ts';
import type { Native } from '../native/seam.ts';
import { NetlinkOption } from '../socket-abi.ts';

export interface AckOptions {
	readonly extAck: boolean;
	readonly capAck: boolean;
}

const HEADER_OCTETS = 16;
const ERRNO_END = 20;
const CAPPED_END = ERRNO_END + HEADER_OCTETS;

/** Does it depend on the options what this datagram is? One of several messages does not. */
export function dependsOnOptions(datagram: Uint8Array): boolean {
	if (datagram.length < ERRNO_END) {
		return false;
	}
	const view = viewOf(datagram);
	const type = view.getUint16(4, true);
	const isAlone = view.getUint32(0, true) >= datagram.length - 3;
	const tells = (view.getUint16(6, true) & MessageFlag.AckAttributes) !== 0;
	const refuses = view.getInt32(HEADER_OCTETS, true) !== 0;
	return (
		isAlone && (type === ControlType.Error ? tells || refuses : type === ControlType.Done && tells)
	);
}

/** A datagram that depends on them as a socket with these options is sent it. */
export function fitted(datagram: Uint8Array, { extAck, capAck }: AckOptions): Uint8Array {
	const view = viewOf(datagram);
	const flags = view.getUint16(6, true);
	const isError = view.getUint16(4, true) === ControlType.Error;
	const isCapped = (flags & MessageFlag.Capped) !== 0;
	const quoted = isCapped
		? HEADER_OCTETS
		: Math.min(view.getUint32(ERRNO_END, true), datagram.length);
	const end = isError ? ERRNO_END + ((quoted + 3) & ~3) : ERRNO_END;
	const head = datagram.subarray(0, isError && capAck ? CAPPED_END : end);
	const told = datagram.subarray(extAck ? end : datagram.length);
	const bytes = new Uint8Array(head.length + told.length);
	bytes.set(head);
	bytes.set(told, head.length);
	const without = extAck ? 0 : MessageFlag.AckAttributes;
	const more = isError && capAck ? MessageFlag.Capped : 0;
	viewOf(bytes).setUint32(0, bytes.length, true);
	viewOf(bytes).setUint16(6, (flags & ~without) | more, true);
	return bytes;
}

/** The options of a socket. */
export function ackOptionsOf(native: Pick<Native, 'getOption'>, fd: number): AckOptions {
	const isOn = (name: number): boolean => {
		const value = new Uint8Array(4);
		return (
			native.getOption(fd, Level.Netlink, name, value) >= 0 && value.some((octet) => octet !== 0)
		);
	};
	return { extAck: isOn(NetlinkOption.ExtAck), capAck: isOn(NetlinkOption.CapAck) };
}
