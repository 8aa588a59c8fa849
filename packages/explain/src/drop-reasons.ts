/**
 * Why a packet was dropped: a sentence a counter, and for what no counter tells of. What decided is in the
 * digest; nothing is looked up again here.
 */
import { verdictName, type XfrmState } from '@xfrm/engine';
import { formatHex32 } from '@xfrm/wire';
import {
	Direction,
	errnoName,
	errnoText,
	Family,
	formatAddress,
	Mode,
	StateFlag,
} from '@xfrm/wire/xfrm';
import type { NearMiss } from './answer.ts';
import { isIkePort } from './host-sockets.ts';
import {
	algorithmText,
	directionName,
	encapName,
	endpoints,
	flowAddress,
	flowText,
	hexNumber,
	modeName,
	policyName,
	policyText,
	stateName,
	stateProtoName,
	stateText,
	templateText,
} from './names.ts';
import {
	misses,
	missInSentence,
	missText,
	nearLookups,
	nearPolicies,
	nearStates,
	policyInSentence,
} from './near-miss.ts';
import {
	type Case,
	encapWithoutSocket,
	expiredState,
	listText,
	nearestPolicy,
	nearestState,
	type Reason,
	sentence,
	upperFirst,
	wantedTemplate,
} from './reason-case.ts';
import { reasonTitle } from './reason-codes.ts';
import { isTooOld, replayText } from './replay-text.ts';

/** The reason for a drop. */
export function dropReason(asked: Case): Reason {
	const { digest, counter, direction, error } = asked;
	// A counter without a verdict of the packet's own was raised by the ICMP error about it.
	const verdict = digest.verdictOf(counter) ?? digest.verdicts[0];
	const name = verdict === undefined ? undefined : verdictName(verdict.verdict);
	const code = verdict?.code ?? '';
	const text = name === undefined ? undefined : DROPS[name]?.(asked);
	if (text !== undefined) {
		return { code: refine(code, asked), reason: text };
	}
	if (digest.streamBroken) {
		return {
			code: 'in.stream.broken',
			reason:
				'The length of a message in this TCP connection is none: its reader is told EINVAL, and nothing more of it is read.',
		};
	}
	if (digest.icmpError !== undefined || error === 90) {
		return tooBigOrIcmp(asked);
	}
	if (digest.hostDrop !== undefined) {
		return { code: digest.hostDrop.code, reason: hostDropText(asked, digest.hostDrop.code) };
	}
	if (digest.defaultBlocked) {
		return {
			code: 'out.default.block',
			reason: sentence(
				'No policy matches, and the default for direction out is block: dropped, no counter goes up.',
				nearestPolicy(asked),
			),
		};
	}
	if (error !== 0) {
		return {
			code: code === '' ? `${direction}.error` : code,
			reason: `The sender gets ${errnoName(error)}: ${errnoText(error)}.`,
		};
	}
	return {
		code: code === '' ? `${direction}.silent` : code,
		reason: `The packet is dropped${name === undefined ? ' and no counter tells of it' : ` (${name})`}.`,
	};
}

/** The engine's code, made finer by the field that the nearest loser lost by. */
function refine(code: string, asked: Case): string {
	if (code !== 'in.state.none') {
		return code;
	}
	const field = asked.digest.stateLookup?.losers[0]?.field;
	return field === undefined ? code : `in.state.${field}`;
}

function tooBigOrIcmp(asked: Case): Reason {
	const { digest, error } = asked;
	const { icmpError } = digest;
	if (icmpError === undefined) {
		return {
			code: 'out.too-big',
			reason: sentence(
				`Too big: with what ${policyList(asked)} asks for the packet exceeds the MTU of the path,`,
				`and it must not be fragmented. The sender gets ${errnoName(error)}.`,
				mtuSentence(asked),
			),
		};
	}
	const tooBig =
		icmpError.family === 2 ? icmpError.type === 3 && icmpError.code === 4 : icmpError.type === 2;
	if (!tooBig) {
		const drop = digest.hostDrop;
		return {
			code: drop?.code ?? 'host.icmp',
			reason: sentence(
				drop === undefined ? undefined : hostDropText(asked, drop.code),
				drop?.code === 'host.no-socket' ? encapWithoutSocket(asked) : undefined,
				`The sender is told by an ICMP error, type ${icmpError.type} code ${icmpError.code}.`,
			),
		};
	}
	return {
		code: 'fwd.too-big',
		reason: sentence(
			`Too big: the packet of ${digest.sizeBefore} bytes and what ${policyList(asked)} puts around it`,
			'exceed the MTU of the path, and it must not be fragmented.',
			`An ICMP error tells the sender the MTU that fits: ${icmpError.rest}.`,
			'No counter goes up.',
		),
	};
}

