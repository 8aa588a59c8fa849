/**
 * A pure IP host around an engine: what surrounds XFRM in Linux, as far as packets can tell. Bytes and
 * times come in by calls, effects go out by polling (`pollEffect`); nothing else happens.
 *
 * The walk of a packet, each step a file:
 *
 *     receive.ts     header checks, route: for us, or on?    reassembly.ts, extension-header.ts
 *       deliver.ts     protocol by protocol: engine.input (and again), sockets, ICMP
 *       forward.ts     FWD check, TTL, engine.lookup, MTU
 *       arrival.ts     ESP and the like for XFRM interfaces and VTI devices
 *     send.ts        what sockets send, engine.lookup
 *       output.ts      engine.transform, fragment.ts, out by a device or back in by `lo`
 *         transmit.ts    or through an XFRM interface or VTI device, and out again
 *     icmp-send.ts, icmp-receive.ts
 *
 *     stream.ts      ESP and IKE in TCP connections that somebody else carries
 *
 * Not here: link layer, neighbours, TCP, multicast, rate limits of ICMP errors.
 */
import { type Answer, type EngineDoor, type EngineOptions, refuse } from '@xfrm/engine';
import type { Route } from '@xfrm/wire';
import {
	type Address,
	Direction,
	EncapType,
	Errno,
	Family,
	isAnyAddress,
	type PolicyConfig,
	type Refusal,
} from '@xfrm/wire/xfrm';
import {
	addAddress,
	addDevice,
	addRoute,
	removeAddress,
	removeDevice,
	removeRoute,
	replaceRoute,
	setDevice,
} from './configuration.ts';
import type { AddressConfig, Device, DeviceSettings } from './device.ts';
import type { HostEffect } from './effect.ts';
import type { HostTracer } from './host-trace.ts';
import { receiveFromDevice } from './receive.ts';
import type { RouteConfig, RouteEntry } from './route.ts';
import { isLocalAddress, routeOutput } from './route-lookup.ts';
import type { Rule, RuleConfig } from './rule.ts';
import { sendRaw, sendUdp } from './send.ts';
import type { RawSocketOptions, SocketOptions, UdpSocketOptions } from './socket.ts';
import { Stack } from './stack.ts';
import { receiveStream, type StreamOptions, sendStream } from './stream.ts';
import { findSysctl, setSysctl } from './sysctl.ts';
import type { VirtualLinkConfig } from './virtual-link.ts';
import { addVirtualDevice, changeVirtualDevice } from './virtual-link-setup.ts';
import { advance, settle } from './walk.ts';

/** What the engine borrows from its host. */
export type EngineLinks = Required<
	Pick<EngineOptions, 'route' | 'routeGeneration' | 'isHomeAddress' | 'espStream'>
>;

export interface HostOptions {
	/** Makes the engine: `(links) => new Engine({ ...links, provider, profile, random })`. */
	readonly engine: (links: EngineLinks) => EngineDoor;
	/** Fills the octets with unpredictable ones: identifications, flow labels. */
	readonly random: (bytes: Uint8Array) => void;
}

/** Facts about an arriving packet beside its octets. */
export interface Arrival {
	/** Mark set on arrival (as a tc or netfilter rule would). */
	readonly mark?: number;
	/** if_id of the xfrm interface it came through. */
	readonly ifId?: number;
}

/** A datagram for `sendUdp`. */
export interface Datagram {
	readonly destination: Address;
	readonly port: number;
	readonly payload: Uint8Array;
}

export class Host {
	private readonly stack: Stack;

	constructor(options: HostOptions) {
		this.stack = new Stack(options);
	}

	get engine(): EngineDoor {
		return this.stack.engine;
	}

	/** Processor that the next packets are on. */
	get processor(): number {
		return this.stack.processor;
	}
	set processor(processor: number) {
		this.stack.processor = processor;
	}

	get tracer(): HostTracer | null {
		return this.stack.tracer;
	}
	set tracer(tracer: HostTracer | null) {
		this.stack.tracer = tracer;
	}

	/**
	 * Somebody is taken to listen everywhere: what passes the policy check and no socket is open for is
	 * delivered to socket 0, instead of being refused with an ICMP error. For questions about packets, where
	 * the host's sockets are not known.
	 */
	get assumeSockets(): boolean {
		return this.stack.assumeSockets;
	}
	set assumeSockets(assume: boolean) {
		this.stack.assumeSockets = assume;
	}

	// Configuration. Refusals are those of `ip` and sysctl; nothing is half applied.

