/*
 * The native seam as a Node-API addon: system calls of src/native/seam.ts, packets by columns over one slab,
 * and ESP's arithmetic (esp-crypto.h). It decides nothing, allocates nothing on the packet path and keeps no
 * reference to JavaScript: whoever registers memory keeps it alive.
 *
 * Answers are what the system call answers, or a negative errno. It is compiled by src/native/addon.ts
 * with the headers of the running node, whose OpenSSL it uses.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <node_api.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "arguments.h"
#include "esp-crypto.h"

namespace {

constexpr int SEND_FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL;
constexpr int ROWS_MAX = 1024;
constexpr int CONTROL_OCTETS = 192;
constexpr int PEER_OCTETS = 32;
constexpr int LOCAL_OCTETS = 16;

/* A loop that the compiler is to make wide, in a version for each machine where it can. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define VECTORIZED __attribute__((optimize("O3"), target_clones("avx2", "default")))
#else
#define VECTORIZED
#endif

/* ---- system calls of the control plane ---- */

napi_value Open(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	return a.answer(open(a.text(0).c_str(), a.number(1)));
}
napi_value Close(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	return a.answer(close(a.number(0)));
}
napi_value Read(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	size_t octets;
	uint8_t *bytes = a.bytes(1, &octets);
	return a.answer(read(a.number(0), bytes, octets));
}
napi_value Write(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	size_t octets;
	uint8_t *bytes = a.bytes(1, &octets);
	return a.answer(write(a.number(0), bytes, octets));
}
napi_value Ioctl(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	return a.answer(ioctl(a.number(0), static_cast<unsigned long>(a.wide(1)), a.bytes(2)));
}
napi_value IoctlValue(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	return a.answer(ioctl(a.number(0), static_cast<unsigned long>(a.wide(1)), static_cast<unsigned long>(a.wide(2))));
}
napi_value Socket(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	return a.answer(socket(a.number(0), a.number(1), a.number(2)));
}
napi_value Bind(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	size_t octets;
	uint8_t *address = a.bytes(1, &octets);
	return a.answer(bind(a.number(0), reinterpret_cast<sockaddr *>(address), octets));
}
napi_value SocketName(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	size_t octets;
	uint8_t *address = a.bytes(1, &octets);
	socklen_t length = octets;
	int done = getsockname(a.number(0), reinterpret_cast<sockaddr *>(address), &length);
	return a.answer(done < 0 ? done : static_cast<int64_t>(length));
}
napi_value SetOption(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	size_t octets;
	uint8_t *value = a.bytes(3, &octets);
	return a.answer(setsockopt(a.number(0), a.number(1), a.number(2), value, octets));
}
napi_value GetOption(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	size_t octets;
	uint8_t *value = a.bytes(3, &octets);
	socklen_t length = octets;
	int done = getsockopt(a.number(0), a.number(1), a.number(2), value, &length);
	return a.answer(done < 0 ? done : static_cast<int64_t>(length));
}
napi_value AttachReusePortFilter(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	size_t octets;
	uint8_t *instructions = a.bytes(1, &octets);
	sock_fprog program = {static_cast<unsigned short>(octets / sizeof(sock_filter)),
		reinterpret_cast<sock_filter *>(instructions)};
	return a.answer(setsockopt(a.number(0), SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program));
}
napi_value Send(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	size_t octets, address_octets;
	uint8_t *bytes = a.bytes(1, &octets);
	uint8_t *address = a.bytes(2, &address_octets);
	return a.answer(sendto(a.number(0), bytes, octets, SEND_FLAGS, reinterpret_cast<sockaddr *>(address), address_octets));
}
/* fd, bytes, name, control, Int32Array of what came: octets of name and control, flags. */
napi_value Receive(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	size_t octets, name_octets, control_octets;
	uint8_t *bytes = a.bytes(1, &octets);
	uint8_t *name = a.bytes(2, &name_octets);
	uint8_t *control = a.bytes(3, &control_octets);
	int32_t *told = reinterpret_cast<int32_t *>(a.bytes(4));
	iovec vector = {bytes, octets};
	msghdr message = {};
	message.msg_name = name;
	message.msg_namelen = name_octets;
	message.msg_iov = &vector;
	message.msg_iovlen = 1;
	message.msg_control = control;
	message.msg_controllen = control_octets;
	ssize_t got = recvmsg(a.number(0), &message, MSG_DONTWAIT);
	told[0] = message.msg_namelen;
	told[1] = message.msg_controllen;
	told[2] = message.msg_flags;
	return a.answer(got);
}
napi_value Eventfd(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	return a.answer(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}
napi_value PidfdOpen(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	return a.answer(syscall(SYS_pidfd_open, a.number(0), 0));
}
napi_value PidfdGetfd(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	return a.answer(syscall(SYS_pidfd_getfd, a.number(0), a.number(1), 0));
}
napi_value Prctl(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	return a.answer(prctl(a.number(0), static_cast<unsigned long>(a.wide(1)), 0, 0, 0));
}
napi_value SetCloseOnExec(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	return a.answer(fcntl(a.number(0), F_SETFD, a.number(1) ? FD_CLOEXEC : 0));
}
/* An Int32Array of signals to ignore. */
napi_value SetSignals(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	size_t octets;
	int32_t *ignored = reinterpret_cast<int32_t *>(a.bytes(0, &octets));
	for (int number = 1; number <= 64; number++) {
		bool ignore = false;
		for (size_t i = 0; i < octets / 4; i++) ignore = ignore || ignored[i] == number;
		// SIGKILL, SIGSTOP and the C library's own two are refused.
		signal(number, ignore ? SIG_IGN : SIG_DFL);
	}
	sigset_t none;
	sigemptyset(&none);
	return a.answer(sigprocmask(SIG_SETMASK, &none, nullptr));
}
napi_value SetOpenFilesLimit(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	auto limit = [](double value) { return value < 9e18 ? static_cast<rlim_t>(value) : RLIM_INFINITY; };
	rlimit limits = {limit(a.wide(0)), limit(a.wide(1))};
	return a.answer(setrlimit(RLIMIT_NOFILE, &limits));
}
napi_value Execve(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	std::vector<std::string> arguments = a.texts(1), environment = a.texts(2);
	auto pointers = [](std::vector<std::string> &list) {
		std::vector<char *> vector;
		for (std::string &text : list) vector.push_back(text.data());
		vector.push_back(nullptr);
		return vector;
	};
	return a.answer(execve(a.text(0).c_str(), pointers(arguments).data(), pointers(environment).data()));
}
napi_value EpollCreate(napi_env env, napi_callback_info info) {
	return Arguments(env, info).answer(epoll_create1(EPOLL_CLOEXEC));
}
napi_value EpollControl(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	const int number = a.number(2);
	epoll_event event = {};
	event.events = EPOLLIN;
	event.data.u32 = number;
	return a.answer(epoll_ctl(a.number(0), number < 0 ? EPOLL_CTL_DEL : EPOLL_CTL_ADD, a.number(1), &event));
}
napi_value EpollWait(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	size_t octets = 0;
	auto *events = reinterpret_cast<epoll_event *>(a.bytes(1, &octets));
	return a.answer(epoll_wait(a.number(0), events, octets / sizeof *events, a.number(2)));
}

napi_value YieldProcessor(napi_env env, napi_callback_info info) {
	return Arguments(env, info).answer(sched_yield());
}

void unmap(napi_env, void *memory, void *octets) { munmap(memory, reinterpret_cast<size_t>(octets)); }

/* fd, octets: memory that is the file's. */
napi_value MapFile(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	const size_t octets = static_cast<size_t>(a.wide(1));
	void *memory = mmap(nullptr, octets, PROT_READ | PROT_WRITE, MAP_SHARED, a.number(0), 0);
	if (memory == MAP_FAILED) return a.answer(-1);
	napi_value buffer;
	void *hint = reinterpret_cast<void *>(octets);
	if (napi_create_external_arraybuffer(env, memory, octets, unmap, hint, &buffer) == napi_ok) return buffer;
	munmap(memory, octets);
	return a.plain(-ENOSYS);
}

/* ---- packets ---- */

/* Columns of a PacketBatch, in the order in which they are registered. */
struct Batch {
	uint8_t *slab;
	int32_t *at, *room, *octets, *segment_octets, *joined;
	uint8_t *peer, *local;
	int32_t *ifindex, *traffic_class, *hop_limit, *mark, *status;
	int capacity;
	/* Of one receive. */
	ssize_t octets_max;
};

thread_local std::vector<Batch> batches;

napi_value RegisterBatch(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	auto column = [&](size_t i) { return reinterpret_cast<int32_t *>(a.bytes(i)); };
	Batch batch = {a.bytes(0), column(1), column(2), column(3), column(4), column(5), a.bytes(6), a.bytes(7),
		column(8), column(9), column(10), column(11), column(12), a.number(13), a.number(14)};
	if (batch.capacity > ROWS_MAX) batch.capacity = ROWS_MAX;
	batches.push_back(batch);
	return a.plain(batches.size() - 1);
}

void take_control(Batch &batch, int row, cmsghdr *control) {
	uint8_t *data = CMSG_DATA(control);
	uint8_t *local = batch.local + row * LOCAL_OCTETS;
	int32_t value;
	if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
		in_pktinfo *packet = reinterpret_cast<in_pktinfo *>(data);
		batch.ifindex[row] = packet->ipi_ifindex;
		memset(local, 0, LOCAL_OCTETS);
		memcpy(local, &packet->ipi_addr, 4);
	} else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
		in6_pktinfo *packet = reinterpret_cast<in6_pktinfo *>(data);
		batch.ifindex[row] = packet->ipi6_ifindex;
		memcpy(local, &packet->ipi6_addr, 16);
	} else if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_TOS) {
		batch.traffic_class[row] = *data;
	} else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_TCLASS) {
		memcpy(&value, data, 4);
		batch.traffic_class[row] = value;
	} else if ((control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_TTL) ||
		(control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_HOPLIMIT)) {
		memcpy(&value, data, 4);
		batch.hop_limit[row] = value;
	} else if (control->cmsg_level == SOL_UDP && control->cmsg_type == UDP_GRO) {
		memcpy(&value, data, 4);
		batch.segment_octets[row] = value;
	} else if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SO_MARK) {
		memcpy(&batch.mark[row], data, 4);
	}
}

