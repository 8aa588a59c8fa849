/**
 * One history of one world: what a scenario builds, driven event by event until its end. Every entry of
 * the agenda is a step; behind it everything that it caused is carried out and all invariants are checked
 * at the hosts it touched. The first that does not hold ends the history.
 *
 *     trouble   faults, attackers, moods, what the scenario does               0 … troubleUs
 *     calm      links behave, key managers are well; every flow has to get     … the end
 *               through again, or the history has failed too
 */
import type { CryptoProvider } from '@xfrm/crypto/provider';
import { linux61, linux619 } from '@xfrm/engine';
import type { Observed } from '@xfrm/explain';
import { Agenda } from './agenda.ts';
import { Attacker, type ForgedFlow } from './attacker.ts';
import { Capture } from './capture.ts';
import { POISON_OCTET } from './engine-watch.ts';
import { buffersReturned, memoryBounded } from './invariants/bounds.ts';
import type { Invariant } from './invariants/invariant.ts';
import { keyCounts } from './invariants/key-counts.ts';
import { policyIndex } from './invariants/policy-book.ts';
import { stateIndex } from './invariants/state-index.ts';
import { addressOf, type Mail } from './keys/connection.ts';
import type { Mood } from './keys/key-manager.ts';
import { Ledger } from './ledger.ts';
import { Link } from './links/link.ts';
import {
	corruption,
	delay,
	duplication,
	type Faults,
	type LinkNode,
	loss,
	reordering,
} from './links/link-node.ts';
import { Machine, type MachineOptions } from './machine.ts';
import { SimRandom } from './random.ts';
import { FORGED_MARKER, holdsMarker, SECRET_MARKER, Traffic, USER_PORT } from './traffic.ts';

export const START_US = 1_764_000_000_000_000;
const SECOND_US = 1_000_000;
/** A flow has to get through within so many tries of a second each, once all is calm. */
const PROBES_MAX = 75;
/** More would be a loop in the world. */
const STEPS_MAX = 200_000;
/** Mail between key managers is under way so long. */
const MAIL_US: readonly [number, number] = [2_000, 60_000];

/** Checked after every step at every host that it touched. */
const cheap: readonly Invariant[] = [buffersReturned, memoryBounded, keyCounts];
/** Checked where states or policies have changed, and now and then anyway. */
const thorough: readonly Invariant[] = [stateIndex, policyIndex];
const THOROUGH_EVERY = 16;

/** What did not hold. */
export interface Failure {
	readonly invariant: string;
	readonly text: string;
	readonly step: number;
	readonly host: string | undefined;
	/** Microseconds since the beginning. */
	readonly atUs: number;
}

export interface HistoryOptions {
	readonly seed: number;
	readonly provider: CryptoProvider;
	/** Keep all packets for a capture. */
	readonly record?: boolean;
}

/** What a user sends: datagrams to an address. */
export interface UserFlow {
	readonly from: Machine;
	readonly to: string;
	readonly port?: number;
	/** Sizes of payloads; the largest has to get through in calm. */
	readonly octets?: readonly number[];
}
const OCTETS_DEFAULT = [40, 200, 900];

export class History {
	readonly random: SimRandom;
	readonly agenda: Agenda = new Agenda(START_US);
	readonly faults: Faults = { active: true };
	readonly traffic: Traffic = new Traffic();
	readonly machines: Map<string, Machine> = new Map();
	readonly links: Map<string, Link> = new Map();
	readonly capture: Capture | undefined;
	failure: Failure | undefined;
	steps: number = 0;
	/** How long the trouble lasts; a scenario may set it. */
	troubleUs: number = 30 * SECOND_US;
	/** Port that somebody's key manager is seen by elsewhere; NAT boxes change it. */
	portSeenOf: (machine: string) => number = () => 0;
	/** How often a seal fails during the trouble, and how often mail of an exchange is lost. */
	sealFaults: number = 0;
	readonly #mailLoss: number;
	readonly #mailRandom: SimRandom;
	readonly #ledger: Ledger = new Ledger();
	readonly #provider: CryptoProvider;
	readonly #flows: UserFlow[] = [];
	readonly #generations: Map<Machine, number> = new Map();
	readonly #checkRandom: SimRandom;

	constructor(options: HistoryOptions) {
		this.random = new SimRandom(options.seed, 'scenario');
		this.#checkRandom = this.random.fork('checks');
		this.#mailRandom = this.random.fork('mail');
		this.#mailLoss = this.#mailRandom.pick([0, 0.1, 0.3]);
		this.#provider = options.provider;
		this.capture = options.record === true ? new Capture() : undefined;
	}

	/** Packets that went through an engine's door. */
	get packets(): number {
		let sum = 0;
		for (const machine of this.machines.values()) {
			sum += machine.watch.packets;
		}
		return sum;
	}

	// Building.