function policyList(asked: Case): string {
	const [policy] = asked.digest.policies.slice(-1);
	return policy === undefined ? 'the route' : policyName(policy);
}

function mtuSentence(asked: Case): string | undefined {
	const mtu = asked.digest.routeMtu;
	return mtu === undefined ? undefined : `The MTU of the route is ${mtu}.`;
}

function hostDropText(asked: Case, code: string): string {
	const text = reasonTitle(code);
	if (code === 'host.link-failure') {
		const ifId = asked.digest.lastPolicyLookup?.ifId ?? 0;
		const whose = ifId === 0 ? '' : ` of its if_id, ${hexNumber(ifId)},`;
		const { winner } = asked.digest.lastPolicyLookup ?? {};
		return winner === undefined
			? sentence(text, `No policy out${whose} matches.`, nearestPolicy(asked))
			: sentence(text, `${upperFirst(policyName(winner))} asks for no state that would do.`);
	}
	if (code === 'host.device-loop') {
		const { template } = asked.digest;
		const family = template?.family === 2 ? Family.Ipv4 : Family.Ipv6;
		const peer = template === undefined ? 'the peer' : formatAddress(template.daddr, family);
		return `The route to ${peer}, for the protected packet, leads back into the virtual device that it comes out of.`;
	}
	if (code === 'host.no-metadata') {
		return text;
	}
	const { used, current } = asked.digest;
	const after =
		used.length === 0
			? 'XFRM had no part in it.'
			: `It had been opened by ${listText(used.map(stateName))}.`;
	const owner =
		current === undefined ? undefined : asked.setting.owner(current.family, current.source);
	return sentence(
		text,
		code === 'host.martian' && owner !== undefined
			? `${current?.source} is an address of this host itself (${owner}).`
			: undefined,
		after,
		code === 'host.transport-checksum' ? checksumText(used.at(-1)) : undefined,
	);
}

/** What TCP and UDP reckon is over the addresses too, and those need not be the sender's any more. */
function checksumText(state: XfrmState | undefined): string | undefined {
	switch (state?.mode) {
		case Mode.Beet:
			return (
				'It is over the inner addresses, which mode beet takes from the selector (sel) of the state: the' +
				" sender's are others."
			);
		case Mode.Transport:
			return 'It is over the addresses of the IP header: in transport mode a NAT on the way spoils it.';
		default:
			return undefined;
	}
}

/** Sentences for drops by counter. */
const DROPS: Readonly<Record<string, (asked: Case) => string | undefined>> = {
	XfrmInNoStates: inNoStates,
	XfrmInStateProtoError: inProtoError,
	XfrmInStateSeqError: inSeqError,
	XfrmInStateExpired: (asked) => expired(asked),
	XfrmInStateMismatch: inMismatch,
	XfrmInTmplMismatch: inTemplateMismatch,
	XfrmInNoPols: inNoPols,
	XfrmInPolBlock: blocked,
	XfrmOutPolBlock: blocked,
	XfrmOutNoStates: outNoStates,
	XfrmOutStateExpired: (asked) => expired(asked),
	XfrmOutStateSeqError: outSeqError,
	XfrmInHdrError: () =>
		'The headers cannot be read to their end: the packet is cut short or malformed. XfrmInHdrError.',
	XfrmInBufferError: () =>
		'More transforms or templates than the kernel takes, six: XfrmInBufferError.',
	XfrmInStateModeError: inModeError,
	XfrmAcquireError: (asked) =>
		`${stateOf(asked)} is larval: a key manager has its SPI but has not given the keys yet.`,
	XfrmInStateInvalid: (asked) => `${stateOf(asked)} is expired or dead: XfrmInStateInvalid.`,
	XfrmInStateDirError: (asked) =>
		`${stateOf(asked)} is for direction out and refuses what comes in: XfrmInStateDirError.`,
	XfrmOutStateDirError: (asked) =>
		`${stateOf(asked)} fits the template but is for direction in: XfrmOutStateDirError.`,
	XfrmOutStateModeError: outModeError,
	XfrmOutStateProtoError: (asked) =>
		`${stateOf(asked)} could not transform the packet: XfrmOutStateProtoError.`,
	XfrmOutBundleGenError: outBundleError,
	XfrmOutPolError: outPolError,
	XfrmFwdHdrError: () =>
		'The packet to forward cannot be decoded or has no route: XfrmFwdHdrError.',
};

