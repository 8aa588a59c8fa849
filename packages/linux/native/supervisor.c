/*
 * Supervisor of `xfrm exec`, for programs that the preload shim does not reach: static ones, Go's, those whose
 * loader heeds no LD_PRELOAD. Does what the shim does, from outside, by seccomp's user notification.
 *
 *     supervisor FILE ARG0 ARGS…     becomes FILE, with a filter that tells a process beside it
 *
 *   socket(AF_NETLINK, …, NETLINK_XFRM)   a NETLINK_USERSOCK socket is put in, at a number of a range that
 *                                         the filter knows (the last 64 below the limit, or 1024: for select)
 *   send, write, connect                  the daemon's port id is written into the program's address, or the
 *                                         socket is connected to it, and the call goes on: rights, queues,
 *                                         signals are the program's own
 *   receive, read                         done for it, as the sender's address has to be the kernel's; a
 *                                         datagram is peeked at, handed over, and then taken
 *   IP_XFRM_POLICY, UDP_ENCAP, SO_PROTOCOL, dup: as in the shim
 *
 * Nothing is known about descriptors: each call asks the kernel what its descriptor is (pidfd_getfd). All
 * other system calls, and these on other descriptors, go through the filter only. The process beside it is
 * nobody's child, has no file of the program's open, and ends when nobody is left who has the filter.
 *
 * Not served: recvmmsg and sendmmsg, io_uring, dup2 to a number out of the range, 32-bit programs.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "handshake.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

/* Numbers in the program that our sockets have. */
#define RANGE 64
#define RANGE_END_MAX 1024
/* A datagram: as large as the daemon's largest. */
#define DATAGRAM_MAX 0x41000
#define VECTORS_MAX 64
#define CONTROL_MAX 256
/* Calls that wait for a datagram at once; further ones are told that nothing is there. */
#define WAITING_MAX 256
/* How soon a signal for a program that waits is seen. */
#define LOOK_MS 50
/* What the kernel answers itself when a signal has come: the call is made anew, or ends with EINTR. */
#define ERESTARTSYS 512

static int listener = -1;
static unsigned range_at, range_end;
/* The network namespace of this process. */
static int own_namespace = -1;
static ino_t own_inode;

struct call {
	uint64_t id;
	int tid;
	int fd;
	int nr;
	const __u64 *args;
};

/* A receive that waits, or is just being done. */
struct receive {
	uint64_t id;
	int tid;
	/* A copy of the program's descriptor. */
	int fd;
	int flags;
	/* Milliseconds of the monotonic clock; 0 for none. */
	int64_t deadline;
	struct iovec vectors[VECTORS_MAX];
	unsigned vector_count;
	size_t room;
	/* In the program: where the sender goes and how much room there is, the length, the msghdr. */
	uint64_t name, name_octets_at, message;
	socklen_t name_room;
	size_t control_room;
	uint64_t control;
};

static struct receive waiting[WAITING_MAX];
static unsigned waiting_count;
static char datagram[DATAGRAM_MAX];

/* The program's memory; 0, or -1 with errno. */
static int get(int tid, uint64_t at, void *bytes, size_t octets) {
	struct iovec here = { bytes, octets }, there = { (void *)(uintptr_t)at, octets };
	if (process_vm_readv(tid, &here, 1, &there, 1, 0) == (ssize_t)octets) return 0;
	errno = EFAULT;
	return -1;
}

static int put(int tid, uint64_t at, const void *bytes, size_t octets) {
	struct iovec here = { (void *)(uintptr_t)bytes, octets }, there = { (void *)(uintptr_t)at, octets };
	if (octets == 0 || process_vm_writev(tid, &here, 1, &there, 1, 0) == (ssize_t)octets) return 0;
	errno = EFAULT;
	return -1;
}

