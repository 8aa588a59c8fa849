/*
 * A tunnel that does the least: packets of a TUN device go into UDP as they are, one by one, and back. No sealing,
 * no policies: what is left is what a data plane in user space cannot do without.
 *
 *     copying-tunnel DEVICE OWN PEER PORT    addresses of IPv4
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define OCTETS_MAX 65536

static struct sockaddr_in place(const char *address, int port) {
	struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(port)};
	if (!inet_aton(address, &place.sin_addr)) exit(2);
	return place;
}

static int open_tun(const char *name) {
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	const int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
	if (ioctl(tun, TUNSETIFF, &request) < 0) exit(1);
	return tun;
}

static int open_udp(struct sockaddr_in own, struct sockaddr_in peer) {
	const int udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &(int){4 << 20}, sizeof(int));
	if (bind(udp, (void *)&own, sizeof own) < 0 || connect(udp, (void *)&peer, sizeof peer) < 0) exit(1);
	return udp;
}

static void copy(int from, int to) {
	static char packet[OCTETS_MAX];
	for (ssize_t octets; (octets = read(from, packet, OCTETS_MAX)) > 0;) {
		// What there is no room for is lost, as in any network.
		if (write(to, packet, octets) < 0) continue;
	}
}

int main(int count, char **words) {
	if (count < 5) return 2;
	const int tun = open_tun(words[1]), port = atoi(words[4]);
	const int udp = open_udp(place(words[2], port), place(words[3], port));
	for (;;) {
		struct pollfd wait[] = {{.fd = tun, .events = POLLIN}, {.fd = udp, .events = POLLIN}};
		poll(wait, 2, -1);
		if (wait[0].revents) copy(tun, udp);
		if (wait[1].revents) copy(udp, tun);
	}
}
