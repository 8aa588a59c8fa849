/**
 * The seam over koffi: the C library called by name, with no compiler. A call costs about a tenth of a
 * microsecond, so sockets move packets by recvmmsg(2) and sendmmsg(2); a TUN device has no such call.
 *
 * Memory is given to C by address. A typed array that is an argument stays referenced until the call has
 * returned; structs that outlive a call are kept in `MessageRows`, which the batch's entry here keeps.
 */
import { Errno } from '@xfrm/wire/xfrm';
import { RECEIVE_OCTETS } from '../limits.ts';
import { EPOLL_EVENT, EpollControl, Level, PollEvent, SocketOption } from './abi.ts';
import { MessageRows, setPointer } from './ffi-message.ts';
import { type Koffi, loadKoffi } from './koffi.ts';
import { moveOctets, type OctetMoves } from './octet-moves.ts';
import type { PacketBatch } from './packet-batch.ts';
import type { Native, PortKind, ReceivedMessage } from './seam.ts';
import { SummingMemory } from './summing-memory.ts';

type Call = (...values: readonly unknown[]) => number;

/** Numbers of system calls without a function in every C library; the same on both machines that we know. */
const SyscallNumber = { PidfdOpen: 434, PidfdGetfd: 438 } as const;

/** `MSG_DONTWAIT | MSG_NOSIGNAL`. */
const SEND_FLAGS = 0x4040;
/** `MSG_DONTWAIT`. */
const RECEIVE_FLAGS = 0x40;
/** Rows of one recvmmsg(2): as a message may be many datagrams, a few are much. */
const ROWS_PER_CALL = 4;
/** `EFD_CLOEXEC | EFD_NONBLOCK`. */
const EVENTFD_FLAGS = 0o2004000;
const EPOLL_CLOEXEC = 0o2000000;

/** `PROT_READ | PROT_WRITE`. */
const READ_AND_WRITE = 3;
const MAP_SHARED = 1;
const F_SETFD = 2;
const FD_CLOEXEC = 1;
const SIG_DFL = 0;
const SIG_IGN = 1;
const SIGNAL_MAX = 64;
const SIG_SETMASK = 2;
/** Octets of a C library's sigset_t, which is larger than the kernel's. */
const SIGSET_OCTETS = 128;
const RLIMIT_NOFILE = 7;

const PROTOTYPES = {
	open: 'int open(const char *path, int flags)',
	close: 'int close(int fd)',
	read: 'long read(int fd, void *bytes, size_t octets)',
	readAt: 'long read(int fd, uint64_t bytes, size_t octets)',
	write: 'long write(int fd, const void *bytes, size_t octets)',
	writev: 'long writev(int fd, uint64_t vectors, int count)',
	ioctl: 'int ioctl(int fd, unsigned long request, void *argument)',
	ioctlValue: 'int ioctl(int fd, unsigned long request, unsigned long value)',
	socket: 'int socket(int domain, int type, int protocol)',
	bind: 'int bind(int fd, const void *address, uint32_t octets)',
	getsockname: 'int getsockname(int fd, void *address, void *octets)',
	setsockopt: 'int setsockopt(int fd, int level, int name, const void *value, uint32_t octets)',
	getsockopt: 'int getsockopt(int fd, int level, int name, void *value, void *octets)',
	sendto:
		'long sendto(int fd, const void *bytes, size_t octets, int flags, const void *address, uint32_t addressOctets)',
	recvmsg: 'long recvmsg(int fd, void *message, int flags)',
	mmap: 'intptr_t mmap(void *at, size_t octets, int protection, int flags, int fd, long offset)',
	eventfd: 'int eventfd(unsigned int value, int flags)',
	syscall2: 'long syscall(long number, long a, long b)',
	syscall3: 'long syscall(long number, long a, long b, long c)',
	prctl:
		'int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)',
	fcntl: 'int fcntl(int fd, int command, long value)',
	signal: 'uintptr_t signal(int number, uintptr_t handler)',
	sigprocmask: 'int sigprocmask(int how, const void *set, void *old)',
	setrlimit: 'int setrlimit(int resource, const void *limit)',
	execve: 'int execve(const char *path, const void *arguments, const void *environment)',
	sched_yield: 'int sched_yield()',
	epoll_create1: 'int epoll_create1(int flags)',
	epoll_ctl: 'int epoll_ctl(int epoll, int operation, int fd, void *event)',
	epoll_wait: 'int epoll_wait(int epoll, void *events, int count, int timeout)',
	recvmmsg: 'int recvmmsg(int fd, uint64_t rows, unsigned int count, int flags, void *timeout)',
	sendmmsg: 'int sendmmsg(int fd, uint64_t rows, unsigned int count, int flags)',
} as const;

