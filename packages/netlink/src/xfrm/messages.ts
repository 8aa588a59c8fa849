/**
 * The messages of NETLINK_XFRM as a table, and their codec: bytes ↔ values, unknown parts kept
 * (include/uapi/linux/xfrm.h, spec 2.3). What a request means is the server's, in netlink-server.
 */
import { Group } from '@xfrm/wire/xfrm';
import {
	align4,
	MESSAGE_HEADER_OCTETS,
	MessageFlag,
	type MessageHeader,
	type RawMessage,
	viewOf,
} from '../message.ts';
import { MessageWriter } from '../message-writer.ts';
import {
	type AttributeSpace,
	readAttributes,
	SAD_ATTRIBUTES,
	SPD_ATTRIBUTES,
	writeAttributes,
	XFRM_ATTRIBUTES,
	type XfrmAttribute,
} from './attributes.ts';
import { type Struct, struct } from './codec.ts';
import { type InfoFlags, infoFlags } from './info.ts';
import {
	type UserAcquire,
	type UserPolExpire,
	type UserPolicyDefault,
	type UserPolicyId,
	type UserPolicyInfo,
	userAcquire,
	userPolExpire,
	userPolicyDefault,
	userPolicyId,
	userPolicyInfo,
} from './policy.ts';
import {
	type AeventId,
	aeventId,
	type UserExpire,
	type UserMapping,
	type UserMigrateState,
	type UserReport,
	type UserSaFlush,
	type UserSaId,
	type UserSaInfo,
	type UserSpiInfo,
	userExpire,
	userMapping,
	userMigrateState,
	userReport,
	userSaFlush,
	userSaId,
	userSaInfo,
	userSpiInfo,
} from './state.ts';

/** `XFRM_MSG_*`. */
export const MessageType = {
	NewSa: 0x10,
	DelSa: 0x11,
	GetSa: 0x12,
	NewPolicy: 0x13,
	DelPolicy: 0x14,
	GetPolicy: 0x15,
	AllocSpi: 0x16,
	Acquire: 0x17,
	Expire: 0x18,
	UpdPolicy: 0x19,
	UpdSa: 0x1a,
	PolExpire: 0x1b,
	FlushSa: 0x1c,
	FlushPolicy: 0x1d,
	NewAe: 0x1e,
	GetAe: 0x1f,
	Report: 0x20,
	Migrate: 0x21,
	NewSadInfo: 0x22,
	GetSadInfo: 0x23,
	NewSpdInfo: 0x24,
	GetSpdInfo: 0x25,
	Mapping: 0x26,
	SetDefault: 0x27,
	GetDefault: 0x28,
	MigrateState: 0x29,
} as const;

/** No payload. */
export type NoBody = Readonly<Record<never, never>>;

/** Payloads by name; a name is the kernel's constant without `XFRM_MSG_`. Dumps ask without payload (N-12). */
export interface MessageBodies {
	readonly newsa: UserSaInfo;
	readonly delsa: UserSaId;
	readonly getsa: UserSaId;
	readonly dumpsa: NoBody;
	readonly newpolicy: UserPolicyInfo;
	readonly delpolicy: UserPolicyId;
	readonly getpolicy: UserPolicyId;
	readonly dumppolicy: NoBody;
	readonly allocspi: UserSpiInfo;
	readonly acquire: UserAcquire;
	readonly expire: UserExpire;
	readonly updpolicy: UserPolicyInfo;
	readonly updsa: UserSaInfo;
	readonly polexpire: UserPolExpire;
	readonly flushsa: UserSaFlush;
	readonly flushpolicy: NoBody;
	readonly newae: AeventId;
	readonly getae: AeventId;
	readonly report: UserReport;
	readonly migrate: UserPolicyId;
	readonly newsadinfo: InfoFlags;
	readonly getsadinfo: InfoFlags;
	readonly newspdinfo: InfoFlags;
	readonly getspdinfo: InfoFlags;
	readonly mapping: UserMapping;
	readonly setdefault: UserPolicyDefault;
	readonly getdefault: UserPolicyDefault;
	readonly migratestate: UserMigrateState;
}
export type MessageName = keyof MessageBodies;

/** One row of the table. */
export interface MessageSpec<N extends MessageName = MessageName> {
	readonly type: number;
	readonly name: N;
	readonly body: Struct<MessageBodies[N]>;
	readonly attributes: AttributeSpace;
	/** Group that hears of it, 0 for none (spec 2.2). */
	readonly group: number;
	/** Asked by a message with a dump flag. */
	readonly dump: boolean;
}
type AnySpec = { [N in MessageName]: MessageSpec<N> }[MessageName];

const noBody: Struct<NoBody> = struct<NoBody>('none', 0, {});

function row<N extends MessageName>(
	type: number,
	name: N,
	body: Struct<MessageBodies[N]>,
	group: number = 0,
	attributes: AttributeSpace = XFRM_ATTRIBUTES,
): AnySpec {
	const dump = name.startsWith('dump');
	// The compiler does not distribute the union over N; the parameters did.
	return { type, name, body, group, attributes, dump } as unknown as AnySpec;
}

