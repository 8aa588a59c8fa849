/**
 * The daemon's engine room: one thread that owns engine, netlink server, sockets and devices, in one loop
 * around epoll(7). Nothing in it waits for anything else, and nobody else touches what it owns.
 *
 *     poll → requests (guard and news, before they are acknowledged) → packets inward, outward
 *          → timers → what the engine kept → news to listeners → poll
 */
import { randomFillSync } from 'node:crypto';
import { availableParallelism } from 'node:os';
import type { CryptoProvider } from '@xfrm/crypto/provider';
import { Engine, linux619, PacketAction, type XfrmState } from '@xfrm/engine';
import { NetlinkServer } from '@xfrm/netlink-server';
import { POLL_DESCRIPTORS_MAX, SLAB_OCTETS } from '../limits.ts';
import { PollSet } from '../native/poll-set.ts';
import type { Native } from '../native/seam.ts';
import { KernelRoutes } from '../rtnetlink/kernel-routes.ts';
import { ArrivalDevices } from './arrival-devices.ts';
import { nowUs } from './clock.ts';
import { ControlSocket } from './control-socket.ts';
import { DropSamples } from './drop-samples.ts';
import { DropTable } from './drop-table.ts';
import { type EncapPort, EncapPorts } from './encap-ports.ts';
import { EncapStates, type OwnEnd } from './encap-states.ts';
import { Guard, guardStands } from './guard.ts';
import { HostRepair } from './host-repair.ts';
import { Inbound } from './inbound.ts';
import { InterfaceList, type InterfaceNames } from './interface-list.ts';
import { type Journal, openJournal } from './journal.ts';
import { LaneList } from './lane-list.ts';
import { type OwnCounters, observe } from './observation.ts';
import { type Lane, Outbound } from './outbound.ts';
import { openErrorSockets, takeErrors } from './outer-errors.ts';
import { OuterSockets } from './outer-sockets.ts';
import { PacketSlab } from './packet-slab.ts';
import { Practice } from './practice.ts';
import { StartError } from './start-error.ts';
import { followSysctls } from './sysctls.ts';
import { TableWatchers } from './table-watchers.ts';
import { Transmitter } from './transmitter.ts';
import type { TunDevice } from './tun-device.ts';
import { Wakefulness } from './wakefulness.ts';

/** How often the daemon looks for clients, groups and ports that have come or gone, at least. */
const LOOK_AROUND_US = 500_000;
/** A datagram that a client had no room for is tried again so soon. */
const RETRY_MS = 1;
/** Batches of one device before the others get their turn. */
const BATCHES_PER_TURN = 16;

export interface DataPlaneOptions {
	readonly native: Native;
	readonly crypto: CryptoProvider;
	/** The bound control socket. */
	readonly controlFd: number;
	/** Becomes readable when somebody wants something of the loop. */
	readonly wakeFd: number;
	/** Called then; true ends the loop. */
	readonly onWake: () => boolean;
	readonly log: (level: 'info' | 'warning', text: string) => void;
	/** Where the journal is kept. */
	readonly folder: string;
	/** Devices by if_id that are made at the start, by names of their own. */
	readonly interfaces: InterfaceNames;
	/** No filter, no routes below the devices': plaintext may leave when the daemon dies. */
	readonly noGuard: boolean;
}

export class DataPlane {
	readonly engine: Engine;
	readonly #options: DataPlaneOptions;
	readonly #native: Native;
	readonly #poll: PollSet;
	readonly #routes: KernelRoutes;
	readonly #guard: Guard;
	readonly #control: ControlSocket;
	readonly #journal: Journal;
	/** What cannot be written at present: told once. */
	readonly #failing: Set<'journal' | 'ledger'> = new Set();
	readonly #sockets: OuterSockets;
	readonly #ports: EncapPorts;
	readonly #encapStates: EncapStates;
	readonly #outbound: Outbound;
	readonly #inbound: Inbound;
	readonly #interfaces: InterfaceList;
	readonly #transmitter: Transmitter;
	readonly #lanes: LaneList;
	readonly #drops: DropTable = new DropTable();
	#stopped: boolean = false;
	#lookedAroundUs: number = 0;
	readonly #repair: HostRepair;
	readonly #wakefulness: Wakefulness = new Wakefulness(availableParallelism());
	readonly #practice: Practice;

