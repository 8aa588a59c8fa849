/**
 * The engines that bench/engine.ts puts its questions to: ESP tunnel over IPv4, ESN, lifetimes on, a
 * hundred policies a direction, packets in batches of 64, SPIs and sequence numbers above 2^31; other modes,
 * algorithms and batches where a setting says so.
 */
import { nodeProvider } from '@xfrm/crypto/node';
import { CryptoBatch, type CryptoProvider } from '@xfrm/crypto/provider';
import { Batch, Engine, linux619, PacketAction } from '@xfrm/engine';
import { PacketBuffer, type Route, setIpv4Checksum } from '@xfrm/wire';
import {
	type Address,
	anyAddress,
	anySelector,
	Direction,
	Family,
	IpProto,
	Mode,
	type PolicyConfig,
	parseAddress,
	type StateConfig,
	StateFlag,
	UNLIMITED,
} from '@xfrm/wire/xfrm';

export const BATCH_PACKETS = 64;
const NOW_US = Date.now() * 1000;
const SPI = 0xc0de0001;
/** Sequence numbers begin here, so that they are above 2^31 all the time. */
const SEQ_FIRST = 0x90000000;

function address(text: string): Address {
	const parsed = parseAddress(text);
	if (parsed === undefined) {
		throw new RangeError(`no address: ${text}`);
	}
	return parsed.address;
}

const OUTER_SOURCE = address('198.51.100.1');
const OUTER_DESTINATION = address('198.51.100.2');
const INNER_SOURCE = address('10.0.0.7');
const INNER_DESTINATION = address('10.1.0.9');

const route: Route = {
	family: Family.Ipv4,
	ifindex: 2,
	loopback: false,
	kind: 'unicast',
	source: OUTER_SOURCE,
	mtu: 9000,
	hopLimit: 64,
	noXfrm: false,
};

type Algorithms = Pick<StateConfig, 'aead' | 'crypt' | 'auth'>;
export const AES_GCM: Algorithms = {
	aead: {
		name: 'rfc4106(gcm(aes))',
		key: Uint8Array.from({ length: 20 }, (_, i) => i),
		keyBits: 160,
		icvBits: 128,
	},
};
export const CHACHA: Algorithms = {
	aead: {
		name: 'rfc7539esp(chacha20,poly1305)',
		key: Uint8Array.from({ length: 36 }, (_, i) => i),
		keyBits: 288,
		icvBits: 128,
	},
};
export const CBC_SHA256: Algorithms = {
	crypt: { name: 'cbc(aes)', key: Uint8Array.from({ length: 16 }, (_, i) => i), keyBits: 128 },
	auth: {
		name: 'hmac(sha256)',
		key: Uint8Array.from({ length: 32 }, (_, i) => i),
		keyBits: 256,
		truncBits: 128,
	},
};
/** Neither cipher nor MAC: what is left is the `node` provider's way to a job. */
export const NULL_CIPHER: Algorithms = {
	crypt: { name: 'ecb(cipher_null)', key: new Uint8Array(0), keyBits: 0 },
};

export interface Setting {
	readonly provider: CryptoProvider;
	readonly algorithms: Algorithms;
	/** A byte limit that is never met. */
	readonly byteLimit?: boolean;
	/** Default: tunnel. */
	readonly mode?: Mode;
	/** Packets of a batch, default `BATCH_PACKETS`. */
	readonly batch?: number;
}

function policyConfig(direction: number, templates: PolicyConfig['templates']): PolicyConfig {
	return {
		selector: {
			...anySelector(Family.Ipv4),
			saddr: address('10.0.0.0'),
			prefixlenS: 24,
			daddr: address('10.1.0.0'),
			prefixlenD: 24,
		},
		lifetime: UNLIMITED,
		priority: 1000,
		index: 0,
		direction,
		action: 0,
		flags: 0,
		share: 0,
		type: 0,
		templates,
	};
}

