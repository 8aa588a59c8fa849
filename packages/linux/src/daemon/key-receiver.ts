/**
 * To whom keys are told. An answer goes to a port id, not to who has asked: a program that ends while it waits for
 * one, `ip xfrm state | head` amid its dump, leaves the port id to whoever binds it next, and that needs no right.
 *
 * So before keys are sent the daemon holds the asker's socket itself, by a copy of its descriptor (pidfd_getfd(2)):
 * as long as it does, the port id stays that socket's. The copy is one of a process that has the right.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { ControlType, MessageType, viewOf } from '@xfrm/netlink';
import { Errno } from '@xfrm/wire/xfrm';
import type { Native } from '../native/seam.ts';
import { NETLINK_USERSOCK } from '../socket-abi.ts';
import { type Credentials, mayConfigure } from './credentials.ts';
import { type Holder, realUser, socketHolders, visibleProcesses } from './process-descriptors.ts';
import { netlinkSockets } from './socket-list.ts';

const HEADER_OCTETS = 16;
/** Of an error: header, number, and the header of what was asked, whose type is here; more is what was asked. */
const ERROR_OCTETS = 36;
const QUOTED_TYPE_AT = 24;

/** Messages that have no keys in them. */
const KEYLESS: ReadonlySet<number> = new Set([
	ControlType.Error,
	ControlType.Done,
	MessageType.NewPolicy,
	MessageType.NewSadInfo,
	MessageType.NewSpdInfo,
	MessageType.NewAe,
	MessageType.GetDefault,
]);

/** May keys be in this datagram? A refusal tells what was asked, keys included. */
export function mayTellKeys(datagram: Uint8Array): boolean {
	const view = viewOf(datagram);
	for (let at = 0; at + HEADER_OCTETS <= datagram.length; ) {
		const octets = view.getUint32(at, true);
		const type = view.getUint16(at + 4, true);
		const isRefusal = type === ControlType.Error && octets > ERROR_OCTETS;
		const told = isRefusal && at + ERROR_OCTETS <= datagram.length;
		if (told ? isState(view.getUint16(at + QUOTED_TYPE_AT, true)) : !KEYLESS.has(type)) {
			return true;
		}
		at += Math.max(HEADER_OCTETS, (octets + 3) & ~3);
	}
	return false;
}

function isState(type: number): boolean {
	return type === MessageType.NewSa || type === MessageType.UpdSa;
}

/** A client's socket, and the process that has it. */
export interface KeyReceiver {
	/** Of the process: another that is given its number is not it. Ours to close. */
	readonly pidfd: number;
	readonly holder: Holder;
	readonly inode: number;
}

/** Finds out to whom a port id belongs that somebody has asked by; undefined when it is not theirs any more. */
export function findReceiver(
	native: Pick<Native, 'pidfdOpen'>,
	portId: number,
	asker: Credentials,
): KeyReceiver | undefined {
	const rows = netlinkSockets(readFileSync('/proc/net/netlink', 'latin1'), NETLINK_USERSOCK);
	const inode = rows.find((row) => row.portId === portId)?.inode;
	const holder = inode === undefined ? undefined : rightfulHolder(inode, asker);
	const pidfd = holder === undefined ? -1 : native.pidfdOpen(holder.pid);
	return inode === undefined || holder === undefined || pidfd < 0
		? undefined
		: { pidfd, holder, inode };
}

/**
 * A copy of a receiver's socket, ours to close; undefined when it has none any more. Negative where the kernel lets
 * nobody have a copy: then a look has to do.
 */
export function holdSocket(
	native: Pick<Native, 'pidfdGetfd' | 'close'>,
	receiver: KeyReceiver,
): number | undefined {
	const { pidfd, holder, inode } = receiver;
	const fd = native.pidfdGetfd(pidfd, holder.fd);
	if (fd === -Errno.EPERM || fd === -Errno.ENOSYS) {
		return linkOf(String(holder.pid), holder.fd) === linkTo(inode) ? fd : undefined;
	}
	// What was closed may be another by now.
	if (fd >= 0 && linkOf('self', fd) !== linkTo(inode)) {
		native.close(fd);
		return undefined;
	}
	return fd < 0 ? undefined : fd;
}

/** Who has asked, or somebody for whom it was asked: a supervisor without CAP_SYS_ADMIN names itself. */
function rightfulHolder(inode: number, asker: Credentials): Holder | undefined {
	const [own] = socketHolders(inode, [String(asker.pid)]);
	if (own !== undefined) {
		return mayConfigure(asker) ? own : undefined;
	}
	return socketHolders(inode, visibleProcesses()).find(({ pid }) => {
		const uid = realUser(pid);
		return uid !== undefined && mayConfigure({ pid, uid });
	});
}

function linkTo(inode: number): string {
	return `socket:[${inode}]`;
}

function linkOf(process: string, fd: number): string {
	try {
		return readlinkSync(`/proc/${process}/fd/${fd}`);
	} catch {
		return '';
	}
}
