/**
 * Where the running kernel and our server may differ: each with its reason, a predicate on fields that is
 * as narrow as it can be, and a count of how often it was needed. At most twelve; none covers a whole
 * message type.
 */
import {
	attributeValue,
	decodeMessage,
	encodeMessage,
	MessageType,
	parseAck,
	type RawMessage,
	splitMessages,
	u64,
} from '@xfrm/netlink';
import { formatHex } from '@xfrm/wire';
import { Direction, Mode } from '@xfrm/wire/xfrm';
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

/** Errors of all messages, if they are errors only, and which request each is about: `22 3`. */
function refusals(messages: readonly Uint8Array[]): string[] | undefined {
	const acks = messages.flatMap(splitMessages).map(parseAck);
	return acks.every((ack) => ack?.request !== undefined)
		? acks.map((ack) => `${ack?.errno} ${ack?.request?.seq}`)
		: undefined;
}

/** Do both refuse the same requests with the same errors, so that only what they add differs? */
function sameRefusals({ kernel, server }: Disagreement): boolean {
	const [want, have] = [refusals(kernel), refusals(server)];
	return want !== undefined && want.join() === have?.join();
}

/** Are all messages refusals of requests of these types? */
function onlyAbout(types: readonly number[], { kernel, server }: Disagreement): boolean {
	return [...kernel, ...server]
		.flatMap(splitMessages)
		.every((raw) => types.includes(parseAck(raw)?.request?.type ?? 0));
}

/** What refusals say. */
function sentences(messages: readonly Uint8Array[]): (string | undefined)[] {
	return messages.flatMap(splitMessages).map((raw) => parseAck(raw)?.extended.message);
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

const LEFTOVER = 'bytes leftover after parsing attributes';

/** Does the request ask for an optional template of mode IPTFS outward? */
function hasOptionalIptfs(raw: RawMessage): boolean {
	const message = decodeMessage(raw);
	if (message === undefined || !('direction' in message.body || 'policy' in message.body)) {
		return false;
	}
	const { direction } = 'policy' in message.body ? message.body.policy : message.body;
	const templates = attributeValue(message.attributes, 'tmpl') ?? [];
	const isOptional = templates.some(({ mode, optional }) => mode === Mode.Iptfs && optional !== 0);
	return direction === Direction.Out && isOptional;
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
		name: 'mapping-payload',
		reason: '6.19.0 takes all of a MAPPING for attributes, 6.18.44 knows its payload; both refuse',
		covers: (it) =>
			it.what === 'answers' &&
			onlyAbout([MessageType.Mapping], it) &&
			refusals(it.kernel)?.length === refusals(it.server)?.length,
	},
	{
		name: 'processor-sentence',
		reason:
			'6.18.44 says "pCPU number too big" for ALLOCSPI and ACQUIRE, 6.19.0 is silent; the errno is the same',
		covers: (it) =>
			it.what === 'answers' &&
			onlyAbout([MessageType.AllocSpi, MessageType.Acquire], it) &&
			sameRefusals(it) &&
			sentences(it.kernel).every((text) => text === 'pCPU number too big') &&
			sentences(it.server).every((text) => text === undefined || text === LEFTOVER),
	},
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
		name: 'optional-iptfs-template',
		reason:
			'6.18.44 refuses optional IPTFS templates outward as those of tunnels, 6.19.0 takes them (P-12)',
		parts: true,
		covers: ({ step }) => step !== undefined && splitMessages(step.datagram).some(hasOptionalIptfs),
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
