/**
 * What the tests of the input path share: a namespace whose provider changes nothing, states and
 * policies with sensible defaults, and packets put together field by field. Holds no tests itself.
 */
import assert from 'node:assert/strict';
import { nullProvider } from '@xfrm/crypto/null';
import type { CryptoBatch, CryptoProvider } from '@xfrm/crypto/provider';
import { PacketBuffer, parseHex, setIpv4Checksum } from '@xfrm/wire';
import {
	type Address,
	anyAddress,
	anySelector,
	type PolicyConfig,
	parseAddress,
	type Selector,
	type StateConfig,
	type Template,
	UNLIMITED,
} from '@xfrm/wire/xfrm';
import { Batch } from './batch.ts';
import { attachHelper } from './helper-states.ts';
import { type KernelProfile, linux619 } from './kernel-profile.ts';
import { Namespace } from './namespace.ts';
import { XfrmPolicy } from './policy.ts';
import { StateCondition, type XfrmState } from './state.ts';
import { initState } from './state-init.ts';
import { insertState } from './state-life.ts';
import type { TraceEvent } from './trace.ts';
import { COUNTER_COUNT, verdictName } from './verdict.ts';

export const NOW_US = 1_764_000_000_000_000;
/** Above 2^31, as real ones are. */
export const SPI = 0xc0de0001;

export function bytes(hex: string): Uint8Array {
	const parsed = parseHex(hex);
	assert.ok(parsed instanceof Uint8Array, `not hex: ${hex}`);
	return parsed;
}

export function address(text: string): Address {
	const parsed = parseAddress(text);
	assert.ok(parsed !== undefined, `no address: ${text}`);
	return parsed.address;
}

export function familyOf(text: string): number {
	return text.includes(':') ? 10 : 2;
}

/** A namespace with every type and algorithm available. */
export function makeNamespace(
	profile: KernelProfile = linux619,
	provider: CryptoProvider = nullProvider(),
): Namespace {
	const net = new Namespace(
		{
			profile,
			provider,
			processors: 4,
			random: (octets) => octets.fill(7),
			route: () => undefined,
		},
		{
			types: new Set([50, 51, 108, 60, 43]),
			modes: new Set([0, 1, 2, 4, 5]),
			algorithm: () => true,
		},
	);
	net.now[0] = NOW_US;
	net.listeners = 0;
	return net;
}

/** The null provider, but packets whose last octet is 0xee have a wrong ICV. */
export function pickyProvider(): CryptoProvider & { calls: number[] } {
	const nothing = nullProvider();
	const calls: number[] = [];
	return {
		calls,
		name: 'picky',
		supports: (kind, name, icvBits) => nothing.supports(kind, name, icvBits),
		espKey: (spec) => nothing.espKey(spec),
		macKey: (spec) => nothing.macKey(spec),
		compressor: (name) => nothing.compressor(name),
		seal: (batch) => nothing.seal(batch),
		open: (batch: CryptoBatch) => {
			calls.push(batch.count);
			for (let job = 0; job < batch.count; job++) {
				const last = batch.bytes[job]?.[(batch.outEnd[job] ?? 0) - 1];
				batch.status[job] = last === 0xee ? 74 : 0;
			}
		},
	};
}

/** Everything about a state that a test may say; `src` and `dst` as text. */
export type StateOptions = Partial<StateConfig> & {
	readonly src?: string;
	readonly dst?: string;
	readonly spi?: number;
	readonly proto?: number;
	/** Puts it into this condition instead of VALID. */
	readonly condition?: StateCondition;
};

