/**
 * What becomes of a whole set of flows, exactly. The set is split until every lookup within a part meets
 * the same policies and the same states; then one flow of the part is looked up, and what is said of it
 * holds for all of them. So a set's answer cannot differ from a lookup's.
 *
 * First a diagram sorts the flows by the policies that can win (box-diagram.ts); its leaves are few. Where
 * the winners have templates, states are chosen by their selectors and, in transport mode, by the flow's
 * own addresses: a second diagram for each leaf that needs one.
 */
import type { XfrmPolicy, XfrmState } from '@xfrm/engine';
import { Flow, PacketBuffer } from '@xfrm/wire';
import { Direction, Family, isAnyAddress, Mode, type Template } from '@xfrm/wire/xfrm';
import {
	anyBox,
	type Box,
	Dimension,
	narrowPrefix,
	type Region,
	selectorBox,
	wordsOf,
} from './box.ts';
import { branchesOf, buildDiagram, type Diagram, type ProtoClass, partsOf } from './box-diagram.ts';
import { policyDecisionText, stateDecisionText } from './decision-text.ts';
import { hostAddresses } from './direction.ts';
import { type FlowContext, sampleOf } from './flow-sample.ts';
import { type Candidate, candidatesOf, type Table, tablesOf } from './flow-tables.ts';
import { type FlowLookup, type LookupAnswer, writeFlow } from './lookup.ts';
import { FlowLine } from './lookup-line.ts';
import type { World } from './world.ts';

/** A lookup of one flow, kept. */
export interface Treatment {
	readonly outcome: LookupAnswer['outcome'];
	readonly verdict: number;
	readonly policies: readonly XfrmPolicy[];
	readonly states: readonly XfrmState[];
}

/** Flows that are all treated alike. */
export interface Part {
	readonly region: Region;
	/** One for each world asked. */
	readonly treatments: readonly Treatment[];
}

/** Which policies win, table by table. */
interface Decision {
	readonly winners: readonly (XfrmPolicy | null)[];
}

/** What is known of the flows behind a decision, in one context. */
interface Behind {
	/** By the boxes of states. */
	readonly parts: Diagram<string>;
	/** By the boxes that a part is in, what a lookup said. */
	readonly treatments: Map<string, Treatment>;
}

/** What contexts have in common that ask the same worlds: kept from one `FlowSets` to the next. */
export class KnownSets {
	readonly diagrams: Map<string, SortedFlows> = new Map();
	/** A world each. */
	readonly sides: KnownSide[] = [];
}

interface SortedFlows {
	readonly diagram: Diagram<readonly Decision[]>;
	/** Parts of the diagram whose flows all worlds treat alike, whatever they came through, or may not. */
	readonly alike: Map<Diagram<readonly Decision[]>, boolean>;
}

class KnownSide {
	readonly candidates: Map<string, readonly Candidate[]> = new Map();
	readonly policyTexts: Map<XfrmPolicy, string> = new Map();
	/** By what templates ask of states. */
	served: Map<string, XfrmState[]> | undefined;
	/** Does any template name an SPI, or leave the source to the route? */
	namesSpi: boolean | undefined;
	leavesSource: boolean | undefined;
}

/** One world's part of the question: its tables, candidates and lookups. */
class Side {
	readonly #world: World;
	readonly #lookup: FlowLookup;
	readonly #context: FlowContext;
	readonly #tables: readonly Table[];
	/** The same for contexts whose policies are sorted alike. */
	readonly tablesKey: string;
	readonly candidates: readonly Candidate[];
	readonly #decisions: Map<string, Decision> = new Map();
	readonly #behind: Map<Decision, Behind> = new Map();
	readonly #known: KnownSide;
	readonly #line: FlowLine = new FlowLine();

