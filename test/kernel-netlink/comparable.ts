/**
 * Datagrams as texts that are equal when two ends said the same, byte for byte but for what cannot be
 * the same in two runs of one kernel: the present time, and the sequence numbers of acquires.
 */
import { AttributeReader, MessageType, type RawMessage, splitMessages } from '@xfrm/netlink';
import { formatHex } from '@xfrm/wire';

/** A time this close to now is the present. */
const PRESENT_SECONDS = 300;
const XFRMA_SA = 6;
const XFRMA_POLICY = 7;
const XFRMA_LTIME_VAL = 9;

/** Where times are in `xfrm_usersa_info`, `xfrm_userpolicy_info` and `xfrm_lifetime_cur`. */
const STATE_TIMES: readonly number[] = [176, 184];
const POLICY_TIMES: readonly number[] = [136, 144];
const LIFETIME_TIMES: readonly number[] = [16, 24];

/** Where times are in the payload, and how long it is. */
const PAYLOADS: Readonly<Record<number, readonly [times: readonly number[], octets: number]>> = {
	[MessageType.NewSa]: [STATE_TIMES, 224],
	[MessageType.UpdSa]: [STATE_TIMES, 224],
	[MessageType.Expire]: [STATE_TIMES, 232],
	[MessageType.DelSa]: [[], 24],
	[MessageType.NewAe]: [[], 48],
	[MessageType.NewPolicy]: [POLICY_TIMES, 168],
	[MessageType.UpdPolicy]: [POLICY_TIMES, 168],
	[MessageType.PolExpire]: [POLICY_TIMES, 176],
	[MessageType.DelPolicy]: [[], 64],
	[MessageType.Acquire]: [POLICY_TIMES.map((at) => 96 + at), 280],
};
const ACQUIRE_SEQ_AT = 276;

function hideTime(view: DataView, at: number): void {
	const seconds = view.getUint32(at, true);
	const now = Date.now() / 1000;
	if (view.getUint32(at + 4, true) === 0 && Math.abs(seconds - now) < PRESENT_SECONDS) {
		view.setUint32(at, 1, true);
	}
}

/** A message's bytes, the present hidden. */
export function timeless(raw: RawMessage): Uint8Array {
	const bytes = raw.bytes.slice();
	const payload = PAYLOADS[raw.type];
	if (payload === undefined || bytes.length < 16 + payload[1]) {
		return bytes;
	}
	const view = new DataView(bytes.buffer);
	for (const at of payload[0]) {
		hideTime(view, 16 + at);
	}
	if (raw.type === MessageType.Acquire) {
		view.setUint32(16 + ACQUIRE_SEQ_AT, 0, true);
	}
	const inAttribute: Readonly<Record<number, readonly number[]>> = {
		[XFRMA_SA]: STATE_TIMES,
		[XFRMA_POLICY]: POLICY_TIMES,
		[XFRMA_LTIME_VAL]: LIFETIME_TIMES,
	};
	for (const reader = new AttributeReader(bytes, 16 + payload[1]); reader.next(); ) {
		for (const at of inAttribute[reader.type] ?? []) {
			if (at + 8 <= reader.length) {
				hideTime(view, reader.at + at);
			}
		}
	}
	return bytes;
}

/**
 * Datagrams as texts: one a datagram, but the members of a dump one by one, since how they are spread
 * over datagrams is the business of the kernel's buffers.
 */
export function comparable(datagrams: readonly Uint8Array[]): string[] {
	return datagrams.flatMap((datagram) => {
		const messages = splitMessages(datagram);
		const texts = messages.map((raw) => formatHex(timeless(raw)));
		return messages.some((raw) => (raw.flags & 2) !== 0) ? texts : [texts.join(' ')];
	});
}