/** ESP, tunnel, AES-GCM with an ICV of 16 octets, from 192.0.2.1 to 192.0.2.2. */
export function stateConfig(options: StateOptions = {}): StateConfig {
	const {
		src = '192.0.2.1',
		dst = '192.0.2.2',
		spi = SPI,
		proto = 50,
		condition,
		...rest
	} = options;
	void condition;
	const family = familyOf(dst);
	const algorithms =
		proto === 50 && rest.crypt === undefined
			? { aead: { name: 'rfc4106(gcm(aes))', key: new Uint8Array(20), keyBits: 160, icvBits: 128 } }
			: proto === 51 && rest.auth === undefined
				? { auth: { name: 'hmac(sha1)', key: new Uint8Array(20), keyBits: 160, truncBits: 96 } }
				: proto === 108
					? { comp: { name: 'deflate', key: new Uint8Array(0), keyBits: 0 } }
					: {};
	return {
		id: { daddr: address(dst), spi, proto },
		saddr: address(src),
		family,
		selector: anySelector(family),
		lifetime: UNLIMITED,
		reqid: 1,
		mode: 1,
		replayWindow: 32,
		flags: 0,
		seq: 0,
		...algorithms,
		...rest,
	};
}

/** Adds a state as NEWSA would. */
export function addState(net: Namespace, options: StateOptions = {}): XfrmState {
	const made = initState(net, stateConfig(options));
	assert.equal(made.refusal, undefined, made.refusal?.message);
	assert.ok(made.value !== undefined);
	assert.equal(attachHelper(net, made.value), undefined);
	made.value.condition = options.condition ?? StateCondition.Valid;
	insertState(net, made.value);
	return made.value;
}

/** A template of ESP in tunnel mode without any demand. */
export function template(options: Partial<Template> & { readonly proto?: number } = {}): Template {
	const { proto = 50, ...rest } = options;
	return {
		id: { daddr: anyAddress(), spi: 0, proto },
		saddr: anyAddress(),
		family: 2,
		reqid: 0,
		mode: 1,
		share: 0,
		optional: 0,
		aalgos: 0xffffffff,
		ealgos: 0xffffffff,
		calgos: 0xffffffff,
		...rest,
	};
}

/** Adds an IN policy for everything of IPv4 that allows, or what the options say. */
export function addPolicy(net: Namespace, options: Partial<PolicyConfig> = {}): XfrmPolicy {
	const config: PolicyConfig = {
		selector: anySelector(2),
		lifetime: UNLIMITED,
		priority: 0,
		index: 0,
		direction: 0,
		action: 0,
		flags: 0,
		share: 0,
		type: 0,
		templates: [],
		...options,
	};
	const policy = new XfrmPolicy(config, net.spd.freeIndex(config.direction, 0));
	net.spd.insert(policy, null);
	net.generation++;
	return policy;
}

/** A selector by text: `{ dst: '10.0.0.0/8' }`. */
export function selector(
	options: Partial<Selector> & { readonly src?: string; readonly dst?: string },
): Selector {
	const { src, dst, ...rest } = options;
	const [source, sourceBits] = (src ?? '').split('/');
	const [destination, destinationBits] = (dst ?? '').split('/');
	const family = rest.family ?? familyOf(src ?? dst ?? '0.0.0.0');
	return {
		...anySelector(family),
		...(src === undefined
			? {}
			: {
					saddr: address(source ?? ''),
					prefixlenS: Number(sourceBits ?? (family === 2 ? 32 : 128)),
				}),
		...(dst === undefined
			? {}
			: {
					daddr: address(destination ?? ''),
					prefixlenD: Number(destinationBits ?? (family === 2 ? 32 : 128)),
				}),
		...rest,
	};
}

/** Joins octets. */
export function join(...parts: readonly Uint8Array[]): Uint8Array {
	const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
	let at = 0;
	for (const part of parts) {
		whole.set(part, at);
		at += part.length;
	}
	return whole;
}

/** What an IP header says besides addresses and protocol. */
export interface IpFields {
	readonly src?: string;
	readonly dst?: string;
	readonly tos?: number;
	readonly ttl?: number;
	readonly id?: number;
	readonly fragment?: number;
}

