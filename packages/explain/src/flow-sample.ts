/** One flow of a set, for looking up and for showing: a likely one where there is the choice. */
import { Family, IpProto } from '@xfrm/wire/xfrm';
import { type Cubes, Dimension, type Region } from './box.ts';
import type { FlowLine } from './lookup-line.ts';

/** What all flows of a set have in common. */
export interface FlowContext {
	readonly family: number;
	readonly direction: number;
	readonly ifId: number;
	/** Empty: the first device that there is. */
	readonly device: string;
	/** SPIs of the states that they came through, outermost first. */
	readonly via: readonly number[];
}

/** Addresses of examples: documentation prefixes (RFC 5737, RFC 3849). */
const EXAMPLES: Readonly<
	Record<number, readonly [src: readonly number[], dst: readonly number[]]>
> = {
	[Family.Ipv4]: [[0xcb007101], [0xc6336401]],
	[Family.Ipv6]: [
		[0x20010db8, 0xa, 0, 1],
		[0x20010db8, 0xb, 0, 1],
	],
};

/** Usual ports, or types, of examples. */
const PORTS: Readonly<Record<number, readonly [sport: number, dport: number]>> = {
	[IpProto.Udp]: [40000, 53],
	[IpProto.Tcp]: [40000, 443],
	[IpProto.Sctp]: [40000, 5000],
	[IpProto.Icmp]: [8, 0],
	[IpProto.Icmpv6]: [128, 0],
};

/** Fills a line with one flow of a region, a likely one where there is the choice. */
export function sampleOf(region: Region, context: FlowContext, line: FlowLine): void {
	line.clear();
	const { family } = context;
	line.family = family;
	line.direction = context.direction;
	line.ifId = context.ifId;
	line.device = context.device;
	line.via.push(...context.via);
	const words = family === Family.Ipv4 ? 1 : 4;
	const [source, destination] = EXAMPLES[family] ?? [[], []];
	for (let i = 0; i < words; i++) {
		const host = i === words - 1 ? 1 : 0;
		line.saddr[i] = sampleWord(region, Dimension.Source + i, source[i] ?? 0, host);
		line.daddr[i] = sampleWord(region, Dimension.Destination + i, destination[i] ?? 0, host);
	}
	line.proto = sampleProto(region);
	const [sport, dport] = PORTS[line.proto] ?? [0, 0];
	line.sport = sampleWord(region, Dimension.Sport, sport, 0);
	line.dport = sampleWord(region, Dimension.Dport, dport, 0);
	line.mark = sampleWord(region, Dimension.Mark, 0, 0) >>> 0;
}

/** The wish, if it is in; else the first, with `host` in the bits left open. */
function sampleWord(region: Region, dimension: number, wish: number, host: number): number {
	const cubes = region[dimension] ?? null;
	if (cubes === null || hasWord(cubes, wish)) {
		return wish;
	}
	return (cubes[0] ?? 0) | (host & ~(cubes[1] ?? 0));
}

function hasWord(cubes: Cubes, word: number): boolean {
	return cubes.some((value, i) => i % 2 === 0 && ((value ^ word) & (cubes[i + 1] ?? 0)) === 0);
}

/** UDP or TCP where they are among the protocols. */
function sampleProto(region: Region): number {
	const cubes = region[Dimension.Proto] ?? null;
	const usual = [IpProto.Udp, IpProto.Tcp, IpProto.Icmp, IpProto.Icmpv6];
	return usual.find((proto) => cubes === null || hasWord(cubes, proto)) ?? cubes?.[0] ?? 0;
}