	/** Opens everything; what was opened before a failure goes with the process. @throws StartError */
	constructor(options: DataPlaneOptions) {
		this.#options = options;
		const { native } = options;
		this.#native = native;
		this.#poll = new PollSet(native, POLL_DESCRIPTORS_MAX);
		this.#routes = new KernelRoutes(native);
		this.engine = this.#newEngine(options);
		followSysctls(this.engine.net.sysctl);
		this.#sockets = new OuterSockets(native);
		this.#ports = new EncapPorts(native, this.#portOpened, this.#portClosed);
		this.#encapStates = new EncapStates(this.#ownEnd);
		const slab = new PacketSlab(native, SLAB_OCTETS);
		this.#transmitter = new Transmitter(native, this.#sockets, slab);
		const { engine } = this;
		this.#journal = openJournal(options.folder, engine, native);
		const { ledger } = this.#journal;
		const samples = new DropSamples(engine, this.#drops);
		engine.net.dropWatcher = this.#drops;
		this.#outbound = new Outbound(
			native,
			engine,
			this.#routes,
			this.#ports,
			this.#transmitter,
			ledger,
			samples,
			slab,
		);
		this.#lanes = this.#laneList(options);
		this.#interfaces = this.#interfaceList(options);
		this.#inbound = new Inbound(
			native,
			engine,
			this.#routes,
			this.#transmitter,
			ledger,
			samples,
			new ArrivalDevices(this.#lanes.lanes, this.#interfaces),
			slab,
		);
		this.#guard = new Guard(native, engine, !options.noGuard, this.#drops);
		this.#repair = this.#hostRepair(options);
		this.#practice = new Practice({ ...options, ledger, laneOf: this.#guard.laneOf });
		const server = new NetlinkServer(this.engine);
		const [drops, own, interfaces] = [this.#drops, this.#ownCounters, this.#interfaces];
		const sources = { engine, drops, samples, own, interfaces };
		this.#control = new ControlSocket(native, options.controlFd, server, (request, now) =>
			observe(request, sources, now),
		);
		const isNew = !this.#journal.exists;
		if (isNew && guardStands(native)) {
			throw new StartError(
				'a guard stands (nft table inet xfrm) whose journal is not here: start the daemon with the ' +
					'--state-dir that it had, or take the guard away with "xfrm daemon --cleanup"',
			);
		}
		try {
			this.#begin(server);
		} catch (error) {
			if (isNew) {
				// As it was before.
				this.#interfaces.close(false);
				this.#removeTraces();
			}
			throw error;
		}
	}