function refusing(asked: Case): XfrmState | undefined {
	const { digest, counter } = asked;
	return digest.refused ?? digest.verdictOf(counter)?.state ?? digest.stateLookup?.winner;
}

function nameOfState(state: XfrmState | undefined): string {
	return state === undefined ? 'the state' : stateName(state);
}

function stateOf(asked: Case): string {
	const state = refusing(asked);
	return state === undefined ? 'A state' : `${upperFirst(stateName(state))} (${stateText(state)})`;
}

function inNoStates(asked: Case): string {
	const { stateLookup, current, first } = asked.digest;
	if (stateLookup === undefined) {
		return 'No state takes the packet: XfrmInNoStates.';
	}
	const proto = stateProtoName(stateLookup.proto);
	const family = stateLookup.family;
	const destination = addressText(stateLookup.daddr, family);
	// Those that have opened it already are not what it lacks.
	const losers = stateLookup.losers.filter(({ object }) => !asked.digest.applied.includes(object));
	const [nearest]: readonly NearMiss[] = nearLookups({ ...stateLookup, losers });
	const others =
		nearest === undefined
			? `There is no ${proto} state at all.`
			: `The nearest, ${missInSentence(nearest)}, does not fit by ${missText(nearest)}.`;
	if (proto === 'hao' || proto === 'route2') {
		const header = proto === 'hao' ? 'home address option' : 'type 2 routing header';
		const home = (current ?? first)?.homeAddress;
		return sentence(
			`No ${proto} state takes the ${header}${home === undefined ? '' : ` with ${home}`}`,
			`(source ${addressText(stateLookup.saddr, family)}, destination ${destination}): XfrmInNoStates.`,
			careOf(asked) ?? others,
		);
	}
	const outer = asked.digest.applied.at(-1);
	if (outer !== undefined && (proto === 'ipip' || proto === 'ipv6')) {
		return sentence(
			`${upperFirst(stateName(outer))} (${stateText(outer)}) opened the packet, and a whole IP packet was inside:`,
			`its sender uses tunnel mode, but the state is of mode ${modeName(outer.mode)}. Linux takes it for an ${proto}`,
			'packet of nobody: XfrmInNoStates.',
		);
	}
	return sentence(
		`No state takes this ${proto} packet to ${destination} with SPI ${formatHex32(stateLookup.spi)}`,
		`and mark ${hexNumber(stateLookup.mark)}: XfrmInNoStates.`,
		expiredState(asked) ?? others,
	);
}

/** A binding whose care-of address is not the packet's. */
function careOf(asked: Case): string | undefined {
	const check = asked.digest.failedChecks.find((one) => one.field === 'coa');
	return check === undefined
		? undefined
		: `${upperFirst(stateName(check.state))} (${stateText(check.state)}) is there, but its care-of ` +
				`address does not fit: want coa ${check.want}, have ${check.have}.`;
}

function addressText(address: Uint8Array, family: number): string {
	const words = new Int32Array(4);
	const view = new DataView(address.buffer, address.byteOffset, 16);
	for (let i = 0; i < 4; i++) {
		words[i] = view.getInt32(4 * i);
	}
	return flowAddress(words, family);
}

