/*
 * Preload shim of `xfrm exec`: leads a program's NETLINK_XFRM sockets to the xfrm daemon of its network
 * namespace, and makes the socket options that belong to XFRM do what they mean for the daemon.
 *
 *   socket(AF_NETLINK, …, NETLINK_XFRM)   is a NETLINK_USERSOCK socket; port 0, the kernel's, is written as
 *                                         the daemon's on the way out and back on the way in
 *   IP_XFRM_POLICY, IPV6_XFRM_POLICY      a bypass becomes the mark that the daemon's filter lets go
 *   UDP_ENCAP                             the socket shares its port with the daemon's
 *   SO_PROTOCOL                           says NETLINK_XFRM
 *
 * Everything else, bind, groups, port ids, flow control and queues, is the kernel's own. What does not come
 * from the daemon is thrown away unseen, and nothing is sent before the daemon's port id has answered with
 * root's credentials, anew after every ECONNREFUSED and every second, and before each message with keys:
 * whoever else binds the port id gets none.
 *
 * It has no state but one octet a descriptor and a time, takes no lock, and prints nothing.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdint.h>
#include "handshake.h"

#define FD_MAX 65536

/* What a descriptor is: not ours, a socket to the daemon. */
static unsigned char ours[FD_MAX];
/* The daemon's port id has answered with root's credentials; until then it counts. */
static long long trusted_until;

#define REAL(name) \
	static __typeof__(&name) real; \
	if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static int is_ours(int fd) { return fd >= 0 && fd < FD_MAX && ours[fd]; }
static void note(int fd, int mine) { if (fd >= 0 && fd < FD_MAX) ours[fd] = (unsigned char)mine; }

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
	int fd = real(domain, type, mine ? NETLINK_USERSOCK : protocol);
	note(fd, mine && fd >= 0);
	return fd;
}

int close(int fd) { REAL(close); note(fd, 0); return real(fd); }

int dup2(int from, int to) {
	REAL(dup2);
	int fd = real(from, to);
	note(fd, is_ours(from));
	return fd;
}
int dup3(int from, int to, int flags) {
	REAL(dup3);
	int fd = real(from, to, flags);
	note(fd, is_ours(from));
	return fd;
}
int dup(int from) {
	REAL(dup);
	int fd = real(from);
	note(fd, is_ours(from));
	return fd;
}

/* Its third argument is an int or a pointer: as wide as a pointer it is either. */
static int duplicated(int fd, int command, int done) {
	if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) note(done, is_ours(fd));
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
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
	return is_ours(fd) ? sendmsg(fd, &message, flags) : real_sendto(fd, bytes, octets, flags, to, length);
}

ssize_t send(int fd, const void *bytes, size_t octets, int flags) {
	REAL(send);
	return is_ours(fd) ? sendto(fd, bytes, octets, flags, NULL, 0) : real(fd, bytes, octets, flags);
}

ssize_t write(int fd, const void *bytes, size_t octets) {
	REAL(write);
	return is_ours(fd) ? sendto(fd, bytes, octets, 0, NULL, 0) : real(fd, bytes, octets);
}

static int message_may_have_keys(const struct msghdr *message) {
	if (message->msg_iovlen != 1) return 1;
	return may_have_keys(message->msg_iov->iov_base, message->msg_iov->iov_len, message->msg_iov->iov_len);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
	REAL(sendmsg);
	struct sockaddr_nl daemon = daemon_address();
	struct msghdr copy;
	int may_wait;
	if (!is_ours(fd)) return real(fd, message, flags);
	if (trust(message_may_have_keys(message)) < 0) return -1;
	copy = *message;
	copy.msg_name = &daemon;
	copy.msg_namelen = sizeof daemon;
	may_wait = !(flags & MSG_DONTWAIT) && !(fcntl(fd, F_GETFL) & O_NONBLOCK);
	return sent(may_wait ? send_soon(fd, &copy, flags) : real(fd, &copy, flags));
}

ssize_t writev(int fd, const struct iovec *vectors, int count) {
	REAL(writev);
	struct msghdr message = { .msg_iov = (struct iovec *)vectors, .msg_iovlen = (size_t)count };
	return is_ours(fd) ? sendmsg(fd, &message, 0) : real(fd, vectors, count);
}

int connect(int fd, const struct sockaddr *to, socklen_t length) {
	REAL(connect);
	struct sockaddr_nl daemon = daemon_address();
	if (!is_ours(fd)) return real(fd, to, length);
	return real(fd, (struct sockaddr *)&daemon, sizeof daemon);
}

/*
 * Receives one datagram of the daemon's. Any other is taken from the queue and thrown away; one that is
 * only peeked at has to be looked at first.
 */
static ssize_t receive(int fd, struct msghdr *message, int flags) {
	for (;;) {
		struct sockaddr_nl from;
		struct msghdr copy = *message;
		ssize_t octets;
		copy.msg_name = &from;
		copy.msg_namelen = sizeof from;
		octets = real_recvmsg(fd, &copy, flags);
		if (octets < 0) return octets;
		if (copy.msg_namelen >= sizeof from && from.nl_pid != DAEMON_PORT) {
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
		message->msg_controllen = copy.msg_controllen;
		message->msg_flags = copy.msg_flags;
		return octets;
	}
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
	return is_ours(fd) ? receive(fd, message, flags) : real_recvmsg(fd, message, flags);
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
	return is_ours(fd) ? recvfrom(fd, bytes, octets, 0, NULL, NULL) : real(fd, bytes, octets);
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

int getsockopt(int fd, int level, int name, void *value, socklen_t *octets) {
	REAL(getsockopt);
	int done = real(fd, level, name, value, octets);
	if (!done && is_ours(fd) && level == SOL_SOCKET && name == SO_PROTOCOL && *octets >= sizeof(int)) {
		int protocol = NETLINK_XFRM_;
		memcpy(value, &protocol, sizeof protocol);
	}
	return done;
}

/* A socket's own policies: only a bypass has a meaning here; both directions go by the mark. */
static int set_policy(int fd, const void *value, socklen_t octets) {
	struct xfrm_userpolicy_info policy;
	int mark = BYPASS_MARK;
	if (octets == 0) return 0;
	if (octets < sizeof policy) { errno = EINVAL; return -1; }
	memcpy(&policy, value, sizeof policy);
	if (policy.action != XFRM_POLICY_ALLOW || octets > sizeof policy) { errno = EOPNOTSUPP; return -1; }
	return real_setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t octets) {
	if ((level == IPPROTO_IP && name == IP_XFRM_POLICY) || (level == IPPROTO_IPV6 && name == IPV6_XFRM_POLICY))
		return set_policy(fd, value, octets);
	if (level == SOL_UDP && name == UDP_ENCAP) {
		int one = 1;
		return real_setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
	}
	return real_setsockopt(fd, level, name, value, octets);
}
