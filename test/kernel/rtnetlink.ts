/**
 * `ip link|address|route|rule` as messages of NETLINK_ROUTE, with the values that iproute2 puts into them
 * (include/uapi/linux/rtnetlink.h, if_link.h, fib_rules.h), so that a guest need not run `ip`.
 *
 * Not here: what the cases do not use (multipath, neighbours, link types but XFRM interfaces and VTI).
 */
import type { HostCommand } from '@xfrm/explain';
import type { AddressConfig, RouteConfig, RuleConfig, VirtualLinkConfig } from '@xfrm/host';
import { MessageFlag, MessageWriter } from '@xfrm/netlink';
import { Family } from '@xfrm/wire/xfrm';

const MessageType = {
	NewLink: 16,
	DelLink: 17,
	NewAddr: 20,
	DelAddr: 21,
	NewRoute: 24,
	DelRoute: 25,
	NewRule: 32,
	DelRule: 33,
} as const;

const CREATE = 0x400;
const EXCLUSIVE = 0x200;
const REPLACE = 0x100;
const APPEND = 0x800;

const IFF_UP = 1;
const IFA_FLAGS_NODAD = 0x02;
const IFA_FLAGS_HOME = 0x10;
const IFA_FLAGS_NOPREFIXROUTE = 0x200;
const ROUTE_TYPES = {
	unicast: 1,
	local: 2,
	broadcast: 3,
	multicast: 5,
	blackhole: 6,
	unreachable: 7,
	prohibit: 8,
	throw: 9,
};
const TABLE_MAIN = 254;
const TABLE_LOCAL = 255;
const PROTO_BOOT = 3;
const SCOPE_LINK = 253;
const SCOPE_HOST = 254;
const SCOPE_NOWHERE = 255;
const RULE_ACTIONS = { blackhole: 6, unreachable: 7, prohibit: 8 };
/** NLA_F_NESTED. */
const NESTED = 0x8000;
const ENCAP_XFRM = 10;

/** Number of a device that has this name; commands that name others are refused by the kernel. */
export type IndexOf = (name: string) => number;

class RouteMessage {
	readonly #writer: MessageWriter;

	constructor(type: number, flags: number) {
		this.#writer = new MessageWriter({ type, flags: MessageFlag.Request | flags, seq: 0, pid: 0 });
	}

	octets(...values: readonly number[]): this {
		this.#writer.appendBytes(Uint8Array.from(values));
		return this;
	}

	u32(type: number, value: number): this {
		this.#writer.appendAttribute(type, 4);
		this.#writer.view.setUint32(this.#writer.length - 4, value >>> 0, true);
		return this;
	}

	bytes(type: number, value: Uint8Array): this {
		const at = this.#writer.appendAttribute(type, value.length);
		this.#writer.bytes.set(value, at);
		return this;
	}

	text(type: number, value: string): this {
		return this.bytes(type, Uint8Array.from(Buffer.from(`${value}\0`)));
	}

	finish(): Uint8Array {
		return this.#writer.finish();
	}
}

const le32 = (value: number): number[] => [
	value & 255,
	(value >> 8) & 255,
	(value >> 16) & 255,
	value >>> 24,
];

/** An attribute's octets, to be put inside of another. */
function attribute(type: number, value: readonly number[]): number[] {
	const length = value.length + 4;
	const padding = new Array<number>((4 - (length % 4)) % 4).fill(0);
	return [length & 255, length >> 8, type & 255, type >> 8, ...value, ...padding];
}

function octetsOf(family: number): number {
	return family === Family.Ipv4 ? 4 : 16;
}

/** The datagram of a command; undefined for one that asks the kernel nothing. */
export function encodeHostCommand(command: HostCommand, indexOf: IndexOf): Uint8Array | undefined {
	switch (command.object) {
		case 'address':
			return encodeAddress(command.config, command.verb, indexOf);
		case 'route':
			return encodeRoute(command.config, command.verb, indexOf);
		case 'rule':
			return encodeRule(command.config, command.verb);
		case 'link':
			return command.refusal === undefined ? encodeLink(command, indexOf) : undefined;
		case 'module':
			return undefined;
	}
}

function encodeAddress(
	config: AddressConfig,
	verb: 'add' | 'replace' | 'del',
	indexOf: IndexOf,
): Uint8Array {
	const { family, address, prefixLength, peer, home, noPrefixRoute, deprecated } = config;
	const add = verb !== 'del';
	const own = address.subarray(0, octetsOf(family));
	const flags =
		(family === Family.Ipv6 && add ? IFA_FLAGS_NODAD : 0) |
		(home === true ? IFA_FLAGS_HOME : 0) |
		(noPrefixRoute === true ? IFA_FLAGS_NOPREFIXROUTE : 0);
	const message = new RouteMessage(
		add ? MessageType.NewAddr : MessageType.DelAddr,
		verb === 'add' ? CREATE | EXCLUSIVE : add ? CREATE | REPLACE : 0,
	)
		.octets(family, prefixLength, flags & 255, 0, ...le32(indexOf(config.device)))
		.bytes(2, own)
		.bytes(1, peer === undefined ? own : peer.subarray(0, octetsOf(family)));
	if (flags > 255) {
		message.u32(8, flags);
	}
	if (deprecated === true) {
		// Preferred for 0 seconds, valid for ever.
		message.bytes(6, Uint8Array.from([...le32(0), ...le32(-1), ...le32(0), ...le32(0)]));
	}
	return message.finish();
}

const ROUTE_FLAGS = {
	add: CREATE | EXCLUSIVE,
	replace: CREATE | REPLACE,
	append: CREATE | APPEND,
	del: 0,
};

