/**
 * The daemon's end of netlink: a NETLINK_USERSOCK socket at a fixed port id, to which the preload shim
 * leads what programs send to NETLINK_XFRM. The kernel carries datagrams, groups and flow control; here
 * they are matched with the clients of a `NetlinkServer`.
 *
 * Nobody tells when a client has gone or joined a group: /proc/net/netlink is looked at instead, when a
 * port id is new, and now and then.
 */
import { readFileSync } from 'node:fs';
import { encodeError, MessageFlag, type RawMessage, splitMessages, viewOf } from '@xfrm/netlink';
import type { AckOptions, NetlinkClient, NetlinkServer } from '@xfrm/netlink-server';
import { Errno } from '@xfrm/wire/xfrm';
import { CLIENT_BACKLOG_DATAGRAMS_MAX, CLIENTS_MAX } from '../limits.ts';
import { intValue, Level, SocketOption } from '../native/abi.ts';
import type { Native } from '../native/seam.ts';
import { emptyMessage } from '../rtnetlink/rtnetlink-socket.ts';
import {
	AF_NETLINK,
	NETLINK_USERSOCK,
	SOCKET_TYPE,
	sockaddrNl,
	sockaddrNlPid,
} from '../socket-abi.ts';
import { ackOptionsOf } from './ack-options.ts';
import { type Credentials, mayConfigure, senderCredentials } from './credentials.ts';
import { findReceiver, holdSocket, type KeyReceiver, mayTellKeys } from './key-receiver.ts';
import { DAEMON_PORT } from './marks.ts';
import { takeObservationRequest } from './observation.ts';
import { netlinkSockets } from './socket-list.ts';

/** Largest request: as in linux-transport. */
const DATAGRAM_OCTETS = 0x4_1000;
/** Octets of the queue of answers in the kernel. */
const QUEUE_OCTETS = 0x100_0000;
/** Of requests: what others have to wait for when somebody floods it. A full one makes its senders wait. */
const REQUEST_QUEUE_OCTETS = 0x2_0000;
const NLMSG_HEADER_OCTETS = 16;
/** Groups of NETLINK_XFRM. */
const GROUPS_MAX = 9;
/** Requests that are taken before packets get their turn again. */
const REQUESTS_PER_TURN_MAX = 64;
/** So many turns take one request, and do not look for a second. */
const SINGLES_MAX = 8;
/** Of the first message: what is there when nothing is asked. */
const NOOP = 1;

/** A program's socket as the daemon knows it. */
interface Peer {
	readonly client: NetlinkClient;
	/** Of its port id. */
	readonly address: Uint8Array;
	/** Whom the right was looked up for. */
	pid: number;
	uid: number;
	/** What the kernel had no room for yet. */
	readonly backlog: Uint8Array[];
	/** Its socket, once it matters whose it is: keys are told to it alone, refusals by its options. */
	receiver: KeyReceiver | undefined;
}

/** Opens the socket and takes the port id. Answers fd or negative errno: EADDRINUSE when it is taken. */
export function openControlSocket(native: Native): number {
	const fd = native.socket(AF_NETLINK, SOCKET_TYPE, NETLINK_USERSOCK);
	if (fd < 0) {
		return fd;
	}
	const bound = native.bind(fd, sockaddrNl(DAEMON_PORT));
	if (bound < 0) {
		native.close(fd);
		return bound;
	}
	return fd;
}

/** Answers who asks for the daemon itself. */
export type Observer = (request: RawMessage, nowUs: number) => readonly Uint8Array[];

/** What it wants of the system. */
export type ControlNative = Pick<
	Native,
	'setOption' | 'getOption' | 'receive' | 'send' | 'close' | 'pidfdOpen' | 'pidfdGetfd'
>;

export class ControlSocket {
	readonly fd: number;
	readonly #native: ControlNative;
	readonly #server: NetlinkServer;
	readonly #observe: Observer;
	readonly #peers: Map<number, Peer> = new Map();
	/** Those for whom something waits, a dump's rest among it. */
	#waiting: Peer[] = [];
	/** One client a group, whose notifications go to all sockets that listen to it. */
	readonly #groups: readonly NetlinkClient[];
	readonly #scratch: Uint8Array = new Uint8Array(DATAGRAM_OCTETS);
	readonly #message = emptyMessage(64);
	/** Requests that the next turn takes at most. */
	#turn: number = 1;
	/** Turns that have taken one request, all that they could. */
	#singles: number = 0;