	machine(name: string, options: MachineOptions): Machine {
		const random = this.random.fork(`seals ${name}`);
		const machine = new Machine(name, options, {
			random: this.random,
			profile: this.random.fork(`kernel ${name}`).pick([linux619, linux619, linux61]),
			provider: this.#provider,
			ledger: this.#ledger,
			nowUs: () => this.agenda.nowUs,
			around: {
				post: (to, mail) => this.#post(name, to, mail),
				after: (us, action) => this.agenda.after(us, action),
			},
			failsSeal: () => this.faults.active && this.sealFaults > 0 && random.chance(this.sealFaults),
		});
		this.machines.set(name, machine);
		return machine;
	}

	link(
		name: string,
		options: { readonly clear: boolean; readonly nodes: readonly LinkNode[] },
	): Link {
		const link = new Link(name, this.agenda, options);
		link.tap((_, packet) => {
			this.capture?.add(name, packet, this.agenda.nowUs);
			this.#checkWire(link, packet);
		});
		this.links.set(name, link);
		return link;
	}

	/** A local link: quick and without faults. */
	lan(name: string): Link {
		return this.link(name, { clear: true, nodes: [delay(this.random.fork(name), 100)] });
	}

	/** A link that nobody trusts, with faults of a strength drawn for this history. */
	wan(name: string, nodes: readonly LinkNode[] = []): Link {
		const random = this.random.fork(name);
		const { faults } = this;
		const strength = random.pick([0, 0.01, 0.05, 0.15]);
		return this.link(name, {
			clear: false,
			nodes: [
				...nodes,
				loss(random, faults, strength),
				duplication(random, faults, strength),
				corruption(random, faults, strength),
				reordering(random, faults, strength, 400_000),
				delay(random, random.between(1_000, 40_000), random.pick([0, 0, 5_000])),
			],
		});
	}

	/** Somebody who attacks a link during the trouble, about `count` times. */
	attacker(link: Link, count: number, forged: readonly ForgedFlow[] = []): void {
		const random = this.random.fork(`attacker ${link.name}`);
		const attacker = new Attacker(link, random, forged);
		for (let i = 0; i < count; i++) {
			this.agenda.after(random.below(this.troubleUs), () => attacker.act());
		}
	}

	/** A user sends `count` datagrams during the trouble; in the calm this flow has to get through. */
	flow(flow: UserFlow, count: number): void {
		this.#flows.push(flow);
		const { from, to, port = USER_PORT, octets = OCTETS_DEFAULT } = flow;
		const random = this.random.fork(`flow ${from.name} ${to} ${port}`);
		for (let i = 0; i < count; i++) {
			const size = random.pick(octets);
			this.agenda.after(random.below(this.troubleUs), () => this.send(from, to, size, port));
		}
	}

	/** Two of them, one in each direction. */
	flows(one: UserFlow, other: UserFlow, count: number): void {
		this.flow(one, count);
		this.flow(other, count);
	}

	/** At a time of the trouble drawn by chance. */
	sometime(action: () => void): void {
		this.agenda.after(this.random.below(this.troubleUs), action);
	}

	/** A key manager is in this mood for a while. */
	moodFor(machine: Machine, mood: Mood, us: number): void {
		machine.keyManager?.setMood(mood);
		this.agenda.after(us, () => machine.keyManager?.setMood('well'));
	}

	/** Sends a datagram; its number. */
	send(from: Machine, to: string, octets: number, port: number): number {
		const { number, payload } = this.traffic.payload(octets);
		from.sendDatagram(to, port, payload);
		return number;
	}

	fail(invariant: string, text: string, host?: string): void {
		this.failure ??= {
			invariant,
			text,
			step: this.steps,
			host,
			atUs: this.agenda.nowUs - START_US,
		};
	}

	// Running.

	/** Lives through all of it; ends early at the first failure. */
	run(): void {
		this.#settleAll();
		this.#runUntil(START_US + this.troubleUs);
		this.faults.active = false;
		for (const link of this.links.values()) {
			link.partition.cut = false;
		}
		for (const machine of this.machines.values()) {
			machine.keyManager?.setMood('well');
		}
		this.#settleAll();
		const waiting = this.#flows.map((flow) => ({ flow, numbers: [] as number[] }));
		for (let probe = 0; probe < PROBES_MAX && waiting.length > 0; probe++) {
			for (const { flow, numbers } of waiting) {
				const { from, to, port = USER_PORT, octets = OCTETS_DEFAULT } = flow;
				numbers.push(this.send(from, to, Math.max(...octets), port));
			}
			this.#settleAll();
			this.#runUntil(this.agenda.nowUs + SECOND_US);
			for (let i = waiting.length - 1; i >= 0; i--) {
				if (waiting[i]?.numbers.some((number) => this.traffic.hasArrived(number)) === true) {
					waiting.splice(i, 1);
				}
			}
		}
		for (const { flow } of waiting) {
			const text = `nothing gets from ${flow.from.name} to ${flow.to} any more`;
			this.fail('every flow gets through in calm', text, flow.from.name);
		}
	}

