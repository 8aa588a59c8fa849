/**
 * Two engines that hold the same associations, one to send and one to receive, and just enough of a host
 * to bring packets from one to the other: for properties that are about the engine alone.
 */
import { nodeProvider } from '@xfrm/crypto/node';
import { Batch, Engine, type KernelProfile, linux619, PacketAction } from '@xfrm/engine';
import { IPV6_HEADER_OCTETS, PacketBuffer, type Route, setIpv4Checksum } from '@xfrm/wire';
import {
	type Address,
	addressFrom,
	anyAddress,
	anySelector,
	Direction,
	Family,
	IpProto,
	Mode,
	parseAddress,
	type Selector,
	type StateConfig,
	StateFlag,
	type Template,
	UNLIMITED,
} from '@xfrm/wire/xfrm';

export const NOW_US = 1_764_000_000_000_000;

export type Algorithms = Pick<StateConfig, 'aead' | 'crypt' | 'auth' | 'comp'>;

/** One transform of an association. */
export interface Layer {
	readonly proto: number;
	readonly mode: number;
	readonly algorithms: Algorithms;
	readonly esn?: boolean;
	readonly windowPackets?: number;
	readonly encapType?: number;
	readonly flags?: number;
	readonly hardPackets?: number;
	readonly softBytes?: number;
}

/** Traffic of one pair of hosts and what is done to it, innermost layer first. */
export interface Association {
	readonly number: number;
	readonly outer: number;
	readonly inner: number;
	readonly layers: readonly Layer[];
}

export function address(text: string): Address {
	const parsed = parseAddress(text);
	if (parsed === undefined) {
		throw new RangeError(`no address: ${text}`);
	}
	return parsed.address;
}

/** Deterministic octets (xorshift32). */
export function pseudoRandom(seed: number): (octets: Uint8Array) => void {
	let state = seed | 1;
	return (octets) => {
		for (let i = 0; i < octets.length; i++) {
			state ^= state << 13;
			state ^= state >>> 17;
			state ^= state << 5;
			octets[i] = state;
		}
	};
}

function isTunnel(mode: number): boolean {
	return mode === Mode.Tunnel || mode === Mode.Beet;
}

function hidesAddresses({ mode }: Layer): boolean {
	return isTunnel(mode);
}

/** Does anything of the association hide the inner addresses? */
export function hasTunnel({ layers }: Association): boolean {
	return layers.some(hidesAddresses);
}

export function outerAddress({ number, outer }: Association, end: 1 | 2): Address {
	return address(
		outer === Family.Ipv4 ? `192.0.2.${number * 4 + end}` : `2001:db8::${number}:${end}`,
	);
}

export function innerAddress(association: Association, end: 1 | 2): Address {
	const { number, inner } = association;
	if (!hasTunnel(association)) {
		return outerAddress(association, end);
	}
	return address(inner === Family.Ipv4 ? `10.${end}.${number}.1` : `fd00:${end}::${number}:1`);
}

function selectorOf(association: Association): Selector {
	const bits = association.inner === Family.Ipv4 ? 32 : 128;
	return {
		...anySelector(association.inner),
		saddr: innerAddress(association, 1),
		daddr: innerAddress(association, 2),
		prefixlenS: bits,
		prefixlenD: bits,
	};
}

export function spiOf({ number }: Association, layer: number, proto: number): number {
	return proto === IpProto.Comp ? 0x1000 + number * 8 + layer : 0xc0000000 + number * 8 + layer;
}

/** Is it a transport layer that a tunnel comes around? */
function isBetweenInnerHosts({ layers }: Association, place: number): boolean {
	const mode = layers[place]?.mode ?? Mode.Transport;
	return !isTunnel(mode) && layers.slice(place + 1).some(hidesAddresses);
}

