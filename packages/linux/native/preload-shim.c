/*
 * Preload shim of `xfrm exec`: leads a program's NETLINK_XFRM sockets to the xfrm daemon of its network
 * namespace, and makes the socket options that belong to XFRM do what they mean for the daemon.
 *
 *   socket(AF_NETLINK, …, NETLINK_XFRM)   is a NETLINK_USERSOCK socket; port 0, the kernel's, is written as
 *                                         the daemon's on the way out and back on the way in
 *   IP_XFRM_POLICY, IPV6_XFRM_POLICY      a bypass becomes the mark that the daemon's filter lets go
 *   SO_MARK                               beside a bypass goes with the packets (preload-mark.h)
 *   UDP_ENCAP                             the socket shares its port with the daemon's
 *   SO_PROTOCOL                           says NETLINK_XFRM
 *   SO_PASSCRED                           is always set, and credentials kept from who has not asked for them
 *   socket(PF_KEY, …)                     is refused: it would configure the kernel
 *
 * Everything else, bind, groups, port ids, flow control and queues, is the kernel's own. What does not come
 * from the daemon's port id, sent by root, is thrown away unseen, and nothing is sent before the daemon's port id has answered with
 * root's credentials, anew after every ECONNREFUSED and every second, and before each message with keys:
 * whoever else binds the port id gets none.
 *
 * It has no state but three octets and a mark a descriptor, and a time, takes no lock, and prints nothing. It sees
 * what the program calls in the C library: not system calls of the program's own, such as those of io_uring.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdint.h>
#include "preload-mark.h"

#define FD_MAX 65536
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif
/* UIO_MAXIOV: messages of a call, vectors of a message. */
#define MESSAGES_MAX 1024

/* What a descriptor is: not ours, one whose packets bypass policies, a socket to the daemon, one that only it can send to. */
enum { NOT_OURS, BYPASSING, OURS, JOINED };
static unsigned char ours[FD_MAX];
/* The marks of those that are BYPASSING. */
static int marks[FD_MAX];
/* It has sent something, and has not received since. */
static unsigned char asked[FD_MAX];
/* SO_PASSCRED, as the program has set it. */
static unsigned char told[FD_MAX];
/* The daemon's port id has answered with root's credentials; until then it counts. */
static long long trusted_until;

#define REAL(name) \
	static __typeof__(&name) real; \
	if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static int is_ours(int fd) { return fd >= 0 && fd < FD_MAX && ours[fd] >= OURS; }
/* Is something done to what it sends? */
static int is_sent_for(int fd) { return fd >= 0 && fd < FD_MAX && ours[fd]; }
static void note(int fd, int kind) { if (fd >= 0 && fd < FD_MAX) ours[fd] = (unsigned char)kind; }
static int kind_of(int fd) { return is_sent_for(fd) ? ours[fd] : NOT_OURS; }
static int mark_of(int fd) { return kind_of(fd) == BYPASSING ? marks[fd] : 0; }
static void note_mark(int fd, int mark) {
	if (fd >= 0 && fd < FD_MAX) marks[fd] = mark;
	note(fd, BYPASSING);
}
static void note_copy(int from, int to) {
	if (kind_of(from) == BYPASSING) note_mark(to, marks[from]);
	else note(to, kind_of(from));
	if (is_ours(to)) told[to] = told[from];
}
static void forget(unsigned from, unsigned to) {
	for (; from < FD_MAX && from <= to; from++) ours[from] = NOT_OURS;
}

/* Real functions that the shim itself needs, past its own. */
static ssize_t real_sendto(int fd, const void *bytes, size_t octets, int flags, const struct sockaddr *to, socklen_t length) {
	REAL(sendto);
	return real(fd, bytes, octets, flags, to, length);
}
static ssize_t real_recvmsg(int fd, struct msghdr *message, int flags) { REAL(recvmsg); return real(fd, message, flags); }
static int real_setsockopt(int fd, int level, int name, const void *value, socklen_t octets) {
	REAL(setsockopt);
	return real(fd, level, name, value, octets);
}

static int is_netlink(const void *address, socklen_t length) {
	return length >= sizeof(struct sockaddr_nl) && ((const struct sockaddr_nl *)address)->nl_family == AF_NETLINK;
}