	/** @param fd a bound socket */
	constructor(native: ControlNative, fd: number, server: NetlinkServer, observe: Observer) {
		this.#native = native;
		this.fd = fd;
		this.#server = server;
		this.#observe = observe;
		this.#groups = Array.from({ length: GROUPS_MAX }, () => server.connect({ portId: 0 }));
		native.setOption(fd, Level.Socket, SocketOption.PassCredentials, intValue(1));
		native.setOption(
			fd,
			Level.Socket,
			SocketOption.ReceiveBufferForce,
			intValue(REQUEST_QUEUE_OCTETS),
		);
		native.setOption(fd, Level.Socket, SocketOption.SendBufferForce, intValue(QUEUE_OCTETS));
		this.lookAround();
	}

	/** Datagrams wait for clients that do not read: call `flush` soon. */
	get hasBacklog(): boolean {
		return this.#waiting.length > 0;
	}

	/**
	 * Carries out what has come. Answers are held back until `flush`, so that what a request has changed can
	 * take effect before it is acknowledged. True when anything was asked.
	 *
	 * A program that waits for each answer has sent one request, and to look for a second would keep it waiting: that
	 * is done now and then only. From those who do not wait a turn takes more and more, which share what a change
	 * costs.
	 */
	takeRequests(nowUs: number): boolean {
		let any = false;
		let taken = 0;
		for (; taken < this.#turn; taken++) {
			const octets = this.#native.receive(this.fd, this.#scratch, this.#message);
			if (octets === -Errno.ENOBUFS || octets === -Errno.EINTR) {
				continue;
			}
			if (octets < 0) {
				break;
			}
			const portId = sockaddrNlPid(this.#message.name);
			if (portId !== 0 && portId !== DAEMON_PORT && octets <= this.#scratch.length) {
				any = this.#take(portId, this.#scratch.subarray(0, octets), nowUs) || any;
			}
		}
		this.#turn = Math.max(1, Math.min(REQUESTS_PER_TURN_MAX, this.#nextTurn(taken)));
		return any;
	}

	#nextTurn(taken: number): number {
		if (taken < this.#turn) {
			return taken;
		}
		if (this.#turn > 1) {
			return 2 * this.#turn;
		}
		this.#singles = (this.#singles + 1) % SINGLES_MAX;
		return this.#singles === 0 ? 2 : 1;
	}

	/** Sends what waits: answers first, then further parts of dumps. */
	flush(): void {
		if (this.#waiting.length > 0) {
			this.#waiting = this.#waiting.filter((peer) => !this.#flushPeer(peer));
		}
	}

	/** Sends the engine's news, and those of requests, to who listens. */
	publish(): void {
		this.#server.dispatchEvents();
		for (let group = 1; group <= GROUPS_MAX; group++) {
			const client = this.#groups[group - 1];
			if (client === undefined) {
				continue;
			}
			for (let news = client.receive(); news !== undefined; news = client.receive()) {
				const address = sockaddrNl(0);
				viewOf(address).setUint32(8, 1 << (group - 1), true);
				// ECONNREFUSED: the kernel itself does not listen, as nobody else may.
				this.#native.send(this.fd, news, address);
			}
		}
	}

	/** Looks at who is still there, and at which groups are listened to. */
	lookAround(): void {
		const rows = netlinkSockets(readFileSync('/proc/net/netlink', 'latin1'), NETLINK_USERSOCK);
		const alive = new Set<number>();
		let listened = 0;
		for (const { portId, groups } of rows) {
			alive.add(portId);
			listened |= portId === DAEMON_PORT ? 0 : groups;
		}
		for (const peer of this.#peers.values()) {
			if (!alive.has(peer.client.portId)) {
				this.#forget(peer);
			}
		}
		for (const [index, client] of this.#groups.entries()) {
			const bit = 1 << index;
			if (client.groups !== (listened & bit)) {
				this.#server.subscribe(client, listened & bit);
			}
		}
	}

	close(): void {
		this.#native.close(this.fd);
	}

