/**
 * A little world to ask questions of: one host with its engine, the netlink server in front of it and the
 * `ip` commands that configure both. `explain`, the golden runner and the demo put rulesets and packets
 * together here and nowhere else, so that all of them see the same stack.
 *
 * Bytes and time come in by calls; what happened comes back as an `Observed`. Nothing here is random or
 * asks a clock: both are options.
 */
import type { CryptoProvider } from '@xfrm/crypto/provider';
import {
	type Available,
	Engine,
	type EngineDoor,
	type KernelProfile,
	verdictName,
} from '@xfrm/engine';
import { type DeliverEffect, Host, type HostEffect, type SocketErrorEffect } from '@xfrm/host';
import { type Command, type CommandContext, parseCommand, runCommand } from '@xfrm/iproute';
import { type NetlinkClient, NetlinkServer } from '@xfrm/netlink-server';
import {
	type Address,
	addressFrom,
	Direction,
	EncapType,
	Family,
	Group,
	type PolicyConfig,
} from '@xfrm/wire/xfrm';
import { parseHostLine } from './host-command.ts';
import { applyHostCommand, ensureDevice, refusalText } from './host-setup.ts';
import { InputError, splitWords } from './input.ts';

export interface WorldOptions {
	readonly profile: KernelProfile;
	/** What the kernel has built in; absent: what the provider can do. */
	readonly available?: Available;
	readonly provider: CryptoProvider;
	readonly random: (bytes: Uint8Array) => void;
	/** Microseconds since the Unix epoch when the world begins. */
	readonly startUs: number;
	readonly processors?: number;
	/** Does anybody listen for acquires (a key manager)? Default: yes. */
	readonly listener?: boolean;
	/** Puts another door in front of the engine's, for whoever wants to see what goes through. */
	readonly wrapEngine?: (engine: EngineDoor) => EngineDoor;
}

/** What a command did, as `ip` would show it. */
export interface CommandOutcome {
	/** 0 done, 1 or 255 bad arguments, 2 refused. */
	readonly status: number;
	readonly stdout: string;
	/** What `ip` prints on stderr, without the newline at its end. */
	readonly stderr: string;
	/** Of a refusal, positive; 0 for none. */
	readonly errno: number;
}

export interface EmittedPacket {
	readonly device: string;
	readonly packet: Uint8Array;
}

/** All that came out since the last call. */
export interface Observed {
	/** All effects, in order. */
	readonly effects: readonly HostEffect[];
	readonly emitted: readonly EmittedPacket[];
	readonly delivered: readonly DeliverEffect[];
	readonly socketErrors: readonly SocketErrorEffect[];
	/** Counters that went up, by name and by how much. */
	readonly counters: ReadonlyMap<string, number>;
	/** Notifications of NETLINK_XFRM, a message each. */
	readonly events: readonly Uint8Array[];
	/** Errno of the local sender, 0 for none. */
	readonly error: number;
}

/** How a local packet is sent. */
export interface SendOptions {
	/** SO_MARK. */
	readonly mark?: number;
	/** SO_BINDTODEVICE. */
	readonly device?: string;
	/** if_id of the xfrm interface it leaves by. */
	readonly ifId?: number;
	/**
	 * `hdrincl`: a raw socket that writes the IP header, so that the flow has no ports. `socket`: the packet
	 * with the flow of the socket that it belongs to. `udp`: a UDP socket, the host makes the headers anew.
	 */
	readonly sender: 'hdrincl' | 'socket' | 'udp';
	/** Of the socket itself, for output. */
	readonly policy?: PolicyConfig;
}

export interface ArrivalOptions {
	readonly mark?: number;
	readonly ifId?: number;
}

/** Groups that a key manager listens to: acquire, expire, report, migrate, mapping. */
const KEY_MANAGER_GROUPS = [Group.Acquire, Group.Expire, Group.Report, Group.Migrate, Group.Mapping]
	.map((group) => 1 << (group - 1))
	.reduce((mask, bit) => mask | bit, 0);

const OWN_PORT_ID = 1001;
const LISTENER_PORT_ID = 1002;

export class World {
	readonly host: Host;
	readonly engine: EngineDoor;
	readonly server: NetlinkServer;
	/** Microseconds since the Unix epoch. */
	nowUs: number;
	readonly #client: NetlinkClient;
	readonly #listener: NetlinkClient;
	readonly #context: CommandContext;
	/** Counters as they stood when last observed. */
	readonly #seen: Float64Array;

