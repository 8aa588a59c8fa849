/*
 * What is seen of the program: memory, threads, descriptors, namespaces, rights.
 *
 * Programs are known by the number of the thread that called. It may die meanwhile, and its number be somebody
 * else's: so what was opened by number is used after the kernel has said that the call is still there.
 */
#include "supervisor.h"
#include <fcntl.h>
#include <limits.h>
#include <linux/nsfs.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

/* Of pidfd_open: a thread, not only the first of its process. Linux 6.9. */
#define PIDFD_THREAD_ O_EXCL

unsigned range_at, range_end;
char datagram[DATAGRAM_MAX];
/* The network namespace of this process. */
static int own_namespace = -1;
static ino_t own_inode;

/* Opens a file under /proc/TID of who called; -1 with errno, ESRCH when it is gone. */
static int open_of(const struct call *call, const char *name, int flags) {
	char path[48];
	int fd;
	snprintf(path, sizeof path, "/proc/%d/%s", call->tid, name);
	fd = open(path, flags | O_CLOEXEC);
	if (fd >= 0 && !is_there(call)) {
		close(fd);
		errno = ESRCH;
		return -1;
	}
	return fd;
}

static int memory_of(struct call *call) {
	if (call->memory < 0) call->memory = open_of(call, "mem", O_RDWR);
	return call->memory;
}

void close_memory(struct call *call) {
	if (call->memory >= 0) close(call->memory);
	call->memory = -1;
}

int get(struct call *call, uint64_t at, void *bytes, size_t octets) {
	int memory = memory_of(call);
	if (memory < 0) return -1;
	if (pread(memory, bytes, octets, (off_t)at) == (ssize_t)octets) return 0;
	errno = EFAULT;
	return -1;
}

int put(struct call *call, uint64_t at, const void *bytes, size_t octets) {
	int memory = memory_of(call);
	if (memory < 0) return -1;
	if (octets == 0 || pwrite(memory, bytes, octets, (off_t)at) == (ssize_t)octets) return 0;
	errno = EFAULT;
	return -1;
}

ssize_t get_vectors(struct call *call, uint64_t at, uint64_t count, struct iovec *vectors) {
	size_t octets = 0;
	uint64_t i;
	if (count > VECTORS_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	if (count && get(call, at, vectors, count * sizeof *vectors) != 0) return -1;
	for (i = 0; i < count; i++) {
		if (vectors[i].iov_len > SSIZE_MAX) {
			errno = EINVAL;
			return -1;
		}
		octets += vectors[i].iov_len;
		if (octets > DATAGRAM_MAX) octets = DATAGRAM_MAX + 1;
	}
	return (ssize_t)octets;
}

/* What is behind a name at the start of a line; NULL when it is another's. */
static const char *field(const char *line, const char *name) {
	size_t octets = strlen(name);
	return strncmp(line, name, octets) == 0 ? line + octets : NULL;
}

static void read_field(const char *line, struct standing *standing) {
	const char *at;
	if ((at = field(line, "State:\t"))) standing->state = *at;
	else if ((at = field(line, "Tgid:"))) standing->process = atoi(at);
	else if ((at = field(line, "Uid:"))) sscanf(at, "%u %u", &standing->user, &standing->effective_user);
	else if ((at = field(line, "Gid:"))) standing->group = (unsigned)strtoul(at, NULL, 10);
	else if ((at = field(line, "NStgid:"))) standing->own_number = atoi(strrchr(line, '\t'));
	else if ((at = field(line, "CapEff:"))) standing->capabilities = strtoull(at, NULL, 16);
}

int standing_of(int tid, struct standing *standing) {
	/* The groups may be longer than that: their rest begins with no name. */
	char path[32], line[256];
	FILE *file;
	memset(standing, 0, sizeof *standing);
	snprintf(path, sizeof path, "/proc/%d/status", tid);
	file = fopen(path, "re");
	if (!file) return -1;
	while (fgets(line, sizeof line, file)) read_field(line, standing);
	fclose(file);
	return standing->process > 0 ? 0 : -1;
}

int copy_of(const struct call *call, int fd) {
	struct standing standing;
	int copy, pidfd = (int)syscall(SYS_pidfd_open, call->tid, PIDFD_THREAD_);
	if (pidfd < 0 && standing_of(call->tid, &standing) == 0) pidfd = (int)syscall(SYS_pidfd_open, standing.process, 0);
	if (pidfd < 0) return -1;
	errno = ESRCH;
	copy = is_there(call) ? (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0) : -1;
	close(pidfd);
	return copy;
}

int option_of(int fd, int name) {
	int value = -1;
	socklen_t octets = sizeof value;
	return getsockopt(fd, SOL_SOCKET, name, &value, &octets) == 0 ? value : -1;
}

int is_ours(int fd) {
	return option_of(fd, SO_DOMAIN) == AF_NETLINK && option_of(fd, SO_PROTOCOL) == NETLINK_USERSOCK;
}

int free_number(const struct call *call, unsigned least) {
	struct stat link;
	unsigned fd;
	int found = -1, folder = open_of(call, "fd", O_PATH | O_DIRECTORY);
	for (fd = range_end; folder >= 0 && found < 0 && fd-- > range_at && fd >= least;) {
		char name[12];
		snprintf(name, sizeof name, "%u", fd);
		/* One that can't be looked at is not free. */
		if (fstatat(folder, name, &link, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT) found = (int)fd;
	}
	if (folder >= 0) close(folder);
	return found;
}

void remember_own_namespace(void) {
	struct stat own;
	own_namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	own_inode = fstat(own_namespace, &own) == 0 ? own.st_ino : 0;
}

int enter_namespace(const struct call *call) {
	struct stat there;
	int entered, fd = open_of(call, "ns/net", O_RDONLY);
	if (fd < 0) return -1;
	if (fstat(fd, &there) != 0) entered = -1;
	else if (there.st_ino == own_inode) entered = 0;
	else entered = setns(fd, CLONE_NEWNET) == 0 ? 1 : -1;
	close(fd);
	return entered;
}

void leave_namespace(int entered) {
	/* Anywhere else its sockets would be somebody else's. */
	if (entered > 0 && setns(own_namespace, CLONE_NEWNET) != 0) _exit(1);
}

/* Which user namespace who called is in; -1 when that can't be seen. */
static int user_namespace(const struct call *call, struct stat *there) {
	int fd = open_of(call, "ns/user", O_RDONLY), seen = fd >= 0 ? fstat(fd, there) : -1;
	if (fd >= 0) close(fd);
	return seen;
}

int has_own_user_namespace(const struct call *call) {
	struct stat own, there;
	return stat("/proc/self/ns/user", &own) == 0 && user_namespace(call, &there) == 0 && own.st_ino == there.st_ino;
}

/* A right in a namespace is one in all that are below: so up from the one that the network belongs to. */
int may_administer(const struct call *call, int socket) {
	struct standing standing;
	struct stat there, owner;
	int above, network, at, may = 0;
	if (standing_of(call->tid, &standing) != 0 || !((standing.capabilities >> CAP_NET_ADMIN_) & 1)) return 0;
	if (user_namespace(call, &there) != 0) return 0;
	network = ioctl(socket, SIOCGSKNS);
	if (network < 0) return 0;
	at = ioctl(network, NS_GET_USERNS);
	close(network);
	while (at >= 0) {
		may = may || (fstat(at, &owner) == 0 && owner.st_ino == there.st_ino);
		above = may ? -1 : ioctl(at, NS_GET_PARENT);
		close(at);
		at = above;
	}
	return may && is_there(call);
}
