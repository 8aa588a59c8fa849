/**
 * What traffic the daemon has to see, and what plaintext must not come in, as a pure function from policies
 * to an ordered list. The kernel's packet filter is given the list (nft-text.ts): the first entry that
 * matches decides, as with policies.
 *
 * OUT: a policy with templates, or one that blocks, captures; a bypass lets go. IN and FWD: a policy with
 * a template that is not optional, or one that blocks, forbids plaintext; any other lets it in. What no
 * policy matches is the default policy's.
 *
 * Policies of an if_id are met in their device only, those of type SUB add to MAIN's and are no exceptions
 * of their own: neither is here.
 */
import type { PolicySnapshot, Selector } from '@xfrm/wire/xfrm';
import { DefaultAction, Direction, PolicyAction, PolicyType } from '@xfrm/wire/xfrm';

export interface CaptureEntry {
	/** undefined: everything (a default policy that blocks). */
	readonly selector: Selector | undefined;
	/** Packet marks that it is for: (mark AND m) == v; m 0 for all. */
	readonly mark: { readonly v: number; readonly m: number };
	/** OUT: captured by this lane; IN, FWD: plaintext is forbidden. false: it goes on as it is. */
	readonly protects: boolean;
	/** Place of the entry's mark among the plan's lanes. */
	readonly lane: number;
}

export interface CapturePlan {
	/** Marks that packets of each lane had: the daemon gives it back to what it reads from the lane's device. */
	readonly lanes: readonly number[];
	readonly out: readonly CaptureEntry[];
	readonly in: readonly CaptureEntry[];
	readonly forward: readonly CaptureEntry[];
}

const NO_MARK = { v: 0, m: 0 };

function protects(policy: PolicySnapshot): boolean {
	if (policy.action !== PolicyAction.Allow) {
		return true;
	}
	return policy.direction === Direction.Out
		? policy.templates.length > 0
		: policy.templates.some((template) => template.optional === 0);
}

/** Trailing entries that let go change nothing when the default does too. */
function trimmed(entries: readonly CaptureEntry[]): readonly CaptureEntry[] {
	let { length } = entries;
	while (length > 0 && entries[length - 1]?.protects === false) {
		length--;
	}
	return entries.slice(0, length);
}

/**
 * @param policies in the order in which they are met: by priority, then the older first
 * @param defaults default actions by direction
 * @param known marks of the lanes that there are already: they keep their places
 */
export function capturePlan(
	policies: readonly PolicySnapshot[],
	defaults: readonly [number, number, number],
	known: readonly number[] = [0],
): CapturePlan {
	const lanes: number[] = [...known];
	const laneOf = (mark: number): number => {
		const found = lanes.indexOf(mark);
		return found >= 0 ? found : lanes.push(mark) - 1;
	};
	const list = (direction: Direction): readonly CaptureEntry[] => {
		const entries: CaptureEntry[] = [];
		for (const policy of policies) {
			const mine = policy.direction === direction && policy.type === PolicyType.Main;
			if (!mine || (policy.ifId ?? 0) !== 0) {
				continue;
			}
			const mark = policy.mark ?? NO_MARK;
			const guarded = protects(policy);
			const lane = direction === Direction.Out && guarded ? laneOf((mark.v & mark.m) >>> 0) : 0;
			entries.push({ selector: policy.selector, mark, protects: guarded, lane });
		}
		if (defaults[direction] === DefaultAction.Block) {
			entries.push({ selector: undefined, mark: NO_MARK, protects: true, lane: 0 });
		}
		return trimmed(entries);
	};
	const out = list(Direction.Out);
	return { lanes, out, in: list(Direction.In), forward: list(Direction.Fwd) };
}

/** Does anything of the plan demand protection? Without, no guard is needed. */
export function demandsProtection(plan: CapturePlan): boolean {
	return [plan.out, plan.in, plan.forward].some((entries) => entries.length > 0);
}
