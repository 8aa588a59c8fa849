/*
 * Supervisor of `xfrm exec`, for programs that the preload shim does not reach: static ones, Go's, those whose
 * loader heeds no LD_PRELOAD. Does what the shim does, from outside, by seccomp's user notification.
 *
 *   main.c      becomes the program, with a filter, and leaves the supervisor beside it
 *   filter.c    which system calls the supervisor is asked about
 *   calls.c     one call: a socket is made, copied, asked for what it is; options that belong to XFRM
 *   send.c      a message to the daemon
 *   receive.c   a message from it
 *   program.c   what is seen of the program: memory, threads, descriptors, namespaces, rights
 *
 *   socket(AF_NETLINK, …, NETLINK_XFRM)   a NETLINK_USERSOCK socket is put in, at a number of a range that the
 *                                         filter knows (the last 64 below the limit, or 1024: for select)
 *   send, write, connect                  done for it, as its address may be a constant, or serve other sockets
 *   receive, read                         done for it: a datagram is peeked at, handed over, and then taken
 *   IP_XFRM_POLICY, UDP_ENCAP, SO_PROTOCOL, dup: as in the shim
 *
 * What is done for a program is done with no more than its own rights, and names it as the sender: some of what
 * is supervised may have fewer rights than the supervisor. Nothing is known about descriptors: each call asks
 * the kernel what its descriptor is (pidfd_getfd). The process beside the program is nobody's child, has no
 * file of the program's open, and ends when nobody is left who has the filter. Ends it before, the calls that
 * it would be asked about fail with ENOSYS: none of them reaches the kernel's XFRM.
 *
 * Not served: dup2 to a number out of the range; pwritev2 and the like; a mark of the program's own beside a bypass.
 * Refused, as they would reach the kernel's own XFRM past the filter: io_uring (ENOSYS, as container engines have it:
 * programs do without), PF_KEY and NETLINK_XFRM of 32-bit programs. Who waits for a datagram sees a signal within
 * LOOK_MS.
 */
#ifndef XFRM_SUPERVISOR_H
#define XFRM_SUPERVISOR_H
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "../handshake.h"

/* A datagram: as large as the daemon's largest. */
#define DATAGRAM_MAX 0x41000
/* UIO_MAXIOV: vectors of a message, messages of a call. */
#define VECTORS_MAX 1024
#define CAP_NET_ADMIN_ 12

/* A system call that waits for an answer. */
struct call {
	uint64_t id;
	int tid;
	int nr;
	uint64_t args[6];
	/* Of who called; -1 until it is looked into. */
	int memory;
};

/* What /proc/TID/status says of a thread. */
struct standing {
	int process;
	/* The process's number where it lives, as itself sees it. */
	int own_number;
	char state;
	unsigned user, effective_user, group;
	uint64_t capabilities;
};

/* Numbers in the program that our sockets have: from the first, below the second. */
extern unsigned range_at, range_end;
/* What is on its way between a program and the daemon. */
extern char datagram[DATAGRAM_MAX];

/* main.c: answers a call. 0 when it was still waiting for it, and has it now. */
int answer(const struct call *call, int64_t value, int error);
/* The kernel carries it out as it is. */
void go_on(const struct call *call);
int is_there(const struct call *call);
/* Gives the program a descriptor at a number not below the least, and the number as the answer. */
void put_in(const struct call *call, int fd, int close_on_exec, unsigned least);

/* filter.c: the listener of the filter that is installed, or -1 with errno. */
int install_filter(void);
extern const uint32_t OWN_ARCHITECTURE;

/* calls.c */
void handle(struct call *call, uint32_t architecture);

/* send.c: these answer the call. */
void send_messages(struct call *call, int fd);
void connect_socket(struct call *call, int fd);

/* receive.c: the descriptor is its to close. */
void begin_receive(struct call *call, int fd);
/* Descriptors of calls that wait, for poll: how many. */
#define WAITING_MAX 256
unsigned list_waiting(struct pollfd *polled);
/* Looks after them: those that are ready, and if asked for the others too. */
void attend(const struct pollfd *polled, int look);

/* program.c: reads and writes the memory of who called; 0, or -1 with errno. */
int get(struct call *call, uint64_t at, void *bytes, size_t octets);
int put(struct call *call, uint64_t at, const void *bytes, size_t octets);
/* Reads the vectors of a message: how many octets they have, at most one more than a datagram; -1 with errno. */
ssize_t get_vectors(struct call *call, uint64_t at, uint64_t count, struct iovec *vectors);
void close_memory(struct call *call);
/* 0, or -1 for one that is gone. */
int standing_of(int tid, struct standing *standing);
/* A copy of a descriptor of the program's, the caller's to close; -1 with errno. */
int copy_of(const struct call *call, int fd);
int option_of(int fd, int name);
int is_ours(int fd);
/* A number of the range, not below the least, that the program does not use; -1 if there is none. */
int free_number(const struct call *call, unsigned least);
void remember_own_namespace(void);
/* Goes into the program's network namespace: 1, 0 if it is ours, -1 with errno if it can't be entered. */
int enter_namespace(const struct call *call);
void leave_namespace(int entered);
int has_own_user_namespace(const struct call *call);
/* Has the program CAP_NET_ADMIN over the network that a socket is in? */
int may_administer(const struct call *call, int socket);
#endif
