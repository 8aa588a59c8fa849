/**
 * Drops by counter, policy, state and reason: what `xfrm top` and the metrics tell of. Filled in only when
 * a packet is dropped, and bounded: when there are too many different causes, further ones are told without
 * policy and state.
 */
import { type DropWatcher, Verdict, type XfrmPolicy, type XfrmState } from '@xfrm/engine';
import { Family, formatAddress } from '@xfrm/wire/xfrm';
import { DROP_CAUSES_MAX } from '../limits.ts';
import { dropName } from './own-drops.ts';

/** The policy that a drop is put down to. */
export interface PolicyCause {
	readonly index: number;
	readonly direction: number;
	readonly ptype: number;
	/** As `ip` prints it, 0x1/0xff; empty for none. */
	readonly mark: string;
}

/** The state that a drop is put down to. */
export interface StateCause {
	readonly proto: number;
	/** Host order, u32. */
	readonly spi: number;
	readonly src: string;
	readonly dst: string;
	readonly reqid: number;
	/** As `ip` prints it: states may differ in it alone. */
	readonly mark: string;
}

/** Packets that were dropped for one cause. */
export interface DropRow {
	/** As in /proc/net/xfrm_stat, or our own name of what Linux does not count. */
	readonly counter: string;
	/** One of docs/reasons.md. */
	readonly code: string;
	readonly policy: PolicyCause | null;
	readonly state: StateCause | null;
	packets: number;
}

export class DropTable implements DropWatcher {
	readonly #rows: Map<string, DropRow> = new Map();
	/** The state that was at its limit last, which goes on the spot. */
	expired: XfrmState | null = null;
	/** The cause before: floods have one. */
	#last: DropRow | undefined;
	#lastState: XfrmState | null = null;
	#lastPolicy: XfrmPolicy | null = null;

	dropped(verdict: number, state: XfrmState | null, policy: XfrmPolicy | null, code: string): void {
		const last = this.#last;
		if (last?.code === code && this.#lastState === state && this.#lastPolicy === policy) {
			last.packets++;
			return;
		}
		const row = this.#rowOf(verdict, state, policy, code);
		row.packets++;
		if (verdict === Verdict.OutStateExpired) {
			this.expired = state;
		}
		this.#last = row;
		this.#lastState = state;
		this.#lastPolicy = policy;
	}

	/** What somebody else counts, as a whole. */
	counted(verdict: number, code: string, packets: number): void {
		if (packets > 0) {
			this.#rowOf(verdict, null, null, code).packets = packets;
		}
	}

	/** Forgets what it has only for speed: objects that may be out of the tables. */
	letGo(): void {
		this.expired = null;
		this.#last = undefined;
		this.#lastState = null;
		this.#lastPolicy = null;
	}

	/** All causes, the most frequent first. */
	rows(): readonly DropRow[] {
		return [...this.#rows.values()].sort((a, b) => b.packets - a.packets);
	}

	#rowOf(
		verdict: number,
		state: XfrmState | null,
		policy: XfrmPolicy | null,
		code: string,
	): DropRow {
		const cause = state === null ? null : stateCause(state);
		const place = cause === null ? '' : stateName(cause);
		const key = `${verdict} ${code} ${policy?.index ?? ''} ${place}`;
		const known = this.#rows.get(key);
		if (known !== undefined) {
			return known;
		}
		if (this.#rows.size >= DROP_CAUSES_MAX && (state !== null || policy !== null)) {
			return this.#rowOf(verdict, null, null, code);
		}
		const row = {
			counter: dropName(verdict),
			code,
			policy: policy === null ? null : policyCause(policy),
			state: cause,
			packets: 0,
		};
		this.#rows.set(key, row);
		return row;
	}
}

function policyCause({ index, direction, type, markValue, markMask }: XfrmPolicy): PolicyCause {
	return { index, direction, ptype: type, mark: markName(markValue, markMask) };
}

/** A mark as `ip` prints it; empty for none. */
export function markName(value: number, mask: number): string {
	const hex = (number: number): string => `0x${(number >>> 0).toString(16)}`;
	return value === 0 && mask === 0 ? '' : `${hex(value)}/${hex(mask)}`;
}

/** What no two states have in common. */
export function stateName({ proto, spi, dst, mark }: Omit<StateCause, 'src' | 'reqid'>): string {
	return `${proto} ${spi} ${dst}${mark === '' ? '' : ` mark ${mark}`}`;
}

/** How a state is named where drops are told. */
export function stateCause({
	proto,
	spi,
	reqid,
	config,
	markValue,
	markMask,
}: XfrmState): StateCause {
	const family = config.family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
	return {
		proto,
		spi: spi >>> 0,
		src: formatAddress(config.saddr, family),
		dst: formatAddress(config.id.daddr, family),
		reqid: reqid >>> 0,
		mark: markName(markValue, markMask),
	};
}