static int trust(int keys) {
	if (!keys && now_ms() < trusted_until) return 0;
	trusted_until = shake_hands() == 0 ? now_ms() + TRUST_MS : 0;
	return trusted_until ? 0 : -1;
}

static ssize_t sent(ssize_t octets) {
	if (octets < 0 && errno == ECONNREFUSED) trusted_until = 0;
	return octets;
}

int socket(int domain, int type, int protocol) {
	REAL(socket);
	int mine = domain == AF_NETLINK && protocol == NETLINK_XFRM_;
	int fd, one = 1;
	if (domain == AF_KEY) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	fd = real(domain, type, mine ? NETLINK_USERSOCK : protocol);
	if (mine && fd >= FD_MAX) {
		syscall(SYS_close, fd);
		errno = EMFILE;
		return -1;
	}
	note(fd, mine ? OURS : NOT_OURS);
	if (is_ours(fd)) {
		told[fd] = 0;
		real_setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof one);
	}
	return fd;
}

int close(int fd) { REAL(close); note(fd, NOT_OURS); return real(fd); }

/* These close without close(). Older C libraries do not have them. */
int close_range(unsigned from, unsigned to, int flags) {
	if (!(flags & CLOSE_RANGE_CLOEXEC)) forget(from, to);
	return (int)syscall(SYS_close_range, from, to, flags);
}
void closefrom(int from) { close_range(from < 0 ? 0 : (unsigned)from, ~0u, 0); }

int dup2(int from, int to) {
	REAL(dup2);
	int fd = real(from, to);
	note_copy(from, fd);
	return fd;
}
int dup3(int from, int to, int flags) {
	REAL(dup3);
	int fd = real(from, to, flags);
	note_copy(from, fd);
	return fd;
}
int dup(int from) {
	REAL(dup);
	int fd = real(from);
	note_copy(from, fd);
	return fd;
}

/* Its third argument is an int or a pointer: as wide as a pointer it is either. */
static int duplicated(int fd, int command, int done) {
	if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) note_copy(fd, done);
	return done;
}
int fcntl(int fd, int command, ...) {
	REAL(fcntl);
	va_list more;
	va_start(more, command);
	void *argument = va_arg(more, void *);
	va_end(more);
	return duplicated(fd, command, real(fd, command, argument));
}
int fcntl64(int fd, int command, ...) {
	REAL(fcntl64);
	va_list more;
	va_start(more, command);
	void *argument = va_arg(more, void *);
	va_end(more);
	return duplicated(fd, command, real(fd, command, argument));
}

/* Unbound sockets are bound by their first send, as to the kernel. */
ssize_t sendto(int fd, const void *bytes, size_t octets, int flags, const struct sockaddr *to, socklen_t length) {
	struct iovec vector = { (void *)(uintptr_t)bytes, octets };
	struct msghdr message = { .msg_name = (void *)(uintptr_t)to, .msg_namelen = to ? length : 0, .msg_iov = &vector, .msg_iovlen = 1 };
	return is_sent_for(fd) ? sendmsg(fd, &message, flags) : real_sendto(fd, bytes, octets, flags, to, length);
}

ssize_t send(int fd, const void *bytes, size_t octets, int flags) {
	REAL(send);
	return is_sent_for(fd) ? sendto(fd, bytes, octets, flags, NULL, 0) : real(fd, bytes, octets, flags);
}

ssize_t write(int fd, const void *bytes, size_t octets) {
	REAL(write);
	return is_sent_for(fd) ? sendto(fd, bytes, octets, 0, NULL, 0) : real(fd, bytes, octets);
}

static int message_may_have_keys(const struct msghdr *message) {
	if (message->msg_iovlen != 1) return 1;
	return may_have_keys(message->msg_iov->iov_base, message->msg_iov->iov_len, message->msg_iov->iov_len);
}

