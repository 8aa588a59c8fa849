/** All objects of the golden dumps, as messages. */
import assert from 'node:assert/strict';
import { decodeMessage, type RawMessage, splitMessages, type XfrmMessage } from '@xfrm/netlink';
import { goldenFolder, readLines } from '../golden/golden-files.ts';
import { octets } from './netlink-case.ts';

interface Dumps {
	readonly states?: readonly string[];
	readonly policies?: readonly string[];
}

const FILES = ['kernel-netlink', 'kernel-netlink-619', 'netlink-raw-619'];
const NEW_SA = 0x10;
const NEW_POLICY = 0x13;

/** The message of a dump whose payload this is. */
function messageOf(type: number, payload: string): { raw: RawMessage; message: XfrmMessage } {
	const body = octets(payload);
	const bytes = new Uint8Array(16 + body.length);
	const view = new DataView(bytes.buffer);
	view.setUint32(0, bytes.length, true);
	view.setUint16(4, type, true);
	bytes.set(body, 16);
	const [raw] = splitMessages(bytes);
	const message = raw === undefined ? undefined : decodeMessage(raw);
	assert.ok(raw !== undefined && message !== undefined);
	return { raw, message };
}

/** Every state and policy that was in a kernel's tables at the end of a case. */
export function* dumpedMessages(): Generator<{ raw: RawMessage; message: XfrmMessage }> {
	for (const file of FILES) {
		const lines = readLines<Dumps>(goldenFolder(), file);
		assert.ok(lines, `${file} is absent`);
		for (const { states = [], policies = [] } of lines) {
			yield* states.map((payload) => messageOf(NEW_SA, payload));
			yield* policies.map((payload) => messageOf(NEW_POLICY, payload));
		}
	}
}
