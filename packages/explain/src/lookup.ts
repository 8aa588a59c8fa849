/**
 * `ip route get` for XFRM: which policies a flow meets and which states it would go through, without a
 * packet and without a trace: any number of flows meet the rules as they were loaded. The flow is put into
 * a packet's octets and decoded as the kernel would, then asked of the engine (rehearsal).
 *
 *     out   the OUT lookup, templates resolved to states
 *     in    the IN check; unprotected, unless `via` names the states it came through
 *     fwd   the FWD check, then the OUT lookup
 *
 * Not here: routing, and what happens to octets on the way (limits, sequence numbers, sizes).
 */
import {
	Rehearsal,
	rehearseCheck,
	rehearsedFlow,
	rehearseOutput,
	verdictName,
	type XfrmPolicy,
	type XfrmState,
} from '@xfrm/engine';
import { type Flow, formatHex32, PacketBuffer, type Route } from '@xfrm/wire';
import {
	anyAddress,
	Direction,
	Family,
	formatAddress,
	IpProto,
	SaDirection,
} from '@xfrm/wire/xfrm';
import { hostAddresses, includes } from './direction.ts';
import { InputError, splitWords } from './input.ts';
import { FlowLine, readFlowLine } from './lookup-line.ts';
import { actionName, directionName, modeName, policyTypeName, stateProtoName } from './names.ts';
import type { World } from './world.ts';

/** What a lookup says of a flow: the contract of its JSON (schema 1). */
export interface LookupAnswer {
	readonly schema: 1;
	readonly outcome: 'pass' | 'transform' | 'drop' | 'acquire' | 'consume';
	/** The counter of /proc/net/xfrm_stat that would go up first. */
	readonly counter: string | null;
	readonly policies: readonly {
		readonly index: number;
		readonly ptype: 'main' | 'sub' | 'socket';
		readonly dir: 'in' | 'out' | 'fwd';
		readonly priority: number;
		readonly action: 'allow' | 'block';
	}[];
	/** In order of application: those of `via` first, outermost first. */
	readonly states: readonly {
		readonly proto: string;
		readonly spi: string;
		readonly src: string;
		readonly dst: string;
		readonly mode: string;
		readonly reqid: number;
	}[];
}

/** Everything that a lookup found, as objects of the engine; refilled by the next one. */
export class Found {
	outcome: LookupAnswer['outcome'] = 'pass';
	verdict: number = 0;
	readonly policies: XfrmPolicy[] = [];
	readonly states: XfrmState[] = [];

	clear(): void {
		this.outcome = 'pass';
		this.verdict = 0;
		this.policies.length = 0;
		this.states.length = 0;
	}
}

/** Lines kept for lookups that end alike. */
const LINES_MAX = 4096;

export class FlowLookup {
	/** Of the last lookup. */
	readonly found: Found = new Found();
	readonly #world: World;
	readonly #deviceDefault: string;
	readonly #line: FlowLine = new FlowLine();
	readonly #packet: PacketBuffer = new PacketBuffer(2048);
	readonly #rehearsal: Rehearsal = new Rehearsal();
	readonly #routes: Map<string, Route> = new Map();
	readonly #lines: Map<XfrmPolicy | null, KnownLine[]> = new Map();
	#lineCount: number = 0;
	#protosNamed: ReadonlySet<number> | undefined;
	#statesBySpi: Map<number, XfrmState[]> | undefined;

	/**
	 * @param world with its rules loaded, and prepared as for packets (`Explainer.prepare`)
	 * @param deviceDefault by which flows leave that name none; default: the first one that is not `lo`
	 */
	constructor(world: World, deviceDefault = '') {
		this.#world = world;
		this.#deviceDefault = deviceDefault;
	}

