/** Tells service managers that the daemon is ready: sd_notify(3), and a descriptor to write to. */
import { writeSync } from 'node:fs';
import { ffiNative } from '../native/ffi.ts';

const AF_UNIX = 1;
/** `SOCK_DGRAM | SOCK_CLOEXEC`. */
const DATAGRAM = 2 | 0o2000000;
/** Longest path of a socket, and octets of `struct sockaddr_un`'s family. */
const PATH_OCTETS_MAX = 108;

/**
 * Tells the service manager that NOTIFY_SOCKET names, if any, and writes a line to a descriptor.
 *
 * @param socketPath a path, or, behind `@`, an abstract name
 */
export function notifyReady(socketPath: string | undefined, readyFd: number | undefined): void {
	const line = `ready pid=${process.pid}\n`;
	if (readyFd !== undefined) {
		writeSync(readyFd, line);
	}
	if (socketPath === undefined || socketPath.length >= PATH_OCTETS_MAX) {
		return;
	}
	const native = ffiNative();
	const fd = native.socket(AF_UNIX, DATAGRAM, 0);
	const path = new TextEncoder().encode(socketPath.replace(/^@/, '\0'));
	const address = new Uint8Array(2 + path.length);
	address[0] = AF_UNIX;
	address.set(path, 2);
	const text = `READY=1\nMAINPID=${process.pid}`;
	native.send(fd, new TextEncoder().encode(text), address);
	native.close(fd);
}
