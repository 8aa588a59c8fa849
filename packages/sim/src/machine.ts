/**
 * One host of the world: the stack of `explain`'s World (host, engine, netlink server, `ip` commands), its
 * devices plugged into links, its users' socket, its key manager. It is configured by text only, and can
 * crash: then it starts anew with the same commands and nothing else.
 */
import type { CryptoProvider } from '@xfrm/crypto/provider';
import type { EngineDoor, KernelProfile, XfrmState } from '@xfrm/engine';
import { type Observed, World } from '@xfrm/explain';
import type { Host } from '@xfrm/host';
import type { NetlinkClient } from '@xfrm/netlink-server';
import { Errno, Family, Group } from '@xfrm/wire/xfrm';
import { EngineWatch } from './engine-watch.ts';
import { PolicyBook } from './invariants/policy-book.ts';
import { addressOf, type Connection } from './keys/connection.ts';
import { KeyManager, type Surroundings } from './keys/key-manager.ts';
import { HostLedger, type Ledger } from './ledger.ts';
import type { Link } from './links/link.ts';
import type { SimRandom } from './random.ts';
import { OTHER_PORT, USER_PORT } from './traffic.ts';

/** Deleted states that are remembered, to see that they stay deleted. */
const DEPARTED_MAX = 32;
const BOOK_PORT_ID = 3001;

export interface MachineOptions {
	/** Commands of `ip`, and lines `sysctl NAME VALUE`. */
	readonly setup: readonly string[];
	readonly connections?: readonly Connection[];
	/** Port of ESP in UDP. */
	readonly encapPort?: number;
}

/** What a machine needs of the history it is part of. */
export interface MachineContext {
	readonly random: SimRandom;
	/** The kernel that this machine is to behave as. */
	readonly profile: KernelProfile;
	readonly provider: CryptoProvider;
	readonly ledger: Ledger;
	readonly nowUs: () => number;
	readonly around: Omit<Surroundings, 'send'>;
	/** Is a packet's seal to fail now? */
	readonly failsSeal: () => boolean;
}

interface Plug {
	readonly link: Link;
	readonly end: number;
}

export class Machine {
	readonly name: string;
	readonly keyManager: KeyManager | undefined;
	/** States that were deleted lately. */
	readonly departed: XfrmState[] = [];
	/** Earliest entry of the agenda for this machine, kept by the history. */
	wakeUs: number = Number.POSITIVE_INFINITY;
	readonly #options: MachineOptions;
	readonly #context: MachineContext;
	readonly #plugs: Map<string, Plug> = new Map();
	#boot: Boot;
	#known: ReadonlySet<XfrmState> = new Set();

	constructor(name: string, options: MachineOptions, context: MachineContext) {
		this.name = name;
		this.#options = options;
		this.#context = context;
		this.#boot = boot(name, options, context);
		const { connections } = options;
		this.keyManager =
			connections === undefined
				? undefined
				: new KeyManager(context.random.fork(`keys ${name}`), connections, {
						...context.around,
						send: (datagram) => this.#send(datagram),
					});
	}

	get host(): Host {
		return this.#boot.world.host;
	}
	get engine(): EngineDoor {
		return this.#boot.world.engine;
	}
	get ledger(): HostLedger {
		return this.#boot.ledger;
	}
	get watch(): EngineWatch {
		return this.#boot.watch;
	}
	get book(): PolicyBook {
		return this.#boot.book;
	}

	/** Puts a device on an end of a link. */
	plug(device: string, link: Link, end: number): void {
		this.#plugs.set(device, { link, end });
		link.plug(end, { receive: (packet) => this.receive(device, packet) });
	}

	plugOf(device: string): Plug | undefined {
		return this.#plugs.get(device);
	}