thread_local mmsghdr headers[ROWS_MAX];
thread_local iovec vectors[ROWS_MAX];
alignas(cmsghdr) thread_local uint8_t controls[ROWS_MAX][CONTROL_OCTETS];

/* Rows of one recvmmsg(2): as a message may be many datagrams, a few are much. */
constexpr int ROWS_PER_CALL = 4;

int receive_some(int fd, Batch &batch, int first, int rows) {
	for (int row = first; row < first + rows; row++) {
		vectors[row] = {batch.slab + batch.at[row], static_cast<size_t>(batch.room[row])};
		msghdr &header = headers[row].msg_hdr;
		header = {};
		header.msg_name = batch.peer + row * PEER_OCTETS;
		header.msg_namelen = sizeof(sockaddr_in6);
		header.msg_iov = &vectors[row];
		header.msg_iovlen = 1;
		header.msg_control = controls[row];
		header.msg_controllen = CONTROL_OCTETS;
	}
	return recvmmsg(fd, headers + first, rows, MSG_DONTWAIT, nullptr);
}

int receive_datagrams(int fd, Batch &batch) {
	ssize_t octets = 0;
	int row = 0;
	while (row < batch.capacity && octets < batch.octets_max) {
		const int left = batch.capacity - row, rows = left < ROWS_PER_CALL ? left : ROWS_PER_CALL;
		const int count = receive_some(fd, batch, row, rows);
		if (count < 0) return row > 0 || errno == EAGAIN || errno == EINTR ? row : -errno;
		for (const int end = row + count; row < end; row++) {
			msghdr &header = headers[row].msg_hdr;
			octets += batch.octets[row] = headers[row].msg_len;
			batch.segment_octets[row] = batch.ifindex[row] = batch.traffic_class[row] = batch.hop_limit[row] = batch.mark[row] = 0;
			for (cmsghdr *control = CMSG_FIRSTHDR(&header); control; control = CMSG_NXTHDR(&header, control))
				take_control(batch, row, control);
		}
		if (count < rows) break;
	}
	return row;
}

