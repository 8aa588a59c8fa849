/*
 * Ways to the kernel's XFRM past the calls that a supervisor is asked about. Prints for each the name of what it
 * ended with, one a line; "0" where it was let go. Addresses fit into 32 bits: linked statically, and not PIE.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void tell(const char *what, long done) {
	printf("%s %s\n", what, done >= 0 ? "0" : strerrorname_np(errno));
}

#ifdef __x86_64__
/* As a 32-bit program calls the kernel. */
static long call32(long number, long first, long second, long third) {
	long done;
	__asm__ volatile("int $0x80" : "=a"(done) : "a"(number), "b"(first), "c"(second), "d"(third) : "memory", "r8", "r9", "r10", "r11");
	if (done >= 0) return done;
	errno = (int)-done;
	return -1;
}
static unsigned words[3];
static long socketcall32(unsigned domain, unsigned type, unsigned protocol) {
	words[0] = domain;
	words[1] = type;
	words[2] = protocol;
	return call32(102, 1, (long)words, 0);
}
#endif

int main(void) {
	static char parameters[256];
	tell("io_uring", syscall(SYS_io_uring_setup, 4, parameters));
	tell("PF_KEY", socket(AF_KEY, SOCK_RAW, 2));
#ifdef __x86_64__
	tell("socket of 32 bits", call32(359, AF_NETLINK, SOCK_RAW, NETLINK_XFRM));
	tell("socketcall", socketcall32(AF_NETLINK, SOCK_RAW, NETLINK_XFRM));
	tell("io_uring of 32 bits", call32(425, 4, (long)parameters, 0));
	tell("another socket of 32 bits", call32(359, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
	tell("another socketcall", socketcall32(AF_UNIX, SOCK_STREAM, 0));
	tell("socket of x32", syscall(0x40000000 | SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_XFRM));
#endif
	return 0;
}
