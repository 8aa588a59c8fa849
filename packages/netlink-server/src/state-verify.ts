/**
 * What NEWSA and UPDSA have to satisfy before a state is made of them, check by check in the kernel's
 * order, since the first fault decides errno and sentence (net/xfrm/xfrm_user.c: verify_newsa_info; spec
 * 2.3, S-30 … S-33). What the engine checks later (algorithms, modes, types) is not here.
 */
import type { KernelProfile } from '@xfrm/engine';
import { type AttributeName, keyOctets, type UserSaInfo } from '@xfrm/netlink';
import {
	ExtraFlag,
	Family,
	IpProto,
	Mode,
	type ReplayEsn,
	SaDirection,
	type Selector,
	StateFlag,
} from '@xfrm/wire/xfrm';
import type { RequestAttributes } from './request.ts';
import { invalid } from './xfrm-error.ts';

const U32_MAX = 0xffff_ffff;
const BITMAP_WORDS_MAX = 128;

/** Attributes of mode IPTFS. */
const IPTFS: readonly AttributeName[] = [
	'iptfsDropTime',
	'iptfsReorderWindow',
	'iptfsDontFrag',
	'iptfsInitDelay',
	'iptfsMaxQsize',
	'iptfsPktSize',
];

function hasAny(attributes: RequestAttributes, names: readonly AttributeName[]): boolean {
	return names.some((name) => attributes.has(name));
}

/** Prefix lengths fit the family; `unknown` is the sentence for a family that is none. */
export function checkSelector(
	selector: Pick<Selector, 'prefixlenD' | 'prefixlenS'>,
	family: number,
	unknown: string,
): void {
	if (family === Family.Ipv4) {
		if (selector.prefixlenD > 32 || selector.prefixlenS > 32) {
			invalid('Invalid prefix length in selector (must be <= 32 for IPv4)');
		}
	} else if (family === Family.Ipv6) {
		if (selector.prefixlenD > 128 || selector.prefixlenS > 128) {
			invalid('Invalid prefix length in selector (must be <= 128 for IPv6)');
		}
	} else {
		invalid(unknown);
	}
}

/** The selector's family, or the state's when it is open and AF_UNSPEC does not want it so (S-14). */
export function selectorFamily(body: UserSaInfo): number {
	const open = body.selector.family === 0 && (body.flags & StateFlag.AfUnspec) === 0;
	return open ? body.family : body.selector.family;
}

function checkFamilies(body: UserSaInfo): void {
	if (body.family !== Family.Ipv4 && body.family !== Family.Ipv6) {
		invalid('Invalid address family');
	}
	const family = selectorFamily(body);
	if (family !== Family.Unspec) {
		checkSelector(body.selector, family, 'Invalid address family in selector');
	}
}

function checkAh(attributes: RequestAttributes): void {
	if (!hasAny(attributes, ['algAuth', 'algAuthTrunc'])) {
		invalid('Missing required attribute for AH: AUTH_TRUNC or AUTH');
	}
	if (hasAny(attributes, ['algAead', 'algCrypt', 'algComp', 'tfcpad'])) {
		invalid('Invalid attributes for AH: AEAD, CRYPT, COMP, TFCPAD');
	}
}

function checkEsp(body: UserSaInfo, attributes: RequestAttributes, profile: KernelProfile): void {
	if (attributes.has('algComp')) {
		invalid('Invalid attribute for ESP: COMP');
	}
	const separate = hasAny(attributes, ['algAuth', 'algAuthTrunc', 'algCrypt']);
	if (!separate && !attributes.has('algAead')) {
		invalid('Missing required attribute for ESP: at least one of AUTH, AUTH_TRUNC, CRYPT, AEAD');
	}
	if (separate && attributes.has('algAead')) {
		invalid(
			"Invalid attribute combination for ESP: AEAD can't be used with AUTH, AUTH_TRUNC, CRYPT",
		);
	}
	if (attributes.has('tfcpad') && body.mode !== Mode.Tunnel) {
		invalid('TFC padding can only be used in tunnel mode');
	}
	if (profile.iptfs && body.mode !== Mode.Iptfs && hasAny(attributes, IPTFS)) {
		invalid('IP-TFS options can only be used in IP-TFS mode');
	}
}

function checkComp(body: UserSaInfo, attributes: RequestAttributes): void {
	if (!attributes.has('algComp')) {
		invalid('Missing required attribute for COMP: COMP');
	}
	if (hasAny(attributes, ['algAead', 'algAuth', 'algAuthTrunc', 'algCrypt', 'tfcpad'])) {
		invalid('Invalid attributes for COMP: AEAD, AUTH, AUTH_TRUNC, CRYPT, TFCPAD');
	}
	if (body.id.spi >= 0x10000) {
		invalid('SPI is too large for COMP (must be < 0x10000)');
	}
}