	constructor(world: World, lookup: FlowLookup, context: FlowContext, known: KnownSide) {
		this.#world = world;
		this.#lookup = lookup;
		this.#context = context;
		this.#known = known;
		this.#tables = tablesOf(lookup, context);
		this.tablesKey = JSON.stringify([context.family, this.#tables]);
		this.candidates =
			known.candidates.get(this.tablesKey) ?? candidatesOf(world, this.#tables, context.family);
		known.candidates.set(this.tablesKey, this.candidates);
	}

	/** What the protocols that are in a flow's place mean to selectors. */
	get lookup(): FlowLookup {
		return this.#lookup;
	}

	/**
	 * Leaves out what cannot win any more: behind a policy that covers all flows in question those of its
	 * list, and in every list of its table those of higher priority value (P-4b).
	 */
	reduce(set: readonly number[], covers: (candidate: number) => boolean): number[] {
		const bounds = this.#tables.map(() => Number.POSITIVE_INFINITY);
		const ended = this.#tables.map(() => 0);
		return set.filter((at) => {
			const candidate = this.candidates[at];
			if (candidate === undefined) {
				return false;
			}
			const { table, policy } = candidate;
			const list = 1 << policy.list;
			if (policy.priority > (bounds[table] ?? 0) || ((ended[table] ?? 0) & list) !== 0) {
				return false;
			}
			if (covers(at)) {
				bounds[table] = policy.priority;
				ended[table] = (ended[table] ?? 0) | list;
			}
			return true;
		});
	}

	/** The decision where exactly these candidates match. */
	decide(set: readonly number[]): Decision {
		const first = this.#tables.map((): (XfrmPolicy | null)[] => [null, null, null, null, null]);
		for (const at of set) {
			const candidate = this.candidates[at];
			const list = candidate === undefined ? undefined : first[candidate.table];
			if (candidate !== undefined && list !== undefined) {
				list[candidate.policy.list] ??= candidate.policy;
			}
		}
		const { spd } = this.#world.engine.net;
		const winners = this.#tables.map(({ direction }, i) => spd.decide(direction, first[i] ?? []));
		const key = winners.map((winner) => winner?.index ?? '').join(' ');
		const known = this.#decisions.get(key);
		if (known !== undefined) {
			return known;
		}
		const decision = { winners };
		this.#decisions.set(key, decision);
		return decision;
	}

	/** Policies that win in some decision. */
	winners(): XfrmPolicy[] {
		const all = [...this.#decisions.values()].flatMap(({ winners }) => winners);
		return all.filter((winner) => winner !== null);
	}

	/** The diagram of the boxes by which states are told apart. */
	partsOf(decision: Decision, protos: readonly ProtoClass[]): Diagram<string> {
		return this.#behindOf(decision, protos).parts;
	}

	#behindOf(decision: Decision, protos: readonly ProtoClass[]): Behind {
		let behind = this.#behind.get(decision);
		if (behind === undefined) {
			const parts = buildDiagram({
				boxes: this.#stateBoxes(decision),
				protos,
				leaf: (set) => set.join(' '),
			});
			behind = { parts, treatments: new Map() };
			this.#behind.set(decision, behind);
		}
		return behind;
	}

	/** What the treatment of flows depends on, but for SPIs, keys and what they came through. */
	textOf({ winners }: Decision): string {
		const { defaults } = this.#world.engine.net;
		const { policyTexts } = this.#known;
		// A default decides where no policy of its direction does.
		const unmet = this.#tables.filter(
			({ direction }) =>
				!this.#tables.some((table, i) => table.direction === direction && winners[i] != null),
		);
		const texts = winners.map((policy) => {
			let text = policy === null ? '' : policyTexts.get(policy);
			if (text === undefined && policy !== null) {
				text = policyDecisionText(policy, (template) => this.#serving(template, policy));
				policyTexts.set(policy, text);
			}
			return text;
		});
		return [...texts, ...unmet.map(({ direction }) => defaults[direction])].join('\n');
	}

	/** The same of what they came through. */
	get viaText(): string {
		const { via, family } = this.#context;
		const known = this.#known;
		known.namesSpi ??= [...this.#world.engine.policies()].some(({ templates }) =>
			templates.some(({ id }) => id.spi !== 0),
		);
		const withSpi = known.namesSpi;
		return via
			.map((spi) => stateDecisionText(this.#lookup.stateOf(spi, family), withSpi))
			.join('\n');
	}

	/** Sources that templates leave to the route; empty where none does. */
	get addressText(): string {
		const known = this.#known;
		known.leavesSource ??= [...this.#world.engine.policies()].some(({ templates, family }) =>
			templates.some((one) => isAnyAddress(one.saddr, one.family || family)),
		);
		return known.leavesSource
			? hostAddresses(this.#world.host)
					.map(({ address }) => address.join('.'))
					.join()
			: '';
	}

	/** Looks up one flow of a part, unless another one with the same name was. */
	treat(
		decision: Decision,
		name: string,
		region: Region,
		protos: readonly ProtoClass[],
	): Treatment {
		const { treatments } = this.#behindOf(decision, protos);
		const known = treatments.get(name);
		if (known !== undefined) {
			return known;
		}
		sampleOf(region, this.#context, this.#line);
		const { outcome, verdict, policies, states } = this.#lookup.lookLine(this.#line);
		const treatment = { outcome, verdict, policies: [...policies], states: [...states] };
		treatments.set(name, treatment);
		return treatment;
	}

	/** Everything of states that a flow is compared with, behind these winners. */
	#stateBoxes(decision: Decision): Box[] {
		const { family, via } = this.#context;
		const boxes: Box[] = [];
		for (const spi of via) {
			const { selector } = this.#lookup.stateOf(spi, family);
			// The check takes a selector of either family as one of the flow's.
			const oif = this.#lookup.checkDevice(family, this.#context.direction);
			boxes.push(...present(selectorBox(selector, family, oif)));
		}
		for (const [i, table] of this.#tables.entries()) {
			const winner = decision.winners[i] ?? null;
			if (table.direction === Direction.Out && winner !== null) {
				boxes.push(...this.#templateBoxes(winner, table.oif));
			}
		}
		return uniqueBoxes(boxes);
	}

	#templateBoxes(policy: XfrmPolicy, oif: number): Box[] {
		const boxes: Box[] = [];
		// Behind a tunnel the addresses are the template's, not the flow's.
		let ofFlow = true;
		for (const template of policy.templates) {
			ofFlow &&= !hasOwnAddresses(template.mode);
			for (const state of this.#serving(template, policy)) {
				boxes.push(...stateBoxes(state, this.#context.family, oif, ofFlow));
			}
		}
		return boxes;
	}

	/** The states that could serve the template, or be in its way, for some flow (S-21, S-26); newest first. */
	#serving(template: Template, policy: XfrmPolicy): readonly XfrmState[] {
		const known = this.#known;
		if (known.served === undefined) {
			known.served = new Map();
			for (const state of this.#world.engine.states()) {
				const { proto, spi, reqid, mode, ifId } = state;
				for (const key of [`${proto} spi ${spi}`, `${proto} ${reqid} ${mode} ${ifId}`]) {
					const others = known.served.get(key);
					if (others === undefined) {
						known.served.set(key, [state]);
					} else {
						others.push(state);
					}
				}
			}
		}
		const { spi, proto } = template.id;
		const key =
			spi === 0
				? `${proto} ${template.reqid | 0} ${template.mode} ${policy.ifId}`
				: `${proto} spi ${spi | 0}`;
		return known.served.get(key) ?? [];
	}
}

function stateBoxes(state: XfrmState, family: number, oif: number, ofFlow: boolean): Box[] {
	const { selector } = state;
	const boxes: Box[] = [];
	if (selector.family === family) {
		boxes.push(...present(selectorBox(selector, family, oif)));
	}
	if (ofFlow && state.family === family) {
		const bits = family === Family.Ipv4 ? 32 : 128;
		const { id, saddr } = state.config;
		const destination = anyBox();
		narrowPrefix(destination, Dimension.Destination, wordsOf(id.daddr, family), bits, family);
		boxes.push(destination);
		if (!isAnyAddress(saddr, family)) {
			const source = anyBox();
			narrowPrefix(source, Dimension.Source, wordsOf(saddr, family), bits, family);
			boxes.push(source);
		}
	}
	return boxes;
}

function hasOwnAddresses(mode: number): boolean {
	return mode === Mode.Tunnel || mode === Mode.Beet || mode === Mode.Iptfs;
}

function present(box: Box | undefined): Box[] {
	return box === undefined ? [] : [box];
}

function uniqueBoxes(boxes: readonly Box[]): Box[] {
	const unique = new Map<string, Box>();
	for (const box of boxes) {
		// A box of everything tells nothing apart.
		if (box.some((word) => word !== 0)) {
			unique.set(box.join(), box);
		}
	}
	return [...unique.values()];
}

/** Sets of flows between one world and nobody, or two worlds to be compared. */
export class FlowSets {
	readonly #sides: readonly Side[];
	readonly #protos: readonly ProtoClass[];
	readonly #sorted: SortedFlows;

	/** @param known of other contexts of the same worlds; `winners` is not complete then */
	constructor(
		worlds: readonly {
			readonly world: World;
			readonly lookup: FlowLookup;
			/** In place of the context's. */
			readonly via?: readonly number[];
		}[],
		context: FlowContext,
		known: KnownSets = new KnownSets(),
	) {
		this.#sides = worlds.map(({ world, lookup, via }, i) => {
			const side = known.sides[i] ?? new KnownSide();
			known.sides[i] = side;
			return new Side(world, lookup, via === undefined ? context : { ...context, via }, side);
		});
		this.#protos = this.#protoClasses(context);
		const tables = this.#sides.map((side) => side.tablesKey).join();
		const key = `${context.direction} ${tables}`;
		this.#sorted = known.diagrams.get(key) ?? { diagram: this.#sortFlows(), alike: new Map() };
		known.diagrams.set(key, this.#sorted);
	}

	/** The diagram of the policies that win. */
	#sortFlows(): Diagram<readonly Decision[]> {
		return buildDiagram({
			boxes: this.#sides.flatMap((side) => side.candidates.map(({ box }) => box)),
			protos: this.#protos,
			reduce: (set, covers) =>
				this.#bySide(set, (side, own, at) => reduceSide(side, own, at, covers)),
			leaf: (set) => {
				const decisions: Decision[] = [];
				this.#bySide(set, (side, own) => {
					decisions.push(side.decide(own));
					return [];
				});
				return decisions;
			},
		});
	}

	/** Cuts a set of boxes up by side, each numbered from 0, and puts the results together again. */
	#bySide(
		set: readonly number[],
		each: (side: Side, own: readonly number[], at: number) => readonly number[],
	): readonly number[] {
		let at = 0;
		const results: number[] = [];
		for (const side of this.#sides) {
			const end = at + side.candidates.length;
			const from = at;
			const own = set.filter((box) => box >= from && box < end).map((box) => box - from);
			results.push(...each(side, own, from).map((box) => box + from));
			at = end;
		}
		return results;
	}

	/**
	 * The parts of a region in which all flows are treated alike.
	 *
	 * @param wanted leaves out parts; asked as soon as all of their treatments are known
	 * @param differing leaves out parts of which it is certain that all worlds treat them alike
	 */
	*parts(
		region: Region,
		wanted: (treatments: readonly Treatment[]) => boolean = () => true,
		differing: boolean = false,
	): Generator<Part> {
		const skips =
			differing &&
			new Set(this.#sides.map((side) => `${side.addressText}\n${side.viaText}`)).size === 1;
		// What a part of the diagram holds does not depend on the way to it, so once is enough.
		const known = new Map<Diagram<readonly Decision[]>, boolean>();
		const isWanted = (part: Diagram<readonly Decision[]>, within: Region): boolean => {
			let answer = skips && this.#areAlike(part) ? false : known.get(part);
			if (answer === undefined) {
				answer =
					part.branches === undefined
						? this.#mayBeWanted(part.leaf, within, wanted)
						: branchesOf(part.branches, part.dimension, within).some(([child, narrowed]) =>
								isWanted(child, narrowed),
							);
				known.set(part, answer);
			}
			return answer;
		};
		for (const { region: within, leaf } of partsOf(this.#sorted.diagram, region, isWanted)) {
			yield* this.#split(leaf, 0, within, [], wanted);
		}
	}

	/** Is it certain that all worlds treat all flows of a part alike that came through the same? */
	#areAlike(part: Diagram<readonly Decision[]>): boolean {
		const { alike } = this.#sorted;
		let answer = alike.get(part);
		if (answer === undefined) {
			answer =
				part.branches === undefined
					? new Set(part.leaf.map((one, i) => this.#sides[i]?.textOf(one))).size === 1
					: part.branches.every(({ child }) => this.#areAlike(child));
			alike.set(part, answer);
		}
		return answer;
	}

	/** Is any part behind these decisions wanted? Only certain where no state's selector has a say. */
	#mayBeWanted(
		decisions: readonly Decision[],
		region: Region,
		wanted: (treatments: readonly Treatment[]) => boolean,
	): boolean {
		const treatments: Treatment[] = [];
		for (const [i, decision] of decisions.entries()) {
			const side = this.#sides[i];
			const parts = side?.partsOf(decision, this.#protos);
			if (side === undefined || parts === undefined || parts.branches !== undefined) {
				return true;
			}
			treatments.push(side.treat(decision, parts.leaf, region, this.#protos));
		}
		return wanted(treatments);
	}

	*#split(
		decisions: readonly Decision[],
		at: number,
		region: Region,
		treatments: readonly Treatment[],
		wanted: (treatments: readonly Treatment[]) => boolean,
	): Generator<Part> {
		const decision = decisions[at];
		const side = this.#sides[at];
		if (decision === undefined || side === undefined) {
			if (wanted(treatments)) {
				yield { region, treatments };
			}
			return;
		}
		for (const part of partsOf(side.partsOf(decision, this.#protos), region)) {
			const treatment = side.treat(decision, part.leaf, part.region, this.#protos);
			yield* this.#split(decisions, at + 1, part.region, [...treatments, treatment], wanted);
		}
	}

	/** The policies that decide for some flow. */
	get winners(): ReadonlySet<XfrmPolicy> {
		return new Set(this.#sides.flatMap((side) => side.winners()));
	}

	/** How flows of each protocol are decoded, for all that selectors can tell. */
	get protos(): readonly ProtoClass[] {
		return this.#protos;
	}

	/** Sorts protocols by how flows of them are decoded, and which of them any selector names. */
	#protoClasses(context: FlowContext): readonly ProtoClass[] {
		const named = new Set<number>();
		for (const side of this.#sides) {
			for (const proto of side.lookup.protosNamed()) {
				named.add(proto);
			}
		}
		const classes = new Map<string, { -readonly [K in keyof ProtoClass]: ProtoClass[K] }>();
		const probe = new ProtoProbe(context, this.#sides[0]?.lookup);
		for (let proto = 0; proto < 256; proto++) {
			const { decoded, sportBits, dportBits } = probe.decode(proto);
			const key = `${named.has(decoded) ? decoded : 'other'} ${sportBits} ${dportBits}`;
			const known = classes.get(key);
			if (known === undefined) {
				const unnamed = named.has(decoded) ? decoded : UNNAMED;
				classes.set(key, { decoded: unnamed, protos: [proto], sportBits, dportBits });
			} else {
				known.protos = [...known.protos, proto];
			}
		}
		return [...classes.values()];
	}
}

/** Stands for any protocol that no selector names. */
const UNNAMED = 0x100;

function reduceSide(
	side: Side,
	own: readonly number[],
	at: number,
	covers: (box: number) => boolean,
): readonly number[] {
	return side.reduce(own, (box) => covers(box + at));
}

/** Finds out what a flow of a protocol is decoded to. */
class ProtoProbe {
	readonly #packet: PacketBuffer = new PacketBuffer(2048);
	readonly #line: FlowLine = new FlowLine();
	readonly #lookup: FlowLookup | undefined;

	constructor(context: FlowContext, lookup: FlowLookup | undefined) {
		this.#line.clear();
		this.#line.family = context.family;
		this.#line.direction = context.direction;
		this.#line.device = context.device;
		this.#lookup = lookup;
	}

	decode(proto: number): { decoded: number; sportBits: number; dportBits: number } {
		const line = this.#line;
		line.proto = proto;
		line.sport = 0xffff;
		line.dport = 0xffff;
		writeFlow(this.#packet, line);
		const flow = this.#lookup?.decode(this.#packet, line) ?? new Flow();
		return { decoded: flow.proto, sportBits: flow.sport, dportBits: flow.dport };
	}
}