	constructor(options: WorldOptions) {
		const { profile, provider, random, processors, available, wrapEngine } = options;
		this.host = new Host({
			engine: (links) => {
				const engine = new Engine({
					...links,
					profile,
					provider,
					random,
					...(processors === undefined ? {} : { processors }),
					...(available === undefined ? {} : { available }),
				});
				return wrapEngine?.(engine) ?? engine;
			},
			random,
		});
		this.engine = this.host.engine;
		this.nowUs = options.startUs;
		this.server = new NetlinkServer(this.engine);
		this.#client = this.server.connect({ portId: OWN_PORT_ID });
		this.#listener = this.server.connect({ portId: LISTENER_PORT_ID });
		this.listen(options.listener ?? true);
		this.#seen = this.engine.net.counters.slice();
		this.#context = {
			interfaceIndex: (name) => {
				ensureDevice(this.host, name);
				return this.host.device(name)?.ifindex;
			},
			interfaceName: (index) => this.deviceName(index),
			release: profile.name === 'linux61' ? '6.1' : '7.1',
		};
	}

	/** For reading rules: names of interfaces, made by first mention. */
	get context(): CommandContext {
		return this.#context;
	}

	/** Starts or ends the key manager's subscription. */
	listen(on: boolean): void {
		this.server.subscribe(this.#listener, on ? KEY_MANAGER_GROUPS : 0);
	}

	/** Name of a device by its number. */
	deviceName(ifindex: number): string | undefined {
		for (const device of this.host.devices()) {
			if (device.ifindex === ifindex) {
				return device.name;
			}
		}
		return undefined;
	}

	/**
	 * Carries out an `ip` command, with or without the word `ip`: xfrm, address, route, rule, link.
	 *
	 * @throws InputError when it can't be read and `ip` would not have been the one to say so
	 */
	run(command: string): CommandOutcome {
		const words = splitWords(command);
		const [first] = words.filter((word) => word.text !== 'ip' && !word.text.startsWith('-'));
		if (first !== undefined && first.text !== '' && 'xfrm'.startsWith(first.text)) {
			return this.runXfrm(command);
		}
		for (const part of parseHostLine(words, { device: undefined })) {
			const refusal = applyHostCommand(this.host, part);
			if (refusal !== undefined) {
				return { status: 2, stdout: '', stderr: refusalText(refusal), errno: refusal.errno };
			}
		}
		return { status: 0, stdout: '', stderr: '', errno: 0 };
	}

	/** Carries out a command of `ip xfrm`, through netlink. */
	runXfrm(text: string | readonly string[]): CommandOutcome {
		const { command, problem } = parseCommand(text, this.#context);
		if (command === undefined) {
			return { status: problem.status, stdout: '', stderr: problem.message, errno: 0 };
		}
		return this.carryOut(command);
	}

	/** Carries out a command of `ip xfrm` that was read before. */
	carryOut(command: Command): CommandOutcome {
		const result = runCommand(command, (datagram) => this.request(datagram), this.#context);
		return { ...result, stderr: result.stderr.trimEnd() };
	}

	/** Sends a datagram of NETLINK_XFRM and gives all datagrams that came back. */
	request(datagram: Uint8Array): readonly Uint8Array[] {
		return this.server.request(this.#client, datagram, this.nowUs);
	}

	/** `net.ipv4.ip_forward` and the like; ENOENT for what is not known. */
	setSysctl(name: string, value: number): CommandOutcome {
		const refusal = this.host.setSysctl(name, value);
		return refusal === undefined
			? { status: 0, stdout: '', stderr: '', errno: 0 }
			: { status: 2, stdout: '', stderr: refusalText(refusal), errno: refusal.errno };
	}

	/** Opens a UDP socket with UDP_ENCAP; the errno that the socket option gets, 0 for none. */
	openEncapSocket(family: number, port: number, type: 'espinudp' | 'espinudp-nonike'): number {
		const encap = type === 'espinudp' ? EncapType.EspInUdp : EncapType.EspInUdpNonIke;
		return this.host.openUdp({ family, port, encap }).refusal?.errno ?? 0;
	}

	/** A packet arrives by a device. */
	receive(device: string, packet: Uint8Array, options: ArrivalOptions = {}): Observed {
		this.host.receive(device, packet, this.nowUs, options);
		this.#runDue();
		return this.observe(0);
	}

	/** Octets come by a TCP connection that the host knows. */
	receiveStream(streamId: number, octets: Uint8Array): Observed {
		this.host.receiveStream(streamId, octets, this.nowUs);
		this.#runDue();
		return this.observe(0);
	}

	/** A local socket sends a packet, whole as it would be on the wire in clear. */
	send(packet: Uint8Array, options: SendOptions): Observed {
		const error = this.#send(packet, options);
		this.#runDue();
		return this.observe(error);
	}

	/** What is due at once belongs to the packet: IPTFS without a delay sends behind it. */
	#runDue(): void {
		if (this.host.pollTimeout() <= this.nowUs) {
			this.host.handleTimeout(this.nowUs);
		}
	}

	#send(packet: Uint8Array, options: SendOptions): number {
		const family = (packet[0] ?? 0) >> 4 === 4 ? Family.Ipv4 : Family.Ipv6;
		const [source, destination, payloadAt, proto] = addressesOf(packet, family);
		const common = {
			family,
			source,
			...(options.mark === undefined ? {} : { mark: options.mark }),
			...(options.device === undefined ? {} : { device: options.device }),
			...(options.ifId === undefined ? {} : { ifId: options.ifId }),
		};
		if (options.sender === 'udp') {
			const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
			const opened = this.host.openUdp({ ...common, port: view.getUint16(payloadAt) });
			if (opened.refusal !== undefined) {
				return opened.refusal.errno;
			}
			const port = view.getUint16(payloadAt + 2);
			const payload = packet.subarray(payloadAt + 8);
			const error = this.host.sendUdp(opened.value, { destination, port, payload }, this.nowUs);
			this.host.closeSocket(opened.value, this.nowUs);
			return error;
		}
		const wholeFlow = options.sender === 'socket';
		const opened = this.host.openRaw({ ...common, proto, headerIncluded: true, wholeFlow });
		if (opened.refusal !== undefined) {
			return opened.refusal.errno;
		}
		if (options.policy !== undefined) {
			this.host.setSocketPolicy(opened.value, Direction.Out, options.policy, this.nowUs);
		}
		const error = this.host.sendRaw(opened.value, packet, this.nowUs);
		this.host.closeSocket(opened.value, this.nowUs);
		return error;
	}

	/** Time goes by: everything that falls due happens at its time. */
	advance(us: number): Observed {
		const target = this.nowUs + us;
		for (let due = this.host.pollTimeout(); due <= target; due = this.host.pollTimeout()) {
			this.nowUs = Math.max(this.nowUs, due);
			this.host.handleTimeout(this.nowUs);
			if (this.host.pollTimeout() === due && due === this.nowUs) {
				// A deadline that does not move would keep us here for ever.
				this.nowUs = Math.min(target, this.nowUs + 1);
			}
		}
		this.nowUs = target;
		return this.observe(0);
	}

	/** Takes everything that came out since the last call. */
	observe(error: number): Observed {
		const effects: HostEffect[] = [];
		for (let effect = this.host.pollEffect(); effect !== undefined; ) {
			effects.push(effect);
			effect = this.host.pollEffect();
		}
		this.server.dispatchEvents();
		const events = this.#listener.receiveAll();
		return {
			effects,
			emitted: effects.filter((effect) => effect.kind === 'emit'),
			delivered: effects.filter((effect) => effect.kind === 'deliver'),
			socketErrors: effects.filter((effect) => effect.kind === 'socket-error'),
			counters: this.#raised(),
			events,
			error,
		};
	}

	#raised(): ReadonlyMap<string, number> {
		const raised = new Map<string, number>();
		const { counters } = this.engine.net;
		// Asked for behind every rule, of which there may be many: by number, and mostly nothing.
		for (let verdict = 0; verdict < counters.length; verdict++) {
			const count = counters[verdict] ?? 0;
			const more = count - (this.#seen[verdict] ?? 0);
			const name = more === 0 ? undefined : verdictName(verdict);
			if (name !== undefined) {
				raised.set(name, more);
			}
			this.#seen[verdict] = count;
		}
		return raised;
	}
}

/** Source, destination, offset behind the IP header, protocol: of a packet that was checked to have a header. */
function addressesOf(
	packet: Uint8Array,
	family: number,
): [source: Address, destination: Address, payloadAt: number, proto: number] {
	if (packet.length < (family === Family.Ipv4 ? 20 : 40)) {
		throw new InputError({
			found: `a packet of ${packet.length} octets`,
			expected: 'a whole IP header',
		});
	}
	if (family === Family.Ipv4) {
		return [
			addressFrom(packet, 12, 4),
			addressFrom(packet, 16, 4),
			((packet[0] ?? 0) & 15) * 4,
			packet[9] ?? 0,
		];
	}
	const next = packet[6] ?? 0;
	// There are no raw sockets for extension headers.
	const proto = [0, 43, 44, 60].includes(next) ? 255 : next;
	return [addressFrom(packet, 8, 16), addressFrom(packet, 24, 16), 40, proto];
}
