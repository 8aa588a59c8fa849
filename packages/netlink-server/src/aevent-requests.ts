/** Requests about replay and lifetime values: NEWAE and GETAE (spec 2.3). */
import { type AeventUpdate, StateCondition } from '@xfrm/engine';
import { type MessageBodies, MessageFlag, optional } from '@xfrm/netlink';
import { AeventFlag, Errno, Group, type StateSnapshot } from '@xfrm/wire/xfrm';
import { notifyHeader, type RequestContext } from './context.ts';
import { aeventMessage } from './notify.ts';
import { queryBySpi } from './state-requests.ts';
import { invalid, refused, XfrmError } from './xfrm-error.ts';

/** A bitmap that replaces the state's has to be of its size. A state without one ignores it. */
function checkBitmap(context: RequestContext, state: StateSnapshot, says: boolean): void {
	const update = context.attributes.get('replayEsnVal');
	const existing = state.replayEsn;
	if (update === undefined || existing === undefined) {
		return;
	}
	if (context.attributes.lengthOf('replayEsnVal') < 24 + 4 * update.bmpLen) {
		invalid(says ? 'ESN attribute is too short' : undefined);
	}
	if (existing.bmpLen !== update.bmpLen) {
		invalid(says ? "New ESN size doesn't match the existing SA's ESN size" : undefined);
	}
	if (update.replayWindow > update.bmpLen * 32) {
		invalid(says ? 'ESN replay window is longer than the bitmap' : undefined);
	}
}

/** Sets values of a state. @spec section 2.3 NEWAE */
export function newAevent(context: RequestContext, body: MessageBodies['newae']): void {
	const { engine, attributes, nowUs } = context;
	const says = engine.net.profile.refusalTexts;
	const update: AeventUpdate = {
		...optional('lifetimeCurrent', attributes.get('ltimeVal')),
		...optional('replay', attributes.get('replayVal')),
		...optional('replayEsn', attributes.get('replayEsnVal')),
		...optional('expiryTimer', attributes.get('etimerThresh')),
		...optional('replayThreshold', attributes.get('replayThresh')),
	};
	if (Object.keys(update).length === 0) {
		invalid(says ? 'Missing required attribute for AE' : undefined);
	}
	if ((context.request.flags & MessageFlag.Replace) === 0) {
		invalid(says ? 'NLM_F_REPLACE flag is required' : undefined);
	}
	const query = queryBySpi(context, body.saId);
	const state = engine.findState(query);
	if (state === undefined) {
		throw new XfrmError(Errno.ESRCH);
	}
	if (state.condition !== StateCondition.Valid) {
		invalid(says ? 'SA must be in VALID state' : undefined);
	}
	checkBitmap(context, engine.snapshotState(state), says);
	const answer = engine.updateAevent(
		query,
		{ ...update, ...optional('mappingThresholdSeconds', attributes.get('mtimerThresh')) },
		nowUs,
	);
	if (answer.refusal !== undefined) {
		refused(answer.refusal);
	}
	const event = {
		kind: 'aevent',
		state: engine.snapshotState(answer.value),
		flags: AeventFlag.CausedByUpdate,
	} as const;
	context.notify({
		group: Group.Aevents,
		message: () => aeventMessage(event, notifyHeader(context)),
	});
}

/** Tells values of a state; the flags of the answer are those of the request. */
export function getAevent(context: RequestContext, body: MessageBodies['getae']): void {
	const { engine } = context;
	const state = engine.findState(queryBySpi(context, body.saId));
	if (state === undefined) {
		throw new XfrmError(Errno.ESRCH);
	}
	const event = {
		kind: 'aevent',
		state: engine.snapshotState(state),
		flags: body.flags,
	} as const;
	// As in the kernel: the port id is what the requester wrote, not what it has.
	context.reply(aeventMessage(event, notifyHeader(context)));
}