function stateOf(association: Association, place: number): StateConfig {
	const layer = association.layers[place] as Layer;
	const { proto, mode, esn = false, windowPackets = 32, encapType, hardPackets, softBytes } = layer;
	const isInside = isBetweenInnerHosts(association, place);
	const addressOf = isInside ? innerAddress : outerAddress;
	const family = isInside ? association.inner : association.outer;
	// Output compares a selector's family with the flow's, which is the innermost one.
	const mixed = !isTunnel(mode) && association.inner !== association.outer;
	return {
		id: { daddr: addressOf(association, 2), spi: spiOf(association, place, proto), proto },
		saddr: addressOf(association, 1),
		family,
		selector:
			mode === Mode.Beet
				? selectorOf(association)
				: anySelector(mixed ? Family.Unspec : isTunnel(mode) ? association.inner : family),
		lifetime: {
			...UNLIMITED,
			...(hardPackets === undefined ? {} : { hardPacketLimit: hardPackets }),
			...(softBytes === undefined ? {} : { softByteLimit: softBytes }),
		},
		reqid: association.number + 1,
		mode,
		replayWindow: esn || windowPackets > 32 || proto === IpProto.Comp ? 0 : windowPackets,
		flags: (layer.flags ?? 0) | (esn ? StateFlag.Esn : 0) | (mixed ? StateFlag.AfUnspec : 0),
		seq: 0,
		...(esn || windowPackets > 32
			? {
					replayEsn: {
						bmpLen: Math.ceil(windowPackets / 32),
						oseq: 0xfffffff0,
						seq: 0xfffffff0,
						oseqHi: 2,
						seqHi: esn ? 2 : 0,
						replayWindow: windowPackets,
						bmp: new Uint32Array(Math.ceil(windowPackets / 32)),
					},
				}
			: {}),
		...(encapType === undefined
			? {}
			: { encap: { type: encapType, sport: 4500, dport: 4500, oa: anyAddress() } }),
		...layer.algorithms,
	};
}

function templateOf(association: Association, place: number): Template {
	const { proto, mode } = association.layers[place] as Layer;
	const tunnel = isTunnel(mode);
	return {
		id: { daddr: tunnel ? outerAddress(association, 2) : anyAddress(), spi: 0, proto },
		saddr: tunnel ? outerAddress(association, 1) : anyAddress(),
		family: isBetweenInnerHosts(association, place) ? association.inner : association.outer,
		reqid: association.number + 1,
		mode,
		share: 0,
		// What IPComp left alone comes without it.
		optional: proto === IpProto.Comp && mode === Mode.Transport ? 1 : 0,
		aalgos: 0xffffffff,
		ealgos: 0xffffffff,
		calgos: 0xffffffff,
	};
}

/** An engine that knows these associations; policies of one direction. */
export function makeEnd(
	associations: readonly Association[],
	direction: number,
	profile: KernelProfile = linux619,
): Engine {
	const engine = new Engine({
		profile,
		provider: nodeProvider(),
		random: pseudoRandom(7),
		route: (family) => routeOf(family),
		routeGeneration: () => 1,
	});
	engine.net.listeners = 0xff;
	for (const association of associations) {
		for (let place = 0; place < association.layers.length; place++) {
			const { refusal } = engine.addState(stateOf(association, place), NOW_US);
			if (refusal !== undefined) {
				throw new RangeError(`state ${place} refused: ${refusal.message ?? refusal.errno}`);
			}
		}
		const { refusal } = engine.addPolicy(
			{
				selector: selectorOf(association),
				lifetime: UNLIMITED,
				priority: 10,
				index: 0,
				direction,
				action: 0,
				flags: 0,
				share: 0,
				type: 0,
				templates: association.layers.map((layer, place) =>
					direction === Direction.Out && layer.proto === IpProto.Comp
						? { ...templateOf(association, place), optional: 0 }
						: templateOf(association, place),
				),
			},
			NOW_US,
		);
		if (refusal !== undefined) {
			throw new RangeError(`policy refused: ${refusal.message ?? refusal.errno}`);
		}
	}
	return engine;
}

const routes = new Map<number, Route>();

function routeOf(family: number): Route {
	let route = routes.get(family);
	if (route === undefined) {
		route = {
			family,
			ifindex: 2,
			loopback: false,
			kind: 'unicast',
			source: address(family === Family.Ipv4 ? '192.0.2.250' : '2001:db8::ffff'),
			mtu: 9000,
			hopLimit: 64,
			noXfrm: false,
		};
		routes.set(family, route);
	}
	return route;
}

/** A UDP packet between two addresses. */
export function udpPacket(
	family: number,
	source: Address,
	destination: Address,
	data: Uint8Array,
	tos: number = 0,
): Uint8Array {
	const header = family === Family.Ipv4 ? 20 : 40;
	const packet = new Uint8Array(header + 8 + data.length);
	const view = new DataView(packet.buffer);
	if (family === Family.Ipv4) {
		view.setUint8(0, 0x45);
		view.setUint8(1, tos);
		view.setUint16(2, packet.length);
		view.setUint16(4, 0x1234);
		view.setUint8(8, 33);
		view.setUint8(9, IpProto.Udp);
		packet.set(source.subarray(0, 4), 12);
		packet.set(destination.subarray(0, 4), 16);
		setIpv4Checksum(view, 0);
	} else {
		view.setUint32(0, 0x60000000 | (tos << 20) | 0x4321);
		view.setUint16(4, packet.length - 40);
		view.setUint8(6, IpProto.Udp);
		view.setUint8(7, 33);
		packet.set(source, 8);
		packet.set(destination, 24);
	}
	view.setUint16(header, 1111);
	view.setUint16(header + 2, 2222);
	view.setUint16(header + 4, 8 + data.length);
	packet.set(data, header + 8);
	return packet;
}

