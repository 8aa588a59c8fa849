/** What recvmsg(2) tells beside the octets of a message (cmsg(3)): octets u64 | level i32 | type i32 | value. */
import type { ReceivedMessage } from '../native/seam.ts';
import { int32At } from '../socket-abi.ts';

const CMSG_HEADER_OCTETS = 16;

/** Offset of the value of a control message of at least so many octets in `control`; -1 when there is none. */
export function controlValueAt(
	message: ReceivedMessage,
	level: number,
	type: number,
	octets: number,
): number {
	const { control } = message;
	const end = Math.min(message.controlOctets, control.length);
	for (let at = 0; at + CMSG_HEADER_OCTETS + octets <= end; ) {
		if (int32At(control, at + 8) === level && int32At(control, at + 12) === type) {
			return at + CMSG_HEADER_OCTETS;
		}
		const whole = int32At(control, at) >>> 0;
		if (whole < CMSG_HEADER_OCTETS) {
			return -1;
		}
		at += (whole + 7) & ~7;
	}
	return -1;
}
