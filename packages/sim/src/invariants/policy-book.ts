/**
 * A second policy table, kept from notifications alone, as a plain list: who is older, who stands where
 * in its list, who wins. Compared with the engine's lookup on flows made up for the policies that there
 * are. Knows how kernels from 6.12 on break ties, by age; of older ones only the priority is compared.
 */
import { linux61 } from '@xfrm/engine';
import { decodeMessage, eventOf, splitMessages } from '@xfrm/netlink';
import { Flow, setFlowAddress } from '@xfrm/wire';
import {
	Family,
	isAnyAddress,
	type PolicyConfig,
	prefixMatches,
	type Selector,
} from '@xfrm/wire/xfrm';
import type { Machine } from '../machine.ts';
import type { SimRandom } from '../random.ts';
import type { Invariant } from './invariant.ts';

interface Entry {
	readonly config: PolicyConfig;
	/** Grows with every insertion and every update. */
	readonly age: number;
	/** As `age`, but an update of unchanged priority keeps it. */
	readonly place: number;
}

/** Flows compared in a check. */
const FLOWS = 4;

/** Policies that a lookup sees together. */
type Table = Pick<PolicyConfig, 'direction' | 'type' | 'ifId'>;

export class PolicyBook {
	readonly #entries: Map<number, Entry> = new Map();
	#last: number = 0;

	/** Takes in notifications of group POLICY and EXPIRE. */
	hear(datagrams: readonly Uint8Array[]): void {
		for (const message of datagrams.flatMap(splitMessages)) {
			const decoded = decodeMessage(message);
			const event = decoded && eventOf(decoded);
			switch (event?.kind) {
				case 'newpolicy':
				case 'updpolicy':
					this.#put(event.policy);
					break;
				case 'delpolicy':
					this.#entries.delete(event.policy?.index ?? event.id.index);
					break;
				case 'flushpolicy':
					this.#entries.clear();
					break;
				case 'polexpire':
					if (event.hard) {
						this.#entries.delete(event.policy.index);
					}
					break;
				default:
					break;
			}
		}
	}

	get size(): number {
		return this.#entries.size;
	}

	#put(config: PolicyConfig): void {
		const old = this.#entries.get(config.index);
		const age = ++this.#last;
		const place = old !== undefined && old.config.priority === config.priority ? old.place : age;
		this.#entries.set(config.index, { config, age, place });
	}

	/** The policy that decides among those of this direction, type and if_id. */
	winner(flow: Flow, { direction, type, ifId = 0 }: Table): PolicyConfig | undefined {
		const first = new Map<number, Entry>();
		for (const entry of this.#entries.values()) {
			const { config } = entry;
			const { ifId: own = 0 } = config;
			const listed = config.direction === direction && config.type === type && own === ifId;
			if (listed && selectorMatches(config.selector, flow)) {
				const list = listOf(config);
				const other = first.get(list);
				if (other === undefined || isBefore(entry, other, entry.place - other.place)) {
					first.set(list, entry);
				}
			}
		}
		let best: Entry | undefined;
		for (const entry of first.values()) {
			if (best === undefined || isBefore(entry, best, entry.age - best.age)) {
				best = entry;
			}
		}
		return best?.config;
	}

	/** A flow that falls under one of the policies, and into others by chance. */
	sample(random: SimRandom): { readonly flow: Flow; readonly table: Table } {
		const { config } = random.pick([...this.#entries.values()]);
		const { selector } = config;
		const flow = new Flow();
		flow.family = selector.family;
		setFlowAddress(
			flow.daddr,
			within(random, selector.daddr, selector.prefixlenD, flow.family),
			flow.family,
		);
		setFlowAddress(
			flow.saddr,
			within(random, selector.saddr, selector.prefixlenS, flow.family),
			flow.family,
		);
		flow.proto = selector.proto || 17;
		flow.sport = selector.sportMask === 0 ? random.below(65536) : selector.sport;
		flow.dport = selector.dportMask === 0 ? random.pick([7, 8, 9]) : selector.dport;
		return { flow, table: config };
	}
}

function isBefore(a: Entry, b: Entry, byAge: number): boolean {
	const { priority } = a.config;
	return priority < b.config.priority || (priority === b.config.priority && byAge < 0);
}

/** An address under a prefix, its other bits by chance. */
function within(
	random: SimRandom,
	network: Uint8Array,
	prefix: number,
	family: number,
): Uint8Array {
	const address = network.slice();
	for (let bit = prefix; bit < (family === Family.Ipv4 ? 32 : 128); bit++) {
		if (random.chance(0.5)) {
			address[bit >> 3] = (address[bit >> 3] ?? 0) ^ (0x80 >> (bit & 7));
		}
	}
	return address;
}

function selectorMatches(selector: Selector, flow: Flow): boolean {
	const { family } = flow;
	return (
		selector.family === family &&
		prefixMatches(addressOf(flow.daddr), selector.daddr, selector.prefixlenD, family) &&
		prefixMatches(addressOf(flow.saddr), selector.saddr, selector.prefixlenS, family) &&
		((flow.dport ^ selector.dport) & selector.dportMask) === 0 &&
		((flow.sport ^ selector.sport) & selector.sportMask) === 0 &&
		(selector.proto === 0 || selector.proto === flow.proto)
	);
}

function addressOf(words: Int32Array): Uint8Array {
	const address = new Uint8Array(16);
	const view = new DataView(address.buffer);
	for (const [i, word] of words.entries()) {
		view.setInt32(4 * i, word);
	}
	return address;
}

/** Which of the five lists (P-11), as a number: exact, then by which addresses are narrow. */
function listOf({ selector }: PolicyConfig): number {
	const { family, daddr, saddr, prefixlenD, prefixlenS } = selector;
	const bits = family === Family.Ipv4 ? 32 : 128;
	if (prefixlenD >= bits && prefixlenS >= bits) {
		return 0;
	}
	const narrow = family === Family.Ipv4 ? 16 : 48;
	const isNarrowD = prefixlenD >= narrow && !isAnyAddress(daddr, family);
	const isNarrowS = prefixlenS >= narrow && !isAnyAddress(saddr, family);
	return 1 + (isNarrowD ? 1 : 0) + (isNarrowS ? 2 : 0);
}

function check(machine: Machine, random: SimRandom): string | undefined {
	const { book, engine } = machine;
	if (book.size === 0) {
		return undefined;
	}
	for (let i = 0; i < FLOWS; i++) {
		const { flow, table } = book.sample(random);
		const { direction, type, ifId = 0 } = table;
		const have = engine.net.spd.best(flow, direction, type, ifId);
		const want = book.winner(flow, table);
		const byAge = engine.net.profile !== linux61;
		if (byAge ? have?.index !== want?.index : have?.priority !== want?.priority) {
			const chosen = `policy ${have?.index ?? 0}, a plain list ${want?.index ?? 0}`;
			return `the lookup chose ${chosen} (direction ${direction})`;
		}
	}
	return undefined;
}

export const policyIndex: Invariant = { name: 'SPD lookup agrees with a plain list', check };
