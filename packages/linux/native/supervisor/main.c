/*
 *     supervisor FILE ARG0 ARGS…
 *
 * Becomes FILE, with a filter that asks the process beside it. That process has been started by one that has ended,
 * with no signal at its end, so that the program finds no child that it has not made.
 */
#include "supervisor.h"
#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* Numbers in the program that our sockets have. */
#define RANGE 64
#define RANGE_END_MAX 1024
/* How soon a signal for a program that waits is seen. */
#define LOOK_MS 50

static int listener = -1;

int answer(const struct call *call, int64_t value, int error) {
	struct seccomp_notif_resp response = { .id = call->id, .val = error ? 0 : value, .error = -error };
	return ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

void go_on(const struct call *call) {
	struct seccomp_notif_resp response = { .id = call->id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

int is_there(const struct call *call) { return ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &call->id) == 0; }

void put_in(const struct call *call, int fd, int close_on_exec, unsigned least) {
	struct seccomp_notif_addfd add = { .id = call->id, .flags = SECCOMP_ADDFD_FLAG_SETFD | SECCOMP_ADDFD_FLAG_SEND,
		.srcfd = (uint32_t)fd, .newfd_flags = close_on_exec ? O_CLOEXEC : 0 };
	int number = free_number(call, least);
	add.newfd = (uint32_t)number;
	if (number < 0 || ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0) answer(call, 0, EMFILE);
}

static void take_call(void) {
	struct seccomp_notif_sizes sizes;
	static struct seccomp_notif *notification;
	static size_t octets;
	struct call call = { .memory = -1 };
	if (!notification) {
		octets = sizeof *notification;
		if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) == 0 && sizes.seccomp_notif > octets)
			octets = sizes.seccomp_notif;
		notification = malloc(octets);
		if (!notification) _exit(1);
	}
	memset(notification, 0, octets);
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, notification) != 0) return;
	call.id = notification->id;
	call.tid = (int)notification->pid;
	call.nr = notification->data.nr;
	memcpy(call.args, notification->data.args, sizeof call.args);
	handle(&call, notification->data.arch);
	close_memory(&call);
}

static void serve(void) {
	int64_t looked = 0;
	for (;;) {
		struct pollfd polled[WAITING_MAX + 1];
		unsigned count = list_waiting(polled);
		int look;
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

/* No signal, no core with keys in it, descriptors for all that may wait. */
static void settle(void) {
	struct rlimit limit = { 0, 0 };
	int number;
	setsid();
	for (number = 1; number < 65; number++) signal(number, number == SIGKILL || number == SIGSTOP ? SIG_DFL : SIG_IGN);
	setrlimit(RLIMIT_CORE, &limit);
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_NAME, "xfrm-supervisor");
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* The process beside the program: nothing of the program's but its filter. */
static void supervise(int program) {
	pid_t self = getpid();
	int null, number;
	settle();
	if (chdir("/") != 0 || write(program, &self, sizeof self) != sizeof self) _exit(1);
	listener = receive_descriptor(program);
	/* The two that are needed, below what is closed. */
	listener = fcntl(listener, F_DUPFD_CLOEXEC, 10);
	program = fcntl(program, F_DUPFD_CLOEXEC, 10);
	listener = dup2(listener, 4);
	program = dup2(program, 3);
	if (listener < 0 || program < 0) _exit(1);
	syscall(SYS_close_range, 5, ~0u, 0);
	null = open("/dev/null", O_RDWR);
	for (number = 0; number < 3; number++) dup2(null, number);
	if (null > 4) close(null);
	remember_own_namespace();
	if (write(program, "", 1) != 1) _exit(1);
	close(program);
	serve();
	_exit(0);
}

static int fail(const char *what) {
	fprintf(stderr, "xfrm exec: %s (%s)\n", what, strerror(errno));
	return 2;
}

/* Has this process the filter of another supervisor already? That one gives no lowest number. */
static int is_supervised(void) {
	int fd, lowest = dup(STDERR_FILENO);
	close(lowest);
	fd = (int)syscall(SYS_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_XFRM_);
	close(fd);
	return lowest >= 0 && fd > lowest;
}

/* Starts the process beside; the socket to it, or -1. */
static int start_supervisor(pid_t *supervisor) {
	int pair[2];
	pid_t child;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return -1;
	child = (pid_t)syscall(SYS_clone, 0, 0, 0, 0, 0);
	if (child == 0) {
		close(pair[0]);
		if (syscall(SYS_clone, 0, 0, 0, 0, 0) == 0) supervise(pair[1]);
		_exit(0);
	}
	close(pair[1]);
	if (child < 0) return -1;
	waitpid(child, NULL, __WALL);
	return read(pair[0], supervisor, sizeof *supervisor) == sizeof *supervisor ? pair[0] : -1;
}

/* Past the preload shim, which may be here too, and would start a supervisor. */
static int become(char **words) {
	syscall(SYS_execve, words[1], words + 2, environ);
	fprintf(stderr, "xfrm exec: %s: %s\n", words[1], errno == ENOENT ? "no such program" : strerror(errno));
	return errno == ENOENT ? 127 : 126;
}

int main(int count, char **words) {
	struct rlimit files;
	int filter, beside;
	pid_t supervisor = 0;
	char octet;
	if (count < 3) return 2;
	getrlimit(RLIMIT_NOFILE, &files);
	range_end = files.rlim_cur < RANGE_END_MAX ? (unsigned)files.rlim_cur : RANGE_END_MAX;
	range_at = range_end < 2 * RANGE ? range_end / 2 : range_end - RANGE;
	beside = start_supervisor(&supervisor);
	if (beside < 0) return fail("no supervisor can be started");
	/* Where only a parent may look into a process; elsewhere it does nothing. */
	prctl(PR_SET_PTRACER, supervisor, 0, 0, 0);
	filter = install_filter();
	if (filter < 0 && errno == EACCES) {
		/* Without CAP_SYS_ADMIN: programs that it starts gain no rights then. */
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		filter = install_filter();
	}
	if (filter < 0 && errno == EBUSY && is_supervised()) {
		close(beside);
		return become(words);
	}
	if (filter < 0) return fail("the kernel takes no filter of system calls");
	if (send_descriptor(beside, filter) != 0 || read(beside, &octet, 1) != 1) return fail("no supervisor");
	close(filter);
	close(beside);
	return become(words);
}
