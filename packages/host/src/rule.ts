/**
 * Policy routing: the ordered list of rules that says which table answers a route lookup (`ip rule`,
 * net/core/fib_rules.c). Lowest priority first; among equals the one added first.
 */
import { type Address, anyAddress, Errno, prefixMatches, type Refusal } from '@xfrm/wire/xfrm';
import { RULES_MAX } from './limits.ts';

/** Numbers of the tables every host has. */
export const RouteTable = { Default: 253, Main: 254, Local: 255 } as const;

/** A rule as `ip rule add` says it; absent parts match everything. */
export interface RuleConfig {
	/** 2 or 10. */
	readonly family: number;
	/** Absent: one below the lowest priority but 0. */
	readonly priority?: number;
	readonly from?: { readonly address: Address; readonly prefixLength: number };
	readonly to?: { readonly address: Address; readonly prefixLength: number };
	readonly fwmark?: number;
	/** Absent: 0xffffffff when `fwmark` is there. */
	readonly fwmask?: number;
	/** Names of devices; `lo` as `iif` means packets made here. */
	readonly iif?: string;
	readonly oif?: string;
	readonly tos?: number;
	/** Look up this table, or answer at once. */
	readonly action: { readonly table: number } | 'unreachable' | 'blackhole' | 'prohibit';
}

/** A rule in its place. */
export interface Rule extends RuleConfig {
	readonly priority: number;
}

/** What rules are matched against. Interface names are undefined when there is none. */
interface RuleKey {
	readonly daddr: Address;
	readonly saddr: Address;
	readonly mark: number;
	readonly iif: string;
	readonly oif: string | undefined;
	readonly tos: number;
}

/** Does the rule apply to this lookup? */
export function ruleMatches(rule: Rule, key: RuleKey): boolean {
	const { family, from, to, fwmark, fwmask, iif, oif, tos } = rule;
	if (iif !== undefined && iif !== key.iif) {
		return false;
	}
	if (oif !== undefined && oif !== key.oif) {
		return false;
	}
	if (fwmark !== undefined && ((fwmark ^ key.mark) & (fwmask ?? -1)) !== 0) {
		return false;
	}
	if (from !== undefined && !prefixMatches(key.saddr, from.address, from.prefixLength, family)) {
		return false;
	}
	if (to !== undefined && !prefixMatches(key.daddr, to.address, to.prefixLength, family)) {
		return false;
	}
	return tos === undefined || tos === 0 || tos === key.tos;
}

/** The rules of one family. */
export class RuleList {
	readonly family: number;
	private readonly list: Rule[] = [];

	/** The rules that a new namespace has. */
	constructor(family: number) {
		this.family = family;
		this.list.push(
			{ family, priority: 0, action: { table: RouteTable.Local } },
			{ family, priority: 32766, action: { table: RouteTable.Main } },
		);
		if (family === 2) {
			this.list.push({ family, priority: 32767, action: { table: RouteTable.Default } });
		}
	}

	/** In the order in which they are asked. */
	[Symbol.iterator](): IterableIterator<Rule> {
		return this.list.values();
	}

	/** Adds a rule behind those of the same priority. EEXIST when there is the same one. */
	add(config: RuleConfig): Refusal | undefined {
		if (this.list.length >= RULES_MAX) {
			return { errno: Errno.ENOMEM, message: `At most ${RULES_MAX} rules` };
		}
		const rule: Rule = { ...config, priority: config.priority ?? this.freePriority() };
		if (this.list.some((other) => ruleEquals(other, rule) && other.priority === rule.priority)) {
			return { errno: Errno.EEXIST };
		}
		const at = this.list.findIndex((other) => other.priority > rule.priority);
		this.list.splice(at < 0 ? this.list.length : at, 0, rule);
		return undefined;
	}

	/** Deletes the first rule that says the same (any priority when none is given). ENOENT without one. */
	remove(config: RuleConfig): Refusal | undefined {
		const at = this.list.findIndex(
			(rule) =>
				ruleEquals(rule, config) &&
				(config.priority === undefined || config.priority === rule.priority),
		);
		if (at < 0) {
			return { errno: Errno.ENOENT };
		}
		this.list.splice(at, 1);
		return undefined;
	}

	private freePriority(): number {
		const second = this.list.find((rule) => rule.priority > 0);
		return second === undefined ? 0 : Math.max(0, second.priority - 1);
	}
}

function prefixEquals(a: RuleConfig['from'], b: RuleConfig['from'], family: number): boolean {
	const [x, y] = [
		a ?? { address: anyAddress(), prefixLength: 0 },
		b ?? { address: anyAddress(), prefixLength: 0 },
	];
	return (
		x.prefixLength === y.prefixLength && prefixMatches(x.address, y.address, x.prefixLength, family)
	);
}

function ruleEquals(a: RuleConfig, b: RuleConfig): boolean {
	const sameAction =
		typeof a.action === 'object' && typeof b.action === 'object'
			? a.action.table === b.action.table
			: a.action === b.action;
	return (
		sameAction &&
		prefixEquals(a.from, b.from, a.family) &&
		prefixEquals(a.to, b.to, a.family) &&
		((a.fwmark ?? 0) | 0) === ((b.fwmark ?? 0) | 0) &&
		(a.fwmask ?? (a.fwmark === undefined ? 0 : -1)) ===
			(b.fwmask ?? (b.fwmark === undefined ? 0 : -1)) &&
		a.iif === b.iif &&
		a.oif === b.oif &&
		(a.tos ?? 0) === (b.tos ?? 0)
	);
}
