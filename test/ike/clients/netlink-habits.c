/*
 * What programs do with a socket to NETLINK_XFRM, one way each, and what the kernel gives them. Prints "ok", or
 * the line of the first thing that is otherwise. Judged by the kernel: run plainly it has to print "ok" too.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
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
static volatile int alarms, ends;
static void on_alarm(int number) { (void)number; alarms++; }
static void on_end(int number) { (void)number; ends++; }

/* The preload shim is part of the program: a bad pointer ends it, as it does in other functions of the C library. */
static int reads_memory_itself(void) { return getenv("LD_PRELOAD") != NULL; }

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

/* The constant serves other sockets too, as libmnl's does. */
static void address_is_shared(void) {
	char bytes[8192];
	struct { struct nlmsghdr head; struct rtgenmsg body; } links = { { 17, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 5, 0 }, { 0 } };
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	IS(KERNEL.nl_pid == 0);
	IS(sendto(fd, &links, sizeof links, 0, (struct sockaddr *)&KERNEL, sizeof KERNEL) == sizeof links);
	IS(recv(fd, bytes, sizeof bytes, 0) > 0 && ((struct nlmsghdr *)bytes)->nlmsg_type == RTM_NEWLINK);
	close(fd);
}

/* Several messages by one call, with and without an address. */
static void ask_by_several(int fd) {
	char bytes[3][512];
	struct request requests[3] = { question(6), question(7), question(8) };
	struct sockaddr_nl name = KERNEL, from[3];
	struct iovec in[3], out[3];
	struct mmsghdr asked[3] = { 0 }, answers[3] = { 0 };
	struct timespec limit = { 5, 0 };
	for (int i = 0; i < 3; i++) {
		in[i] = (struct iovec){ bytes[i], sizeof bytes[i] };
		out[i] = (struct iovec){ &requests[i], sizeof requests[i] };
		asked[i].msg_hdr = (struct msghdr){ .msg_name = i ? NULL : &name, .msg_namelen = i ? 0 : sizeof name, .msg_iov = &out[i], .msg_iovlen = 1 };
		answers[i].msg_hdr = (struct msghdr){ .msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &in[i], .msg_iovlen = 1 };
		memset(&from[i], 255, sizeof from[i]);
	}
	IS(sendmmsg(fd, asked, 3, 0) == 3 && asked[0].msg_len == sizeof *requests && asked[2].msg_len == sizeof *requests);
	IS(recvmmsg(fd, answers, 2, 0, &limit) == 2 && limit.tv_sec < 5 + (limit.tv_nsec == 0));
	IS(is_answer(bytes[0], answers[0].msg_len, 6) && is_answer(bytes[1], answers[1].msg_len, 7));
	IS(from[1].nl_pid == 0 && from[1].nl_family == AF_NETLINK && answers[1].msg_hdr.msg_namelen == sizeof *from);
	/* What is there, and no more. */
	IS(recvmmsg(fd, answers, 3, MSG_WAITFORONE, NULL) == 1 && is_answer(bytes[0], answers[0].msg_len, 8));
	IS(recvmmsg(fd, answers, 3, MSG_DONTWAIT, NULL) == -1 && errno == EAGAIN);
	IS(sendmmsg(fd, asked, 1, 0) == 1);
	limit = (struct timespec){ 0, 1 };
	IS(recvmmsg(fd, answers, 3, 0, &limit) == 1 && limit.tv_sec == 0 && limit.tv_nsec == 0);
	limit.tv_nsec = -1;
	IS(recvmmsg(fd, answers, 3, 0, &limit) == -1 && errno == EINVAL);
	IS(recvmmsg(fd, answers, 0, 0, NULL) == 0);
	if (reads_memory_itself()) return;
	/* The second has no memory to be in: it is lost, and Linux may say so with the next call. */
	IS(sendmmsg(fd, asked, 2, 0) == 2);
	in[1].iov_base = NULL;
	IS(recvmmsg(fd, answers, 2, 0, NULL) == 1 && is_answer(bytes[0], answers[0].msg_len, 6));
	out[1].iov_base = NULL;
	IS(sendmmsg(fd, asked, 2, 0) == 1);
	ssize_t got = recv(fd, bytes[0], sizeof bytes[0], 0);
	if (got < 0 && errno == EFAULT) got = recv(fd, bytes[0], sizeof bytes[0], 0);
	IS(is_answer(bytes[0], got, 6));
}

