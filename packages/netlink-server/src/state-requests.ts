/** Requests about states: NEWSA, UPDSA, DELSA, GETSA, ALLOCSPI, FLUSHSA, EXPIRE (spec 2.3). */
import type { StateQuery } from '@xfrm/engine';
import {
	attribute,
	type MessageBodies,
	optional,
	stateAttributes,
	stateBody,
	stateConfigOf,
	type UserSaId,
	type UserSaInfo,
} from '@xfrm/netlink';
import {
	anyAddress,
	Errno,
	Group,
	IpProto,
	type Mark,
	type StateConfig,
	type StateSnapshot,
} from '@xfrm/wire/xfrm';
import { buildMessage, notifyHeader, type RequestContext, replyHeader } from './context.ts';
import { expireMessage, saIdOf, stateMessage } from './notify.ts';
import { selectorFamily, verifyState } from './state-verify.ts';
import { stateAnswer } from './state-writer.ts';
import { invalid, refused, XfrmError } from './xfrm-error.ts';

/** How the engine refuses an algorithm of authentication that is not there. */
const NO_AUTH = 'Requested AUTH algorithm not found';
const LEGACY_WINDOW_MAX = 32;

/** The request's mark as lookups use it: v AND m, 0 without MARK. */
export function lookupMark(context: RequestContext): number {
	const mark = context.attributes.get('mark');
	return mark === undefined ? 0 : (mark.v & mark.m) >>> 0;
}

/** The request's mark as identities use it: 0/0 without MARK. */
export function exactMark(context: RequestContext): Mark {
	return context.attributes.get('mark') ?? { v: 0, m: 0 };
}

/** Has this protocol's state an SPI that names it (S-5)? */
function hasSpi(proto: number): boolean {
	return proto === IpProto.Esp || proto === IpProto.Ah || proto === IpProto.Comp;
}

/** How EXPIRE, NEWAE and GETAE name a state: by SPI only. */
export function queryBySpi(context: RequestContext, id: UserSaId): StateQuery {
	const { daddr, spi, proto, family } = id;
	return { id: { daddr, spi, proto }, family, mark: lookupMark(context) };
}

/** How GETSA and DELSA name a state. */
function queryOf(context: RequestContext, id: UserSaId): StateQuery {
	const query = queryBySpi(context, id);
	if (hasSpi(id.proto)) {
		return query;
	}
	// 255, which means ESP, AH and IPComp elsewhere, counts as a protocol with SPIs, that no state has.
	const given = context.attributes.get('srcaddr');
	return { ...query, saddr: given ?? (id.proto === IpProto.Raw ? anyAddress() : invalid()) };
}

/**
 * The configuration that a request asks for, as the kernel takes it over: an open selector gets the
 * state's family, the legacy window is cut to its bitmap. Without devices that could, offload is not
 * kept; without a security module neither is the label.
 *
 * @spec S-13 S-14
 */
function configOf(context: RequestContext, body: UserSaInfo): StateConfig {
	const { offload, securityContext, ...config } = stateConfigOf(body, context.attributes);
	return {
		...config,
		selector: { ...config.selector, family: selectorFamily(body) },
		replayWindow: Math.min(config.replayWindow, LEGACY_WINDOW_MAX),
	};
}

/** Refuses a processor that there is not; NEWSA has another error for the same fault. @spec S-33 */
export function refuseWrongProcessor({ attributes, engine }: RequestContext): void {
	const processor = attributes.get('saPcpu');
	if (processor !== undefined && processor >= engine.net.processors) {
		invalid(engine.net.profile.processorText ? 'pCPU number too big' : undefined);
	}
}

/** NEWSA and UPDSA. @spec S-7 S-9 S-10 S-11 N-17 */
function putState(context: RequestContext, name: 'newsa' | 'updsa', body: UserSaInfo): void {
	const { engine, nowUs, attributes } = context;
	verifyState(body, attributes, engine.net.profile);
	const config = configOf(context, body);
	const answer =
		name === 'newsa' ? engine.addState(config, nowUs) : engine.updateState(config, nowUs);
	if (answer.refusal !== undefined) {
		const { errno, message } = answer.refusal;
		// A configuration does not say by which attribute its authentication came.
		const isAuth = message === NO_AUTH && attributes.has('algAuthTrunc');
		refused(
			isAuth ? { errno, message: 'Requested AUTH_TRUNC algorithm not found' } : answer.refusal,
		);
	}
	// Of an update in place the engine answers the state that the request asked for: that is told (N-17).
	const { value } = answer;
	context.notify({
		group: Group.Sa,
		message: () => stateMessage(name, notifyHeader(context), engine.snapshotState(value)),
	});
}