int read_packets(int fd, Batch &batch) {
	ssize_t sum = 0;
	int row = 0;
	for (; row < batch.capacity && sum < batch.octets_max; row++) {
		ssize_t octets = read(fd, batch.slab + batch.at[row], batch.room[row]);
		if (octets < 0) return row > 0 || errno == EAGAIN || errno == EINTR ? row : -errno;
		sum += batch.octets[row] = octets;
		batch.segment_octets[row] = 0;
	}
	return row;
}

enum Kind { SOCKET, TUN, DATAGRAM };

/* fd, kind, batch */
napi_value ReceivePackets(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	Batch &batch = batches[a.number(2)];
	return a.plain(a.number(1) == TUN ? read_packets(a.number(0), batch) : receive_datagrams(a.number(0), batch));
}

void add_control(msghdr &header, int level, int type, const void *value, size_t octets) {
	cmsghdr *control = reinterpret_cast<cmsghdr *>(static_cast<uint8_t *>(header.msg_control) + header.msg_controllen);
	control->cmsg_level = level;
	control->cmsg_type = type;
	control->cmsg_len = CMSG_LEN(octets);
	memcpy(CMSG_DATA(control), value, octets);
	header.msg_controllen += CMSG_SPACE(octets);
}

/* Source address, traffic class, hop limit and segments of a datagram. */
void write_control(Batch &batch, int row, msghdr &header, sa_family_t family) {
	const uint8_t *local = batch.local + row * LOCAL_OCTETS;
	const int level = family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
	if (family == AF_INET) {
		in_pktinfo packet = {};
		memcpy(&packet.ipi_spec_dst, local, 4);
		add_control(header, level, IP_PKTINFO, &packet, sizeof packet);
	} else {
		in6_pktinfo packet = {};
		memcpy(&packet.ipi6_addr, local, 16);
		add_control(header, level, IPV6_PKTINFO, &packet, sizeof packet);
	}
	add_control(header, level, family == AF_INET ? IP_TOS : IPV6_TCLASS, &batch.traffic_class[row], 4);
	add_control(header, level, family == AF_INET ? IP_TTL : IPV6_HOPLIMIT, &batch.hop_limit[row], 4);
	if (batch.segment_octets[row] > 0) {
		uint16_t octets = batch.segment_octets[row];
		add_control(header, SOL_UDP, UDP_SEGMENT, &octets, sizeof octets);
	}
}