	/** Makes a device, down, MTU 1500, with the next free interface number unless one is given. */
	addDevice(name: string, ifindex?: number): Answer<Device> {
		return addDevice(this.stack, name, ifindex);
	}
	/**
	 * Makes an XFRM interface or a VTI device, down; refused as the kernel does.
	 *
	 * @spec X-1 X-2
	 */
	addVirtualDevice(name: string, config: VirtualLinkConfig, ifindex?: number): Answer<Device> {
		return addVirtualDevice(this.stack, name, config, ifindex);
	}
	/** `ip link change NAME type …` of such a device. */
	changeVirtualDevice(name: string, config: VirtualLinkConfig): Refusal | undefined {
		return changeVirtualDevice(this.stack, name, config);
	}
	/** Forgets a device with its addresses and routes. */
	removeDevice(name: string): Refusal | undefined {
		return removeDevice(this.stack, name);
	}
	/** `ip link set`. A device that goes down loses its routes, and its IPv6 addresses, as in Linux. */
	setDevice(name: string, settings: DeviceSettings): Refusal | undefined {
		return setDevice(this.stack, name, settings);
	}
	device(name: string): Device | undefined {
		return this.stack.devices.named(name);
	}
	/** In order of making, `lo` first. */
	devices(): IterableIterator<Device> {
		return this.stack.devices.all();
	}
	/** `ip address add`: with its local route and, unless told otherwise, the connected one. */
	addAddress(config: AddressConfig): Refusal | undefined {
		return addAddress(this.stack, config);
	}
	/** `ip address del`; what was given beside device, family, address and prefix does not matter. */
	removeAddress(config: AddressConfig): Refusal | undefined {
		return removeAddress(this.stack, config);
	}
	/** `ip route add`. */
	addRoute(config: RouteConfig): Refusal | undefined {
		return addRoute(this.stack, config);
	}
	/** `ip route replace`: takes the place of a route of the same prefix and metric. */
	replaceRoute(config: RouteConfig): Refusal | undefined {
		return replaceRoute(this.stack, config);
	}
	/** `ip route del`: the first route that agrees with all that is said. */
	removeRoute(config: RouteConfig): Refusal | undefined {
		return removeRoute(this.stack, config);
	}
	/** Entries of a table in order of search. */
	routes(family: number, table: number): readonly RouteEntry[] {
		return this.stack.routes(family).entries(table);
	}
	/** `ip rule add`. */
	addRule(config: RuleConfig): Refusal | undefined {
		this.rulesChange(config.family);
		return this.stack.rules(config.family).add(config);
	}
	/** `ip rule del`. */
	removeRule(config: RuleConfig): Refusal | undefined {
		this.rulesChange(config.family);
		return this.stack.rules(config.family).remove(config);
	}
	private rulesChange(family: number): void {
		this.stack.routeGeneration++;
		if (family === Family.Ipv4) {
			this.stack.hasOwnIpv4Ways = true;
		}
	}
	/** In the order in which they are asked. */
	rules(family: number): Iterable<Rule> {
		return this.stack.rules(family);
	}
	/** `net.ipv4.ip_forward` or `net/ipv4/ip_forward`; ENOENT for names that are not supported. */
	setSysctl(name: string, value: number): Refusal | undefined {
		return setSysctl(this.stack, name, value);
	}
	/** The value of a sysctl, undefined for one that is not supported. */
	sysctl(name: string): number | undefined {
		return findSysctl(this.stack, name)?.read();
	}

	// Sockets.