	/** A packet arrives. */
	receive(device: string, packet: Uint8Array): void {
		this.host.receive(device, packet, this.#context.nowUs());
	}

	/** A user here sends a datagram; the errno of the call. */
	sendDatagram(destination: string, port: number, payload: Uint8Array): number {
		const { address, family } = addressOf(destination);
		const socket = this.#boot.sockets.get(family);
		if (socket === undefined) {
			return Errno.EAFNOSUPPORT;
		}
		const datagram = { destination: address, port, payload };
		return this.host.sendUdp(socket, datagram, this.#context.nowUs());
	}

	/** Carries out a command of `ip xfrm` and the like in the middle of the history; its errno. */
	run(command: string): number {
		const { world } = this.#boot;
		world.nowUs = this.#context.nowUs();
		return world.run(command).errno;
	}

	handleTimeout(): void {
		this.host.handleTimeout(this.#context.nowUs());
	}

	/** Everything that came out since the last call; the books are brought up to date. */
	observe(): Observed {
		const { world, book, listener, watch } = this.#boot;
		const observed = world.observe(0);
		book.hear(listener.receiveAll());
		watch.reclaim();
		return observed;
	}

	/** Notes which states have gone since the last call. */
	noteDeparted(): void {
		const now = new Set(this.engine.states());
		for (const state of this.#known) {
			if (!now.has(state)) {
				this.departed.push(state);
			}
		}
		this.departed.splice(0, this.departed.length - DEPARTED_MAX);
		this.#known = now;
	}

	/** Loses everything and starts anew, key manager included. */
	crash(): void {
		this.#boot = boot(this.name, this.#options, this.#context);
		this.#known = new Set();
		this.departed.length = 0;
		this.wakeUs = Number.POSITIVE_INFINITY;
		this.keyManager?.start();
	}

	#send(datagram: Uint8Array): readonly Uint8Array[] {
		const { world } = this.#boot;
		world.nowUs = this.#context.nowUs();
		return world.request(datagram);
	}
}

/** All that is lost with a crash. */
interface Boot {
	readonly world: World;
	readonly ledger: HostLedger;
	readonly watch: EngineWatch;
	readonly book: PolicyBook;
	/** Hears of policies. */
	readonly listener: NetlinkClient;
	/** The users' socket, by family. */
	readonly sockets: ReadonlyMap<number, number>;
}

function boot(name: string, options: MachineOptions, context: MachineContext): Boot {
	const { random, profile, provider, nowUs } = context;
	const ledger = new HostLedger(context.ledger, provider);
	ledger.failsSeal = context.failsSeal;
	const chance = random.fork(`host ${name} ${nowUs()}`);
	const watches: EngineWatch[] = [];
	const world = new World({
		profile,
		provider: ledger,
		random: (bytes) => chance.fill(bytes),
		startUs: nowUs(),
		listener: options.connections !== undefined,
		wrapEngine: (engine) => {
			const watch = new EngineWatch(engine, ledger);
			watches.push(watch);
			return watch.door;
		},
	});
	const [watch] = watches;
	if (watch === undefined) {
		throw new RangeError('a world without an engine');
	}
	const listener = world.server.connect({ portId: BOOK_PORT_ID });
	world.server.subscribe(listener, (1 << (Group.Policy - 1)) | (1 << (Group.Expire - 1)));
	for (const line of options.setup) {
		const [word, key = '', value = ''] = line.split(' ');
		const { status, stderr } =
			word === 'sysctl' ? world.setSysctl(key, Number(value)) : world.run(line);
		if (status !== 0) {
			throw new RangeError(`${name}: ${line}: ${stderr}`);
		}
	}
	const sockets = new Map<number, number>();
	for (const family of [Family.Ipv4, Family.Ipv6]) {
		const { value } = world.host.openUdp({ family, port: USER_PORT });
		world.host.openUdp({ family, port: OTHER_PORT });
		if (value !== undefined) {
			sockets.set(family, value);
		}
	}
	if (options.encapPort !== undefined) {
		world.openEncapSocket(Family.Ipv4, options.encapPort, 'espinudp');
	}
	return { world, ledger, watch, book: new PolicyBook(), listener, sockets };
}
