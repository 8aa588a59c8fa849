/*
 * Part of the preload shim: what a program starts, that no preload shim reaches, is started with the supervisor
 * beside it. Otherwise it would configure the kernel, and nobody would notice.
 *
 *   execve(FILE, ARGS)   FILE is static, Go's, of 32 bits …   becomes   execve(SUPERVISOR, "xfrm-supervisor", FILE, ARGS)
 *
 * As src/exec/reach.ts, which tells it of the first program; but what gains rights by its start, such as sudo, is
 * started plainly, as a supervisor without CAP_SYS_ADMIN would keep it from that. So is all where the supervisor
 * can't be started, such as by another user or in another root folder, where the shim isn't found either.
 * Who can't read the shim starts programs without it, whose loader would complain on their stderr.
 * Not seen: programs that make the system call themselves.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel follows as many `#!` lines. */
#define SCRIPTS_MAX 5
#define HEADERS_MAX 64
#define PRELOAD "LD_PRELOAD="

extern char **environ;
typedef int spawn(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char *const[], char *const[]);

/* Set by `xfrm exec`; empty without one. Kept, as a program may lose its environment. */
static char supervisor[PATH_MAX];
/* As the loader has it, and who could read it. */
static char shim[PATH_MAX];
static uid_t reader;
/* Looked up early: behind fork(2) it could wait for a lock that nobody is left to open. */
static __typeof__(&execvpe) real_execvpe;
static spawn *real_spawn, *real_spawnp;

__attribute__((constructor)) static void prepare(void) {
	const char *path = getenv("XFRM_SUPERVISOR");
	Dl_info own;
	if (real_spawnp) return;
	reader = geteuid();
	if (dladdr((void *)&prepare, &own) && own.dli_fname && strlen(own.dli_fname) < sizeof shim) strcpy(shim, own.dli_fname);
	if (path && strlen(path) < sizeof supervisor) strcpy(supervisor, path);
	real_execvpe = (__typeof__(&execvpe))dlsym(RTLD_NEXT, "execvpe");
	real_spawn = (spawn *)dlsym(RTLD_NEXT, "posix_spawn");
	real_spawnp = (spawn *)dlsym(RTLD_NEXT, "posix_spawnp");
}

static size_t peek(int fd, off_t at, void *bytes, size_t octets) {
	ssize_t got = pread(fd, bytes, octets, at);
	return got > 0 ? (size_t)got : 0;
}

/* Does a loader of the C library's load it, with a shim? */
static int is_loaded(int fd, const Elf64_Ehdr *file) {
	int i, has_loader = 0;
	for (i = 0; i < file->e_phnum && i < HEADERS_MAX; i++) {
		Elf64_Phdr part;
		char text[64] = "";
		if (peek(fd, (off_t)(file->e_phoff + (size_t)i * sizeof part), &part, sizeof part) != sizeof part) break;
		if (part.p_type != PT_INTERP && part.p_type != PT_NOTE) continue;
		peek(fd, (off_t)part.p_offset, text, part.p_filesz < sizeof text ? part.p_filesz : sizeof text - 1);
		if (part.p_type == PT_NOTE && memcmp(text + 12, "Go\0", 4) == 0) return 0;
		if (part.p_type == PT_INTERP) has_loader = !strstr(text, "ld-musl");
	}
	return has_loader;
}

/* Does the shim reach it? What can't be read is left to the kernel. */
static int is_reached(const char *path) {
	char interpreter[256];
	int depth;
	for (depth = 0; depth < SCRIPTS_MAX; depth++) {
		union { Elf64_Ehdr file; char text[256]; } head;
		int fd = open(path, O_RDONLY | O_CLOEXEC), reached = 1;
		size_t octets;
		if (fd < 0) return 1;
		memset(&head, 0, sizeof head);
		octets = peek(fd, 0, head.text, sizeof head.text - 1);
		if (octets >= sizeof head.file && memcmp(head.text, ELFMAG, SELFMAG) == 0)
			reached = head.file.e_ident[EI_CLASS] == ELFCLASS64 && is_loaded(fd, &head.file);
		close(fd);
		if (head.text[0] != '#' || head.text[1] != '!') return reached;
		if (sscanf(head.text + 2, "%*[ \t]%255[^ \t\n]", interpreter) != 1 && sscanf(head.text + 2, "%255[^ \t\n]", interpreter) != 1)
			return 1;
		path = interpreter;
	}
	return 1;
}

static size_t count_words(char *const args[]) {
	size_t count = 0;
	while (args && args[count]) count++;
	return count;
}

/* So many places for words: the supervisor's two, the program's name, the end. */
#define ROOM(args) (count_words(args) + 4)

static void write_words(char **words, const char *path, char *const args[]) {
	size_t i, count = count_words(args);
	words[0] = (char *)"xfrm-supervisor";
	words[1] = (char *)path;
	words[2] = (char *)path;
	for (i = 0; i < count; i++) words[i + 2] = args[i];
	words[count > 0 ? count + 2 : 3] = NULL;
}

/* Are these variables to be without the shim? What a process may still read by its capabilities a program may not. */
static int is_unreadable(char *const environment[]) {
	return environment && shim[0] && geteuid() != reader && geteuid() != 0;
}

