/**
 * What a print mode of `ip xfrm` tells of an object: the message of the kernel's dump without everything
 * that is not printed then. The plain twin of what the reader of dumps has to give back.
 */
import type { NamedMessage, UserPolicyInfo, UserSaInfo, XfrmAttribute } from '@xfrm/netlink';
import {
	type Address,
	type Algorithm,
	addressFrom,
	anyAddress,
	anySelector,
	type Selector,
	type Template,
	UNLIMITED,
	UNUSED,
} from '@xfrm/wire/xfrm';

export interface PrintMode {
	readonly stats: boolean;
	readonly nokeys: boolean;
	readonly release: '6.1' | '7.1';
	/** Not text but JSON, which tells what ip does not print. */
	readonly json?: true;
}

/** An address as text tells it: four octets of IPv4, nothing of an unknown family. */
function address(value: Address, family: number): Address {
	if (family !== 2 && family !== 10) {
		return anyAddress();
	}
	return addressFrom(value, 0, family === 2 ? 4 : 16);
}

function knownFamily(family: number): number {
	return family === 2 || family === 10 ? family : 0;
}

const MOBILITY_HEADER = 135;
const GRE = 47;

function selector(value: Selector, family: number, mode: PrintMode): Selector {
	const gre = value.proto === GRE && (value.sportMask !== 0 || value.dportMask !== 0);
	const sport = gre || value.sportMask !== 0;
	if (mode.json === true) {
		const ends = { daddr: address(value.daddr, family), saddr: address(value.saddr, family) };
		return { ...value, ...ends };
	}
	const shown = value.proto !== MOBILITY_HEADER || mode.stats;
	const dport = gre || (value.dportMask !== 0 && shown);
	return {
		daddr: address(value.daddr, family),
		saddr: address(value.saddr, family),
		dport: dport ? value.dport : 0,
		dportMask: dport ? 0xffff : 0,
		sport: sport ? value.sport : 0,
		sportMask: sport ? 0xffff : 0,
		family: knownFamily(family),
		prefixlenD: value.prefixlenD,
		prefixlenS: value.prefixlenS,
		proto: value.proto,
		ifindex: value.ifindex > 0 ? value.ifindex : 0,
		user: mode.stats ? value.user : 0,
	};
}

function isZero(value: Selector): boolean {
	return Object.values(value).every((part) =>
		part instanceof Uint8Array ? part.every((octet) => octet === 0) : part === 0,
	);
}

/** Whole octets of a key; its length in bits with -s only; nothing of a hidden one. */
function algorithm<T extends Algorithm>(value: T, mode: PrintMode): T {
	if (mode.json === true) {
		return value;
	}
	const octets = Math.floor(value.keyBits / 8);
	if (mode.nokeys) {
		return { ...value, key: new Uint8Array(0), keyBits: 0 };
	}
	// A key of no octets is not printed, neither is its length.
	const keyBits = mode.stats && octets > 0 ? value.keyBits : octets * 8;
	const key = new Uint8Array(Math.ceil(keyBits / 8));
	key.set(value.key.subarray(0, octets));
	return { ...value, key, keyBits };
}

function template(value: Template, mode: PrintMode): Template {
	const { id, family } = value;
	const masks = mode.stats
		? {}
		: { aalgos: 0xffff_ffff, ealgos: 0xffff_ffff, calgos: 0xffff_ffff, share: 0 };
	return {
		...value,
		id: { ...id, daddr: address(id.daddr, family) },
		saddr: address(value.saddr, family),
		family: mode.json === true ? family : knownFamily(family),
		...masks,
	};
}

/** The attribute as far as it is printed, undefined when it is not. */
function toldAttribute(
	one: XfrmAttribute,
	family: number,
	mode: PrintMode,
	all: ReadonlySet<string>,
): XfrmAttribute | undefined {
	const isNew = mode.release !== '6.1';
	switch (one.name) {
		case 'algAuth':
			return all.has('algAuthTrunc')
				? undefined
				: { name: one.name, value: algorithm(one.value, mode) };
		case 'algAuthTrunc':
			return { name: one.name, value: algorithm(one.value, mode) };
		case 'algAead':
			return { name: one.name, value: algorithm(one.value, mode) };
		case 'algCrypt':
			return { name: one.name, value: algorithm(one.value, mode) };
		case 'algComp': {
			const { name } = one.value;
			// No key, whatever was sent along.
			return { name: one.name, value: { name, key: new Uint8Array(0), keyBits: 0 } };
		}
		case 'encap':
			return { name: one.name, value: { ...one.value, oa: address(one.value.oa, family) } };
		case 'coaddr':
			return { name: one.name, value: address(one.value, family) };
		case 'tmpl':
			return one.value.length === 0
				? undefined
				: { name: one.name, value: one.value.map((part) => template(part, mode)) };
		case 'saExtraFlags':
			return mode.stats ? one : undefined;
		case 'setMarkMask':
			return all.has('setMark') ? one : undefined;
		case 'saDir':
		case 'saPcpu':
			return isNew ? one : undefined;
		case 'mark':
		case 'setMark':
		case 'lastused':
		case 'replayVal':
		case 'replayEsnVal':
		case 'ifId':
		case 'tfcpad':
		case 'policyType':
			return one;
		case 'secCtx':
			return one;
		default:
			return mode.json === true ? one : undefined;
	}
}

function toldAttributes(
	list: readonly XfrmAttribute[],
	family: number,
	mode: PrintMode,
): XfrmAttribute[] {
	const all = new Set(list.map(({ name }) => name));
	return list
		.map((one) => toldAttribute(one, family, mode, all))
		.filter((one) => one !== undefined)
		.sort((a, b) => (a.name < b.name ? -1 : 1));
}

export interface Told<Body> {
	readonly body: Body;
	readonly attributes: readonly XfrmAttribute[];
}

/** What is told of a state. */
export function toldState(message: NamedMessage<'newsa'>, mode: PrintMode): Told<UserSaInfo> {
	const { body, attributes } = message;
	const { id, family } = body;
	const nothing = isZero(body.selector);
	const untold = {
		lifetime: UNLIMITED,
		lifetimeCurrent: UNUSED,
		stats: { replayWindow: 0, replay: 0, integrityFailed: 0 },
		seq: 0,
	};
	return {
		body: {
			...body,
			...(mode.stats ? {} : untold),
			selector: nothing
				? anySelector(0)
				: selector(body.selector, body.selector.family || family, mode),
			id: { ...id, daddr: address(id.daddr, family) },
			saddr: address(body.saddr, family),
			family: mode.json === true ? family : knownFamily(family),
		},
		attributes: toldAttributes(attributes, family, mode),
	};
}

/** What is told of a policy. */
export function toldPolicy(
	message: NamedMessage<'newpolicy'>,
	mode: PrintMode,
): Told<UserPolicyInfo> {
	const { body, attributes } = message;
	const untold = { lifetime: UNLIMITED, lifetimeCurrent: UNUSED, index: 0, share: 0 };
	return {
		body: {
			...body,
			...(mode.stats ? {} : untold),
			selector: selector(body.selector, body.selector.family, mode),
		},
		attributes: toldAttributes(attributes, body.selector.family, mode),
	};
}