	/** Opens a raw socket: its number, or why not. */
	openRaw(options: RawSocketOptions): Answer<number> {
		return this.open(options, () => this.stack.sockets.openRaw(options));
	}
	/**
	 * Opens a UDP socket; one with `encap` takes ESP in UDP.
	 *
	 * @spec NT-1
	 */
	openUdp(options: UdpSocketOptions): Answer<number> {
		const { encap } = options;
		const nonIke = this.engine.net.profile.nonIkeEncap && encap === EncapType.EspInUdpNonIke;
		if (encap !== undefined && encap !== EncapType.EspInUdp && !nonIke) {
			return refuse(Errno.ENOPROTOOPT);
		}
		return this.open(options, () => this.stack.sockets.openUdp(options));
	}
	private open(options: SocketOptions, open: () => Answer<number>): Answer<number> {
		const { family, source, device } = options;
		if (device !== undefined && this.stack.devices.named(device) === undefined) {
			return refuse(Errno.ENODEV);
		}
		if (source !== undefined && !isAnyAddress(source, family)) {
			if (!isLocalAddress(this.stack, family, source)) {
				return refuse(Errno.EADDRNOTAVAIL);
			}
		}
		return open();
	}
	/** Closes a socket; its policies go too. */
	closeSocket(socketId: number, nowUs: number): void {
		if (this.stack.sockets.close(socketId)) {
			this.engine.setSocketPolicy(socketId, Direction.In, undefined, nowUs);
			this.engine.setSocketPolicy(socketId, Direction.Out, undefined, nowUs);
		}
	}
	/**
	 * IP_XFRM_POLICY: `config` undefined removes.
	 *
	 * @spec P-19
	 */
	setSocketPolicy(
		socketId: number,
		direction: number,
		config: PolicyConfig | undefined,
		nowUs: number,
	): Refusal | undefined {
		const refusal = this.engine.setSocketPolicy(socketId, direction, config, nowUs);
		const socket = this.stack.sockets.get(socketId);
		if (refusal === undefined && socket !== undefined && direction === Direction.In) {
			socket.hasInPolicy = config !== undefined;
		}
		return refusal;
	}

	// Packets. Octets are copied; `nowUs` is microseconds since the Unix epoch and never goes back.

	/** A packet arrives by a device. */
	receive(device: string, packet: Uint8Array, nowUs: number, arrival: Arrival = {}): void {
		const { stack } = this;
		advance(stack, nowUs);
		receiveFromDevice(stack, device, packet, arrival);
		settle(stack);
	}
	/**
	 * A raw socket sends: a whole packet when it includes its header, else what stands behind the header.
	 *
	 * @param destination needed when the socket has no header of its own; else absent: the header's
	 * @returns errno, 0 when the call succeeds (the packet may be gone all the same, O-7)
	 */
	sendRaw(socketId: number, octets: Uint8Array, nowUs: number, destination?: Address): number {
		const { stack } = this;
		advance(stack, nowUs);
		const error = sendRaw(stack, socketId, octets, destination);
		settle(stack);
		return error;
	}
	/** A UDP socket sends; returns errno or 0. */
	sendUdp(socketId: number, datagram: Datagram, nowUs: number): number {
		const { stack } = this;
		advance(stack, nowUs);
		const error = sendUdp(stack, socketId, datagram);
		settle(stack);
		return error;
	}

	// TCP connections that carry ESP and IKE. The host has no TCP: whoever has the connection says so, hands over
	// what comes, and writes what effects say.

	/**
	 * Knows an established connection from now on: its number.
	 *
	 * @spec T-12
	 */
	openStream(options: StreamOptions): Answer<number> {
		return this.stack.streams.open(options);
	}
	/** The connection has ended; false when there is none of this number. */
	closeStream(streamId: number): boolean {
		return this.stack.streams.close(streamId);
	}
	/** Octets have come by a connection, cut as they may be. */
	receiveStream(streamId: number, octets: Uint8Array, nowUs: number): void {
		const { stack } = this;
		advance(stack, nowUs);
		receiveStream(stack, streamId, octets);
		settle(stack);
	}
	/** Sends a message by a connection, IKE as a rule; returns errno or 0. */
	sendStream(streamId: number, message: Uint8Array, nowUs: number): number {
		const { stack } = this;
		advance(stack, nowUs);
		const error = sendStream(stack, streamId, message);
		settle(stack);
		return error;
	}

	// Effects and time.

	/** What has to be done, oldest first; undefined when nothing is left. */
	pollEffect(): HostEffect | undefined {
		return this.stack.takeEffect();
	}
	/** Effects that were lost because nobody polled. */
	get effectsLost(): number {
		return this.stack.effectsLost;
	}
	/** Earliest deadline of host and engine in microseconds, Infinity for none. */
	pollTimeout(): number {
		return Math.min(this.stack.reassembly.deadlineUs(), this.engine.pollTimeout());
	}
	/** Does what is due: reassembly timers, the engine's deadlines, packets it had kept. */
	handleTimeout(nowUs: number): void {
		const { stack } = this;
		advance(stack, nowUs);
		stack.engine.handleTimeout(nowUs);
		settle(stack);
	}

	/** The route of a packet made here, as the engine would be told it; undefined for none. */
	lookupRoute(
		family: number,
		daddr: Address,
		saddr: Address,
		mark: number,
		oif: number,
	): Route | undefined {
		const route = routeOutput(this.stack, family, daddr, saddr, mark, oif);
		return typeof route === 'number' ? undefined : route;
	}
}