type Functions = { readonly [name in keyof typeof PROTOTYPES]: Call };

/** Loads the provider. @throws TransportError ENOSYS where koffi or Linux is not there */
export function ffiNative(): Native {
	return new FfiNative(loadKoffi());
}

class FfiNative implements Native {
	readonly name: string = 'ffi';
	readonly #koffi: Koffi;
	readonly #c: Functions;
	readonly #rows: WeakMap<PacketBatch, MessageRows> = new WeakMap();
	readonly #slabs: WeakMap<Uint8Array, number> = new WeakMap();
	readonly #summing: WeakMap<ArrayBufferLike, SummingMemory> = new WeakMap();

	constructor(koffi: Koffi) {
		this.#koffi = koffi;
		const library = koffi.load(null);
		const functions: Record<string, Call> = {};
		for (const [name, prototype] of Object.entries(PROTOTYPES)) {
			functions[name] = library.func(prototype);
		}
		// A row of PROTOTYPES for each.
		this.#c = functions as Functions;
	}

	open(path: string, flags: number): number {
		return this.#answer(this.#c.open(path, flags));
	}
	close(fd: number): number {
		return this.#answer(this.#c.close(fd));
	}
	read(fd: number, bytes: Uint8Array): number {
		return this.#answer(this.#c.read(fd, bytes, bytes.length));
	}
	write(fd: number, bytes: Uint8Array): number {
		return this.#answer(this.#c.write(fd, bytes, bytes.length));
	}
	ioctl(fd: number, request: number, argument: Uint8Array): number {
		return this.#answer(this.#c.ioctl(fd, request, argument));
	}
	ioctlValue(fd: number, request: number, value: number): number {
		return this.#answer(this.#c.ioctlValue(fd, request, value));
	}
	socket(domain: number, type: number, protocol: number): number {
		return this.#answer(this.#c.socket(domain, type, protocol));
	}
	bind(fd: number, address: Uint8Array): number {
		return this.#answer(this.#c.bind(fd, address, address.length));
	}
	socketName(fd: number, address: Uint8Array): number {
		const octets = new Uint32Array([address.length]);
		const done = this.#answer(this.#c.getsockname(fd, address, octets));
		return done < 0 ? done : (octets[0] ?? 0);
	}
	setOption(fd: number, level: number, name: number, value: Uint8Array): number {
		return this.#answer(this.#c.setsockopt(fd, level, name, value, value.length));
	}
	getOption(fd: number, level: number, name: number, value: Uint8Array): number {
		const octets = new Uint32Array([value.length]);
		const done = this.#answer(this.#c.getsockopt(fd, level, name, value, octets));
		return done < 0 ? done : (octets[0] ?? 0);
	}

