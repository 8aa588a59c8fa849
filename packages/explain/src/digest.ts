/**
 * What became of one packet, gathered from the facts in one pass: the objects it met, the states that were
 * applied or refused it, where it ended. Outcome, reason and the lists of the JSON come from here; the
 * steps of the story come from the facts themselves (story.ts).
 */
import {
	type PolicyLookupTrace,
	type StateCheckTrace,
	type StateLookupTrace,
	type StateSelectTrace,
	type TemplateCheckTrace,
	type TemplateTrace,
	type TransformTrace,
	type VerdictTrace,
	verdictName,
	type XfrmPolicy,
	type XfrmState,
} from '@xfrm/engine';
import type { DropTrace, HostEffect, IcmpErrorTrace, RouteTrace } from '@xfrm/host';
import { decodeFlowAt, Flow } from '@xfrm/wire';
import { IpProto } from '@xfrm/wire/xfrm';
import type { Outcome } from './answer.ts';
import type { PacketFacts } from './packet-text.ts';
import { packetFacts } from './packet-text.ts';
import type { Fact } from './recorder.ts';

/** Codes by which the engine says that its provider lacks an algorithm. */
const LACKING = new Set(['in.algorithm.missing', 'out.transform.algorithm']);

/** No state for a home address option or type 2 routing header. */
const NO_BINDING = 'in.binding.none';

export class Digest {
	/** Met by the packet itself, in order, each once. */
	readonly policies: XfrmPolicy[] = [];
	/** Applied to it, in order. */
	readonly applied: XfrmState[] = [];
	/** Of those the ones that it leaves by: a packet that came in protected may go on so. */
	readonly sealed: Set<XfrmState> = new Set();
	/** The state that refused it. */
	refused: XfrmState | undefined;
	/** States that sealed or opened it: those the kernel counts. */
	readonly #worked: Set<XfrmState> = new Set();
	readonly policyLookups: PolicyLookupTrace[] = [];
	defaultBlocked: boolean = false;
	stateLookup: StateLookupTrace | undefined;
	stateSelect: StateSelectTrace | undefined;
	template: TemplateTrace | undefined;
	readonly failedChecks: StateCheckTrace[] = [];
	readonly failedTemplates: TemplateCheckTrace[] = [];
	readonly verdicts: VerdictTrace[] = [];
	hostDrop: DropTrace | undefined;
	/** IPTFS keeps the packet, for this reason. */
	kept: string | undefined;
	noRoute: RouteTrace | undefined;
	icmpError: IcmpErrorTrace | undefined;
	/** MTU of the route that was asked for last. */
	routeMtu: number | undefined;
	/** A fragment that waits for the others. */
	waiting: boolean = false;
	/** It came as a segment of a TCP connection that carries ESP. */
	readonly inStream: boolean;
	/** Something of it was heeded: of a segment, a whole message. */
	#heeded: boolean = false;
	/** The connection cannot be read any further. */
	streamBroken: boolean = false;
	/** A message of the connection went to whoever has it. */
	streamMessage: boolean = false;
	/** The walk ended in forwarding. */
	forwarded: boolean = false;
	/** Packets that left or were delivered, ICMP errors apart. */
	readonly emitted: { readonly device: string; readonly packet: Uint8Array }[] = [];
	readonly delivered: { readonly proto: number; readonly payload: Uint8Array }[] = [];
	readonly icmpPackets: Uint8Array[] = [];
	/** The innermost packet that was received, as it stood when it was. */
	current: PacketFacts | undefined;
	/** The packet as it came. */
	readonly first: PacketFacts | undefined;
	readonly #packet: Uint8Array;
	/** Interface of the last route for output, where that is one which no policy is asked for (disable_xfrm). */
	exemptBy: number | undefined;
	/** It was sent to this host itself, and came in again by lo. */
	looped: boolean = false;
	/** A state for a mobility header that was found, and may yet be refused. */
	#binding: XfrmState | undefined;
	/** Octets of the packet before the first and behind the last transform. */
	sizeBefore: number;
	sizeAfter: number;

	constructor(facts: readonly Fact[], packet: Uint8Array, inStream: boolean = false) {
		this.inStream = inStream;
		this.#heeded = facts.length > 0;
		this.#packet = packet;
		this.first = packetFacts(packet);
		this.current = this.first;
		this.sizeBefore = packet.length;
		this.sizeAfter = packet.length;
		for (const fact of facts) {
			this.#take(fact);
		}
		this.#commitBinding();
	}

