/** Sentences that came with Linux 6.2: a kernel of before refuses by its errno alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type KernelProfile, linux61, linux619 } from '@xfrm/engine';
import {
	completeState,
	encodeMessage,
	MessageFlag,
	parseAck,
	splitMessages,
	stateRequestBody,
} from '@xfrm/netlink';
import { Errno, parseAddress } from '@xfrm/wire/xfrm';
import { newServer } from '../netlink-live/server-transport.ts';

const ALLOCSPI_SEQ = 5;

/** Asks twice for the same SPI, for two users; what the second is told. */
function takenSpi(profile: KernelProfile, proto: number, [min, max]: readonly [number, number]) {
	const server = newServer({ profile });
	const client = server.connect({ portId: 7 });
	const daddr = parseAddress('192.0.2.2')?.address ?? new Uint8Array(16);
	const ask = (reqid: number) => {
		const info = stateRequestBody(
			completeState({ id: { daddr, spi: 0, proto }, saddr: daddr, family: 2, mode: 1, reqid }),
		);
		const request = {
			name: 'allocspi' as const,
			flags: MessageFlag.Request,
			seq: ALLOCSPI_SEQ,
			pid: 0,
			body: { info, min, max },
			attributes: [],
		};
		const [raw] = server.request(client, encodeMessage(request), 0).flatMap(splitMessages);
		return raw === undefined ? undefined : parseAck(raw);
	};
	ask(1);
	const ack = ask(2);
	return [ack?.errno, ack?.extended?.message];
}

// @spec A-3
test('an SPI that cannot be given is refused with a sentence, before 6.2 without one', () => {
	const rows: [proto: number, range: readonly [number, number], errno: number, text: string][] = [
		[50, [0x100, 0x100], Errno.ENOENT, 'No SPI available in the requested range'],
		[50, [0x101, 0x100], Errno.EINVAL, 'Invalid SPI range: min > max'],
		[108, [0x100, 0x10000], Errno.EINVAL, 'IPCOMP SPI must be <= 65535'],
		[43, [0x100, 0x100], Errno.EINVAL, 'Invalid protocol, must be one of AH, ESP, IPCOMP'],
	];
	for (const [proto, range, errno, text] of rows) {
		assert.deepEqual(takenSpi(linux619, proto, range), [errno, text]);
		assert.deepEqual(takenSpi(linux61, proto, range), [errno, undefined], text);
	}
});
