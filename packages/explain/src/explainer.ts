/**
 * Asks the little world about packets, one after the other, and answers each with its story. State carries
 * over: replay windows, counters, lifetimes, larval states. What has to be guessed is guessed here, and
 * told in `assumed`.
 */
import type { Available, XfrmState } from '@xfrm/engine';
import type { StreamOptions } from '@xfrm/host';
import type { Command, DumpedObject } from '@xfrm/iproute';
import { formatHex } from '@xfrm/wire';
import {
	type Address,
	addressFrom,
	Family,
	formatAddress,
	IpProto,
	Mode,
	type Refusal,
} from '@xfrm/wire/xfrm';
import type { Answer, EventRef, LeftPacket } from './answer.ts';
import { packetsOf, policyRefOf, stateRefOf } from './answer-refs.ts';
import { Digest, outcomeOf } from './digest.ts';
import {
	addressesText,
	guessDirection,
	hostAddresses,
	impliedAddresses,
	includes,
	type LocalAddress,
} from './direction.ts';
import { type Loaded, loadObject } from './dump-loader.ts';
import { eventOf } from './event-text.ts';
import { ExpiredObjects } from './expired-objects.ts';
import { HiddenKeys } from './hidden-keys.ts';
import type { HostCommand } from './host-command.ts';
import { applyHostCommand } from './host-setup.ts';
import { HostSockets } from './host-sockets.ts';
import { Journal, type Question } from './journal.ts';
import { type PacketOptions, senderText } from './packet-options.ts';
import { packetText } from './packet-text.ts';
import { reasonFor } from './reasons.ts';
import { type Fact, Recorder } from './recorder.ts';
import { type Setting, tellStory } from './story.ts';
import { type CommandOutcome, type Observed, World, type WorldOptions } from './world.ts';

export type { StreamOptions } from '@xfrm/host';
export type { PacketOptions } from './packet-options.ts';

/** Device that there is when nobody named one. */
const DEVICE_DEFAULT = 'eth0';

export class Explainer {
	readonly world: World;
	/** Are packets told by their header fields too, before and after each transform? */
	showFields: boolean = false;
	/** Guesses about the host, told with every packet. */
	readonly #assumed: string[] = [];
	/** Notifications of waits and commands, to be told with the next packet. */
	#events: EventRef[] = [];
	/** What left meanwhile: packets that had been held. */
	#left: LeftPacket[] = [];
	readonly #sockets: HostSockets;
	readonly #expired: ExpiredObjects = new ExpiredObjects();
	#local: readonly LocalAddress[] = [];
	#prepared: boolean = false;
	/** Were values fixed for the packet before? */
	#isFixed: boolean = false;
	readonly #hidden: HiddenKeys = new HiddenKeys();
	readonly #options: WorldOptions;
	readonly #journal: Journal<Explainer> = new Journal();
	#question: Question<PacketOptions> | undefined;

	constructor(options: WorldOptions) {
		this.#options = options;
		this.world = new World({ ...options, available: options.available ?? everything(options) });
		for (const name of ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding']) {
			this.world.setSysctl(name, 1);
		}
		// One device for every way out is a guess: redirects that follow from it would only mislead.
		for (const name of ['all', 'default']) {
			this.world.setSysctl(`net.ipv4.conf.${name}.send_redirects`, 0);
		}
		this.#sockets = new HostSockets(this.world);
	}

	/** Carries out an `ip` command; its notifications belong to the next packet. */
	run(command: string): CommandOutcome {
		const outcome = this.world.run(command);
		this.#journal.note('setting', (other) => other.run(command));
		this.#keepEvents(this.world.observe(0));
		return outcome;
	}

	/** Carries out a command of `ip xfrm` that was read before. */
	carryOut(command: Command): CommandOutcome {
		const outcome = this.world.carryOut(command);
		const adds = command.object === 'policy' && command.action === 'add' && outcome.status === 0;
		const made = adds ? newest(this.world.engine.policies()) : undefined;
		this.#journal.note('setting', (other) => other.carryOut(command), made);
		this.#keepEvents(this.world.observe(0));
		return outcome;
	}

	/** Carries out a line about the host that was read before; why Linux would refuse it. */
	configure(command: HostCommand): Refusal | undefined {
		this.#journal.note('setting', (other) => other.configure(command));
		return applyHostCommand(this.world.host, command);
	}