function inProtoError(asked: Case): string {
	const state = refusing(asked);
	const code = asked.digest.verdictOf(asked.counter)?.code ?? '';
	const who = stateOf(asked);
	if (state !== undefined && code === 'in.ah.length') {
		return sentence(
			`${who} was found, but the ICV in the AH of the packet has another length than that of`,
			`${algorithmText(state)}, ${8 * state.icvOctets} bits: XfrmInStateProtoError.`,
			'The two ends have different algorithms, or cut the ICV differently.',
		);
	}
	if (state !== undefined && /^in\.esp\.(padding|dummy)/.test(code)) {
		return sentence(
			`${who} was found and the ICV is right, but what ${algorithmText(state)} makes of the packet is no ESP payload:`,
			'XfrmInStateProtoError. Its cipher, or the key of its cipher, is not the one of the sender.',
		);
	}
	if (state === undefined || !code.includes('icv')) {
		const title = code === '' ? '' : ` ${reasonTitle(code)}`;
		return `${who} was found, but the packet is malformed for it: XfrmInStateProtoError.${title}`;
	}
	const name = stateProtoName(state.proto);
	const ah =
		name === 'ah'
			? 'AH protects the addresses of the IP header too, so a NAT on the way has the same effect.'
			: 'Or it was made with another algorithm, or with extended sequence numbers (esn), which no packet names.';
	return sentence(
		`${who} was found, but the integrity check failed: its ICV is not that of ${algorithmText(state)}`,
		'with the key of this state. XfrmInStateProtoError.',
		'The two ends have different keys, or the packet was changed on its way.',
		ah,
		(state.flags & StateFlag.Esn) === 0
			? undefined
			: 'The upper half of extended numbers, which no packet bears, is part of what is checked: the sender may' +
					' have another.',
	);
}

function inModeError(asked: Case): string {
	const state = refusing(asked);
	return sentence(
		`${stateOf(asked)} opened the packet, but what came out does not fit its mode: XfrmInStateModeError.`,
		state !== undefined && state.mode !== Mode.Transport
			? 'No IP packet was inside: the sender uses another mode, transport as a rule, or its cipher has another key.'
			: undefined,
	);
}

/** No route for the outer packet: there is none, or its source is nobody's here. */
function outBundleError(asked: Case): string {
	const { template, stateSelect } = asked.digest;
	const mark = stateSelect?.winner?.config.outputMark;
	const head = `There is no route for the outer packet that ${policyList(asked)} asks for`;
	if (template === undefined) {
		return `${head}: XfrmOutBundleGenError.`;
	}
	const family = template.family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
	const [from, to] = [template.saddr, template.daddr].map((one) => formatAddress(one, family));
	const own = asked.setting.owner(family, from ?? '') !== undefined;
	return sentence(
		`${head}, ${from} → ${to}: XfrmOutBundleGenError.`,
		own ? undefined : `${from} is no address of this host.`,
		mark === undefined || mark.m === 0
			? undefined
			: `It is looked for with mark ${hexNumber(mark.v)}, the output-mark of ${nameOfState(stateSelect?.winner)}.`,
	);
}

function inSeqError(asked: Case): string {
	const state = refusing(asked);
	const seq = (asked.digest.current ?? asked.digest.first)?.seq;
	const who = stateOf(asked);
	if (state === undefined || seq === undefined) {
		return `${who} refuses the sequence number of the packet: XfrmInStateSeqError.`;
	}
	return sentence(
		`${who} refuses the packet before opening it: ${replayText(state, seq)}. XfrmInStateSeqError.`,
		isTooOld(state, seq)
			? 'A sender that started to count again is refused until it passes the newest.'
			: undefined,
	);
}

function outSeqError(asked: Case): string {
	const state = refusing(asked);
	const top = (state?.replay.counters[0] ?? 0) >>> 0;
	return sentence(
		`${stateOf(asked)} has used its last sequence number, ${hexNumber(top)} (${top}),`,
		'and without ESN it must not begin again: XfrmOutStateSeqError.',
		'No key manager is asked by this; the state has to be replaced.',
	);
}

