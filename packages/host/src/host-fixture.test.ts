/**
 * What the tests of this room share: a router with the devices `lan` and `wan`, packets put together
 * field by field, and effects as text that reads like a capture. Holds no tests itself.
 */
import assert from 'node:assert/strict';
import {
	type Answer,
	Engine,
	type EngineOptions,
	type KernelProfile,
	linux619,
	verdictName,
} from '@xfrm/engine';
import {
	checksumAdd,
	checksumFold,
	fillIcmpChecksum,
	fillIcmpv6Checksum,
	formatHex,
	ipv4PseudoSum,
	ipv6PseudoSum,
	parseHex,
	setIpv4Checksum,
	writeIpv4,
	writeIpv6,
	writeUdp,
} from '@xfrm/wire';
import {
	type Address,
	anySelector,
	formatAddress,
	type PolicyConfig,
	parseAddress,
	type Selector,
	UNLIMITED,
} from '@xfrm/wire/xfrm';
import { Host } from './host.ts';

export const NOW_US = 1_764_000_000_000_000;

/** Does no cryptography at all: no state can be made with it, which is enough for plain IP. */
const noCrypto: EngineOptions['provider'] = {
	name: 'none',
	supports: () => false,
	espKey: () => undefined,
	macKey: () => undefined,
	compressor: () => undefined,
	seal: () => undefined,
	open: () => undefined,
};

export function address(text: string): Address {
	const parsed = parseAddress(text);
	assert.ok(parsed !== undefined, `no address: ${text}`);
	return parsed.address;
}

export function familyOf(text: string): 2 | 10 {
	return text.includes(':') ? 10 : 2;
}

/** Splits `10.0.0.1/24`. */
export function prefix(text: string): { family: 2 | 10; address: Address; prefixLength: number } {
	const [ip = '', length = ''] = text.split('/');
	return { family: familyOf(ip), address: address(ip), prefixLength: Number(length) };
}

/** Adds an address as `ip address add TEXT dev DEVICE` does. */
export function addAddress(host: Host, device: string, text: string): void {
	assert.equal(host.addAddress({ device, ...prefix(text) }), undefined, text);
}

/** Adds a route as `ip route add TEXT …` does. */
export function addRoute(host: Host, text: string, rest: object): void {
	const { family, address: destination, prefixLength } = prefix(text);
	assert.equal(host.addRoute({ family, destination, prefixLength, ...rest }), undefined, text);
}

/** A host that knows only `lo`. */
export function emptyHost(profile: KernelProfile = linux619): Host {
	const random = (bytes: Uint8Array): unknown => bytes.fill(0x5a);
	return new Host({
		engine: (links) => new Engine({ ...links, profile, provider: noCrypto, random }),
		random,
	});
}

/**
 * A router: lan 10.0.0.1/24 and 2001:db8:a::1/64, wan 192.0.2.1/24 and 2001:db8:b::1/64, routes to
 * 10.9.0.0/16 and 2001:db8:c::/48 by wan; echo is not answered.
 */
export function router(profile: KernelProfile = linux619): Host {
	const host = emptyHost(profile);
	for (const name of ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding']) {
		assert.equal(host.setSysctl(name, 1), undefined);
	}
	host.setSysctl('net.ipv4.icmp_echo_ignore_all', 1);
	host.setSysctl('net.ipv6.icmp.echo_ignore_all', 1);
	for (const device of ['lan', 'wan']) {
		assert.equal(host.addDevice(device).refusal, undefined);
		host.setDevice(device, { up: true });
	}
	addAddress(host, 'lan', '10.0.0.1/24');
	addAddress(host, 'lan', '2001:db8:a::1/64');
	addAddress(host, 'wan', '192.0.2.1/24');
	addAddress(host, 'wan', '2001:db8:b::1/64');
	addRoute(host, '10.9.0.0/16', { device: 'wan' });
	addRoute(host, '2001:db8:c::/48', { device: 'wan' });
	return host;
}

