/**
 * Does an edit harm what it is not about? Every policy that protects or blocks something is asked by a flow of
 * its own, a witness, before and after: none may leave or come in clear that did not, and no policy may lose
 * the states that it had.
 */
import type { EngineDoor, XfrmPolicy, XfrmState } from '@xfrm/engine';
import { Flow, setFlowAddress } from '@xfrm/wire';
import {
	type Address,
	addressEquals,
	DefaultAction,
	Direction,
	isAnyAddress,
	Mode,
	PolicyAction,
	PolicyType,
	type Template,
} from '@xfrm/wire/xfrm';
import type { Explainer } from './explainer.ts';
import { network, wordsAddress } from './fix-parts.ts';

/** Policies that get a witness; those of the largest tables are the newest. */
const WITNESSES_MAX = 20_000;
/** States that are compared with templates. */
const STATES_MAX = 2_000;

type Treatment = 'clear' | 'protected' | 'blocked';

interface Witness {
	readonly flow: Flow;
	readonly direction: number;
	readonly ifId: number;
	readonly treatment: Treatment;
}

/** What has to stay as it is. */
export interface Protection {
	readonly witnesses: readonly Witness[];
	/** Templates that a state satisfies, as text. */
	readonly satisfied: ReadonlySet<string>;
}

/** Takes stock of the rules before an edit. */
export function protectionOf(before: Explainer): Protection {
	const { engine } = before.world;
	const witnesses: Witness[] = [];
	for (const policy of engine.policies()) {
		if (policy.socketId !== 0 || witnesses.length >= WITNESSES_MAX) {
			continue;
		}
		const flow = witnessOf(policy);
		const treatment = treat(engine, flow, policy.direction, policy.ifId);
		if (treatment !== 'clear') {
			witnesses.push({ flow, direction: policy.direction, ifId: policy.ifId, treatment });
		}
	}
	const satisfied = new Set<string>();
	for (const [key, isSatisfied] of demandsOf(engine)) {
		if (isSatisfied) {
			satisfied.add(key);
		}
	}
	return { witnesses, satisfied };
}

/** The required templates of all policies, each once: does a state satisfy them? */
function demandsOf(engine: EngineDoor): ReadonlyMap<string, boolean> {
	const demands = new Map<string, boolean>();
	const states = [...engine.states()];
	if (states.length > STATES_MAX) {
		return demands;
	}
	for (const policy of engine.policies()) {
		for (const template of policy.templates) {
			const { reqid, mode, id, saddr, optional } = template;
			const key = `${policy.direction} ${reqid} ${mode} ${id.proto} ${id.daddr} ${saddr}`;
			if (optional === 0 && !demands.has(key)) {
				const family = template.family || policy.family;
				demands.set(
					key,
					states.some((one) => fits(template, family, one, policy.direction)),
				);
			}
		}
	}
	return demands;
}

/** Is everything still protected, blocked and satisfied that was? The packet's own flow may be excepted. */
export function isHarmless(
	protection: Protection,
	after: Explainer,
	except:
		| { readonly family: number; readonly source: Uint8Array; readonly destination: Uint8Array }
		| undefined,
): boolean {
	const { engine } = after.world;
	const own = new Flow();
	if (except !== undefined) {
		setFlowAddress(own.saddr, except.source, except.family);
		setFlowAddress(own.daddr, except.destination, except.family);
	}
	const isOwn = (flow: Flow): boolean =>
		except !== undefined &&
		flow.saddr.every((word, i) => word === own.saddr[i]) &&
		flow.daddr.every((word, i) => word === own.daddr[i]);
	const demands = demandsOf(engine);
	return (
		protection.witnesses.every(
			({ flow, direction, ifId }) =>
				treat(engine, flow, direction, ifId) !== 'clear' ||
				isOwn(flow) ||
				(direction === Direction.Out && ifId === 0 && isCaughtByInterface(after, flow)),
		) &&
		// A template that was changed is no demand any more.
		[...protection.satisfied].every((key) => demands.get(key) !== false)
	);
}

/** Is it routed into an XFRM interface, whose own policies do not let it out in clear? */
function isCaughtByInterface({ world }: Explainer, flow: Flow): boolean {
	const to = wordsAddress(flow.daddr);
	// Forwarded packets have sources that are not this host's: any will do.
	const route = world.host.lookupRoute(flow.family, to, new Uint8Array(16), flow.mark, 0);
	const name = route === undefined ? undefined : world.deviceName(route.ifindex);
	const { virtual } = (name === undefined ? undefined : world.host.device(name)) ?? {};
	return (
		virtual?.kind === 'xfrm' && treat(world.engine, flow, Direction.Out, virtual.ifId) !== 'clear'
	);
}

/** A flow that the policy's selector takes: its first addresses. */
function witnessOf(policy: XfrmPolicy): Flow {
	const { selector } = policy.config;
	const { family } = policy;
	const flow = new Flow();
	flow.family = family;
	setFlowAddress(flow.saddr, network(selector.saddr, selector.prefixlenS), family);
	setFlowAddress(flow.daddr, network(selector.daddr, selector.prefixlenD), family);
	flow.proto = selector.proto;
	flow.sport = selector.sport;
	flow.dport = selector.dport;
	flow.mark = policy.markValue;
	flow.oif = selector.ifindex;
	return flow;
}

function treat(engine: EngineDoor, flow: Flow, direction: number, ifId: number): Treatment {
	const { spd, defaults } = engine.net;
	const sub = spd.best(flow, direction, PolicyType.Sub, ifId);
	const main =
		sub === null || sub.action === PolicyAction.Allow
			? spd.best(flow, direction, PolicyType.Main, ifId)
			: null;
	const met = [sub, main].filter((policy) => policy !== null);
	if (met.length === 0) {
		return defaults[direction] === DefaultAction.Block ? 'blocked' : 'clear';
	}
	if (met.some((policy) => policy.action !== PolicyAction.Allow)) {
		return 'blocked';
	}
	return met.some((policy) => policy.templates.some((template) => template.optional === 0))
		? 'protected'
		: 'clear';
}

/** Could the state serve the template? Only what both say for certain is compared. */
function fits(template: Template, family: number, state: XfrmState, direction: number): boolean {
	const { config } = state;
	const { id, saddr } = template;
	const out = direction === Direction.Out;
	// The check of what came in looks at the source only, and takes reqid 0 for any.
	const reqid = state.reqid >>> 0 === template.reqid >>> 0 || (!out && template.reqid === 0);
	if (state.proto !== id.proto || state.mode !== template.mode || !reqid) {
		return false;
	}
	const same = (wanted: Address, have: Address): boolean =>
		isAnyAddress(wanted, family) ||
		isAnyAddress(have, family) ||
		addressEquals(wanted, have, family);
	const here = template.mode === Mode.Transport || state.family === family;
	return here && same(saddr, config.saddr) && (!out || same(id.daddr, config.id.daddr));
}