/* Of any shape: more vectors than one would think, none, too many; memory that is not there; odd flags. */
static void odd_shapes(int fd) {
	static struct iovec vectors[1025];
	char bytes[1025], none;
	struct request request = question(10);
	struct sockaddr_nl other = { .nl_family = AF_INET };
	for (int i = 0; i < 1025; i++) vectors[i] = (struct iovec){ &bytes[i], 1 };
	for (int i = 0; i < (int)sizeof request; i++) bytes[i] = ((char *)&request)[i];
	IS(writev(fd, vectors, sizeof request) == sizeof request);
	IS(is_answer(bytes, readv(fd, vectors, 1024), 10));
	IS(read(fd, &none, 0) == 0);
	struct msghdr message = { .msg_iov = vectors, .msg_iovlen = 1025, .msg_name = &other, .msg_namelen = sizeof other };
	IS(recvmsg(fd, &message, 0) == -1 && errno == EMSGSIZE);
	IS(sendmsg(fd, &message, 0) == -1 && errno == EMSGSIZE);
	IS(writev(fd, vectors, 1025) == -1 && errno == EINVAL);
	message.msg_iovlen = 1;
	IS(sendmsg(fd, &message, 0) == -1 && errno == EINVAL);
	IS(sendto(fd, &request, sizeof request, 0, (struct sockaddr *)&KERNEL, 4) == -1 && errno == EINVAL);
	IS(send(fd, &request, sizeof request, MSG_OOB) == -1 && errno == EOPNOTSUPP);
	IS(recv(fd, bytes, sizeof bytes, MSG_OOB) == -1 && errno == EOPNOTSUPP);
	if (reads_memory_itself()) return;
	IS(sendto(fd, NULL, sizeof request, 0, (struct sockaddr *)&KERNEL, sizeof KERNEL) == -1 && errno == EFAULT);
	/* What can't be written is lost. */
	IS(sendto(fd, &request, sizeof request, 0, (struct sockaddr *)&KERNEL, sizeof KERNEL) == sizeof request);
	socklen_t octets = sizeof other;
	IS(recvfrom(fd, NULL, 100, 0, (struct sockaddr *)&other, &octets) == -1 && errno == EFAULT);
	IS(recvfrom(fd, bytes, 100, MSG_DONTWAIT, (struct sockaddr *)&other, &octets) == -1 && errno == EAGAIN);
}

/* Which group, and nobody's credentials: with room, with too little, and with none. */
static void cut_control_messages(int fd) {
	char bytes[512], control[64];
	const size_t rooms[] = { sizeof control, 18, 8, 0 };
	int value = 1;
	socklen_t octets = sizeof value;
	IS(getsockopt(fd, SOL_SOCKET, SO_PASSCRED, &value, &octets) == 0 && value == 0);
	for (unsigned i = 0; i < sizeof rooms / sizeof *rooms; i++) {
		struct iovec vector = { bytes, sizeof bytes };
		struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = rooms[i] };
		struct request request = question(12 + i);
		struct cmsghdr *first = (struct cmsghdr *)control;
		IS(write(fd, &request, sizeof request) == sizeof request);
		IS(is_answer(bytes, recvmsg(fd, &message, 0), 12 + i));
		IS(message.msg_flags == (rooms[i] < CMSG_SPACE(sizeof(struct nl_pktinfo)) ? MSG_CTRUNC : 0));
		IS(message.msg_controllen == (rooms[i] == 64 ? CMSG_SPACE(sizeof(struct nl_pktinfo)) : rooms[i] == 18 ? 18 : 0));
		if (rooms[i] >= sizeof *first) IS(first->cmsg_level == SOL_NETLINK && first->cmsg_type == NETLINK_PKTINFO);
		if (rooms[i] == 18) IS(first->cmsg_len == 18);
	}
}

/* Control messages, in exactly the room that they need: to which group, and from whom. */
static void control_messages(int fd) {
	char bytes[512], control[CMSG_SPACE(sizeof(struct nl_pktinfo)) + CMSG_SPACE(sizeof(struct ucred))];
	struct sockaddr_nl name;
	struct iovec vector = { bytes, sizeof bytes };
	struct request request = question(11);
	int one = 1, zero = 0;
	IS(setsockopt(fd, SOL_NETLINK, NETLINK_PKTINFO, &one, sizeof one) == 0);
	IS(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof one) == 0);
	for (int named = 0; named < 2; named++) {
		struct msghdr message = { .msg_name = named ? &name : NULL, .msg_namelen = named ? sizeof name : 0, .msg_iov = &vector, .msg_iovlen = 1,
			.msg_control = control, .msg_controllen = sizeof control };
		int groups = 0, senders = 0;
		IS(write(fd, &request, sizeof request) == sizeof request);
		IS(is_answer(bytes, recvmsg(fd, &message, 0), 11) && message.msg_flags == 0 && message.msg_controllen == sizeof control);
		for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at; at = CMSG_NXTHDR(&message, at)) {
			struct ucred *sender = (struct ucred *)CMSG_DATA(at);
			if (at->cmsg_level == SOL_NETLINK) groups++;
			else senders += sender->pid == 0 && sender->uid == 0 && sender->gid == 0;
		}
		IS(groups == 1 && senders == 1);
	}
	IS(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &zero, sizeof zero) == 0);
	cut_control_messages(fd);
	IS(setsockopt(fd, SOL_NETLINK, NETLINK_PKTINFO, &zero, sizeof zero) == 0);
}

