/*
 * Messages to the daemon: read from the program, and sent for it on its own socket, with its own credentials. The
 * kernel takes these of who has CAP_SYS_ADMIN only; elsewhere they are the supervisor's, if these are no more.
 */
#include "supervisor.h"
#include <fcntl.h>

/* Is it the daemon who has its port id, where the program is? Asked anew after a while, and for keys. */
static int trust(const struct call *call, int keys) {
	static int64_t trusted_until;
	int good, entered = enter_namespace(call);
	if (entered < 0) return -1;
	if (entered == 0 && !keys && now_ms() < trusted_until) return 0;
	good = shake_hands();
	leave_namespace(entered);
	if (entered == 0) trusted_until = good == 0 ? now_ms() + TRUST_MS : 0;
	return good;
}

/* Joins a socket to the daemon, once it has a port id: nobody else can send to it then. 0, or -1 with errno. */
static int join_to_daemon(const struct call *call, int fd) {
	struct sockaddr_nl address = { 0 }, daemon = daemon_address();
	struct standing standing;
	socklen_t octets = sizeof address;
	if (getpeername(fd, (struct sockaddr *)&address, &octets) == 0 && address.nl_pid == DAEMON_PORT) return 0;
	octets = sizeof address;
	if (getsockname(fd, (struct sockaddr *)&address, &octets) == 0 && address.nl_pid == 0) {
		/* The port id that the kernel would choose; if it is taken connect chooses another. */
		address.nl_pid = standing_of(call->tid, &standing) == 0 ? (uint32_t)standing.own_number : 0;
		bind(fd, (struct sockaddr *)&address, sizeof address);
	}
	return connect(fd, (struct sockaddr *)&daemon, sizeof daemon);
}

/* Who joins its socket to the kernel joins it to the daemon; an address of no family undoes that. */
void connect_socket(struct call *call, int fd) {
	struct sockaddr_nl address = { 0 };
	size_t octets = call->args[2] < sizeof address ? call->args[2] : sizeof address;
	if (get(call, call->args[1], &address, octets) != 0) answer(call, 0, errno);
	else if (octets < sizeof address || address.nl_family != AF_NETLINK) go_on(call);
	else answer(call, 0, join_to_daemon(call, fd) == 0 ? 0 : errno);
}

/* Has the supervisor no more rights than who called, by what the daemon asks for? */
static int is_equal(const struct call *call, const struct standing *theirs) {
	struct standing own;
	uint64_t right = (uint64_t)1 << CAP_NET_ADMIN_;
	return standing_of(getpid(), &own) == 0 && own.user == theirs->user && own.effective_user == theirs->effective_user
		&& (own.capabilities & right & ~theirs->capabilities) == 0 && has_own_user_namespace(call);
}

/* Sends what is in the buffer; as sendmsg(2). */
static ssize_t speak(const struct call *call, int fd, size_t octets, int flags) {
	struct standing standing;
	struct ucred sender;
	struct sockaddr_nl daemon = daemon_address();
	struct iovec vector = { datagram, octets };
	union {
		char bytes[CMSG_SPACE(sizeof sender)];
		struct cmsghdr header;
	} control = { .header = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_CREDENTIALS, .cmsg_len = CMSG_LEN(sizeof sender) } };
	struct msghdr message = { .msg_name = &daemon, .msg_namelen = sizeof daemon, .msg_iov = &vector, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof control };
	int may_wait = !(flags & MSG_DONTWAIT) && !(fcntl(fd, F_GETFL) & O_NONBLOCK);
	ssize_t done;
	errno = ESRCH;
	if (standing_of(call->tid, &standing) != 0 || !is_there(call)) return -1;
	sender = (struct ucred){ standing.process, standing.user, standing.group };
	memcpy(CMSG_DATA(&control.header), &sender, sizeof sender);
	done = may_wait ? send_soon(fd, &message, flags) : sendmsg(fd, &message, flags);
	if (done >= 0 || errno != EPERM || !is_equal(call, &standing)) return done;
	message.msg_control = NULL;
	message.msg_controllen = 0;
	return may_wait ? send_soon(fd, &message, flags) : sendmsg(fd, &message, flags);
}

