/*
 * Messages from the daemon, which are those that root has sent from its port id: once it has gone anybody may have
 * that. They are handed over with the kernel's address as their sender: a message is peeked at, written into the
 * program's memory, taken, and the call answered.
 *
 * No signal ends a call that the supervisor has been told of, lest memory is written whose owner has gone on. So
 * threads that wait are looked at, and the call of one that a signal has come for is ended. (Linux of before late
 * 2025 can forget an answer that crosses with a signal, its bug 220291: the call is then made once more.)
 */
#include "supervisor.h"
#include <fcntl.h>

#define CONTROL_MAX 256
/* What others have sent is thrown away, so much at a time. */
#define FOREIGN_MAX 64
/* What the kernel answers itself when a signal has come: the call is made anew, or ends with EINTR. */
#define ERESTARTSYS 512

/* A receive that waits, or is just being done. */
struct receive {
	struct call call;
	/* A copy of the program's descriptor. */
	int fd;
	int flags;
	/* Of SO_RCVTIMEO, in milliseconds of the monotonic clock; 0 for none. */
	int64_t deadline;
	/* recvmmsg(2): how many messages are there by now, of how many; no more after this time, if not 0. */
	unsigned done, count;
	int64_t end;
};

/* Where a message goes in the program. */
struct envelope {
	uint64_t name, name_octets_at, header, control;
	socklen_t name_room;
	size_t control_room, vector_count, room;
	struct iovec vectors[VECTORS_MAX];
};

static struct receive waiting[WAITING_MAX];
static unsigned waiting_count;
static struct envelope envelope;

static int is_several(const struct receive *receive) { return receive->call.nr == SYS_recvmmsg; }

/* Waits for the next datagram as long as the socket says. */
static void start_clock(struct receive *receive) {
	struct timeval timeout = { 0 };
	socklen_t octets = sizeof timeout;
	getsockopt(receive->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, &octets);
	receive->deadline = 0;
	if (timeout.tv_sec || timeout.tv_usec)
		receive->deadline = now_ms() + (int64_t)timeout.tv_sec * 1000 + (timeout.tv_usec + 999) / 1000;
}

static void take_datagram(int fd) {
	char octet;
	recv(fd, &octet, 1, MSG_DONTWAIT);
}

/* Looks for the daemon's next datagram, and throws others away. 0, or -1 with errno. */
static int find_among(int fd) {
	int i;
	for (i = 0; i < FOREIGN_MAX; i++) {
		struct sockaddr_nl from = { 0 };
		union { struct cmsghdr first; char bytes[CONTROL_MAX]; } control;
		struct msghdr message = { .msg_name = &from, .msg_namelen = sizeof from, .msg_control = &control,
			.msg_controllen = sizeof control };
		if (recvmsg(fd, &message, MSG_PEEK | MSG_DONTWAIT) < 0) return -1;
		if (is_from_root(&message)) return 0;
		take_datagram(fd);
	}
	errno = EAGAIN;
	return -1;
}

/* Is the next datagram there, and the daemon's? 0, or -1 with errno. Nobody else receives meanwhile. */
static int find_datagram(int fd) {
	int one = 1, was = option_of(fd, SO_PASSCRED), found, error;
	if (was == 0) setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof one);
	found = find_among(fd);
	error = errno;
	if (was == 0) setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &was, sizeof was);
	errno = error;
	return found;
}

static int read_header(struct call *call, uint64_t at) {
	struct msghdr message;
	ssize_t octets;
	if (get(call, at, &message, sizeof message) != 0) return -1;
	octets = get_vectors(call, (uintptr_t)message.msg_iov, message.msg_iovlen, envelope.vectors);
	if (octets < 0) return -1;
	envelope.header = at;
	envelope.name = (uintptr_t)message.msg_name;
	envelope.name_room = message.msg_namelen;
	envelope.name_octets_at = at + offsetof(struct msghdr, msg_namelen);
	envelope.control = (uintptr_t)message.msg_control;
	envelope.control_room = message.msg_control ? message.msg_controllen : 0;
	envelope.vector_count = message.msg_iovlen;
	envelope.room = (size_t)octets;
	return 0;
}

