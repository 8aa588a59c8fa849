export type { AddressConfig, DeviceSettings } from './device.ts';
export type {
	DeliverEffect,
	EmitEffect,
	HostEffect,
	SocketErrorEffect,
	StreamErrorEffect,
	StreamMessageEffect,
	StreamWriteEffect,
} from './effect.ts';
export { fragmentPacket } from './fragment.ts';
export * from './host.ts';
export * from './host-trace.ts';
export { narrowedPathMtu, PathMtuTable } from './path-mtu.ts';
export { PeerRates } from './peer-rate.ts';
export type { RouteConfig, RouteEntry, RouteKind } from './route.ts';
export { RouteTable, type Rule, type RuleConfig } from './rule.ts';
export type { RawSocketOptions, SocketOptions, UdpSocketOptions } from './socket.ts';
export type { StreamOptions } from './stream.ts';
export type {
	LinkCounters,
	RouteEncap,
	VirtualLink,
	VirtualLinkConfig,
	VtiLinkConfig,
	XfrmLinkConfig,
} from './virtual-link.ts';
