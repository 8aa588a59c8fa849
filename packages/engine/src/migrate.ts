/**
 * Moving the endpoints of a policy and its states: MIGRATE (net/xfrm/xfrm_policy.c: xfrm_migrate,
 * xfrm_state.c: xfrm_state_migrate). States are cloned under their new addresses, then the policy's
 * templates change, then the old states go; a failure before that undoes everything.
 */
import { Flow } from '@xfrm/wire';
import {
	addressEquals,
	Direction,
	type Encap,
	Errno,
	Family,
	IpProto,
	isAnyAddress,
	MAX_DEPTH,
	type MigrateEntry,
	Mode,
	type Refusal,
	type StateConfig,
	type Template,
} from '@xfrm/wire/xfrm';
import type { MigrateRequest } from './engine.ts';
import { NONE } from './hash-chains.ts';
import { attachHelper } from './helper-states.ts';
import type { Namespace } from './namespace.ts';
import { PolicyList, type XfrmPolicy } from './policy.ts';
import { comesBefore } from './policy-order.ts';
import { pairHash, wordsEqual } from './sad.ts';
import { addressWords } from './selector-match.ts';
import { selectorsEqual } from './spd.ts';
import { StateCondition, type XfrmState } from './state.ts';
import { insertUnique } from './state-commands.ts';
import { initState } from './state-init.ts';
import { deleteState, disposeState, insertState } from './state-life.ts';

/**
 * Carries a migration out, whole or not at all, and tells key managers.
 *
 * @spec G-1 G-2 G-3 G-4 G-5 G-6 G-7
 */
export function migrate(net: Namespace, request: MigrateRequest): Refusal | undefined {
	const refusal = checkRequest(request);
	if (refusal !== undefined) {
		return refusal;
	}
	const { family } = request.selector;
	if (net.profile.migrateByFlow && !hasAddresses(family)) {
		return { errno: Errno.EAFNOSUPPORT, message: 'Target policy not found' };
	}
	const policy = net.profile.migrateByFlow
		? findByFlow(net, request)
		: findBySelector(net, request);
	if (policy === null) {
		return { errno: Errno.ENOENT, message: 'Target policy not found' };
	}
	const olds: XfrmState[] = [];
	const clones: XfrmState[] = [];
	for (const entry of request.entries) {
		const state = findMigrating(net, entry, request.ifId | 0);
		if (state === null) {
			continue;
		}
		const clone = cloneState(net, state, entry, request.encap);
		if (clone === null) {
			clones.forEach((made) => void deleteState(net, made));
			return { errno: Errno.ENODATA };
		}
		olds.push(state);
		clones.push(clone);
	}
	if (!moveTemplates(policy, request.entries)) {
		clones.forEach((made) => void deleteState(net, made));
		return { errno: Errno.ENODATA };
	}
	net.generation++;
	net.watcher?.policyChanged(policy, null);
	olds.forEach((state) => void deleteState(net, state));
	const { selector, direction, type, entries, kmAddress, encap } = request;
	net.emit({
		kind: 'migrate',
		selector,
		direction,
		type,
		entries,
		...(kmAddress === undefined ? {} : { kmAddress }),
		...(encap === undefined ? {} : { encap }),
	});
	return undefined;
}

/** Is it a family whose addresses the kernel looks at? */
function hasAddresses(family: number): boolean {
	return family === Family.Ipv4 || family === Family.Ipv6;
}

/** @spec G-1 */
function checkRequest({ entries, direction }: MigrateRequest): Refusal | undefined {
	const refused = (message: string): Refusal => ({ errno: Errno.EINVAL, message });
	if (entries.length < 1 || entries.length > MAX_DEPTH) {
		return refused('Invalid number of SAs to migrate, must be 0 < num <= XFRM_MAX_DEPTH (6)');
	}
	for (const [i, entry] of entries.entries()) {
		const { newDaddr, newSaddr, newFamily } = entry;
		const isNull = isAnyAddress(newDaddr, newFamily) || isAnyAddress(newSaddr, newFamily);
		if (isNull && hasAddresses(newFamily)) {
			return refused("Addresses in the MIGRATE attribute's list cannot be null");
		}
		if (entries.slice(i + 1).some((other) => sameOrigin(entry, other))) {
			return refused("Entries in the MIGRATE attribute's list must be unique");
		}
	}
	return direction > Direction.Fwd ? refused('Invalid policy direction') : undefined;
}

