import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { anyAddress, Errno } from '@xfrm/wire/xfrm';
import { encodeDone, encodeError } from './ack.ts';
import { XfrmClient } from './client.ts';
import { DUMP_ATTEMPTS_MAX, IN_FLIGHT_MAX, PENDING_MAX } from './limits.ts';
import { joinMessages, MessageFlag, type RawMessage, splitMessages } from './message.ts';
import { NetlinkError } from './netlink-error.ts';
import { completeState, stateRequestBody } from './state-request.ts';
import {
	type Arrival,
	type NetlinkSocket,
	type NetlinkTransport,
	TransportError,
} from './transport.ts';
import { encodeMessage, type XfrmMessage } from './xfrm/messages.ts';

/** A kernel as a function: what comes back for a request, a datagram each; 'overrun' is ENOBUFS. */
type Kernel = (request: RawMessage) => readonly (Uint8Array | 'overrun')[];

class ScriptedSocket implements NetlinkSocket {
	readonly portId: number = 77;
	readonly groups: number[] = [];
	closed: boolean = false;
	readonly #kernel: Kernel;
	readonly #queue: (Uint8Array | 'overrun')[] = [];
	#wake: (() => void) | undefined;

	constructor(kernel: Kernel) {
		this.#kernel = kernel;
	}

	send(datagram: Uint8Array): void {
		for (const message of splitMessages(datagram)) {
			this.deliver(...this.#kernel(message));
		}
	}

	deliver(...items: readonly (Uint8Array | 'overrun')[]): void {
		this.#queue.push(...items);
		if (items.length > 0) {
			this.#wake?.();
		}
	}

	async receive(): Promise<Arrival> {
		while (this.#queue.length === 0 && !this.closed) {
			await new Promise<void>((resolve) => {
				this.#wake = resolve;
			});
		}
		if (this.closed) {
			throw new TransportError(Errno.EBADF, 'closed');
		}
		const items = this.#queue.splice(0);
		const datagrams = items.filter((item) => item !== 'overrun');
		return { datagrams, overrun: items.includes('overrun') };
	}

	join(groups: readonly number[]): void {
		this.groups.push(...groups);
	}

	close(): void {
		this.closed = true;
		this.#wake?.();
	}
}

/** Sockets to one scripted kernel, and a clock that a test turns. */
class ScriptedTransport implements NetlinkTransport {
	readonly sockets: ScriptedSocket[] = [];
	readonly timers: Map<number, () => void> = new Map();
	kernel: Kernel;
	#timer: number = 0;

	constructor(kernel: Kernel) {
		this.kernel = kernel;
	}

	open(): ScriptedSocket {
		const socket = new ScriptedSocket((request) => this.kernel(request));
		this.sockets.push(socket);
		return socket;
	}

	after(_milliseconds: number, fire: () => void): () => void {
		const id = this.#timer++;
		this.timers.set(id, fire);
		return () => this.timers.delete(id);
	}

	explain(errno: number): string | undefined {
		return errno === Errno.EPERM ? 'ask root' : undefined;
	}