/* Makes messages of the rows, those that are joined in one; answers how many. */
int gather(Batch &batch, int count, Kind kind) {
	int messages = 0;
	for (int row = 0; row < count; row++) {
		vectors[row] = {batch.slab + batch.at[row], static_cast<size_t>(batch.octets[row])};
		if (messages > 0 && batch.joined[row]) {
			headers[messages - 1].msg_hdr.msg_iovlen++;
			continue;
		}
		msghdr &header = headers[messages].msg_hdr;
		header = {};
		header.msg_iov = &vectors[row];
		header.msg_iovlen = 1;
		if (kind != TUN) {
			uint8_t *peer = batch.peer + row * PEER_OCTETS;
			sa_family_t family;
			memcpy(&family, peer, sizeof family);
			header.msg_name = peer;
			header.msg_namelen = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
			header.msg_control = controls[messages];
			if (kind == DATAGRAM) write_control(batch, row, header, family);
			if (batch.mark[row]) add_control(header, SOL_SOCKET, SO_MARK, &batch.mark[row], 4);
			if (header.msg_controllen == 0) header.msg_control = nullptr;
		}
		messages++;
	}
	return messages;
}

/* fd, kind, batch, rows */
napi_value SendPackets(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	Batch &batch = batches[a.number(2)];
	const int fd = a.number(0), count = a.number(3) < batch.capacity ? a.number(3) : batch.capacity;
	const Kind kind = static_cast<Kind>(a.number(1));
	const int messages = gather(batch, count, kind);
	int row = 0;
	for (int message = 0; message < messages;) {
		int sent = 1, status = 0;
		if (kind == TUN) {
			if (writev(fd, headers[message].msg_hdr.msg_iov, headers[message].msg_hdr.msg_iovlen) < 0) status = -errno;
		} else {
			sent = sendmmsg(fd, headers + message, messages - message, SEND_FLAGS);
			if (sent <= 0) {
				status = -errno;
				sent = 1;
			}
		}
		for (; sent > 0; sent--, message++)
			for (size_t left = headers[message].msg_hdr.msg_iovlen; left > 0; left--) batch.status[row++] = status;
	}
	return a.plain(count);
}

