// On the running kernel, in a network namespace of its own. Entering it moves the process, hence the
// file of its own.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { interfaceIndex, interfaceName, KernelSocket, linuxTransport } from '@xfrm/linux';
import { TransportError, XfrmClient } from '@xfrm/netlink';
import { anySelector, DefaultAction, Direction, Group } from '@xfrm/wire/xfrm';
import { enterNamespace } from './namespace.ts';
import { netlinkCases } from './netlink-cases.ts';

const skip = enterNamespace() ?? false;

/** The same namespace, emptied: a new one a case would cost the kernel more than the cases. */
async function connect(): Promise<XfrmClient> {
	const client = new XfrmClient(linuxTransport());
	await client.states.flush();
	await client.policies.flush(0);
	await client.policies.flush(1);
	const { Accept } = DefaultAction;
	await client.defaults.set({ in: Accept, fwd: Accept, out: Accept });
	await client.info.setThresholds({
		threshold4: { lbits: 32, rbits: 32 },
		threshold6: { lbits: 128, rbits: 128 },
	});
	return client;
}

// @spec N-1 N-2
describe('the running kernel: conformance', { skip }, () => {
	for (const { name, run } of netlinkCases({ connect, esp: false })) {
		it(name, run);
	}
});

describe('a socket of the running kernel', { skip }, () => {
	it('names interfaces of this namespace', () => {
		assert.deepEqual([interfaceIndex('lo'), interfaceName(1)], [1, 'lo']);
		assert.deepEqual([interfaceIndex('no-such'), interfaceName(9999)], [undefined, undefined]);
		assert.deepEqual([interfaceIndex(''), interfaceIndex('x'.repeat(200))], [undefined, undefined]);
	});

	it('loses events when its queue is full, says so once, and goes on', async () => {
		const client = await connect();
		const transport = linuxTransport({ receiveQueueOctets: 4096 });
		const listener = new XfrmClient(transport);
		const stream = listener.events('policy');
		const add = (ifId: number): Promise<void> =>
			client.policies.add({ selector: anySelector(2), direction: Direction.Out, ifId });
		for (let ifId = 1; ifId <= 200; ifId++) {
			await add(ifId);
		}
		const seen: string[] = [];
		for (let first = await stream.next(); ; first = await stream.next()) {
			seen.push(first.value?.kind ?? 'end');
			if (first.value?.kind === 'newpolicy' && first.value.policy.ifId === 201) {
				break;
			}
			if (seen.length === 1) {
				assert.equal(first.value?.kind, 'resync');
				// The queue is read to its end before the next one comes.
				setTimeout(() => void add(201), 20);
			}
		}
		assert.equal(seen.filter((kind) => kind === 'resync').length, 1);
		assert.ok(seen.length < 150, `${seen.length} events fit into 4 KiB`);
		listener.close();
		client.close();
	});

	it('waits without keeping a processor busy, and is woken by what comes', async () => {
		const client = await connect();
		const stream = client.events('policy');
		const before = process.cpuUsage();
		const waiting = stream.next();
		await new Promise((resolve) => setTimeout(resolve, 300));
		const { user, system } = process.cpuUsage(before);
		assert.ok(user + system < 150_000, `${user + system} µs of work in 300 ms of waiting`);
		await client.policies.add({ selector: anySelector(2), direction: Direction.In });
		assert.equal((await waiting).value?.kind, 'newpolicy');
		client.close();
	});

	it('is closed while somebody waits', async () => {
		const socket = new KernelSocket();
		socket.join([Group.Sa]);
		const waiting = socket.receive();
		socket.close();
		socket.close();
		await assert.rejects(waiting, (error) => error instanceof TransportError && error.errno === 9);
		await assert.rejects(socket.receive(), TransportError);
		assert.throws(() => socket.send(new Uint8Array(16)), TransportError);
	});

	it('is opened and closed a thousand times without leaving anything behind', () => {
		for (let i = 0; i < 1000; i++) {
			new KernelSocket().close();
		}
		const last = new KernelSocket();
		assert.ok(last.receiveQueueOctets > 0);
		last.close();
	});
});