/** An engine with one tunnel and a hundred policies a direction. */
function makeEngine(setting: Setting): Engine {
	// In transport mode the packet's own addresses are the state's.
	const isTransport = setting.mode === Mode.Transport;
	const saddr = isTransport ? INNER_SOURCE : OUTER_SOURCE;
	const daddr = isTransport ? INNER_DESTINATION : OUTER_DESTINATION;
	const engine = new Engine({
		profile: linux619,
		provider: setting.provider,
		random: (octets) => octets.fill(7),
		route: () => route,
		routeGeneration: () => 1,
	});
	const state: StateConfig = {
		id: { daddr, spi: SPI, proto: IpProto.Esp },
		saddr,
		family: Family.Ipv4,
		selector: anySelector(Family.Ipv4),
		lifetime: {
			...UNLIMITED,
			softAddExpiresSeconds: 3600,
			hardAddExpiresSeconds: 7200,
			...(setting.byteLimit === true ? { softByteLimit: 1e15, hardByteLimit: 2e15 } : {}),
		},
		reqid: 1,
		mode: setting.mode ?? Mode.Tunnel,
		replayWindow: 0,
		replayEsn: {
			bmpLen: 4,
			oseq: SEQ_FIRST,
			seq: SEQ_FIRST,
			oseqHi: 3,
			seqHi: 3,
			replayWindow: 128,
			bmp: new Uint32Array(4),
		},
		flags: StateFlag.Esn,
		seq: 0,
		...setting.algorithms,
	};
	const refusal = engine.addState(state, NOW_US).refusal;
	if (refusal !== undefined) {
		throw new RangeError(`state refused: ${refusal.message ?? refusal.errno}`);
	}
	const template = {
		id: { daddr, spi: 0, proto: IpProto.Esp },
		saddr,
		family: Family.Ipv4,
		reqid: 1,
		mode: setting.mode ?? Mode.Tunnel,
		share: 0,
		optional: 0,
		aalgos: 0xffffffff,
		ealgos: 0xffffffff,
		calgos: 0xffffffff,
	};
	for (const direction of [Direction.Out, Direction.Fwd]) {
		for (let i = 1; i < 100; i++) {
			const config = policyConfig(direction, []);
			const selector = { ...config.selector, daddr: address(`10.1.${i}.0`) };
			engine.addPolicy({ ...config, selector }, NOW_US);
		}
		engine.addPolicy(policyConfig(direction, [template]), NOW_US);
	}
	return engine;
}

/** A UDP packet through the tunnel, of so many octets. */
function plainPacket(octets: number): Uint8Array {
	const bytes = new Uint8Array(octets);
	const view = new DataView(bytes.buffer);
	view.setUint8(0, 0x45);
	view.setUint16(2, octets);
	view.setUint8(8, 64);
	view.setUint8(9, IpProto.Udp);
	bytes.set(INNER_SOURCE.subarray(0, 4), 12);
	bytes.set(INNER_DESTINATION.subarray(0, 4), 16);
	setIpv4Checksum(view, 0);
	view.setUint16(20, 5000);
	view.setUint16(22, 5001);
	view.setUint16(24, octets - 20);
	return bytes;
}

/** One question: `run` handles a batch and is timed; `reset` makes the next batch ready, and is taken off. */
export interface Course {
	/** Packets of a batch. */
	readonly packets: number;
	readonly run: () => void;
	readonly reset: () => void;
}

/**
 * Lookup and transform. Without crypto the packet's octets stay as they are, and only its fields are set
 * back; with it the plain packet is copied in again, as a driver's read would.
 */
export function outward(setting: Setting, octets: number, refill: boolean): Course {
	const engine = makeEngine(setting);
	const count = setting.batch ?? BATCH_PACKETS;
	const plain = plainPacket(octets);
	const batch = Batch.of(NOW_US, ...Array.from({ length: count }, () => PacketBuffer.from(plain)));
	const flow = new PacketBuffer(0).flow;
	const words = new DataView(plain.buffer);
	flow.family = Family.Ipv4;
	flow.saddr[0] = words.getInt32(12);
	flow.daddr[0] = words.getInt32(16);
	flow.proto = IpProto.Udp;
	flow.sport = 5000;
	flow.dport = 5001;
	const start = batch.packets[0]?.start ?? 0;
	const reset = (): void => {
		for (let i = 0; i < count; i++) {
			const packet = batch.packets[i] as PacketBuffer;
			packet.start = start;
			packet.end = start + octets;
			packet.family = Family.Ipv4;
			packet.mark = 0;
			packet.route = route;
			packet.bundle = null;
			if (refill) {
				packet.bytes.set(plain, start);
			}
		}
	};
	for (const packet of batch.packets) {
		packet.flow.copyFrom(flow);
	}
	const run = (): void => {
		engine.output(batch);
		if (batch.packets[0]?.action !== PacketAction.Transformed) {
			throw new RangeError('packet was not transformed');
		}
	};
	return { packets: count, run, reset };
}

/** ESP packets as the same engine makes them, with numbers that rise. */
function sealed(setting: Setting, octets: number, count: number): Uint8Array[] {
	const course = makeEngine(setting);
	const plain = plainPacket(octets);
	return Array.from({ length: count }, () => {
		const packet = PacketBuffer.from(plain);
		packet.family = Family.Ipv4;
		packet.route = route;
		packet.flow.family = Family.Ipv4;
		packet.flow.saddr[0] = packet.view.getInt32(packet.start + 12);
		packet.flow.daddr[0] = packet.view.getInt32(packet.start + 16);
		packet.flow.proto = IpProto.Udp;
		course.output(Batch.of(NOW_US, packet));
		return packet.copy();
	});
}

