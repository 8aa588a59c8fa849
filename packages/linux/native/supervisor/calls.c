/* One call of the program's: what it is about, and what becomes of it. */
#include "supervisor.h"
#include <fcntl.h>
#include <netinet/in.h>

static void open_socket(const struct call *call) {
	int type = (int)call->args[1];
	int entered = enter_namespace(call);
	int fd = entered < 0 ? -1 : socket(AF_NETLINK, type | SOCK_CLOEXEC, NETLINK_USERSOCK);
	int error = errno;
	leave_namespace(entered);
	if (fd < 0) {
		answer(call, 0, error);
		return;
	}
	put_in(call, fd, (type & SOCK_CLOEXEC) != 0, 0);
	close(fd);
}

/* A socket's own policy: a bypass is a mark. 0, or an errno. */
static int set_policy(struct call *call, int fd) {
	struct xfrm_userpolicy_info policy;
	size_t octets = (uint32_t)call->args[4];
	int error, mark = octets ? BYPASS_MARK : 0;
	if (!may_administer(call, fd)) return EPERM;
	if (octets >= sizeof policy && get(call, call->args[3], &policy, sizeof policy) != 0) return errno;
	error = octets ? socket_policy_error(&policy, octets) : 0;
	if (error || (octets == 0 && option_of(fd, SO_MARK) != BYPASS_MARK)) return error;
	return setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark) == 0 ? 0 : errno;
}

/* Socket options that belong to XFRM; what sockets of another kind make of them the kernel knows. */
static void set_option(struct call *call, int fd) {
	int one = 1, level = (int)call->args[1], family = option_of(fd, SO_DOMAIN);
	if (level == SOL_UDP && option_of(fd, SO_PROTOCOL) == IPPROTO_UDP)
		/* Its port is shared with the daemon. */
		answer(call, 0, setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) == 0 ? 0 : errno);
	else if (level != SOL_UDP && (family == AF_INET6 || (family == AF_INET && level == IPPROTO_IP)))
		answer(call, 0, set_policy(call, fd));
	else go_on(call);
}

/* Writes a value and its length, into so much room as the program says; an address has its whole length. */
static int put_value(struct call *call, uint64_t at, uint64_t octets_at, const void *bytes, socklen_t octets, int is_address) {
	socklen_t room = 0, given;
	if (get(call, octets_at, &room, sizeof room) != 0) return errno;
	if ((int)room < 0) return EINVAL;
	given = room < octets ? room : octets;
	if (put(call, at, bytes, given) != 0) return errno;
	return put(call, octets_at, is_address ? &octets : &given, sizeof octets) == 0 ? 0 : errno;
}

/* What a program may ask about its socket, and would be told about another kind of it. */
static void tell(struct call *call, int fd) {
	const uint64_t *args = call->args;
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	socklen_t octets = sizeof address;
	int protocol = NETLINK_XFRM_;
	if (call->nr == SYS_getsockopt) {
		if ((int)args[1] != SOL_SOCKET || (int)args[2] != SO_PROTOCOL) go_on(call);
		else answer(call, 0, put_value(call, args[3], args[4], &protocol, sizeof protocol, 0));
		return;
	}
	getpeername(fd, (struct sockaddr *)&address, &octets);
	address.nl_pid = 0;
	answer(call, 0, put_value(call, args[1], args[2], &address, sizeof address, 1));
}

static void duplicate(const struct call *call, int fd) {
	int command = (int)call->args[1];
	if (call->nr == SYS_dup) put_in(call, fd, 0, 0);
	else if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
		put_in(call, fd, command == F_DUPFD_CLOEXEC, (unsigned)call->args[2]);
	else go_on(call);
}

/* Of a 32-bit program, whose arguments of socket(2) are in its memory: AF_NETLINK, …, NETLINK_XFRM is not there. */
static void refuse_socket(struct call *call) {
	uint32_t words[3];
	if (get(call, call->args[1], words, sizeof words) != 0) go_on(call);
	else if (words[0] == AF_NETLINK && words[2] == NETLINK_XFRM_) answer(call, 0, EPROTONOSUPPORT);
	else if (words[0] == AF_KEY) answer(call, 0, EAFNOSUPPORT);
	else go_on(call);
}

/* On a descriptor of the program's. The copy is this function's to close. */
static void handle_descriptor(struct call *call, int fd) {
	if (!is_ours(fd)) go_on(call);
	else switch (call->nr) {
	case SYS_read: case SYS_readv: case SYS_recvfrom: case SYS_recvmsg: case SYS_recvmmsg:
		begin_receive(call, fd);
		return;
	case SYS_getsockopt: case SYS_getpeername:
		tell(call, fd);
		break;
	case SYS_dup: case SYS_fcntl:
		duplicate(call, fd);
		break;
	case SYS_connect:
		connect_socket(call, fd);
		break;
	default:
		send_messages(call, fd);
	}
	close(fd);
}

void handle(struct call *call, uint32_t architecture) {
	int fd;
	if (architecture != OWN_ARCHITECTURE) {
		refuse_socket(call);
		return;
	}
	if (call->nr == SYS_socket) {
		open_socket(call);
		return;
	}
	fd = copy_of(call, (int)call->args[0]);
	/* None, or one that may not be looked at, of a program with other rights: most numbers of the range are not ours. */
	if (fd < 0 && (errno == EBADF || (errno == EPERM && call->nr != SYS_setsockopt))) go_on(call);
	else if (fd < 0) answer(call, 0, errno);
	else if (call->nr == SYS_setsockopt) {
		set_option(call, fd);
		close(fd);
	} else handle_descriptor(call, fd);
}
