/**
 * Messages of NETLINK_ROUTE that the daemon sends and reads (rtnetlink(7); uapi/linux/rtnetlink.h,
 * if_link.h, fib_rules.h):
 *
 *     struct rtmsg         family 1 | dst len 1 | src len 1 | tos 1 | table 1 | protocol 1 | scope 1 | type 1 | flags 4
 *     struct ifinfomsg     family 1 | pad 1 | type 2 | index 4 | flags 4 | change 4
 *     struct fib_rule_hdr  family 1 | dst len 1 | src len 1 | tos 1 | table 1 | res 2 | action 1 | flags 4
 */
import {
	AttributeReader,
	MessageFlag,
	MessageWriter,
	type RawMessage,
	viewOf,
} from '@xfrm/netlink';
import { type Address, addressFrom, anyAddress, Family, isAnyAddress } from '@xfrm/wire/xfrm';

const Type = {
	NewLink: 16,
	DelLink: 17,
	GetLink: 18,
	NewRoute: 24,
	DelRoute: 25,
	GetRoute: 26,
	NewRule: 32,
	DelRule: 33,
} as const;

const RouteAttribute = {
	Destination: 1,
	Source: 2,
	Oif: 4,
	Gateway: 5,
	Priority: 6,
	PreferredSource: 7,
	Metrics: 8,
	Table: 15,
	Mark: 16,
	Via: 18,
} as const;
/** `RTM_F_*` of struct rtmsg: a route of one destination, made from a table's; ask for the table's own. */
const RouteFlag = { Cloned: 0x200, FibMatch: 0x2000 } as const;
/** `RTAX_*`; what is locked is a bit mask of them. */
const Metric = { Lock: 1, Mtu: 2, HopLimit: 10 } as const;

const LinkAttribute = { Name: 3, Mtu: 4, FamilySpecific: 26 } as const;
/** Of a device's IPv6: `IFLA_INET6_CONF`, numbers of four octets; `DEVCONF_HOPLIMIT` and `DEVCONF_MTU6` of them. */
const INET6_CONF = 2;
const Conf = { HopLimitAt: 4, MtuAt: 8 } as const;
/** `IFLA_INET6_ADDR_GEN_MODE`, and its mode of none. */
const INET6_ADDRESS_MODE = 8;
const ADDRESSES_NONE = 1;
/** Of a device's IPv4: `IFLA_INET_CONF`, within it `IPV4_DEVCONF_*` numbers. */
const INET_CONF = 1;
const IFF_UP = 1;

const RuleAttribute = { Priority: 6, Mark: 10, Table: 15, MarkMask: 16, Protocol: 21 } as const;
const RULE_TO_TABLE = 1;

/** `RTN_*`. */
export const RouteType = {
	Unicast: 1,
	Local: 2,
	Broadcast: 3,
	Multicast: 5,
	Unreachable: 7,
} as const;

/**
 * `RTPROT_KERNEL`, for all that the daemon adds: it stands for the kernel's XFRM, and those who take foreign rules and
 * routes away (systemd-networkd, ManageForeignRoutes) leave the kernel's. What is its own it knows by the table.
 */
const PROTOCOL = 2;

const SCOPE_LINK = 253;

function header(type: number, flags: number): MessageWriter {
	return new MessageWriter({ type, flags: MessageFlag.Request | flags, seq: 0, pid: 0 });
}

function appendU32(writer: MessageWriter, type: number, value: number): void {
	const at = writer.appendAttribute(type, 4);
	writer.view.setUint32(at, value >>> 0, true);
}

function appendAddress(
	writer: MessageWriter,
	type: number,
	address: Address,
	family: number,
): void {
	const octets = family === Family.Ipv4 ? 4 : 16;
	const at = writer.appendAttribute(type, octets);
	writer.bytes.set(address.subarray(0, octets), at);
}

/** What is asked of the kernel's routing. */
export interface RouteQuestion {
	readonly family: number;
	readonly daddr: Address;
	/** Any-address: the kernel chooses. */
	readonly saddr: Address;
	readonly mark: number;
	readonly oif: number;
	/** The route as it stands in its table, without what was learned of the path to this destination. */
	readonly asConfigured?: boolean;
}

export function getRoute(question: RouteQuestion): MessageWriter {
	const { family, daddr, saddr, mark, oif, asConfigured = false } = question;
	const bits = family === Family.Ipv4 ? 32 : 128;
	const writer = header(Type.GetRoute, 0);
	const at = writer.append(12);
	writer.view.setUint8(at, family);
	writer.view.setUint8(at + 1, bits);
	writer.view.setUint32(at + 8, asConfigured ? RouteFlag.FibMatch : 0, true);
	appendAddress(writer, RouteAttribute.Destination, daddr, family);
	if (!isAnyAddress(saddr, family)) {
		writer.view.setUint8(at + 2, bits);
		appendAddress(writer, RouteAttribute.Source, saddr, family);
	}
	if (mark !== 0) {
		appendU32(writer, RouteAttribute.Mark, mark);
	}
	if (oif !== 0) {
		appendU32(writer, RouteAttribute.Oif, oif);
	}
	return writer;
}

