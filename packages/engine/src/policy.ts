/**
 * A policy (SP): selector, direction, action and up to six templates (struct xfrm_policy). The object
 * only; the table is spd.ts, what can be done with it policy-commands.ts.
 */
import {
	Family,
	hasTimeLimits,
	isUnlimited,
	type LifetimeConfig,
	type PolicyConfig,
	type Template,
	UNLIMITED,
} from '@xfrm/wire/xfrm';
import { familyOf, packPolicy, unpackSelector, unpackTemplates } from './policy-words.ts';
import { SelectorMatcher } from './selector-match.ts';
import { Timer, TimerKind } from './timer-table.ts';

/** The kernel's list that a policy is in; it decides ties of priority (P-4b, P-11). */
export const PolicyList = { Exact: 0, Both: 1, Source: 2, Destination: 3, Any: 4 } as const;
export type PolicyList = (typeof PolicyList)[keyof typeof PolicyList];

/** What few policies have; those of most stay undefined together. */
type Extras = Pick<PolicyConfig, 'mark' | 'ifId' | 'securityContext' | 'offload'>;

/** As `PolicyConfig`, with selector and templates in words already (policy-words.ts), for who reads them from bytes. */
export interface PackedPolicy extends Omit<PolicyConfig, 'selector' | 'templates'> {
	readonly words: readonly number[];
}

export class XfrmPolicy {
	/** Selector and templates as they were given (policy-words.ts). */
	words: readonly number[];
	readonly family: number;
	/** 0 in, 1 out, 2 fwd; a socket's policy has 0 or 1 too, and `socketId`. */
	readonly direction: number;
	readonly type: number;
	readonly action: number;
	readonly priority: number;
	readonly flags: number;
	/** Given by spd.ts when there is a place for the policy. */
	index: number;
	/** Masked at insertion (P-9). */
	readonly markValue: number;
	readonly markMask: number;
	readonly ifId: number;
	/** Socket it belongs to, 0 for the SPD. */
	socketId: number = 0;
	/** Age for ties: grows with every insertion and replacement (P-4b). */
	age: number = 0;
	/** Order in its list: like age, but a replacement of unchanged priority keeps it (P-7). */
	listOrder: number = 0;
	/** Kept by spd.ts. */
	list: PolicyList = PolicyList.Any;
	dead: boolean = false;
	readonly limits: LifetimeConfig;
	/** Unix seconds of adding, and of the last use: 0 before the first. */
	addTime: number = 0;
	useTime: number = 0;
	/** Bundles and held packets that belong to it: objects of bundle.ts and hold-queue.ts. */
	bundle: object | null = null;
	holdQueue: object | null = null;

	newer: XfrmPolicy | null = null;
	older: XfrmPolicy | null = null;

	readonly extras: Extras | null;
	// Made when they are first asked for: most policies of a large table never are.
	private matcher: SelectorMatcher | null = null;
	private templatesMade: readonly Template[] | null = null;
	private timer: Timer | null = null;

	constructor(config: PolicyConfig | PackedPolicy, index: number) {
		const { mark } = config;
		this.words = 'words' in config ? config.words : packConfig(config);
		this.family = familyOf(this.words);
		this.direction = config.direction;
		this.type = config.type;
		this.action = config.action;
		this.priority = config.priority;
		this.flags = config.flags;
		this.index = index;
		this.markMask = (mark?.m ?? 0) | 0;
		this.markValue = ((mark?.v ?? 0) & this.markMask) | 0;
		this.ifId = (config.ifId ?? 0) | 0;
		this.limits = isUnlimited(config.lifetime) ? UNLIMITED : config.lifetime;
		this.extras = extrasOf(config);
	}

	/** What it was made of, with index and family filled in; made anew each time. */
	get config(): PolicyConfig {
		return {
			selector: unpackSelector(this.words),
			lifetime: this.limits,
			priority: this.priority,
			index: this.index,
			direction: this.direction,
			action: this.action,
			flags: this.flags,
			// The kernel keeps none.
			share: 0,
			type: this.type,
			templates: this.templatesMade ?? unpackTemplates(this.words),
			...this.extras,
		};
	}

	get selector(): SelectorMatcher {
		this.matcher ??= new SelectorMatcher(unpackSelector(this.words));
		return this.matcher;
	}

	get templates(): readonly Template[] {
		this.templatesMade ??= unpackTemplates(this.words);
		return this.templatesMade;
	}

	/** MIGRATE changes endpoints. */
	set templates(templates: readonly Template[]) {
		this.words = packPolicy(unpackSelector(this.words), templates);
		this.templatesMade = templates;
	}

	/** Next look at its time limits; kept by lifetime.ts. Only policies with limits need one. */
	get lifetimeTimer(): Timer {
		this.timer ??= new Timer(TimerKind.PolicyLifetime, this);
		return this.timer;
	}

	get hasTimeLimits(): boolean {
		return hasTimeLimits(this.limits);
	}

	markFits(mark: number): boolean {
		return ((mark & this.markMask) | 0) === this.markValue;
	}
}

function packConfig({ selector, templates }: PolicyConfig): readonly number[] {
	return packPolicy(selector, inFamily(templates, selector.family));
}

/** Templates of family 0 are of the policy's. */
function inFamily(templates: readonly Template[], family: number): readonly Template[] {
	return templates.some((template) => template.family === Family.Unspec)
		? templates.map((template) =>
				template.family === Family.Unspec ? { ...template, family } : template,
			)
		: templates;
}

/** The mark is kept masked (P-9). */
function extrasOf({ mark, ifId, securityContext, offload }: Extras): Extras | null {
	if (mark === undefined && ifId === undefined && securityContext === undefined && !offload) {
		return null;
	}
	return {
		...(mark === undefined ? {} : { mark: { v: (mark.v & mark.m) >>> 0, m: mark.m } }),
		...(ifId === undefined ? {} : { ifId }),
		...(securityContext === undefined ? {} : { securityContext }),
		...(offload === undefined ? {} : { offload }),
	};
}
