/*
 * What the preload shim and the supervisor have in common: the daemon's numbers (src/daemon/marks.ts), and
 * how one makes sure that it is the daemon who has its port id, before anything is sent there.
 *
 * System calls are made past the C library, whose functions the shim replaces.
 */
#ifndef XFRM_HANDSHAKE_H
#define XFRM_HANDSHAKE_H
#include <errno.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define DAEMON_PORT 0x58465244u
#define BYPASS_MARK 0x58461201
#define NETLINK_XFRM_ 6
#define HANDSHAKE_MS 5000
/* How long the daemon is believed to be itself, by requests that have no keys in them. */
#define TRUST_MS 1000
/* How long an answer is waited for awake: longer than the daemon takes to collect its garbage. */
#define ANSWER_US 1000
/* So many answers at most are not waited for awake, where that has been in vain. */
#define PASSED_MAX 1023

#ifndef UDP_ENCAP
#define UDP_ENCAP 100
#endif
#ifndef SOL_UDP
#define SOL_UDP 17
#endif

static inline long long now_ms(void) {
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * An answer is there within microseconds, and who sleeps for it is late: thousands of changes are thousands of
 * answers. Worse, the kernel wakes who sleeps on the processor that the daemon runs on, where they would stay together.
 * Waits that long awake, if there is a processor for the daemon besides; where that is in vain, more and more seldom.
 * Should both have come to be on one processor all the same, it is the daemon's whenever it wants it.
 * An answer that is there already says nothing of either.
 */
static inline void await_answer(int fd) {
	static int processors, passing, passed;
	struct pollfd answer = { .fd = fd, .events = POLLIN };
	struct timespec begin, now;
	cpu_set_t set;
	int ready;
	if (!processors) processors = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
	if (processors < 2 || (passing > 0 && passing--) || poll(&answer, 1, 0)) return;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	do {
		sched_yield();
		ready = poll(&answer, 1, 0);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (!ready && (now.tv_sec - begin.tv_sec) * 1000000LL + (now.tv_nsec - begin.tv_nsec) / 1000 < ANSWER_US);
	passed = ready ? 0 : passed < PASSED_MAX ? 2 * passed + 1 : PASSED_MAX;
	passing = passed;
}

static inline struct sockaddr_nl daemon_address(void) {
	struct sockaddr_nl address;
	memset(&address, 0, sizeof address);
	address.nl_family = AF_NETLINK;
	address.nl_pid = DAEMON_PORT;
	return address;
}

/* Among the control messages of one from the daemon its process becomes the kernel, which has no number. */
static inline void name_kernel_as_sender(struct msghdr *message) {
	struct cmsghdr *control;
	for (control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control)) {
		struct ucred sender;
		if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_CREDENTIALS) continue;
		if (control->cmsg_len < CMSG_LEN(sizeof sender)) continue;
		memcpy(&sender, CMSG_DATA(control), sizeof sender);
		sender.pid = 0;
		memcpy(CMSG_DATA(control), &sender, sizeof sender);
	}
}

/* Did this message come from the daemon's port id, sent by root? */
static inline int is_from_root(struct msghdr *message) {
	struct sockaddr_nl *from = message->msg_name;
	struct cmsghdr *control;
	if (message->msg_namelen < sizeof *from || from->nl_pid != DAEMON_PORT) return 0;
	for (control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control)) {
		if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_CREDENTIALS) {
			struct ucred sender;
			memcpy(&sender, CMSG_DATA(control), sizeof sender);
			return sender.uid == 0;
		}
	}
	return 0;
}

/*
 * Sends, and tries again at once while the daemon's queue is full: who waits to be woken finds that those who
 * flood it have been quicker. -1 with EAGAIN after a while.
 */
static inline long send_soon(int fd, const struct msghdr *message, int flags) {
	long long until = now_ms() + HANDSHAKE_MS;
	long octets;
	while ((octets = syscall(SYS_sendmsg, fd, message, flags | MSG_DONTWAIT)) < 0 && errno == EAGAIN && now_ms() < until)
		sched_yield();
	return octets;
}

/* Asks the daemon for a sign of life on a socket of its own: 0, or -1 with errno ECONNREFUSED. */
static inline int shake_hands(void) {
	struct nlmsghdr hello = { .nlmsg_len = NLMSG_HDRLEN, .nlmsg_type = NLMSG_NOOP, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK };
	struct sockaddr_nl to = daemon_address();
	long long until = now_ms() + HANDSHAKE_MS;
	int saved = errno, one = 1, good = 0;
	int fd = (int)syscall(SYS_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_USERSOCK);
	if (fd < 0) return -1;
	syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof one);
	/* Nobody else can send there then. */
	syscall(SYS_connect, fd, &to, sizeof to);
	struct iovec words = { &hello, sizeof hello };
	struct msghdr question = { .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &words, .msg_iovlen = 1 };
	if (send_soon(fd, &question, 0) >= 0) {
		struct pollfd wait = { .fd = fd, .events = POLLIN };
		await_answer(fd);
		while (!good && now_ms() < until && poll(&wait, 1, HANDSHAKE_MS) == 1) {
			char bytes[256], control[128];
			struct sockaddr_nl from;
			struct iovec vector = { bytes, sizeof bytes };
			struct msghdr message = { .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &vector, .msg_iovlen = 1,
				.msg_control = control, .msg_controllen = sizeof control };
			if (syscall(SYS_recvmsg, fd, &message, MSG_DONTWAIT) < 0) break;
			good = is_from_root(&message);
		}
	}
	syscall(SYS_close, fd);
	errno = saved;
	if (!good) errno = ECONNREFUSED;
	return good ? 0 : -1;
}

/* What a socket's own policy may be here: a bypass, which becomes a mark; both directions go by it. 0, or an errno. */
static inline int socket_policy_error(const void *bytes, size_t octets) {
	struct xfrm_userpolicy_info policy;
	if (octets < sizeof policy) return EINVAL;
	memcpy(&policy, bytes, sizeof policy);
	if (policy.dir > XFRM_POLICY_OUT) return EINVAL;
	return policy.action != XFRM_POLICY_ALLOW || octets > sizeof policy ? EOPNOTSUPP : 0;
}

/* May keys be in this datagram? A state's, or one of several messages. By its first octets, of so many. */
static inline int may_have_keys(const void *bytes, size_t octets, size_t total) {
	struct nlmsghdr first;
	if (octets < sizeof first) return total >= sizeof first;
	memcpy(&first, bytes, sizeof first);
	return first.nlmsg_type == XFRM_MSG_NEWSA || first.nlmsg_type == XFRM_MSG_UPDSA || first.nlmsg_len < total;
}
#endif