/* Nobody else can send to it then; as with the kernel, where it has a port id from its first message on. */
static void join(int fd) {
	struct sockaddr_nl daemon = daemon_address();
	if (kind_of(fd) == OURS && syscall(SYS_connect, fd, &daemon, sizeof daemon) == 0) note(fd, JOINED);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
	REAL(sendmsg);
	struct sockaddr_nl daemon = daemon_address();
	struct msghdr copy;
	int may_wait;
	if (kind_of(fd) == BYPASSING) return send_marked(real, fd, message, flags, marks[fd]);
	if (!is_ours(fd)) return real(fd, message, flags);
	/* The kernel refuses an address of another family. */
	if (message->msg_name && !is_netlink(message->msg_name, message->msg_namelen)) return real(fd, message, flags);
	if (trust(message_may_have_keys(message)) < 0) return -1;
	join(fd);
	copy = *message;
	copy.msg_name = &daemon;
	copy.msg_namelen = sizeof daemon;
	may_wait = !(flags & MSG_DONTWAIT) && !(fcntl(fd, F_GETFL) & O_NONBLOCK);
	asked[fd] = 1;
	return sent(may_wait ? send_soon(fd, &copy, flags) : real(fd, &copy, flags));
}

ssize_t writev(int fd, const struct iovec *vectors, int count) {
	REAL(writev);
	struct msghdr message = { .msg_iov = (struct iovec *)vectors, .msg_iovlen = (size_t)count };
	return is_sent_for(fd) && count <= MESSAGES_MAX ? sendmsg(fd, &message, 0) : real(fd, vectors, count);
}

/*
 * Nobody tells the daemon of those who listen to groups: it looks for them now and then, and before it hears a port id
 * that is new to it. So that they hear all that is done from now on, one says nothing.
 */
static void tell_of_listener(void) {
	struct nlmsghdr nothing = { .nlmsg_len = NLMSG_HDRLEN, .nlmsg_type = NLMSG_NOOP, .nlmsg_flags = NLM_F_REQUEST };
	struct sockaddr_nl daemon = daemon_address();
	int saved = errno, fd = (int)syscall(SYS_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_USERSOCK);
	if (fd >= 0) {
		syscall(SYS_sendto, fd, &nothing, sizeof nothing, MSG_DONTWAIT, &daemon, sizeof daemon);
		syscall(SYS_close, fd);
	}
	errno = saved;
}

int bind(int fd, const struct sockaddr *address, socklen_t length) {
	REAL(bind);
	int done = real(fd, address, length);
	if (done == 0 && is_ours(fd) && ((const struct sockaddr_nl *)address)->nl_groups) tell_of_listener();
	return done;
}

int connect(int fd, const struct sockaddr *to, socklen_t length) {
	REAL(connect);
	struct sockaddr_nl daemon = daemon_address();
	if (!is_ours(fd) || !is_netlink(to, length)) {
		/* An address of no family undoes it. */
		if (is_ours(fd)) note(fd, OURS);
		return real(fd, to, length);
	}
	return real(fd, (struct sockaddr *)&daemon, sizeof daemon);
}

/* One after the other, as the kernel does; what comes first, a count or an error, is told. */
int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags) {
	REAL(sendmmsg);
	unsigned i;
	if (!is_sent_for(fd)) return real(fd, messages, count, flags);
	for (i = 0; i < count && i < MESSAGES_MAX; i++) {
		ssize_t octets = sendmsg(fd, &messages[i].msg_hdr, flags);
		if (octets < 0) return i > 0 ? (int)i : -1;
		messages[i].msg_len = (unsigned)octets;
	}
	return (int)i;
}

/* Gives the program its control messages, cut where it has no more room as the kernel does it. */
static void give_control(struct msghdr *to, struct msghdr *from, int credentials) {
	struct cmsghdr *control;
	char *bytes = to->msg_control;
	size_t at = 0, room = bytes ? to->msg_controllen : 0;
	to->msg_flags = from->msg_flags & ~MSG_CTRUNC;
	for (control = CMSG_FIRSTHDR(from); control; control = CMSG_NXTHDR(from, control)) {
		size_t left = room - at, octets = control->cmsg_len < left ? control->cmsg_len : left;
		if (!credentials && control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_CREDENTIALS) continue;
		if (octets < control->cmsg_len) to->msg_flags |= MSG_CTRUNC;
		if (left < sizeof *control) continue;
		memcpy(bytes + at, control, octets);
		memcpy(bytes + at, &octets, sizeof octets);
		at += CMSG_ALIGN(octets) < left ? CMSG_ALIGN(octets) : left;
	}
	to->msg_controllen = at;
}

/*
 * Receives one datagram of the daemon's. Any other is taken from the queue and thrown away; one that is
 * only peeked at has to be looked at first.
 */
