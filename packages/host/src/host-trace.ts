/**
 * What a host tells a tracer while a packet walks through it: facts for `explain`, made only while a
 * tracer is set. The engine's own facts come from its own tracer, in between.
 */
import type { Route } from '@xfrm/wire';
import type { Address } from '@xfrm/wire/xfrm';

/** Why a packet went no further without a counter of XFRM; stable ids, registered in docs/reasons.md. */
export const HostDrop = {
	DeviceDown: 'host.device-down',
	Ipv4Header: 'host.ipv4-header',
	Ipv4Checksum: 'host.ipv4-checksum',
	Ipv4Options: 'host.ipv4-options',
	Ipv6Header: 'host.ipv6-header',
	ExtensionHeader: 'host.extension-header',
	RoutingHeader: 'host.routing-header',
	HomeAddressOption: 'host.home-address-option',
	Martian: 'host.martian',
	ReversePath: 'host.reverse-path',
	NoRoute: 'host.no-route',
	NotForwarding: 'host.not-forwarding',
	TimeExceeded: 'host.time-exceeded',
	TooBig: 'host.too-big',
	NoSocket: 'host.no-socket',
	NoProtocol: 'host.no-protocol',
	TransportHeader: 'host.transport-header',
	TransportChecksum: 'host.transport-checksum',
	Fragment: 'host.fragment',
	ReassemblyTimeout: 'host.reassembly-timeout',
	Loop: 'host.loop',
	LinkFailure: 'host.link-failure',
	DeviceLoop: 'host.device-loop',
	NoMetadata: 'host.no-metadata',
} as const;
export type HostDrop = (typeof HostDrop)[keyof typeof HostDrop];

/** A packet begins its walk: as it arrived, or what came out of a tunnel (`again`). */
export interface ReceiveTrace {
	readonly kind: 'receive';
	readonly device: string;
	readonly packet: Uint8Array;
	readonly again: boolean;
}

/** A route was looked for; undefined when there is none. */
export interface RouteTrace {
	readonly kind: 'route';
	readonly purpose: 'input' | 'output' | 'engine';
	readonly family: number;
	readonly daddr: Address;
	readonly saddr: Address;
	readonly mark: number;
	readonly route: Route | undefined;
}

/** Where a received packet goes. */
export interface DecisionTrace {
	readonly kind: 'decision';
	readonly decision: 'local' | 'forward';
}

/** A fragment waits for others, or completed a datagram. */
export interface ReassemblyTrace {
	readonly kind: 'reassembly';
	readonly complete: boolean;
}

/** The host dropped it by a rule of IP. */
export interface DropTrace {
	readonly kind: 'drop';
	readonly code: HostDrop;
}

/** The host answers with an ICMP error. */
export interface IcmpErrorTrace {
	readonly kind: 'icmp-error';
	readonly family: number;
	readonly type: number;
	readonly code: number;
	/** MTU, pointer; 0 else. */
	readonly rest: number;
}

/** An ICMP error arrived; `mtu` is what it taught about the path, undefined for nothing. */
export interface IcmpReceivedTrace {
	readonly kind: 'icmp-received';
	readonly family: number;
	readonly type: number;
	readonly code: number;
	readonly mtu: number | undefined;
}

export type HostTraceEvent =
	| ReceiveTrace
	| RouteTrace
	| DecisionTrace
	| ReassemblyTrace
	| DropTrace
	| IcmpErrorTrace
	| IcmpReceivedTrace;

export interface HostTracer {
	note(event: HostTraceEvent): void;
}
