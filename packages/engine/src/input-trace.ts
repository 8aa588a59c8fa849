/**
 * What input tells a tracer: the words behind the stations of input.ts and address-input.ts. Only ever
 * called with a tracer attached or for a packet that is dropped, so nothing here is on the fast path and
 * everything may allocate.
 */
import type { PacketBuffer } from '@xfrm/wire';
import { formatAddress, IpProto } from '@xfrm/wire/xfrm';
import { loadSource, lookupProto } from './input-header.ts';
import type { InputPlan } from './input-plan.ts';
import type { Namespace } from './namespace.ts';
import { ReplayCounter } from './replay-window.ts';
import { wordsEqual } from './sad.ts';
import { wordsAddress } from './selector-match.ts';
import type { XfrmState } from './state.ts';
import type { Loser } from './trace.ts';
import type { Verdict } from './verdict.ts';

/** Losers named in a story: nobody reads more, and a table may have 100,000 states. */
const LOSERS_MAX = 16;

/** Notes a verdict with its stable reason code; called without a tracer too. */
export function traceVerdict(
	net: Namespace,
	verdict: Verdict,
	code: string,
	state: XfrmState | null,
): void {
	net.tellDrop(verdict, state, null, code);
	net.tracer?.note({
		kind: 'verdict',
		verdict,
		state: state ?? undefined,
		policy: undefined,
		code,
	});
}

/** Notes that a state did not fit the packet: what the packet wanted and what the state has. */
export function traceCheck(
	net: Namespace,
	state: XfrmState,
	field: string,
	want: string | number,
	have: string | number,
): void {
	net.tracer?.note({
		kind: 'state-check',
		state,
		field,
		passed: false,
		want: valueText(want),
		have: valueText(have),
	});
}

function valueText(value: string | number): string {
	return typeof value === 'number' ? String(value >>> 0) : value;
}

/**
 * Why a sequence number was refused: 0 is never sent, too old, or seen before.
 *
 * @param seq low half as on the wire
 */
export function replayCode(state: XfrmState, seq: number): string {
	if (seq === 0) {
		return 'in.replay.zero';
	}
	const behind = ((state.replay.counters[ReplayCounter.Seq] ?? 0) - seq) >>> 0;
	return behind >= state.replay.windowPackets ? 'in.replay.old' : 'in.replay.repeated';
}

/** Notes that a transform was taken off, its header still there; `before` is what the packet was. */
export function traceOpen(
	net: Namespace,
	plan: InputPlan,
	packet: PacketBuffer,
	state: XfrmState,
	seqHi: number,
	before: Uint8Array,
): void {
	plan.sealed = packet.copy();
	net.tracer?.note({
		kind: 'transform',
		operation: 'open',
		state,
		before,
		after: plan.sealed,
		details: {
			spi: spiText(plan.spi),
			seq: (seqHi >>> 0) * 0x1_0000_0000 + (plan.sequence >>> 0),
			icv: state.icvOctets,
			payload: packet.end - plan.opened.payloadAt,
			proto: plan.opened.nextHeader,
		},
	});
}

/** Notes that the mode's header was taken off. */
export function traceMode(
	net: Namespace,
	state: XfrmState,
	packet: PacketBuffer,
	before: Uint8Array,
): void {
	net.tracer?.note({
		kind: 'transform',
		operation: 'mode',
		state,
		before,
		after: packet.copy(),
		details: { mode: state.mode, proto: packet.proto },
	});
}

/** Notes the lookup by the header in the plan, and why the nearest others were not taken. */
export function traceLookup(
	net: Namespace,
	plan: InputPlan,
	packet: PacketBuffer,
	winner: XfrmState | null,
): void {
	traceStateLookup(
		net,
		{
			family: plan.family,
			daddr: plan.destination,
			saddr: loadSource(plan, packet),
			spi: plan.spi,
			proto: lookupProto(plan.family, packet.proto),
			mark: plan.mark,
		},
		winner,
	);
}

/** What a lookup was about; `spi` 0: by both addresses. */
export interface StateWanted {
	readonly family: number;
	readonly daddr: Int32Array;
	readonly saddr: Int32Array;
	readonly spi: number;
	readonly proto: number;
	readonly mark: number;
}

/** Notes a lookup and why the nearest others were not taken. */
export function traceStateLookup(
	net: Namespace,
	wanted: StateWanted,
	winner: XfrmState | null,
): void {
	net.tracer?.note({
		kind: 'state-lookup',
		proto: wanted.proto,
		spi: wanted.spi >>> 0,
		family: wanted.family,
		daddr: wordsAddress(wanted.daddr),
		saddr: wordsAddress(wanted.saddr),
		mark: wanted.mark >>> 0,
		winner: winner ?? undefined,
		losers: losersOf(net, wanted, winner),
	});
}

function wordsText(words: Int32Array, family: number): string {
	return formatAddress(wordsAddress(words), family);
}

/** An SPI as `ip xfrm` prints it. */
function spiText(spi: number): string {
	return `0x${(spi >>> 0).toString(16).padStart(8, '0')}`;
}

/** How near a loser was: what it shares with the packet; nearer ones are named first. */
interface RankedLoser extends Loser<XfrmState> {
	readonly shared: number;
}

function losersOf(
	net: Namespace,
	wanted: StateWanted,
	winner: XfrmState | null,
): readonly Loser<XfrmState>[] {
	const losers: RankedLoser[] = [];
	for (const state of net.sad.states()) {
		if (state !== winner) {
			losers.push(rank(wanted, state, winner));
		}
	}
	losers.sort((a, b) => b.shared - a.shared);
	return losers
		.slice(0, LOSERS_MAX)
		.map(({ object, field, want, have }) => ({ object, field, want, have }));
}

function rank(wanted: StateWanted, state: XfrmState, winner: XfrmState | null): RankedLoser {
	const bySpi = usesSpi(wanted.proto);
	const facts: readonly (readonly [string, boolean, string, string])[] = [
		['proto', state.proto === wanted.proto, String(wanted.proto), String(state.proto)],
		['family', state.family === wanted.family, String(wanted.family), String(state.family)],
		['spi', !bySpi || state.spi === wanted.spi, spiText(wanted.spi), spiText(state.spi)],
		[
			'dst',
			wordsEqual(state.daddr, wanted.daddr, wanted.family),
			wordsText(wanted.daddr, wanted.family),
			wordsText(state.daddr, state.family),
		],
		[
			'src',
			bySpi || wordsEqual(state.saddr, wanted.saddr, wanted.family),
			wordsText(wanted.saddr, wanted.family),
			wordsText(state.saddr, state.family),
		],
		[
			'mark',
			state.markFits(wanted.mark),
			`0x${(wanted.mark >>> 0).toString(16)}`,
			`0x${(state.markValue >>> 0).toString(16)}/0x${(state.markMask >>> 0).toString(16)}`,
		],
	];
	const shared = facts.filter(([, equal]) => equal).length;
	const lost = facts.find(([, equal]) => !equal);
	if (lost === undefined) {
		// Everything fits: the newer one of the same bucket was met first.
		return {
			object: state,
			field: 'order',
			want: `the newest, ${winner?.order ?? 0}`,
			have: String(state.order),
			shared,
		};
	}
	return { object: state, field: lost[0], want: lost[2], have: lost[3], shared };
}

function usesSpi(proto: number): boolean {
	return proto !== IpProto.DestinationOptions && proto !== IpProto.Routing;
}