function expired(asked: Case): string {
	const state = refusing(asked);
	const limits = state?.limits ?? new Float64Array(8);
	const lifetime = state?.lifetime ?? new Float64Array(5);
	const parts: string[] = [];
	if ((lifetime[0] ?? 0) >= (limits[1] ?? 0)) {
		parts.push(`${lifetime[0]} bytes of byte-hard limit ${limits[1]}`);
	}
	if ((lifetime[1] ?? 0) >= (limits[3] ?? 0)) {
		parts.push(`${lifetime[1]} packets of packet-hard limit ${limits[3]}`);
	}
	return sentence(
		`${stateOf(asked)} has expired: it has reached its hard limit`,
		`(${parts.join(', ')}), so it is deleted and the packet is dropped. ${asked.counter}.`,
	);
}

function inMismatch(asked: Case): string {
	const check = asked.digest.failedChecks[asked.digest.failedChecks.length - 1];
	const state = refusing(asked);
	const who = state === undefined ? 'its state' : `${stateName(state)} (${stateText(state)})`;
	if (check?.field === 'encap') {
		const udp = asked.digest.first?.udp;
		const how = udp === undefined ? 'plain ESP' : `ESP in UDP (ports ${udp.sport} → ${udp.dport})`;
		return sentence(
			`The packet is ${how}, but ${who} has ${check.have === '0' ? 'no encap' : `encap ${encapName(check.have)}`}:`,
			'XfrmInStateMismatch.',
		);
	}
	const told = check === undefined ? '' : `: ${missText(check)}`;
	return `What came out does not fall under the selector (sel) of ${who}${told}. XfrmInStateMismatch.`;
}

function inTemplateMismatch(asked: Case): string {
	const { digest } = asked;
	const [failed] = digest.failedTemplates;
	const [policy] = digest.policies.slice(-1);
	const who = policy === undefined ? 'The policy' : upperFirst(policyInSentence(policy));
	const came =
		digest.applied.length === 0
			? 'the packet came in clear text'
			: `the packet came through ${listText(digest.applied.map((one) => `${stateName(one)} (${stateText(one)})`))}`;
	const [near] = nearStates(failed?.losers ?? []);
	const port = digest.applied.length === 0 ? digest.first?.udp?.dport : undefined;
	const encap = [...asked.setting.states()].some((one) => one.encap?.dport === port);
	return sentence(
		`${who} matches, but ${came}:`,
		failed === undefined
			? 'more tunnels than its templates ask for.'
			: `its template (${templateText(failed.template, failed.template.family || 2)}) is not satisfied.`,
		near === undefined ? undefined : `${upperFirst(missText(near))}.`,
		goesOut(asked),
		isOtherOrder(asked)
			? 'These are the states of its templates, in another order: templates stand as they are applied when' +
					' sealing, the innermost first.'
			: undefined,
		'XfrmInTmplMismatch.',
		port !== undefined && encap && digest.first?.spi !== undefined
			? 'It is ESP in UDP, but policies are asked about the UDP packet before its socket takes it, and this' +
					' socket has no policy of its own that lets it pass, as those of IKE daemons have.'
			: isIkePort(port)
				? `It is for the port of IKE, ${port}: daemons put a policy on their own socket that lets it pass, and ` +
					'none is known here.'
				: undefined,
	);
}

/** A policy for what comes out of a tunnel takes what is to go into it too. */
function goesOut({ digest, direction, setting }: Case): string | undefined {
	const lookup = digest.policyLookups.findLast(({ winner }) => winner !== undefined);
	if (direction !== 'fwd' || digest.applied.length > 0 || lookup === undefined) {
		return undefined;
	}
	for (const policy of setting.policies()) {
		const protects =
			policy.direction === Direction.Out &&
			policy.socketId === 0 &&
			policy.templates.length > 0 &&
			misses(policy, lookup.flow, lookup.ifId) === 0;
		if (protects) {
			return `It takes both ways, what comes from the peer and this, which ${policyName(policy)} would protect.`;
		}
	}
	return undefined;
}