export interface PacketFields {
	readonly proto?: number;
	readonly ttl?: number;
	readonly tos?: number;
	readonly id?: number;
	/** Flags and offset (IPv4). */
	readonly fragmentWord?: number;
	readonly options?: Uint8Array;
}

/** An IP packet around a payload. */
export function ip(
	source: string,
	destination: string,
	payload: Uint8Array,
	fields: PacketFields = {},
): Uint8Array {
	const { proto = 253, ttl = 64, tos = 0, id = 0x1234, fragmentWord = 0 } = fields;
	const options = fields.options ?? new Uint8Array(0);
	const ends = { source: address(source), destination: address(destination) };
	const ipv4 = familyOf(source) === 2;
	const headerOctets = ipv4 ? 20 + options.length : 40;
	const packet = new Uint8Array(headerOctets + payload.length);
	const view = new DataView(packet.buffer);
	if (ipv4) {
		writeIpv4(view, 0, {
			tos,
			totalLength: packet.length,
			id,
			fragmentWord,
			ttl,
			protocol: proto,
			options,
			...ends,
		});
	} else {
		writeIpv6(view, 0, {
			trafficClass: tos,
			flowLabel: 0,
			payloadLength: payload.length,
			nextHeader: proto,
			hopLimit: ttl,
			...ends,
		});
	}
	packet.set(payload, headerOctets);
	return packet;
}

/** A UDP packet with its checksum. */
export function udp(
	source: string,
	destination: string,
	ports: readonly [sport: number, dport: number],
	payload: Uint8Array,
	fields: PacketFields = {},
): Uint8Array {
	const octets = 8 + payload.length;
	const datagram = new Uint8Array(octets);
	writeUdp(new DataView(datagram.buffer), 0, ports[0], ports[1], octets);
	datagram.set(payload, 8);
	const packet = ip(source, destination, datagram, { ...fields, proto: 17 });
	const view = new DataView(packet.buffer);
	const at = packet.length - octets;
	const pseudo =
		familyOf(source) === 2
			? ipv4PseudoSum(view, 0, octets, 17)
			: ipv6PseudoSum(view, 0, octets, 17);
	view.setUint16(at + 6, checksumFold(checksumAdd(packet, at, packet.length, pseudo)) || 0xffff);
	return packet;
}

/** An ICMP or ICMPv6 message: type, code, the four octets behind the checksum, body. */
export function icmp(
	source: string,
	destination: string,
	message: readonly [type: number, code: number, rest: number],
	body: Uint8Array,
	fields: PacketFields = {},
): Uint8Array {
	const [type, code, rest] = message;
	const payload = new Uint8Array(8 + body.length);
	payload[0] = type;
	payload[1] = code;
	new DataView(payload.buffer).setUint32(4, rest);
	payload.set(body, 8);
	const ipv4 = familyOf(source) === 2;
	const packet = ip(source, destination, payload, { ...fields, proto: ipv4 ? 1 : 58 });
	const view = new DataView(packet.buffer);
	const at = packet.length - payload.length;
	if (ipv4) {
		fillIcmpChecksum(packet, view, at, packet.length);
	} else {
		fillIcmpv6Checksum(packet, view, 0, at, packet.length);
	}
	return packet;
}

/** Makes the header checksum right again after a field was changed. */
export function resealed(packet: Uint8Array): Uint8Array {
	setIpv4Checksum(new DataView(packet.buffer), 0);
	return packet;
}

export function hex(text: string): Uint8Array {
	const parsed = parseHex(text);
	assert.ok(parsed instanceof Uint8Array, `not hex: ${text}`);
	return parsed;
}

/** Octets 0, 1, 2 … */
export function counting(octets: number): Uint8Array {
	return Uint8Array.from({ length: octets }, (_, i) => i & 255);
}