	#take(fact: Fact): void {
		// What happens behind an ICMP error happens to the error.
		if (this.icmpError !== undefined && fact.kind !== 'effect') {
			return;
		}
		if (fact.kind === 'policy' || fact.kind === 'receive') {
			this.#commitBinding();
		}
		switch (fact.kind) {
			case 'policy':
				this.#takePolicy(fact);
				break;
			case 'default-policy':
				this.defaultBlocked ||= !fact.accepted;
				break;
			case 'template':
				this.template = fact;
				break;
			case 'state-select':
				this.stateSelect = fact;
				break;
			case 'state-lookup':
				this.#takeLookup(fact);
				break;
			case 'state-check':
				if (!fact.passed) {
					this.failedChecks.push(fact);
				}
				break;
			case 'template-check':
				if (!fact.passed) {
					this.failedTemplates.push(fact);
				}
				break;
			case 'transform':
				this.#takeTransform(fact);
				break;
			case 'kept':
				this.kept = fact.code;
				break;
			case 'verdict':
				this.#takeVerdict(fact);
				break;
			default:
				this.#takeHostFact(fact);
		}
	}

	#takePolicy(fact: PolicyLookupTrace): void {
		this.policyLookups.push(fact);
		const { winner } = fact;
		if (winner !== undefined && !this.policies.includes(winner)) {
			this.policies.push(winner);
		}
	}

	#takeTransform(fact: TransformTrace): void {
		const { state, after, operation } = fact;
		this.sizeAfter = after.length;
		if (operation === 'seal') {
			this.sealed.add(state);
		}
		if (operation !== 'mode') {
			this.#worked.add(state);
		}
		if (!this.applied.includes(state)) {
			this.applied.push(state);
		}
	}

	/** Of the tries for one mobility header the first is told, unless a later one finds a state. */
	#takeLookup(fact: StateLookupTrace): void {
		const retry = isMobility(fact.proto) && this.stateLookup?.proto === fact.proto;
		if (!retry || fact.winner !== undefined) {
			this.stateLookup = fact;
		}
		this.#takeBinding(fact);
	}

	/**
	 * Mobility headers are rewritten in place: finding their state is applying it. Up to three states are
	 * tried, so the one found last counts, once something else follows.
	 */
	#takeBinding(fact: StateLookupTrace): void {
		const mobility = isMobility(fact.proto);
		if (!mobility || fact.proto !== this.#binding?.proto) {
			this.#commitBinding();
		}
		this.#binding = mobility ? fact.winner : undefined;
	}

	#commitBinding(): void {
		if (this.#binding !== undefined && !this.applied.includes(this.#binding)) {
			this.applied.push(this.#binding);
		}
		this.#binding = undefined;
	}

	#takeVerdict(fact: VerdictTrace): void {
		if (fact.verdict === 0) {
			return;
		}
		if (fact.code === NO_BINDING) {
			this.#binding = undefined;
		}
		this.verdicts.push(fact);
		const { state } = fact;
		if (state !== undefined && this.refused === undefined && refusesState(fact)) {
			this.refused = state;
		}
	}

	#takeHostFact(fact: Fact): void {
		switch (fact.kind) {
			case 'receive':
				this.current = packetFacts(fact.packet) ?? this.current;
				this.looped ||= fact.device === 'lo';
				break;
			case 'decision':
				this.forwarded = fact.decision === 'forward';
				break;
			case 'route':
				if (fact.route === undefined) {
					this.noRoute = fact;
				} else {
					this.routeMtu = fact.route.mtu;
					this.exemptBy = fact.route.noXfrm ? fact.route.ifindex : undefined;
				}
				break;
			case 'reassembly':
				this.waiting = !fact.complete;
				break;
			case 'drop':
				this.hostDrop ??= fact;
				break;
			case 'icmp-error':
				if (!isRedirect(fact)) {
					this.icmpError = fact;
				}
				break;
			case 'effect':
				if (fact.effect.kind === 'emit') {
					if (this.icmpError === undefined) {
						this.emitted.push(fact.effect);
					} else {
						this.icmpPackets.push(fact.effect.packet);
					}
				} else if (fact.effect.kind === 'deliver' && this.icmpError === undefined) {
					this.delivered.push(fact.effect);
				} else {
					this.#takeStreamEffect(fact.effect);
				}
				break;
			default:
		}
	}

	#takeStreamEffect(effect: HostEffect): void {
		switch (effect.kind) {
			case 'stream-write':
				this.emitted.push({ device: 'tcp', packet: effect.octets });
				break;
			case 'stream-message':
				this.streamMessage = true;
				this.delivered.push({ proto: IpProto.Tcp, payload: effect.message });
				break;
			case 'stream-error':
				this.streamBroken = true;
				break;
			default:
		}
	}

	/** A segment without the end of a message: its octets wait for the rest. */
	get streamWaits(): boolean {
		return this.inStream && !this.#heeded;
	}

	/** The flow of the packet as it came, as far as it tells: for packets that met no policy at all. */
	plainFlow(): Flow | undefined {
		const { first } = this;
		if (first === undefined) {
			return undefined;
		}
		const view = new DataView(
			this.#packet.buffer,
			this.#packet.byteOffset,
			this.#packet.byteLength,
		);
		const flow = new Flow();
		return decodeFlowAt(flow, view, 0, this.#packet.length, first.family, false) ? flow : undefined;
	}

	/** States applied; one that refused the packet is among them when it had done its work before. */
	get used(): readonly XfrmState[] {
		return this.applied.filter((state) => state !== this.refused || this.#worked.has(state));
	}

	/** It was delivered as it came: what was protected is only the host's own answer to it (an echo). */
	get isOnlyAnswered(): boolean {
		const isHere = this.delivered.length > 0 && !this.forwarded && !this.looped;
		return isHere && this.applied.every((state) => this.sealed.has(state));
	}

	/** The state that refused the packet without having been applied. */
	get refusing(): XfrmState | undefined {
		const { refused } = this;
		return refused === undefined || this.#worked.has(refused) ? undefined : refused;
	}

	/** Only our provider could not carry a transform out: what Linux does from here on is not known. */
	get lacksAlgorithm(): boolean {
		return this.verdicts.some(({ code }) => LACKING.has(code));
	}

	/** The counter that went up first, undefined for none. */
	firstCounter(counters: ReadonlyMap<string, number>): string | undefined {
		for (const { verdict } of this.verdicts) {
			const name = verdictName(verdict);
			if (name !== undefined && counters.has(name)) {
				return name;
			}
		}
		return counters.keys().next().value;
	}

	/** The verdict that the counter belongs to. */
	verdictOf(counter: string | undefined): VerdictTrace | undefined {
		return this.verdicts.find(({ verdict }) => verdictName(verdict) === counter);
	}

	/** The last lookup that concerned the packet itself. */
	get lastPolicyLookup(): PolicyLookupTrace | undefined {
		return this.policyLookups[this.policyLookups.length - 1];
	}
}

/** Is it looked up by addresses: a home address option, a type 2 routing header? */
function isMobility(proto: number): boolean {
	return proto === IpProto.DestinationOptions || proto === IpProto.Routing;
}

/** A redirect is advice: the packet itself goes on. */
function isRedirect(fact: IcmpErrorTrace): boolean {
	return fact.family === 2 ? fact.type === 5 : fact.type === 137;
}

/** Verdicts by which a state refuses a packet; for the others the state named is only the nearest culprit. */
function refusesState(fact: VerdictTrace): boolean {
	const name = verdictName(fact.verdict) ?? '';
	return /^Xfrm(In|Out)State|^XfrmAcquireError$/.test(name);
}

/** What decides the outcome besides the digest. */
export interface OutcomeFacts {
	readonly acquired: boolean;
	readonly counted: boolean;
	readonly error: number;
	/** net.core.xfrm_larval_drop is 0: packets without a state are held. */
	readonly holds: boolean;
}

/** The outcome of the contract, by what was seen. */
export function outcomeOf(digest: Digest, facts: OutcomeFacts): Outcome {
	if (digest.emitted.length > 0 || digest.delivered.length > 0) {
		return digest.applied.length > 0 && !digest.isOnlyAnswered ? 'transform' : 'pass';
	}
	if (facts.acquired) {
		return 'acquire';
	}
	if (facts.counted || facts.error !== 0 || digest.icmpError !== undefined || digest.streamBroken) {
		return 'drop';
	}
	const held = facts.holds && digest.stateSelect?.outcome === 'larval';
	const kept = digest.kept !== undefined && digest.hostDrop === undefined;
	return digest.waiting || digest.streamWaits || held || kept || isKeepalive(digest)
		? 'consume'
		: 'drop';
}

/** One octet to a UDP port that nothing else can be said of. */
function isKeepalive(digest: Digest): boolean {
	return digest.first?.udp !== undefined && digest.sizeBefore - digest.first.transportAt === 9;
}
