/*
 *     restricted FAMILY… -- FILE ARGS…
 *
 * Becomes FILE, with sockets of these address families only and no namespaces of its own, as systemd does it for
 * RestrictAddressFamilies= and RestrictNamespaces=: by a filter of system calls.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offsetof(struct seccomp_data, field))
#define END(what) BPF_STMT(BPF_RET | BPF_K, what)
#define NAMESPACES (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

int main(int count, char **words) {
	struct sock_filter code[64];
	int at = 0, word = 1;
	struct sock_filter head[] = {
		LOAD(nr),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setns, 0, 1), END(SECCOMP_RET_ERRNO | EPERM),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unshare, 0, 1), END(SECCOMP_RET_ERRNO | EPERM),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1), END(SECCOMP_RET_ERRNO | ENOSYS),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4), LOAD(args[0]),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NAMESPACES, 0, 1), END(SECCOMP_RET_ERRNO | EPERM), END(SECCOMP_RET_ALLOW),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 1, 0), END(SECCOMP_RET_ALLOW),
		LOAD(args[0]),
	};
	memcpy(code, head, sizeof head);
	at = sizeof head / sizeof *head;
	for (; word < count && strcmp(words[word], "--") != 0 && at < 60; word++) {
		struct sock_filter family[] = { BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)atoi(words[word]), 0, 1), END(SECCOMP_RET_ALLOW) };
		memcpy(code + at, family, sizeof family);
		at += 2;
	}
	code[at++] = (struct sock_filter)END(SECCOMP_RET_ERRNO | EAFNOSUPPORT);
	struct sock_fprog program = { (unsigned short)at, code };
	if (word + 1 >= count || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
		perror("restricted");
		return 2;
	}
	execvp(words[word + 1], words + word + 1);
	perror(words[word + 1]);
	return 127;
}