	/** Sets a sysctl of the host. */
	setSysctl(name: string, value: number): CommandOutcome {
		this.#journal.note('setting', (other) => other.setSysctl(name, value));
		return this.world.setSysctl(name, value);
	}

	/** Opens a UDP socket with UDP_ENCAP; its errno, 0 for none. */
	openEncapSocket(family: number, port: number, type: 'espinudp' | 'espinudp-nonike'): number {
		this.#journal.note('setting', (other) => other.openEncapSocket(family, port, type));
		return this.world.openEncapSocket(family, port, type);
	}

	/** A socket listens: raw, or UDP with a port; from the first on, none but those that were named. */
	openListener(proto: number, port?: number): Refusal | undefined {
		this.#journal.note('setting', (other) => other.openListener(proto, port));
		return this.#sockets.listen(proto, port);
	}

	/** Nobody listens but who is named. */
	listenNowhere(): void {
		this.#journal.note('setting', (other) => other.listenNowhere());
		this.#sockets.listenNowhere();
	}

	/** No sockets with UDP_ENCAP and no connections but those named, whatever states imply. */
	implyNoSockets(): void {
		this.#journal.note('setting', (other) => other.implyNoSockets());
		this.#sockets.implyNone();
	}

	/** A TCP connection is established, which may carry ESP (RFC 9329). */
	openStream(options: StreamOptions): Refusal | undefined {
		this.#journal.note('setting', (other) => other.openStream(options));
		return this.#sockets.openStream(options);
	}

	/** A request of NETLINK_XFRM, for what `ip` has no word; the datagrams that come back. */
	request(datagram: Uint8Array): readonly Uint8Array[] {
		this.#journal.note('setting', (other) => other.request(datagram));
		const answers = this.world.request(datagram);
		this.#keepEvents(this.world.observe(0));
		return answers;
	}

	/** Loads an object of a dump; a state's hidden keys are remembered as unknown. */
	load(object: DumpedObject): Loaded {
		const loaded = loadObject(this.world, object);
		const adds = object.kind === 'policy' && loaded.outcome.status === 0;
		const made = adds ? newest(this.world.engine.policies()) : undefined;
		this.#journal.note('setting', (other) => other.load(object), made);
		this.#keepEvents(this.world.observe(0));
		if (loaded.socketPolicy !== undefined) {
			this.#sockets.notePolicy(loaded.socketPolicy);
		}
		if (loaded.state !== undefined) {
			this.#hidden.note(loaded.state, object.untold.hiddenKeys);
		}
		return loaded;
	}

	/** Tells with every packet what was taken for granted. */
	assume(text: string): void {
		if (!this.#assumed.includes(text)) {
			this.#assumed.push(text);
		}
	}