/** The kernel's answer. */
export interface RouteReply {
	/** `RouteType`. */
	readonly type: number;
	readonly oif: number;
	readonly source: Address;
	readonly gateway: Address | undefined;
	/** 0 when the route tells none: then the device's counts. */
	readonly mtu: number;
	/** The MTU may be one that the kernel has learned: always over IPv4, over IPv6 where it has learned one. */
	readonly mayBeLearned: boolean;
	/** Nothing is learned of the path. */
	readonly mtuLocked: boolean;
	readonly hopLimit: number;
}

export function parseRoute(raw: RawMessage): RouteReply | undefined {
	if (raw.type !== Type.NewRoute || raw.payload.length < 12) {
		return undefined;
	}
	const { payload } = raw;
	const octets = payload[0] === Family.Ipv4 ? 4 : 16;
	let oif = 0;
	let source = anyAddress();
	let gateway: Address | undefined;
	let mtu = 0;
	let hopLimit = 0;
	let locked = 0;
	for (const reader = new AttributeReader(payload, 12); reader.next(); ) {
		const { at, length } = reader;
		if (reader.type === RouteAttribute.Oif && length >= 4) {
			oif = reader.view.getUint32(at, true);
		} else if (reader.type === RouteAttribute.PreferredSource && length >= octets) {
			source = addressFrom(payload, at, octets);
		} else if (reader.type === RouteAttribute.Gateway && length >= octets) {
			gateway = addressFrom(payload, at, octets);
		} else if (reader.type === RouteAttribute.Metrics) {
			for (const metric = new AttributeReader(payload, at, at + length); metric.next(); ) {
				const value = metric.length >= 4 ? metric.view.getUint32(metric.at, true) : 0;
				locked = metric.type === Metric.Lock ? value : locked;
				mtu = metric.type === Metric.Mtu ? value : mtu;
				hopLimit = metric.type === Metric.HopLimit ? value : hopLimit;
			}
		}
	}
	const mayBeLearned = (viewOf(payload).getUint32(8, true) & RouteFlag.Cloned) !== 0;
	const mtuLocked = (locked & (1 << Metric.Mtu)) !== 0;
	return { type: payload[7] ?? 0, oif, source, gateway, mtu, mayBeLearned, mtuLocked, hopLimit };
}

/** A default route of a table: by a device, or, without one, unreachable. */
export interface DefaultRoute {
	readonly family: number;
	readonly table: number;
	/** 0: unreachable. */
	readonly oif: number;
	/** The smaller wins. */
	readonly metric: number;
}

function defaultRoute(type: number, flags: number, route: DefaultRoute): MessageWriter {
	const { family, table, oif, metric } = route;
	const writer = header(type, MessageFlag.Ack | flags);
	const at = writer.append(12);
	writer.view.setUint8(at, family);
	writer.view.setUint8(at + 5, PROTOCOL);
	writer.view.setUint8(at + 6, oif === 0 || family === Family.Ipv6 ? 0 : SCOPE_LINK);
	writer.view.setUint8(at + 7, oif === 0 ? RouteType.Unreachable : RouteType.Unicast);
	appendU32(writer, RouteAttribute.Table, table);
	appendU32(writer, RouteAttribute.Priority, metric);
	if (oif !== 0) {
		appendU32(writer, RouteAttribute.Oif, oif);
	}
	return writer;
}

/** Adds a route: `EEXIST` when it is there, and then nobody is told of a change. */
export function addDefaultRoute(route: DefaultRoute): MessageWriter {
	return defaultRoute(Type.NewRoute, MessageFlag.Create | MessageFlag.Exclusive, route);
}
/** Adds a route, or puts it in the place of another of its metric. */
export function replaceDefaultRoute(route: DefaultRoute): MessageWriter {
	return defaultRoute(Type.NewRoute, MessageFlag.Create | MessageFlag.Replace, route);
}
export function deleteDefaultRoute(route: DefaultRoute): MessageWriter {
	return defaultRoute(Type.DelRoute, 0, route);
}

/** A rule that sends packets of a mark to a table. */
export interface MarkRule {
	readonly family: number;
	readonly priority: number;
	readonly mark: number;
	readonly table: number;
}

function markRule(type: number, flags: number, rule: MarkRule): MessageWriter {
	const { family, priority, mark, table } = rule;
	const writer = header(type, MessageFlag.Ack | flags);
	const at = writer.append(12);
	writer.view.setUint8(at, family);
	writer.view.setUint8(at + 7, RULE_TO_TABLE);
	appendU32(writer, RuleAttribute.Priority, priority);
	appendU32(writer, RuleAttribute.Mark, mark);
	appendU32(writer, RuleAttribute.MarkMask, 0xffff_ffff);
	appendU32(writer, RuleAttribute.Table, table);
	const protocolAt = writer.appendAttribute(RuleAttribute.Protocol, 1);
	writer.view.setUint8(protocolAt, PROTOCOL);
	return writer;
}

