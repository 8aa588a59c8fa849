/**
 * A policy (SP): selector, direction, action and up to six templates (struct xfrm_policy). The object
 * only; the table is spd.ts, what can be done with it policy-commands.ts.
 */
import { Family, type PolicyConfig, type Template } from '@xfrm/wire/xfrm';
import { SelectorMatcher } from './selector-match.ts';
import { Timer, TimerKind } from './timer-table.ts';

/** The kernel's list that a policy is in; it decides ties of priority (P-4b, P-11). */
export const PolicyList = { Exact: 0, Both: 1, Source: 2, Destination: 3, Any: 4 } as const;
export type PolicyList = (typeof PolicyList)[keyof typeof PolicyList];

export class XfrmPolicy {
	/** What it was made of, with index and family filled in. */
	config: PolicyConfig;
	readonly selector: SelectorMatcher;
	readonly family: number;
	/** 0 in, 1 out, 2 fwd; a socket's policy has 0 or 1 too, and `socketId`. */
	readonly direction: number;
	readonly type: number;
	readonly action: number;
	readonly priority: number;
	readonly flags: number;
	readonly index: number;
	/** Masked at insertion (P-9). */
	readonly markValue: number;
	readonly markMask: number;
	readonly ifId: number;
	/** MIGRATE changes their endpoints. */
	templates: readonly Template[];
	/** Socket it belongs to, 0 for the SPD. */
	socketId: number = 0;
	/** Age for ties: grows with every insertion and replacement (P-4b). */
	age: number = 0;
	/** Order in its list: like age, but a replacement of unchanged priority keeps it (P-7). */
	listOrder: number = 0;
	/** Kept by spd.ts. */
	list: PolicyList = PolicyList.Any;
	dead: boolean = false;
	/** Unix seconds of adding and last use. */
	readonly lifetime: Float64Array = new Float64Array(2);
	/** Next look at its time limits; kept by lifetime.ts. */
	readonly lifetimeTimer: Timer = new Timer(TimerKind.PolicyLifetime, this);
	/** Bundles and held packets that belong to it: objects of bundle.ts and hold-queue.ts. */
	bundle: object | null = null;
	holdQueue: object | null = null;

	newer: XfrmPolicy | null = null;
	older: XfrmPolicy | null = null;

	constructor(config: PolicyConfig, index: number) {
		this.config = storedConfig(config, index);
		this.selector = new SelectorMatcher(config.selector);
		this.family = config.selector.family;
		this.direction = config.direction;
		this.type = config.type;
		this.action = config.action;
		this.priority = config.priority;
		this.flags = config.flags;
		this.index = index;
		this.markMask = (config.mark?.m ?? 0) | 0;
		this.markValue = ((config.mark?.v ?? 0) & this.markMask) | 0;
		this.ifId = (config.ifId ?? 0) | 0;
		this.templates = this.config.templates;
	}

	markFits(mark: number): boolean {
		return ((mark & this.markMask) | 0) === this.markValue;
	}
}

/** What the kernel keeps of a request: marks masked (P-9), no share, templates of family 0 in the policy's. */
function storedConfig(config: PolicyConfig, index: number): PolicyConfig {
	const { mark } = config;
	const { family } = config.selector;
	return {
		...config,
		index,
		share: 0,
		templates: config.templates.map((template) =>
			template.family === Family.Unspec ? { ...template, family } : template,
		),
		...(mark === undefined ? {} : { mark: { v: (mark.v & mark.m) >>> 0, m: mark.m } }),
	};
}