	/**
	 * Looks a flow in words up; the answer is in `found`.
	 *
	 * @throws InputError for words that cannot be read, or a state that is not there
	 */
	look(text: string): Found {
		readFlowLine(text, this.#line, splitWords);
		return this.lookLine(this.#line);
	}

	/** The answer as an object. */
	answer(text: string): LookupAnswer {
		return answerOf(this.look(text));
	}

	/** The answer as a line of JSON, without its newline. */
	line(text: string): string {
		const found = this.look(text);
		const key = found.policies[0] ?? null;
		const known = this.#lines.get(key);
		const same = known?.find((one) => isSame(one, found));
		if (same !== undefined) {
			return same.line;
		}
		if (this.#lineCount++ >= LINES_MAX) {
			this.#lines.clear();
			this.#lineCount = 0;
		}
		const { outcome, verdict, policies, states } = found;
		const line = JSON.stringify(answerOf(found));
		const entry = { outcome, verdict, policies: [...policies], states: [...states], line };
		this.#lines.set(key, [...(this.#lines.get(key) ?? []), entry]);
		return line;
	}

	/** Looks a flow up that was read before. */
	lookLine(line: FlowLine): Found {
		const { found } = this;
		found.clear();
		const packet = this.#packet;
		writeFlow(packet, line);
		packet.mark = line.mark | 0;
		packet.ifId = line.ifId | 0;
		if (line.direction === Direction.Out) {
			if (line.via.length > 0) {
				throw new InputError({ found: 'via with dir out', expected: 'dir in or dir fwd' });
			}
			this.#lookOut(line, line.device, found);
			return found;
		}
		for (const spi of line.via) {
			const state = this.stateOf(spi, line.family);
			packet.path[packet.pathCount++] = state;
			found.states.push(state);
		}
		const { net } = this.#world.engine;
		const fwd = line.direction === Direction.Fwd;
		packet.route = this.#route(line.family, fwd ? '' : 'lo');
		packet.flow.oif = packet.route.ifindex;
		const rehearsal = this.#rehearsal;
		rehearseCheck(net, packet, line.direction, this.#world.nowUs, rehearsal);
		take(found, rehearsal);
		found.outcome =
			rehearsal.verdict !== 0 ? 'drop' : found.states.length > 0 ? 'transform' : 'pass';
		if (fwd && rehearsal.verdict === 0) {
			// The if_id is that of the interface it came by; it leaves by another.
			packet.ifId = 0;
			this.#lookOut(line, '', found);
		}
		return found;
	}

	#lookOut(line: FlowLine, device: string, found: Found): void {
		const { net } = this.#world.engine;
		const packet = this.#packet;
		const route = this.#route(line.family, device);
		packet.route = route;
		rehearsedFlow(net, packet);
		if (line.direction === Direction.Out && line.family === Family.Ipv6) {
			asSocket(packet, line, device);
		}
		const rehearsal = this.#rehearsal;
		rehearseOutput(net, packet.flow, packet.ifId, route, this.#world.nowUs, rehearsal);
		take(found, rehearsal);
		found.verdict = rehearsal.verdict;
		if (rehearsal.verdict !== 0 || rehearsal.holds) {
			found.outcome = rehearsal.acquires ? 'acquire' : rehearsal.holds ? 'consume' : 'drop';
		} else {
			found.outcome = found.states.length > 0 ? 'transform' : 'pass';
		}
	}

	/** Output interface of flows that leave by this device, as selectors see it. */
	outputDevice(family: number, device: string): number {
		// The flow of an IPv6 socket has one only where the socket is bound to it.
		return family === Family.Ipv6 && device === '' ? 0 : this.#route(family, device).ifindex;
	}

	/** The same of flows that arrive: `lo` for this host's, else the device they leave by (P-29). */
	checkDevice(family: number, direction: number): number {
		return this.#route(family, direction === Direction.In ? 'lo' : '').ifindex;
	}

	/** What a packet is decoded to; its flow. */
	decode(packet: PacketBuffer, line: FlowLine): Flow {
		packet.route = this.#route(line.family, '');
		rehearsedFlow(this.#world.engine.net, packet);
		if (line.direction === Direction.Out && line.family === Family.Ipv6) {
			asSocket(packet, line, line.device);
		}
		return packet.flow;
	}

	/** Protocols that selectors of policies or states name. */
	protosNamed(): ReadonlySet<number> {
		if (this.#protosNamed === undefined) {
			const { engine } = this.#world;
			const objects = [...engine.policies(), ...engine.states()];
			this.#protosNamed = new Set(objects.map(({ selector }) => selector.proto));
		}
		return this.#protosNamed;
	}

	/** A route by this device, or by the first there is; it leads everywhere, and is always there. */
	#route(family: number, device: string): Route {
		const key = `${family} ${device}`;
		let route = this.#routes.get(key);
		if (route === undefined) {
			const { host } = this.#world;
			const devices = [...host.devices()];
			const name = device === '' ? this.#deviceDefault : device;
			const named = name === '' ? undefined : host.device(name);
			if (device !== '' && named === undefined) {
				throw new InputError({
					found: `dev ${device}`,
					expected: `a device that the rules name: ${devices.map(({ name }) => name).join(', ')}`,
				});
			}
			const used = named ?? devices.find((one) => !one.loopback);
			route = {
				family,
				ifindex: used?.ifindex ?? 0,
				loopback: false,
				kind: 'unicast',
				source: anyAddress(),
				mtu: used?.mtu ?? 1500,
				hopLimit: 64,
				noXfrm: false,
			};
			this.#routes.set(key, route);
		}
		return route;
	}

	/** The state that `via` names: of several with this SPI the one for this host, else the newest. */
	stateOf(spi: number, family: number): XfrmState {
		const local = hostAddresses(this.#world.host);
		let best: XfrmState | undefined;
		let bestRank = -1;
		for (const state of this.#withSpi(spi)) {
			const here = includes(local, state.family, state.config.id.daddr);
			const rank =
				(state.direction === SaDirection.Out ? 0 : 4) +
				(here ? 2 : 0) +
				(state.family === family ? 1 : 0);
			if (rank > bestRank) {
				best = state;
				bestRank = rank;
			}
		}
		if (best === undefined) {
			throw new InputError({
				found: `via ${formatHex32(spi)}`,
				expected: 'the SPI of a state in the rules',
			});
		}
		return best;
	}

	/** States by SPI, newest first. */
	#withSpi(spi: number): readonly XfrmState[] {
		if (this.#statesBySpi === undefined) {
			this.#statesBySpi = new Map();
			for (const state of this.#world.engine.states()) {
				const own = state.spi >>> 0;
				const others = this.#statesBySpi.get(own);
				if (others === undefined) {
					this.#statesBySpi.set(own, [state]);
				} else {
					others.push(state);
				}
			}
		}
		return this.#statesBySpi.get(spi) ?? [];
	}
}

/** The flow of an IPv6 socket: its device only where it is bound to one, and the real Mobility Header type. */
function asSocket(packet: PacketBuffer, line: FlowLine, device: string): void {
	const { flow } = packet;
	flow.oif = device === '' ? 0 : flow.oif;
	flow.sport = line.proto === IpProto.MobilityHeader ? line.sport : flow.sport;
}

interface KnownLine {
	readonly outcome: string;
	readonly verdict: number;
	readonly policies: readonly XfrmPolicy[];
	readonly states: readonly XfrmState[];
	readonly line: string;
}

function isSame(known: KnownLine, found: Found): boolean {
	return (
		known.verdict === found.verdict &&
		known.outcome === found.outcome &&
		sameItems(known.policies, found.policies) &&
		sameItems(known.states, found.states)
	);
}

function sameItems(a: readonly object[], b: readonly object[]): boolean {
	if (a.length !== b.length) {
		return false;
	}
	for (let i = 0; i < a.length; i++) {
		if (a[i] !== b[i]) {
			return false;
		}
	}
	return true;
}

function take(found: Found, rehearsal: Rehearsal): void {
	found.verdict = rehearsal.verdict;
	if (rehearsal.policy !== null) {
		found.policies.push(rehearsal.policy);
	}
	if (rehearsal.second !== null) {
		found.policies.push(rehearsal.second);
	}
	for (let i = 0; i < rehearsal.stateCount; i++) {
		const state = rehearsal.states[i];
		// As explain, once: SUB and MAIN may both lead through the same state.
		if (state !== undefined && state !== null && !found.states.includes(state)) {
			found.states.push(state);
		}
	}
}

/** What was found, in the form of the contract. */
export function answerOf(found: Found): LookupAnswer {
	// Names from 64 on are ours: Linux counts nothing there.
	const counter = found.verdict < 64 ? verdictName(found.verdict) : undefined;
	return {
		schema: 1,
		outcome: found.outcome,
		counter: counter ?? null,
		policies: found.policies.map((policy) => ({
			index: policy.index,
			ptype: policyTypeName(policy),
			dir: directionName(policy.direction),
			priority: policy.priority,
			action: actionName(policy.action),
		})),
		states: found.states.map((state) => {
			const family = state.family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
			return {
				proto: stateProtoName(state.proto),
				spi: formatHex32(state.spi),
				src: formatAddress(state.config.saddr, family),
				dst: formatAddress(state.config.id.daddr, family),
				mode: modeName(state.mode),
				reqid: state.reqid >>> 0,
			};
		}),
	};
}

/** Octets behind the IP header: enough for every protocol that has something like ports. */
const UPPER_OCTETS = 12;

/** Makes the packet one of this flow: its headers as far as a flow is decoded from them (P-26 … P-28). */
export function writeFlow(packet: PacketBuffer, line: FlowLine): void {
	packet.reset();
	const { view, start } = packet;
	const ipv4 = line.family === Family.Ipv4;
	const header = ipv4 ? 20 : 40;
	const upper = start + header;
	packet.family = line.family;
	packet.end = upper + UPPER_OCTETS;
	for (let at = start; at < packet.end; at += 4) {
		view.setInt32(at, 0);
	}
	if (ipv4) {
		view.setUint8(start, 0x45);
		view.setUint16(start + 2, header + UPPER_OCTETS);
		view.setUint8(start + 9, line.proto);
		view.setInt32(start + 12, line.saddr[0] ?? 0);
		view.setInt32(start + 16, line.daddr[0] ?? 0);
	} else {
		view.setUint8(start, 0x60);
		view.setUint16(start + 4, UPPER_OCTETS);
		view.setUint8(start + 6, line.proto);
		for (let i = 0; i < 4; i++) {
			view.setInt32(start + 8 + 4 * i, line.saddr[i] ?? 0);
			view.setInt32(start + 24 + 4 * i, line.daddr[i] ?? 0);
		}
	}
	packet.proto = line.proto;
	packet.transportAt = upper;
	switch (line.proto) {
		case IpProto.Icmp:
		case IpProto.Icmpv6:
			view.setUint8(upper, line.sport);
			view.setUint8(upper + 1, line.dport);
			break;
		case IpProto.MobilityHeader:
			view.setUint8(upper, IpProto.NoNext);
			view.setUint8(upper + 2, line.sport);
			break;
		case IpProto.Gre:
			if ((line.sport | line.dport) !== 0) {
				// The key's two halves stand in the place of ports.
				view.setUint16(upper, 0x2000);
			}
			view.setUint16(upper + 2, 0x0800);
			view.setUint16(upper + 4, line.sport);
			view.setUint16(upper + 6, line.dport);
			break;
		default:
			if (ipv4 || !isExtensionHeader(line.proto)) {
				view.setUint16(upper, line.sport);
				view.setUint16(upper + 2, line.dport);
			}
	}
}

/** Has the next protocol where others have ports, and is itself none that a flow has. */
function isExtensionHeader(proto: number): boolean {
	return (
		proto === IpProto.HopByHop ||
		proto === IpProto.Routing ||
		proto === IpProto.Fragment ||
		proto === IpProto.DestinationOptions
	);
}