	/** Time goes by; what came of it. */
	wait(seconds: number): Observed {
		this.#journal.note('event', (other) => {
			other.wait(seconds);
		});
		const observed = this.world.advance(Math.round(seconds * 1_000_000));
		this.#keepEvents(observed);
		return observed;
	}

	/** Notifications that came after the last packet. */
	takeEvents(): readonly EventRef[] {
		const events = this.#events;
		this.#events = [];
		return events;
	}

	/** Packets that left after the last one was asked about, by timers or commands. */
	takeLeft(): readonly LeftPacket[] {
		const left = this.#left;
		this.#left = [];
		return left;
	}

	#keepEvents(observed: Observed): void {
		this.#events.push(...this.#eventsOf(observed));
		for (const { device, packet } of observed.emitted) {
			this.#left.push({ device, packet: formatHex(packet), text: packetText(packet) });
		}
	}

	#eventsOf(observed: Observed): EventRef[] {
		const deviceName = (ifindex: number): string | undefined => this.world.deviceName(ifindex);
		return observed.events.map((event) => {
			this.#expired.note(event);
			return eventOf(event, deviceName);
		});
	}

	/** Devices, routes and addresses that nobody gave: guessed before the first packet, or now. */
	prepare(options: PacketOptions = {}): void {
		this.#prepare(options);
	}

	/** What becomes of this packet? It has a whole IP header. */
	ask(packet: Uint8Array, options: PacketOptions): Answer {
		this.#journal.note('event', (other) => other.ask(packet, options));
		this.#prepare(options);
		const assumed = [...this.#assumed];
		const direction = this.#direction(packet, options, assumed);
		this.#ensureAddresses(packet, direction, assumed);
		const device =
			direction === 'out' ? options.device : this.#arrivalDevice(packet, options, assumed);
		this.#fix(options);
		this.world.host.processor = options.processor ?? 0;
		const before = this.#outSequence(options);
		const recorder = new Recorder(this.world.host);
		const observed =
			direction === 'out'
				? this.#send(packet, options, device)
				: this.#receive(packet, options, device);
		const facts = recorder.finish(observed.effects);
		this.#restoreSequence(before);
		const asked = { packet, direction, options, device, facts, observed, assumed };
		const inStream = direction !== 'out' && this.#sockets.streamOf(packet) !== undefined;
		const digest = new Digest(facts, packet, inStream);
		const answer = this.#answer(asked, digest);
		this.#journal.noteOutcome(answer.outcome);
		const known = { ...options, direction, ...(device === undefined ? {} : { device }) };
		this.#question = { packet, options: known, answer, digest };
		return answer;
	}

	/** The packet that was asked about last. */
	get question(): Question<PacketOptions> | undefined {
		return this.#question;
	}

	/** Everything that was done before the last question, in order. */
	get journal(): Journal<Explainer> {
		return this.#journal;
	}

	/** An explainer in a world of the same kind, with nothing in it, whose random octets are its own. */
	fresh(random: (bytes: Uint8Array) => void): Explainer {
		return new Explainer({ ...this.#options, random });
	}

	/** Is this state's key hidden by the dump it came from? */
	hidesKey(state: XfrmState): boolean {
		return this.#hidden.has(state);
	}

	/** The key of the state made last is not known. */
	hideNewestKey(): void {
		const state = newest(this.world.engine.states());
		if (state !== undefined) {
			this.#hidden.note(state, ['aead']);
		}
	}

	#receive(packet: Uint8Array, options: PacketOptions, device: string | undefined): Observed {
		const stream = this.#sockets.streamOf(packet);
		if (stream !== undefined) {
			return this.world.receiveStream(stream.id, stream.octets);
		}
		return this.world.receive(device ?? DEVICE_DEFAULT, packet, {
			...(options.mark === undefined ? {} : { mark: options.mark }),
			...(options.ifId === undefined ? {} : { ifId: options.ifId }),
		});
	}

	#send(packet: Uint8Array, options: PacketOptions, device: string | undefined): Observed {
		const policy = this.#sockets.policyOfSender(packet);
		return this.world.send(packet, {
			...(policy === undefined ? {} : { policy }),
			...(options.mark === undefined ? {} : { mark: options.mark }),
			...(options.ifId === undefined ? {} : { ifId: options.ifId }),
			...(device === undefined ? {} : { device }),
			sender: options.sender ?? 'socket',
		});
	}

	/** Before the first packet: devices, routes and addresses that nobody gave. */
	#prepare(options: PacketOptions): void {
		if (this.#prepared) {
			return;
		}
		this.#prepared = true;
		const { world } = this;
		const devices = [...world.host.devices()].filter((device) => !device.loopback);
		const routed = [Family.Ipv4, Family.Ipv6].some((family) => {
			// ::1, fe80::/64 and ff00::/8 come by themselves, and lead nowhere.
			const own = new Set([0, 0xfe, 0xff]);
			return world.host
				.routes(family, 254)
				.some(
					({ destination, prefixLength }) => prefixLength === 0 || !own.has(destination[0] ?? 0),
				);
		});
		this.#local = hostAddresses(world.host);
		const [first] = devices;
		const name = first?.name ?? options.device ?? DEVICE_DEFAULT;
		if (first === undefined || !routed) {
			world.run(`link set ${name} up mtu 1500`);
			world.run(`route add default dev ${name}`);
			world.run(`-6 route add default dev ${name}`);
			this.#assumed.push(`one device, ${name}, MTU 1500, is the way to everywhere`);
		}
		if (this.#local.length === 0) {
			this.#local = impliedAddresses(world.engine);
			if (this.#local.length > 0) {
				this.#assumed.push(`this host has ${addressesText(this.#local)}, as the rules imply`);
			}
			for (const { family, address } of this.#local) {
				this.#addAddress(name, family, address);
			}
		}
		const isLocal = (family: number, address: Address): boolean => this.#isLocal(family, address);
		this.#assumed.push(...this.#sockets.openImplied(isLocal));
	}

	#addAddress(device: string, family: number, address: Uint8Array): void {
		const known = family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
		const length = known === Family.Ipv4 ? 32 : 128;
		this.world.run(`addr add ${formatAddress(address, known)}/${length} dev ${device}`);
	}

	#isLocal(family: number, address: Uint8Array): boolean {
		return includes(this.#local, family, address);
	}

	#direction(packet: Uint8Array, options: PacketOptions, assumed: string[]): 'in' | 'out' | 'fwd' {
		if (options.direction !== undefined) {
			return options.direction;
		}
		const { family, source, destination } = ends(packet);
		const direction = guessDirection(this.#local, family, source, destination);
		assumed.push(`direction ${direction}, by the addresses of this host`);
		return direction;
	}

	/** A packet sent from here has an address of ours, one for here goes to one. */
	#ensureAddresses(packet: Uint8Array, direction: 'in' | 'out' | 'fwd', assumed: string[]): void {
		const { family, source, destination } = ends(packet);
		const address = direction === 'out' ? source : destination;
		if (direction === 'fwd' || (address[0] ?? 0) >= 0xe0 || this.#isLocal(family, address)) {
			return;
		}
		const [device] = [...this.world.host.devices()].filter((one) => !one.loopback);
		this.#addAddress(device?.name ?? DEVICE_DEFAULT, family, address);
		this.#local = [...this.#local, { family, address }];
		assumed.push(`${addressesText([{ family, address }])} is an address of this host`);
	}

	#arrivalDevice(packet: Uint8Array, options: PacketOptions, assumed: string[]): string {
		if (options.device !== undefined) {
			if (this.world.host.device(options.device) === undefined) {
				this.world.run(`link set ${options.device} up mtu 1500`);
			}
			return options.device;
		}
		const { family, source, destination } = ends(packet);
		const { host } = this.world;
		const back = host.lookupRoute(family, source, destination, 0, 0);
		const name =
			(back === undefined || back.loopback ? undefined : this.world.deviceName(back.ifindex)) ??
			[...host.devices()].find((device) => !device.loopback)?.name ??
			DEVICE_DEFAULT;
		assumed.push(`it arrives by ${name}`);
		return name;
	}

	#fix(options: PacketOptions): void {
		const { iv, ipId, padding } = options;
		const any = iv !== undefined || ipId !== undefined || padding !== undefined;
		if (!any && !this.#isFixed) {
			return; // somebody else's, or nobody's
		}
		this.#isFixed = any;
		this.world.engine.net.fixed = any
			? {
					ivs: iv === undefined ? [] : [iv],
					ipIds: ipId === undefined ? [] : [ipId],
					paddings: padding === undefined ? [] : [padding],
				}
			: null;
	}

	/**
	 * Makes the next packet of every state bear the number asked for. It is a counter of the engine, set
	 * behind its back as a debugger would: no command of `ip` may set it in a state that is there.
	 */
	#outSequence(options: PacketOptions): ReadonlyMap<XfrmState, number> {
		const before = new Map<XfrmState, number>();
		if (options.seq !== undefined) {
			for (const state of this.world.engine.states()) {
				before.set(state, state.replay.counters[0] ?? 0);
				state.replay.counters[0] = (options.seq - 1) | 0;
			}
		}
		return before;
	}

	/** States that the packet did not use count on from where they were. */
	#restoreSequence(before: ReadonlyMap<XfrmState, number>): void {
		const fixed = [...before.keys()].map((state) => state.replay.counters[0]);
		const untouched = Math.min(...fixed.map((oseq) => (oseq ?? 0) >>> 0));
		for (const [state, oseq] of before) {
			if ((state.replay.counters[0] ?? 0) >>> 0 === untouched) {
				state.replay.counters[0] = oseq;
			}
		}
	}

	#answer(
		asked: {
			readonly packet: Uint8Array;
			readonly direction: 'in' | 'out' | 'fwd';
			readonly options: PacketOptions;
			readonly device: string | undefined;
			readonly facts: readonly Fact[];
			readonly observed: Observed;
			readonly assumed: readonly string[];
		},
		digest: Digest,
	): Answer {
		const { packet, direction, options, device, facts, observed, assumed } = asked;
		const { engine } = this.world;
		const own = this.#eventsOf(observed);
		const meanwhile = this.takeLeft();
		const events = [...this.takeEvents(), ...own];
		const counter = digest.firstCounter(observed.counters);
		const seen = outcomeOf(digest, {
			acquired: own.some((event) => event.event === 'acquire'),
			counted: observed.counters.size > 0,
			error: observed.error,
			holds: engine.net.sysctl.xfrm_larval_drop === 0,
		});
		const hiddenKey = this.#hidden.deciding(digest, facts);
		const outcome = digest.lacksAlgorithm || hiddenKey !== undefined ? 'unknown' : seen;
		const setting = this.#setting(packet, direction, device, options);
		const { code, reason } = reasonFor({
			digest,
			outcome,
			direction,
			counter,
			error: observed.error,
			hiddenKey,
			setting,
			mark: options.mark ?? 0,
			larvalSeconds: engine.net.sysctl.xfrm_acq_expires,
			expired: this.#expired,
		});
		return {
			schema: 1,
			direction,
			outcome,
			counter: outcome === 'unknown' ? null : (counter ?? null),
			counters: outcome === 'unknown' ? {} : Object.fromEntries(observed.counters),
			code,
			reason,
			policies: digest.policies.map((policy) => policyRefOf(policy, setting.deviceName)),
			states: [
				...digest.used.map((state) => stateRefOf(state, false)),
				...(digest.refusing === undefined
					? []
					: [stateRefOf(digest.refusing, digest.refusing !== hiddenKey)]),
			],
			// What a wrong key makes of a packet is nobody's business.
			packets: hiddenKey === undefined ? packetsOf(facts) : [],
			events,
			steps: tellStory(facts, packet, direction, setting),
			assumed,
			...(meanwhile.length === 0 ? {} : { meanwhile }),
		};
	}

	#setting(
		packet: Uint8Array,
		direction: string,
		device: string | undefined,
		options: PacketOptions,
	): Setting {
		const { engine } = this.world;
		return {
			deviceName: (ifindex) => this.world.deviceName(ifindex),
			owner: (family, address) => this.#owner(family, address),
			policies: () => engine.policies(),
			states: () => engine.states(),
			localSocket: senderText(options.sender),
			mark: options.mark ?? 0,
			ifId: options.ifId ?? 0,
			unchecked: this.#unchecked(packet, direction, device),
			showFields: this.showFields,
		};
	}

	/** The device, where disable_policy is set for it. */
	#unchecked(
		packet: Uint8Array,
		direction: string,
		device: string | undefined,
	): string | undefined {
		const ip = (packet[0] ?? 0) >> 4 === 4 ? 'ipv4' : 'ipv6';
		const isSet = (name: string): boolean =>
			(this.world.host.sysctl(`net.${ip}.conf.${name}.disable_policy`) ?? 0) !== 0;
		const any = direction === 'in' && device !== undefined && (isSet(device) || isSet('all'));
		return any ? device : undefined;
	}

	#owner(family: number, address: string): string | undefined {
		const known = family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
		for (const device of this.world.host.devices()) {
			const has = device.addresses.some(
				(one) => one.family === family && formatAddress(one.address, known) === address,
			);
			if (has) {
				return device.name;
			}
		}
		return undefined;
	}
}

/**
 * What the kernel in question may have built in: all that we know of. What our provider lacks is refused
 * only when a packet needs it, and then said so.
 */
function everything(options: WorldOptions): Available {
	return {
		types: new Set([
			IpProto.Esp,
			IpProto.Ah,
			IpProto.Comp,
			IpProto.DestinationOptions,
			IpProto.Routing,
		]),
		modes: new Set([Mode.Transport, Mode.Tunnel, Mode.RouteOptimization, Mode.Beet, Mode.Iptfs]),
		algorithm: (kind, name) => kind !== 'comp' || options.provider.supports(kind, name),
	};
}

/** The first of what comes newest first. */
function newest<T>(objects: Iterable<T>): T | undefined {
	for (const one of objects) {
		return one;
	}
	return undefined;
}

function ends(packet: Uint8Array): { family: number; source: Uint8Array; destination: Uint8Array } {
	const v4 = (packet[0] ?? 0) >> 4 === 4;
	return {
		family: v4 ? Family.Ipv4 : Family.Ipv6,
		source: v4 ? addressFrom(packet, 12, 4) : addressFrom(packet, 8, 16),
		destination: v4 ? addressFrom(packet, 16, 4) : addressFrom(packet, 24, 16),
	};
}