/* Writes where the program itself may not: a constant address. */
static int put_anyway(int tid, uint64_t at, const void *bytes, size_t octets) {
	char path[32];
	int fd, done;
	if (put(tid, at, bytes, octets) == 0) return 0;
	snprintf(path, sizeof path, "/proc/%d/mem", tid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0) return -1;
	done = pwrite(fd, bytes, octets, (off_t)at) == (ssize_t)octets ? 0 : -1;
	close(fd);
	return done;
}

/* 0 when the call is still waiting for its answer, and has it now. */
static int answer(uint64_t id, int64_t value, int error) {
	struct seccomp_notif_resp response = { .id = id, .val = error ? 0 : value, .error = -error };
	return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

static void go_on(uint64_t id) {
	struct seccomp_notif_resp response = { .id = id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

static int is_there(uint64_t id) { return ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0; }

/* The text of /proc/TID/status; empty for one that is gone. */
static void status_of(int tid, char *text, size_t room) {
	char path[32];
	ssize_t octets = -1;
	int fd;
	snprintf(path, sizeof path, "/proc/%d/status", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		octets = read(fd, text, room - 1);
		close(fd);
	}
	text[octets > 0 ? octets : 0] = 0;
}

static uint64_t status_field(const char *text, const char *name, int base) {
	const char *at = strstr(text, name);
	return at ? strtoull(at + strlen(name), NULL, base) : 0;
}

static int process_of(int tid) {
	char text[4096];
	status_of(tid, text, sizeof text);
	return (int)status_field(text, "\nTgid:", 10);
}

/* A copy of a descriptor of the program's; -1 with errno. The caller closes it. */
static int copy_of(const struct call *call, int fd) {
	int copy, pidfd = (int)syscall(SYS_pidfd_open, call->tid, 0);
	/* Not the first thread of its process. */
	if (pidfd < 0) pidfd = (int)syscall(SYS_pidfd_open, process_of(call->tid), 0);
	if (pidfd < 0) return -1;
	copy = is_there(call->id) ? (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0) : -1;
	close(pidfd);
	return copy;
}

static int option_of(int fd, int name) {
	int value = -1;
	socklen_t octets = sizeof value;
	return getsockopt(fd, SOL_SOCKET, name, &value, &octets) == 0 ? value : -1;
}

static int is_ours(int fd) {
	return option_of(fd, SO_DOMAIN) == AF_NETLINK && option_of(fd, SO_PROTOCOL) == NETLINK_USERSOCK;
}

/* Goes into the program's network namespace: 1, 0 if it is ours, -1 if it can't be entered. */
static int enter_namespace(int tid) {
	char path[40];
	struct stat there;
	int fd, entered;
	snprintf(path, sizeof path, "/proc/%d/ns/net", tid);
	if (stat(path, &there) != 0 || there.st_ino == own_inode) return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) return -1;
	entered = setns(fd, CLONE_NEWNET) == 0 ? 1 : -1;
	close(fd);
	return entered;
}

static void leave_namespace(int entered) {
	if (entered > 0) setns(own_namespace, CLONE_NEWNET);
}

/* Is it the daemon who has its port id, where the program is? Asked anew after a while, and for keys. */
static int trust(int tid, int keys) {
	static int64_t trusted_until;
	int good, entered = enter_namespace(tid);
	if (entered < 0) return -1;
	if (entered == 0 && !keys && now_ms() < trusted_until) return 0;
	good = shake_hands();
	leave_namespace(entered);
	if (entered == 0) trusted_until = good == 0 ? now_ms() + TRUST_MS : 0;
	return good;
}

/* A number of the range that the program does not use; -1 if all are. */
static int free_number(int tid) {
	char path[40];
	struct stat link;
	unsigned fd;
	for (fd = range_end; fd-- > range_at;) {
		snprintf(path, sizeof path, "/proc/%d/fd/%u", tid, fd);
		if (lstat(path, &link) != 0) return (int)fd;
	}
	return -1;
}

/* Gives the program a descriptor, and its number as the answer. */
static void put_in(const struct call *call, int fd, int close_on_exec) {
	struct seccomp_notif_addfd add = { .id = call->id, .flags = SECCOMP_ADDFD_FLAG_SETFD | SECCOMP_ADDFD_FLAG_SEND,
		.srcfd = (uint32_t)fd, .newfd_flags = close_on_exec ? O_CLOEXEC : 0 };
	int number = free_number(call->tid);
	add.newfd = (uint32_t)number;
	if (number < 0 || ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0) answer(call->id, 0, EMFILE);
}

static void open_socket(const struct call *call) {
	int type = (int)call->args[1];
	int entered = enter_namespace(call->tid);
	int fd = entered < 0 ? -1 : socket(AF_NETLINK, type | SOCK_CLOEXEC, NETLINK_USERSOCK);
	int error = errno;
	leave_namespace(entered);
	if (fd < 0) {
		answer(call->id, 0, error);
		return;
	}
	put_in(call, fd, (type & SOCK_CLOEXEC) != 0);
	close(fd);
}

/* Writes the daemon's port id into an address of the program's. */
static int direct(int tid, uint64_t at, uint64_t octets) {
	struct sockaddr_nl address, daemon = daemon_address();
	if (octets < sizeof address || get(tid, at, &address, sizeof address) != 0) return 0;
	if (address.nl_family != AF_NETLINK) return 0;
	if (address.nl_pid == daemon.nl_pid && address.nl_groups == 0) return 0;
	return put_anyway(tid, at, &daemon, sizeof daemon);
}

/* What is written without an address goes to whom the socket is connected. */
static int connect_to_daemon(const struct call *call, int fd) {
	struct sockaddr_nl address = { 0 }, daemon = daemon_address();
	socklen_t octets = sizeof address;
	if (getpeername(fd, (struct sockaddr *)&address, &octets) == 0 && address.nl_pid == DAEMON_PORT) return 0;
	octets = sizeof address;
	if (getsockname(fd, (struct sockaddr *)&address, &octets) == 0 && address.nl_pid == 0) {
		/* The port id that the kernel would choose; if it is taken connect chooses another. */
		address.nl_pid = (uint32_t)process_of(call->tid);
		bind(fd, (struct sockaddr *)&address, sizeof address);
	}
	return connect(fd, (struct sockaddr *)&daemon, sizeof daemon);
}

/* Looks into the program's datagram. */
static int datagram_may_have_keys(int tid, uint64_t at, uint64_t octets) {
	struct nlmsghdr first;
	if (octets < sizeof first || get(tid, at, &first, sizeof first) != 0) return 1;
	return may_have_keys(&first, sizeof first, octets);
}

static int vectors_may_have_keys(int tid, uint64_t at, uint64_t count) {
	struct iovec only;
	if (count != 1 || get(tid, at, &only, sizeof only) != 0) return 1;
	return datagram_may_have_keys(tid, (uintptr_t)only.iov_base, only.iov_len);
}

static void send_on(const struct call *call, int fd) {
	const __u64 *args = call->args;
	int done, keys, tid = call->tid;
	struct msghdr message;
	switch (call->nr) {
	case SYS_connect:
		if (direct(tid, args[1], args[2]) != 0) answer(call->id, 0, errno);
		else go_on(call->id);
		return;
	case SYS_sendto:
		done = args[4] ? direct(tid, args[4], args[5]) : connect_to_daemon(call, fd);
		keys = datagram_may_have_keys(tid, args[1], args[2]);
		break;
	case SYS_sendmsg:
		if (get(tid, args[1], &message, sizeof message) != 0) {
			answer(call->id, 0, EFAULT);
			return;
		}
		done = message.msg_name ? direct(tid, (uintptr_t)message.msg_name, message.msg_namelen) : connect_to_daemon(call, fd);
		keys = vectors_may_have_keys(tid, (uintptr_t)message.msg_iov, message.msg_iovlen);
		break;
	case SYS_writev:
		done = connect_to_daemon(call, fd);
		keys = vectors_may_have_keys(tid, args[1], args[2]);
		break;
	default:
		done = connect_to_daemon(call, fd);
		keys = datagram_may_have_keys(tid, args[1], args[2]);
	}
	if (done != 0) answer(call->id, 0, errno);
	else if (trust(tid, keys) != 0) answer(call->id, 0, ECONNREFUSED);
	else go_on(call->id);
}

/* Has a signal come that the program wants to know of? Then its call ends. */
static int is_interrupted(int tid) {
	char text[4096];
	uint64_t pending;
	status_of(tid, text, sizeof text);
	pending = status_field(text, "\nSigPnd:", 16) | status_field(text, "\nShdPnd:", 16);
	return (pending & ~status_field(text, "\nSigBlk:", 16) & ~status_field(text, "\nSigIgn:", 16)) != 0;
}

/* Writes sender, control messages and flags as the kernel would. */
static int put_envelope(const struct receive *receive, const struct msghdr *got) {
	struct sockaddr_nl from = { .nl_family = AF_NETLINK, .nl_groups = ((struct sockaddr_nl *)got->msg_name)->nl_groups };
	socklen_t octets = sizeof from;
	socklen_t name_octets = receive->name_room < octets ? receive->name_room : octets;
	size_t control = got->msg_controllen < receive->control_room ? got->msg_controllen : 0;
	int flags = got->msg_flags | (control < got->msg_controllen ? MSG_CTRUNC : 0);
	if (receive->name && put(receive->tid, receive->name, &from, name_octets) != 0) return -1;
	if (receive->name && receive->name_octets_at && put(receive->tid, receive->name_octets_at, &octets, sizeof octets) != 0)
		return -1;
	if (!receive->message) return 0;
	if (put(receive->tid, receive->control, got->msg_control, control) != 0) return -1;
	if (put(receive->tid, receive->message + offsetof(struct msghdr, msg_controllen), &control, sizeof control) != 0) return -1;
	return put(receive->tid, receive->message + offsetof(struct msghdr, msg_flags), &flags, sizeof flags);
}

static int put_datagram(const struct receive *receive, size_t octets) {
	struct iovec here = { datagram, octets };
	if (octets == 0) return 0;
	if (process_vm_writev(receive->tid, &here, 1, receive->vectors, receive->vector_count, 0) == (ssize_t)octets) return 0;
	errno = EFAULT;
	return -1;
}

/* Does it, if a datagram is there: 1 when it has been answered, 0 when it has to wait. */
static int try_receive(const struct receive *receive) {
	char octet;
	for (;;) {
		char control[CONTROL_MAX];
		struct sockaddr_nl from = { 0 };
		struct iovec vector = { datagram, receive->room < sizeof datagram ? receive->room : sizeof datagram };
		struct msghdr message = { .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &vector, .msg_iovlen = 1,
			.msg_control = control, .msg_controllen = sizeof control };
		ssize_t octets = recvmsg(receive->fd, &message, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC);
		size_t given = (size_t)octets < vector.iov_len ? (size_t)octets : vector.iov_len;
		if (octets < 0) {
			if (errno == EAGAIN || errno == EINTR) return 0;
			answer(receive->id, 0, errno);
			return 1;
		}
		if (from.nl_pid != DAEMON_PORT) {
			recv(receive->fd, &octet, 1, MSG_DONTWAIT);
			continue;
		}
		/* The kernel's word for "cut off" was meant for us. */
		message.msg_flags = (message.msg_flags & ~MSG_TRUNC) | ((size_t)octets > receive->room ? MSG_TRUNC : 0);
		if (put_datagram(receive, given) != 0 || put_envelope(receive, &message) != 0) answer(receive->id, 0, errno);
		else if (answer(receive->id, receive->flags & MSG_TRUNC ? octets : (ssize_t)given, 0) == 0 && !(receive->flags & MSG_PEEK))
			recv(receive->fd, &octet, 1, MSG_DONTWAIT);
		return 1;
	}
}

/* Reads from the program what it wants; 0, or -1 with errno. */
static int read_receive(const struct call *call, struct receive *receive) {
	const __u64 *args = call->args;
	struct msghdr message;
	uint64_t vectors = args[1], count = args[2];
	unsigned i;
	if (call->nr == SYS_read || call->nr == SYS_recvfrom) {
		receive->vectors[0].iov_base = (void *)(uintptr_t)args[1];
		receive->vectors[0].iov_len = args[2];
		receive->vector_count = 1;
	}
	if (call->nr == SYS_recvfrom) {
		receive->flags = (int)args[3];
		receive->name = args[4];
		receive->name_octets_at = args[5];
		if (args[4] && args[5] && get(call->tid, args[5], &receive->name_room, sizeof receive->name_room) != 0) return -1;
	}
	if (call->nr == SYS_recvmsg) {
		if (get(call->tid, args[1], &message, sizeof message) != 0) return -1;
		receive->flags = (int)args[2];
		receive->message = args[1];
		receive->name = (uintptr_t)message.msg_name;
		receive->name_room = message.msg_namelen;
		receive->name_octets_at = args[1] + offsetof(struct msghdr, msg_namelen);
		receive->control = (uintptr_t)message.msg_control;
		receive->control_room = message.msg_control ? message.msg_controllen : 0;
		vectors = (uintptr_t)message.msg_iov;
		count = message.msg_iovlen;
	}
	if (call->nr == SYS_recvmsg || call->nr == SYS_readv) {
		receive->vector_count = count < VECTORS_MAX ? (unsigned)count : VECTORS_MAX;
		if (count && get(call->tid, vectors, receive->vectors, receive->vector_count * sizeof(struct iovec)) != 0) return -1;
	}
	for (i = 0; i < receive->vector_count; i++) receive->room += receive->vectors[i].iov_len;
	return 0;
}

/* The descriptor is this function's to close. */
static void begin_receive(const struct call *call, int fd) {
	struct receive receive = { .id = call->id, .tid = call->tid, .fd = fd };
	struct timeval timeout = { 0 };
	socklen_t octets = sizeof timeout;
	int ready;
	if (read_receive(call, &receive) != 0) {
		answer(call->id, 0, EFAULT);
		close(fd);
		return;
	}
	ready = try_receive(&receive);
	if (!ready && ((receive.flags & MSG_DONTWAIT) || (fcntl(fd, F_GETFL) & O_NONBLOCK) || waiting_count == WAITING_MAX)) {
		answer(call->id, 0, EAGAIN);
		ready = 1;
	}
	if (ready) {
		close(fd);
		return;
	}
	getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, &octets);
	if (timeout.tv_sec || timeout.tv_usec) receive.deadline = now_ms() + (int64_t)timeout.tv_sec * 1000 + (timeout.tv_usec + 999) / 1000;
	waiting[waiting_count++] = receive;
}

/* Looks after the receives that wait. */
static void attend(const struct pollfd *polled, int look) {
	unsigned i, left = 0;
	for (i = 0; i < waiting_count; i++) {
		struct receive *receive = &waiting[i];
		int done = polled[i].revents ? try_receive(receive) : 0;
		if (!done && receive->deadline && now_ms() >= receive->deadline) {
			answer(receive->id, 0, EAGAIN);
			done = 1;
		}
		if (!done && look) {
			if (!is_there(receive->id)) done = 1;
			else if (is_interrupted(receive->tid)) done = answer(receive->id, 0, receive->deadline ? EINTR : ERESTARTSYS) == 0;
		}
		if (done) close(receive->fd);
		else waiting[left++] = *receive;
	}
	waiting_count = left;
}

/* Socket options that belong to XFRM: a bypass is a mark, and a port of ESP in UDP is shared. */
static void set_option(const struct call *call) {
	struct xfrm_userpolicy_info policy;
	char text[4096];
	uint64_t octets = call->args[4];
	int fd, value, is_encap = (int)call->args[1] == SOL_UDP, error = 0;
	status_of(call->tid, text, sizeof text);
	if (!is_encap) {
		if (!((status_field(text, "\nCapEff:", 16) >> 12) & 1)) error = EPERM;
		else if (octets != 0 && octets < sizeof policy) error = EINVAL;
		else if (octets != 0 && get(call->tid, call->args[3], &policy, sizeof policy) != 0) error = EFAULT;
		else if (octets != 0 && (policy.action != XFRM_POLICY_ALLOW || octets > sizeof policy)) error = EOPNOTSUPP;
	}
	if (error || (!is_encap && octets == 0)) {
		answer(call->id, 0, error);
		return;
	}
	fd = copy_of(call, (int)call->args[0]);
	value = is_encap ? 1 : BYPASS_MARK;
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, is_encap ? SO_REUSEPORT : SO_MARK, &value, sizeof value) != 0) error = errno;
	answer(call->id, 0, error);
	if (fd >= 0) close(fd);
}

