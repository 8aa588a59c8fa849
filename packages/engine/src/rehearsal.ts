/**
 * Lookups that leave no trace: what the policies would make of a flow, asked of the same functions that
 * live packets go through, while nothing is counted, no key manager is asked and no larval state is made.
 * So any number of flows meet the same rules.
 *
 * Not here: what happens to a packet's octets (limits, sequence numbers, sizes), and routing.
 */
import { decodeFlow, type Flow, type PacketBuffer, type Route } from '@xfrm/wire';
import { Batch } from './batch.ts';
import { applyOutputMark } from './bundle.ts';
import { found, lookupFlow, Outcome, Want } from './flow-lookup.ts';
import type { Namespace } from './namespace.ts';
import type { XfrmPolicy } from './policy.ts';
import { policyCheck } from './policy-check.ts';
import type { XfrmState } from './state.ts';
import { resolution } from './template.ts';
import { PacketAction, Verdict } from './verdict.ts';

/** What a rehearsal found; one object may be refilled for ever. */
export class Rehearsal {
	/** `Verdict.Pass`, or why the packet would go no further: the counter that would be raised first. */
	verdict: Verdict = Verdict.Pass;
	/** A key manager would be asked, for a required or an optional template. */
	acquires: boolean = false;
	/** The packet would be held until the state is there (O-7). */
	holds: boolean = false;
	/** The policy that decides, and the MAIN policy beside a SUB one (P-20, P-22). */
	policy: XfrmPolicy | null = null;
	second: XfrmPolicy | null = null;
	/** States that would be applied, innermost first; the first `stateCount` entries. */
	readonly states: (XfrmState | null)[] = [];
	stateCount: number = 0;

	clear(): void {
		this.verdict = Verdict.Pass;
		this.acquires = false;
		this.holds = false;
		this.policy = null;
		this.second = null;
		this.stateCount = 0;
	}
}

/**
 * The OUT lookup of a flow that leaves by this route.
 *
 * @spec P-1 P-20 O-1 O-7 S-34
 */
export function rehearseOutput(
	net: Namespace,
	flow: Flow,
	ifId: number,
	route: Route,
	nowUs: number,
	into: Rehearsal,
): void {
	into.clear();
	begin(net, nowUs);
	const outcome = lookupFlow(net, flow, ifId, 0, route, Want.Hold, false);
	net.rehearsing = false;
	into.policy = found.policy;
	into.second = found.secondPolicy;
	into.acquires = net.rehearsedAcquire;
	if (outcome === Outcome.Refused) {
		// Refused for its direction, a state is counted before the policy is.
		const direction = resolution.code === 'out.state.direction';
		into.verdict =
			direction && found.verdict === Verdict.OutPolError ? Verdict.OutStateDirError : found.verdict;
	} else if (outcome === Outcome.Bundle && found.bundle !== null) {
		into.holds = found.bundle.first === null;
		for (let step = found.bundle.first; step !== null; step = step.next) {
			into.states[into.stateCount++] = step.state;
		}
	}
}

const batch: Batch = new Batch();

/**
 * The IN or FWD check of a packet that came by the states on its path, outermost first. Their output marks
 * are applied to the packet's mark, as input would have done.
 *
 * @param packet family, octets, mark, ifId, path and flow.oif as for `policyCheck`
 * @spec I-4 I-13 I-14 I-15 P-22
 */
export function rehearseCheck(
	net: Namespace,
	packet: PacketBuffer,
	direction: number,
	nowUs: number,
	into: Rehearsal,
): void {
	into.clear();
	for (let i = 0; i < packet.pathCount; i++) {
		const state = (packet.path[i] ?? null) as XfrmState | null;
		if (state !== null && (state.outputMarkValue | state.outputMarkMask) !== 0) {
			packet.mark = applyOutputMark(state, packet.mark);
		}
	}
	begin(net, nowUs);
	const run = net.checkRun;
	run.policy = null;
	run.main = null;
	batch.nowUs = nowUs;
	batch.packets[0] = packet;
	policyCheck(net, batch, direction);
	net.rehearsing = false;
	into.policy = run.policy;
	into.second = run.main;
	into.verdict = packet.action === PacketAction.Drop ? (packet.verdict as Verdict) : Verdict.Pass;
}

/** The flow of a packet as live output would decode it, its route's device included. */
export function rehearsedFlow(net: Namespace, packet: PacketBuffer): boolean {
	return decodeFlow(packet.flow, packet, false, net.profile.genericDissector);
}

function begin(net: Namespace, nowUs: number): void {
	net.now[0] = nowUs;
	net.processor = 0;
	net.rehearsing = true;
	net.rehearsedAcquire = false;
}
