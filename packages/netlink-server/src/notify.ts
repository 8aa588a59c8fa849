/**
 * Notifications: what the engine tells (events) and what became of commands, as NETLINK_XFRM messages
 * (net/xfrm/xfrm_user.c: build_acquire, build_expire, build_aevent …; spec 2.2, N-16, N-17).
 */
import {
	type AcquireEvent,
	type AeventEvent,
	type EngineEvent,
	type ExpireEvent,
	type MappingEvent,
	type MigrateEvent,
	type PolicyExpireEvent,
	type ReportEvent,
	TICKS_PER_SECOND,
} from '@xfrm/engine';
import {
	AttributeCollector,
	attribute,
	policyAttributes,
	policyBody,
	stateAttributes,
	stateBody,
	type UserSaId,
	type XfrmAttribute,
} from '@xfrm/netlink';
import {
	AeventFlag,
	Direction,
	Group,
	type PolicySnapshot,
	type StateId,
	type StateSnapshot,
} from '@xfrm/wire/xfrm';
import { buildMessage, type Notification } from './context.ts';

/** Events of nobody's making carry neither sequence number nor port id. @spec N-16 */
const NOBODY = { seq: 0, pid: 0 };

/** Tenths of a second that ETIMER_THRESH is told in, from the ticks it is stored in (trap 17); u32 as the kernel's. */
function tenthsOf(ticks: number): number {
	return Math.floor(((ticks * 10) % 2 ** 32) / TICKS_PER_SECOND);
}

/** The `xfrm_usersa_id` of a state. */
export function saIdOf(id: StateId, family: number): UserSaId {
	return { daddr: id.daddr, spi: id.spi, family, proto: id.proto };
}

/** Mark, if_id, processor and direction, as EXPIRE and NEWAE end (S-36). */
function addIdentity(to: AttributeCollector, state: StateSnapshot): AttributeCollector {
	return to
		.addMark(state.mark)
		.addNonZero('ifId', state.ifId)
		.add('saPcpu', state.pcpu)
		.addNonZero('saDir', state.direction);
}

/** @spec A-1 S-24 */
function acquireMessage(event: AcquireEvent): Uint8Array {
	const { template, policy } = event;
	const body = {
		id: event.id,
		saddr: event.saddr,
		selector: event.selector,
		policy: policyBody({ ...policy, direction: Direction.Out }),
		aalgos: template.aalgos,
		ealgos: template.ealgos,
		calgos: template.calgos,
		seq: event.seq,
	};
	const attributes = new AttributeCollector()
		.add('tmpl', policy.templates.length === 0 ? undefined : policy.templates)
		.add('policyType', { type: policy.type })
		.addMark(policy.mark)
		.addNonZero('ifId', policy.ifId)
		.add('saPcpu', event.pcpu);
	return buildMessage('acquire', NOBODY, body, attributes.list);
}

/** EXPIRE of a state; `pid` is the requester's when a user forced it (N-16). @spec L-1 S-36 */
export function expireMessage(event: ExpireEvent, pid: number = 0): Uint8Array {
	const { state, hard } = event;
	return buildMessage(
		'expire',
		{ seq: 0, pid },
		{ state: stateBody(state), hard: hard ? 1 : 0 },
		addIdentity(new AttributeCollector(), state).list,
	);
}

/** POLEXPIRE of a policy; `pid` as above. @spec P-16 */
export function policyExpireMessage(event: PolicyExpireEvent, pid: number = 0): Uint8Array {
	const { policy, hard } = event;
	return buildMessage(
		'polexpire',
		{ seq: 0, pid },
		{ policy: policyBody(policy), hard: hard ? 1 : 0 },
		policyAttributes(policy),
	);
}

/** NEWAE: replay and lifetime values, thresholds if `flags` ask for them. @spec R-11 */
export function aeventMessage(
	event: AeventEvent,
	header: { readonly seq: number; readonly pid: number } = NOBODY,
): Uint8Array {
	const { state, flags } = event;
	const to = new AttributeCollector();
	if (state.replayEsn === undefined) {
		to.add('replayVal', state.replay ?? { oseq: 0, seq: 0, bitmap: 0 });
	} else {
		to.add('replayEsnVal', state.replayEsn);
	}
	to.add('ltimeVal', state.lifetimeCurrent);
	if ((flags & AeventFlag.ReplayThreshold) !== 0) {
		to.add('replayThresh', state.replayThreshold ?? 0);
	}
	if ((flags & AeventFlag.ExpiryTimer) !== 0) {
		to.add('etimerThresh', tenthsOf(state.expiryTimer ?? 0));
	}
	const body = {
		saId: saIdOf(state.id, state.family),
		saddr: state.saddr,
		flags,
		reqid: state.reqid,
	};
	return buildMessage('newae', header, body, addIdentity(to, state).list);
}

/** @spec T-60 */
function reportMessage(event: ReportEvent): Uint8Array {
	const attributes = new AttributeCollector().add('coaddr', event.address);
	return buildMessage(
		'report',
		NOBODY,
		{ proto: event.proto, selector: event.selector },
		attributes.list,
	);
}

/** @spec NT-7 */
function mappingMessage(event: MappingEvent): Uint8Array {
	return buildMessage('mapping', NOBODY, {
		id: saIdOf(event.id, event.family),
		reqid: event.reqid,
		oldSaddr: event.oldSaddr,
		newSaddr: event.newSaddr,
		oldSport: event.oldSport,
		newSport: event.newSport,
	});
}

/** One MIGRATE attribute an entry. @spec G-7 */
function migrateMessage(event: MigrateEvent): Uint8Array {
	const attributes: XfrmAttribute[] = [
		...new AttributeCollector()
			.add('kmaddress', event.kmAddress)
			.add('encap', event.encap)
			.add('policyType', { type: event.type }).list,
		...event.entries.map((entry) => attribute('migrate', [entry])),
	];
	return buildMessage(
		'migrate',
		NOBODY,
		{ selector: event.selector, index: 0, direction: event.direction },
		attributes,
	);
}

/** The message that an event becomes, and the group that hears of it. */
export function eventNotification(event: EngineEvent): Notification {
	switch (event.kind) {
		case 'acquire':
			return { group: Group.Acquire, message: () => acquireMessage(event) };
		case 'expire':
			return { group: Group.Expire, message: () => expireMessage(event) };
		case 'policy-expire':
			return { group: Group.Expire, message: () => policyExpireMessage(event) };
		case 'aevent':
			return { group: Group.Aevents, message: () => aeventMessage(event) };
		case 'report':
			return { group: Group.Report, message: () => reportMessage(event) };
		case 'mapping':
			return { group: Group.Mapping, message: () => mappingMessage(event) };
		case 'migrate':
			return { group: Group.Migrate, message: () => migrateMessage(event) };
	}
}

/** NEWSA or UPDSA. */
export function stateMessage(
	name: 'newsa' | 'updsa',
	header: { readonly flags?: number; readonly seq: number; readonly pid: number },
	state: StateSnapshot,
): Uint8Array {
	return buildMessage(name, header, stateBody(state), stateAttributes(state));
}

/** NEWPOLICY or UPDPOLICY. */
export function policyMessage(
	name: 'newpolicy' | 'updpolicy',
	header: { readonly flags?: number; readonly seq: number; readonly pid: number },
	policy: PolicySnapshot,
): Uint8Array {
	return buildMessage(name, header, policyBody(policy), policyAttributes(policy));
}