/* What a program may ask about its socket, and would be told about another kind of it. */
static void tell(const struct call *call, int fd) {
	struct sockaddr_nl address = { 0 };
	socklen_t room = 0, octets = sizeof address;
	int value = NETLINK_XFRM_;
	const void *bytes = &address;
	uint64_t at = call->args[1], octets_at = call->args[2];
	if (call->nr == SYS_getsockopt) {
		if ((int)call->args[1] != SOL_SOCKET || (int)call->args[2] != SO_PROTOCOL) {
			go_on(call->id);
			return;
		}
		at = call->args[3];
		octets_at = call->args[4];
		bytes = &value;
		octets = sizeof value;
	} else {
		getpeername(fd, (struct sockaddr *)&address, &octets);
		address.nl_pid = 0;
	}
	if (get(call->tid, octets_at, &room, sizeof room) != 0 || put(call->tid, at, bytes, room < octets ? room : octets) != 0
		|| put(call->tid, octets_at, &octets, sizeof octets) != 0)
		answer(call->id, 0, EFAULT);
	else answer(call->id, 0, 0);
}

static void duplicate(const struct call *call, int fd) {
	int command = (int)call->args[1];
	if (call->nr == SYS_fcntl && command != F_DUPFD && command != F_DUPFD_CLOEXEC) go_on(call->id);
	else put_in(call, fd, call->nr == SYS_fcntl && command == F_DUPFD_CLOEXEC);
}

