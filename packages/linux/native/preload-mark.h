/*
 * Part of the preload shim: SO_MARK of a socket whose packets bypass all policies. The socket itself bears the mark
 * that the daemon's filter lets go; the program's own, or 0, goes with each packet, which is routed by it.
 *
 *   SO_MARK, before or behind the bypass   is kept here, and told when it is asked for
 *   sendmsg, sendto, write …               an SO_MARK is put in front of the packet's control messages
 *
 * A packet's mark needs the same right as the socket's: who has given it up since sends without. Not marked is what
 * the kernel sends of its own accord, as for TCP.
 */
#ifndef XFRM_PRELOAD_MARK_H
#define XFRM_PRELOAD_MARK_H
#include "handshake.h"

/* Control messages of a packet, in octets. */
#define CONTROL_MAX 1024

typedef __typeof__(&sendmsg) sender;

static inline int bypasses(int fd) {
	int mark = 0;
	socklen_t octets = sizeof mark;
	return syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_MARK, &mark, &octets) == 0 && mark == BYPASS_MARK;
}

/* Sends by the real function; a descriptor that is another socket by now sends as it is. */
static inline ssize_t send_marked(sender real, int fd, const struct msghdr *message, int flags, int mark) {
	union {
		struct cmsghdr first;
		char bytes[CMSG_SPACE(sizeof mark) + CONTROL_MAX];
	} control = { .first = { .cmsg_level = SOL_SOCKET, .cmsg_type = SO_MARK, .cmsg_len = CMSG_LEN(sizeof mark) } };
	size_t theirs = message->msg_control ? message->msg_controllen : 0;
	struct msghdr marked = *message;
	ssize_t sent;
	if (theirs > CONTROL_MAX || !bypasses(fd)) return real(fd, message, flags);
	memcpy(CMSG_DATA(&control.first), &mark, sizeof mark);
	if (theirs) memcpy(control.bytes + CMSG_SPACE(sizeof mark), message->msg_control, theirs);
	marked.msg_control = &control;
	marked.msg_controllen = CMSG_SPACE(sizeof mark) + theirs;
	sent = real(fd, &marked, flags);
	return sent < 0 && errno == EPERM ? real(fd, message, flags) : sent;
}
#endif
