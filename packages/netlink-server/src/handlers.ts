/** Which function answers which request, by message name (net/xfrm/xfrm_user.c: xfrm_dispatch). */
import type { MessageBodies, MessageName } from '@xfrm/netlink';
import { getAevent, newAevent } from './aevent-requests.ts';
import type { RequestContext } from './context.ts';
import {
	getDefault,
	getSadInfo,
	getSpdInfo,
	migrate,
	setDefault,
	setThresholds,
} from './info-requests.ts';
import { migrateState } from './migrate-state-request.ts';
import {
	acquire,
	deletePolicy,
	expirePolicy,
	flushPolicies,
	getPolicy,
	newPolicy,
	updatePolicy,
} from './policy-requests.ts';
import {
	allocSpi,
	deleteState,
	expireState,
	flushStates,
	getState,
	newState,
	updateState,
} from './state-requests.ts';

export type Handler<N extends MessageName> = (
	context: RequestContext,
	body: MessageBodies[N],
) => void;

/** NEWSADINFO, REPORT and MAPPING have none: they are EINVAL (N-6). */
export const HANDLERS: { readonly [N in MessageName]?: Handler<N> } = {
	newsa: newState,
	updsa: updateState,
	delsa: deleteState,
	getsa: getState,
	allocspi: allocSpi,
	flushsa: flushStates,
	expire: expireState,
	newae: newAevent,
	getae: getAevent,
	delpolicy: deletePolicy,
	getpolicy: getPolicy,
	flushpolicy: flushPolicies,
	polexpire: expirePolicy,
	acquire,
	migrate,
	migratestate: migrateState,
	getsadinfo: getSadInfo,
	getspdinfo: getSpdInfo,
	newspdinfo: setThresholds,
	setdefault: setDefault,
	getdefault: getDefault,
};

/** Those that read their payload themselves, because they come a hundred thousand times. */
export const READING_HANDLERS: { readonly [N in MessageName]?: (context: RequestContext) => void } =
	{
		newpolicy: newPolicy,
		updpolicy: updatePolicy,
	};