/* Writes the words of LD_PRELOAD but the shim; so much room has been made as they take with it. */
static char *write_others(char *to, const char *list) {
	char *at = to + strlen(strcpy(to, PRELOAD));
	const char *end;
	for (list += strlen(PRELOAD); *list; list = end) {
		end = list + strcspn(list, ": ");
		if (strncmp(list, shim, (size_t)(end - list)) != 0 || shim[end - list]) at += sprintf(at, "%.*s:", (int)(end - list), list);
		end += strspn(end, ": ");
	}
	*at = 0;
	return to;
}

/* Has them, in so many places as there are; LD_PRELOAD goes into a buffer of its own. */
static void write_environment(char **words, char *preload, char *const environment[]) {
	for (; *environment; environment++)
		*words++ = strncmp(*environment, PRELOAD, strlen(PRELOAD)) == 0 ? write_others(preload, *environment) : *environment;
	*words = NULL;
}

/* Octets of LD_PRELOAD with another separator and its end, of the longest if it is there more than once. */
static size_t preload_octets(char *const environment[]) {
	size_t most = sizeof PRELOAD + 1;
	for (; environment && *environment; environment++) {
		size_t octets = strlen(*environment) + 2;
		if (strncmp(*environment, PRELOAD, strlen(PRELOAD)) == 0 && octets > most) most = octets;
	}
	return most;
}

/* Variables for a program, on the stack of who starts it. */
#define READABLE(environment) \
	char preload[preload_octets(environment)]; \
	char *readable[count_words(environment) + 1]; \
	if (is_unreadable(environment)) { \
		write_environment(readable, preload, environment); \
		environment = readable; \
	}

int execve(const char *path, char *const args[], char *const environment[]) {
	READABLE(environment)
	if (supervisor[0] && !is_reached(path) && access(path, X_OK) == 0) {
		char *words[ROOM(args)];
		write_words(words, path, args);
		syscall(SYS_execve, supervisor, words, environment);
	}
	return (int)syscall(SYS_execve, path, args, environment);
}

int execv(const char *path, char *const args[]) { return execve(path, args, environ); }

/* Where PATH has a program that the shim does not reach; 0 where it has another, or none. */
static int find_unreached(const char *name, char path[PATH_MAX]) {
	const char *at = getenv("PATH"), *end;
	if (!supervisor[0] || !name) return 0;
	if (strchr(name, '/')) return strlen(name) < PATH_MAX && !is_reached(strcpy(path, name)) && access(path, X_OK) == 0;
	for (; at; at = *end ? end + 1 : NULL) {
		end = strchrnul(at, ':');
		if (snprintf(path, PATH_MAX, "%.*s%s%s", (int)(end - at), at, end > at ? "/" : "", name) >= PATH_MAX) continue;
		if (access(path, X_OK) == 0) return !is_reached(path);
	}
	return 0;
}

int execvpe(const char *name, char *const args[], char *const environment[]) {
	char path[PATH_MAX];
	READABLE(environment)
	prepare();
	return find_unreached(name, path) ? execve(path, args, environment) : real_execvpe(name, args, environment);
}

int execvp(const char *name, char *const args[]) { return execvpe(name, args, environ); }

/* Of the three that take words one by one. */
#define GATHER(first, last) \
	size_t count = 1; \
	va_list more; \
	va_start(more, first); \
	while (va_arg(more, char *)) count++; \
	va_end(more); \
	char *args[count + 1]; \
	args[0] = (char *)(first); \
	va_start(more, first); \
	for (size_t i = 1; i <= count; i++) args[i] = va_arg(more, char *); \
	char *const *environment = (last); \
	va_end(more)

int execl(const char *path, const char *word, ...) {
	GATHER(word, environ);
	return execve(path, args, environment);
}
int execlp(const char *name, const char *word, ...) {
	GATHER(word, environ);
	return execvpe(name, args, environment);
}
int execle(const char *path, const char *word, ...) {
	GATHER(word, va_arg(more, char *const *));
	return execve(path, args, environment);
}

static int spawn_supervised(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
	const posix_spawnattr_t *attributes, char *const args[], char *const environment[]) {
	char *words[ROOM(args)];
	write_words(words, path, args);
	return real_spawn(pid, supervisor, actions, attributes, words, environment);
}

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
	const posix_spawnattr_t *attributes, char *const args[], char *const environment[]) {
	READABLE(environment)
	prepare();
	if (supervisor[0] && !is_reached(path) && access(path, X_OK) == 0
		&& spawn_supervised(pid, path, actions, attributes, args, environment) == 0) return 0;
	return real_spawn(pid, path, actions, attributes, args, environment);
}

int posix_spawnp(pid_t *pid, const char *name, const posix_spawn_file_actions_t *actions,
	const posix_spawnattr_t *attributes, char *const args[], char *const environment[]) {
	char path[PATH_MAX];
	READABLE(environment)
	prepare();
	if (find_unreached(name, path) && spawn_supervised(pid, path, actions, attributes, args, environment) == 0) return 0;
	return real_spawnp(pid, name, actions, attributes, args, environment);
}
