/** Compares what came out of a step with what the kernel did. */
import type { Observed } from '@xfrm/explain';
import { formatHex } from '@xfrm/wire';
import { errnoName, formatAddress } from '@xfrm/wire/xfrm';
import { type Difference, differs } from './difference.ts';
import { isKeepalive, keepalivesAgree, keepaliveView } from './keepalive-compare.ts';
import { isOverwritten } from './kernel-bugs.ts';
import { bytesOf, type Laboratory, SOCKETS_READ } from './laboratory.ts';
import { compareLinks } from './link-compare.ts';
import { maskNotification } from './netlink-mask.ts';
import { maskPacket, maskQuote, maskWanted } from './packet-mask.ts';
import { compareConnection } from './tcp-connection.ts';
import { unwrap } from './unwrap.ts';
import type { DeliveredPacket, EmittedPacket, Expectation } from './vector-case.ts';

/** The first difference; only what the case tells is compared. */
export function compare(
	lab: Laboratory,
	expect: Expectation,
	observed: Observed,
	name: string,
): Difference | undefined {
	const { emit, deliver, stat } = expect;
	const { otherKernel: other } = lab;
	return (
		(stat && differs(`${name} stat`, stat, Object.fromEntries(observed.counters))) ??
		compareLinks(lab, expect, name) ??
		compareConnection(expect, observed, name) ??
		compareKeepalives(emit ?? [], observed, name) ??
		(emit && compareEmitted(lab, emit, observed, name)) ??
		(deliver &&
			differs(
				`${name} deliver`,
				sorted(deliver.map(withoutId).map((one) => withoutQuote(lab, one))),
				sorted(deliveredView(observed, expect).map((one) => withoutQuote(lab, one))),
			)) ??
		differs(
			`${name} error`,
			expect.error,
			observed.error === 0 ? undefined : errnoName(observed.error),
		) ??
		differs(
			`${name} events`,
			(expect.events ?? []).map(({ hex }) => maskNotification(hex, other, lab.otherOctets)),
			observed.events.map((event) => maskNotification(formatHex(event), other, lab.otherOctets)),
		)
	);
}

/** Steps that tell nothing of packets had no keepalives either. */
function compareKeepalives(
	emit: readonly EmittedPacket[],
	observed: Observed,
	name: string,
): Difference | undefined {
	const want = emit
		.map(({ dev, packet }) => ({ dev, packet: bytesOf(packet) }))
		.filter(({ packet }) => isKeepalive(packet))
		.map(({ dev, packet }) => keepaliveView(dev, packet));
	const have = observed.emitted
		.filter(({ packet }) => isKeepalive(packet))
		.map(({ device, packet }) => keepaliveView(device, packet));
	return keepalivesAgree(want, have) ? undefined : differs(`${name} keepalives`, want, have);
}

function compareEmitted(
	lab: Laboratory,
	all: readonly EmittedPacket[],
	observed: Observed,
	name: string,
): Difference | undefined {
	const want = all.filter(({ packet }) => !isKeepalive(bytesOf(packet)));
	// The files tell first what left by lan, then what left by wan, and no multicast chatter.
	const have = observed.emitted
		.filter((one) => !isMulticast(one.packet) && !isKeepalive(one.packet))
		.sort((a, b) => (a.device < b.device ? -1 : a.device > b.device ? 1 : 0));
	if (want.length !== have.length) {
		return {
			field: `${name} emit`,
			want: want.map(({ dev, packet }) => `${dev} ${packet}`).join(' | ') || 'nothing',
			have: have.map((one) => `${one.device} ${formatHex(one.packet)}`).join(' | ') || 'nothing',
		};
	}
	for (const [i, wanted] of want.entries()) {
		const got = have[i];
		if (got === undefined) {
			continue;
		}
		const field = `${name} emit ${i}`;
		const packet = bytesOf(wanted.packet);
		const difference =
			differs(`${field} dev`, wanted.dev, got.device) ??
			differs(`${field} packet`, maskWanted(packet, got.packet), maskPacket(got.packet));
		const overwritten = lab.ether && isOverwritten(maskPacket(packet), maskPacket(got.packet));
		if (difference !== undefined && !overwritten && !agreesInside(lab, packet, got.packet)) {
			return difference;
		}
	}
	return undefined;
}

