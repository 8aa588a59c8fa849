/**
 * Is there a daemon in this network namespace? Asked as the shim asks: a message that needs no right and
 * is answered by the daemon only. A port id that a keeper holds while the daemon is away does not answer.
 */
import { randomInt } from 'node:crypto';
import { viewOf } from '@xfrm/netlink';
import { Errno } from '@xfrm/wire/xfrm';
import { senderCredentials } from '../daemon/credentials.ts';
import { DAEMON_PORT } from '../daemon/marks.ts';
import { intValue, Level, SocketOption } from '../native/abi.ts';
import { PollSet } from '../native/poll-set.ts';
import type { Native } from '../native/seam.ts';
import { emptyMessage } from '../rtnetlink/rtnetlink-socket.ts';
import {
	AF_NETLINK,
	NETLINK_USERSOCK,
	SOCKET_TYPE,
	sockaddrNl,
	sockaddrNlPid,
} from '../socket-abi.ts';

/** NLMSG_NOOP that wants an acknowledgement. */
function hello(): Uint8Array {
	const bytes = new Uint8Array(16);
	const view = viewOf(bytes);
	view.setUint32(0, 16, true);
	view.setUint16(4, 1, true);
	view.setUint16(6, 5, true);
	return bytes;
}

function becomesReadable(native: Native, fd: number, waitMs: number): boolean {
	const set = new PollSet(native, 1);
	set.add(fd, () => {});
	const count = set.wait(waitMs);
	set.close();
	return count > 0;
}

/** Waits at most so long for one answer. */
export function daemonAnswers(native: Native, waitMs: number): boolean {
	const fd = native.socket(AF_NETLINK, SOCKET_TYPE, NETLINK_USERSOCK);
	if (fd < 0) {
		return false;
	}
	native.setOption(fd, Level.Socket, SocketOption.PassCredentials, intValue(1));
	// Not the port id of this process, by which the daemon would know the program that it becomes.
	native.bind(fd, sockaddrNl(randomInt(0x8000_0000, 0xffff_ffff)));
	try {
		// A full queue is tried again at once: who waits finds that those who flood it have been quicker.
		const until = performance.now() + waitMs;
		let sent = native.send(fd, hello(), sockaddrNl(DAEMON_PORT));
		while (sent === -Errno.EAGAIN && performance.now() < until) {
			sent = native.send(fd, hello(), sockaddrNl(DAEMON_PORT));
		}
		if (sent < 0) {
			return false;
		}
		if (!becomesReadable(native, fd, waitMs)) {
			return false;
		}
		const message = emptyMessage(64);
		const octets = native.receive(fd, new Uint8Array(256), message);
		const isFromPort = octets >= 16 && sockaddrNlPid(message.name) === DAEMON_PORT;
		return isFromPort && senderCredentials(message)?.uid === 0;
	} finally {
		native.close(fd);
	}
}

/** Waits up to so many milliseconds until a daemon answers. */
export async function waitForDaemon(native: Native, waitMs: number): Promise<boolean> {
	const until = performance.now() + waitMs;
	for (;;) {
		const left = until - performance.now();
		if (daemonAnswers(native, Math.max(0, Math.min(left, 1000)))) {
			return true;
		}
		if (left <= 0) {
			return false;
		}
		await new Promise((resolve) => setTimeout(resolve, 20));
	}
}