static ssize_t receive(int fd, struct msghdr *message, int flags) {
	if (asked[fd] && !(flags & MSG_DONTWAIT)) await_answer(fd);
	asked[fd] = 0;
	for (;;) {
		struct sockaddr_nl from;
		union { struct cmsghdr first; char bytes[CONTROL_MAX]; } control;
		struct msghdr copy = *message;
		ssize_t octets;
		copy.msg_name = &from;
		copy.msg_namelen = sizeof from;
		copy.msg_control = &control;
		copy.msg_controllen = sizeof control;
		octets = real_recvmsg(fd, &copy, flags);
		if (octets < 0) return octets;
		if (!is_from_root(&copy)) {
			if (flags & MSG_PEEK) {
				char octet;
				struct iovec vector = { &octet, 1 };
				struct msghdr away = { .msg_iov = &vector, .msg_iovlen = 1 };
				real_recvmsg(fd, &away, MSG_DONTWAIT);
			}
			continue;
		}
		from.nl_pid = 0;
		if (message->msg_name) {
			socklen_t length = message->msg_namelen < sizeof from ? message->msg_namelen : sizeof from;
			memcpy(message->msg_name, &from, length);
			message->msg_namelen = sizeof from;
		}
		name_kernel_as_sender(&copy);
		give_control(message, &copy, told[fd]);
		return octets;
	}
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
	return is_ours(fd) ? receive(fd, message, flags) : real_recvmsg(fd, message, flags);
}

/* An error that waits for a call of its own: looked at, not taken. */
static int has_error(int fd) {
	struct pollfd polled = { .fd = fd };
	return poll(&polled, 1, 0) == 1 && (polled.revents & POLLERR);
}

/* As the kernel: the time is looked at after each message only. */
int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout) {
	REAL(recvmmsg);
	long long left, end;
	unsigned i;
	if (!is_ours(fd)) return real(fd, messages, count, flags, timeout);
	if (timeout && (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= 1000000000)) {
		errno = EINVAL;
		return -1;
	}
	end = timeout ? now_ms() + (long long)timeout->tv_sec * 1000 + timeout->tv_nsec / 1000000 : 0;
	for (i = 0; i < count && i < MESSAGES_MAX; i++) {
		int now = i > 0 && (flags & MSG_WAITFORONE) ? MSG_DONTWAIT : 0;
		ssize_t octets = i > 0 && has_error(fd) ? -1 : receive(fd, &messages[i].msg_hdr, (flags & ~MSG_WAITFORONE) | now);
		if (octets < 0 && i == 0) return -1;
		if (octets < 0) break;
		messages[i].msg_len = (unsigned)octets;
		if (timeout && now_ms() >= end) {
			i++;
			break;
		}
	}
	left = timeout && end > now_ms() ? end - now_ms() : 0;
	if (timeout && i > 0) *timeout = (struct timespec){ left / 1000, left % 1000 * 1000000 };
	return (int)i;
}

ssize_t recvfrom(int fd, void *bytes, size_t octets, int flags, struct sockaddr *from, socklen_t *length) {
	REAL(recvfrom);
	struct iovec vector = { bytes, octets };
	struct msghdr message = { .msg_name = from, .msg_namelen = from && length ? *length : 0, .msg_iov = &vector, .msg_iovlen = 1 };
	ssize_t got;
	if (!is_ours(fd)) return real(fd, bytes, octets, flags, from, length);
	got = receive(fd, &message, flags);
	if (got >= 0 && from && length) *length = message.msg_namelen;
	return got;
}

ssize_t recv(int fd, void *bytes, size_t octets, int flags) {
	REAL(recv);
	return is_ours(fd) ? recvfrom(fd, bytes, octets, flags, NULL, NULL) : real(fd, bytes, octets, flags);
}

ssize_t read(int fd, void *bytes, size_t octets) {
	REAL(read);
	/* read(2) of nothing takes nothing. */
	return is_ours(fd) && octets > 0 ? recvfrom(fd, bytes, octets, 0, NULL, NULL) : real(fd, bytes, octets);
}

ssize_t readv(int fd, const struct iovec *vectors, int count) {
	REAL(readv);
	struct msghdr message = { .msg_iov = (struct iovec *)vectors, .msg_iovlen = (size_t)count };
	size_t octets = 0;
	int i;
	for (i = 0; is_ours(fd) && count <= MESSAGES_MAX && i < count; i++) octets += vectors[i].iov_len;
	return octets > 0 ? receive(fd, &message, 0) : real(fd, vectors, count);
}