static void handle(const struct seccomp_notif *notification) {
	struct call call = { .id = notification->id, .tid = (int)notification->pid, .fd = (int)notification->data.args[0],
		.nr = notification->data.nr, .args = notification->data.args };
	int fd;
	if (call.nr == SYS_socket) {
		open_socket(&call);
		return;
	}
	if (call.nr == SYS_setsockopt) {
		set_option(&call);
		return;
	}
	fd = copy_of(&call, call.fd);
	if (fd < 0 || !is_ours(fd)) {
		go_on(call.id);
	} else {
		switch (call.nr) {
		case SYS_read: case SYS_readv: case SYS_recvfrom: case SYS_recvmsg:
			begin_receive(&call, fd);
			return;
		case SYS_getsockopt: case SYS_getpeername:
			tell(&call, fd);
			break;
		case SYS_dup: case SYS_fcntl:
			duplicate(&call, fd);
			break;
		default:
			send_on(&call, fd);
		}
	}
	if (fd >= 0) close(fd);
}

static void take_call(void) {
	struct seccomp_notif_sizes sizes;
	static struct seccomp_notif *notification;
	static size_t octets;
	if (!notification) {
		octets = sizeof *notification;
		if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) == 0 && sizes.seccomp_notif > octets)
			octets = sizes.seccomp_notif;
		notification = malloc(octets);
		if (!notification) _exit(1);
	}
	memset(notification, 0, octets);
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, notification) == 0) handle(notification);
}

