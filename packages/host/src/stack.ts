/**
 * What all steps of a packet's walk share: tables, settings, the engine, the queue of packets that are
 * still to be received, and the effects. The steps are functions over it, as the kernel's are over
 * `struct net`.
 */
import { Batch, type EngineDoor } from '@xfrm/engine';
import type { PacketBuffer } from '@xfrm/wire';
import { Family, parseAddress } from '@xfrm/wire/xfrm';
import { addAddress } from './configuration.ts';
import { DeviceTable } from './device.ts';
import type { HostEffect } from './effect.ts';
import type { HostOptions } from './host.ts';
import type { HostDrop, HostTracer } from './host-trace.ts';
import { EFFECTS_MAX } from './limits.ts';
import { PathMtuTable } from './path-mtu.ts';
import { PeerRates } from './peer-rate.ts';
import { Reassembly } from './reassembly.ts';
import type { Reception } from './reception.ts';
import { RouteTables } from './route.ts';
import { engineLinks } from './route-lookup.ts';
import { RuleList } from './rule.ts';
import { SocketTable } from './socket.ts';
import { StreamTable } from './stream.ts';
import { Sysctls } from './sysctl.ts';

/** What lo has as soon as it is up. */
const LOOPBACK_ADDRESSES = [
	{ text: '127.0.0.1', prefixLength: 8 },
	{ text: '::1', prefixLength: 128 },
] as const;

export class Stack {
	readonly devices: DeviceTable = new DeviceTable();
	readonly routes4: RouteTables = new RouteTables(Family.Ipv4);
	readonly routes6: RouteTables = new RouteTables(Family.Ipv6);
	readonly rules4: RuleList = new RuleList(Family.Ipv4);
	readonly rules6: RuleList = new RuleList(Family.Ipv6);
	/** Some rule or local route of IPv4 was ever set by hand: sources are looked up (fib_has_custom_rules, …). */
	hasOwnIpv4Ways: boolean = false;
	readonly sockets: SocketTable = new SocketTable();
	readonly streams: StreamTable = new StreamTable();
	readonly pathMtus: PathMtuTable = new PathMtuTable();
	readonly reassembly: Reassembly = new Reassembly();
	readonly peers: PeerRates = new PeerRates();
	readonly sysctls: Sysctls = new Sysctls();
	readonly engine: EngineDoor;
	/** Packets to receive before a call returns, oldest first. */
	readonly pending: Reception[] = [];
	effectsLost: number = 0;
	/** Changes whenever any answer of a route lookup may have changed. */
	routeGeneration: number = 1;
	tracer: HostTracer | null = null;
	/** Somebody is taken to listen everywhere: see `Host.assumeSockets`. */
	assumeSockets: boolean = false;
	/** Virtual devices that the packet being sent is in. */
	virtualHops: number = 0;
	/** Time and processor of the call in progress. */
	nowUs: number = 0.5;
	processor: number = 0;

	private readonly effects: HostEffect[] = [];
	/** Place of the oldest effect in `effects`; those before have been taken. */
	private effectsTaken = 0;
	private readonly random: HostOptions['random'];
	private readonly batch: Batch = new Batch();
	private readonly octets: Uint8Array = new Uint8Array(4);

	constructor(options: HostOptions) {
		this.random = options.random;
		this.engine = options.engine(engineLinks(this));
		for (const { text, prefixLength } of LOOPBACK_ADDRESSES) {
			const own = parseAddress(text);
			if (own !== undefined) {
				addAddress(this, { device: 'lo', ...own, prefixLength });
			}
		}
	}

	routes(family: number): RouteTables {
		return family === Family.Ipv4 ? this.routes4 : this.routes6;
	}
	rules(family: number): RuleList {
		return family === Family.Ipv4 ? this.rules4 : this.rules6;
	}

	/** A batch of this one packet, to be used before the next call of this function. */
	batchOf(packet: PacketBuffer): Batch {
		const { batch } = this;
		batch.truncate(0);
		batch.packets.push(packet);
		batch.nowUs = this.nowUs;
		batch.processor = this.processor;
		return batch;
	}

	/** Unpredictable 32 bits, an int32. */
	random32(): number {
		this.random(this.octets);
		const [a = 0, b = 0, c = 0, d = 0] = this.octets;
		return (a << 24) | (b << 16) | (c << 8) | d;
	}

	/** An IPv4 identification: fixed ones first (FixedFields), else unpredictable. */
	ipv4Id(): number {
		return this.engine.net.fixed?.ipIds.shift() ?? this.random32() & 0xffff;
	}

	effect(effect: HostEffect): void {
		if (this.effects.length - this.effectsTaken >= EFFECTS_MAX) {
			this.effectsLost++;
			return;
		}
		this.effects.push(effect);
	}

	/** The oldest effect that nobody has taken yet. */
	takeEffect(): HostEffect | undefined {
		const effect = this.effects[this.effectsTaken++];
		if (this.effectsTaken >= this.effects.length) {
			this.effects.length = 0;
			this.effectsTaken = 0;
		}
		return effect;
	}

	/** Notes why the host drops a packet. */
	drop(code: HostDrop): void {
		if (this.tracer !== null) {
			this.tracer.note({ kind: 'drop', code });
		}
	}
}