/** Do both move the same state? All 16 octets of the addresses count. */
function sameOrigin(a: MigrateEntry, b: MigrateEntry): boolean {
	return (
		addressEquals(a.oldDaddr, b.oldDaddr, 10) &&
		addressEquals(a.oldSaddr, b.oldSaddr, 10) &&
		a.proto === b.proto &&
		a.mode === b.mode &&
		a.reqid === b.reqid &&
		a.oldFamily === b.oldFamily
	);
}

/**
 * From 6.12 on: what an ordinary lookup finds for a flow made of the selector's values, mark 0. Ports stand
 * where the kernel's flow has them for the protocol.
 *
 * @spec G-2
 */
function findByFlow(net: Namespace, request: MigrateRequest): XfrmPolicy | null {
	const { selector } = request;
	const flow = new Flow();
	flow.family = selector.family;
	flow.daddr.set(addressWords(selector.daddr, selector.family));
	flow.saddr.set(addressWords(selector.saddr, selector.family));
	flow.proto = selector.proto;
	if (selector.proto !== IpProto.Raw) {
		flow.oif = selector.ifindex;
		switch (selector.proto) {
			case IpProto.Tcp:
			case IpProto.Udp:
			case IpProto.UdpLite:
			case IpProto.Sctp:
				flow.sport = selector.sport;
				flow.dport = selector.dport;
				break;
			// The kernel's flow keeps all of these in one place, where the destination port comes first.
			case IpProto.Gre:
				flow.sport = selector.dport;
				flow.dport = selector.sport;
				break;
			case IpProto.Icmp:
			case IpProto.Icmpv6:
				flow.sport = selector.dport >> 8;
				flow.dport = selector.dport & 0xff;
				break;
			case IpProto.MobilityHeader:
				flow.sport = selector.dport >> 8;
				break;
			default:
				break;
		}
	}
	return net.spd.best(flow, request.direction, request.type, request.ifId | 0);
}

/**
 * Before 6.12: by the selector itself; with protocol 255 its addresses are enough. The exact list comes
 * first, an inexact policy only with a better priority.
 *
 * @spec G-2
 */
function findBySelector(net: Namespace, request: MigrateRequest): XfrmPolicy | null {
	const first: [exact: XfrmPolicy | null, other: XfrmPolicy | null] = [null, null];
	for (const policy of net.spd.policies()) {
		const place = policy.list === PolicyList.Exact ? 0 : 1;
		const other = first[place] ?? null;
		if (
			policy.socketId === 0 &&
			policy.direction === request.direction &&
			policy.type === request.type &&
			(request.ifId === 0 || policy.ifId === (request.ifId | 0)) &&
			selectorNames(request, policy) &&
			(other === null || comesBefore(policy, other))
		) {
			first[place] = policy;
		}
	}
	const [exact, other] = first;
	if (exact === null || other === null) {
		return exact ?? other;
	}
	return other.priority < exact.priority ? other : exact;
}

function selectorNames({ selector }: MigrateRequest, policy: XfrmPolicy): boolean {
	const target = policy.config.selector;
	if (selector.proto !== IpProto.Raw) {
		return selectorsEqual(selector, target);
	}
	return (
		target.family === selector.family &&
		addressEquals(target.daddr, selector.daddr, selector.family) &&
		addressEquals(target.saddr, selector.saddr, selector.family) &&
		target.prefixlenD === selector.prefixlenD &&
		target.prefixlenS === selector.prefixlenS
	);
}

/**
 * The one state that an entry moves, the newest of several.
 *
 * @spec G-3
 */
function findMigrating(net: Namespace, entry: MigrateEntry, ifId: number): XfrmState | null {
	const family = entry.oldFamily;
	const daddr = addressWords(entry.oldDaddr, family);
	const saddr = addressWords(entry.oldSaddr, family);
	const { byPair: index } = net.sad;
	for (
		let place = index.first(pairHash(family, daddr, saddr));
		place !== NONE;
		place = index.next(place)
	) {
		const state = index.owner(place);
		if (
			state !== null &&
			state.mode === entry.mode &&
			state.proto === entry.proto &&
			(entry.reqid === 0 || state.reqid === (entry.reqid | 0)) &&
			(ifId === 0 || state.ifId === ifId) &&
			wordsEqual(state.daddr, daddr, family) &&
			wordsEqual(state.saddr, saddr, family)
		) {
			return state;
		}
	}
	return null;
}