	#runUntil(endUs: number): void {
		while (this.failure === undefined) {
			const action = this.agenda.take(endUs);
			if (action === undefined) {
				this.agenda.nowUs = endUs;
				return;
			}
			this.steps++;
			action();
			this.#settleAll();
			if (this.steps > STEPS_MAX) {
				this.fail('a history ends', `no end after ${STEPS_MAX} steps`);
			}
		}
	}

	/** Carries out what the hosts want done, and checks them. */
	#settleAll(): void {
		for (const machine of this.machines.values()) {
			const observed = machine.observe();
			const touched = observed.effects.length > 0 || observed.events.length > 0;
			this.#carryOut(machine, observed);
			this.#wake(machine);
			if (touched || this.#hasChanged(machine)) {
				this.#check(machine);
			}
		}
	}

	#carryOut(machine: Machine, observed: Observed): void {
		for (const { device, packet } of observed.emitted) {
			const plug = machine.plugOf(device);
			if (((packet[0] ?? 0) >> 4 !== 4 && (packet[0] ?? 0) >> 4 !== 6) || isPoisoned(packet)) {
				this.fail(
					'every buffer is back in its pool',
					'octets of a returned buffer left',
					machine.name,
				);
			}
			plug?.link.send(packet, plug.end);
		}
		for (const { payload } of observed.delivered) {
			const complaint = this.traffic.deliver(payload);
			if (complaint !== undefined) {
				this.fail('no replay and no forgery is accepted', complaint, machine.name);
			}
		}
		machine.keyManager?.hear(observed.events);
	}

	/** Sees to it that the host's next deadline is met. */
	#wake(machine: Machine): void {
		const dueUs = machine.host.pollTimeout();
		if (dueUs < machine.wakeUs) {
			machine.wakeUs = dueUs;
			// One that is overdue and does not move must not stop the clock.
			this.agenda.at(Math.max(dueUs, this.agenda.nowUs + 1), () => {
				machine.wakeUs = Number.POSITIVE_INFINITY;
				machine.handleTimeout();
			});
		}
	}

	#hasChanged(machine: Machine): boolean {
		return machine.engine.net.generation !== this.#generations.get(machine);
	}

	#check(machine: Machine): void {
		const { name } = machine;
		const { complaint } = this.#ledger;
		if (complaint !== undefined) {
			this.fail('no sequence number twice under one key', complaint, name);
		}
		if (machine.watch.complaint !== undefined) {
			this.fail('verdicts, counters and states agree', machine.watch.complaint, name);
		}
		const changed = this.#hasChanged(machine);
		const invariants =
			changed || this.steps % THOROUGH_EVERY === 0 ? [...cheap, ...thorough] : cheap;
		if (changed) {
			machine.noteDeparted();
			this.#generations.set(machine, machine.engine.net.generation);
		}
		for (const invariant of invariants) {
			const text = invariant.check(machine, this.#checkRandom);
			if (text !== undefined) {
				this.fail(invariant.name, text, name);
			}
		}
	}

	/** What may be seen on a link. */
	#checkWire(link: Link, packet: Uint8Array): void {
		if (!link.clear && holdsMarker(packet, SECRET_MARKER)) {
			this.fail(
				'no plaintext where policy demands protection',
				`a datagram is in clear on ${link.name}`,
			);
		}
		if (link.clear && holdsMarker(packet, FORGED_MARKER)) {
			this.fail('no replay and no forgery is accepted', `a forged datagram is on ${link.name}`);
		}
	}

	/** Exchanges may be lost and are repeated; other mail arrives, as IKE's would after some repetition. */
	#post(from: string, to: string, mail: Mail): void {
		const random = this.#mailRandom;
		const repeated = mail.kind === 'request' || mail.kind === 'response';
		const lost = repeated && this.faults.active && random.chance(this.#mailLoss);
		const us = random.between(...MAIL_US);
		if (!lost) {
			this.agenda.after(us, () => {
				const port = this.portSeenOf(from);
				this.machines.get(to)?.keyManager?.receive({ from, port, mail });
			});
		}
	}
}

/** Sixteen octets of poison in a row. */
function isPoisoned(packet: Uint8Array): boolean {
	let run = 0;
	for (const octet of packet) {
		run = octet === POISON_OCTET ? run + 1 : 0;
		if (run === 16) {
			return true;
		}
	}
	return false;
}

/** Ends of a forged datagram, from text. */
export function forgedFlow(source: string, destination: string, to: number): ForgedFlow {
	const { address, family } = addressOf(source);
	return { family, source: address, destination: addressOf(destination).address, to };
}
