/** What recvmsg(2) tells beside the octets of a message (cmsg(3)): octets u64 | level i32 | type i32 | value. */
import { viewOf } from '@xfrm/netlink';
import type { ReceivedMessage } from '../native/seam.ts';

const CMSG_HEADER_OCTETS = 16;

/** Offset of the value of a control message of at least so many octets in `control`; -1 when there is none. */
export function controlValueAt(
	message: ReceivedMessage,
	level: number,
	type: number,
	octets: number,
): number {
	const view = viewOf(message.control);
	const end = Math.min(message.controlOctets, message.control.length);
	for (let at = 0; at + CMSG_HEADER_OCTETS + octets <= end; ) {
		if (view.getInt32(at + 8, true) === level && view.getInt32(at + 12, true) === type) {
			return at + CMSG_HEADER_OCTETS;
		}
		const whole = view.getUint32(at, true);
		if (whole < CMSG_HEADER_OCTETS) {
			return -1;
		}
		at += (whole + 7) & ~7;
	}
	return -1;
}