static void serve(void) {
	int64_t looked = 0;
	for (;;) {
		struct pollfd polled[WAITING_MAX + 1];
		unsigned i, count = waiting_count;
		int look;
		for (i = 0; i < count; i++) polled[i] = (struct pollfd){ .fd = waiting[i].fd, .events = POLLIN };
		polled[count] = (struct pollfd){ .fd = listener, .events = POLLIN };
		poll(polled, count + 1, count ? LOOK_MS : -1);
		look = now_ms() - looked >= LOOK_MS;
		if (look) looked = now_ms();
		attend(polled, look);
		if (polled[count].revents & POLLIN) take_call();
		else if (polled[count].revents & (POLLHUP | POLLERR | POLLNVAL)) return;
	}
}

static int receive_descriptor(int from) {
	char octet, control[CMSG_SPACE(sizeof(int))];
	int fd = -1;
	struct iovec vector = { &octet, 1 };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	if (recvmsg(from, &message, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&message))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
	return fd;
}

static int send_descriptor(int to, int fd) {
	char octet = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec vector = { &octet, 1 };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(header), &fd, sizeof fd);
	return sendmsg(to, &message, 0) == 1 ? 0 : -1;
}

/* The process beside the program: nothing of the program's but its filter. */
static void supervise(int program) {
	struct stat own;
	pid_t self = getpid();
	int null, number;
	struct rlimit none = { 0, 0 };
	setsid();
	for (number = 1; number < 65; number++) signal(number, number == SIGKILL || number == SIGSTOP ? SIG_DFL : SIG_IGN);
	if (chdir("/") != 0 || write(program, &self, sizeof self) != sizeof self) _exit(1);
	listener = receive_descriptor(program);
	if (listener < 0) _exit(1);
	/* What it hands on has keys in it. */
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_NAME, "xfrm-supervisor");
	/* The two that are needed, below what is closed. */
	listener = fcntl(listener, F_DUPFD_CLOEXEC, 10);
	program = fcntl(program, F_DUPFD_CLOEXEC, 10);
	listener = dup2(listener, 4);
	program = dup2(program, 3);
	syscall(SYS_close_range, 5, ~0u, 0);
	null = open("/dev/null", O_RDWR);
	for (number = 0; number < 3; number++) dup2(null, number);
	if (null > 4) close(null);
	own_namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	own_inode = fstat(own_namespace, &own) == 0 ? own.st_ino : 0;
	if (write(program, "", 1) != 1) _exit(1);
	close(program);
	serve();
	_exit(0);
}

