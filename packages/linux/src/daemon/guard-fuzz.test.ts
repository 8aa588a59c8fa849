// Random policies and packets for guard-filter.isolated.test.ts; no test of its own. A small world, so that most
// policies overlap.
import type { Engine, XfrmPolicy } from '@xfrm/engine';
import {
	checksumAdd,
	checksumFold,
	decodeFlow,
	ipv4PseudoSum,
	ipv6PseudoSum,
	PacketBuffer,
} from '@xfrm/wire';
import {
	anySelector,
	DefaultAction,
	Direction,
	Family,
	IpProto,
	Mode,
	PolicyAction,
	type PolicyConfig,
	PolicyType,
	parseAddress,
	type Selector,
	type Template,
	UNLIMITED,
} from '@xfrm/wire/xfrm';
import { protects } from './guard-entry.ts';

/** mulberry32. */
export class Dice {
	#state: number;

	constructor(seed: number) {
		this.#state = seed >>> 0;
	}

	/** Below `sides`. */
	roll(sides: number): number {
		this.#state = (this.#state + 0x6d2b79f5) >>> 0;
		let t = this.#state;
		t = Math.imul(t ^ (t >>> 15), t | 1);
		t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
		return ((t ^ (t >>> 14)) >>> 0) % sides;
	}

	of<T>(choices: readonly T[]): T {
		return choices[this.roll(choices.length)] as T;
	}

	/** Once in so many times. */
	rarely(times: number): boolean {
		return this.roll(times) === 0;
	}
}

/** Marks that packets get by their DSCP, in the bed's own table: 0, 1 and 2. */
export const MARKS = [0, 7, 0x107] as const;

const NETS = { 2: ['10.1.0.0', '10.2.0.0'], 10: ['2001:db8:1::', '2001:db8:2::'] } as const;
const LOCAL = { 2: '10.3.0.0', 10: '2001:db8:3::' } as const;

function address(net: string, host: number): Uint8Array {
	const parsed = parseAddress(net);
	const octets = (parsed?.address ?? new Uint8Array(16)).slice();
	octets[parsed?.family === Family.Ipv4 ? 3 : 15] = host;
	return octets;
}

const template: Template = {
	id: { daddr: address('192.0.2.9', 9), spi: 0, proto: 50 },
	saddr: address('192.0.2.1', 1),
	family: Family.Ipv4,
	reqid: 1,
	mode: Mode.Tunnel,
	share: 0,
	optional: 0,
	aalgos: -1 >>> 0,
	ealgos: -1 >>> 0,
	calgos: -1 >>> 0,
};

/** What a run's policies may be like. */
export interface World {
	readonly direction: Direction;
	/** Policies that look at interfaces: this one, or one that there is not. */
	readonly devices: readonly number[];
	/** What nf_tables cannot say exactly, too. */
	readonly inexact: boolean;
}

export function randomPolicy(dice: Dice, world: World): PolicyConfig {
	const allow = dice.rarely(3);
	const block = !allow && dice.rarely(4);
	const mark = dice.rarely(4)
		? {
				mark: dice.of([
					{ v: 7, m: 0xff },
					{ v: 7, m: -1 >>> 0 },
					{ v: 0x100, m: 0x100 },
				]),
			}
		: {};
	return {
		selector: randomSelector(dice, world),
		lifetime: UNLIMITED,
		priority: dice.of([1, 2, 2, 3, 4]),
		index: 0,
		direction: world.direction,
		action: block ? PolicyAction.Block : PolicyAction.Allow,
		flags: 0,
		share: 0,
		type: dice.rarely(6) ? PolicyType.Sub : PolicyType.Main,
		templates: allow || block ? [] : [template],
		...mark,
	};
}

function randomSelector(dice: Dice, world: World): Selector {
	const family = dice.of([Family.Ipv4, Family.Ipv6]);
	const bits = family === Family.Ipv4 ? 32 : 128;
	const [source, destination] = netsOf(world, family);
	const lengths = [0, 0, bits - 16, bits - 3, bits - 2, bits - 1, bits];
	const ports = dice.rarely(2) ? {} : randomPorts(dice, family, world.inexact);
	return {
		...anySelector(family),
		saddr: address(source, dice.roll(8)),
		prefixlenS: dice.of(lengths),
		daddr: address(destination, dice.roll(8)),
		prefixlenD: dice.of(lengths),
		...ports,
		...(dice.rarely(6) && world.devices.length > 0 ? { ifindex: dice.of(world.devices) } : {}),
	};
}

function netsOf({ direction }: World, family: 2 | 10): readonly [string, string] {
	const [source, destination] = NETS[family];
	return [source, direction === Direction.In ? LOCAL[family] : destination];
}

function randomPorts(dice: Dice, family: number, inexact: boolean): Partial<Selector> {
	const icmp = family === Family.Ipv4 ? IpProto.Icmp : IpProto.Icmpv6;
	const proto = dice.of([
		IpProto.Tcp,
		IpProto.Udp,
		IpProto.Sctp,
		icmp,
		99,
		IpProto.Dccp,
		...(inexact ? [0, IpProto.Gre] : []),
	]);
	const mask = (): number => dice.of([0, 0, 0xffff, 0xfffe, 0xff00, 0x00ff]);
	return {
		proto,
		sport: dice.roll(4),
		sportMask: mask(),
		dport: dice.roll(4),
		dportMask: mask(),
	};
}

