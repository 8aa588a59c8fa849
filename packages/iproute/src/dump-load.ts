/**
 * An object of a dump → the request that makes it again. The kernel takes a state's counters and its replay
 * window by LTIME_VAL, REPLAY_VAL and REPLAY_ESN_VAL; what no request can say (statistics, times of use of
 * policies) is the loader's business.
 */
import {
	attribute,
	attributeValue,
	MessageFlag,
	type UserSaInfo,
	type XfrmAttribute,
	type XfrmMessage,
} from '@xfrm/netlink';
import { IpProto } from '@xfrm/wire/xfrm';
import type { DumpedObject } from './dump-object.ts';

/** Attributes of dumps that requests do not repeat. */
const ANSWER_ONLY = new Set(['lastused', 'secCtx', 'offloadDev']);

const HAS_ALGORITHM = new Set(['algAuth', 'algAuthTrunc', 'algAead', 'algCrypt', 'algComp']);

/**
 * What an object of a dump is to a loader: one to `add`; a `larval` state, which no NEWSA makes; a `helper`
 * of IPComp, which comes with its state; or a `socket`'s policy, whose socket is not here.
 */
export function loadKind(object: DumpedObject): 'add' | 'larval' | 'helper' | 'socket' {
	if (object.kind === 'policy') {
		return object.message.body.direction > 2 ? 'socket' : 'add';
	}
	const { body, attributes } = object.message;
	const { proto, spi } = body.id;
	if (proto === IpProto.Ipip || proto === IpProto.Ipv6) {
		return 'helper';
	}
	const isIpsec = proto === IpProto.Esp || proto === IpProto.Ah || proto === IpProto.Comp;
	const isLarval = isIpsec && !attributes.some(({ name }) => HAS_ALGORITHM.has(name));
	const waits = proto !== IpProto.Routing && proto !== IpProto.DestinationOptions;
	return isLarval || (waits && isIpsec && spi === 0) ? 'larval' : 'add';
}

function stateRequest(body: UserSaInfo, attributes: readonly XfrmAttribute[]): XfrmMessage {
	const told = attributes.filter(({ name }) => !ANSWER_ONLY.has(name));
	const { bytes, packets, addTime, useTime } = body.lifetimeCurrent;
	const counted = bytes !== 0 || packets !== 0 || addTime !== 0 || useTime !== 0;
	const current = counted ? [attribute('ltimeVal', body.lifetimeCurrent)] : [];
	return {
		name: 'newsa',
		flags: MessageFlag.Request | MessageFlag.Ack,
		seq: 1,
		pid: 0,
		body,
		attributes: [...told, ...current],
	};
}

/** The request that adds an object as the dump tells of it. */
export function loadRequest(object: DumpedObject): XfrmMessage {
	if (object.kind === 'state') {
		return stateRequest(object.message.body, object.message.attributes);
	}
	const { body, attributes } = object.message;
	return {
		name: 'newpolicy',
		flags: MessageFlag.Request | MessageFlag.Ack,
		seq: 1,
		pid: 0,
		body,
		attributes: attributes.filter(({ name }) => !ANSWER_ONLY.has(name)),
	};
}

/** Last use that a state's dump tells of, Unix seconds, 0 for none. */
export function lastUsedOf(object: DumpedObject): number {
	return attributeValue(object.message.attributes, 'lastused') ?? 0;
}
