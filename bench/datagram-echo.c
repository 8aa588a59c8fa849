/*
 * Datagrams that come back, so many at once, and how long they were away:
 *
 *     datagram-echo serve ADDRESS PORT
 *     datagram-echo ask ADDRESS PORT FROM OCTETS RATE BURST SECONDS    prints sent, back, median in nanoseconds
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define OCTETS_MAX 65536
/* What comes this long after the last burst still counts. */
#define LATE_NS 200000000

static char datagram[OCTETS_MAX];
static int64_t *times;
static long back, back_max;

static int64_t now(void) {
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000L + time.tv_nsec;
}

static struct sockaddr_in place(const char *address, int port) {
	struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(port)};
	if (!inet_aton(address, &place.sin_addr)) exit(2);
	return place;
}

static void take(int udp) {
	int64_t sent;
	while (recv(udp, datagram, OCTETS_MAX, MSG_DONTWAIT) >= (ssize_t)sizeof sent) {
		memcpy(&sent, datagram, sizeof sent);
		if (back < back_max) times[back++] = now() - sent;
	}
}

static void take_until(int udp, int64_t due) {
	for (int64_t left; (left = due - now()) > 0;) {
		struct pollfd wait = {.fd = udp, .events = POLLIN};
		ppoll(&wait, 1, &(struct timespec){.tv_nsec = left}, NULL);
		take(udp);
	}
}

static int compare(const void *a, const void *b) {
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

static void serve(int udp, struct sockaddr_in own) {
	if (bind(udp, (void *)&own, sizeof own) < 0) exit(1);
	for (;;) {
		struct sockaddr_in peer;
		socklen_t octets = sizeof peer;
		const ssize_t length = recvfrom(udp, datagram, OCTETS_MAX, 0, (void *)&peer, &octets);
		if (length >= 0) sendto(udp, datagram, length, 0, (void *)&peer, octets);
	}
}

static void ask(int udp, struct sockaddr_in peer, struct sockaddr_in own, int octets, int rate, int burst, double seconds) {
	const int64_t gap = burst * 1000000000L / rate;
	long sent = 0;
	back_max = 2 * rate * seconds;
	times = malloc(back_max * sizeof *times);
	if (bind(udp, (void *)&own, sizeof own) < 0 || connect(udp, (void *)&peer, sizeof peer) < 0) exit(1);
	int64_t due = now();
	for (const int64_t end = due + seconds * 1e9; due < end; take_until(udp, due)) {
		for (int i = 0; i < burst; i++) {
			const int64_t time = now();
			memcpy(datagram, &time, sizeof time);
			sent += send(udp, datagram, octets, MSG_DONTWAIT) > 0;
		}
		due += gap;
	}
	take_until(udp, now() + LATE_NS);
	qsort(times, back, sizeof *times, compare);
	printf("%ld %ld %ld\n", sent, back, back > 0 ? (long)times[back / 2] : -1);
}

int main(int count, char **words) {
	if (count < 4) return 2;
	const int udp = socket(AF_INET, SOCK_DGRAM, 0);
	setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &(int){4 << 20}, sizeof(int));
	const struct sockaddr_in end = place(words[2], atoi(words[3]));
	if (strcmp(words[1], "serve") == 0) serve(udp, end);
	if (count < 9) return 2;
	ask(udp, end, place(words[4], 0), atoi(words[5]), atoi(words[6]), atoi(words[7]), atof(words[8]));
	return 0;
}