function checkMobility(attributes: RequestAttributes): void {
	const forbidden: readonly AttributeName[] = [
		'algComp',
		'algAuth',
		'algAuthTrunc',
		'algAead',
		'algCrypt',
		'encap',
		'secCtx',
		'tfcpad',
	];
	if (hasAny(attributes, forbidden)) {
		invalid('Invalid attributes for DSTOPTS/ROUTING');
	}
	if (!attributes.has('coaddr')) {
		invalid('Missing required COADDR attribute for DSTOPTS/ROUTING');
	}
}

function checkProtocol(
	body: UserSaInfo,
	attributes: RequestAttributes,
	profile: KernelProfile,
): void {
	switch (body.id.proto) {
		case IpProto.Ah:
			checkAh(attributes);
			break;
		case IpProto.Esp:
			checkEsp(body, attributes, profile);
			break;
		case IpProto.Comp:
			checkComp(body, attributes);
			break;
		case IpProto.DestinationOptions:
		case IpProto.Routing:
			checkMobility(attributes);
			break;
		default:
			invalid('Unsupported protocol');
	}
}

type AlgorithmName = 'algAead' | 'algAuthTrunc' | 'algAuth' | 'algCrypt' | 'algComp';

/** The last octet of an algorithm's name, which the kernel makes its end. */
const NAME_END_AT = 63;

/** Checks that the attribute is as long as the key that it says it has. */
function checkAlgorithm(attributes: RequestAttributes, name: AlgorithmName, fault: string): void {
	const algorithm = attributes.get(name);
	if (algorithm === undefined) {
		return;
	}
	if (algorithm.key.length < keyOctets(algorithm.keyBits)) {
		invalid(fault);
	}
	attributes.overwrite(name, NAME_END_AT, [0]);
}

function checkAlgorithms(attributes: RequestAttributes): void {
	checkAlgorithm(attributes, 'algAead', 'Invalid AEAD attribute length');
	checkAlgorithm(attributes, 'algAuthTrunc', 'Invalid AUTH_TRUNC attribute length');
	for (const name of ['algAuth', 'algCrypt', 'algComp'] as const) {
		checkAlgorithm(attributes, name, 'Invalid AUTH/CRYPT/COMP attribute length');
	}
}

/** The label's two lengths agree with each other and with the attribute. */
export function checkSecurityContext(attributes: RequestAttributes): void {
	const context = attributes.get('secCtx');
	if (context === undefined) {
		return;
	}
	if (context.len > attributes.lengthOf('secCtx') || context.len !== 8 + context.ctxLen) {
		invalid('Invalid security context length');
	}
}

function checkReplay(body: UserSaInfo, attributes: RequestAttributes, direction: number): void {
	const esn = (body.flags & StateFlag.Esn) !== 0;
	const replay = attributes.get('replayEsnVal');
	if (replay === undefined) {
		if (esn) {
			invalid('Missing required attribute for ESN');
		}
		return;
	}
	if (replay.bmpLen > BITMAP_WORDS_MAX) {
		invalid('ESN bitmap length must be <= 128');
	}
	const length = attributes.lengthOf('replayEsnVal');
	if (length < 24 + 4 * replay.bmpLen && length !== 24) {
		invalid('ESN attribute is too short to fit the full bitmap length');
	}
	if (body.id.proto !== IpProto.Esp && body.id.proto !== IpProto.Ah) {
		invalid('ESN only supported for ESP and AH');
	}
	if (body.replayWindow !== 0) {
		invalid('ESN not compatible with legacy replay_window');
	}
	if (direction === SaDirection.Out) {
		checkReplayOut(replay, esn);
	} else if (direction === SaDirection.In) {
		checkReplayIn(replay, esn);
	}
}

/** @spec S-30 */
function checkReplayOut(replay: ReplayEsn, esn: boolean): void {
	if (replay.replayWindow !== 0) {
		invalid('Replay window should be 0 for output SA');
	}
	if (replay.seq !== 0 || replay.seqHi !== 0) {
		invalid('Replay seq and seq_hi should be 0 for output SA');
	}
	if (!esn) {
		if (replay.oseqHi !== 0) {
			invalid('Replay oseq_hi should be 0 in non-ESN mode for output SA');
		}
		if (replay.oseq === U32_MAX) {
			invalid('Replay oseq should be less than 0xFFFFFFFF in non-ESN mode for output SA');
		}
	} else if (replay.oseq === U32_MAX && replay.oseqHi === U32_MAX) {
		invalid('Replay oseq and oseq_hi should be less than 0xFFFFFFFF for output SA');
	}
	if (replay.bmpLen !== 0) {
		invalid('Replay bmp_len should 0 for output SA');
	}
}