	#newEngine({ crypto }: DataPlaneOptions): Engine {
		return new Engine({
			profile: linux619,
			provider: crypto,
			random: (octets) => randomFillSync(octets),
			route: this.#routes.lookup,
			routeGeneration: () => this.#routes.generation,
		});
	}

	/**
	 * Tables first, then the filter, then the devices: no packet meets an engine that does not know yet what
	 * its predecessor knew.
	 */
	#begin(server: NetlinkServer): void {
		const { log } = this.#options;
		const { states, policies, refused } = this.#journal.begin(server, nowUs());
		if (states + policies > 0) {
			log('info', `${states} states and ${policies} policies are back from the journal`);
		}
		for (const text of refused) {
			log('warning', text);
		}
		this.#encapStates.begin(this.engine.states());
		this.engine.net.watcher = new TableWatchers([
			this.#journal,
			this.#guard.filter,
			this.#interfaces,
			this.#encapStates,
		]);
		this.#updateGuard(nowUs());
		this.#interfaces.begin(this.engine);
		this.#repair.moveSourceCheck();
		this.#watch();
	}

	readonly #ownCounters = (): OwnCounters => {
		const { sent, delivered, failed } = this.#transmitter.counters;
		const { portless, unleased, carrier, collisions } = this.#outbound;
		return { sent, delivered, failed, portless, unleased, carrier, collisions };
	};

	/** Runs until the wake-up says so. */
	run(): void {
		while (!this.#stopped) {
			const ready = this.#poll.wait(this.#timeoutMs(nowUs()));
			this.#poll.dispatch();
			this.#afterEvents(nowUs());
			if (ready === 0) {
				this.#bide(nowUs());
			}
		}
	}

	/** Nobody wants anything at the moment. */
	#bide(now: number): void {
		if (this.#wakefulness.isAwake(now)) {
			// Who is about to ask may have this processor only.
			this.#native.yieldProcessor();
		} else if (!this.#practice.isOver) {
			this.#practice.step(now);
		}
	}

	/** Closes everything; the guard stays where policies demand protection, and then the answer is true. */
	close(): boolean {
		const demanded = this.#guard.filter.demandsProtection || this.#hasInterfacePolicies();
		const needed = demanded && !this.#options.noGuard;
		this.#practice.close();
		this.#flushJournal();
		this.#journal.close();
		this.#ports.close();
		this.#sockets.close();
		this.#lanes.close();
		this.#interfaces.close(needed);
		if (!needed) {
			this.#removeTraces();
		}
		this.#guard.close();
		this.#routes.close();
		this.#control.close();
		// Last: what was closed before was waited for.
		this.#poll.close();
		const text = needed ? 'the guard stays, as policies demand protection' : 'the guard is gone';
		this.#options.log('info', text);
		return needed;
	}

	/** The machine is as it was before, but for devices that are open still. */
	#removeTraces(): void {
		this.#guard.remove();
		this.#repair.putBack();
		this.#journal.remove();
	}

	#watch(): void {
		const { wakeFd, onWake } = this.#options;
		this.#poll.add(wakeFd, () => {
			this.#native.read(wakeFd, new Uint8Array(8));
			this.#stopped = onWake();
		});
		this.#poll.add(this.#control.fd, () => this.#takeRequests());
		this.#poll.add(this.#routes.eventFd, () => this.#routes.takeEvents());
		for (const socket of this.#sockets.receivers) {
			this.#poll.add(socket.fd, () =>
				this.#repeat(() => this.#inbound.passRaw(socket, this.#lane(), nowUs())),
			);
		}
		for (const socket of openErrorSockets(this.#native)) {
			this.#poll.add(socket.fd, () =>
				takeErrors(this.#native, this.engine, this.#routes, socket, nowUs()),
			);
		}
	}

	#repeat(pass: () => boolean): void {
		for (let turn = 0; turn < BATCHES_PER_TURN && pass(); turn++) {}
	}

	#lane(): Lane {
		// The first lane is opened by the constructor.
		return this.#lanes.lanes[0] as Lane;
	}

	#laneList({ native, log }: DataPlaneOptions): LaneList {
		return new LaneList({
			native,
			opened: this.#laneOpened,
			lost: ({ fd }) => this.#poll.remove(fd),
			warn: (text) => log('warning', text),
		});
	}

	#interfaceList({ native, folder, interfaces, log }: DataPlaneOptions): InterfaceList {
		return new InterfaceList({
			native,
			folder,
			names: interfaces,
			opened: this.#interfaceOpened,
			renamed: this.#interfaceRenamed,
			removed: this.#interfaceRemoved,
			failed: (text) => log('warning', text),
		});
	}

	#hostRepair({ log, folder }: DataPlaneOptions): HostRepair {
		return new HostRepair({
			log,
			folder,
			routes: this.#routes,
			guard: this.#guard,
			lanes: this.#lanes,
			interfaces: this.#interfaces,
		});
	}

	/** Routes by a device of an if_id must go on leading there. */
	#hasInterfacePolicies(): boolean {
		for (const { ifId } of this.engine.policies()) {
			if (ifId !== 0) {
				return true;
			}
		}
		return false;
	}

	readonly #interfaceOpened = (lane: Lane, name: string): void => {
		this.#options.log('info', `${name} is the device of if_id ${lane.ifId >>> 0}`);
		this.#guard.openInterface(name);
		this.#pollDevice(lane);
	};

	readonly #interfaceRenamed = (lane: Lane, name: string, before: string): void => {
		this.#options.log('info', `${before}, the device of if_id ${lane.ifId >>> 0}, is ${name} now`);
		this.#guard.openInterface(name);
		this.#guard.closeInterface(before);
	};

	readonly #interfaceRemoved = (lane: Lane, name: string): void => {
		const text = 'is gone: the next state or policy of it has one made';
		this.#options.log('warning', `${name}, the device of if_id ${lane.ifId >>> 0}, ${text}`);
		this.#guard.closeInterface(name);
		this.#poll.remove(lane.fd);
	};

	#pollDevice(lane: Lane): void {
		this.#poll.add(
			lane.fd,
			() => this.#repeat(() => this.#outbound.pass(lane, nowUs())),
			() => {
				this.#repair.isDeviceLost = true;
			},
		);
	}

	readonly #laneOpened = (lane: Lane, { joinsDatagrams }: TunDevice): void => {
		this.#transmitter.joinsDatagrams = joinsDatagrams;
		this.#pollDevice(lane);
	};

	readonly #portOpened = (port: EncapPort): void => {
		this.#options.log('info', `ESP in UDP shares port ${port.port} with its owner`);
		this.#poll.add(port.fd, () =>
			this.#repeat(() => this.#inbound.passDatagrams(port, this.#lane(), nowUs())),
		);
		this.#poll.add(port.pidfd, () => this.#ports.drop(port));
	};

	readonly #portClosed = (port: EncapPort): void => {
		this.#options.log(
			'info',
			`ESP in UDP shares port ${port.port} no longer: its owner has gone, or nothing needs it`,
		);
		this.#poll.remove(port.fd);
		this.#poll.remove(port.pidfd);
	};

	/**
	 * Requests take effect in the kernel, and are told to listeners, before they are acknowledged. Practice has the same
	 * order (practice-tables.ts).
	 */
	#takeRequests(): void {
		if (this.#control.takeRequests(nowUs())) {
			this.#flushJournal();
			this.#sharePorts();
			this.#updateGuard(nowUs());
			this.#interfaces.update();
			this.#control.publish();
			this.#control.flush();
		}
		this.#wakefulness.answered(nowUs());
	}

	#updateGuard(now: number): void {
		const guard = this.#guard;
		guard.update(now);
		const { lanes } = this.#lanes;
		while (lanes.length < guard.lanes.length) {
			const index = lanes.length;
			const { ifindex } = this.#lanes.add(guard.lanes[index] ?? 0);
			guard.openLane(index, ifindex);
		}
	}

	/**
	 * A journal that cannot be written does not stop the traffic, as leases have their room already; where they have
	 * not, packets are dropped. Either is told when it begins and when it ends.
	 */
	#flushJournal(): void {
		let failure: string | undefined;
		try {
			this.#journal.flush();
		} catch (error) {
			failure = error instanceof Error ? error.message : String(error);
		}
		this.#tellJournal('journal', failure, 'a successor would not know');
		this.#tellJournal(
			'ledger',
			this.#journal.ledger.failure,
			'packets that need new numbers are dropped',
		);
	}

	#tellJournal(what: 'journal' | 'ledger', failure: string | undefined, so: string): void {
		const fails = failure !== undefined;
		if (fails !== this.#failing.has(what)) {
			this.#failing[fails ? 'add' : 'delete'](what);
			const text = fails
				? `the ${what} cannot be written (${failure}): ${so}`
				: `the ${what} is written again`;
			this.#options.log(fails ? 'warning' : 'info', text);
		}
	}

	#timeoutMs(now: number): number {
		if (this.#control.hasBacklog) {
			return RETRY_MS;
		}
		if (this.#wakefulness.isAwake(now) || !this.#practice.isOver) {
			return 0;
		}
		const dueUs = Math.min(
			this.engine.pollTimeout(),
			this.#lookedAroundUs + LOOK_AROUND_US,
			this.#guard.filter.dueUs,
		);
		return Math.max(0, Math.ceil((dueUs - now) / 1000));
	}

	#afterEvents(now: number): void {
		if (this.engine.pollTimeout() <= now) {
			this.engine.handleTimeout(now);
		}
		this.#sendKept(now);
		this.#flushJournal();
		this.#updateGuard(now);
		this.#control.publish();
		this.#control.flush();
		this.#sharePorts();
		if (this.#repair.isDeviceLost || now - this.#lookedAroundUs >= LOOK_AROUND_US) {
			this.#lookedAroundUs = now;
			this.#control.lookAround();
			this.#repair.repair();
			this.#drops.letGo();
			this.#routes.lookAround(now);
			this.#ports.lookAround(this.#encapStates.ports);
		}
	}

	/** Packets that the engine had kept, or made. */
	#sendKept(now: number): void {
		const lane = this.#lane();
		for (
			let packet = this.engine.pollPacket();
			packet !== undefined;
			packet = this.engine.pollPacket()
		) {
			if (packet.action === PacketAction.Reinject) {
				this.#inbound.receiveInner(packet, lane, now);
			} else {
				this.#outbound.finishKept(packet, this.engine.polledBundle, lane, now);
			}
		}
		this.#transmitter.flush();
	}

	/** Where a state in UDP begins or ends here. */
	readonly #ownEnd = ({ encap, config, family }: XfrmState): OwnEnd | undefined => {
		if (encap === undefined) {
			return undefined;
		}
		const { id, saddr } = config;
		return this.#routes.isLocal(family, id.daddr)
			? { family, address: id.daddr, port: encap.dport }
			: { family, address: saddr, port: encap.sport };
	};

	/** A socket that a new state needs is shared before the state's request is answered. */
	#sharePorts(): void {
		for (const { family, address, port } of this.#encapStates.takeNewEnds()) {
			if (this.#ports.find(family, port, address, 0) === undefined) {
				this.#ports.lookAround(this.#encapStates.ports);
				return;
			}
		}
	}
}
