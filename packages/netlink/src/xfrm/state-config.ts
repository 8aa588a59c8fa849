/**
 * States as messages and as values: what a NEWSA says ↔ `StateConfig`, and the payload and attributes
 * by which the kernel shows a state (net/xfrm/xfrm_user.c: copy_to_user_state_extra).
 */
import {
	type IptfsConfig,
	Mode,
	SaDirection,
	type StateConfig,
	type StateSnapshot,
} from '@xfrm/wire/xfrm';
import {
	type AttributeName,
	type AttributeValues,
	attribute,
	type XfrmAttribute,
} from './attributes.ts';
import type { UserSaInfo } from './state.ts';

/** Where attributes are looked up by name: a list, or a request that was checked. */
export interface AttributeSource {
	get<N extends AttributeName>(name: N): AttributeValues[N] | undefined;
}

function iptfsOf(from: AttributeSource): IptfsConfig | undefined {
	const iptfs = {
		...optional('dropTimeUs', from.get('iptfsDropTime')),
		...optional('reorderWindow', from.get('iptfsReorderWindow')),
		...optional('dontFragment', from.get('iptfsDontFrag')),
		...optional('initDelayUs', from.get('iptfsInitDelay')),
		...optional('maxQueueOctets', from.get('iptfsMaxQsize')),
		...optional('packetOctets', from.get('iptfsPktSize')),
	};
	return Object.keys(iptfs).length === 0 ? undefined : iptfs;
}

/** The property, if there is a value: `exactOptionalPropertyTypes` tells absent from undefined. */
export function optional<K extends string, V>(
	key: K,
	value: V | undefined,
): { readonly [P in K]?: V } {
	// A computed key widens to string; K is the literal.
	return (value === undefined ? {} : { [key]: value }) as { readonly [P in K]?: V };
}

/**
 * What a NEWSA or UPDSA says. ALG_AUTH_TRUNC wins over ALG_AUTH; a mask without SET_MARK is ignored.
 *
 * @spec section 2.3 NEWSA
 */
export function stateConfigOf(body: UserSaInfo, from: AttributeSource): StateConfig {
	const authPlain = from.get('algAuth');
	const setMark = from.get('setMark');
	const context = from.get('secCtx');
	return {
		id: body.id,
		saddr: body.saddr,
		family: body.family,
		selector: body.selector,
		lifetime: body.lifetime,
		reqid: body.reqid,
		mode: body.mode,
		replayWindow: body.replayWindow,
		flags: body.flags,
		seq: body.seq,
		...optional('aead', from.get('algAead')),
		...optional('auth', from.get('algAuthTrunc') ?? (authPlain && { ...authPlain, truncBits: 0 })),
		...optional('crypt', from.get('algCrypt')),
		...optional('comp', from.get('algComp')),
		...optional('encap', from.get('encap')),
		...optional('coaddr', from.get('coaddr')),
		...optional(
			'securityContext',
			context && { alg: context.ctxAlg, doi: context.ctxDoi, context: context.context },
		),
		...optional('replay', from.get('replayVal')),
		...optional('replayEsn', from.get('replayEsnVal')),
		...optional('replayThreshold', from.get('replayThresh')),
		...optional('expiryTimer', from.get('etimerThresh')),
		...optional('lifetimeCurrent', from.get('ltimeVal')),
		...optional('tfcpad', from.get('tfcpad')),
		...optional('mark', from.get('mark')),
		...optional(
			'outputMark',
			setMark === undefined ? undefined : { v: setMark, m: from.get('setMarkMask') ?? 0xffff_ffff },
		),
		...optional('extraFlags', from.get('saExtraFlags')),
		...optional('offload', from.get('offloadDev')),
		...optional('ifId', from.get('ifId')),
		...optional('mappingThresholdSeconds', from.get('mtimerThresh')),
		...optional('direction', from.get('saDir')),
		...optional('natKeepaliveSeconds', from.get('natKeepaliveInterval')),
		...optional('pcpu', from.get('saPcpu')),
		...optional('iptfs', iptfsOf(from)),
	};
}