/* Checks an address as the kernel does; where it leads to is the daemon. */
static int check_address(struct call *call, uint64_t at, uint64_t octets) {
	struct sockaddr_nl address;
	if (!at || octets == 0) return 0;
	if (octets >= sizeof address && get(call, at, &address, sizeof address) != 0) return -1;
	if (octets >= sizeof address && address.nl_family == AF_NETLINK) return 0;
	errno = EINVAL;
	return -1;
}

/* Sends one message of the program's; its octets, or -1 with errno. */
static ssize_t send_vectors(struct call *call, int fd, const struct iovec *vectors, uint64_t count, ssize_t octets, int flags) {
	size_t at = 0;
	ssize_t sent;
	uint64_t i;
	errno = EMSGSIZE;
	if (octets > DATAGRAM_MAX) return -1;
	for (i = 0; i < count; at += vectors[i++].iov_len)
		if (get(call, (uintptr_t)vectors[i].iov_base, datagram + at, vectors[i].iov_len) != 0) return -1;
	if (join_to_daemon(call, fd) != 0 || trust(call, may_have_keys(datagram, at, at)) != 0) return -1;
	sent = speak(call, fd, at, flags);
	/* Keys stay with who has a use for them. */
	memset(datagram, 0, at);
	return sent;
}

static ssize_t send_message(struct call *call, int fd, uint64_t at, int flags) {
	static struct iovec vectors[VECTORS_MAX];
	struct msghdr message;
	ssize_t octets;
	if (get(call, at, &message, sizeof message) != 0) return -1;
	octets = get_vectors(call, (uintptr_t)message.msg_iov, message.msg_iovlen, vectors);
	if (octets < 0 || check_address(call, (uintptr_t)message.msg_name, message.msg_namelen) != 0) return -1;
	return send_vectors(call, fd, vectors, message.msg_iovlen, octets, flags);
}

/* How many messages were sent, each with its octets; -1 with errno when not even the first. */
static ssize_t send_several(struct call *call, int fd) {
	uint64_t count = (uint32_t)call->args[2] < VECTORS_MAX ? (uint32_t)call->args[2] : VECTORS_MAX, i;
	for (i = 0; i < count; i++) {
		uint64_t at = call->args[1] + i * sizeof(struct mmsghdr);
		ssize_t sent = send_message(call, fd, at, (int)call->args[3]);
		unsigned octets = (unsigned)sent;
		if (sent < 0 || put(call, at + offsetof(struct mmsghdr, msg_len), &octets, sizeof octets) != 0)
			return i > 0 ? (ssize_t)i : -1;
	}
	return (ssize_t)count;
}

void send_messages(struct call *call, int fd) {
	static struct iovec vectors[VECTORS_MAX];
	const uint64_t *args = call->args;
	struct iovec only = { (void *)(uintptr_t)args[1], args[2] };
	ssize_t done = -1, octets = only.iov_len > DATAGRAM_MAX ? DATAGRAM_MAX + 1 : (ssize_t)only.iov_len;
	switch (call->nr) {
	case SYS_sendto:
		if (check_address(call, args[4], args[5]) == 0) done = send_vectors(call, fd, &only, 1, octets, (int)args[3]);
		break;
	case SYS_sendmsg:
		done = send_message(call, fd, args[1], (int)args[2]);
		break;
	case SYS_sendmmsg:
		done = send_several(call, fd);
		break;
	case SYS_writev:
		octets = get_vectors(call, args[1], args[2], vectors);
		if (octets >= 0) done = send_vectors(call, fd, vectors, args[2], octets, 0);
		else if (errno == EMSGSIZE) errno = EINVAL;
		break;
	default:
		done = send_vectors(call, fd, &only, 1, octets, 0);
	}
	answer(call, done, done < 0 ? errno : 0);
}