export function addMarkRule(rule: MarkRule): MessageWriter {
	return markRule(Type.NewRule, MessageFlag.Create | MessageFlag.Exclusive, rule);
}
export function deleteMarkRule(rule: MarkRule): MessageWriter {
	return markRule(Type.DelRule, 0, rule);
}

/** Brings a device up, with this MTU. */
export function setLinkUp(ifindex: number, mtu: number): MessageWriter {
	const writer = header(Type.NewLink, MessageFlag.Ack);
	const at = writer.append(16);
	writer.view.setInt32(at + 4, ifindex, true);
	writer.view.setUint32(at + 8, IFF_UP, true);
	writer.view.setUint32(at + 12, IFF_UP, true);
	appendU32(writer, LinkAttribute.Mtu, mtu);
	return writer;
}

/** What a device's IPv4 does, as its sysctls of these names have it; numbers are `IPV4_DEVCONF_*`. */
export const Ipv4Setting = { send_redirects: 6, rp_filter: 8, accept_local: 23 } as const;

/** Sets what are sysctls as well, for which /proc/sys need not be one that can be written to. */
export function setIpv4Settings(
	ifindex: number,
	settings: Readonly<Record<keyof typeof Ipv4Setting, number>>,
): MessageWriter {
	return familySettings(ifindex, Family.Ipv4, (writer) => {
		const at = writer.appendAttribute(INET_CONF, 0);
		for (const name of Object.keys(Ipv4Setting) as (keyof typeof Ipv4Setting)[]) {
			appendU32(writer, Ipv4Setting[name], settings[name]);
		}
		endNest(writer, at);
	});
}

/** The device makes itself no addresses of IPv6, not a link-local one either: said before it is up. */
export function setNoOwnAddresses(ifindex: number): MessageWriter {
	return familySettings(ifindex, Family.Ipv6, (writer) => {
		writer.view.setUint8(writer.appendAttribute(INET6_ADDRESS_MODE, 1), ADDRESSES_NONE);
	});
}

function familySettings(
	ifindex: number,
	family: number,
	append: (writer: MessageWriter) => void,
): MessageWriter {
	const writer = header(Type.NewLink, MessageFlag.Ack);
	writer.view.setInt32(writer.append(16) + 4, ifindex, true);
	const specificAt = writer.appendAttribute(LinkAttribute.FamilySpecific, 0);
	const familyAt = writer.appendAttribute(family, 0);
	append(writer);
	endNest(writer, familyAt);
	endNest(writer, specificAt);
	return writer;
}

/** Attributes end that are in the value at this offset. */
function endNest(writer: MessageWriter, at: number): void {
	writer.view.setUint16(at - 4, writer.length - at + 4, true);
}

export function getLink(ifindex: number): MessageWriter {
	const writer = header(Type.GetLink, 0);
	const at = writer.append(16);
	writer.view.setInt32(at + 4, ifindex, true);
	return writer;
}

/** What a packet gets of the device that it leaves by, where its route says nothing else. */
export interface LinkDefaults {
	/** Of the device's frames, and so of IPv4. */
	readonly mtu: number;
	/** IPv6 may have its own: from a router's advertisement, or set as a sysctl. */
	readonly ipv6Mtu: number;
	/** 0 where there is no IPv6. */
	readonly ipv6HopLimit: number;
}

/** The defaults of the device that a link message tells of; undefined when it is none. */
export function parseLinkDefaults(raw: RawMessage): LinkDefaults | undefined {
	if (raw.type !== Type.NewLink || raw.payload.length < 16) {
		return undefined;
	}
	const { payload } = raw;
	let mtu: number | undefined;
	let ipv6Mtu: number | undefined;
	let ipv6HopLimit = 0;
	for (const reader = new AttributeReader(payload, 16); reader.next(); ) {
		const { view, type, at, length } = reader;
		if (type === LinkAttribute.Mtu && length >= 4) {
			mtu = view.getUint32(at, true);
		} else if (type === LinkAttribute.FamilySpecific) {
			const confAt = ipv6ConfAt(payload, at, at + length);
			if (confAt !== undefined) {
				ipv6Mtu = view.getUint32(confAt + Conf.MtuAt, true);
				ipv6HopLimit = view.getInt32(confAt + Conf.HopLimitAt, true);
			}
		}
	}
	return mtu === undefined ? undefined : { mtu, ipv6Mtu: ipv6Mtu ?? mtu, ipv6HopLimit };
}

/** Where the numbers of a device's IPv6 are. */
function ipv6ConfAt(payload: Uint8Array, from: number, end: number): number | undefined {
	for (const family = new AttributeReader(payload, from, end); family.next(); ) {
		if (family.type !== Family.Ipv6) {
			continue;
		}
		const inside = new AttributeReader(payload, family.at, family.at + family.length);
		while (inside.next()) {
			if (inside.type === INET6_CONF && inside.length >= Conf.MtuAt + 4) {
				return inside.at;
			}
		}
	}
	return undefined;
}
