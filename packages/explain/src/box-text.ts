/** Sets of flows in the words of a selector: prefixes, ranges, or `any but` what is not among them. */
import { Family, formatAddress, IpProto } from '@xfrm/wire/xfrm';
import { type Cubes, Dimension, type Region, rangeCubes } from './box.ts';
import { hexNumber, portWords, protocolName } from './names.ts';

/** Items of a list that are written out. */
const LISTED_MAX = 4;
/** Combinations of the words of IPv6 addresses that are looked at. */
const COMBINED_MAX = 64;

const WITH_PORTS: ReadonlySet<number> = new Set([
	IpProto.Icmp,
	IpProto.Tcp,
	IpProto.Udp,
	IpProto.Gre,
	IpProto.Icmpv6,
	IpProto.Sctp,
	IpProto.MobilityHeader,
	IpProto.UdpLite,
]);

/** `src 10.3.0.0/16 dst any but 10.0.0.0/8 proto udp dport 1-1023`; `any flow` for everything. */
export function regionText(region: Region, family: number): string {
	const protos = protosOf(region);
	const [sport, dport] = portWords(protos.length === 1 ? (protos[0] ?? 0) : 0);
	const hasPorts = protos.length === 0 || protos.some((proto) => WITH_PORTS.has(proto));
	const parts = [
		addressText('src', region, Dimension.Source, family),
		addressText('dst', region, Dimension.Destination, family),
		protoText(protos),
		...(hasPorts
			? [
					portText(sport, region[Dimension.Sport] ?? null),
					portText(dport, region[Dimension.Dport] ?? null),
				]
			: []),
		markText(region[Dimension.Mark] ?? null),
	];
	const text = parts.filter((part) => part !== '').join(' ');
	return text === '' ? `any ${family === Family.Ipv4 ? 'IPv4' : 'IPv6'} flow` : text;
}

function listed(name: string, items: readonly string[], others: readonly string[]): string {
	const [shown, lead] =
		others.length > 0 && others.length < items.length ? [others, 'any but '] : [items, ''];
	const more = shown.length > LISTED_MAX ? ` and ${shown.length - LISTED_MAX} more` : '';
	return `${name} ${lead}${shown.slice(0, LISTED_MAX).join(', ')}${more}`;
}

type Range = readonly [from: number, to: number];

/** Cubes as ranges of numbers, in order and joined where they touch; undefined when they are not prefixes. */
function rangesOf(cubes: Cubes, bits: number): Range[] | undefined {
	const all = bits === 32 ? 0xffffffff : (1 << bits) - 1;
	const ranges: [number, number][] = [];
	for (let i = 0; i < cubes.length; i += 2) {
		const open = (~(cubes[i + 1] ?? 0) & all) >>> 0;
		if ((open & (open + 1)) !== 0) {
			return undefined;
		}
		const from = ((cubes[i] ?? 0) & all) >>> 0;
		ranges.push([from, from + open]);
	}
	ranges.sort((a, b) => a[0] - b[0]);
	const joined: [number, number][] = [];
	for (const range of ranges) {
		const last = joined[joined.length - 1];
		if (last !== undefined && range[0] === last[1] + 1) {
			last[1] = range[1];
		} else {
			joined.push(range);
		}
	}
	return joined;
}

/** Everything that is in none of the ranges. */
function gapsOf(ranges: readonly Range[], bits: number): Range[] {
	const gaps: Range[] = [];
	let at = 0;
	for (const [from, to] of ranges) {
		if (from > at) {
			gaps.push([at, from - 1]);
		}
		at = to + 1;
	}
	const end = 2 ** bits - 1;
	return at <= end ? [...gaps, [at, end]] : gaps;
}

function addressText(name: string, region: Region, dimension: number, family: number): string {
	const words = [0, 1, 2, 3].map((i) => region[dimension + i] ?? null);
	if (words.every((cubes) => cubes === null)) {
		return '';
	}
	const [first = null, ...rest] = words;
	const ranges = first === null ? undefined : rangesOf(first, 32);
	if (ranges !== undefined && rest.every((cubes) => cubes === null)) {
		const prefixes = (list: readonly Range[]): string[] =>
			list.flatMap(([from, to]) => prefixTexts(rangeCubes(from, to, 32), family));
		const gaps = gapsOf(ranges, 32);
		const cover = coverOf(ranges);
		const inner = gaps.filter(([from]) => from >= cover[0] && from <= cover[1]);
		const own = prefixes(ranges);
		if (inner.length > 0 && inner.length < gaps.length && prefixes(inner).length < own.length) {
			return listed(`${name} ${prefixes([cover]).join()} but`, prefixes(inner), []);
		}
		return listed(name, own, prefixes(gaps));
	}
	return listed(name, wordTexts(words), []);
}

