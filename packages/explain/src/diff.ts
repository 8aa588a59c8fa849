/**
 * What changes from one set of rules to another: the flows whose treatment is another one, as boxes with an
 * example each. Policies and states may be renumbered, rekeyed or reordered as they like; what counts is
 * whether a flow is protected, in the same way, dropped or let through. New SPIs of the same association
 * are told apart from that.
 */
import type { XfrmPolicy, XfrmState } from '@xfrm/engine';
import { formatHex32 } from '@xfrm/wire';
import { Direction, Family, Mode, SaDirection } from '@xfrm/wire/xfrm';
import { anyRegion } from './box.ts';
import { mergeParts } from './box-merge.ts';
import { hostAddresses, includes } from './direction.ts';
import type { FlowContext } from './flow-sample.ts';
import { FlowSets, KnownSets, type Part, type Treatment } from './flow-set.ts';
import { FlowLookup } from './lookup.ts';
import {
	algorithmText,
	directionName,
	endpoints,
	hexNumber,
	modeName,
	stateProtoName,
} from './names.ts';
import { type FlowBox, flowBox, treatmentsKey } from './prove.ts';
import { COLUMNS_DEFAULT, hanging } from './text.ts';
import type { World } from './world.ts';

/** Flows that are treated in another way. */
export interface FlowChange {
	readonly flows: string;
	readonly dir: 'in' | 'out' | 'fwd';
	/** Through which association they came; absent: unprotected, or sent from here. */
	readonly via?: string;
	/** One of the flows, as `xfrm lookup` takes it. */
	readonly witness: string;
	readonly before: Omit<FlowBox, 'flows' | 'witness'>;
	readonly after: Omit<FlowBox, 'flows' | 'witness'>;
}

/** An association whose states are others: rekeyed, or set up anew. */
export interface Rekeyed {
	readonly association: string;
	readonly before: readonly string[];
	readonly after: readonly string[];
}

/** The contract of `xfrm diff --json` (schema 1). */
export interface RulesDiff {
	readonly schema: 1;
	/** Is every flow treated as before? */
	readonly same: boolean;
	readonly changes: readonly FlowChange[];
	/** Changes that were left out, at least. */
	readonly left_out: number;
	readonly rekeyed: readonly Rekeyed[];
}

const CHANGES_MAX = 40;
const COUNTED_MAX = 2000;
/** Associations through which protected flows are followed. */
const ASSOCIATIONS_MAX = 256;

/** Compares two worlds with their rules loaded, and prepared. */
export function diffRules(before: World, after: World): RulesDiff {
	const changes: FlowChange[] = [];
	let leftOut = 0;
	for (const { parts, ...compared } of cutChanges(before, after, COUNTED_MAX)) {
		for (const part of parts) {
			if (changes.length < CHANGES_MAX) {
				changes.push(changeOf(compared, part));
			} else {
				leftOut++;
			}
		}
	}
	return {
		schema: 1,
		same: changes.length === 0,
		changes,
		left_out: leftOut,
		rekeyed: rekeyedOf(before, after),
	};
}

/** The flows with a context in common that are treated in another way. */
export interface ChangedSet extends Compared {
	readonly worlds: readonly {
		readonly world: World;
		readonly lookup: FlowLookup;
		readonly via: readonly number[];
	}[];
	readonly parts: readonly Part[];
}

/** Cuts up all that is compared; `partsMax` changes of each context at most. */
export function* cutChanges(before: World, after: World, partsMax: number): Generator<ChangedSet> {
	const other = otherDevice(before, after);
	nameDevices(other, before, after);
	const sides = [before, after].map((world) => ({ world, lookup: new FlowLookup(world, other) }));
	const known = new KnownSets();
	for (const compared of contextsOf(before, after, other)) {
		const { context, via } = compared;
		const worlds = sides.map((side, i) => ({
			...side,
			via: via === undefined ? [] : [via.spis[i] ?? 0],
		}));
		const sets = new FlowSets(worlds, context, known);
		yield { ...compared, worlds, parts: changedParts(sets, partsMax) };
	}
}

function changedParts(sets: FlowSets, partsMax: number): readonly Part[] {
	const parts: Part[] = [];
	for (const part of sets.parts(anyRegion(), differs, true)) {
		if (parts.push(part) >= partsMax) {
			break;
		}
	}
	return mergeParts(parts, sets.protos, treatmentsKey);
}

