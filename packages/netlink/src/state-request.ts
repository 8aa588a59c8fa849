/**
 * States in requests and answers of a client: a `StateConfig` ↔ what a NEWSA or UPDSA says. The opposite
 * reading, a request as the server understands it, is xfrm/state-config.ts.
 */
import {
	anySelector,
	type LifetimeCurrent,
	type SecurityContext,
	type StateConfig,
	type StateSnapshot,
	UNLIMITED,
	UNUSED,
} from '@xfrm/wire/xfrm';
import { attributeValue, type XfrmAttribute } from './xfrm/attributes.ts';
import type { UserSecCtx } from './xfrm/selector.ts';
import type { UserSaInfo } from './xfrm/state.ts';
import { AttributeCollector, stateConfigOf } from './xfrm/state-config.ts';

/** `XFRMA_SEC_CTX`, which a label repeats in its header. */
const SEC_CTX = 8;
const SEC_CTX_OCTETS = 8;

/** A state to be made: what is left out is what `ip xfrm state add` would send. */
export type StateInput = Pick<StateConfig, 'id' | 'saddr' | 'family'> & Partial<StateConfig>;

/** A state as the kernel tells of it. */
export type KernelState = Omit<StateSnapshot, 'condition' | 'kernelOwned'>;

/** The whole configuration of what was given. */
export function completeState(input: StateInput): StateConfig {
	return {
		selector: anySelector(input.family),
		lifetime: UNLIMITED,
		reqid: 0,
		mode: 0,
		replayWindow: 0,
		flags: 0,
		seq: 0,
		...input,
	};
}

/** The payload of a NEWSA or UPDSA. */
export function stateRequestBody(config: StateConfig): UserSaInfo {
	const { id, saddr, family, selector, lifetime, reqid, mode, replayWindow, flags, seq } = config;
	return {
		selector,
		id,
		saddr,
		lifetime,
		lifetimeCurrent: UNUSED,
		stats: { replayWindow: 0, replay: 0, integrityFailed: 0 },
		seq,
		reqid,
		family,
		mode,
		replayWindow,
		flags,
	};
}

/** A label with its header. */
export function secCtxOf(context: SecurityContext | undefined): UserSecCtx | undefined {
	return (
		context && {
			len: SEC_CTX_OCTETS + context.context.length,
			exttype: SEC_CTX,
			ctxAlg: context.alg,
			ctxDoi: context.doi,
			ctxLen: context.context.length,
			context: context.context,
		}
	);
}

/** The attributes of a NEWSA or UPDSA, by number; a `truncBits` of 0 is sent as ALG_AUTH. */
export function stateRequestAttributes(config: StateConfig): readonly XfrmAttribute[] {
	const { auth, outputMark, iptfs } = config;
	const truncated = auth !== undefined && auth.truncBits !== 0;
	return new AttributeCollector()
		.add('algAuth', truncated ? undefined : auth)
		.add('algCrypt', config.crypt)
		.add('algComp', config.comp)
		.add('encap', config.encap)
		.add('secCtx', secCtxOf(config.securityContext))
		.add('ltimeVal', config.lifetimeCurrent)
		.add('replayVal', config.replay)
		.add('replayThresh', config.replayThreshold)
		.add('etimerThresh', config.expiryTimer)
		.add('coaddr', config.coaddr)
		.add('algAead', config.aead)
		.add('algAuthTrunc', truncated ? auth : undefined)
		.add('mark', config.mark)
		.add('tfcpad', config.tfcpad)
		.add('replayEsnVal', config.replayEsn)
		.add('saExtraFlags', config.extraFlags)
		.add('offloadDev', config.offload)
		.add('setMark', outputMark?.v)
		.add('setMarkMask', outputMark?.m)
		.add('ifId', config.ifId)
		.add('mtimerThresh', config.mappingThresholdSeconds)
		.add('saDir', config.direction)
		.add('natKeepaliveInterval', config.natKeepaliveSeconds)
		.add('saPcpu', config.pcpu)
		.add('iptfsDropTime', iptfs?.dropTimeUs)
		.add('iptfsReorderWindow', iptfs?.reorderWindow)
		.add('iptfsDontFrag', iptfs?.dontFragment === true ? true : undefined)
		.add('iptfsInitDelay', iptfs?.initDelayUs)
		.add('iptfsMaxQsize', iptfs?.maxQueueOctets)
		.add('iptfsPktSize', iptfs?.packetOctets).list;
}

/** Reads the state that a NEWSA, UPDSA, EXPIRE or an attribute XFRMA_SA tells of. */
export function kernelStateOf(body: UserSaInfo, attributes: readonly XfrmAttribute[]): KernelState {
	const config = stateConfigOf(body, {
		get: (name) => attributeValue(attributes, name),
	});
	const lifetimeCurrent: LifetimeCurrent = body.lifetimeCurrent;
	const lastUsed = attributeValue(attributes, 'lastused');
	const state = { ...config, lifetimeCurrent, stats: body.stats };
	return lastUsed === undefined ? state : { ...state, lastUsed };
}