function encodeRoute(
	config: RouteConfig,
	verb: keyof typeof ROUTE_FLAGS,
	indexOf: IndexOf,
): Uint8Array {
	const { family, destination, prefixLength, gateway, device, kind = 'unicast' } = config;
	const octets = octetsOf(family);
	const isOwn = kind === 'local' || kind === 'broadcast';
	const table = config.table ?? (isOwn ? TABLE_LOCAL : TABLE_MAIN);
	const direct = family === Family.Ipv4 && gateway === undefined && kind === 'unicast';
	const scope = kind === 'local' && family === Family.Ipv4 ? SCOPE_HOST : direct ? SCOPE_LINK : 0;
	const del = verb === 'del';
	const message = new RouteMessage(
		del ? MessageType.DelRoute : MessageType.NewRoute,
		ROUTE_FLAGS[verb],
	);
	message.octets(
		...[family, prefixLength, 0, config.tos ?? 0, table & 255, del ? 0 : PROTO_BOOT],
		// What is deleted may be of any scope.
		...[del ? SCOPE_NOWHERE : scope, del && config.kind === undefined ? 0 : ROUTE_TYPES[kind]],
		...[0, 0, 0, 0],
	);
	if (prefixLength > 0) {
		message.bytes(1, destination.subarray(0, octets));
	}
	message.u32(15, table);
	if (gateway !== undefined) {
		message.bytes(5, gateway.subarray(0, octets));
	}
	if (device !== undefined) {
		message.u32(4, indexOf(device));
	}
	if (config.source !== undefined) {
		message.bytes(7, config.source.subarray(0, octets));
	}
	if (config.metric !== undefined) {
		message.u32(6, config.metric);
	}
	const metrics = [
		...(config.mtu === undefined ? [] : attribute(2, le32(config.mtu))),
		...(config.hopLimit === undefined ? [] : attribute(10, le32(config.hopLimit))),
	];
	if (metrics.length > 0) {
		message.bytes(8, Uint8Array.from(metrics));
	}
	if (config.encap !== undefined) {
		const { ifId, link } = config.encap;
		const inside = [
			...attribute(1, le32(ifId)),
			...(link === undefined ? [] : attribute(2, le32(indexOf(link)))),
		];
		message.bytes(22 | NESTED, Uint8Array.from(inside)).bytes(21, Uint8Array.of(ENCAP_XFRM, 0));
	}
	return message.finish();
}

function encodeRule(config: RuleConfig, verb: 'add' | 'del'): Uint8Array {
	const { family, from, to, action } = config;
	const octets = octetsOf(family);
	const table = typeof action === 'string' ? 0 : action.table;
	const kind = typeof action === 'string' ? RULE_ACTIONS[action] : 1;
	const message = new RouteMessage(
		verb === 'add' ? MessageType.NewRule : MessageType.DelRule,
		verb === 'add' ? CREATE | EXCLUSIVE : 0,
	).octets(
		...[family, to?.prefixLength ?? 0, from?.prefixLength ?? 0, config.tos ?? 0],
		...[table & 255, 0, 0, kind, 0, 0, 0, 0],
	);
	if (to !== undefined) {
		message.bytes(1, to.address.subarray(0, octets));
	}
	if (from !== undefined) {
		message.bytes(2, from.address.subarray(0, octets));
	}
	if (config.iif !== undefined) {
		message.text(3, config.iif);
	}
	if (config.priority !== undefined) {
		message.u32(6, config.priority);
	}
	if (config.fwmark !== undefined) {
		message.u32(10, config.fwmark).u32(16, config.fwmask ?? -1);
	}
	if (table !== 0) {
		message.u32(15, table);
	}
	if (config.oif !== undefined) {
		message.text(17, config.oif);
	}
	return message.finish();
}

function encodeLink(command: HostCommand & { object: 'link' }, indexOf: IndexOf): Uint8Array {
	const { verb, device, settings, virtual } = command;
	const add = verb === 'add';
	const up = settings.up === undefined ? 0 : IFF_UP;
	const message = new RouteMessage(
		verb === 'del' ? MessageType.DelLink : MessageType.NewLink,
		add ? CREATE | EXCLUSIVE : 0,
	).octets(
		...[0, 0, 0, 0],
		...le32(add ? 0 : indexOf(device)),
		...le32(settings.up === true ? IFF_UP : 0),
		...le32(up),
	);
	if (add) {
		message.text(3, device);
	}
	if (settings.mtu !== undefined) {
		message.u32(4, settings.mtu);
	}
	if (virtual !== undefined) {
		message.bytes(18, Uint8Array.from(linkInfo(virtual, indexOf)));
	}
	return message.finish();
}

function linkInfo(virtual: VirtualLinkConfig, indexOf: IndexOf): number[] {
	const { type, link } = virtual;
	const kind = attribute(1, [...Buffer.from(type)]);
	const lower = link === undefined ? [] : attribute(1, le32(indexOf(link)));
	if (virtual.type === 'xfrm') {
		const { ifId, external } = virtual;
		const data = [
			...lower,
			...(ifId === undefined ? [] : attribute(2, le32(ifId))),
			...(external === true ? attribute(3, []) : []),
		];
		return [...kind, ...attribute(2, data)];
	}
	const octets = type === 'vti' ? 4 : 16;
	const be = (value: number): number[] => le32(value).reverse();
	const end = (address: Uint8Array | undefined): number[] =>
		address === undefined ? new Array<number>(octets).fill(0) : [...address.subarray(0, octets)];
	const data = [
		...attribute(2, be(virtual.inKey ?? 0)),
		...attribute(3, be(virtual.outKey ?? 0)),
		...attribute(4, end(virtual.local)),
		...attribute(5, end(virtual.remote)),
		...lower,
	];
	return [...kind, ...attribute(2, data)];
}