	attachReusePortFilter(fd: number, instructions: Uint8Array): number {
		// struct sock_fprog: count u16, padding, pointer.
		const program = new Uint8Array(16);
		const view = new DataView(program.buffer);
		view.setUint16(0, instructions.length >> 3, true);
		setPointer(view, 8, this.#addressOf(instructions));
		return this.setOption(fd, Level.Socket, SocketOption.AttachReusePortCbpf, program);
	}

	send(fd: number, bytes: Uint8Array, address: Uint8Array | null): number {
		const octets = address?.length ?? 0;
		return this.#answer(this.#c.sendto(fd, bytes, bytes.length, SEND_FLAGS, address, octets));
	}

	receive(fd: number, bytes: Uint8Array, message: ReceivedMessage): number {
		const header = new Uint8Array(56);
		const vector = new Uint8Array(16);
		const view = new DataView(header.buffer);
		const vectorView = new DataView(vector.buffer);
		setPointer(vectorView, 0, this.#addressOf(bytes));
		setPointer(vectorView, 8, bytes.length);
		setPointer(view, 0, this.#addressOf(message.name));
		view.setUint32(8, message.name.length, true);
		setPointer(view, 16, this.#addressOf(vector));
		setPointer(view, 24, 1);
		setPointer(view, 32, this.#addressOf(message.control));
		setPointer(view, 40, message.control.length);
		const octets = this.#answer(this.#c.recvmsg(fd, header, RECEIVE_FLAGS));
		// The call above has the vector's memory by address only.
		message.nameOctets = vector.length > 0 ? view.getUint32(8, true) : 0;
		message.controlOctets = view.getUint32(40, true);
		message.flags = view.getInt32(48, true);
		return octets;
	}

	mapFile(fd: number, octets: number): ArrayBuffer | number {
		const at = this.#c.mmap(null, octets, READ_AND_WRITE, MAP_SHARED, fd, 0);
		return at < 0 ? this.#answer(-1) : this.#koffi.view(at, octets);
	}

	eventfd(): number {
		return this.#answer(this.#c.eventfd(0, EVENTFD_FLAGS));
	}
	pidfdOpen(pid: number): number {
		return this.#answer(this.#c.syscall2(SyscallNumber.PidfdOpen, pid, 0));
	}
	pidfdGetfd(pidfd: number, fd: number): number {
		return this.#answer(this.#c.syscall3(SyscallNumber.PidfdGetfd, pidfd, fd, 0));
	}
	prctl(option: number, value: number): number {
		return this.#answer(this.#c.prctl(option, value, 0, 0, 0));
	}

	setCloseOnExec(fd: number, close: boolean): number {
		return this.#answer(this.#c.fcntl(fd, F_SETFD, close ? FD_CLOEXEC : 0));
	}
	setSignals(ignored: readonly number[]): number {
		for (let number = 1; number <= SIGNAL_MAX; number++) {
			// SIGKILL, SIGSTOP and the C library's own two are refused.
			this.#c.signal(number, ignored.includes(number) ? SIG_IGN : SIG_DFL);
		}
		return this.#answer(this.#c.sigprocmask(SIG_SETMASK, new Uint8Array(SIGSET_OCTETS), null));
	}
	setOpenFilesLimit(soft: number, hard: number): number {
		const limit = new Uint8Array(16);
		const view = new DataView(limit.buffer);
		for (const [index, value] of [soft, hard].entries()) {
			if (Number.isFinite(value)) {
				setPointer(view, 8 * index, value);
			} else {
				limit.fill(0xff, 8 * index, 8 * index + 8);
			}
		}
		return this.#answer(this.#c.setrlimit(RLIMIT_NOFILE, limit));
	}

	execve(path: string, args: readonly string[], environment: readonly string[]): number {
		const strings = [...args, ...environment].map((text) => Buffer.from(`${text}\0`));
		const addresses = strings.map((bytes) => this.#addressOf(bytes));
		const vector = (from: number, count: number): Uint8Array => {
			const bytes = new Uint8Array(8 * (count + 1));
			const view = new DataView(bytes.buffer);
			for (let i = 0; i < count; i++) {
				setPointer(view, 8 * i, addresses[from + i] ?? 0);
			}
			return bytes;
		};
		const done = this.#answer(
			this.#c.execve(path, vector(0, args.length), vector(args.length, environment.length)),
		);
		// Still here: the strings, known by address only, were needed until now.
		return strings.length >= 0 ? done : 0;
	}

	yieldProcessor(): number {
		return this.#answer(this.#c.sched_yield());
	}

	epollCreate(): number {
		return this.#answer(this.#c.epoll_create1(EPOLL_CLOEXEC));
	}

	epollControl(epoll: number, fd: number, number: number): number {
		const event = new Uint8Array(EPOLL_EVENT.octets);
		const view = new DataView(event.buffer);
		view.setUint32(0, PollEvent.In, true);
		view.setUint32(EPOLL_EVENT.numberAt, number, true);
		const operation = number < 0 ? EpollControl.Delete : EpollControl.Add;
		return this.#answer(this.#c.epoll_ctl(epoll, operation, fd, event));
	}

	epollWait(epoll: number, events: Uint8Array, timeoutMs: number): number {
		const count = events.length / EPOLL_EVENT.octets;
		return this.#answer(this.#c.epoll_wait(epoll, events, count, timeoutMs));
	}

	receivePackets(fd: number, kind: PortKind, batch: PacketBatch): number {
		if (kind === 'tun') {
			return this.#readPackets(fd, batch);
		}
		return this.#receiveDatagrams(fd, batch);
	}

	#receiveDatagrams(fd: number, batch: PacketBatch): number {
		const rows = this.#rowsOf(batch);
		const { recvmmsg } = this.#c;
		let row = 0;
		for (let octets = 0; row < batch.capacity && octets < RECEIVE_OCTETS; ) {
			const asked = Math.min(ROWS_PER_CALL, batch.capacity - row);
			rows.prepareReceive(batch, row, asked);
			const count = this.#answer(recvmmsg(fd, rows.addressOf(row), asked, RECEIVE_FLAGS, null));
			if (count < 0) {
				const empty = count === -Errno.EAGAIN || count === -Errno.EINTR;
				batch.count = row;
				return empty || row > 0 ? row : count;
			}
			octets += rows.finishReceive(batch, row, count);
			row += count;
			if (count < asked) {
				break;
			}
		}
		batch.count = row;
		return row;
	}

	sendPackets(fd: number, kind: PortKind, batch: PacketBatch): void {
		const rows = this.#rowsOf(batch);
		rows.prepareSend(batch, kind);
		const { messages } = rows;
		const { sendmmsg, writev } = this.#c;
		for (let message = 0; message < messages; ) {
			let sent: number;
			if (kind === 'tun') {
				const count = rows.vectorCountOf(message);
				sent = Math.min(1, this.#answer(writev(fd, rows.vectorsOf(message), count)));
			} else {
				const left = messages - message;
				sent = this.#answer(sendmmsg(fd, rows.addressOf(message), left, SEND_FLAGS));
			}
			const status = Math.min(0, sent);
			for (const end = message + Math.max(1, sent); message < end; message++) {
				rows.settle(batch, message, status);
			}
		}
	}

	packetMemory(octets: number): ArrayBuffer {
		try {
			const memory = new SummingMemory(octets);
			this.#summing.set(memory.buffer, memory);
			return memory.buffer;
		} catch {
			return new ArrayBuffer(octets);
		}
	}

	moveOctets(moves: OctetMoves): void {
		moveOctets(moves, this.#summing.get(moves.slab.buffer));
	}

	#readPackets(fd: number, batch: PacketBatch): number {
		const base = this.#slabAddress(batch.slab);
		const { readAt } = this.#c;
		let row = 0;
		for (let sum = 0; row < batch.capacity && sum < RECEIVE_OCTETS; row++) {
			const octets = readAt(fd, base + (batch.at[row] ?? 0), batch.room[row] ?? 0);
			if (octets < 0) {
				const errno = this.#koffi.errno();
				if (errno !== Errno.EAGAIN && errno !== Errno.EINTR && row === 0) {
					batch.count = 0;
					return -errno;
				}
				break;
			}
			sum += octets;
			batch.octets[row] = octets;
			batch.segmentOctets[row] = 0;
		}
		batch.count = row;
		return row;
	}

	#rowsOf(batch: PacketBatch): MessageRows {
		let rows = this.#rows.get(batch);
		if (rows === undefined) {
			rows = new MessageRows(batch, (bytes) => this.#addressOf(bytes));
			this.#rows.set(batch, rows);
		}
		return rows;
	}

	#slabAddress(slab: Uint8Array): number {
		let address = this.#slabs.get(slab);
		if (address === undefined) {
			address = this.#addressOf(slab);
			this.#slabs.set(slab, address);
		}
		return address;
	}

	#addressOf(bytes: Uint8Array): number {
		return Number(this.#koffi.address(bytes));
	}

	#answer(value: number): number {
		return value < 0 ? -this.#koffi.errno() : value;
	}
}
