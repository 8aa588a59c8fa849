/**
 * A capture plan as a ruleset of nftables, in the language of nft(8). One table, replaced as a whole by one
 * transaction, so that there is no moment without it:
 *
 *     output       packets made here, after the kernel has chosen their source: marked, and routed anew
 *     prerouting   packets that will be forwarded: marked before they are routed
 *     postrouting  what should have been captured and leaves by another device is dropped
 *     input        plaintext that an IN policy forbids is dropped
 *     forward      plaintext that a FWD policy forbids is dropped
 *
 * Never touched: what bears the bypass mark, or is for a socket that does (the IKE daemon's); the outer
 * packets themselves, which Linux takes before any policy; neighbour discovery; loopback; and, inward,
 * what comes out of our own devices, as it was checked before it was written there.
 */
import { Family, formatAddress, IpProto, type Selector } from '@xfrm/wire/xfrm';
import type { CaptureEntry, CapturePlan } from './capture-plan.ts';
import { BYPASS_MARK, CAPTURE_MARK, laneDevice } from './marks.ts';

export const GUARD_TABLE = 'xfrm';

/** Router and neighbour discovery, redirects (RFC 4861). */
const NEIGHBOUR_DISCOVERY = 'icmpv6 type { 133, 134, 135, 136, 137 } accept';

/** Protocols with ports where nft's `th sport` looks for them. */
const PORT_PROTOCOLS: ReadonlySet<number> = new Set([
	IpProto.Tcp,
	IpProto.Udp,
	IpProto.Dccp,
	IpProto.Sctp,
	IpProto.UdpLite,
]);

function hex(value: number): string {
	return `0x${(value >>> 0).toString(16)}`;
}

function prefix(keyword: string, address: Uint8Array, length: number, family: number): string {
	return length === 0 ? '' : `${keyword} ${formatAddress(address, family)}/${length} `;
}

function port(keyword: string, value: number, mask: number): string {
	if (mask === 0) {
		return '';
	}
	return mask === 0xffff
		? `${keyword} ${value} `
		: `${keyword} & ${hex(mask)} == ${hex(value & mask)} `;
}

/** A selector as conditions, each with a blank behind it. Interfaces are the engine's to judge. */
export function selectorText(selector: Selector): string {
	const { family, proto } = selector;
	const ip = family === Family.Ipv4 ? 'ip' : 'ip6';
	const upper = proto === IpProto.Icmp ? 'icmp' : 'icmpv6';
	const parts = [
		`meta nfproto ${family === Family.Ipv4 ? 'ipv4' : 'ipv6'} `,
		prefix(`${ip} saddr`, selector.saddr, selector.prefixlenS, family),
		prefix(`${ip} daddr`, selector.daddr, selector.prefixlenD, family),
		proto === 0 ? '' : `meta l4proto ${proto} `,
	];
	if (PORT_PROTOCOLS.has(proto)) {
		parts.push(port('th sport', selector.sport, selector.sportMask));
		parts.push(port('th dport', selector.dport, selector.dportMask));
	} else if (proto === IpProto.Icmp || proto === IpProto.Icmpv6) {
		parts.push(port(`${upper} type`, selector.sport, selector.sportMask === 0 ? 0 : 0xffff));
		parts.push(port(`${upper} code`, selector.dport, selector.dportMask === 0 ? 0 : 0xffff));
	}
	return parts.join('');
}

function condition(entry: CaptureEntry): string {
	const { selector, mark } = entry;
	const text = selector === undefined ? '' : selectorText(selector);
	if (mark.m === 0) {
		return text;
	}
	return `meta mark & ${hex(mark.m)} == ${hex(mark.v)} ${text}`;
}

function chain(name: string, hook: string, rules: readonly string[]): string {
	const lines = [hook, ...rules].map((rule) => `\t\t${rule}\n`);
	return `\tchain ${name} {\n${lines.join('')}\t}\n`;
}

/**
 * The whole table, ready for `nft -f -`.
 *
 * @param guards false: packets are captured, and nothing is dropped
 */
export function nftText(plan: CapturePlan, guards: boolean = true): string {
	const devices = plan.lanes.map((_, lane) => `"${laneDevice(lane)}"`).join(', ');
	const spared = [`meta mark ${hex(BYPASS_MARK)} accept`, NEIGHBOUR_DISCOVERY];
	const captured = plan.out.map((entry) => {
		const verdict = entry.protects
			? `meta mark set ${hex(CAPTURE_MARK | entry.lane)} accept`
			: 'accept';
		return condition(entry) + verdict;
	});
	return [
		`add table inet ${GUARD_TABLE}\n`,
		`delete table inet ${GUARD_TABLE}\n`,
		`table inet ${GUARD_TABLE} {\n`,
		chain('output', 'type route hook output priority -140; policy accept;', [
			...spared,
			'oifname "lo" accept',
			...captured,
		]),
		chain('prerouting', 'type filter hook prerouting priority -140; policy accept;', [
			...spared,
			'fib daddr type { local, broadcast, multicast } accept',
			...captured,
		]),
		...(guards ? guardChains(plan, devices) : []),
		'}\n',
	].join('');
}

/** What drops plaintext. */
function guardChains(plan: CapturePlan, devices: string): readonly string[] {
	const lanes = plan.lanes.map((_, lane) => hex(CAPTURE_MARK | lane)).join(', ');
	const forbidden = (entries: readonly CaptureEntry[]): readonly string[] =>
		entries.map((entry) => condition(entry) + (entry.protects ? 'counter drop' : 'accept'));
	const inward = [
		`iifname { "lo", ${devices} } accept`,
		`meta mark ${hex(BYPASS_MARK)} accept`,
		NEIGHBOUR_DISCOVERY,
	];
	return [
		chain('postrouting', 'type filter hook postrouting priority 290; policy accept;', [
			`oifname { "lo", ${devices} } accept`,
			`meta mark { ${lanes} } counter drop`,
		]),
		chain('input', 'type filter hook input priority -10; policy accept;', [
			...inward,
			`socket mark ${hex(BYPASS_MARK)} accept`,
			`meta l4proto { ${IpProto.Esp}, ${IpProto.Ah}, ${IpProto.Comp} } accept`,
			...forbidden(plan.in),
		]),
		chain('forward', 'type filter hook forward priority -10; policy accept;', [
			...inward,
			...forbidden(plan.forward),
		]),
	];
}

/** What removes the table, whether it is there or not. */
export function nftRemoval(): string {
	return `add table inet ${GUARD_TABLE}\ndelete table inet ${GUARD_TABLE}\n`;
}