/** A packet that ends with its number. */
export function randomPacket(dice: Dice, world: World, number: number): Uint8Array {
	const family = dice.of([Family.Ipv4, Family.Ipv6]);
	const icmp = family === Family.Ipv4 ? IpProto.Icmp : IpProto.Icmpv6;
	const proto = dice.of([IpProto.Tcp, IpProto.Udp, IpProto.Sctp, icmp, 99, IpProto.Gre]);
	const upper = new Uint8Array(28);
	if (proto === icmp) {
		upper.set([dice.roll(4), dice.roll(4)]);
	} else if (proto === IpProto.Gre) {
		upper.set([0x20, 0, 8, 0, 0, dice.roll(4), 0, dice.roll(4)]);
	} else {
		upper.set([0, dice.roll(4), 0, dice.roll(4)]);
	}
	new DataView(upper.buffer).setUint32(24, number);
	const [source, destination] = netsOf(world, family);
	const [from, to] = [address(source, dice.roll(8)), address(destination, dice.roll(8))];
	const dscp = dice.roll(MARKS.length);
	const fragment = world.direction !== Direction.In && dice.rarely(6) ? dice.roll(2) + 1 : 0;
	return family === Family.Ipv4
		? ipv4Packet(proto, upper, from, to, dscp, fragment)
		: ipv6Packet(proto, upper, from, to, dscp, fragment);
}

/** @param fragment 0 none, 1 the first, 2 a later one */
function ipv4Packet(
	proto: number,
	upper: Uint8Array,
	from: Uint8Array,
	to: Uint8Array,
	dscp: number,
	fragment: number,
): Uint8Array {
	const bytes = new Uint8Array(20 + upper.length);
	bytes.set([0x45, dscp << 2, 0, bytes.length, 1, 2, 0, 0, 64, proto]);
	bytes.set(fragment === 0 ? [0, 0] : fragment === 1 ? [0x20, 0] : [0, 9], 6);
	bytes.set(from.subarray(0, 4), 12);
	bytes.set(to.subarray(0, 4), 16);
	bytes.set(upper, 20);
	new DataView(bytes.buffer).setUint16(10, checksumFold(checksumAdd(bytes, 0, 20, 0)));
	return withChecksum(bytes, 20, proto, ipv4PseudoSum);
}

function ipv6Packet(
	proto: number,
	upper: Uint8Array,
	from: Uint8Array,
	to: Uint8Array,
	dscp: number,
	fragment: number,
): Uint8Array {
	const upperAt = fragment === 0 ? 40 : 48;
	const bytes = new Uint8Array(upperAt + upper.length);
	bytes.set([0x60, 0, 0, 0, 0, bytes.length - 40, fragment === 0 ? proto : 44, 64]);
	new DataView(bytes.buffer).setUint16(0, 0x6000 | (dscp << 6));
	bytes.set(from, 8);
	bytes.set(to, 24);
	if (fragment !== 0) {
		bytes.set([proto, 0, 0, fragment === 1 ? 1 : 0x48, 0, 0, 0, 1], 40);
	}
	bytes.set(upper, upperAt);
	return withChecksum(bytes, upperAt, proto, ipv6PseudoSum);
}

/** The kernel looks at those of ICMPv6. */
function withChecksum(
	bytes: Uint8Array,
	at: number,
	proto: number,
	pseudo: typeof ipv6PseudoSum,
): Uint8Array {
	if (proto === IpProto.Icmpv6) {
		const view = new DataView(bytes.buffer);
		const sum = pseudo(view, 0, bytes.length - at, proto);
		view.setUint16(at + 2, checksumFold(checksumAdd(bytes, at, bytes.length, sum)));
	}
	return bytes;
}

/** A packet as the engine meets it. */
export function metPacket(bytes: Uint8Array): PacketBuffer {
	const packet = PacketBuffer.from(bytes.slice());
	const ipv4 = (bytes[0] ?? 0) >> 4 === 4;
	packet.family = ipv4 ? Family.Ipv4 : Family.Ipv6;
	const dscp = (((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0)) >> (ipv4 ? 2 : 6);
	packet.mark = MARKS[dscp & 0xf] ?? 0;
	return packet;
}

/** The policy that decides over an outbound packet, 'default' if none does and the default blocks. */
export function outbound(
	engine: Engine,
	bytes: Uint8Array,
): { readonly policy: XfrmPolicy | undefined; readonly isProtected: boolean } {
	const packet = metPacket(bytes);
	decodeFlow(packet.flow, packet, false);
	const { spd, defaults } = engine.net;
	const sub = spd.best(packet.flow, Direction.Out, PolicyType.Sub, 0) ?? undefined;
	if (sub !== undefined && protects(sub)) {
		return { policy: sub, isProtected: true };
	}
	const main = spd.best(packet.flow, Direction.Out, PolicyType.Main, 0) ?? undefined;
	if (main !== undefined) {
		return { policy: main, isProtected: protects(main) };
	}
	const blocks = sub === undefined && defaults[Direction.Out] === DefaultAction.Block;
	return { policy: sub, isProtected: blocks };
}
