/**
 * The seam between what is TypeScript and what is the operating system: all that the daemon and `exec`
 * want of Linux, in one interface. A provider is the addon (addon.ts) or an FFI (ffi.ts); both are judged by
 * the same tests (native.test.ts) and give the same octets.
 *
 * - Calls are synchronous and answer what the system call does, or a **negative errno**: nothing throws,
 *   nothing is kept in a variable of its own. Octets are typed arrays of the caller's, untouched after the
 *   call has returned.
 * - The first part is for the control plane: a call there may cost a microsecond. The last part carries
 *   packets, many a call, as columns over one slab whose memory never moves (packet-batch.ts).
 * - A provider decides nothing: no retry, no default, no log line.
 */
import type { OctetMoves } from './octet-moves.ts';
import type { PacketBatch } from './packet-batch.ts';

/** What recvmsg(2) brought, besides the octets. */
export interface ReceivedMessage {
	/** Socket address of the sender, `nameOctets` of it valid. */
	readonly name: Uint8Array;
	nameOctets: number;
	/** Control messages, `controlOctets` of them valid. */
	readonly control: Uint8Array;
	controlOctets: number;
	/** `MSG_TRUNC` and its like. */
	flags: number;
}

/**
 * What a packet descriptor is: a TUN device is read and written, sockets have addresses too, and what is sent
 * by a `datagram` socket has its source address, traffic class, hop limit and segments from the columns. Marks other
 * than 0 stand in place of a socket's.
 */
export type PortKind = 'tun' | 'socket' | 'datagram';

export interface Native {
	/** Of the provider, for the log. */
	readonly name: string;

	open(path: string, flags: number): number;
	close(fd: number): number;
	read(fd: number, bytes: Uint8Array): number;
	write(fd: number, bytes: Uint8Array): number;
	ioctl(fd: number, request: number, argument: Uint8Array): number;
	/** An ioctl(2) whose argument is a number. */
	ioctlValue(fd: number, request: number, value: number): number;

	socket(domain: number, type: number, protocol: number): number;
	bind(fd: number, address: Uint8Array): number;
	/** Writes the socket's own address; answers its octets. */
	socketName(fd: number, address: Uint8Array): number;
	setOption(fd: number, level: number, name: number, value: Uint8Array): number;
	/** Answers how many octets of `value` are valid. */
	getOption(fd: number, level: number, name: number, value: Uint8Array): number;
	/** Classic BPF that chooses among the sockets of a port: instructions of eight octets. */
	attachReusePortFilter(fd: number, instructions: Uint8Array): number;
	/** To an address, or null for a connected socket; never blocks, raises no SIGPIPE. */
	send(fd: number, bytes: Uint8Array, address: Uint8Array | null): number;
	/** One datagram; never blocks. */
	receive(fd: number, bytes: Uint8Array, message: ReceivedMessage): number;

	/**
	 * The first octets of a file as memory, in which what is written is the file's at once, whatever becomes of the
	 * process (mmap(2), shared); or a negative errno. It may last as long as the process: not for every day.
	 */
	mapFile(fd: number, octets: number): ArrayBuffer | number;

	/** A descriptor that counts: written by any thread, it wakes one that polls. */
	eventfd(): number;
	pidfdOpen(pid: number): number;
	/** A copy of another process's descriptor. */
	pidfdGetfd(pidfd: number, fd: number): number;
	prctl(option: number, value: number): number;
	/** With false another program that this process becomes has the descriptor too. */
	setCloseOnExec(fd: number, close: boolean): number;
	/** Sets these signals to be ignored and all others to their defaults, and blocks none. */
	setSignals(ignored: readonly number[]): number;
	/** Limits of open files, Infinity for none. */
	setOpenFilesLimit(soft: number, hard: number): number;
	/** Becomes another program; comes back only with an error. */
	execve(path: string, args: readonly string[], environment: readonly string[]): number;

	/** A descriptor of epoll(7). */
	epollCreate(): number;
	/** Has it wait for something to read from `fd`, whose events bear the number; no longer with -1. */
	epollControl(epoll: number, fd: number, number: number): number;
	/** Waits until something is ready, at most so many milliseconds (-1: for ever), and writes `EPOLL_EVENT`s. */
	epollWait(epoll: number, events: Uint8Array, timeoutMs: number): number;

	/** Lets others run on this processor who want to (sched_yield(2)). */
	yieldProcessor(): number;

	/**
	 * Receives packets into the rows of the batch from row 0 on, as many as are there and have room, but no more
	 * behind the one with which RECEIVE_OCTETS (limits.ts) have come, or the few of its system call. Each row's
	 * `at` and `room` are the caller's; `octets` and, for sockets, peer, local address, interface, traffic
	 * class, hop limit and mark are filled in. Answers the number of rows; 0 when nothing is there.
	 */
	receivePackets(fd: number, kind: PortKind, batch: PacketBatch): number;
	/**
	 * Sends the rows of the batch up to `count`, each to its peer; rows that are `joined` in one message with
	 * those before them. A row's `status` is 0 or a negative errno, a message's for all of its rows: one that fails
	 * does not stop those behind it.
	 */
	sendPackets(fd: number, kind: PortKind, batch: PacketBatch): void;
	/** Memory for a slab, at least so long, in which `moveOctets` is as fast as it can be. */
	packetMemory(octets: number): ArrayBuffer;
	/** Copies and sums octets of a slab, as the rows up to `count` say. */
	moveOctets(moves: OctetMoves): void;
}