/** A packet as a line: ends, TTL, protocol; ICMP type, code, rest and length; fragments. */
export function describe(packet: Uint8Array): string {
	const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
	const ipv4 = view.getUint8(0) >> 4 === 4;
	const family = ipv4 ? 2 : 10;
	const at = ipv4 ? (view.getUint8(0) & 15) * 4 : 40;
	const end = (from: number): string => {
		const octets = new Uint8Array(16);
		octets.set(packet.subarray(from, from + (ipv4 ? 4 : 16)));
		return formatAddress(octets, family);
	};
	const ends = ipv4 ? `${end(12)} > ${end(16)}` : `${end(8)} > ${end(24)}`;
	const proto = view.getUint8(ipv4 ? 9 : 6);
	const ttl = view.getUint8(ipv4 ? 8 : 7);
	const head = `${ends} ttl ${ttl}`;
	if (ipv4 && (view.getUint16(6) & 0x3fff) !== 0) {
		const more = (view.getUint16(6) & 0x2000) === 0 ? '' : '+';
		const offset = (view.getUint16(6) & 0x1fff) * 8;
		return `${head} fragment ${offset}${more} length ${packet.length}`;
	}
	if (proto === 44) {
		const word = view.getUint16(at + 2);
		return `${head} fragment ${word & 0xfff8}${word & 1 ? '+' : ''} length ${packet.length}`;
	}
	if (proto === 1 || proto === 58) {
		const rest = view.getUint32(at + 4);
		return `${head} icmp ${view.getUint8(at)}/${view.getUint8(at + 1)} ${rest} length ${packet.length}`;
	}
	return `${head} proto ${proto} length ${packet.length}`;
}

/** Everything that came out of the host, a line each. */
export function effects(host: Host): string[] {
	const lines: string[] = [];
	for (let effect = host.pollEffect(); effect !== undefined; effect = host.pollEffect()) {
		if (effect.kind === 'emit') {
			lines.push(`${effect.device}: ${describe(effect.packet)}`);
		} else if (effect.kind === 'deliver') {
			const { socketId, family, source, destination, sport, dport, payload } = effect;
			const ports = sport === 0 && dport === 0 ? '' : ` ${sport} > ${dport}`;
			const ends = `${formatAddress(source, family)} > ${formatAddress(destination, family)}`;
			lines.push(`socket ${socketId}: ${ends}${ports} ${payload.length} octets`);
		} else if (effect.kind === 'socket-error') {
			const { socketId, error, icmpType, icmpCode } = effect;
			lines.push(`socket ${socketId}: error ${error} icmp ${icmpType}/${icmpCode}`);
		}
	}
	return lines;
}

/** The packets that left, as octets. */
export function emitted(host: Host): Uint8Array[] {
	const packets: Uint8Array[] = [];
	for (let effect = host.pollEffect(); effect !== undefined; effect = host.pollEffect()) {
		if (effect.kind === 'emit') {
			packets.push(effect.packet);
		}
	}
	return packets;
}

/** Counters of XFRM that are not zero. */
export function counted(host: Host): Record<string, number> {
	const found: Record<string, number> = {};
	for (const [verdict, count] of host.engine.net.counters.entries()) {
		if (count !== 0) {
			found[verdictName(verdict) ?? ''] = count;
		}
	}
	return found;
}

/** Opens a raw or UDP socket that must open. */
export function opened(answer: Answer<number>): number {
	assert.ok(answer.value !== undefined, 'the socket did not open');
	return answer.value;
}

/** A policy with sensible defaults. */
export function policy(fields: {
	readonly direction: number;
	readonly action?: number;
	readonly selector?: Partial<Selector>;
	readonly family?: number;
}): PolicyConfig {
	const { direction, action = 0, selector = {}, family = 2 } = fields;
	return {
		selector: { ...anySelector(family), ...selector },
		lifetime: UNLIMITED,
		priority: 0,
		index: 0,
		direction,
		action,
		flags: 0,
		share: 0,
		type: 0,
		templates: [],
	};
}

/** For messages: the packet in hex. */
export const text: (packet: Uint8Array) => string = formatHex;
