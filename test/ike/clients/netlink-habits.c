/*
 * What programs do with a socket to NETLINK_XFRM, one way each, and what the kernel gives them. Prints "ok", or
 * the line of the first thing that is otherwise. Judged by the kernel: run plainly it has to print "ok" too.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define IS(fact) do { if (!(fact)) { printf("line %d: %s (%s)\n", __LINE__, #fact, strerror(errno)); exit(1); } } while (0)

/* How many states there are: twenty octets that any peer answers. */
struct request { struct nlmsghdr head; unsigned flags; };
static struct request question(unsigned sequence) {
	struct request request = { { sizeof request, XFRM_MSG_GETSADINFO, NLM_F_REQUEST, sequence, 0 }, ~0u };
	return request;
}

/* The address of the kernel, where nobody may write. */
static const struct sockaddr_nl KERNEL = { .nl_family = AF_NETLINK };
static volatile int alarms;
static void on_alarm(int number) { (void)number; alarms++; }

static int is_answer(const void *bytes, ssize_t octets, unsigned sequence) {
	const struct nlmsghdr *head = bytes;
	return octets >= 20 && head->nlmsg_type == XFRM_MSG_NEWSADINFO && head->nlmsg_seq == sequence;
}

static void ask_by_address(int fd) {
	char bytes[512];
	struct sockaddr_nl from = { 0 };
	socklen_t octets = sizeof from;
	struct request request = question(1);
	IS(sendto(fd, &request, sizeof request, 0, (struct sockaddr *)&KERNEL, sizeof KERNEL) == sizeof request);
	ssize_t got = recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &octets);
	IS(is_answer(bytes, got, 1));
	IS(octets == sizeof from && from.nl_family == AF_NETLINK && from.nl_pid == 0);
}

/* As iproute2: the length first, then the message. */
static void ask_by_message(int fd) {
	char bytes[512];
	struct sockaddr_nl name = { .nl_family = AF_NETLINK };
	struct request request = question(2);
	struct iovec halves[2] = { { &request, 16 }, { &request.flags, 4 } }, vector = { bytes, sizeof bytes };
	struct msghdr message = { .msg_name = &name, .msg_namelen = sizeof name, .msg_iov = halves, .msg_iovlen = 2 };
	IS(sendmsg(fd, &message, 0) == sizeof request);
	message = (struct msghdr){ .msg_name = &name, .msg_namelen = sizeof name };
	ssize_t length = recvmsg(fd, &message, MSG_PEEK | MSG_TRUNC);
	IS(length > 20 && (message.msg_flags & MSG_TRUNC));
	message.msg_iov = &vector;
	message.msg_iovlen = 1;
	IS(recvmsg(fd, &message, 0) == length && is_answer(bytes, length, 2));
	IS(name.nl_pid == 0 && message.msg_namelen == sizeof name && message.msg_flags == 0);
	/* Cut off, and what was cut is gone. */
	IS(sendto(fd, &request, sizeof request, 0, (struct sockaddr *)&KERNEL, sizeof KERNEL) == sizeof request);
	vector.iov_len = 16;
	IS(recvmsg(fd, &message, 0) == 16 && (message.msg_flags & MSG_TRUNC));
	IS(recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) == -1 && errno == EAGAIN);
}

/* As pluto: never bound, no address. */
static void ask_by_write(void) {
	char bytes[512];
	struct request request = question(3);
	struct iovec halves[2] = { { bytes, 16 }, { bytes + 16, sizeof bytes - 16 } };
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_XFRM);
	IS(fd >= 0);
	IS(write(fd, &request, sizeof request) == sizeof request);
	IS(is_answer(bytes, read(fd, bytes, sizeof bytes), 3));
	IS(write(fd, &request, sizeof request) == sizeof request);
	IS(is_answer(bytes, readv(fd, halves, 2), 3));
	close(fd);
}

static void options(int fd) {
	int value = 0;
	socklen_t octets = sizeof value;
	IS(getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &value, &octets) == 0 && value == NETLINK_XFRM && octets == 4);
	IS(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &octets) == 0 && value == AF_NETLINK);
	struct sockaddr_nl own = { 0 };
	octets = sizeof own;
	IS(getsockname(fd, (struct sockaddr *)&own, &octets) == 0 && own.nl_pid == (unsigned)getpid());
	IS(fcntl(fd, F_GETFD) == FD_CLOEXEC && fd < 1024);
}