/** @spec S-31 */
function checkReplayIn(replay: ReplayEsn, esn: boolean): void {
	if (replay.oseq !== 0 || replay.oseqHi !== 0) {
		invalid('Replay oseq and oseq_hi should be 0 for input SA');
	}
	if (!esn) {
		if (replay.seqHi !== 0) {
			invalid('Replay seq_hi should be 0 in non-ESN mode for input SA');
		}
		if (replay.seq === U32_MAX) {
			invalid('Replay seq should be less than 0xFFFFFFFF in non-ESN mode for input SA');
		}
	} else if (replay.seq === U32_MAX && replay.seqHi === U32_MAX) {
		invalid('Replay seq and seq_hi should be less than 0xFFFFFFFF for input SA');
	}
}

/** @spec S-32 */
function checkMode(body: UserSaInfo, direction: number, profile: KernelProfile): void {
	switch (body.mode) {
		case Mode.Transport:
		case Mode.Tunnel:
		case Mode.RouteOptimization:
		case Mode.Beet:
			return;
		case Mode.Iptfs:
			if (profile.iptfs) {
				if (body.id.proto !== IpProto.Esp) {
					invalid('IP-TFS mode only supported with ESP');
				}
				if (direction === SaDirection.Unset) {
					invalid('IP-TFS mode requires in or out direction attribute');
				}
				return;
			}
	}
	invalid('Unsupported mode');
}

/** @spec S-30 */
function checkDirectionOut(body: UserSaInfo, attributes: RequestAttributes): void {
	if ((body.flags & StateFlag.DecapDscp) !== 0) {
		invalid('Flag DECAP_DSCP should not be set for output SA');
	}
	if ((body.flags & StateFlag.Icmp) !== 0) {
		invalid('Flag ICMP should not be set for output SA');
	}
	if ((body.flags & StateFlag.WildRecv) !== 0) {
		invalid('Flag WILDRECV should not be set for output SA');
	}
	if (body.replayWindow !== 0) {
		invalid('Replay window should be 0 for output SA');
	}
	if (attributes.has('iptfsDropTime')) {
		invalid('IP-TFS drop time should not be set for output SA');
	}
	if (attributes.has('iptfsReorderWindow')) {
		invalid('IP-TFS reorder window should not be set for output SA');
	}
	const replay = attributes.get('replayVal');
	if (replay !== undefined && (replay.seq !== 0 || replay.bitmap !== 0)) {
		invalid('Replay seq and bitmap should be 0 for output SA');
	}
}

/** @spec S-31 */
function checkDirectionIn(body: UserSaInfo, attributes: RequestAttributes): void {
	if ((body.flags & StateFlag.NoPmtuDisc) !== 0) {
		invalid('Flag NOPMTUDISC should not be set for input SA');
	}
	const extra = attributes.get('saExtraFlags') ?? 0;
	if ((extra & ExtraFlag.DontEncapDscp) !== 0) {
		invalid('Flag DONT_ENCAP_DSCP should not be set for input SA');
	}
	if ((extra & ExtraFlag.OseqMayWrap) !== 0) {
		invalid('Flag OSEQ_MAY_WRAP should not be set for input SA');
	}
	if (attributes.has('iptfsDontFrag')) {
		invalid("IP-TFS don't fragment should not be set for input SA");
	}
	if (attributes.has('iptfsInitDelay')) {
		invalid('IP-TFS initial delay should not be set for input SA');
	}
	if (attributes.has('iptfsMaxQsize')) {
		invalid('IP-TFS max queue size should not be set for input SA');
	}
	if (attributes.has('iptfsPktSize')) {
		invalid('IP-TFS packet size should not be set for input SA');
	}
}

/**
 * Checks a NEWSA or UPDSA as far as it can be done without the engine.
 *
 * @throws XfrmError EINVAL with the sentence of the first fault
 * @spec S-13 S-14 S-30 S-31 S-32 S-33
 */
export function verifyState(
	body: UserSaInfo,
	attributes: RequestAttributes,
	profile: KernelProfile,
): void {
	const direction = attributes.get('saDir') ?? SaDirection.Unset;
	checkFamilies(body);
	checkProtocol(body, attributes, profile);
	checkAlgorithms(attributes);
	checkSecurityContext(attributes);
	checkReplay(body, attributes, direction);
	checkMode(body, direction, profile);
	if (attributes.has('mtimerThresh')) {
		if (!attributes.has('encap')) {
			invalid('MTIMER_THRESH attribute can only be set on ENCAP states');
		}
		if (direction === SaDirection.Out) {
			invalid('MTIMER_THRESH attribute should not be set on output SA');
		}
	}
	if (direction === SaDirection.Out) {
		checkDirectionOut(body, attributes);
	} else if (direction === SaDirection.In) {
		checkDirectionIn(body, attributes);
	}
	if (direction === SaDirection.Unset && attributes.has('saPcpu')) {
		invalid('SA_PCPU only supported with SA_DIR');
	}
}
