/*
 * Which system calls the supervisor is asked about: socket(2) for NETLINK_XFRM, options that belong to XFRM, and
 * what is done with a descriptor of the range. And which are refused, as they lead to the kernel's XFRM past it.
 */
#include "supervisor.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#endif

/* The architecture, the one of its 32-bit programs, and these programs' numbers of socket and socketcall. */
#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#define OTHER_ARCHITECTURE AUDIT_ARCH_I386
#define OTHER_SOCKET 359
#define OTHER_SOCKETCALL 102
/* Numbers from here on are those of the x32 ABI. */
#define NUMBERS_END 0x40000000
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#define OTHER_ARCHITECTURE AUDIT_ARCH_ARM
#define OTHER_SOCKET 281
#define OTHER_SOCKETCALL 102
#define NUMBERS_END 0x40000000
#endif
/* What socketcall does when it does what socket does. */
#define SOCKETCALL_SOCKET 1

const uint32_t OWN_ARCHITECTURE = ARCHITECTURE;

/* Calls that are looked at when their descriptor is in the range. */
static const unsigned RANGE_CALLS[] = {
	SYS_connect, SYS_sendto, SYS_sendmsg, SYS_sendmmsg, SYS_write, SYS_writev,
	SYS_recvfrom, SYS_recvmsg, SYS_recvmmsg, SYS_read, SYS_readv,
	SYS_getsockopt, SYS_getpeername, SYS_dup, SYS_fcntl,
};
#define RANGE_CALL_COUNT (sizeof RANGE_CALLS / sizeof *RANGE_CALLS)

/* Where a line goes on: at the next one, or at the one that has this name. */
enum place {
	NEXT, SOCKET, OPTION, OPTION_OF_IP, OPTION_OF_IPV6, OPTION_OF_UDP, IN_RANGE, OTHER, OTHER_IS_SOCKET, OTHER_IS_CALL,
	LET_GO, ASK, NO_CALL, NO_FAMILY, NO_PROTOCOL,
};
struct line {
	enum place name;
	unsigned short code;
	unsigned value;
	enum place yes, no;
};

#define DATA(field) (unsigned)offsetof(struct seccomp_data, field)
/* The lower half of an argument, on little-endian machines. */
#define ARGUMENT(index) (DATA(args) + 8 * (index))
#define LOAD (BPF_LD | BPF_W | BPF_ABS)
#define IS (BPF_JMP | BPF_JEQ | BPF_K)
#define IS_NOT_BELOW (BPF_JMP | BPF_JGE | BPF_K)
#define END (BPF_RET | BPF_K)

static const struct line HEAD[] = {
	{ NEXT, LOAD, DATA(arch), NEXT, NEXT },
	{ NEXT, IS, ARCHITECTURE, NEXT, OTHER },
	{ NEXT, LOAD, DATA(nr), NEXT, NEXT },
	/* A tracer has made it no call. */
	{ NEXT, IS, ~0u, LET_GO, NEXT },
	{ NEXT, IS_NOT_BELOW, NUMBERS_END, NO_CALL, NEXT },
	{ NEXT, IS, SYS_io_uring_setup, NO_CALL, NEXT },
	{ NEXT, IS, SYS_socket, SOCKET, NEXT },
	{ NEXT, IS, SYS_setsockopt, OPTION, NEXT },
};
#define HEAD_COUNT (sizeof HEAD / sizeof *HEAD)

