/**
 * MIGRATE_STATE: one state moves, named by SPI and mark (net/xfrm/xfrm_user.c: xfrm_do_migrate_state,
 * Linux 7.2). What the struct holds is taken as it is, zeros too; an attribute that is absent means that
 * the old state's value stays. By reading only: no kernel at hand has it.
 *
 * Daemons ask by an SPI that nobody has: EINVAL is a kernel too old, ESRCH one that knows the message.
 */
import {
	AttributeCollector,
	type AttributeName,
	type MessageBodies,
	optional,
} from '@xfrm/netlink';
import { type Encap, Family, Group, MigrateStateFlag, type StateSnapshot } from '@xfrm/wire/xfrm';
import { buildMessage, notifyHeader, type RequestContext } from './context.ts';
import type { RequestAttributes } from './request.ts';
import { checkSelector } from './state-verify.ts';
import { invalid, refused } from './xfrm-error.ts';

type Body = MessageBodies['migratestate'];

const KNOWN_FLAGS: number = MigrateStateFlag.ClearOffload | MigrateStateFlag.UpdateHostSelector;

const LISTED: ReadonlySet<AttributeName> = new Set<AttributeName>([
	'mark',
	'encap',
	'offloadDev',
	'setMark',
	'setMarkMask',
	'mtimerThresh',
	'natKeepaliveInterval',
]);

/** Refuses attributes that mean nothing here; other messages ignore such. @throws XfrmError */
export function checkMigrateStateAttributes(attributes: RequestAttributes): void {
	const offset = attributes.offsetOfUnlisted(LISTED);
	if (offset !== undefined) {
		invalid('Unsupported attribute in XFRM_MSG_MIGRATE_STATE', { offset });
	}
}

function verify(body: Body): void {
	if (body.id.spi === 0) {
		invalid('Invalid SPI 0x0');
	}
	if (body.reserved !== 0) {
		invalid('Reserved field must be zero');
	}
	const unknown = (body.flags & ~KNOWN_FLAGS) >>> 0;
	if (unknown !== 0) {
		invalid(`Unknown flags: 0x${unknown.toString(16)}`);
	}
	if (body.newFamily !== Family.Ipv4 && body.newFamily !== Family.Ipv6) {
		invalid('Invalid address family');
	}
	const { newSelector } = body;
	if (!followsHosts(body) && newSelector.family !== Family.Unspec) {
		checkSelector(newSelector, newSelector.family, 'Invalid address family in selector');
	}
}

/** Is the new selector to follow the addresses, whatever the request's says? */
function followsHosts(body: Body): boolean {
	return (body.flags & MigrateStateFlag.UpdateHostSelector) !== 0;
}

/** The encapsulation that is asked for: absent stays absent, type 0 means none. */
function encapOf(attributes: RequestAttributes): Encap | null | undefined {
	const encap = attributes.get('encap');
	return encap?.type === 0 ? null : encap;
}

/** @spec G-9 */
export function migrateState(context: RequestContext, body: Body): void {
	const { attributes, engine } = context;
	verify(body);
	const { daddr, spi, proto, family } = body.id;
	const setMark = attributes.get('setMark');
	const answer = engine.migrateState(
		{
			id: { daddr, spi, proto },
			family,
			oldMark: body.oldMark,
			to: { daddr: body.newDaddr, saddr: body.newSaddr, family: body.newFamily },
			reqid: body.newReqid,
			...(followsHosts(body) ? {} : { selector: body.newSelector }),
			...optional('mark', attributes.get('mark')),
			...optional(
				'outputMark',
				setMark === undefined
					? undefined
					: { v: setMark, m: attributes.get('setMarkMask') ?? 0xffff_ffff },
			),
			...optional('encap', encapOf(attributes)),
			...optional('mappingThresholdSeconds', attributes.get('mtimerThresh')),
			...optional('natKeepaliveSeconds', attributes.get('natKeepaliveInterval')),
		},
		context.nowUs,
	);
	if (answer.refusal !== undefined) {
		refused(answer.refusal);
	}
	const moved = engine.snapshotState(answer.value);
	context.notify({ group: Group.Migrate, message: () => movedMessage(context, body, moved) });
}

/** The request again, with the selector that the state has now, and what became of the rest. */
function movedMessage(context: RequestContext, body: Body, state: StateSnapshot): Uint8Array {
	const { attributes } = context;
	const to = new AttributeCollector()
		.add('encap', attributes.get('encap') ?? state.encap)
		.add('offloadDev', attributes.get('offloadDev'))
		.add('mark', attributes.get('mark'));
	const out = state.outputMark;
	if (out !== undefined && (out.v !== 0 || out.m !== 0)) {
		to.add('setMark', out.v).add('setMarkMask', out.m);
	}
	to.addNonZero('mtimerThresh', state.mappingThresholdSeconds)
		.addNonZero('natKeepaliveInterval', state.natKeepaliveSeconds)
		.addNonZero('saDir', state.direction);
	const told = { ...body, newSelector: state.selector };
	return buildMessage('migratestate', notifyHeader(context), told, to.list);
}
