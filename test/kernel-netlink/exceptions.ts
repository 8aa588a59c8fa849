/**
 * Where the running kernel and our server may differ: each with its reason, a predicate on fields that is
 * as narrow as it can be, and a count of how often it was needed. At most twelve; none covers a whole
 * message type.
 */
import {
	decodeMessage,
	encodeMessage,
	MessageType,
	type RawMessage,
	splitMessages,
	u64,
} from '@xfrm/netlink';
import { formatHex } from '@xfrm/wire';
import type { Step } from './netlink-end.ts';

/** Where both ends do not say the same: one message of each if they say as many, else all that have no twin. */
export interface Disagreement {
	/** Undefined for what is compared after the last step. */
	readonly step: Step | undefined;
	/** Steps since the tables were empty, `step` included. */
	readonly history: readonly Step[];
	readonly what: 'answers' | 'events' | 'states' | 'policies';
	readonly kernel: readonly Uint8Array[];
	readonly server: readonly Uint8Array[];
}

export interface Exception {
	readonly name: string;
	readonly reason: string;
	/** The ends are in different states from here on: nothing after it can be compared. */
	readonly parts?: boolean;
	covers(disagreement: Disagreement): boolean;
}

/** Where `xfrm_lifetime_cfg` is in the payload of a message, or in the attribute behind it. */
const LIMITS_AT: Readonly<Record<number, number>> = {
	[MessageType.NewPolicy]: 56,
	[MessageType.UpdPolicy]: 56,
	[MessageType.PolExpire]: 56,
	[MessageType.DelPolicy]: 64 + 4 + 56,
	[MessageType.Acquire]: 96 + 56,
};
const LIMITS_OCTETS = 64;

/** Messages as texts in which every limit is as a double has it. */
function rounded(messages: readonly Uint8Array[]): string[] {
	return messages.flatMap(splitMessages).map((raw) => {
		const bytes = raw.bytes.slice();
		const at = LIMITS_AT[raw.type];
		if (at !== undefined && bytes.length >= 16 + at + LIMITS_OCTETS) {
			const view = new DataView(bytes.buffer);
			for (let i = 16 + at; i < 16 + at + LIMITS_OCTETS; i += 8) {
				u64.write(view, i, u64.read(view, i));
			}
		}
		return formatHex(bytes);
	});
}

/** Messages as texts, written anew from what they say: padding is zero then, and limits are rounded. */
function unpadded(messages: readonly Uint8Array[]): string[] {
	return messages.flatMap(splitMessages).map((raw) => {
		const message = decodeMessage(raw);
		const bytes = message === undefined ? raw.bytes : encodeMessage(message);
		return formatHex(bytes.length === raw.bytes.length ? bytes : raw.bytes);
	});
}

/** Where NEWSADINFO and NEWSPDINFO tell how many buckets there are now: first word of their second attribute. */
const BUCKETS_AT: Readonly<Record<number, number>> = {
	[MessageType.NewSadInfo]: 16 + 4 + 8 + 4,
	[MessageType.NewSpdInfo]: 16 + 4 + 28 + 4,
};

/** Messages as texts without that number; undefined when there are others among them. */
function bucketless(messages: readonly Uint8Array[]): string[] | undefined {
	const raws = messages.flatMap(splitMessages);
	if (raws.length === 0 || raws.some((raw) => BUCKETS_AT[raw.type] === undefined)) {
		return undefined;
	}
	return raws.map((raw) => {
		const bytes = raw.bytes.slice();
		const at = BUCKETS_AT[raw.type] ?? 0;
		bytes.fill(0, at, at + 4);
		return formatHex(bytes);
	});
}

/** Types that look for a policy by its selector, which is at the beginning of their payload. */
const BY_SELECTOR: ReadonlySet<number> = new Set([
	MessageType.NewPolicy,
	MessageType.UpdPolicy,
	MessageType.DelPolicy,
	MessageType.GetPolicy,
	MessageType.PolExpire,
]);

function namesPolicy(raw: RawMessage): boolean {
	return BY_SELECTOR.has(raw.type);
}

/** Is there anything in the three octets behind the protocol of its selector? */
function hasPaddedSelector(raw: RawMessage): boolean {
	return namesPolicy(raw) && raw.payload.subarray(45, 48).some((octet) => octet !== 0);
}

export const EXCEPTIONS: readonly Exception[] = [
	{
		name: 'limits-beyond-2^53',
		reason:
			'our limits are doubles: between 2^53 and 2^64 - 1 they are told rounded, all else of the message as it is',
		covers: ({ kernel, server }) =>
			kernel.length > 0 && rounded(kernel).join() === rounded(server).join(),
	},
	{
		name: 'padding',
		reason:
			'what a program leaves in the padding of selectors and templates is kept by the kernel, ours is zero',
		covers: ({ kernel, server }) =>
			kernel.length > 0 && unpadded(kernel).join() === rounded(server).join(),
	},
	{
		name: 'padded-identity',
		reason:
			'the kernel compares selectors with their padding: a policy whose selector has something there is another one',
		parts: true,
		covers: ({ step, history }) =>
			step !== undefined &&
			splitMessages(step.datagram).some(namesPolicy) &&
			history.flatMap((one) => splitMessages(one.datagram)).some(hasPaddedSelector),
	},
	{
		name: 'buckets',
		reason:
			'the kernel makes its tables larger by a worker, some time after there are more objects than buckets',
		covers: (it) =>
			it.kernel.length === 1 &&
			it.server.length === 1 &&
			bucketless(it.kernel) !== undefined &&
			bucketless(it.kernel)?.join() === bucketless(it.server)?.join(),
	},
];
