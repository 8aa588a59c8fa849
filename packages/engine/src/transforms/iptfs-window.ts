/**
 * The reorder window of IPTFS (RFC 9347 §2.5; net/xfrm/xfrm_iptfs.c: iptfs_input_reorder): payloads that come
 * early wait for those before them, so many sequence numbers and so long as the state says.
 *
 *     wanted   early[0]   early[1]   early[2]
 *     missing     n+1        n+2        n+3      window of 3
 *
 * ESP's replay window has let each number through once, unless it is switched off.
 */
import { IPTFS_WINDOW_OCTETS_MAX } from '../limits.ts';
import type { Namespace } from '../namespace.ts';
import { advanceSequence, type IptfsReceiver, type Payload } from './iptfs-receiver.ts';

/**
 * A payload comes; answers those whose turn it is, in order. The first number ever seen starts the
 * window, older ones are dropped without a word.
 *
 * @spec M-32
 */
export function enterWindow(
	net: Namespace,
	receiver: IptfsReceiver,
	payload: Payload,
	window: number,
): Payload[] {
	receiver.wanted ??= { hi: payload.hi, lo: payload.lo };
	const distance = payload.distanceFrom(receiver.wanted);
	if (distance < 0) {
		return [];
	}
	const ready: Payload[] = [];
	if (distance === 0) {
		ready.push(payload);
		takeWanted(receiver, ready);
		return ready;
	}
	if (distance <= window) {
		putEarly(net, receiver, payload, distance - 1);
		return ready;
	}
	// Beyond the window: what is too far behind is given up, as far as the newcomer needs.
	const beyond = distance - window;
	const last = shift(receiver, beyond, ready);
	advanceSequence(receiver.wanted, beyond);
	putEarly(net, receiver, payload, window - 1);
	if (last !== null) {
		ready.push(last);
		takeWanted(receiver, ready);
	}
	return ready;
}

/**
 * The drop time of the first has come: lets everything go that is not younger, and what follows it without
 * a gap; sets the timer for the rest.
 *
 * @spec M-32
 */
export function drainWindow(net: Namespace, receiver: IptfsReceiver): Payload[] {
	const { early, dropUs, wanted } = receiver;
	const ready: Payload[] = [];
	const now = net.now[0] ?? 0;
	while (wanted !== null && early.length > 0 && (dropUs[0] ?? 0) <= now) {
		const first = shift(receiver, 1, ready);
		advanceSequence(wanted, 1);
		if (first !== null) {
			ready.push(first);
			takeWanted(receiver, ready);
		}
	}
	const [deadlineUs] = dropUs;
	if (deadlineUs !== undefined) {
		net.timers.set(receiver.timer, deadlineUs);
	}
	return ready;
}

/** The wanted one is among `ready`: so are those that follow it without a gap. */
function takeWanted(receiver: IptfsReceiver, ready: Payload[]): void {
	const { early, wanted } = receiver;
	let count = 0;
	while ((early[count] ?? null) !== null) {
		count++;
	}
	shift(receiver, count + 1, ready); // the last of these is a gap, or behind all
	if (wanted !== null) {
		advanceSequence(wanted, count + 1);
	}
}

/**
 * Takes the first `count` places away: payloads go to `ready`, but the one of the last place, which is the
 * wanted one now, is answered.
 *
 * @spec M-32b
 */
function shift(receiver: IptfsReceiver, count: number, ready: Payload[]): Payload | null {
	const { early, dropUs } = receiver;
	const isBeyond = count > early.length;
	const gone = early.splice(0, count);
	dropUs.splice(0, count);
	const last = isBeyond ? null : (gone.pop() ?? null);
	for (const payload of gone) {
		if (payload !== null) {
			receiver.earlyOctets -= payload.end - payload.start;
			ready.push(payload);
		}
	}
	if (last !== null) {
		receiver.earlyOctets -= last.end - last.start;
	}
	return last;
}

/** Puts a payload into its place, unless there is one; it and the gap before it have a drop time then. */
function putEarly(net: Namespace, receiver: IptfsReceiver, payload: Payload, place: number): void {
	const { early, dropUs } = receiver;
	const octets = payload.end - payload.start;
	const isThere = (early[place] ?? null) !== null;
	if (isThere || receiver.earlyOctets + octets > IPTFS_WINDOW_OCTETS_MAX) {
		return;
	}
	const kept = payload.keep();
	receiver.earlyOctets += octets;
	if (place < early.length) {
		// A gap before another one: its drop time was set with that one.
		early[place] = kept;
		return;
	}
	const deadlineUs = (net.now[0] ?? 0) + receiver.dropTimeUs;
	while (early.length < place) {
		early.push(null);
		dropUs.push(deadlineUs);
	}
	early.push(kept);
	dropUs.push(deadlineUs);
	if (early.slice(0, place).every((one) => one === null)) {
		receiver.startDropTimer(net);
	}
}