/* What -D_FORTIFY_SOURCE makes of the above; the room was checked by the compiler's rules, so do we. */
void __chk_fail(void) __attribute__((noreturn));
ssize_t __recvfrom_chk(int fd, void *bytes, size_t octets, size_t room, int flags, struct sockaddr *from, socklen_t *length) {
	if (octets > room) __chk_fail();
	return recvfrom(fd, bytes, octets, flags, from, length);
}
ssize_t __recv_chk(int fd, void *bytes, size_t octets, size_t room, int flags) {
	if (octets > room) __chk_fail();
	return recv(fd, bytes, octets, flags);
}
ssize_t __read_chk(int fd, void *bytes, size_t octets, size_t room) {
	if (octets > room) __chk_fail();
	return read(fd, bytes, octets);
}

int getpeername(int fd, struct sockaddr *peer, socklen_t *length) {
	REAL(getpeername);
	socklen_t room = *length;
	int done = real(fd, peer, length);
	if (!done && is_ours(fd) && room >= sizeof(struct sockaddr_nl)) ((struct sockaddr_nl *)peer)->nl_pid = 0;
	return done;
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *octets) {
	REAL(getsockopt);
	int done = real(fd, level, name, value, octets);
	if (!done && is_ours(fd) && level == SOL_SOCKET && name == SO_PROTOCOL) {
		int protocol = NETLINK_XFRM_;
		memcpy(value, &protocol, *octets < sizeof protocol ? *octets : sizeof protocol);
	}
	if (!done && is_ours(fd) && level == SOL_SOCKET && name == SO_PASSCRED) {
		int credentials = told[fd];
		memcpy(value, &credentials, *octets < sizeof credentials ? *octets : sizeof credentials);
	}
	if (!done && level == SOL_SOCKET && name == SO_MARK && *octets == sizeof(int) && bypasses(fd)) {
		int mark = mark_of(fd);
		memcpy(value, &mark, sizeof mark);
	}
	return done;
}

static int set_mark(int fd, int mark) { return real_setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark); }

/* A socket's own policy; without one a bypass is taken back. */
static int set_policy(int fd, const void *value, socklen_t octets) {
	int mark = 0, error = octets ? socket_policy_error(value, octets) : 0;
	socklen_t room = sizeof mark;
	if (error) {
		errno = error;
		return -1;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_MARK, &mark, &room) != 0) return -1;
	if (octets == 0 && !bypasses(fd)) return 0;
	if (set_mark(fd, octets ? BYPASS_MARK : mark) != 0) return -1;
	if (octets) note_mark(fd, mark);
	else note(fd, NOT_OURS);
	return 0;
}

/* Of a socket that bypasses: the kernel says whether it may have one. */
static int keep_mark(int fd, const void *value, socklen_t octets) {
	int mark;
	if (octets < sizeof mark) return real_setsockopt(fd, SOL_SOCKET, SO_MARK, value, octets);
	memcpy(&mark, value, sizeof mark);
	if (set_mark(fd, BYPASS_MARK) != 0) return -1;
	note_mark(fd, mark);
	return 0;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t octets) {
	if (is_ours(fd) && level == SOL_SOCKET && name == SO_PASSCRED && octets >= sizeof(int)) {
		told[fd] = memcmp(value, &(int){ 0 }, sizeof(int)) != 0;
		return 0;
	}
	if (is_ours(fd)) {
		int done = real_setsockopt(fd, level, name, value, octets);
		if (done == 0 && level == SOL_NETLINK && name == NETLINK_ADD_MEMBERSHIP) tell_of_listener();
		return done;
	}
	if ((level == IPPROTO_IP && name == IP_XFRM_POLICY) || (level == IPPROTO_IPV6 && name == IPV6_XFRM_POLICY))
		return set_policy(fd, value, octets);
	if (level == SOL_SOCKET && name == SO_MARK && bypasses(fd)) return keep_mark(fd, value, octets);
	if (level == SOL_UDP && name == UDP_ENCAP) {
		int one = 1, protocol = 0;
		socklen_t room = sizeof protocol;
		if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &room) != 0) return -1;
		if (protocol != IPPROTO_UDP) return real_setsockopt(fd, level, name, value, octets);
		return real_setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
	}
	return real_setsockopt(fd, level, name, value, octets);
}
