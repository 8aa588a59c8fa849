/**
 * The few functions of the C library that a netlink socket needs, by koffi, loaded when the first socket
 * is opened: a program that opens none never pays for it.
 *
 * Octets are given to C by the address of their memory. All calls but `poll` are done when they return,
 * and a typed array that is an argument stays referenced until then; `poll` keeps none.
 */
import { TransportError } from '@xfrm/netlink';
import { Errno } from '@xfrm/wire/xfrm';
import { requireKoffi } from './koffi-package.ts';

/** Watches a file descriptor in Node's own event loop (uv_poll_t): no thread, no timer. */
export interface PollHandle {
	/** Calls back, again and again, while there is something to read; an error counts as that. */
	start(options: { readonly readable: true }, callback: () => void): void;
	/** A stopped handle does not keep the process alive. */
	stop(): void;
	/** Before the descriptor is closed. */
	close(): void;
}

/** Signatures as in the manual pages; answers are -1 where they are, and then `errno` is set. */
export interface CLibrary {
	socket(domain: number, type: number, protocol: number): number;
	bind(fd: number, address: Uint8Array, octets: number): number;
	getsockname(fd: number, address: Uint8Array, octets: Uint32Array): number;
	setsockopt(fd: number, level: number, name: number, value: Int32Array, octets: number): number;
	getsockopt(
		fd: number,
		level: number,
		name: number,
		value: Int32Array,
		octets: Uint32Array,
	): number;
	sendto(
		fd: number,
		bytes: Uint8Array,
		octets: number,
		flags: number,
		address: Uint8Array,
		addressOctets: number,
	): number;
	recvfrom(
		fd: number,
		bytes: Uint8Array,
		octets: number,
		flags: number,
		address: Uint8Array,
		addressOctets: Uint32Array,
	): number;
	close(fd: number): number;
	/** Takes the calling thread out of namespaces, into new ones. */
	unshare(flags: number): number;
	/** Puts the calling thread into the namespace that a descriptor stands for. */
	setns(fd: number, flags: number): number;
	/** The effective user of all threads. Node's own refuses where io_uring could be in use, as Debian's does. */
	seteuid(uid: number): number;
	/** 0 when there is no such interface. */
	if_nametoindex(name: string): number;
	/** Writes at most 16 octets; null when there is no such interface. */
	if_indextoname(index: number, name: Uint8Array): unknown;
	/** Of the last call, if it failed. */
	errno(): number;
	poll(fd: number): PollHandle;
}

/** What of koffi is used. Its own declarations leave out the first argument of a poll's callback. */
interface Koffi {
	load(path: null): { func(prototype: string): (...values: unknown[]) => unknown };
	errno(): number;
	readonly node: {
		poll(fd: number, options: { readable: true }, callback: () => void): PollHandle;
	};
}

const PROTOTYPES: Readonly<Record<Exclude<keyof CLibrary, 'errno' | 'poll'>, string>> = {
	socket: 'int socket(int domain, int type, int protocol)',
	bind: 'int bind(int fd, const void *address, uint32_t octets)',
	getsockname: 'int getsockname(int fd, void *address, void *octets)',
	setsockopt: 'int setsockopt(int fd, int level, int name, const void *value, uint32_t octets)',
	getsockopt: 'int getsockopt(int fd, int level, int name, void *value, void *octets)',
	sendto:
		'long sendto(int fd, const void *bytes, size_t octets, int flags, const void *address, uint32_t addressOctets)',
	recvfrom:
		'long recvfrom(int fd, void *bytes, size_t octets, int flags, void *address, void *addressOctets)',
	close: 'int close(int fd)',
	unshare: 'int unshare(int flags)',
	setns: 'int setns(int fd, int flags)',
	seteuid: 'int seteuid(uint32_t uid)',
	if_nametoindex: 'uint32_t if_nametoindex(const char *name)',
	if_indextoname: 'void *if_indextoname(uint32_t index, void *name)',
};

let loaded: CLibrary | undefined;

/**
 * Loads the functions, once.
 *
 * @throws TransportError ENOSYS where there is no Linux that we know the numbers of, or no koffi
 */
export function loadCLibrary(): CLibrary {
	loaded ??= load();
	return loaded;
}

function load(): CLibrary {
	const { platform, arch } = process;
	if (platform !== 'linux' || (arch !== 'x64' && arch !== 'arm64')) {
		const text = `netlink sockets need Linux on x86-64 or arm64; this is ${platform} on ${arch}`;
		throw new TransportError(Errno.ENOSYS, text);
	}
	const koffi = requireKoffi() as Koffi;
	const library = koffi.load(null); // what Node itself is linked to: glibc or musl
	const functions: Record<string, unknown> = {
		errno: () => koffi.errno(),
		poll: (fd: number) => {
			const handle = koffi.node.poll(fd, { readable: true }, () => {});
			handle.stop();
			return handle;
		},
	};
	for (const [name, prototype] of Object.entries(PROTOTYPES)) {
		functions[name] = library.func(prototype);
	}
	// PROTOTYPES has a row for every function of the interface.
	return functions as unknown as CLibrary;
}