/** The smallest prefix that all ranges lie in. */
function coverOf(ranges: readonly Range[]): Range {
	const from = ranges[0]?.[0] ?? 0;
	const to = ranges[ranges.length - 1]?.[1] ?? 0;
	const open = 2 ** (32 - Math.clz32(from ^ to)) - 1;
	const low = from - (from % (open + 1));
	return [low, low + open];
}

function prefixTexts(cubes: readonly number[], family: number): string[] {
	const texts: string[] = [];
	for (let i = 0; i < cubes.length; i += 2) {
		const address = new Uint8Array(16);
		new DataView(address.buffer).setInt32(0, cubes[i] ?? 0);
		const length = lengthOf(cubes[i + 1] ?? 0);
		const known = family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
		texts.push(
			`${formatAddress(address, known)}${length === 32 && known === Family.Ipv4 ? '' : `/${length}`}`,
		);
	}
	return texts;
}

/** Bits of a mask that is one of a prefix. */
function lengthOf(mask: number): number {
	return mask === 0 ? 0 : 32 - Math.clz32(~mask) < 0 ? 32 : Math.clz32(~mask);
}

/** IPv6 addresses whose later words are fixed too: every combination, as prefixes where they are some. */
function wordTexts(words: readonly (Cubes | null)[]): string[] {
	let combined: { address: Uint8Array; masks: number[] }[] = [
		{ address: new Uint8Array(16), masks: [] },
	];
	for (const [i, cubes] of words.entries()) {
		combined = combined.flatMap(({ address, masks }) => {
			const list = cubes ?? [0, 0];
			return Array.from({ length: list.length / 2 }, (_, j) => {
				const next = address.slice();
				new DataView(next.buffer).setInt32(4 * i, list[2 * j] ?? 0);
				return { address: next, masks: [...masks, list[2 * j + 1] ?? 0] };
			});
		});
		combined = combined.slice(0, COMBINED_MAX);
	}
	return combined.map(({ address, masks }) => {
		const bits = masks.map((mask) => (mask >>> 0).toString(2).padStart(32, '0')).join('');
		const text = formatAddress(address, Family.Ipv6);
		const length = bits.indexOf('0') < 0 ? 128 : bits.indexOf('0');
		if (bits.indexOf('1', length) < 0) {
			return length === 128 ? text : `${text}/${length}`;
		}
		const mask = new Uint8Array(16);
		const view = new DataView(mask.buffer);
		for (const [i, word] of masks.entries()) {
			view.setInt32(4 * i, word);
		}
		return `${text} (bits ${formatAddress(mask, Family.Ipv6)})`;
	});
}

function protosOf(region: Region): number[] {
	const cubes = region[Dimension.Proto] ?? [];
	return cubes.filter((_, i) => i % 2 === 0).sort((a, b) => a - b);
}

function protoText(protos: readonly number[]): string {
	if (protos.length === 0) {
		return '';
	}
	const names = (list: readonly number[]): string[] =>
		list.map((proto) => protocolName(proto).replace(/^proto /, ''));
	const others = Array.from({ length: 256 }, (_, proto) => proto).filter(
		(p) => !protos.includes(p),
	);
	return listed('proto', names(protos), names(others));
}

function portText(name: string, cubes: Cubes | null): string {
	const ranges = cubes === null ? undefined : rangesOf(cubes, 16);
	if (cubes === null || (ranges?.length === 1 && ranges[0]?.[0] === 0 && ranges[0][1] === 255)) {
		return ''; // All types, or all codes, of ICMP.
	}
	if (ranges === undefined) {
		return listed(name, maskedTexts(cubes, 0xffff), []);
	}
	const texts = (list: readonly Range[]): string[] =>
		list.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`));
	return listed(name, texts(ranges), texts(gapsOf(ranges, 16)));
}

function markText(cubes: Cubes | null): string {
	return cubes === null ? '' : listed('mark', maskedTexts(cubes, -1), []);
}

function maskedTexts(cubes: Cubes, all: number): string[] {
	return cubes
		.map((value, i) => {
			const mask = cubes[i + 1] ?? 0;
			return mask === all ? hexNumber(value) : `${hexNumber(value)}/${hexNumber(mask)}`;
		})
		.filter((_, i) => i % 2 === 0);
}