/** Are the two treatments different to those who send and receive? */
export function differs([before, after]: readonly Treatment[]): boolean {
	return before !== undefined && after !== undefined && protection(before) !== protection(after);
}

/** The treatment without what a rekey changes. What is dropped is dropped, whatever came before. */
function protection({ outcome, states }: Treatment): string {
	return `${outcome} ${outcome === 'transform' ? states.map(howText).join() : ''}`;
}

function changeOf(compared: Omit<ChangedSet, 'parts'>, part: Part): FlowChange {
	const { worlds, context, words, via } = compared;
	// Where both sides protect, the difference is how.
	const tellsHow = part.treatments.every(({ outcome }) => outcome === 'transform');
	const [before, after] = worlds.map(({ world, via: own }, i) => {
		const treatment = part.treatments[i];
		const box = flowBox(world, { ...context, via: own }, part, treatment);
		const how = tellsHow ? (treatment?.states ?? []).map(howText) : [];
		return how.length === 0 ? box : { ...box, because: `${box.because}: ${how.join(', ')}` };
	});
	if (before === undefined || after === undefined) {
		throw new RangeError('a change has two sides');
	}
	const { flows, witness, ...was } = before;
	const { flows: _, witness: __, ...is } = after;
	return {
		flows: [flows, ...words].join(' '),
		dir: directionName(context.direction),
		...(via === undefined ? {} : { via: via.association }),
		witness,
		before: was,
		after: is,
	};
}

/** A device that no policy names: it stands for all that are like it. */
function otherDevice(before: World, after: World): string {
	const worlds = [before, after];
	const named = new Set(worlds.flatMap((world) => devicesOf([...world.engine.policies()], world)));
	const own = [...before.host.devices()].find(
		({ name, loopback }) => !loopback && !named.has(name),
	);
	for (let i = 0; ; i++) {
		const name = own?.name ?? `eth${i}`;
		if (!named.has(name)) {
			return name;
		}
	}
}

/** What a state is for and how it protects: by which algorithms, keys and ICVs of which size. */
function howText(state: XfrmState): string {
	const { aead, crypt, auth } = state.config;
	const keyBits = (aead ?? crypt)?.keyBits ?? 0;
	return [
		associationText(state),
		algorithmText(state),
		...(auth === undefined || auth.truncBits === 0 ? [] : [`icv ${auth.truncBits / 8}`]),
		...(keyBits === 0 ? [] : [`key ${keyBits}`]),
	].join(' ');
}

/** Both worlds know the devices of both: a name stands for the same device. */
function nameDevices(other: string, ...worlds: readonly World[]): void {
	const own = worlds.flatMap(({ host }) => [...host.devices()].map(({ name }) => name));
	const names = new Set([...own, other]);
	for (const world of worlds) {
		for (const name of names) {
			if (world.host.device(name) === undefined) {
				world.run(`link set ${name} up`);
			}
		}
	}
}

/** Flows that are compared, and through which association they came. */
export interface Compared {
	/** What they have in common, in words: of if_id and device. */
	readonly words: readonly string[];
	readonly context: FlowContext;
	readonly via?: { readonly association: string; readonly spis: readonly number[] };
}

/** Every family, direction, if_id and device that a policy of either world tells apart. */
function* contextsOf(before: World, after: World, other: string): Generator<Compared> {
	const policies = [...before.engine.policies(), ...after.engine.policies()];
	for (const family of [Family.Ipv4, Family.Ipv6]) {
		for (const direction of [Direction.Out, Direction.In, Direction.Fwd]) {
			const met = policies.filter((one) => isMet(one, family, direction));
			const named = new Set([...devicesOf(met, before), ...devicesOf(met, after)]);
			const devices =
				direction === Direction.Out && named.size > 0
					? [[other, `dev any but ${[...named].join(', ')}`], ...[...named].map(deviceWords)]
					: [['', '']];
			for (const [ifId, ifIdWords] of ifIdsOf(met, sameDefaults(before, after))) {
				for (const [device = '', words = ''] of devices) {
					const context = { family, direction, ifId, device, via: [] };
					const told = [ifIdWords, words].filter((one) => one !== '');
					yield { context, words: told };
					if (direction !== Direction.Out) {
						yield* arrivals(before, after, { context, words: told });
					}
				}
			}
		}
	}
}

function deviceWords(name: string): readonly [string, string] {
	return [name, `dev ${name}`];
}

