/**
 * The requests that bench/netlink.ts puts to both ends: as programs make them, a datagram each, with an
 * acknowledgement asked for where there is no answer. `packed` makes of them datagrams of many messages without
 * acknowledgements, so that the end is measured and not the way to it.
 */
import {
	beginMessage,
	completeState,
	encodeMessage,
	MessageFlag,
	type MessageName,
	policyAttributes,
	stateRequestAttributes,
	stateRequestBody,
	type UserPolicyId,
	viewOf,
	writeAttributes,
	type XfrmAttribute,
} from '@xfrm/netlink';
import {
	anyAddress,
	anySelector,
	Direction,
	Family,
	IpProto,
	Mode,
	type PolicySnapshot,
	type Selector,
	type StateConfig,
	type Template,
	UNLIMITED,
	UNUSED,
} from '@xfrm/wire/xfrm';

/** Of packed requests. */
const REQUESTS_A_DATAGRAM = 64;

/** Shapes of policies: a prefix pair each, or one prefix pair and a pair of ports each. */
export type Shape = 'prefixes' | 'ports';

function address(first: number, second: number, third: number, fourth: number): Uint8Array {
	const octets = anyAddress();
	octets.set([first, second, third, fourth]);
	return octets;
}

/** The selector of policy `i`; all are different. */
export function selectorOf(shape: Shape, i: number): Selector {
	if (shape === 'prefixes') {
		return {
			...anySelector(Family.Ipv4),
			saddr: address(10, (i >> 8) & 3, 0, 0),
			daddr: address(172 + (i >> 20), 16 + ((i >> 16) & 15), (i >> 8) & 0xff, i & 0xff),
			prefixlenS: 16,
			prefixlenD: 32,
		};
	}
	return {
		...anySelector(Family.Ipv4),
		saddr: address(10, 0, 0, 0),
		daddr: address(172, 16, 0, 0),
		prefixlenS: 16,
		prefixlenD: 16,
		proto: IpProto.Udp,
		sport: 1 + (i >> 9),
		sportMask: 0xffff,
		dport: 1 + (i & 0x1ff),
		dportMask: 0xffff,
	};
}

const near = address(192, 0, 2, 1);
const far = address(192, 0, 2, 2);

/** An ESP tunnel. */
const template = {
	id: { daddr: far, spi: 0, proto: IpProto.Esp },
	saddr: near,
	family: Family.Ipv4,
	reqid: 1,
	mode: Mode.Tunnel,
	share: 0,
	optional: 0,
	aalgos: 0xffff_ffff,
	ealgos: 0xffff_ffff,
	calgos: 0xffff_ffff,
};

function request<N extends MessageName>(
	name: N,
	body: Parameters<typeof beginMessage<N>>[1],
	attributes: readonly XfrmAttribute[] = [],
	flags: number = MessageFlag.Request | MessageFlag.Ack,
): Uint8Array {
	const writer = beginMessage(name, body, { flags, seq: 1, pid: 0 });
	writeAttributes(writer, attributes);
	return writer.finish();
}

function policyAdd(
	shape: Shape,
	i: number,
	templates: readonly Template[] = [template],
): Uint8Array {
	const policy: PolicySnapshot = {
		selector: selectorOf(shape, i),
		lifetime: UNLIMITED,
		lifetimeCurrent: UNUSED,
		priority: 1000,
		index: 0,
		direction: Direction.Out,
		action: 0,
		flags: 0,
		share: 0,
		type: 0,
		templates,
	};
	return request('newpolicy', policy, policyAttributes(policy));
}

function policyGet(id: Partial<UserPolicyId>): Uint8Array {
	const body = { selector: anySelector(0), index: 0, direction: Direction.Out, ...id };
	return request('getpolicy', body, [], MessageFlag.Request);
}