/* Behind a line for each of RANGE_CALLS. Places for the range's bounds are filled in. */
static const struct line TAIL[] = {
	{ NEXT, END, SECCOMP_RET_ALLOW, NEXT, NEXT },
	{ SOCKET, LOAD, ARGUMENT(0), NEXT, NEXT },
	{ NEXT, IS, AF_KEY, NO_FAMILY, NEXT },
	{ NEXT, IS, AF_NETLINK, NEXT, LET_GO },
	{ NEXT, LOAD, ARGUMENT(2), NEXT, NEXT },
	{ NEXT, IS, NETLINK_XFRM_, ASK, LET_GO },
	{ OPTION, LOAD, ARGUMENT(1), NEXT, NEXT },
	{ NEXT, IS, IPPROTO_IP, OPTION_OF_IP, NEXT },
	{ NEXT, IS, IPPROTO_IPV6, OPTION_OF_IPV6, NEXT },
	{ NEXT, IS, SOL_UDP, OPTION_OF_UDP, LET_GO },
	{ OPTION_OF_IP, LOAD, ARGUMENT(2), NEXT, NEXT },
	{ NEXT, IS, IP_XFRM_POLICY, ASK, LET_GO },
	{ OPTION_OF_IPV6, LOAD, ARGUMENT(2), NEXT, NEXT },
	{ NEXT, IS, IPV6_XFRM_POLICY, ASK, LET_GO },
	{ OPTION_OF_UDP, LOAD, ARGUMENT(2), NEXT, NEXT },
	{ NEXT, IS, UDP_ENCAP, ASK, LET_GO },
	{ OTHER, IS, OTHER_ARCHITECTURE, NEXT, LET_GO },
	{ NEXT, LOAD, DATA(nr), NEXT, NEXT },
	{ NEXT, IS, SYS_io_uring_setup, NO_CALL, NEXT },
	{ NEXT, IS, OTHER_SOCKET, OTHER_IS_SOCKET, NEXT },
	{ NEXT, IS, OTHER_SOCKETCALL, OTHER_IS_CALL, LET_GO },
	{ OTHER_IS_SOCKET, LOAD, ARGUMENT(0), NEXT, NEXT },
	{ NEXT, IS, AF_KEY, NO_FAMILY, NEXT },
	{ NEXT, IS, AF_NETLINK, NEXT, LET_GO },
	{ NEXT, LOAD, ARGUMENT(2), NEXT, NEXT },
	{ NEXT, IS, NETLINK_XFRM_, NO_PROTOCOL, LET_GO },
	{ OTHER_IS_CALL, LOAD, ARGUMENT(0), NEXT, NEXT },
	{ NEXT, IS, SOCKETCALL_SOCKET, ASK, LET_GO },
	{ LET_GO, END, SECCOMP_RET_ALLOW, NEXT, NEXT },
	{ ASK, END, SECCOMP_RET_USER_NOTIF, NEXT, NEXT },
	{ NO_CALL, END, SECCOMP_RET_ERRNO | ENOSYS, NEXT, NEXT },
	{ NO_FAMILY, END, SECCOMP_RET_ERRNO | EAFNOSUPPORT, NEXT, NEXT },
	{ NO_PROTOCOL, END, SECCOMP_RET_ERRNO | EPROTONOSUPPORT, NEXT, NEXT },
};
#define TAIL_COUNT (sizeof TAIL / sizeof *TAIL)
#define LINES_MAX (HEAD_COUNT + RANGE_CALL_COUNT + 3 + TAIL_COUNT)

static unsigned write_lines(struct line *lines) {
	unsigned count = 0, i;
	for (i = 0; i < HEAD_COUNT; i++) lines[count++] = HEAD[i];
	for (i = 0; i < RANGE_CALL_COUNT; i++) lines[count++] = (struct line){ NEXT, IS, RANGE_CALLS[i], IN_RANGE, NEXT };
	lines[count++] = TAIL[0];
	lines[count++] = (struct line){ IN_RANGE, LOAD, ARGUMENT(0), NEXT, NEXT };
	lines[count++] = (struct line){ NEXT, IS_NOT_BELOW, range_at, NEXT, LET_GO };
	lines[count++] = (struct line){ NEXT, IS_NOT_BELOW, range_end, LET_GO, ASK };
	for (i = 1; i < TAIL_COUNT; i++) lines[count++] = TAIL[i];
	return count;
}

/* How many lines to skip, behind this one. All places are further down. */
static unsigned char distance(const struct line *lines, unsigned from, enum place to) {
	unsigned at = from + 1;
	while (to != NEXT && lines[at].name != to) at++;
	return (unsigned char)(at - from - 1);
}

int install_filter(void) {
	struct line lines[LINES_MAX];
	struct sock_filter code[LINES_MAX];
	unsigned i, count = write_lines(lines);
	struct sock_fprog program = { .len = (unsigned short)count, .filter = code };
	int fd;
	for (i = 0; i < count; i++) {
		int jumps = BPF_CLASS(lines[i].code) == BPF_JMP;
		code[i] = (struct sock_filter){ lines[i].code, jumps ? distance(lines, i, lines[i].yes) : 0,
			jumps ? distance(lines, i, lines[i].no) : 0, lines[i].value };
	}
	fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &program);
	/* Linux before 5.19. */
	if (fd < 0 && errno == EINVAL)
		fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
	return fd;
}
