/** Connections that carry ESP and IKE: what comes in by them, and what is to be written. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatHex } from '@xfrm/wire';
import { Errno } from '@xfrm/wire/xfrm';
import type { Host } from './host.ts';
import { address, counted, hex, NOW_US, opened, router } from './host-fixture.test.ts';
import { STREAMS_MAX } from './limits.ts';
import type { StreamOptions } from './stream.ts';

const OPTIONS: StreamOptions = {
	family: 2,
	local: address('192.0.2.1'),
	localPort: 4500,
	remote: address('192.0.2.9'),
	remotePort: 1234,
	espInTcp: true,
};

function withStream(options: Partial<StreamOptions> = {}): { host: Host; id: number } {
	const host = router();
	return { host, id: opened(host.openStream({ ...OPTIONS, ...options })) };
}

/** Effects of streams as text. */
function seen(host: Host): string[] {
	const found: string[] = [];
	for (let effect = host.pollEffect(); effect !== undefined; effect = host.pollEffect()) {
		switch (effect.kind) {
			case 'stream-write':
				found.push(`${effect.streamId} write ${formatHex(effect.octets)}`);
				break;
			case 'stream-message':
				found.push(`${effect.streamId} read ${formatHex(effect.message)}`);
				break;
			case 'stream-error':
				found.push(`${effect.streamId} error ${effect.error}`);
				break;
			default:
				found.push(effect.kind);
		}
	}
	return found;
}

// @spec T-12
describe('a stream', () => {
	it('gives IKE to whoever has it, cut as it may come, and swallows keepalives', () => {
		const { host, id } = withStream();
		for (const piece of ['0003 ff 0007 0000', '000011 00', '06 00000000']) {
			host.receiveStream(id, hex(piece), NOW_US);
		}
		assert.deepEqual(seen(host), [`${id} read 0000000011`, `${id} read 00000000`]);
		assert.deepEqual(counted(host), {});
	});

	it('goes on behind a message that is nothing, and hands ESP to the engine', () => {
		const { host, id } = withStream();
		host.receiveStream(id, hex('0003 fe 000a 00000001 00000001 0006 00000000'), NOW_US);
		assert.deepEqual(seen(host), [`${id} read 00000000`]);
		assert.deepEqual(counted(host), { XfrmInHdrError: 1, XfrmInNoStates: 1 });
	});

	it('ends with a length that is none: its reader is told, once', () => {
		const { host, id } = withStream();
		host.receiveStream(id, hex('0006 00000000 0001 00'), NOW_US);
		host.receiveStream(id, hex('0006 00000000'), NOW_US);
		assert.deepEqual(seen(host), [`${id} read 00000000`, `${id} error ${Errno.EINVAL}`]);
	});

	it('takes messages of any kind, each behind its length', () => {
		const { host, id } = withStream();
		assert.equal(host.sendStream(id, hex('00000000 11'), NOW_US), 0);
		assert.equal(host.sendStream(id, hex('ff'), NOW_US), 0);
		assert.equal(host.sendStream(id, new Uint8Array(65_534), NOW_US), Errno.EMSGSIZE);
		assert.deepEqual(seen(host), [`${id} write 00070000000011`, `${id} write 0003ff`]);
	});

	it('that is not for ESP is written to as it is', () => {
		const { host, id } = withStream({ espInTcp: false });
		host.sendStream(id, hex('0102'), NOW_US);
		assert.deepEqual(seen(host), [`${id} write 0102`]);
	});

	it('is known by addresses and ports as long as it is open', () => {
		const { host, id } = withStream();
		const other = opened(host.openStream({ ...OPTIONS, localPort: 1, espInTcp: false }));
		const find = host.engine.net.options.espStream;
		assert.ok(find !== undefined);
		const { family, local, remote } = OPTIONS;
		const ask = (sport: number, dport: number): number => find(family, local, sport, remote, dport);
		assert.deepEqual([ask(4500, 1234), ask(4500, 1235), ask(1, 1234)], [id, 0, -1]);
		assert.equal(find(family, remote, 4500, local, 1234), 0);
		assert.equal(host.closeStream(id), true);
		assert.equal(ask(4500, 1234), 0);
		assert.equal(host.closeStream(id), false);
		assert.throws(() => host.receiveStream(id, hex('00'), NOW_US), RangeError);
		assert.equal(host.closeStream(other), true);
	});

	it('is one of so many at most', () => {
		const { host } = withStream();
		for (let i = 1; i < STREAMS_MAX; i++) {
			opened(host.openStream(OPTIONS));
		}
		assert.equal(host.openStream(OPTIONS).refusal?.errno, Errno.ENOMEM);
	});
});
