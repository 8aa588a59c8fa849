/**
 * Who may talk to the daemon (spec N-5): uid 0 or CAP_NET_ADMIN, in the user namespace that the daemon is
 * in. The kernel says with every datagram who sent it (SCM_CREDENTIALS); the rest stands in /proc.
 *
 *     struct ucred     pid s32 | uid u32 | gid u32
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { viewOf } from '@xfrm/netlink';
import { Level, SCM_CREDENTIALS } from '../native/abi.ts';
import type { ReceivedMessage } from '../native/seam.ts';
import { hasNetAdminIn } from '../requirement.ts';

const CMSG_HEADER_OCTETS = 16;
const UCRED_OCTETS = 12;

export interface Credentials {
	readonly pid: number;
	readonly uid: number;
}

/** The sender's credentials among a message's control messages; undefined when there are none. */
export function senderCredentials(message: ReceivedMessage): Credentials | undefined {
	const view = viewOf(message.control);
	const end = Math.min(message.controlOctets, message.control.length);
	for (let at = 0; at + CMSG_HEADER_OCTETS + UCRED_OCTETS <= end; ) {
		const octets = view.getUint32(at, true);
		const level = view.getInt32(at + 8, true);
		const type = view.getInt32(at + 12, true);
		if (level === Level.Socket && type === SCM_CREDENTIALS) {
			const from = at + CMSG_HEADER_OCTETS;
			return { pid: view.getInt32(from, true), uid: view.getUint32(from + 4, true) };
		}
		if (octets < CMSG_HEADER_OCTETS) {
			return undefined;
		}
		at += (octets + 7) & ~7;
	}
	return undefined;
}

/** May this program configure XFRM? A program that has gone may not. */
export function mayConfigure({ pid, uid }: Credentials): boolean {
	try {
		const own = readlinkSync('/proc/self/ns/user');
		if (readlinkSync(`/proc/${pid}/ns/user`) !== own) {
			return false;
		}
		return uid === 0 || hasNetAdminIn(readFileSync(`/proc/${pid}/status`, 'latin1'));
	} catch {
		return false;
	}
}