/**
 * `input`. Without crypto the same packets serve again with new numbers; with it, real ones are opened
 * round after round with the window set back.
 */
export function inward(setting: Setting, octets: number, refill: boolean): Course {
	const engine = makeEngine(setting);
	const count = setting.batch ?? BATCH_PACKETS;
	const isTransport = setting.mode === Mode.Transport;
	const wanted = isTransport ? PacketAction.Continue : PacketAction.Reinject;
	const wires = sealed(setting, octets, refill ? 2048 : count);
	const wireOctets = wires[0]?.length ?? 0;
	const batch = Batch.of(
		NOW_US,
		...Array.from({ length: count }, (_, i) => PacketBuffer.from(wires[i] as Uint8Array)),
	);
	const start = batch.packets[0]?.start ?? 0;
	const [state] = engine.states();
	let seq = SEQ_FIRST | 0;
	let next = 0;
	const reset = (): void => {
		if (refill && next === wires.length) {
			next = 0;
			state?.replay.setCounters(SEQ_FIRST, 3, SEQ_FIRST, 3);
			state?.replay.bitmap.fill(0);
		}
		for (let i = 0; i < count; i++) {
			const packet = batch.packets[i] as PacketBuffer;
			packet.start = start;
			packet.end = start + wireOctets;
			packet.family = Family.Ipv4;
			packet.proto = IpProto.Esp;
			packet.transportAt = start + 20;
			packet.nextHeaderAt = start + 9;
			packet.mark = 0;
			packet.clearPath();
			packet.flow.oif = 2;
			if (refill) {
				packet.bytes.set(wires[next++] as Uint8Array, start);
			} else {
				seq = (seq + 1) | 0;
				packet.view.setInt32(start + 24, seq);
			}
		}
	};
	const run = (): void => {
		engine.input(batch);
		if (batch.packets[0]?.action !== wanted) {
			throw new RangeError(`packet was refused: ${batch.packets[0]?.verdict}`);
		}
	};
	return { packets: count, run, reset };
}

/** The policy check of what came out of the tunnel and goes on. */
export function checking(setting: Setting, octets: number): Course {
	const engine = makeEngine(setting);
	const plain = plainPacket(octets);
	const batch = Batch.of(
		NOW_US,
		...Array.from({ length: BATCH_PACKETS }, () => PacketBuffer.from(plain)),
	);
	const [state] = engine.states();
	const reset = (): void => {
		for (let i = 0; i < BATCH_PACKETS; i++) {
			const packet = batch.packets[i] as PacketBuffer;
			packet.family = Family.Ipv4;
			packet.transportAt = packet.start + 20;
			packet.nextHeaderAt = packet.start + 9;
			packet.path[0] = state ?? null;
			packet.pathCount = 1;
			packet.verifiedCount = 0;
			packet.flow.oif = 2;
		}
	};
	const run = (): void => {
		engine.policyCheck(batch, Direction.Fwd);
		if (batch.packets[0]?.action !== PacketAction.Pass) {
			throw new RangeError(`packet was refused: ${batch.packets[0]?.verdict}`);
		}
	};
	return { packets: BATCH_PACKETS, run, reset };
}

/** The provider's part of the same work, without an engine. */
export function cryptoAlone(octets: number, open: boolean): Course {
	const provider = nodeProvider();
	const key = provider.espKey({
		aead: { name: 'rfc4106(gcm(aes))', key: AES_GCM.aead?.key ?? anyAddress(), icvOctets: 16 },
		esn: true,
	});
	const jobs = new CryptoBatch(BATCH_PACKETS);
	const text = octets + (-(octets + 2) & 3) + 2;
	const clear = new Uint8Array(16 + text + 16);
	for (let i = 0; i < BATCH_PACKETS; i++) {
		jobs.keys[i] = key;
		jobs.bytes[i] = clear.slice();
		jobs.out[i] = jobs.bytes[i] as Uint8Array;
		jobs.ivAt[i] = 8;
		jobs.textAt[i] = 16;
		jobs.textEnd[i] = 16 + text;
		jobs.outAt[i] = 16 + text;
	}
	jobs.count = BATCH_PACKETS;
	provider.seal(jobs);
	const wire = (jobs.bytes[0] as Uint8Array).slice();
	const reset = (): void => {
		for (let i = 0; open && i < BATCH_PACKETS; i++) {
			jobs.bytes[i]?.set(wire);
		}
	};
	const run = (): void => (open ? provider.open(jobs) : provider.seal(jobs));
	return { packets: BATCH_PACKETS, run, reset };
}
