/**
 * What a selector looks at, as a rule of nf_tables: a packet's fields are loaded, masked, and looked up in a set.
 * Selectors that look at the same bits share the rule and the set, which has a key for each.
 *
 *     key    source | destination | protocol | source port | destination port | mark | output device
 *            each only where a selector looks at it, on a boundary of four octets
 *
 * As in the engine (P-26), a fragment has no ports, and reads as 0; type and code of ICMP are read in a packet
 * that has all eight octets of its header. Where nf_tables sees something else than the engine, what protects is
 * made wider and what lets go is left out: ports of GRE and of no certain protocol, and outward the device.
 * Of IPv6 it looks through an AH for the protocol, and takes a destination options header behind a fragment's for none.
 */
import { SelectorWord, type XfrmPolicy } from '@xfrm/engine';
import { Direction, Family, IpProto } from '@xfrm/wire/xfrm';
import { DataType, MetaKey, PayloadBase } from '../nftables/nft-abi.ts';
import type { NftBatch } from '../nftables/nft-batch.ts';
import {
	loadExtensionPresence,
	loadMeta,
	loadPayload,
	machineU32,
	maskRegister,
	whenDifferent,
	whenEqual,
} from '../nftables/nft-expression.ts';

/** Where ports are read: nowhere, in a header with ports, as type and code; or there is a fragment without. */
const Ports = { None: 0, Upper: 1, Icmp: 2, Fragment: 3 } as const;
type Ports = (typeof Ports)[keyof typeof Ports];

/** Of most policies. */
const WITHOUT_PORTS: readonly Ports[] = [Ports.None];
const WITH_PORTS: ReadonlySet<number> = new Set([
	IpProto.Tcp,
	IpProto.Udp,
	IpProto.Sctp,
	IpProto.UdpLite,
]);
/** More fragments, and offset, of an IPv4 header's octets 6 and 7. */
const FRAGMENT_BITS = Uint8Array.of(0x3f, 0xff);
/** Bits of type and code among those of ports. */
const TYPE_AND_CODE = 0x00ff_00ff;
/** `lo`, which packets that are delivered count as going out by (P-29). */
const LOOPBACK_INDEX = 1;

/** Bits that a set's keys are made of. */
export interface Shape {
	readonly family: number;
	readonly prefixS: number;
	readonly prefixD: number;
	readonly protocol: boolean;
	readonly ports: Ports;
	/** Of source in the upper half, as in the selector's words. */
	readonly portMasks: number;
	readonly markMask: number;
	readonly device: boolean;
}

/** The shapes of a policy's keys; none when nothing can be said of it exactly, and that is safe. */
export function shapesOf(policy: XfrmPolicy, protects: boolean): readonly Shape[] {
	const { words, family, markMask, direction } = policy;
	const prefixes = words[SelectorWord.Shape] ?? 0;
	const ifindex = words[SelectorWord.Ifindex] ?? 0;
	if (ifindex !== 0) {
		const never = direction === Direction.In && ifindex !== LOOPBACK_INDEX;
		if (never || (direction === Direction.Out && !protects)) {
			return [];
		}
	}
	const shapes: Shape[] = [];
	for (const ports of portCases(policy, protects)) {
		shapes.push({
			family,
			prefixS: prefixes & 0xff,
			prefixD: (prefixes >>> 8) & 0xff,
			protocol: (words[SelectorWord.Proto] ?? 0) !== 0,
			ports,
			portMasks: maskedPorts(ports, words[SelectorWord.PortMasks] ?? 0),
			markMask,
			device: ifindex !== 0 && direction === Direction.Fwd,
		});
	}
	return shapes;
}

function maskedPorts(ports: Ports, masks: number): number {
	if (ports === Ports.Upper) {
		return masks;
	}
	return ports === Ports.Icmp ? masks & TYPE_AND_CODE : 0;
}

function portCases({ words, family }: XfrmPolicy, protects: boolean): readonly Ports[] {
	const masks = words[SelectorWord.PortMasks] ?? 0;
	if (masks === 0) {
		return WITHOUT_PORTS;
	}
	const proto = words[SelectorWord.Proto] ?? 0;
	const wanted = (words[SelectorWord.Ports] ?? 0) & masks;
	const ofFragments = wanted === 0 ? [Ports.Fragment] : [];
	if (WITH_PORTS.has(proto)) {
		return [Ports.Upper, ...ofFragments];
	}
	if (proto === (family === Family.Ipv4 ? IpProto.Icmp : IpProto.Icmpv6)) {
		if ((wanted & ~TYPE_AND_CODE) !== 0) {
			return [];
		}
		return (masks & TYPE_AND_CODE) === 0 ? [Ports.None] : [Ports.Icmp, ...ofFragments];
	}
	if (proto === 0 || proto === IpProto.Gre) {
		return protects ? [Ports.None] : [];
	}
	return wanted === 0 ? [Ports.None] : [];
}