export function newState(context: RequestContext, body: MessageBodies['newsa']): void {
	putState(context, 'newsa', body);
}

export function updateState(context: RequestContext, body: MessageBodies['updsa']): void {
	putState(context, 'updsa', body);
}

export function getState(context: RequestContext, body: MessageBodies['getsa']): void {
	const state = context.engine.findState(queryOf(context, body));
	if (state === undefined) {
		throw new XfrmError(Errno.ESRCH);
	}
	context.reply(stateAnswer(state, { flags: 0, ...replyHeader(context) }));
}

function deletedMessage(context: RequestContext, state: StateSnapshot): Uint8Array {
	return buildMessage('delsa', notifyHeader(context), saIdOf(state.id, state.family), [
		attribute('sa', stateBody(state)),
		...stateAttributes(state),
	]);
}

/** @spec S-12 S-19 */
export function deleteState(context: RequestContext, body: MessageBodies['delsa']): void {
	const answer = context.engine.deleteState(queryOf(context, body), context.nowUs);
	if (answer.refusal !== undefined) {
		refused(answer.refusal);
	}
	const { value } = answer;
	context.notify({ group: Group.Sa, message: () => deletedMessage(context, value) });
}

/** The kernels that do not say why have no sentence for it. */
function checkSpiRange(context: RequestContext, body: MessageBodies['allocspi']): void {
	const proto = body.info.id.proto;
	const says = context.engine.net.profile.refusalTexts;
	if (proto === IpProto.Comp && body.max >= 0x10000) {
		invalid(says ? 'IPCOMP SPI must be <= 65535' : undefined);
	}
	if (!hasSpi(proto)) {
		invalid(says ? 'Invalid protocol, must be one of AH, ESP, IPCOMP' : undefined);
	}
	if (body.min > body.max) {
		invalid(says ? 'Invalid SPI range: min > max' : undefined);
	}
}

/** ALLOCSPI: no notification (N-17). @spec section 2.3 ALLOCSPI */
export function allocSpi(context: RequestContext, body: MessageBodies['allocspi']): void {
	const { engine, attributes, nowUs } = context;
	checkSpiRange(context, body);
	refuseWrongProcessor(context);
	const { info, min, max } = body;
	const answer = engine.allocSpi(
		{
			id: info.id,
			saddr: info.saddr,
			family: info.family,
			mode: info.mode,
			reqid: info.reqid,
			seq: info.seq,
			min,
			max,
			...optional('mark', attributes.get('mark')),
			...optional('ifId', attributes.get('ifId')),
			...optional('direction', attributes.get('saDir')),
			...optional('pcpu', attributes.get('saPcpu')),
		},
		nowUs,
	);
	if (answer.refusal !== undefined) {
		const { errno, message } = answer.refusal;
		throw new XfrmError(errno, engine.net.profile.refusalTexts ? message : undefined);
	}
	context.reply(stateAnswer(answer.value, { flags: 0, ...replyHeader(context) }));
}

/** One notification for all, none when nothing went (N-17). */
export function flushStates(context: RequestContext, body: MessageBodies['flushsa']): void {
	if (context.engine.flushStates(body.proto, context.nowUs) > 0) {
		context.notify({
			group: Group.Sa,
			message: () => buildMessage('flushsa', notifyHeader(context), body),
		});
	}
}

/** @spec section 2.3 EXPIRE */
export function expireState(context: RequestContext, body: MessageBodies['expire']): void {
	const { id, family } = body.state;
	const query = queryBySpi(context, saIdOf(id, family));
	const hard = body.hard !== 0;
	const answer = context.engine.expireState(query, hard, context.nowUs);
	if (answer.refusal !== undefined) {
		refused(answer.refusal);
	}
	const event = { kind: 'expire', state: answer.value, hard } as const;
	context.notify({ group: Group.Expire, message: () => expireMessage(event, context.request.pid) });
}