/** if_ids that policies have, 0, and where it may matter one that stands for all others. */
function ifIdsOf(policies: readonly XfrmPolicy[], same: boolean): (readonly [number, string])[] {
	const ids = new Set(policies.map(({ ifId }) => ifId >>> 0).filter((ifId) => ifId !== 0));
	const named = [...ids].map((ifId) => [ifId, `if_id ${hexNumber(ifId)}`] as const);
	let other = 1;
	while (ids.has(other)) {
		other++;
	}
	return [[0, ''], ...named, ...(same ? [] : [[other, 'if_id any other'] as const])];
}

function sameDefaults(before: World, after: World): boolean {
	const { defaults } = after.engine.net;
	return before.engine.net.defaults.every((action, direction) => action === defaults[direction]);
}

function isMet(policy: XfrmPolicy, family: number, direction: number): boolean {
	const also = direction === Direction.Fwd && policy.direction !== direction;
	return policy.family === family && (policy.direction === direction || also);
}

function devicesOf(policies: readonly XfrmPolicy[], world: World): string[] {
	const found = new Set(policies.map(({ selector }) => world.deviceName(selector.ifindex)));
	return [...found].filter((name) => name !== undefined);
}

/** Flows that came through an association that both worlds have. */
function* arrivals(before: World, after: World, compared: Compared): Generator<Compared> {
	const { context } = compared;
	const old = inwardStates(before, context);
	const now = inwardStates(after, context);
	let count = 0;
	for (const [association, state] of old) {
		const other = now.get(association);
		if (other !== undefined && count++ < ASSOCIATIONS_MAX) {
			yield { ...compared, via: { association, spis: [state.spi >>> 0, other.spi >>> 0] } };
		}
	}
}

/** The newest state of each association that ends here and may carry flows of this family. */
function inwardStates(world: World, context: FlowContext): Map<string, XfrmState> {
	const local = hostAddresses(world.host);
	const found = new Map<string, XfrmState>();
	for (const state of world.engine.states()) {
		const ends = includes(local, state.family, state.config.id.daddr);
		const carries =
			state.selector.family === 0 ||
			state.selector.family === context.family ||
			state.mode === Mode.Tunnel;
		const hasSpi = state.spi !== 0 && state.direction !== SaDirection.Out;
		if (ends && carries && hasSpi && !found.has(associationText(state))) {
			found.set(associationText(state), state);
		}
	}
	return found;
}

/** What a state is for, whatever its SPI and keys. */
function associationText(state: XfrmState): string {
	const ifId = state.ifId === 0 ? '' : ` if_id ${state.ifId >>> 0}`;
	return `${stateProtoName(state.proto)} ${modeName(state.mode)} ${endpoints(state)} reqid ${state.reqid >>> 0}${ifId}`;
}

function rekeyedOf(before: World, after: World): readonly Rekeyed[] {
	const spisOf = (world: World): Map<string, string[]> => {
		const spis = new Map<string, string[]>();
		for (const state of world.engine.states()) {
			const key = associationText(state);
			spis.set(key, [...(spis.get(key) ?? []), formatHex32(state.spi)]);
		}
		return spis;
	};
	const old = spisOf(before);
	const now = spisOf(after);
	return [...old].flatMap(([association, spis]) => {
		const others = now.get(association) ?? [];
		const isSame = [...spis].sort().join() === [...others].sort().join();
		return isSame || others.length === 0 ? [] : [{ association, before: spis, after: others }];
	});
}

/**
 * As people read it; lines without newlines.
 *
 * @param columns width; a witness is never broken, it is to be pasted
 */
export function diffText(diff: RulesDiff, columns: number = COLUMNS_DEFAULT): readonly string[] {
	const lines: string[] = [];
	for (const { flows, dir, via, witness, before, after } of diff.changes) {
		const came = via === undefined ? '' : `, come by ${via}`;
		lines.push(
			...hanging(`${dir}  `, `${flows}${came}`, 6, columns),
			...hanging(`  - ${before.outcome}  `, before.because, 6, columns),
			...hanging(`  + ${after.outcome}  `, after.because, 6, columns),
			`    for example ${witness}`,
		);
	}
	if (diff.left_out > 0) {
		lines.push(`and ${diff.left_out} more boxes of flows.`);
	}
	for (const { association, before, after } of diff.rekeyed) {
		const spis = `${before.join(', ')} → ${after.join(', ')}`;
		lines.push(...hanging('rekeyed  ', `${association}: ${spis}`, 9, columns));
	}
	if (diff.same) {
		lines.push('Every flow is treated as before.');
	}
	return lines;
}