/* Calls that are looked at when their descriptor is in the range. */
static const unsigned RANGE_CALLS[] = {
	SYS_connect, SYS_sendto, SYS_sendmsg, SYS_write, SYS_writev,
	SYS_recvfrom, SYS_recvmsg, SYS_read, SYS_readv,
	SYS_getsockopt, SYS_getpeername, SYS_dup, SYS_fcntl,
};
#define RANGE_CALL_COUNT (sizeof RANGE_CALLS / sizeof *RANGE_CALLS)

#define DATA(field) (unsigned)offsetof(struct seccomp_data, field)
/* The lower half of an argument, on little-endian machines. */
#define ARG(index) (DATA(args) + 8 * (index))
#define LOAD(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at)
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, what)
/* A jump at a place, if equal or if not below, to one of two places further down. */
#define EQUAL(at, value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, (yes) - (at) - 1, (no) - (at) - 1)
#define NOT_BELOW(at, value, yes, no) BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, value, (yes) - (at) - 1, (no) - (at) - 1)

/* Places behind the jumps of RANGE_CALLS, which are at -RANGE_CALL_COUNT … -1. */
enum { AT_RANGE = 3, AT_SOCKET = 6, AT_OPTION = 10, AT_IP = 14, AT_IPV6 = 16, AT_UDP = 18, AT_ALLOW = 20, AT_NOTIFY = 21 };

