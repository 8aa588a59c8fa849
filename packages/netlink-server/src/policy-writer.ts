/**
 * NEWPOLICY as dumps and GETPOLICY show policies, written from the engine's object straight into the
 * datagram: a table of a hundred thousand is dumped in the time that its values alone would take to make.
 * Says in bytes what `policyMessage` says by way of values; a test holds the two together.
 */
import {
	SELECTOR_WORDS,
	SelectorWord,
	TEMPLATE_WORDS,
	TemplateWord,
	type XfrmPolicy,
} from '@xfrm/engine';
import {
	ATTRIBUTE_HEADER_OCTETS,
	align4,
	attributeSpec,
	lifetimeConfig,
	MESSAGE_HEADER_OCTETS,
	MessageType,
	userPolicyInfo,
	userPolicyType,
	userTemplate,
	viewOf,
	writeU64,
	xfrmMark,
} from '@xfrm/netlink';

/** The header's fields but type and length. */
export interface PolicyHeader {
	readonly flags: number;
	readonly seq: number;
	readonly pid: number;
}

/** Directions of sockets' policies in dumps are 3 and 4 (P-19). */
const SOCKET_DIRECTION = 3;
const TMPL: number = attributeSpec('tmpl').number;
const POLICY_TYPE: number = attributeSpec('policyType').number;
const MARK: number = attributeSpec('mark').number;
const IF_ID: number = attributeSpec('ifId').number;

function attributeOctets(octets: number): number {
	return align4(ATTRIBUTE_HEADER_OCTETS + octets);
}

function templateCount(policy: XfrmPolicy): number {
	return (policy.words.length - SELECTOR_WORDS) / TEMPLATE_WORDS;
}

function hasMark(policy: XfrmPolicy): boolean {
	return policy.markValue !== 0 || policy.markMask !== 0;
}

/** Octets of the message. */
export function policyMessageOctets(policy: XfrmPolicy): number {
	const templates = templateCount(policy);
	return (
		MESSAGE_HEADER_OCTETS +
		userPolicyInfo.octets +
		(templates === 0 ? 0 : attributeOctets(templates * userTemplate.octets)) +
		attributeOctets(userPolicyType.octets) +
		(hasMark(policy) ? attributeOctets(xfrmMark.octets) : 0) +
		(policy.ifId === 0 ? 0 : attributeOctets(4))
	);
}

/** The message, in memory of its own. */
export function policyAnswer(policy: XfrmPolicy, header: PolicyHeader): Uint8Array {
	const bytes = new Uint8Array(policyMessageOctets(policy));
	writePolicyMessage(viewOf(bytes), 0, policy, header);
	return bytes;
}

/**
 * Writes the message at `at`; the memory there is zero.
 *
 * @spec N-13 N-15
 */
export function writePolicyMessage(
	view: DataView,
	at: number,
	policy: XfrmPolicy,
	header: PolicyHeader,
): void {
	view.setUint32(at, policyMessageOctets(policy), true);
	view.setUint16(at + 4, MessageType.NewPolicy, true);
	view.setUint16(at + 6, header.flags, true);
	view.setUint32(at + 8, header.seq, true);
	view.setUint32(at + 12, header.pid, true);
	writeInfo(view, at + MESSAGE_HEADER_OCTETS, policy);
	let next = at + MESSAGE_HEADER_OCTETS + userPolicyInfo.octets;
	const templates = templateCount(policy);
	if (templates > 0) {
		const value = writeHeader(view, next, TMPL, templates * userTemplate.octets);
		for (let i = 0; i < templates; i++) {
			const from = SELECTOR_WORDS + i * TEMPLATE_WORDS;
			writeTemplate(view, value + i * userTemplate.octets, policy.words, from);
		}
		next += attributeOctets(templates * userTemplate.octets);
	}
	view.setUint8(writeHeader(view, next, POLICY_TYPE, userPolicyType.octets), policy.type);
	next += attributeOctets(userPolicyType.octets);
	if (hasMark(policy)) {
		const value = writeHeader(view, next, MARK, xfrmMark.octets);
		view.setInt32(value, policy.markValue, true);
		view.setInt32(value + 4, policy.markMask, true);
		next += attributeOctets(xfrmMark.octets);
	}
	if (policy.ifId !== 0) {
		view.setInt32(writeHeader(view, next, IF_ID, 4), policy.ifId, true);
	}
}

/** An attribute's header; answers where its value begins. */
function writeHeader(view: DataView, at: number, type: number, octets: number): number {
	view.setUint16(at, ATTRIBUTE_HEADER_OCTETS + octets, true);
	view.setUint16(at + 2, type, true);
	return at + ATTRIBUTE_HEADER_OCTETS;
}

function writeAddress(view: DataView, at: number, words: readonly number[], from: number): void {
	for (let i = 0; i < 4; i++) {
		view.setInt32(at + 4 * i, words[from + i] ?? 0);
	}
}

/** `struct xfrm_userpolicy_info`. */
function writeInfo(view: DataView, at: number, policy: XfrmPolicy): void {
	const { words } = policy;
	const ports = words[SelectorWord.Ports] ?? 0;
	const masks = words[SelectorWord.PortMasks] ?? 0;
	const shape = words[SelectorWord.Shape] ?? 0;
	writeAddress(view, at, words, SelectorWord.Daddr);
	writeAddress(view, at + 16, words, SelectorWord.Saddr);
	view.setUint16(at + 32, ports);
	view.setUint16(at + 34, masks);
	view.setUint16(at + 36, ports >>> 16);
	view.setUint16(at + 38, masks >>> 16);
	view.setUint16(at + 40, shape >>> 16, true);
	view.setUint8(at + 42, shape >>> 8);
	view.setUint8(at + 43, shape);
	view.setUint8(at + 44, words[SelectorWord.Proto] ?? 0);
	view.setInt32(at + 48, words[SelectorWord.Ifindex] ?? 0, true);
	view.setInt32(at + 52, words[SelectorWord.User] ?? 0, true);
	lifetimeConfig.write(view, at + 56, policy.limits);
	writeU64(view, at + 120 + 16, policy.addTime);
	writeU64(view, at + 120 + 24, policy.useTime);
	view.setUint32(at + 152, policy.priority, true);
	view.setUint32(at + 156, policy.index, true);
	view.setUint8(at + 160, policy.direction + (policy.socketId === 0 ? 0 : SOCKET_DIRECTION));
	view.setUint8(at + 161, policy.action);
	view.setUint8(at + 162, policy.flags);
}

/** `struct xfrm_user_tmpl`. */
function writeTemplate(view: DataView, at: number, words: readonly number[], from: number): void {
	const kind = words[from + TemplateWord.Kind] ?? 0;
	writeAddress(view, at, words, from + TemplateWord.Daddr);
	view.setInt32(at + 16, words[from + TemplateWord.Spi] ?? 0);
	view.setUint8(at + 20, kind >>> 24);
	view.setUint16(at + 24, words[from + TemplateWord.Family] ?? 0, true);
	writeAddress(view, at + 28, words, from + TemplateWord.Saddr);
	view.setInt32(at + 44, words[from + TemplateWord.Reqid] ?? 0, true);
	view.setUint8(at + 48, kind >>> 16);
	view.setUint8(at + 49, kind >>> 8);
	view.setUint8(at + 50, kind);
	view.setInt32(at + 52, words[from + TemplateWord.Aalgos] ?? 0, true);
	view.setInt32(at + 56, words[from + TemplateWord.Ealgos] ?? 0, true);
	view.setInt32(at + 60, words[from + TemplateWord.Calgos] ?? 0, true);
}
