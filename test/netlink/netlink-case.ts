/** Lines of the netlink files (golden/README.md) and what of their messages can be compared. */
import {
	ControlType,
	decodeMessage,
	encodeMessage,
	parseAck,
	type RawMessage,
	splitMessages,
	type XfrmMessage,
} from '@xfrm/netlink';
import { formatHex, parseHex } from '@xfrm/wire';

/** A line of netlink-raw-619.jsonl. */
export interface RawCase {
	readonly id: string;
	readonly requests: readonly string[];
	readonly ext_ack?: boolean;
	readonly cap_ack?: boolean;
	readonly unprivileged?: readonly number[];
	readonly answers: readonly (readonly string[])[];
	readonly events: readonly string[];
	readonly states: readonly string[];
	readonly policies: readonly string[];
}

/** A command of kernel-netlink*.jsonl: of `ip`, or a request as it is. */
export interface NetlinkCommand {
	readonly cmd?: string;
	readonly nl?: string;
	readonly rc?: number;
	readonly stdout?: string;
	readonly stderr?: string;
	readonly messages: readonly (readonly ['to' | 'from', string])[];
}

/** A line of kernel-netlink.jsonl or kernel-netlink-619.jsonl. */
export interface NetlinkCase {
	readonly id?: string;
	readonly commands: readonly NetlinkCommand[];
	readonly monitor?: { readonly cmd: string; readonly stdout: string };
	readonly states: readonly string[];
	readonly policies: readonly string[];
}

/** Octets of a hexadecimal text of the files. */
export function octets(hex: string): Uint8Array {
	const bytes = parseHex(hex);
	if (!(bytes instanceof Uint8Array)) {
		throw new RangeError(`not hexadecimal: ${hex.slice(0, 40)}`);
	}
	return bytes;
}

/** What differs between two runs of one kernel, set to zero: times, and the numbers of acquires. */
function withoutClock<T>(value: T): T {
	return JSON.parse(
		JSON.stringify(value, (key, part: unknown) => {
			if (key === 'addTime' || key === 'useTime') {
				return 0;
			}
			if (part instanceof Uint8Array || part instanceof Uint32Array) {
				return { array: part.constructor.name, items: [...part] };
			}
			return part === Number.POSITIVE_INFINITY ? 'inf' : part;
		}),
		(_key, part: unknown) => {
			if (part === 'inf') {
				return Number.POSITIVE_INFINITY;
			}
			if (part !== null && typeof part === 'object' && 'array' in part && 'items' in part) {
				const items = part.items as number[];
				return part.array === 'Uint32Array' ? Uint32Array.from(items) : Uint8Array.from(items);
			}
			return part;
		},
	) as T;
}

function comparableMessage(message: XfrmMessage): string {
	const timeless = withoutClock(message);
	const numberless =
		timeless.name === 'acquire' ? { ...timeless, body: { ...timeless.body, seq: 0 } } : timeless;
	return `${message.name} ${formatHex(encodeMessage(numberless))}`;
}

/** A message as text, equal for two that say the same; of sentences only that there is one. */
export function comparable(raw: RawMessage): string {
	if (raw.type === ControlType.Error || raw.type === ControlType.Done) {
		const ack = parseAck(raw);
		const { message, ...extended } = ack?.extended ?? {};
		const { flags, seq, pid } = raw;
		const quoted =
			raw.flags & 0x100 || raw.type === ControlType.Done
				? ''
				: formatHex(raw.payload.subarray(4, 4 + (ack?.request ? 16 : 0)));
		return JSON.stringify({
			kind: raw.type === ControlType.Done ? 'done' : 'error',
			flags,
			seq,
			pid,
			errno: ack?.errno,
			request: ack?.request,
			quoted,
			sentence: message !== undefined,
			...extended,
		});
	}
	const message = decodeMessage(raw);
	return message === undefined ? formatHex(raw.bytes) : comparableMessage(message);
}

/** All messages of datagrams as comparable texts; an errno of the send itself stays as it is. */
export function comparables(datagrams: readonly Uint8Array[]): string[] {
	return datagrams.flatMap((datagram) => splitMessages(datagram).map(comparable));
}

/** A payload of a dump as a comparable text. */
export function comparablePayload(name: 'newsa' | 'newpolicy', payload: Uint8Array): string {
	const type = name === 'newsa' ? 0x10 : 0x13;
	const message = decodeMessage({ type, flags: 0, seq: 0, pid: 0, payload });
	return message === undefined ? formatHex(payload) : comparableMessage(message);
}
