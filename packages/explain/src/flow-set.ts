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
import { decisionText } from './decision-text.ts';
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

/** Diagrams of policies, kept for contexts that differ in the states that flows came through. */
export type KnownDiagrams = Map<string, Diagram<readonly Decision[]>>;

/** One world's part of the question: its tables, candidates and lookups. */
class Side {
	readonly #world: World;
	readonly #lookup: FlowLookup;
	readonly #context: FlowContext;
	readonly #tables: readonly Table[];
	readonly candidates: readonly Candidate[];
	readonly #decisions: Map<string, Decision> = new Map();
	readonly #behind: Map<Decision, Behind> = new Map();
	readonly #texts: Map<Decision, string> = new Map();
	#served: Map<string, XfrmState[]> | undefined;
	readonly #line: FlowLine = new FlowLine();

	constructor(world: World, lookup: FlowLookup, context: FlowContext) {
		this.#world = world;
		this.#lookup = lookup;
		this.#context = context;
		this.#tables = tablesOf(lookup, context);
		this.candidates = candidatesOf(world, this.#tables, context.family);
	}

	/** The same for contexts whose policies are sorted alike. */
	get tablesKey(): string {
		return JSON.stringify(this.#tables);
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

	/** What the treatment of flows depends on, but for SPIs and keys. */
	textOf(decision: Decision): string {
		let text = this.#texts.get(decision);
		if (text === undefined) {
			const { via, family } = this.#context;
			const states = via.map((spi) => this.#lookup.stateOf(spi, family));
			const { defaults } = this.#world.engine.net;
			const { winners } = decision;
			// A default decides where no policy of its direction does.
			const unmet = this.#tables.filter(
				({ direction }) =>
					!this.#tables.some((table, i) => table.direction === direction && winners[i] != null),
			);
			text = decisionText(
				winners,
				unmet.map(({ direction }) => defaults[direction]),
				states,
				(template, policy) => this.#serving(template, policy),
			);
			this.#texts.set(decision, text);
		}
		return text;
	}

	/** Sources that templates may leave to the route. */
	get addressText(): string {
		return hostAddresses(this.#world.host)
			.map(({ address }) => address.join('.'))
			.join();
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
		if (this.#served === undefined) {
			this.#served = new Map();
			for (const state of this.#world.engine.states()) {
				const { proto, spi, reqid, mode, ifId } = state;
				for (const key of [`${proto} spi ${spi}`, `${proto} ${reqid} ${mode} ${ifId}`]) {
					const known = this.#served.get(key);
					if (known === undefined) {
						this.#served.set(key, [state]);
					} else {
						known.push(state);
					}
				}
			}
		}
		const { spi, proto } = template.id;
		const key =
			spi === 0
				? `${proto} ${template.reqid | 0} ${template.mode} ${policy.ifId}`
				: `${proto} spi ${spi | 0}`;
		return this.#served.get(key) ?? [];
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
	readonly #diagram: Diagram<readonly Decision[]>;

	/** @param known diagrams of other contexts of the same worlds, added to; `winners` then knows them only */
	constructor(
		worlds: readonly {
			readonly world: World;
			readonly lookup: FlowLookup;
			/** In place of the context's. */
			readonly via?: readonly number[];
		}[],
		context: FlowContext,
		known: KnownDiagrams = new Map(),
	) {
		this.#sides = worlds.map(
			({ world, lookup, via }) =>
				new Side(world, lookup, via === undefined ? context : { ...context, via }),
		);
		this.#protos = this.#protoClasses(context);
		const { family, direction } = context;
		const tables = this.#sides.map((side) => side.tablesKey).join();
		const key = `${family} ${direction} ${tables}`;
		this.#diagram = known.get(key) ?? this.#sortFlows();
		known.set(key, this.#diagram);
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
		const skips = differing && new Set(this.#sides.map((side) => side.addressText)).size === 1;
		// What a part of the diagram holds does not depend on the way to it, so once is enough.
		const known = new Map<Diagram<readonly Decision[]>, boolean>();
		const isWanted = (part: Diagram<readonly Decision[]>, within: Region): boolean => {
			let answer = known.get(part);
			if (answer === undefined) {
				answer =
					part.branches === undefined
						? !(skips && this.#areAlike(part.leaf)) && this.#mayBeWanted(part.leaf, within, wanted)
						: branchesOf(part.branches, part.dimension, within).some(([child, narrowed]) =>
								isWanted(child, narrowed),
							);
				known.set(part, answer);
			}
			return answer;
		};
		for (const { region: within, leaf } of partsOf(this.#diagram, region, isWanted)) {
			yield* this.#split(leaf, 0, within, [], wanted);
		}
	}

	#areAlike(decisions: readonly Decision[]): boolean {
		return new Set(decisions.map((decision, i) => this.#sides[i]?.textOf(decision))).size === 1;
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