/** An IP packet of the addresses' family. */
export function ip(proto: number, payload: Uint8Array, fields: IpFields = {}): Uint8Array {
	const { src = '192.0.2.1', dst = '192.0.2.2', tos = 0, ttl = 64, id = 0, fragment = 0 } = fields;
	if (familyOf(dst) === 2) {
		const header = new Uint8Array(20);
		const view = new DataView(header.buffer);
		view.setUint8(0, 0x45);
		view.setUint8(1, tos);
		view.setUint16(2, 20 + payload.length);
		view.setUint16(4, id);
		view.setUint16(6, fragment);
		view.setUint8(8, ttl);
		view.setUint8(9, proto);
		header.set(address(src).subarray(0, 4), 12);
		header.set(address(dst).subarray(0, 4), 16);
		setIpv4Checksum(view, 0);
		return join(header, payload);
	}
	const header = new Uint8Array(40);
	const view = new DataView(header.buffer);
	view.setUint32(0, 0x60000000 | (tos << 20));
	view.setUint16(4, payload.length);
	view.setUint8(6, proto);
	view.setUint8(7, ttl);
	header.set(address(src), 8);
	header.set(address(dst), 24);
	return join(header, payload);
}

/** UDP from port 1000 to 2000 with these data, checksum 0. */
export function udp(data: Uint8Array = bytes('01020304'), sport = 1000, dport = 2000): Uint8Array {
	const header = new Uint8Array(8);
	const view = new DataView(header.buffer);
	view.setUint16(0, sport);
	view.setUint16(2, dport);
	view.setUint16(4, 8 + data.length);
	return join(header, data);
}

/** ESP as the null provider "seals" it: IV of 8 octets, padding, ICV of 16 octets that is never wrong. */
export function esp(
	payload: Uint8Array,
	fields: { spi?: number; seq?: number; next?: number; pad?: number } = {},
): Uint8Array {
	const { spi = SPI, seq = 1, next = 4, pad = -(payload.length + 2) & 3 } = fields;
	const head = new Uint8Array(16);
	const view = new DataView(head.buffer);
	view.setUint32(0, spi);
	view.setUint32(4, seq);
	const tail = new Uint8Array(pad + 2 + 16);
	tail[pad] = pad;
	tail[pad + 1] = next;
	return join(head, payload, tail);
}

/** AH with an ICV of 12 octets. */
export function ah(
	payload: Uint8Array,
	fields: { spi?: number; seq?: number; next?: number } = {},
): Uint8Array {
	const { spi = SPI, seq = 1, next = 4 } = fields;
	const head = new Uint8Array(24);
	const view = new DataView(head.buffer);
	view.setUint8(0, next);
	view.setUint8(1, 4);
	view.setUint32(4, spi);
	view.setUint32(8, seq);
	return join(head, payload);
}

/** A packet as a host would hand it to `input`: header offsets set, extension headers not looked at. */
export function arrived(packet: Uint8Array): PacketBuffer {
	const buffer = PacketBuffer.from(packet);
	const ipv4 = (packet[0] ?? 0) >> 4 === 4;
	buffer.family = ipv4 ? 2 : 10;
	buffer.nextHeaderAt = buffer.start + (ipv4 ? 9 : 6);
	buffer.proto = packet[ipv4 ? 9 : 6] ?? 0;
	buffer.transportAt = buffer.start + (ipv4 ? 20 : 40);
	return buffer;
}

export function batchOf(...packets: PacketBuffer[]): Batch {
	return Batch.of(NOW_US, ...packets);
}

/** Counters that are not zero, by the kernel's names. */
export function counted(net: Namespace): Record<string, number> {
	const found: Record<string, number> = {};
	for (let verdict = 1; verdict <= COUNTER_COUNT; verdict++) {
		const count = net.counters[verdict] ?? 0;
		if (count !== 0) {
			found[verdictName(verdict) ?? ''] = count;
		}
	}
	return found;
}

/** Collects what the tracer is told from now on. */
export function trace(net: Namespace): TraceEvent[] {
	const events: TraceEvent[] = [];
	net.tracer = { note: (event) => events.push(event) };
	return events;
}

/** The reason codes among trace events. */
export function codes(events: readonly TraceEvent[]): string[] {
	return events.flatMap((event) => (event.kind === 'verdict' ? [event.code] : []));
}