	/** The time of everything that waits is up. */
	fireAll(): void {
		for (const [id, fire] of this.timers) {
			this.timers.delete(id);
			fire();
		}
	}
}

const acknowledge = (request: RawMessage, errno: number = 0): Uint8Array =>
	encodeError(request, errno, { pid: 77, capAck: true });

const answer = (
	message: Omit<XfrmMessage, 'pid' | 'attributes'> & Partial<XfrmMessage>,
): Uint8Array => encodeMessage({ pid: 77, attributes: [], ...message } as XfrmMessage);

const defaultsAnswer = (request: RawMessage): Uint8Array =>
	answer({ name: 'getdefault', flags: 0, seq: request.seq, body: { in: 1, fwd: 2, out: 2 } });

/** What the promise was refused with. */
async function refusal(promise: Promise<unknown>): Promise<NetlinkError> {
	try {
		await promise;
	} catch (error) {
		assert.ok(error instanceof NetlinkError, String(error));
		return error;
	}
	return assert.fail('it was not refused');
}

describe('requests', () => {
	test('the answer comes before the acknowledgement; both may share a datagram or not', async () => {
		for (const together of [true, false]) {
			const transport = new ScriptedTransport((request) => {
				const parts = [defaultsAnswer(request), acknowledge(request)];
				return together ? [joinMessages(parts)] : parts;
			});
			const client = new XfrmClient(transport);
			assert.deepEqual(await client.defaults.get(), { in: 1, fwd: 2, out: 2 });
			assert.equal(transport.timers.size, 0);
		}
	});

	test('answers are told apart by sequence number, in whatever order they come', async () => {
		const asked: RawMessage[] = [];
		const transport = new ScriptedTransport((request) => {
			asked.push(request);
			const [first] = asked;
			return asked.length === 2 && first !== undefined
				? [acknowledge(request), defaultsAnswer(first), acknowledge(first, 0)]
				: [];
		});
		const client = new XfrmClient(transport);
		const [defaults] = await Promise.all([client.defaults.get(), client.states.flush()]);
		assert.deepEqual(defaults, { in: 1, fwd: 2, out: 2 });
		assert.equal(transport.sockets.length, 1);
		assert.deepEqual(
			asked.map(({ seq, flags }) => [seq, flags]),
			[
				[1, MessageFlag.Request | MessageFlag.Ack],
				[2, MessageFlag.Request | MessageFlag.Ack],
			],
		);
	});

	test('a refusal tells operation, errno, sentence and offset', async () => {
		const transport = new ScriptedTransport((request) => [
			encodeError(request, Errno.ERANGE, {
				pid: 77,
				capAck: true,
				extended: { message: 'integer out of range', offset: 244 },
			}),
		]);
		const error = await refusal(new XfrmClient(transport).states.flush(50));
		const { operation, errno, code, detail, offset, message } = error;
		assert.deepEqual(
			{ operation, errno, code, detail, offset, message },
			{
				operation: 'states.flush',
				errno: 34,
				code: 'ERANGE',
				detail: 'integer out of range',
				offset: 244,
				message: 'states.flush: Numerical result out of range (ERANGE): integer out of range',
			},
		);
	});

	test('a refusal that people can do something about says what', async () => {
		const transport = new ScriptedTransport((request) => [acknowledge(request, Errno.EPERM)]);
		const error = await refusal(new XfrmClient(transport).info.states());
		assert.equal(error.message, 'info.states: Operation not permitted (EPERM): ask root');
	});

	test('an answer of the wrong kind, none, two, or one cut short is EPROTO', async () => {
		const kernels: Readonly<Record<string, Kernel>> = {
			none: (request) => [acknowledge(request)],
			two: (request) => [defaultsAnswer(request), defaultsAnswer(request), acknowledge(request)],
			other: (request) => [
				answer({ name: 'flushsa', flags: 0, seq: request.seq, body: { proto: 0 } }),
				acknowledge(request),
			],
			short: (request) => {
				const cut = defaultsAnswer(request).slice(0, 18);
				cut[0] = 18;
				return [cut, acknowledge(request)];
			},
		};
		for (const [name, kernel] of Object.entries(kernels)) {
			const error = await refusal(new XfrmClient(new ScriptedTransport(kernel)).defaults.get());
			assert.equal(error.code, 'EPROTO', name);
		}
	});

	test('a request that nobody answers ends by its time, and its late answer harms nobody', async () => {
		const transport = new ScriptedTransport(() => []);
		const client = new XfrmClient(transport);
		const error = refusal(client.states.flush(0, { timeoutMs: 5 }));
		transport.fireAll();
		assert.equal((await error).message.includes('no answer for 5 ms'), true);
		assert.equal((await error).code, 'ETIMEDOUT');
		// Nobody waits on the socket any more, so it was given back.
		assert.equal(transport.sockets[0]?.closed, true);
		transport.kernel = (request) => [
			acknowledge({ ...request, seq: 1 }, Errno.EPERM),
			acknowledge(request),
		];
		await client.states.flush();
		assert.equal(transport.sockets.length, 2);
	});

	test('a signal ends a request, also one that was given before', async () => {
		const transport = new ScriptedTransport(() => []);
		const client = new XfrmClient(transport);
		const controller = new AbortController();
		const error = refusal(client.states.flush(0, { signal: controller.signal }));
		controller.abort();
		assert.equal((await error).code, 'ECANCELED');
		const again = await refusal(client.states.flush(0, { signal: controller.signal }));
		assert.equal(again.code, 'ECANCELED');
		assert.equal(transport.sockets.length, 1, 'nothing was sent');
		assert.equal(transport.timers.size, 0);
	});

	test('lost answers are ENOBUFS for all who wait; the next request has a new socket', async () => {
		const transport = new ScriptedTransport(() => []);
		const client = new XfrmClient(transport);
		const errors = [refusal(client.states.flush()), refusal(client.policies.flush())];
		transport.sockets[0]?.deliver('overrun');
		assert.deepEqual(
			(await Promise.all(errors)).map(({ code }) => code),
			['ENOBUFS', 'ENOBUFS'],
		);
		transport.kernel = (request) => [acknowledge(request)];
		await client.states.flush();
		assert.equal(transport.sockets.length, 2);
	});

	test('of many requests only some are on their way at a time', async () => {
		let most = 0;
		let waiting: RawMessage[] = [];
		const transport = new ScriptedTransport((request) => {
			waiting.push(request);
			most = Math.max(most, waiting.length);
			return [];
		});
		const client = new XfrmClient(transport);
		const all = Promise.all(Array.from({ length: 1000 }, () => client.states.flush()));
		while (waiting.length > 0) {
			const acks = waiting.map((request) => acknowledge(request));
			waiting = [];
			transport.sockets[0]?.deliver(...acks);
			await new Promise((resolve) => setImmediate(resolve));
		}
		await all;
		assert.equal(most, IN_FLIGHT_MAX);
		const flood = Array.from({ length: PENDING_MAX + 1 }, () => refusal(client.states.flush()));
		assert.match((await flood[PENDING_MAX])?.message ?? '', /ENOBUFS.*no answer yet/);
		client.close();
		await Promise.all(flood);
	});

	test('closing refuses what waits and what comes later', async () => {
		const transport = new ScriptedTransport(() => []);
		const client = new XfrmClient(transport);
		const waiting = [refusal(client.states.flush()), refusal(client.states.list())];
		client.close();
		for (const error of [...(await Promise.all(waiting)), await refusal(client.states.flush())]) {
			assert.equal(error.code, 'EBADF');
		}
		assert.equal(transport.timers.size, 0);
	});
});

describe('dumps', () => {
	const member = (request: RawMessage, proto: number, flags: number = 0): Uint8Array =>
		answer({
			name: 'newsa',
			flags: MessageFlag.Multi | flags,
			seq: request.seq,
			body: stateRequestBody(
				completeState({
					id: { daddr: anyAddress(), spi: 1, proto },
					saddr: anyAddress(),
					family: 2,
				}),
			),
		});

	test('all parts to the end, by a socket of its own', async () => {
		const transport = new ScriptedTransport((request) => [
			joinMessages([member(request, 50), member(request, 51)]),
			member({ ...request, seq: 999 }, 99),
			member(request, 108),
			encodeDone({ seq: request.seq, pid: 77 }, 0),
		]);
		const states = await new XfrmClient(transport).states.list();
		assert.deepEqual(
			states.map((state) => state.id.proto),
			[50, 51, 108],
		);
		assert.equal(transport.sockets[0]?.closed, true);
		assert.equal(transport.timers.size, 0);
	});

	test('a table that changed meanwhile is read anew', async () => {
		let attempt = 0;
		const transport = new ScriptedTransport((request) => {
			attempt++;
			const flags = attempt < 3 ? MessageFlag.DumpInterrupted : 0;
			return [member(request, attempt, flags), encodeDone({ seq: request.seq, pid: 77 }, 0)];
		});
		const states = await new XfrmClient(transport).states.list();
		assert.deepEqual(
			states.map((state) => state.id.proto),
			[3],
		);
		assert.equal(transport.sockets.length, 1);
	});

	test('a table that changes each time is EINTR at last', async () => {
		let attempts = 0;
		const transport = new ScriptedTransport((request) => {
			attempts++;
			return [
				member(request, 50, MessageFlag.DumpInterrupted),
				encodeDone({ seq: request.seq, pid: 77 }, 0),
			];
		});
		assert.equal((await refusal(new XfrmClient(transport).states.list())).code, 'EINTR');
		assert.equal(attempts, DUMP_ATTEMPTS_MAX);
	});

	test('the error of a dump stands in its end, or comes in its place', async () => {
		const kernels: readonly Kernel[] = [
			({ seq }) => [encodeDone({ seq, pid: 77 }, Errno.EINVAL, { message: 'no' })],
			(request) => [acknowledge(request, Errno.EINVAL)],
		];
		for (const kernel of kernels) {
			const error = await refusal(new XfrmClient(new ScriptedTransport(kernel)).policies.list());
			assert.deepEqual([error.operation, error.code], ['policies.list', 'EINVAL']);
		}
	});

	test('lost parts, time and signal end a dump and give its socket back', async () => {
		const transport = new ScriptedTransport((request) => [member(request, 50)]);
		const client = new XfrmClient(transport);
		const controller = new AbortController();
		const lost = refusal(client.states.list());
		const cancelled = refusal(client.states.list({ signal: controller.signal }));
		const late = refusal(client.states.list());
		transport.sockets[0]?.deliver('overrun');
		controller.abort();
		assert.deepEqual([(await lost).code, (await cancelled).code], ['ENOBUFS', 'ECANCELED']);
		transport.fireAll();
		assert.equal((await late).code, 'ETIMEDOUT');
		assert.deepEqual(
			transport.sockets.map(({ closed }) => closed),
			[true, true, true],
		);
	});
});

describe('events', () => {
	const flush = (proto: number): Uint8Array =>
		answer({ name: 'flushsa', flags: 0, seq: 5, body: { proto } });

	test('they come in order; what is not known comes as octets; a loss is told', async () => {
		const transport = new ScriptedTransport(() => []);
		const client = new XfrmClient(transport);
		const stream = client.events('sa', 'mapping');
		const [socket] = transport.sockets;
		assert.deepEqual(socket?.groups, [3, 8]);
		const strange = flush(9);
		strange[4] = 0x7f;
		socket?.deliver(joinMessages([flush(1), strange]));
		assert.deepEqual((await stream.next()).value, { kind: 'flushsa', proto: 1, seq: 5, pid: 77 });
		assert.deepEqual((await stream.next()).value, { kind: 'unknown', bytes: strange });
		const next = [stream.next(), stream.next()];
		socket?.deliver('overrun');
		socket?.deliver(flush(2));
		assert.deepEqual(
			(await Promise.all(next)).map(({ value }) => value?.kind),
			['resync', 'flushsa'],
		);
	});

	test('break ends the stream; so does the client, also for a next that waits', async () => {
		const transport = new ScriptedTransport(() => []);
		const client = new XfrmClient(transport);
		const stream = client.events('sa');
		transport.sockets[0]?.deliver(flush(1), flush(2));
		for await (const event of stream) {
			assert.equal(event.kind, 'flushsa');
			break;
		}
		assert.equal(transport.sockets[0]?.closed, true);
		assert.deepEqual(await stream.next(), { done: true, value: undefined });
		const other = client.events('sa').next();
		client.close();
		assert.deepEqual(await other, { done: true, value: undefined });
	});

	test('a signal ends it with ECANCELED; nothing is left behind', async () => {
		const transport = new ScriptedTransport(() => []);
		const controller = new AbortController();
		const stream = new XfrmClient(transport).subscribe(['sa'], { signal: controller.signal });
		const waiting = refusal(stream.next());
		controller.abort();
		assert.equal((await waiting).code, 'ECANCELED');
		assert.deepEqual([transport.sockets[0]?.closed, transport.timers.size], [true, 0]);
	});

	test('without the right to listen, it says so at once', () => {
		const transport = new ScriptedTransport(() => []);
		const { open } = ScriptedTransport.prototype;
		transport.open = () => {
			const socket = open.call(transport);
			socket.join = () => {
				throw new TransportError(Errno.EPERM, 'not you');
			};
			return socket;
		};
		assert.throws(
			() => new XfrmClient(transport).events('acquire'),
			(error) => error instanceof NetlinkError && error.code === 'EPERM',
		);
		assert.equal(transport.sockets[0]?.closed, true);
	});
});