/**
 * A copy of a state with everything that it has become, under new addresses, in the table; null when it
 * cannot be.
 *
 * @spec G-4 G-5
 */
function cloneState(
	net: Namespace,
	state: XfrmState,
	entry: MigrateEntry,
	encap: Encap | undefined,
): XfrmState | null {
	// Old kernels keep the encapsulation, but not the interval of keepalives; new ones all of it or nothing.
	const { encap: encapOld, natKeepaliveSeconds, ...kept } = state.config;
	const { migrateKeepsEncap } = net.profile;
	const keepsInterval = !migrateKeepsEncap && encap !== undefined;
	const config: StateConfig = {
		...kept,
		...(migrateKeepsEncap && encapOld !== undefined ? { encap: encapOld } : {}),
		...(keepsInterval && natKeepaliveSeconds !== undefined ? { natKeepaliveSeconds } : {}),
		family: entry.newFamily,
		id: { daddr: entry.newDaddr, spi: state.spi >>> 0, proto: state.proto },
		saddr: entry.newSaddr,
		...(encap === undefined ? {} : { encap }),
	};
	const made = initState(net, config);
	if (made.refusal !== undefined) {
		return null;
	}
	const clone = made.value;
	copyProgress(state, clone);
	clone.mappingThresholdSeconds =
		migrateKeepsEncap || encap !== undefined ? state.mappingThresholdSeconds : 0;
	if (attachHelper(net, clone) !== undefined) {
		disposeState(net, clone);
		return null;
	}
	clone.condition = StateCondition.Valid;
	if (wordsEqual(state.daddr, clone.daddr, entry.newFamily)) {
		insertState(net, clone);
		return clone;
	}
	if (!insertUnique(net, clone)) {
		disposeState(net, clone);
		return null;
	}
	return clone;
}

/** Counters, window and limits go on where the old state stands. */
export function copyProgress(from: XfrmState, to: XfrmState): void {
	to.lifetime.set(from.lifetime);
	to.stats.fill(0);
	to.direction = from.direction;
	to.ifId = from.ifId;
	const { replay } = to;
	replay.windowPackets = from.replay.windowPackets;
	replay.counters.set(from.replay.counters);
	replay.bitmap.set(from.replay.bitmap);
	replay.reportedCounters.set(from.replay.reportedCounters);
	replay.reportedBitmap.set(from.replay.reportedBitmap);
	replay.maxDiff = from.replay.maxDiff;
	replay.maxAgeTicks = from.replay.maxAgeTicks;
}

/**
 * Gives the templates that entries name their new endpoints; false when there is none. Transport templates
 * have no endpoints: they only count.
 *
 * @spec G-6
 */
function moveTemplates(policy: XfrmPolicy, entries: readonly MigrateEntry[]): boolean {
	let isMoved = false;
	const templates = policy.templates.map((before) => {
		let template = before;
		for (const entry of entries) {
			if (!entryMeets(entry, template)) {
				continue;
			}
			isMoved = true;
			if (hasEndpoints(template.mode)) {
				template = {
					...template,
					id: { ...template.id, daddr: entry.newDaddr },
					saddr: entry.newSaddr,
					family: entry.newFamily,
				};
			}
		}
		return template;
	});
	if (isMoved) {
		policy.templates = templates;
	}
	return isMoved;
}

function hasEndpoints(mode: number): boolean {
	return mode === Mode.Tunnel || mode === Mode.Beet || mode === Mode.Iptfs;
}

function entryMeets(entry: MigrateEntry, template: Template): boolean {
	if (
		template.mode !== entry.mode ||
		template.id.proto !== entry.proto ||
		(entry.reqid !== 0 && template.reqid !== entry.reqid)
	) {
		return false;
	}
	if (hasEndpoints(template.mode)) {
		return (
			addressEquals(template.id.daddr, entry.oldDaddr, entry.oldFamily) &&
			addressEquals(template.saddr, entry.oldSaddr, entry.oldFamily)
		);
	}
	return template.mode === Mode.Transport;
}
