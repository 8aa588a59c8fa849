/**
 * Who may talk to the daemon (spec N-5): who has CAP_NET_ADMIN in the user namespace that the daemon is in. The root
 * of a container that was denied it may not, as with the kernel. The kernel says with every datagram who sent it
 * (SCM_CREDENTIALS); the rest stands in /proc.
 *
 * What stands there is what the sender is by now. A program without rights could send, and then become one
 * that has more (su, ping): so what another user's program has gained by its start does not count, be it by
 * its file's owner (users differ) or by its file's capabilities (AT_SECURE). Rights that it was given do.
 *
 *     struct ucred     pid s32 | uid u32 | gid u32
 *     auxiliary vector: type u64 | value u64, to the end
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { viewOf } from '@xfrm/netlink';
import { Level, SCM_CREDENTIALS } from '../native/abi.ts';
import type { ReceivedMessage } from '../native/seam.ts';
import { hasNetAdminIn } from '../requirement.ts';
import { int32At } from '../socket-abi.ts';
import { controlValueAt } from './control-message.ts';

const UCRED_OCTETS = 12;

export interface Credentials {
	readonly pid: number;
	readonly uid: number;
}

/** The sender's credentials among a message's control messages; undefined when there are none. */
export function senderCredentials(message: ReceivedMessage): Credentials | undefined {
	const at = controlValueAt(message, Level.Socket, SCM_CREDENTIALS, UCRED_OCTETS);
	if (at < 0) {
		return undefined;
	}
	const { control } = message;
	return { pid: int32At(control, at), uid: int32At(control, at + 4) >>> 0 };
}

/** `AT_SECURE`: the program was started with more rights than who started it. */
const AT_SECURE = 23n;

function startedWithMoreRights(auxv: Uint8Array): boolean {
	const view = viewOf(auxv);
	for (let at = 0; at + 16 <= auxv.length; at += 16) {
		if (view.getBigUint64(at, true) === AT_SECURE) {
			return view.getBigUint64(at + 8, true) !== 0n;
		}
	}
	return true;
}

/**
 * Has a sender the right, by the texts of /proc/PID/status and /proc/PID/auxv?
 *
 * @param uid its real user when it sent, as the kernel says
 */
export function hasRight(uid: number, status: string, auxv: Uint8Array): boolean {
	if (uid === 0 || !hasNetAdminIn(status)) {
		return hasNetAdminIn(status);
	}
	const users = /^Uid:\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)$/m.exec(status)?.slice(1).map(Number) ?? [];
	const isSameUser = users.length === 4 && users.every((user) => user === uid);
	return isSameUser && !startedWithMoreRights(auxv);
}

/** May this program configure XFRM? A program that has gone may not. */
export function mayConfigure({ pid, uid }: Credentials): boolean {
	try {
		// First what most who have no right fail by: anybody can make us look.
		const status = readFileSync(`/proc/${pid}/status`, 'latin1');
		if (!hasNetAdminIn(status)) {
			return false;
		}
		if (readlinkSync(`/proc/${pid}/ns/user`) !== readlinkSync('/proc/self/ns/user')) {
			return false;
		}
		return hasRight(uid, status, readFileSync(`/proc/${pid}/auxv`));
	} catch {
		return false;
	}
}
