import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nullProvider } from '@xfrm/crypto/null';
import { Engine, linux619 } from '@xfrm/engine';
import { ControlType, MessageFlag, splitMessages, viewOf } from '@xfrm/netlink';
import { NetlinkServer } from '@xfrm/netlink-server';
import { Errno } from '@xfrm/wire/xfrm';
import { Level, SCM_CREDENTIALS } from '../native/abi.ts';
import type { Native, ReceivedMessage } from '../native/seam.ts';
import { sockaddrNl, sockaddrNlPid } from '../socket-abi.ts';
import { ControlSocket } from './control-socket.ts';

const NOW_US = 1_764_000_000_000_000;
const FD = 3;
const PORT = 4711;
const NOOP = 1;
const GETSADINFO = 0x23;

/** A request without payload but what is behind it. */
function request(type: number, flags: number, behind: number = 0): Uint8Array {
	const bytes = new Uint8Array(16 + behind);
	const view = viewOf(bytes);
	view.setUint32(0, bytes.length, true);
	view.setUint16(4, type, true);
	view.setUint16(6, flags, true);
	view.setUint32(8, 77, true);
	return bytes;
}

/** The socket's end in the kernel: what waits there, what was sent, how often somebody looked. */
function setUp() {
	const queue: Uint8Array[] = [];
	const sent: { readonly to: number; readonly bytes: Uint8Array }[] = [];
	let looks = 0;
	const native = {
		setOption: () => 0,
		send(_fd: number, bytes: Uint8Array, to: Uint8Array): number {
			sent.push({ to: sockaddrNlPid(to), bytes: bytes.slice() });
			return bytes.length;
		},
		receive(_fd: number, bytes: Uint8Array, message: ReceivedMessage): number {
			looks++;
			const next = queue.shift();
			if (next === undefined) {
				return -Errno.EAGAIN;
			}
			bytes.set(next);
			message.name.set(sockaddrNl(PORT));
			const view = viewOf(message.control);
			view.setUint32(0, 28, true);
			view.setInt32(8, Level.Socket, true);
			view.setInt32(12, SCM_CREDENTIALS, true);
			// A process that there is not: it has no right to anything.
			view.setInt32(16, 0x7fff_ffff, true);
			message.controlOctets = 28;
			return next.length;
		},
	} as unknown as Native;
	const engine = new Engine({
		profile: linux619,
		provider: nullProvider(),
		random: (octets) => octets.fill(1),
		route: () => undefined,
	});
	const socket = new ControlSocket(native, FD, new NetlinkServer(engine), () => []);
	const looksOfATurn = (): number => {
		const before = looks;
		socket.takeRequests(NOW_US);
		socket.flush();
		return looks - before;
	};
	return { socket, queue, sent, looksOfATurn };
}

const ASKED = MessageFlag.Request | MessageFlag.Ack;

test('a sign of life is given at once, and is nothing that others have to wait for', () => {
	const { socket, queue, sent } = setUp();
	queue.push(request(NOOP, ASKED));
	assert.equal(socket.takeRequests(NOW_US), false);
	assert.equal(sent.length, 1);
	assert.equal(sent[0]?.to, PORT);
	const [answer] = splitMessages(sent[0]?.bytes ?? new Uint8Array(0));
	assert.deepEqual(
		[
			answer?.type,
			answer?.seq,
			answer?.pid,
			viewOf(answer?.payload ?? new Uint8Array(4)).getInt32(0, true),
		],
		[ControlType.Error, 77, PORT, 0],
	);
});

test('what is more than that, or less, is a request like any other', () => {
	for (const datagram of [
		request(NOOP, MessageFlag.Request),
		request(NOOP, ASKED, 4),
		request(NOOP + 256, ASKED),
		request(NOOP, ASKED).subarray(0, 12),
		new Uint8Array(0),
	]) {
		const { socket, queue, sent } = setUp();
		queue.push(datagram);
		assert.equal(socket.takeRequests(NOW_US), true);
		assert.deepEqual(sent, [], 'nothing before what it changes has taken effect');
	}
});

test('who has no right is told so, in the order of asking', () => {
	const { queue, sent, looksOfATurn } = setUp();
	queue.push(request(GETSADINFO, ASKED, 4), request(GETSADINFO, ASKED, 4));
	looksOfATurn();
	looksOfATurn();
	const errors = sent.map(({ bytes }) => viewOf(bytes).getInt32(16, true));
	assert.deepEqual(errors, [-Errno.EPERM, -Errno.EPERM]);
});

test('a turn takes one request of who waits for answers, and more and more of who does not', () => {
	const { queue, sent, looksOfATurn } = setUp();
	const one = request(GETSADINFO, ASKED, 4);
	const alone: number[] = [];
	for (let i = 0; i < 16; i++) {
		queue.push(one);
		alone.push(looksOfATurn());
	}
	assert.deepEqual(alone, [1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1]);
	queue.push(...new Array<Uint8Array>(300).fill(one));
	const turns: number[] = [];
	while (queue.length > 0) {
		turns.push(looksOfATurn());
	}
	assert.deepEqual(turns.slice(0, 7), [1, 2, 4, 8, 16, 32, 64], 'they grow, to an end');
	assert.equal(sent.length, 316);
	assert.equal(looksOfATurn(), 1, 'nothing is there');
	queue.push(one, one);
	assert.equal(looksOfATurn(), 1);
});