/** Makes a packet ready for `output`, as a socket would. */
export function departing(packet: Uint8Array): PacketBuffer {
	const buffer = PacketBuffer.from(packet);
	const family = (packet[0] ?? 0) >> 4 === 4 ? Family.Ipv4 : Family.Ipv6;
	const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
	const { flow } = buffer;
	buffer.family = family;
	buffer.route = routeOf(family);
	flow.family = family;
	for (let i = 0; i < (family === Family.Ipv4 ? 1 : 4); i++) {
		flow.saddr[i] = view.getInt32((family === Family.Ipv4 ? 12 : 8) + 4 * i);
		flow.daddr[i] = view.getInt32((family === Family.Ipv4 ? 16 : 24) + 4 * i);
	}
	const upper = family === Family.Ipv4 ? 20 : 40;
	flow.proto = IpProto.Udp;
	flow.sport = view.getUint16(upper);
	flow.dport = view.getUint16(upper + 2);
	flow.oif = 2;
	return buffer;
}

/** Makes a packet from the wire ready for `input`, as a host would; false when it is no IP packet. */
export function arriving(buffer: PacketBuffer): boolean {
	const { view, start } = buffer;
	const version = buffer.length === 0 ? 0 : view.getUint8(start) >> 4;
	buffer.iif = 3;
	if (version === 4 && buffer.length >= 20) {
		const octets = (view.getUint8(start) & 15) * 4;
		const total = view.getUint16(start + 2);
		if (octets < 20 || total < octets || total > buffer.length) {
			return false;
		}
		buffer.family = Family.Ipv4;
		buffer.end = start + total;
		buffer.nextHeaderAt = start + 9;
		buffer.transportAt = start + octets;
	} else if (version === 6 && buffer.length >= 40) {
		const octets = view.getUint16(start + 4);
		if (octets + IPV6_HEADER_OCTETS > buffer.length) {
			return false;
		}
		buffer.family = Family.Ipv6;
		buffer.end = start + IPV6_HEADER_OCTETS + octets;
		buffer.nextHeaderAt = start + 6;
		buffer.transportAt = start + IPV6_HEADER_OCTETS;
	} else {
		return false;
	}
	buffer.proto = view.getUint8(buffer.nextHeaderAt);
	return true;
}

/** Is the packet one for `input`, or UDP for `udpEncapInput`, or neither? */
export function kindOf(buffer: PacketBuffer): 'transform' | 'encap' | 'other' {
	switch (buffer.proto) {
		case IpProto.Esp:
		case IpProto.Ah:
		case IpProto.Comp:
		case IpProto.Ipip:
		case IpProto.Ipv6:
			return 'transform';
		case IpProto.Udp:
			return buffer.view.getUint16(buffer.transportAt + 2) === 4500 ? 'encap' : 'other';
		default:
			return 'other';
	}
}

/** Takes off everything that can be taken off, then asks the policies; true when they accept. */
export function receive(engine: Engine, buffer: PacketBuffer, encapType: number): boolean {
	for (let round = 0; round < 10; round++) {
		const kind = kindOf(buffer);
		if (kind === 'other') {
			break;
		}
		const batch = Batch.of(NOW_US, buffer);
		if (kind === 'encap') {
			engine.udpEncapInput(batch, encapType);
		} else {
			engine.input(batch);
		}
		buffer.encapType = 0;
		if (buffer.action === PacketAction.Reinject) {
			if (!arriving(buffer)) {
				return false;
			}
		} else if (buffer.action !== PacketAction.Continue) {
			return false;
		}
	}
	buffer.flow.oif = 1;
	engine.policyCheck(Batch.of(NOW_US, buffer), Direction.In);
	return buffer.action === PacketAction.Pass;
}

/** The wire's octets of a packet that was sent, or undefined when it was not. */
export function send(engine: Engine, packet: Uint8Array): Uint8Array | undefined {
	const buffer = departing(packet);
	engine.output(Batch.of(NOW_US, buffer));
	return buffer.action === PacketAction.Transformed ? buffer.copy() : undefined;
}

/** Source address of a packet. */
export function sourceOf(packet: Uint8Array): Address {
	return (packet[0] ?? 0) >> 4 === 4 ? addressFrom(packet, 12, 4) : addressFrom(packet, 8, 16);
}