/** A name for the shape, the same for equal ones. */
export function shapeId(shape: Shape): string {
	const { family, prefixS, prefixD, protocol, ports, portMasks, markMask, device } = shape;
	return `${family} ${prefixS} ${prefixD} ${protocol} ${ports} ${portMasks} ${markMask} ${device}`;
}

export function isSameShape(a: Shape, b: Shape): boolean {
	return (
		a.prefixS === b.prefixS &&
		a.prefixD === b.prefixD &&
		a.family === b.family &&
		a.protocol === b.protocol &&
		a.ports === b.ports &&
		a.portMasks === b.portMasks &&
		a.markMask === b.markMask &&
		a.device === b.device
	);
}

/** One part of a key. */
interface Field {
	readonly type: number;
	readonly octets: number;
	load(batch: NftBatch, register: number): void;
	/** undefined: all bits. */
	readonly mask: Uint8Array | undefined;
	/** Writes what the policy wants; unmasked. */
	put(policy: XfrmPolicy, view: DataView, at: number): void;
}

function prefixMask(octets: number, bits: number): Uint8Array | undefined {
	if (bits === 8 * octets) {
		return undefined;
	}
	const mask = new Uint8Array(octets);
	for (let i = 0; i < octets; i++) {
		mask[i] = 0xff00 >>> Math.min(8, Math.max(0, bits - 8 * i));
	}
	return mask;
}

function addressField(family: number, from: number, bits: number): Field {
	const ipv4 = family === Family.Ipv4;
	const octets = ipv4 ? 4 : 16;
	const isSource = from === SelectorWord.Saddr;
	const offset = ipv4 ? (isSource ? 12 : 16) : isSource ? 8 : 24;
	return {
		type: ipv4 ? DataType.Ipv4Address : DataType.Ipv6Address,
		octets,
		load: (batch, register) => loadPayload(batch, PayloadBase.Network, offset, octets, register),
		mask: prefixMask(octets, bits),
		put: ({ words }, view, at) => {
			for (let i = 0; i < octets; i += 4) {
				view.setInt32(at + i, words[from + i / 4] ?? 0);
			}
		},
	};
}

function portField(mask: number, offset: number, shift: number): Field {
	return {
		type: DataType.Service,
		octets: 2,
		load: (batch, register) => loadPayload(batch, PayloadBase.Transport, offset, 2, register),
		mask: mask === 0xffff ? undefined : Uint8Array.of(mask >>> 8, mask),
		put: ({ words }, view, at) => view.setUint16(at, (words[SelectorWord.Ports] ?? 0) >>> shift),
	};
}

function icmpField(type: number, mask: number, offset: number, shift: number): Field {
	return {
		type,
		octets: 1,
		load: (batch, register) => loadPayload(batch, PayloadBase.Transport, offset, 1, register),
		mask: mask === 0xff ? undefined : Uint8Array.of(mask),
		put: ({ words }, view, at) => view.setUint8(at, (words[SelectorWord.Ports] ?? 0) >>> shift),
	};
}

const protocolField: Field = {
	type: DataType.Protocol,
	octets: 1,
	load: (batch, register) => loadMeta(batch, MetaKey.L4Proto, register),
	mask: undefined,
	put: ({ words }, view, at) => view.setUint8(at, words[SelectorWord.Proto] ?? 0),
};

const deviceField: Field = {
	type: DataType.InterfaceIndex,
	octets: 4,
	load: (batch, register) => loadMeta(batch, MetaKey.Oif, register),
	mask: undefined,
	put: ({ words }, view, at) => view.setInt32(at, words[SelectorWord.Ifindex] ?? 0, true),
};

/** A key must have something; all packets of the rule have this. */
const familyField: Field = {
	type: DataType.NfProto,
	octets: 1,
	load: (batch, register) => loadMeta(batch, MetaKey.NfProto, register),
	mask: undefined,
	put: ({ family }, view, at) => view.setUint8(at, family),
};

