import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControlType, encodeError, MessageType, splitMessages, viewOf } from '@xfrm/netlink';
import { mayTellKeys } from './key-receiver.ts';
import { OBSERVATION_TYPE } from './observation.ts';

const { NewSa, UpdSa, NewPolicy, GetSa, NewSadInfo } = MessageType;

/** A message of so many octets, and their number rounded up. */
function message(type: number, octets: number = 20): Uint8Array {
	const bytes = new Uint8Array(Math.max(16, (octets + 3) & ~3));
	viewOf(bytes).setUint32(0, octets, true);
	viewOf(bytes).setUint16(4, type, true);
	return bytes;
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
	return new Uint8Array(Buffer.concat(parts));
}

/** What a request of this type is answered with. */
function answered(type: number, errno: number): Uint8Array {
	const [request] = splitMessages(message(type, 240));
	assert.ok(request !== undefined);
	return encodeError(request, errno, { pid: 1, capAck: false });
}

const rows: readonly (readonly [string, Uint8Array, boolean])[] = [
	['nothing', new Uint8Array(0), false],
	['a state', message(NewSa, 224), true],
	['the end of a dump', message(ControlType.Done), false],
	['a policy', message(NewPolicy, 180), false],
	['numbers', message(NewSadInfo, 24), false],
	['a policy, then a state', joined(message(NewPolicy, 33), message(NewSa, 224)), true],
	['what the daemon observes', message(OBSERVATION_TYPE), true],
	['a state that was taken', answered(NewSa, 0), false],
	['a state that was refused', answered(NewSa, 17), true],
	['an update that was refused', answered(UpdSa, 3), true],
	['a policy that was refused', answered(NewPolicy, 17), false],
	['a state that is not there', answered(GetSa, 3), false],
	['a length of 0, then a state', joined(message(NewPolicy, 0), message(NewSa, 224)), true],
];

for (const [name, datagram, want] of rows) {
	test(`keys may be told by ${name}: ${want}`, () => {
		assert.equal(mayTellKeys(datagram), want);
	});
}