/* Installs the filter; its listener, or -1. */
static int install(void) {
	struct sock_filter code[RANGE_CALL_COUNT + 32];
	struct sock_fprog program = { .filter = code };
	const struct sock_filter head[] = { LOAD(DATA(arch)), EQUAL(1, ARCH, 3, 2), RETURN(SECCOMP_RET_ALLOW), LOAD(DATA(nr)) };
	const struct sock_filter tail[] = {
		EQUAL(0, SYS_socket, AT_SOCKET, 1), EQUAL(1, SYS_setsockopt, AT_OPTION, 2), RETURN(SECCOMP_RET_ALLOW),
		LOAD(ARG(0)), NOT_BELOW(4, range_at, 5, AT_ALLOW), NOT_BELOW(5, range_end, AT_ALLOW, AT_NOTIFY),
		LOAD(ARG(0)), EQUAL(7, AF_NETLINK, 8, AT_ALLOW), LOAD(ARG(2)), EQUAL(9, NETLINK_XFRM_, AT_NOTIFY, AT_ALLOW),
		LOAD(ARG(1)), EQUAL(11, IPPROTO_IP, AT_IP, 12), EQUAL(12, IPPROTO_IPV6, AT_IPV6, 13), EQUAL(13, SOL_UDP, AT_UDP, AT_ALLOW),
		LOAD(ARG(2)), EQUAL(15, IP_XFRM_POLICY, AT_NOTIFY, AT_ALLOW),
		LOAD(ARG(2)), EQUAL(17, IPV6_XFRM_POLICY, AT_NOTIFY, AT_ALLOW),
		LOAD(ARG(2)), EQUAL(19, UDP_ENCAP, AT_NOTIFY, AT_ALLOW),
		RETURN(SECCOMP_RET_ALLOW), RETURN(SECCOMP_RET_USER_NOTIF),
	};
	int i, count = 0, calls = RANGE_CALL_COUNT;
	int fd;
	for (i = 0; i < 4; i++) code[count++] = head[i];
	for (i = 0; i < calls; i++) {
		struct sock_filter jump = EQUAL(i - calls, RANGE_CALLS[i], AT_RANGE, i - calls + 1);
		code[count++] = jump;
	}
	for (i = 0; i <= AT_NOTIFY; i++) code[count++] = tail[i];
	program.len = (unsigned short)count;
	fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &program);
	if (fd < 0 && errno == EINVAL)
		fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
	return fd;
}