/* Nothing to read: at once, after a time, when a signal comes, when another thread's question is answered. */
static void *ask_later(void *fd) {
	usleep(100000);
	struct request request = question(4);
	IS(sendto(*(int *)fd, &request, sizeof request, 0, (struct sockaddr *)&KERNEL, sizeof KERNEL) == sizeof request);
	return NULL;
}

static void waits(int fd) {
	char bytes[512];
	struct timeval limit = { 0, 200000 }, begun, ended;
	struct itimerval timer = { { 0, 0 }, { 0, 100000 } };
	pthread_t thread;
	IS(recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) == -1 && errno == EAGAIN);
	IS(fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && read(fd, bytes, sizeof bytes) == -1 && errno == EAGAIN);
	IS(fcntl(fd, F_SETFL, 0) == 0);
	IS(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
	gettimeofday(&begun, NULL);
	IS(recv(fd, bytes, sizeof bytes, 0) == -1 && errno == EAGAIN);
	gettimeofday(&ended, NULL);
	IS((ended.tv_sec - begun.tv_sec) * 1000000 + ended.tv_usec - begun.tv_usec >= 200000);
	limit.tv_usec = 0;
	IS(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
	struct sigaction action = { .sa_handler = on_alarm };
	IS(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &timer, NULL) == 0);
	IS(recv(fd, bytes, sizeof bytes, 0) == -1 && errno == EINTR && alarms == 1);
	/* Made anew after a signal, if the program wants that; an answer is never lost to it. */
	action.sa_flags = SA_RESTART;
	timer.it_interval.tv_usec = 7000;
	IS(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &timer, NULL) == 0);
	IS(pthread_create(&thread, NULL, ask_later, &fd) == 0);
	IS(is_answer(bytes, recv(fd, bytes, sizeof bytes, 0), 4));
	pthread_join(thread, NULL);
	for (int i = 0; i < 50; i++) ask_by_address(fd);
	memset(&timer, 0, sizeof timer);
	IS(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

/* Others have the socket too: a duplicate, a child. */
static void shared(int fd) {
	int copy = dup(fd), other = fcntl(fd, F_DUPFD_CLOEXEC, 0), status = 0;
	IS(copy >= 0 && other >= 0);
	ask_by_address(copy);
	ask_by_message(other);
	close(copy);
	close(other);
	pid_t child = fork();
	if (child == 0) {
		ask_by_address(fd);
		ask_by_write();
		exit(0);
	}
	IS(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* A group is heard, and polled for. */
static void listens(void) {
	char bytes[1024];
	int group = 5, fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_XFRM);
	struct nlmsghdr flush[2] = { { 17, XFRM_MSG_FLUSHSA, NLM_F_REQUEST | NLM_F_ACK, 9, 0 } };
	struct sockaddr_nl own = { .nl_family = AF_NETLINK };
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	IS(bind(fd, (struct sockaddr *)&own, sizeof own) == 0);
	IS(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) == 0);
	IS(poll(&wait, 1, 0) == 0);
	IS(sendto(fd, flush, 17, 0, (struct sockaddr *)&KERNEL, sizeof KERNEL) == 17);
	IS(poll(&wait, 1, 5000) == 1);
	IS(recv(fd, bytes, sizeof bytes, 0) > 0 && ((struct nlmsghdr *)bytes)->nlmsg_type == NLMSG_ERROR);
	close(fd);
}

/* A key manager's sockets pass by all policies. */
static void bypasses(void) {
	struct xfrm_userpolicy_info policy = { .sel.family = AF_INET, .dir = XFRM_POLICY_OUT, .action = XFRM_POLICY_ALLOW };
	int encap = 2, fd = socket(AF_INET, SOCK_DGRAM, 0);
	IS(setsockopt(fd, IPPROTO_IP, IP_XFRM_POLICY, &policy, sizeof policy) == 0);
	IS(setsockopt(fd, IPPROTO_IP, IP_XFRM_POLICY, &policy, 3) == -1 && errno == EINVAL);
	IS(setsockopt(fd, IPPROTO_UDP, 100, &encap, sizeof encap) == 0);
	close(fd);
}

int main(void) {
	struct sockaddr_nl own = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_XFRM);
	IS(fd >= 0);
	IS(bind(fd, (struct sockaddr *)&own, sizeof own) == 0);
	options(fd);
	ask_by_address(fd);
	ask_by_message(fd);
	ask_by_write();
	waits(fd);
	shared(fd);
	listens();
	bypasses();
	puts("ok");
	return 0;
}
