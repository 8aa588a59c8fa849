/** The tables of policies that a lookup asks, and the flows that each policy in them is for. */
import type { XfrmPolicy } from '@xfrm/engine';
import { Direction, PolicyType } from '@xfrm/wire/xfrm';
import { type Box, Dimension, narrow, selectorBox } from './box.ts';
import type { FlowContext } from './flow-sample.ts';
import type { FlowLookup } from './lookup.ts';
import type { World } from './world.ts';

/** A table of policies that a lookup asks: SUB before MAIN, and its direction. */
export interface Table {
	readonly direction: number;
	readonly type: number;
	readonly ifId: number;
	readonly oif: number;
	/** The mark that it sees, of a flow's: states on the way in may have changed it. */
	readonly markValue: number;
	readonly markMask: number;
}

/** A policy in a table's kernel list, in the order that the lists are in. */
export interface Candidate {
	readonly policy: XfrmPolicy;
	readonly table: number;
	readonly box: Box;
}

/** The tables that a lookup asks, as lookup.ts does. */
export function tablesOf(lookup: FlowLookup, context: FlowContext): readonly Table[] {
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

/** The policies of these tables, in the order in which each table's lists are in. */
export function candidatesOf(world: World, tables: readonly Table[], family: number): Candidate[] {
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