/** All messages, by number. */
export const MESSAGES: readonly AnySpec[] = [
	row(MessageType.NewSa, 'newsa', userSaInfo, Group.Sa),
	row(MessageType.DelSa, 'delsa', userSaId, Group.Sa),
	row(MessageType.GetSa, 'getsa', userSaId),
	row(MessageType.GetSa, 'dumpsa', noBody),
	row(MessageType.NewPolicy, 'newpolicy', userPolicyInfo, Group.Policy),
	row(MessageType.DelPolicy, 'delpolicy', userPolicyId, Group.Policy),
	row(MessageType.GetPolicy, 'getpolicy', userPolicyId),
	row(MessageType.GetPolicy, 'dumppolicy', noBody),
	row(MessageType.AllocSpi, 'allocspi', userSpiInfo),
	row(MessageType.Acquire, 'acquire', userAcquire, Group.Acquire),
	row(MessageType.Expire, 'expire', userExpire, Group.Expire),
	row(MessageType.UpdPolicy, 'updpolicy', userPolicyInfo, Group.Policy),
	row(MessageType.UpdSa, 'updsa', userSaInfo, Group.Sa),
	row(MessageType.PolExpire, 'polexpire', userPolExpire, Group.Expire),
	row(MessageType.FlushSa, 'flushsa', userSaFlush, Group.Sa),
	row(MessageType.FlushPolicy, 'flushpolicy', noBody, Group.Policy),
	row(MessageType.NewAe, 'newae', aeventId, Group.Aevents),
	row(MessageType.GetAe, 'getae', aeventId),
	row(MessageType.Report, 'report', userReport, Group.Report),
	row(MessageType.Migrate, 'migrate', userPolicyId, Group.Migrate),
	row(MessageType.NewSadInfo, 'newsadinfo', infoFlags, 0, SAD_ATTRIBUTES),
	row(MessageType.GetSadInfo, 'getsadinfo', infoFlags),
	row(MessageType.NewSpdInfo, 'newspdinfo', infoFlags, 0, SPD_ATTRIBUTES),
	row(MessageType.GetSpdInfo, 'getspdinfo', infoFlags),
	row(MessageType.Mapping, 'mapping', userMapping, Group.Mapping),
	row(MessageType.SetDefault, 'setdefault', userPolicyDefault),
	row(MessageType.GetDefault, 'getdefault', userPolicyDefault, Group.Policy),
	row(MessageType.MigrateState, 'migratestate', userMigrateState, Group.Migrate),
];

const byName = new Map<string, AnySpec>(MESSAGES.map((spec) => [spec.name, spec]));
const byType = new Map<number, AnySpec>();
const dumpByType = new Map<number, AnySpec>();
for (const spec of MESSAGES) {
	(spec.dump ? dumpByType : byType).set(spec.type, spec);
}

/** The row of a message by its number, and, for requests, by whether it asks for a dump. */
export function messageSpec(type: number, flags: number = 0): AnySpec | undefined {
	const asksDump = (flags & MessageFlag.Request) !== 0 && (flags & MessageFlag.Dump) !== 0;
	return (asksDump ? dumpByType.get(type) : undefined) ?? byType.get(type);
}

/** A message as a value. */
export interface NamedMessage<N extends MessageName> {
	readonly name: N;
	readonly flags: number;
	readonly seq: number;
	readonly pid: number;
	readonly body: MessageBodies[N];
	readonly attributes: readonly XfrmAttribute[];
	/** Octets at the end that are no attribute, when there are any. */
	readonly rest?: Uint8Array;
}
export type XfrmMessage = { [N in MessageName]: NamedMessage<N> }[MessageName];

/** Reads a message; undefined when its number is not known or its payload is shorter than the struct (N-7). */
export function decodeMessage(
	raw: MessageHeader & Pick<RawMessage, 'payload'>,
): XfrmMessage | undefined {
	const spec = messageSpec(raw.type, raw.flags);
	const { payload } = raw;
	if (spec === undefined || payload.length < spec.body.octets) {
		return undefined;
	}
	const { attributes, rest } = readAttributes(payload, align4(spec.body.octets), spec.attributes);
	const body = spec.body.read(viewOf(payload), 0);
	const { flags, seq, pid } = raw;
	const message = { name: spec.name, flags, seq, pid, body, attributes };
	// The row's codec made the payload that belongs to the row's name.
	return (rest.length === 0 ? message : { ...message, rest }) as XfrmMessage;
}

/** Writes a message; one that ends with its payload is as long as programs (requests) or the kernel make it. */
export function encodeMessage(message: XfrmMessage): Uint8Array {
	const writer = beginMessage(message.name, message.body as never, message);
	writeAttributes(writer, message.attributes);
	if (message.rest !== undefined) {
		writer.appendBytes(message.rest);
	}
	const bare = message.attributes.length === 0;
	return writer.finish(bare && (message.flags & MessageFlag.Request) !== 0);
}

/** Begins a message of this name with its payload; attributes are to follow. */
export function beginMessage<N extends MessageName>(
	name: N,
	body: MessageBodies[N],
	header: { readonly flags: number; readonly seq: number; readonly pid: number },
): MessageWriter {
	// Rows are stored under their own name, so the row of N is a MessageSpec<N>.
	const spec = byName.get(name) as unknown as MessageSpec<N>;
	const { flags, seq, pid } = header;
	const writer = new MessageWriter({ type: spec.type, flags, seq, pid });
	writer.append(spec.body.octets);
	spec.body.write(writer.view, MESSAGE_HEADER_OCTETS, body);
	return writer;
}