static void options(int fd) {
	int value = 0;
	socklen_t octets = sizeof value;
	IS(getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &value, &octets) == 0 && value == NETLINK_XFRM && octets == 4);
	octets = 2;
	IS(getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &value, &octets) == 0 && value == NETLINK_XFRM && octets == 2);
	octets = sizeof value;
	IS(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &octets) == 0 && value == AF_NETLINK);
	struct sockaddr_nl own = { 0 };
	octets = sizeof own;
	IS(getsockname(fd, (struct sockaddr *)&own, &octets) == 0 && own.nl_pid == (unsigned)getpid());
	octets = sizeof own;
	IS(getpeername(fd, (struct sockaddr *)&own, &octets) == 0 && own.nl_pid == 0 && octets == sizeof own);
	IS(fcntl(fd, F_GETFD) == FD_CLOEXEC && fd < 1024);
}

/* Sets a socket's options and asks for a state without any algorithm: how long the refusal is, and its flags. */
static void refused(int fd, int extended, int capped, unsigned octets, int flags) {
	struct { struct nlmsghdr header; struct xfrm_usersa_info state; } request = {
		{ sizeof request, XFRM_MSG_NEWSA, NLM_F_REQUEST | NLM_F_ACK, 12, 0 },
		{ .id.proto = IPPROTO_ESP, .id.spi = 1, .family = AF_INET } };
	union { struct nlmsghdr header; char bytes[1024]; } answer;
	IS(setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &extended, sizeof extended) == 0);
	IS(setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &capped, sizeof capped) == 0);
	IS(sendto(fd, &request, sizeof request, 0, (struct sockaddr *)&KERNEL, sizeof KERNEL) == sizeof request);
	IS(recv(fd, &answer, sizeof answer, 0) >= (ssize_t)octets && answer.header.nlmsg_type == NLMSG_ERROR);
	IS(((struct nlmsgerr *)NLMSG_DATA(&answer.header))->error == -EINVAL);
	IS(answer.header.nlmsg_flags == flags);
	IS(extended ? answer.header.nlmsg_len > octets : answer.header.nlmsg_len == octets);
}
static void refusals(int fd) {
	unsigned whole = 20 + sizeof(struct nlmsghdr) + sizeof(struct xfrm_usersa_info), header = 20 + sizeof(struct nlmsghdr);
	refused(fd, 0, 0, whole, 0);
	refused(fd, 1, 0, whole, NLM_F_ACK_TLVS);
	refused(fd, 1, 1, header, NLM_F_ACK_TLVS | NLM_F_CAPPED);
	refused(fd, 0, 1, header, NLM_F_CAPPED);
	refused(fd, 0, 0, whole, 0);
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

/* A signal for the process while several threads wait: it is one's, and the others notice nothing. */
static int lines[3];
static void *wait_for_answer(void *fd) {
	char bytes[512];
	struct sockaddr_nl from;
	socklen_t octets = sizeof from;
	/* Of its child's end the thread is told that has made it, not the first. */
	if (fd == &lines[2] && fork() == 0) {
		usleep(100000);
		_exit(0);
	}
	IS(is_answer(bytes, recvfrom(*(int *)fd, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &octets), 9));
	return NULL;
}
static void *answer_all(void *unused) {
	struct request request = question(9);
	sigset_t all;
	(void)unused;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	usleep(600000);
	IS(alarms == 2 && ends == 1);
	for (int i = 0; i < 3; i++) IS(sendto(lines[i], &request, sizeof request, 0, (struct sockaddr *)&KERNEL, sizeof KERNEL) == sizeof request);
	return NULL;
}

static void threads_wait(void) {
	pthread_t threads[3];
	struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	struct itimerval timer = { { 0, 300000 }, { 0, 100000 } }, none = { 0 };
	for (int i = 0; i < 3; i++) IS((lines[i] = socket(AF_NETLINK, SOCK_RAW, NETLINK_XFRM)) >= 0);
	alarms = 0;
	IS(sigaction(SIGALRM, &action, NULL) == 0);
	action.sa_handler = on_end;
	IS(sigaction(SIGCHLD, &action, NULL) == 0);
	for (int i = 0; i < 2; i++) IS(pthread_create(&threads[i], NULL, wait_for_answer, &lines[i + 1]) == 0);
	IS(pthread_create(&threads[2], NULL, answer_all, NULL) == 0);
	IS(setitimer(ITIMER_REAL, &timer, NULL) == 0);
	/* Once while this thread is elsewhere, and once while all three wait. */
	usleep(200000);
	IS(alarms == 1);
	wait_for_answer(&lines[0]);
	IS(setitimer(ITIMER_REAL, &none, NULL) == 0 && waitpid(-1, NULL, 0) > 0 && signal(SIGCHLD, SIG_DFL) == on_end);
	for (int i = 0; i < 3; i++) IS(pthread_join(threads[i], NULL) == 0 && close(lines[i]) == 0);
}

/* Others have the socket too: a duplicate, a child. */
static void shared(int fd) {
	int copy = dup(fd), other = fcntl(fd, F_DUPFD_CLOEXEC, 0), status = 0;
	int high = fcntl(fd, F_DUPFD, 21);
	IS(copy >= 0 && other >= 0 && high >= 21 && close(high) == 0);
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

/* Sets the defaults to what they are, which is told to group POLICY. */
static void set_defaults(int fd) {
	struct { struct nlmsghdr header; struct xfrm_userpolicy_default body; } request = {
		{ sizeof request, XFRM_MSG_SETDEFAULT, NLM_F_REQUEST | NLM_F_ACK, 11, 0 }, { 0, 0, 0 } };
	IS(sendto(fd, &request, sizeof request, 0, (struct sockaddr *)&KERNEL, sizeof KERNEL) == sizeof request);
}

static int next_type(int fd) {
	char bytes[1024];
	return recv(fd, bytes, sizeof bytes, 0) > 0 ? ((struct nlmsghdr *)bytes)->nlmsg_type : -1;
}

/* Who listens on the socket that asks hears of it before it is acknowledged. */
static void hears_of_itself(void) {
	struct sockaddr_nl own = { .nl_family = AF_NETLINK, .nl_groups = 1 << 3 };
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_XFRM);
	IS(bind(fd, (struct sockaddr *)&own, sizeof own) == 0);
	set_defaults(fd);
	IS(next_type(fd) == XFRM_MSG_GETDEFAULT);
	IS(next_type(fd) == NLMSG_ERROR);
	close(fd);
}

/* Who joins a group hears what is done right behind that by somebody whom the daemon knows. */
static void hears_at_once(int known) {
	for (int by_bind = 0; by_bind < 2; by_bind++) {
		int group = 4, fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_XFRM);
		struct sockaddr_nl own = { .nl_family = AF_NETLINK, .nl_groups = by_bind ? 1 << (group - 1) : 0 };
		struct pollfd wait = { .fd = fd, .events = POLLIN };
		set_defaults(known);
		IS(next_type(known) == NLMSG_ERROR);
		IS(bind(fd, (struct sockaddr *)&own, sizeof own) == 0);
		if (!by_bind) IS(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) == 0);
		set_defaults(known);
		IS(next_type(known) == NLMSG_ERROR);
		IS(poll(&wait, 1, 0) == 1);
		close(fd);
		/* Looked for as often as the daemon does: nobody listens again. */
		usleep(700000);
	}
}

