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
import { Direction, Family, isAnyAddress, Mode, PolicyType, type Template } from '@xfrm/wire/xfrm';
import {
	anyBox,
	type Box,
	Dimension,
	narrow,
	narrowPrefix,
	type Region,
	selectorBox,
	wordsOf,
} from './box.ts';
import { branchesOf, buildDiagram, type Diagram, type ProtoClass, partsOf } from './box-diagram.ts';
import { type FlowContext, sampleOf } from './flow-sample.ts';
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

/** A table of policies that a lookup asks: SUB before MAIN, and its direction. */
interface Table {
	readonly direction: number;
	readonly type: number;
	readonly ifId: number;
	readonly oif: number;
	/** The mark that it sees, of a flow's: states on the way in may have changed it. */
	readonly markValue: number;
	readonly markMask: number;
}

/** A policy in a table's kernel list, in the order that the lists are in. */
interface Candidate {
	readonly policy: XfrmPolicy;
	readonly table: number;
	readonly box: Box;
}

/** Which policies win, table by table. */
interface Decision {
	readonly winners: readonly (XfrmPolicy | null)[];
	/** Made when it is first asked for. */
	parts: Diagram<string> | undefined;
	/** By the boxes that a part is in, what a lookup said. */
	readonly treatments: Map<string, Treatment>;
}

/** One world's part of the question: its tables, candidates and lookups. */
class Side {
	readonly #world: World;
	readonly #lookup: FlowLookup;
	readonly #context: FlowContext;
	readonly #tables: readonly Table[];
	readonly candidates: readonly Candidate[];
	readonly #decisions: Map<string, Decision> = new Map();
	readonly #line: FlowLine = new FlowLine();

	constructor(world: World, lookup: FlowLookup, context: FlowContext) {
		this.#world = world;
		this.#lookup = lookup;
		this.#context = context;
		this.#tables = tablesOf(lookup, context);
		this.candidates = candidatesOf(world, this.#tables, context.family);
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
		const decision = { winners, parts: undefined, treatments: new Map() };
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
		decision.parts ??= buildDiagram({
			boxes: this.#stateBoxes(decision),
			protos,
			leaf: (set) => set.join(' '),
		});
		return decision.parts;
	}

	/** Looks up one flow of a part, unless another one with the same name was. */
	treat(decision: Decision, name: string, region: Region): Treatment {
		const known = decision.treatments.get(name);
		if (known !== undefined) {
			return known;
		}
		sampleOf(region, this.#context, this.#line);
		const { outcome, verdict, policies, states } = this.#lookup.lookLine(this.#line);
		const treatment = { outcome, verdict, policies: [...policies], states: [...states] };
		decision.treatments.set(name, treatment);
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
			for (const state of this.#world.engine.states()) {
				if (mayServe(state, template, policy)) {
					boxes.push(...stateBoxes(state, this.#context.family, oif, ofFlow));
				}
			}
		}
		return boxes;
	}
}

/** Could the state serve the template, or be in its way, for some flow (S-21, S-26)? */
function mayServe(state: XfrmState, template: Template, policy: XfrmPolicy): boolean {
	const { spi, proto } = template.id;
	if (state.proto !== proto) {
		return false;
	}
	const same = state.spi === (spi | 0);
	if (spi !== 0 && same) {
		return true;
	}
	return (
		spi === 0 &&
		state.reqid === (template.reqid | 0) &&
		state.mode === template.mode &&
		state.ifId === policy.ifId
	);
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

/** The tables that a lookup asks, as lookup.ts does. */
function tablesOf(lookup: FlowLookup, context: FlowContext): readonly Table[] {
	const { family, direction, ifId, device } = context;
	const plain = { markValue: 0, markMask: 0 };
	const both = (table: Omit<Table, 'type'>): Table[] => [
		{ ...table, type: PolicyType.Sub },
		{ ...table, type: PolicyType.Main },
	];
	if (direction === Direction.Out) {
		const oif = lookup.outputDevice(family, device);
		return both({ direction, ifId: ifId | 0, oif, ...plain });
	}
	const marks = { markValue: 0, markMask: 0 };
	for (const spi of context.via) {
		const { outputMarkValue, outputMarkMask } = lookup.stateOf(spi, family);
		marks.markValue = (outputMarkValue & outputMarkMask) | (marks.markValue & ~outputMarkMask);
		marks.markMask |= outputMarkMask;
	}
	const check = { ifId: ifId | 0, oif: lookup.checkDevice(family, direction), ...marks };
	if (direction === Direction.In) {
		return both({ direction, ...check });
	}
	return [
		...both({ direction, ...check }),
		// Beside a SUB policy MAIN is asked in direction IN (P-22).
		{ direction: Direction.In, type: PolicyType.Main, ...check },
		...both({ direction: Direction.Out, ...check, ifId: 0 }),
	];
}

function candidatesOf(world: World, tables: readonly Table[], family: number): Candidate[] {
	const candidates: Candidate[] = [];
	const policies = [...world.engine.policies()].filter((policy) => policy.socketId === 0);
	for (const [at, table] of tables.entries()) {
		for (const policy of policies) {
			const { direction, type, ifId } = policy;
			if (
				policy.family === family &&
				direction === table.direction &&
				type === table.type &&
				ifId === table.ifId
			) {
				const box = policyBox(policy, table);
				if (box !== undefined) {
					candidates.push({ policy, table: at, box });
				}
			}
		}
	}
	return candidates.sort(
		(a, b) =>
			a.table - b.table ||
			a.policy.priority - b.policy.priority ||
			a.policy.listOrder - b.policy.listOrder,
	);
}

/** The flows that a policy is for, their marks as they were before states changed them. */
function policyBox(policy: XfrmPolicy, table: Table): Box | undefined {
	const { markValue, markMask } = policy;
	if (((markValue ^ table.markValue) & markMask & table.markMask) !== 0) {
		return undefined;
	}
	const box = selectorBox(policy.selector, policy.family, table.oif);
	const open = markMask & ~table.markMask;
	return box !== undefined && narrow(box, Dimension.Mark, markValue & open, open) ? box : undefined;
}

/** Sets of flows between one world and nobody, or two worlds to be compared. */
export class FlowSets {
	readonly #sides: readonly Side[];
	readonly #protos: readonly ProtoClass[];
	readonly #diagram: Diagram<readonly Decision[]>;

	constructor(
		worlds: readonly {
			readonly world: World;
			readonly lookup: FlowLookup;
			/** In place of the context's. */
			readonly via?: readonly number[];
		}[],
		context: FlowContext,
	) {
		this.#sides = worlds.map(
			({ world, lookup, via }) =>
				new Side(world, lookup, via === undefined ? context : { ...context, via }),
		);
		const boxes = this.#sides.flatMap((side) => side.candidates.map(({ box }) => box));
		this.#protos = this.#protoClasses(context);
		this.#diagram = buildDiagram({
			boxes,
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
	 */
	*parts(
		region: Region,
		wanted: (treatments: readonly Treatment[]) => boolean = () => true,
	): Generator<Part> {
		// What a part of the diagram holds does not depend on the way to it, so once is enough.
		const known = new Map<Diagram<readonly Decision[]>, boolean>();
		const isWanted = (part: Diagram<readonly Decision[]>, within: Region): boolean => {
			let answer = known.get(part);
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
		for (const { region: within, leaf } of partsOf(this.#diagram, region, isWanted)) {
			yield* this.#split(leaf, 0, within, [], wanted);
		}
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
			treatments.push(side.treat(decision, parts.leaf, region));
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
			const treatment = side.treat(decision, part.leaf, part.region);
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