/* Reads where the next message goes; 0, or -1 with errno. */
static int read_envelope(struct receive *receive) {
	struct call *call = &receive->call;
	const uint64_t *args = call->args;
	int done = 0;
	envelope.name = envelope.header = envelope.control = envelope.control_room = 0;
	if (call->nr == SYS_recvmsg) done = read_header(call, args[1]);
	else if (call->nr == SYS_recvmmsg) done = read_header(call, args[1] + receive->done * sizeof(struct mmsghdr));
	else if (call->nr == SYS_readv) {
		ssize_t octets = get_vectors(call, args[1], args[2], envelope.vectors);
		if (octets < 0 && errno == EMSGSIZE) errno = EINVAL;
		envelope.vector_count = args[2];
		envelope.room = octets < 0 ? 0 : (size_t)octets;
		done = octets < 0 ? -1 : 0;
	} else {
		envelope.vectors[0] = (struct iovec){ (void *)(uintptr_t)args[1], args[2] };
		envelope.vector_count = 1;
		envelope.room = args[2] > DATAGRAM_MAX ? DATAGRAM_MAX + 1 : args[2];
		if (call->nr == SYS_recvfrom && args[4]) {
			envelope.name = args[4];
			envelope.name_octets_at = args[5];
			done = get(call, args[5], &envelope.name_room, sizeof envelope.name_room);
		}
	}
	if (done == 0 && envelope.name && (int)envelope.name_room < 0) {
		errno = EINVAL;
		return -1;
	}
	return done;
}

static int put_datagram(struct call *call, size_t octets) {
	size_t i, at = 0;
	for (i = 0; i < envelope.vector_count && at < octets; i++) {
		size_t room = envelope.vectors[i].iov_len, part = octets - at < room ? octets - at : room;
		if (put(call, (uintptr_t)envelope.vectors[i].iov_base, datagram + at, part) != 0) return -1;
		at += part;
	}
	return 0;
}

/* Writes sender, control messages and flags as the kernel would. */
static int put_envelope(struct call *call, const struct msghdr *got, unsigned groups) {
	struct sockaddr_nl from = { .nl_family = AF_NETLINK, .nl_groups = groups };
	socklen_t octets = sizeof from, given = envelope.name_room < octets ? envelope.name_room : octets;
	uint64_t at = envelope.header;
	if (envelope.name) {
		if (put(call, envelope.name, &from, given) != 0 || put(call, envelope.name_octets_at, &octets, sizeof octets) != 0)
			return -1;
	}
	if (!at) return 0;
	if (put(call, envelope.control, got->msg_control, got->msg_controllen) != 0) return -1;
	if (put(call, at + offsetof(struct msghdr, msg_controllen), &got->msg_controllen, sizeof got->msg_controllen) != 0) return -1;
	return put(call, at + offsetof(struct msghdr, msg_flags), &got->msg_flags, sizeof got->msg_flags);
}

/* Writes the next datagram to the program: what the call returns for it, or -1 with errno. */
static ssize_t hand_over(struct receive *receive) {
	struct call *call = &receive->call;
	char control[CONTROL_MAX];
	struct sockaddr_nl from = { 0 };
	struct iovec vector = { datagram, sizeof datagram };
	struct msghdr message = { .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &vector, .msg_iovlen = 1,
		.msg_control = control };
	ssize_t octets;
	size_t given;
	int done, error;
	if (read_envelope(receive) != 0) return -1;
	if (envelope.room < sizeof datagram) vector.iov_len = envelope.room;
	message.msg_controllen = envelope.control_room < sizeof control ? envelope.control_room : sizeof control;
	octets = recvmsg(receive->fd, &message, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC);
	if (octets < 0) return -1;
	name_kernel_as_sender(&message);
	given = (size_t)octets < vector.iov_len ? (size_t)octets : vector.iov_len;
	done = put_datagram(call, given) == 0 && put_envelope(call, &message, from.nl_groups) == 0;
	memset(datagram, 0, given);
	if (done) return receive->flags & MSG_TRUNC ? octets : (ssize_t)given;
	/* Lost, as it is to the kernel. */
	error = errno;
	if (!(receive->flags & MSG_PEEK)) take_datagram(receive->fd);
	errno = error;
	return -1;
}

/* Answers the call: with how many messages there are if there are any, else with the error. */
static void finish(struct receive *receive, int error) {
	struct call *call = &receive->call;
	if (receive->done > 0 && receive->end) {
		int64_t left = receive->end - now_ms();
		struct timespec rest = { left > 0 ? left / 1000 : 0, left > 0 ? left % 1000 * 1000000 : 0 };
		put(call, call->args[4], &rest, sizeof rest);
	}
	answer(call, receive->done, receive->done > 0 ? 0 : error);
}

static int may_wait(const struct receive *receive) {
	return !(receive->flags & MSG_DONTWAIT) && !(fcntl(receive->fd, F_GETFL) & O_NONBLOCK);
}

/* An error that waits for a call of its own: looked at, not taken. */
static int has_error(int fd) {
	struct pollfd polled = { .fd = fd };
	return poll(&polled, 1, 0) == 1 && (polled.revents & POLLERR);
}

/* Takes one more of several: 1 when that was the last. */
static int count_message(struct receive *receive, ssize_t octets) {
	unsigned length = (unsigned)octets;
	uint64_t at = receive->call.args[1] + receive->done * sizeof(struct mmsghdr) + offsetof(struct mmsghdr, msg_len);
	int done = put(&receive->call, at, &length, sizeof length);
	if (!(receive->flags & MSG_PEEK)) take_datagram(receive->fd);
	if (done != 0) {
		finish(receive, errno);
		return 1;
	}
	receive->done++;
	if (receive->flags & MSG_WAITFORONE) receive->flags |= MSG_DONTWAIT;
	start_clock(receive);
	if (receive->done < receive->count && (!receive->end || now_ms() < receive->end) && !has_error(receive->fd)) return 0;
	finish(receive, 0);
	return 1;
}