	/** True when it asks for anything but a sign of life. */
	#take(portId: number, datagram: Uint8Array, nowUs: number): boolean {
		if (this.#answerNoop(portId, datagram)) {
			return false;
		}
		const peer = this.#peerOf(portId, senderCredentials(this.#message));
		const request = takeObservationRequest(datagram);
		const answers =
			request === undefined
				? this.#server.begin(peer.client, this.#heard(peer.client, datagram), nowUs)
				: this.#tell(peer.client, request, nowUs);
		for (const answer of answers) {
			if (peer.backlog.length < CLIENT_BACKLOG_DATAGRAMS_MAX) {
				peer.backlog.push(answer);
			}
		}
		if (!this.#waiting.includes(peer)) {
			this.#waiting.push(peer);
		}
		return true;
	}

	/**
	 * Answers at once what anybody may ask, and nobody has to be known for: clients make sure of the daemon by a
	 * socket that lives for one question, before each message with keys. False when something else is asked.
	 */
	#answerNoop(portId: number, datagram: Uint8Array): boolean {
		if (datagram.length !== NLMSG_HEADER_OCTETS || datagram[4] !== NOOP || datagram[5] !== 0) {
			return false;
		}
		const [question] = splitMessages(datagram);
		if (question === undefined || (question.flags & MessageFlag.Ack) === 0) {
			return false;
		}
		const answer = encodeError(question, 0, { pid: portId, capAck: false });
		this.#native.send(this.fd, answer, sockaddrNl(portId));
		return true;
	}

	/** Of who has no right only the first message: each is refused alike, and costs us more than them. */
	#heard({ privileged }: NetlinkClient, datagram: Uint8Array): Uint8Array {
		const first = datagram.length >= 4 ? viewOf(datagram).getUint32(0, true) : 0;
		return privileged || first < NLMSG_HEADER_OCTETS ? datagram : datagram.subarray(0, first);
	}

	#tell(client: NetlinkClient, request: RawMessage, nowUs: number): readonly Uint8Array[] {
		return client.privileged
			? this.#observe(request, nowUs)
			: [encodeError(request, Errno.EPERM, { pid: client.portId, capAck: true })];
	}

	/** The peer of a port id, with the right that this sender has. */
	#peerOf(portId: number, credentials: Credentials | undefined): Peer {
		const known = this.#peers.get(portId);
		const { pid, uid } = credentials ?? { pid: -1, uid: -1 };
		if (known !== undefined && known.pid === pid && known.uid === uid) {
			return known;
		}
		if (known !== undefined) {
			this.#forget(known);
		}
		const privileged = credentials !== undefined && mayConfigure(credentials);
		if (privileged) {
			// Who changes something may have joined a group just before.
			this.lookAround();
		}
		const [oldest] = this.#peers.values();
		if (this.#peers.size >= CLIENTS_MAX && oldest !== undefined) {
			this.#forget(oldest);
		}
		const askAckOptions = (): AckOptions | undefined => this.#ackOptions(peer);
		const client = this.#server.connect({ portId, privileged, askAckOptions });
		const peer: Peer = {
			client,
			address: sockaddrNl(portId),
			pid,
			uid,
			backlog: [],
			receiver: undefined,
		};
		this.#peers.set(portId, peer);
		return peer;
	}

	/** True when nothing waits for the peer any more. */
	#flushPeer(peer: Peer): boolean {
		for (;;) {
			const next = peer.backlog.shift() ?? this.#server.continueDump(peer.client);
			if (next === undefined) {
				return true;
			}
			const sent = this.#send(peer, next);
			if (sent === -Errno.EAGAIN || sent === -Errno.ENOBUFS) {
				if (!peer.client.privileged) {
					// Nothing is kept for who has no right to anything.
					peer.backlog.length = 0;
					return true;
				}
				peer.backlog.unshift(next);
				return false;
			}
			if (sent < 0) {
				this.#forget(peer);
				return true;
			}
		}
	}

	/** Sends an answer: keys to who has asked, and to nobody who has the port id instead. */
	#send(peer: Peer, datagram: Uint8Array): number {
		const native = this.#native;
		if (!peer.client.privileged || !mayTellKeys(datagram)) {
			return native.send(this.fd, datagram, peer.address);
		}
		const held = this.#hold(peer);
		if (held === undefined) {
			return -Errno.ECONNREFUSED;
		}
		const sent = native.send(this.fd, datagram, peer.address);
		if (held >= 0) {
			native.close(held);
		}
		return sent;
	}

	/** What a peer's socket wants to be told of refusals; undefined where that cannot be seen. */
	#ackOptions(peer: Peer): AckOptions | undefined {
		const held = peer.client.privileged ? this.#hold(peer) : undefined;
		if (held === undefined || held < 0) {
			return undefined;
		}
		const options = ackOptionsOf(this.#native, held);
		this.#native.close(held);
		return options;
	}

	/** A copy of a peer's socket, if it has one. */
	#hold(peer: Peer): number | undefined {
		const held = peer.receiver && holdSocket(this.#native, peer.receiver);
		if (held !== undefined) {
			return held;
		}
		// It may have another socket by now.
		this.#loseReceiver(peer);
		peer.receiver = findReceiver(this.#native, peer.client.portId, peer);
		return peer.receiver && holdSocket(this.#native, peer.receiver);
	}

	#loseReceiver(peer: Peer): void {
		if (peer.receiver !== undefined) {
			this.#native.close(peer.receiver.pidfd);
		}
		peer.receiver = undefined;
	}

	#forget(peer: Peer): void {
		this.#loseReceiver(peer);
		this.#server.disconnect(peer.client);
		this.#peers.delete(peer.client.portId);
		peer.backlog.length = 0;
	}
}