/** Is there a state for each template of the policy, and a template for each state, but not in this order? */
function isOtherOrder({ digest }: Case): boolean {
	const templates = digest.failedTemplates[0]?.policy.templates ?? [];
	const kinds = (all: readonly { readonly proto: number; readonly mode: number }[]): string =>
		all
			.map(({ proto, mode }) => `${proto} ${mode}`)
			.sort()
			.join();
	const wanted = kinds(templates.map(({ id, mode }) => ({ proto: id.proto, mode })));
	return templates.length > 1 && wanted === kinds(digest.applied);
}

function inNoPols(asked: Case): string {
	const { digest } = asked;
	const lookup = digest.lastPolicyLookup;
	const direction = lookup === undefined ? 'in' : directionName(lookup.direction);
	const flow = lookup === undefined ? '' : ` ${flowText(lookup.flow)}`;
	if (digest.applied.length === 0) {
		return sentence(
			`No policy ${direction} matches${flow}, and the default is block: XfrmInNoPols.`,
			nearestPolicy(asked),
		);
	}
	const states = digest.applied.map(
		(state) => `${stateName(state)} (${modeName(state.mode)} mode)`,
	);
	return sentence(
		`The packet was opened by ${listText(states)}, but no ${direction} policy (dir ${direction}) allows`,
		`what came out of the tunnel,${flow}: XfrmInNoPols.`,
		nearestPolicy(asked),
	);
}

function blocked(asked: Case): string {
	const policy =
		asked.digest.verdictOf(asked.counter)?.policy ??
		asked.digest.policies.find((one) => one.action !== 0);
	const lookup = asked.digest.policyLookups.find((one) => one.winner === policy);
	const near = lookup === undefined ? [] : nearPolicies(lookup);
	const [other] = near;
	return sentence(
		policy === undefined
			? `A policy with action block matches: ${asked.counter}.`
			: `${upperFirst(policyName(policy))} matches and its action is block: ${policyText(policy)}. ${asked.counter}.`,
		asked.mark === 0 ? undefined : `The packet's mark is ${hexNumber(asked.mark)}.`,
		other === undefined
			? undefined
			: `${upperFirst(missInSentence(other))} was not taken, by ${missText(other)}.`,
	);
}

function outNoStates(asked: Case): string {
	const { digest } = asked;
	const [policy] = digest.policies.slice(-1);
	const outcome = digest.stateSelect?.outcome;
	const why =
		outcome === 'larval'
			? 'a key manager was asked before and has not answered yet (larval state)'
			: outcome === 'no-listener'
				? 'no state fits, and no key manager listens, so none is asked'
				: 'no state fits';
	return sentence(
		policy === undefined ? undefined : `${upperFirst(policyInSentence(policy))} matches,`,
		`but for its template ${wantedTemplate(asked)} ${why}: XfrmOutNoStates.`,
		expiredState(asked) ?? nearestState(asked),
	);
}

function outPolError(asked: Case): string {
	const outcome = asked.digest.stateSelect?.outcome;
	const why =
		outcome === 'exists'
			? 'its SPI belongs to a state that does not fit otherwise'
			: outcome === 'error'
				? 'the state that would fit is expired or in error'
				: undefined;
	return sentence(
		`The templates of ${policyList(asked)} cannot be resolved${why === undefined ? '' : `: ${why}`}.`,
		'XfrmOutPolError.',
		nearestState(asked),
	);
}

function outModeError(asked: Case): string {
	const { digest } = asked;
	const state = refusing(asked);
	const tunnel = state === undefined ? '' : ` (${endpoints(state)})`;
	if (digest.icmpError !== undefined || asked.error === 90) {
		const mtu = digest.icmpError?.rest;
		const inside = state === undefined ? 'the tunnel' : stateName(state);
		return sentence(
			`Too big for the MTU inside ${inside}${tunnel}, and not to be fragmented:`,
			mtu === undefined ? undefined : `the sender is told by ICMP that ${mtu} fits.`,
			'XfrmOutStateModeError.',
			asked.error === 0
				? undefined
				: `The sender gets ${errnoName(asked.error)}: ${errnoText(asked.error)}.`,
		);
	}
	const mode = state === undefined ? '' : ` of mode ${modeName(state.mode)}`;
	return `The header${mode} cannot be built: XfrmOutStateModeError.`;
}