function markField(mask: number): Field {
	return {
		type: DataType.Mark,
		octets: 4,
		load: (batch, register) => loadMeta(batch, MetaKey.Mark, register),
		mask: mask === -1 ? undefined : machineU32(mask),
		put: ({ markValue }, view, at) => view.setInt32(at, markValue, true),
	};
}

function portFields({ family, ports, portMasks }: Shape): readonly Field[] {
	const source = portMasks >>> 16;
	const destination = portMasks & 0xffff;
	const fields: Field[] = [];
	if (ports === Ports.Icmp) {
		const v4 = family === Family.Ipv4;
		if (source !== 0) {
			fields.push(icmpField(v4 ? DataType.IcmpType : DataType.Icmpv6Type, source, 0, 16));
		}
		if (destination !== 0) {
			fields.push(icmpField(v4 ? DataType.IcmpCode : DataType.Icmpv6Code, destination, 1, 0));
		}
	} else if (ports === Ports.Upper) {
		if (source !== 0) {
			fields.push(portField(source, 0, 16));
		}
		if (destination !== 0) {
			fields.push(portField(destination, 2, 0));
		}
	}
	return fields;
}

function fieldsOf(shape: Shape): readonly Field[] {
	const { family, prefixS, prefixD, protocol, markMask, device } = shape;
	const fields = [
		...(prefixS === 0 ? [] : [addressField(family, SelectorWord.Saddr, prefixS)]),
		...(prefixD === 0 ? [] : [addressField(family, SelectorWord.Daddr, prefixD)]),
		...(protocol ? [protocolField] : []),
		...portFields(shape),
		...(markMask === 0 ? [] : [markField(markMask)]),
		...(device ? [deviceField] : []),
	];
	return fields.length === 0 ? [familyField] : fields;
}

function paddedOctets({ octets }: Field): number {
	return (octets + 3) & ~3;
}

/** A shape made ready: its rule's conditions, and keys. */
export class ShapeKeys {
	readonly keyOctets: number;
	/** As nft(8) has it: six bits a type. What does not fit is not told. */
	readonly keyType: number;
	readonly shape: Shape;
	readonly #fields: readonly Field[];
	readonly #key: Buffer;
	readonly #view: DataView;

	constructor(shape: Shape) {
		this.shape = shape;
		this.#fields = fieldsOf(shape);
		this.keyOctets = this.#fields.reduce((sum, field) => sum + paddedOctets(field), 0);
		this.keyType = this.#fields.reduce((joined, { type }) => ((joined << 6) | type) >>> 0, 0);
		this.#key = Buffer.alloc(this.keyOctets);
		this.#view = new DataView(this.#key.buffer, this.#key.byteOffset);
	}

	/** The key of a policy of this shape; valid until the next. */
	keyOf(policy: XfrmPolicy): Buffer {
		this.#key.fill(0);
		let at = 0;
		for (const field of this.#fields) {
			field.put(policy, this.#view, at);
			for (let i = 0; field.mask !== undefined && i < field.octets; i++) {
				this.#key[at + i] = (this.#key[at + i] ?? 0) & (field.mask[i] ?? 0);
			}
			at += paddedOctets(field);
		}
		return this.#key;
	}

	/** Writes what a rule does up to the lookup: all packets that go on have their key in the registers. */
	load(batch: NftBatch): void {
		const { family, ports } = this.shape;
		loadMeta(batch, MetaKey.NfProto);
		whenEqual(batch, Uint8Array.of(family));
		if (ports !== Ports.None) {
			whenFragment(batch, family, ports === Ports.Fragment);
		}
		if (ports === Ports.Icmp) {
			// It has all of its header.
			loadPayload(batch, PayloadBase.Transport, 4, 4);
		}
		let register = 0;
		for (const field of this.#fields) {
			field.load(batch, register);
			if (field.mask !== undefined) {
				maskRegister(batch, field.mask, register);
			}
			register += paddedOctets(field) / 4;
		}
	}
}

function whenFragment(batch: NftBatch, family: number, isOne: boolean): void {
	const differs = isOne ? whenDifferent : whenEqual;
	if (family === Family.Ipv4) {
		loadPayload(batch, PayloadBase.Network, 6, 2);
		maskRegister(batch, FRAGMENT_BITS);
		differs(batch, new Uint8Array(2));
	} else {
		loadExtensionPresence(batch, IpProto.Fragment);
		differs(batch, new Uint8Array(1));
	}
}