static int fail(const char *what) {
	fprintf(stderr, "xfrm exec: %s (%s)\n", what, strerror(errno));
	return 2;
}

int main(int count, char **words) {
	struct rlimit files;
	int pair[2], filter;
	pid_t child, supervisor = 0;
	char octet;
	if (count < 3) return 2;
	getrlimit(RLIMIT_NOFILE, &files);
	range_end = files.rlim_cur < RANGE_END_MAX ? (unsigned)files.rlim_cur : RANGE_END_MAX;
	range_at = range_end < 2 * RANGE ? range_end / 2 : range_end - RANGE;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return fail("no socket pair");
	/* Without a signal at its end: the program must not find one. */
	child = (pid_t)syscall(SYS_clone, 0, 0, 0, 0, 0);
	if (child < 0) return fail("no supervisor can be started");
	if (child == 0) {
		close(pair[0]);
		if (syscall(SYS_clone, 0, 0, 0, 0, 0) == 0) supervise(pair[1]);
		_exit(0);
	}
	close(pair[1]);
	waitpid(child, NULL, __WALL);
	if (read(pair[0], &supervisor, sizeof supervisor) != sizeof supervisor) return fail("no supervisor");
	/* Where only a parent may look into a process; elsewhere it does nothing. */
	prctl(PR_SET_PTRACER, supervisor, 0, 0, 0);
	filter = install();
	if (filter < 0 && errno == EACCES) {
		/* Without CAP_SYS_ADMIN: programs that it starts gain no rights then. */
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		filter = install();
	}
	if (filter < 0) return fail("the kernel takes no filter of system calls");
	if (send_descriptor(pair[0], filter) != 0 || read(pair[0], &octet, 1) != 1) return fail("no supervisor");
	close(filter);
	close(pair[0]);
	execv(words[1], words + 2);
	fprintf(stderr, "xfrm exec: %s: %s\n", words[1], errno == ENOENT ? "no such program" : strerror(errno));
	return errno == ENOENT ? 127 : 126;
}