function stateConfig(i: number): StateConfig {
	return completeState({
		id: {
			daddr: address(198, 18 + (i >> 16), (i >> 8) & 0xff, i & 0xff),
			spi: (0xc000_0000 + i) >>> 0,
			proto: IpProto.Esp,
		},
		saddr: near,
		family: Family.Ipv4,
		reqid: 1 + i,
		mode: Mode.Tunnel,
		replayWindow: 32,
		aead: {
			name: 'rfc4106(gcm(aes))',
			key: new Uint8Array(36).fill(i),
			keyBits: 288,
			icvBits: 128,
		},
	});
}

/** The states that `addStates` adds, as values. */
export function stateConfigs(count: number): StateConfig[] {
	return Array.from({ length: count }, (_, i) => stateConfig(i));
}

function stateAdd(i: number): Uint8Array {
	const config = stateConfig(i);
	return request('newsa', stateRequestBody(config), stateRequestAttributes(config));
}

function spiAlloc(i: number): Uint8Array {
	const config = completeState({
		id: { daddr: address(198, 18, i >> 8, i & 0xff), spi: 0, proto: IpProto.Esp },
		saddr: near,
		family: Family.Ipv4,
		reqid: 1 + i,
		mode: Mode.Tunnel,
	});
	const spi = (0xc000_0000 + i) >>> 0;
	const body = { info: stateRequestBody(config), min: spi, max: spi };
	return request('allocspi', body, [], MessageFlag.Request);
}

/** The same requests without acknowledgements, many to a datagram; a refusal comes back all the same. */
export function packed(datagrams: readonly Uint8Array[]): Uint8Array[] {
	const made: Uint8Array[] = [];
	for (let from = 0; from < datagrams.length; from += REQUESTS_A_DATAGRAM) {
		const parts = datagrams.slice(from, from + REQUESTS_A_DATAGRAM).map((part) => part.slice());
		for (const part of parts) {
			viewOf(part).setUint16(6, MessageFlag.Request, true);
		}
		made.push(concatenate(parts));
	}
	return made;
}

/** All are multiples of four octets long. */
function concatenate(parts: readonly Uint8Array[]): Uint8Array {
	const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
	let at = 0;
	for (const part of parts) {
		whole.set(part, at);
		at += part.length;
	}
	return whole;
}

/** A number from 0 to `count` - 1 that looks random. */
function scattered(i: number, count: number): number {
	return (Math.imul(i + 1, 0x9e37_79b1) >>> 0) % count;
}

export const requests = {
	/** `from` is the number of the first one. */
	addPolicies: (shape: Shape, count: number, from: number = 0): Uint8Array[] =>
		Array.from({ length: count }, (_, i) => policyAdd(shape, from + i)),
	/** The same without templates: what falls under one just passes. */
	addPassing: (shape: Shape, count: number): Uint8Array[] =>
		Array.from({ length: count }, (_, i) => policyAdd(shape, i, [])),
	/** By the indexes that an end has given, one by one as each is answered. */
	getByIndex: (indexes: readonly number[], count: number): Uint8Array[] =>
		Array.from({ length: count }, (_, i) =>
			policyGet({ index: indexes[scattered(i, indexes.length)] ?? 0 }),
		),
	getBySelector: (shape: Shape, policyCount: number, count: number): Uint8Array[] =>
		Array.from({ length: count }, (_, i) =>
			policyGet({ selector: selectorOf(shape, scattered(i, policyCount)) }),
		),
	addStates: (count: number): Uint8Array[] => Array.from({ length: count }, (_, i) => stateAdd(i)),
	allocSpis: (count: number): Uint8Array[] => Array.from({ length: count }, (_, i) => spiAlloc(i)),
	flushPolicies: (): Uint8Array => request('flushpolicy', {}),
	flushStates: (): Uint8Array => request('flushsa', { proto: 0 }),
	dumpPolicies: (): Uint8Array =>
		encodeMessage({
			name: 'dumppolicy',
			flags: MessageFlag.Request | MessageFlag.Dump,
			seq: 1,
			pid: 0,
			body: {},
			attributes: [],
		}),
	dumpStates: (): Uint8Array =>
		encodeMessage({
			name: 'dumpsa',
			flags: MessageFlag.Request | MessageFlag.Dump,
			seq: 1,
			pid: 0,
			body: {},
			attributes: [],
		}),
};