/** The `xfrm_usersa_info` of a state. */
export function stateBody(state: StateSnapshot): UserSaInfo {
	return {
		selector: state.selector,
		id: state.id,
		saddr: state.saddr,
		lifetime: state.lifetime,
		lifetimeCurrent: state.lifetimeCurrent,
		stats: state.stats,
		seq: state.seq,
		reqid: state.reqid,
		family: state.family,
		mode: state.mode,
		replayWindow: state.replayWindow,
		flags: state.flags,
	};
}

/** Attributes in the making: absent values are left out. */
export class AttributeCollector {
	readonly list: XfrmAttribute[] = [];

	/** Adds the attribute if there is a value. */
	add<N extends AttributeName>(name: N, value: AttributeValues[N] | undefined): this {
		if (value !== undefined) {
			this.list.push(attribute(name, value));
		}
		return this;
	}

	/** Adds the number if it is not zero. */
	addNonZero<N extends AttributeName>(
		name: AttributeValues[N] extends number ? N : never,
		value: number | undefined,
	): this {
		// The condition on `name` says that this attribute's value is a number.
		return value === undefined || value === 0 ? this : this.add(name, value as AttributeValues[N]);
	}

	/** Adds the mark if it says anything. */
	addMark(mark: { readonly v: number; readonly m: number } | undefined): this {
		return mark !== undefined && (mark.v !== 0 || mark.m !== 0) ? this.add('mark', mark) : this;
	}
}

/** Names and keys of the algorithms; both forms of authentication always (spec 2.3). */
function addAlgorithms(to: AttributeCollector, state: StateSnapshot): void {
	const { auth, comp } = state;
	to.add('algAead', state.aead)
		.add('algAuth', auth)
		.add('algAuthTrunc', auth)
		.add('algCrypt', state.crypt)
		.add('algComp', comp && { name: comp.name, key: new Uint8Array(0), keyBits: 0 });
}

/** IPTFS shows the settings of its direction only. */
function addIptfs(to: AttributeCollector, state: StateSnapshot): void {
	if (state.mode !== Mode.Iptfs) {
		return;
	}
	const { iptfs } = state;
	if (state.direction === SaDirection.In) {
		to.add('iptfsDropTime', iptfs?.dropTimeUs);
		to.add('iptfsReorderWindow', iptfs?.reorderWindow);
	} else {
		to.add('iptfsDontFrag', iptfs?.dontFragment === true ? true : undefined);
		to.add('iptfsInitDelay', iptfs?.initDelayUs);
		to.add('iptfsMaxQsize', iptfs?.maxQueueOctets);
		to.add('iptfsPktSize', iptfs?.packetOctets);
	}
}

/**
 * The attributes by which NEWSA, UPDSA, DELSA and dumps show a state, in the kernel's order.
 *
 * @spec section 2.3 NEWSA
 */
export function stateAttributes(state: StateSnapshot): readonly XfrmAttribute[] {
	const to = new AttributeCollector();
	to.addNonZero('saExtraFlags', state.extraFlags)
		.add('coaddr', state.coaddr)
		.addNonZero('lastused', state.lastUsed);
	addAlgorithms(to, state);
	to.add('encap', state.encap).addNonZero('tfcpad', state.tfcpad).addMark(state.mark);
	const out = state.outputMark;
	if (out !== undefined && (out.v !== 0 || out.m !== 0)) {
		to.add('setMark', out.v).add('setMarkMask', out.m);
	}
	if (state.replayEsn === undefined) {
		to.add('replayVal', state.replay ?? { oseq: 0, seq: 0, bitmap: 0 });
	} else {
		to.add('replayEsnVal', state.replayEsn);
	}
	to.add('offloadDev', state.offload).addNonZero('ifId', state.ifId);
	addIptfs(to, state);
	to.addNonZero('mtimerThresh', state.mappingThresholdSeconds)
		.add('saPcpu', state.pcpu)
		.addNonZero('saDir', state.direction)
		.addNonZero('natKeepaliveInterval', state.natKeepaliveSeconds);
	return to.list;
}