/* Columns of OctetMoves, in the order in which they are registered. */
struct Moves {
	uint8_t *slab;
	int32_t *from, *to, *octets, *sum;
};

thread_local std::vector<Moves> move_columns;

napi_value RegisterMoves(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	auto column = [&](size_t i) { return reinterpret_cast<int32_t *>(a.bytes(i)); };
	move_columns.push_back({a.bytes(0), column(1), column(2), column(3), column(4)});
	return a.plain(move_columns.size() - 1);
}

/* The ones' complement sum of 16-bit words in the order of the wire; words of 32 bits are added up, and their
   carries folded in at the end, in the machine's order, which the sum does not mind (RFC 1071 2). */
VECTORIZED uint32_t add_octets(const uint8_t *bytes, size_t octets, uint32_t sum) {
	uint64_t total = 0;
	const size_t words = octets / 4;
	for (size_t i = 0; i < words; i++) {
		uint32_t word;
		memcpy(&word, bytes + 4 * i, 4);
		total += word;
	}
	uint32_t last = 0;
	memcpy(&last, bytes + 4 * words, octets % 4);
	total += last;
	while (total >> 16) total = (total & 0xffff) + (total >> 16);
	uint32_t swapped = sum + ((total & 0xff) << 8 | total >> 8);
	while (swapped >> 16) swapped = (swapped & 0xffff) + (swapped >> 16);
	return swapped;
}

/* columns, count */
napi_value MoveOctets(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	const Moves &moves = move_columns[a.number(0)];
	for (int row = 0, count = a.number(1); row < count; row++) {
		const uint8_t *from = moves.slab + moves.from[row];
		const size_t octets = moves.octets[row];
		if (moves.to[row] >= 0) memcpy(moves.slab + moves.to[row], from, octets);
		if (moves.sum[row] >= 0) moves.sum[row] = add_octets(from, octets, moves.sum[row]);
	}
	return nullptr;
}

napi_value Initialize(napi_env env, napi_value exports) {
	const struct { const char *name; napi_callback call; } functions[] = {
		{"open", Open}, {"close", Close}, {"read", Read}, {"write", Write}, {"ioctl", Ioctl}, {"ioctlValue", IoctlValue},
		{"socket", Socket}, {"bind", Bind}, {"socketName", SocketName}, {"setOption", SetOption},
		{"getOption", GetOption}, {"attachReusePortFilter", AttachReusePortFilter}, {"send", Send},
		{"receive", Receive}, {"eventfd", Eventfd}, {"pidfdOpen", PidfdOpen}, {"pidfdGetfd", PidfdGetfd},
		{"prctl", Prctl}, {"yieldProcessor", YieldProcessor}, {"setCloseOnExec", SetCloseOnExec}, {"setSignals", SetSignals},
		{"setOpenFilesLimit", SetOpenFilesLimit}, {"execve", Execve}, {"epollCreate", EpollCreate},
		{"epollControl", EpollControl}, {"epollWait", EpollWait}, {"mapFile", MapFile},
		{"registerBatch", RegisterBatch}, {"receivePackets", ReceivePackets}, {"sendPackets", SendPackets},
		{"registerMoves", RegisterMoves}, {"moveOctets", MoveOctets},
		{"aeadKey", AeadKey}, {"cbcKey", CbcKey}, {"wipeKey", WipeKey}, {"registerJobs", RegisterJobs},
		{"addressOf", AddressOf}, {"seal", Seal}, {"openSealed", OpenSealed},
		{"cryptoLibrary", CryptoLibrary},
	};
	for (const auto &function : functions) {
		napi_value value;
		napi_create_function(env, function.name, NAPI_AUTO_LENGTH, function.call, nullptr, &value);
		napi_set_named_property(env, exports, function.name, value);
	}
	return exports;
}

}  // namespace

NAPI_MODULE(NODE_GYP_MODULE_NAME, Initialize)
