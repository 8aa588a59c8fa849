/** Makes a sequence on which both ends part as small as it goes, so that a person can read it. */
import { splitMessages } from '@xfrm/netlink';
import type { Step } from './netlink-end.ts';
import { runFresh } from './trial.ts';

/** Fewer steps, messages, attributes and octets that still differ; as few as can be found by leaving out. */
export function shrink(steps: readonly Step[]): readonly Step[] {
	let best = steps;
	const fails = (candidate: readonly Step[]): boolean => runFresh(candidate) !== undefined;
	for (
		let size = Math.ceil(best.length / 2);
		size >= 1;
		size = size === 1 ? 0 : Math.ceil(size / 2)
	) {
		for (let at = 0; at < best.length; ) {
			const candidate = [...best.slice(0, at), ...best.slice(at + size)];
			if (candidate.length > 0 && fails(candidate)) {
				best = candidate;
			} else {
				at += size;
			}
		}
	}
	for (let again = true; again; ) {
		again = false;
		for (const [i, step] of best.entries()) {
			for (const datagram of simpler(step.datagram)) {
				const candidate = best.map((other, k) => (k === i ? { ...other, datagram } : other));
				if (fails(candidate)) {
					best = candidate;
					again = true;
					break;
				}
			}
		}
	}
	return best;
}

/** Simpler datagrams: one message of several, an attribute less, a word of a payload that is zero. */
function* simpler(datagram: Uint8Array): Generator<Uint8Array> {
	const messages = splitMessages(datagram);
	if (messages.length > 1) {
		for (const { bytes } of messages) {
			yield bytes.slice();
		}
		return;
	}
	const [only] = messages;
	if (only === undefined || only.bytes.length !== datagram.length) {
		return;
	}
	const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.length);
	for (let at = 16; at + 4 <= datagram.length; at += 4) {
		const length = view.getUint16(at, true);
		const end = at + ((length + 3) & ~3);
		const type = view.getUint16(at + 2, true) & 0x3fff;
		if (length >= 4 && end <= datagram.length && type > 0 && type < 64) {
			const shorter = new Uint8Array(datagram.length - (end - at));
			shorter.set(datagram.subarray(0, at));
			shorter.set(datagram.subarray(end), at);
			new DataView(shorter.buffer).setUint32(0, shorter.length, true);
			yield shorter;
		}
	}
	for (let at = 16; at + 4 <= datagram.length; at += 4) {
		if (view.getUint32(at, true) !== 0) {
			const zeroed = datagram.slice();
			zeroed.fill(0, at, at + 4);
			yield zeroed;
		}
	}
}