/** Equal but for what a compressor chose, or for random fields of an inner packet made here. */
function agreesInside(lab: Laboratory, want: Uint8Array, have: Uint8Array): boolean {
	const { engine } = lab.world;
	const [a, b] = [unwrap(want, engine), unwrap(have, engine)];
	const compressed = a.compressed || b.compressed;
	const telling = compressed || a.complete || a.fragmented;
	const near = compressed && Math.abs(want.length - have.length) <= LITTLE_GAIN;
	const agrees =
		telling &&
		(a.layers.join('\n') === b.layers.join('\n') ||
			(near && plain(a.layers).join('\n') === plain(b.layers).join('\n')));
	lab.otherOctets ||= agrees && compressed;
	return agrees;
}

/** Where compressing gains no more octets than this, one compressor does it and another does not. */
const LITTLE_GAIN = 8;

/** Layers as if nothing was compressed. */
function plain(layers: readonly string[]): string[] {
	const out: string[] = [];
	for (const layer of layers) {
		const [, next] = /^comp ([0-9a-f]{2})/.exec(layer) ?? [];
		const before = out.pop();
		if (next === undefined || before === undefined) {
			out.push(...(before === undefined ? [] : [before]), layer);
		} else {
			const named = before.replace(/(next|proto) 108/, `$1 ${Number.parseInt(next, 16)}`);
			// Of AH the layer is its octets, the next header first.
			out.push(named.replace(/^ah 6c/, `ah ${next}`));
		}
	}
	return out;
}

function isMulticast(packet: Uint8Array): boolean {
	return (packet[0] ?? 0) >> 4 === 4
		? (packet[16] ?? 0) >= 224
		: packet[24] === 0xff && packet[25] === 2;
}

/** Sockets are read one after the other: the order among them says nothing. */
function sorted(values: readonly unknown[]): readonly unknown[] {
	return [...values].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

/** An error to ourselves has an identification of its own, as those that leave. */
function withoutId(one: DeliveredPacket): DeliveredPacket {
	return one.packet === undefined ? one : { ...one, packet: maskPacket(bytesOf(one.packet)) };
}

/** An error about a UDP socket's packet quotes what no two runs have in common. */
function withoutQuote<T extends { packet?: string; payload?: string }>(lab: Laboratory, one: T): T {
	if (!lab.ownHeader) {
		return one;
	}
	const { packet, payload } = one;
	return {
		...one,
		...(packet === undefined ? {} : { packet: maskQuote(packet, 20) }),
		...(payload === undefined ? {} : { payload: maskQuote(payload, 0) }),
	};
}

function deliveredView(observed: Observed, expect: Expectation): DeliveredPacket[] {
	// Sockets with UDP_ENCAP and those that send are there, but nobody reads them.
	const delivered = observed.delivered.filter((one) => one.socketId <= SOCKETS_READ);
	const views = delivered.map((one): DeliveredPacket => {
		const { family, proto, hopLimit, trafficClass, sport, dport, payload } = one;
		if (family === 2 && proto !== 17) {
			return { family: 4, proto, packet: maskPacket(payload) };
		}
		return {
			family: family === 2 ? 4 : 6,
			proto,
			src: formatAddress(one.source, family),
			dst: formatAddress(one.destination, family),
			...(family === 2
				? { ttl: hopLimit, tos: trafficClass }
				: { hlim: hopLimit, tclass: trafficClass }),
			...(proto === 17 ? { sport, dport } : {}),
			payload: formatHex(payload),
		};
	});
	const wantsErrors = expect.deliver?.some((one) => one.socket_error !== undefined) ?? false;
	const errors = observed.socketErrors.map(
		(one): DeliveredPacket => ({
			family: one.family === 2 ? 4 : 6,
			socket_error: errnoName(one.error),
			port: one.port,
			icmp: [one.icmpType, one.icmpCode],
		}),
	);
	return wantsErrors ? [...views, ...errors] : views;
}
