import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { XfrmState } from '@xfrm/engine';
import { PacketBuffer } from '@xfrm/wire';
import { ArrivalDevices } from './arrival-devices.ts';
import type { InterfaceList } from './interface-list.ts';
import type { Lane } from './outbound.ts';

function lane(fd: number, mark: number, ifId: number): Lane {
	return { fd, ifindex: fd, mark, ifId };
}

const first = lane(1, 0, 0);
const marked = lane(2, 42, 0);
const device = lane(3, 0, 7);

/** if_ids of the states that a packet has come through, its mark, and by which device it goes on. */
const rows: readonly [string, readonly number[], number, Lane, number][] = [
	['a plain one', [0], 0, first, 0],
	['none at all', [], 0, first, 0],
	['a mark of a lane', [0], 42, marked, 0],
	['a mark of no lane', [0], 43, first, 0],
	['an if_id', [7], 0, device, 7],
	['an if_id before a mark', [7], 42, device, 7],
	['the last state decides', [7, 0], 0, first, 0],
	['an if_id that has no device is none', [8], 0, first, 0],
];

/** @spec X-5 X-6 */
test('by which device a packet comes in', () => {
	const interfaces = { find: (ifId: number) => (ifId === 7 ? device : undefined) };
	const devices = new ArrivalDevices([first, marked], interfaces as InterfaceList);
	for (const [name, ifIds, mark, want, wantIfId] of rows) {
		const packet = PacketBuffer.from(new Uint8Array(20));
		packet.mark = mark;
		packet.ifId = 99;
		for (const ifId of ifIds) {
			packet.path[packet.pathCount++] = { ifId } as XfrmState;
		}
		assert.equal(devices.choose(packet, first), want, name);
		assert.equal(packet.ifId, wantIfId, name);
	}
});