/* Does it as far as datagrams are there: 1 when it has been answered, 0 when it has to wait. */
static int try_receive(struct receive *receive) {
	for (;;) {
		ssize_t octets = find_datagram(receive->fd) == 0 ? hand_over(receive) : -1;
		if (octets < 0 && errno == EAGAIN && may_wait(receive)) return 0;
		if (octets < 0) {
			finish(receive, errno);
			return 1;
		}
		if (is_several(receive)) {
			if (count_message(receive, octets)) return 1;
			continue;
		}
		if (answer(&receive->call, octets, 0) == 0 && !(receive->flags & MSG_PEEK)) take_datagram(receive->fd);
		return 1;
	}
}

static int flags_of(const struct call *call) {
	if (call->nr == SYS_recvmsg) return (int)call->args[2];
	return call->nr == SYS_recvfrom || call->nr == SYS_recvmmsg ? (int)call->args[3] : 0;
}

/* Of recvmmsg(2): how many, and until when. 0, or -1 with errno. */
static int read_limits(struct receive *receive) {
	struct call *call = &receive->call;
	struct timespec limit;
	uint32_t count = (uint32_t)call->args[2];
	receive->count = count < VECTORS_MAX ? count : VECTORS_MAX;
	if (!call->args[4]) return 0;
	if (get(call, call->args[4], &limit, sizeof limit) != 0) return -1;
	if (limit.tv_sec < 0 || limit.tv_nsec < 0 || limit.tv_nsec >= 1000000000) {
		errno = EINVAL;
		return -1;
	}
	receive->end = now_ms() + (limit.tv_sec < INT32_MAX ? limit.tv_sec : INT32_MAX) * 1000 + limit.tv_nsec / 1000000;
	return 0;
}

/* Fails there, or takes nothing: read(2) of nothing. */
static int is_for_kernel(struct receive *receive) {
	int reads = receive->call.nr == SYS_read || receive->call.nr == SYS_readv;
	return (receive->flags & MSG_OOB) || (reads && read_envelope(receive) == 0 && envelope.room == 0);
}

void begin_receive(struct call *call, int fd) {
	struct receive receive = { .call = *call, .fd = fd, .flags = flags_of(call) };
	int done = 1;
	if (is_for_kernel(&receive)) go_on(call);
	else if (is_several(&receive) && read_limits(&receive) != 0) finish(&receive, errno);
	else if (is_several(&receive) && receive.count == 0) finish(&receive, 0);
	/* What is wrong with it is said before anything is there. */
	else if (read_envelope(&receive) != 0) finish(&receive, errno);
	else {
		start_clock(&receive);
		done = try_receive(&receive);
		if (!done && waiting_count == WAITING_MAX) {
			finish(&receive, EAGAIN);
			done = 1;
		}
	}
	close_memory(&receive.call);
	if (done) close(fd);
	else waiting[waiting_count++] = receive;
}

/*
 * What a call ends with because of a signal, 0 for nothing. The kernel makes a call anew in a thread that it has
 * woken for a signal; any other would get 512 as its error. Which one that is nobody says, but it shows: until then
 * it sleeps lightly (S), and from then on so that only the answer, or its end, wakes it (D).
 */
static int interruption(const struct receive *receive) {
	struct standing standing;
	if (standing_of(receive->call.tid, &standing) != 0 || standing.state != 'D') return 0;
	return receive->deadline ? EINTR : ERESTARTSYS;
}

static int is_over(struct receive *receive) {
	int error = is_there(&receive->call) ? interruption(receive) : ESRCH;
	if (error) finish(receive, error);
	return error != 0;
}

unsigned list_waiting(struct pollfd *polled) {
	unsigned i;
	for (i = 0; i < waiting_count; i++) polled[i] = (struct pollfd){ .fd = waiting[i].fd, .events = POLLIN };
	return waiting_count;
}

void attend(const struct pollfd *polled, int look) {
	unsigned i, left = 0, count = waiting_count;
	for (i = 0; i < count; i++) {
		struct receive *receive = &waiting[i];
		int done = polled[i].revents ? try_receive(receive) : 0;
		if (!done && receive->deadline && now_ms() >= receive->deadline) {
			finish(receive, EAGAIN);
			done = 1;
		}
		done = done || (look && is_over(receive));
		close_memory(&receive->call);
		if (done) {
			close(receive->fd);
			receive->call.tid = 0;
		}
	}
	for (i = 0; i < count; i++)
		if (waiting[i].call.tid != 0) waiting[left++] = waiting[i];
	waiting_count = left;
}