/* A key manager's sockets pass by all policies. */
static void bypasses(void) {
	struct xfrm_userpolicy_info policy = { .sel.family = AF_INET, .dir = XFRM_POLICY_OUT, .action = XFRM_POLICY_ALLOW };
	int encap = 2, fd = socket(AF_INET, SOCK_DGRAM, 0);
	IS(setsockopt(fd, IPPROTO_IP, IP_XFRM_POLICY, &policy, sizeof policy) == 0);
	IS(setsockopt(fd, IPPROTO_IP, IP_XFRM_POLICY, &policy, 3) == -1 && errno == EINVAL);
	policy.dir = 3;
	IS(setsockopt(fd, IPPROTO_IP, IP_XFRM_POLICY, &policy, sizeof policy) == -1 && errno == EINVAL);
	IS(setsockopt(fd, IPPROTO_IP, IP_XFRM_POLICY, NULL, 0) == 0);
	IS(setsockopt(fd, IPPROTO_UDP, 100, &encap, sizeof encap) == 0);
	close(fd);
	IS(setsockopt(fd, IPPROTO_IP, IP_XFRM_POLICY, NULL, 0) == -1 && errno == EBADF);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	IS(setsockopt(fd, IPPROTO_UDP, 100, &encap, sizeof encap) == -1 && errno == ENOPROTOOPT);
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
	address_is_shared();
	refusals(fd);
	ask_by_several(fd);
	odd_shapes(fd);
	control_messages(fd);
	waits(fd);
	threads_wait();
	shared(fd);
	listens();
	hears_of_itself();
	/* A supervisor does not see who joins, and a static program has no shim whatever its environment says. */
#ifndef STATIC
	if (reads_memory_itself()) hears_at_once(fd);
#endif
	bypasses();
	puts("ok");
	return 0;
}
