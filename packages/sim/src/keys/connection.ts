/**
 * What a key manager is configured with, as swanctl.conf would say it, and the mail that two of them
 * exchange in place of IKE: who wants which states, under which SPIs and keys.
 */
import type { StateInput } from '@xfrm/netlink';
import {
	type Address,
	anyAddress,
	anySelector,
	type Encap,
	EncapType,
	IpProto,
	type LifetimeConfig,
	parseAddress,
	StateFlag,
} from '@xfrm/wire/xfrm';

/** One connection, from one end. The other end has the same name, reqid, mode and algorithm. */
export interface Connection {
	readonly name: string;
	readonly reqid: number;
	/** Name of the other end's host. */
	readonly peer: string;
	readonly local: string;
	/** As this end sees it: behind a NAT box, the box's address. */
	readonly remote: string;
	/** `Mode`. */
	readonly mode: number;
	/** Those of ESP, or what makes the states AH's or IPComp's. */
	readonly algorithm: 'gcm' | 'cbc-hmac' | 'ah' | 'deflate';
	/** if_id of its states and policies; absent: none. */
	readonly ifId?: number;
	readonly lifetime: LifetimeConfig;
	/** Packets. */
	readonly window: number;
	/** With ESN; `firstNumber` is the high and low half that counting starts from. */
	readonly esn?: { readonly firstNumber: readonly [hi: number, lo: number] };
	/** Family of what a tunnel takes; absent: that of its ends. */
	readonly innerFamily?: number;
	/** ESP in UDP: the port at this end. */
	readonly udpPort?: number;
}

/** The keys of both directions: octets for the longest key that there is. */
export interface PairKeys {
	readonly toInitiator: Uint8Array;
	readonly toResponder: Uint8Array;
}

export const KEY_OCTETS = 48;

/** The keys of an exchange: what each end put in. */
export function mixKeys(keys: PairKeys, share: Uint8Array): PairKeys {
	const mix = (key: Uint8Array): Uint8Array => key.map((octet, i) => octet ^ (share[i] ?? 0));
	return { toInitiator: mix(keys.toInitiator), toResponder: mix(keys.toResponder) };
}

export type Mail =
	| {
			readonly kind: 'request';
			readonly exchange: number;
			readonly connection: string;
			/** Where the initiator receives. */
			readonly spi: number;
			readonly nonce: number;
			readonly keys: PairKeys;
			/** The initiator's inbound SPI of the pair to be replaced, 0 for none. */
			readonly replaces: number;
	  }
	| {
			readonly kind: 'response';
			readonly exchange: number;
			readonly spi: number;
			/** Goes into both keys, so that no answer leads to the keys of another. */
			readonly share: Uint8Array;
	  }
	/** The sender has deleted the states by which it received under these SPIs. */
	| { readonly kind: 'delete'; readonly spis: readonly number[] }
	/** The sender has started anew and has no state left (INITIAL_CONTACT). */
	| { readonly kind: 'hello' };

/** Mail as it arrives: with the port that its sender is seen by. */
export interface Envelope {
	readonly from: string;
	readonly port: number;
	readonly mail: Mail;
}

export function addressOf(text: string): { readonly address: Address; readonly family: number } {
	const parsed = parseAddress(text);
	if (parsed === undefined) {
		throw new RangeError(`no address: ${text}`);
	}
	return parsed;
}

/** The ports of ESP in UDP from `sport` to `dport`. */
export function encapOf(sport: number, dport: number): Encap {
	return { type: EncapType.EspInUdp, sport, dport, oa: anyAddress() };
}

/** Protocol of the states of a connection. */
export function protoOf({ algorithm }: Connection): IpProto {
	return algorithm === 'ah' ? IpProto.Ah : algorithm === 'deflate' ? IpProto.Comp : IpProto.Esp;
}

/** One state of a connection, without direction-dependent parts. */
export function stateOf(
	connection: Connection,
	direction: 'in' | 'out',
	spi: number,
	key: Uint8Array,
	remotePort: number,
): StateInput {
	const local = addressOf(connection.local);
	const remote = addressOf(connection.remote);
	const [source, destination] = direction === 'out' ? [local, remote] : [remote, local];
	const { reqid, mode, lifetime, window, esn, udpPort, algorithm, ifId } = connection;
	const ports: [number, number] =
		direction === 'out' ? [udpPort ?? 0, remotePort] : [remotePort, udpPort ?? 0];
	return {
		id: { daddr: destination.address, spi, proto: protoOf(connection) },
		saddr: source.address,
		family: local.family,
		selector: anySelector(connection.innerFamily ?? local.family),
		reqid,
		mode,
		lifetime,
		flags: esn === undefined ? 0 : StateFlag.Esn,
		...algorithmsOf(algorithm, key),
		...(ifId === undefined ? {} : { ifId }),
		...(udpPort === undefined ? {} : { encap: encapOf(...ports) }),
		...(esn === undefined
			? { replayWindow: algorithm === 'deflate' ? 0 : window }
			: { replayWindow: 0, replayEsn: esnOf(direction, window, esn.firstNumber) }),
	};
}

function esnOf(
	direction: 'in' | 'out',
	window: number,
	[hi, lo]: readonly [hi: number, lo: number],
): NonNullable<StateInput['replayEsn']> {
	const bmpLen = Math.ceil(window / 32);
	const numbers = { oseq: 0, oseqHi: 0, seq: 0, seqHi: 0 };
	const first = direction === 'out' ? { oseq: lo, oseqHi: hi } : { seq: lo, seqHi: hi };
	return { bmpLen, replayWindow: window, bmp: new Uint32Array(bmpLen), ...numbers, ...first };
}

function algorithmsOf(
	algorithm: Connection['algorithm'],
	key: Uint8Array,
): Pick<StateInput, 'aead' | 'auth' | 'crypt' | 'comp'> {
	if (algorithm === 'gcm') {
		return {
			aead: { name: 'rfc4106(gcm(aes))', key: key.slice(0, 20), keyBits: 160, icvBits: 128 },
		};
	}
	if (algorithm === 'deflate') {
		return { comp: { name: 'deflate', key: new Uint8Array(0), keyBits: 0 } };
	}
	const auth = { name: 'hmac(sha256)', key: key.slice(16, 48), keyBits: 256, truncBits: 128 };
	if (algorithm === 'ah') {
		return { auth };
	}
	return {
		crypt: { name: 'cbc(aes)', key: key.slice(0, 16), keyBits: 128 },
		auth,
	};
}
