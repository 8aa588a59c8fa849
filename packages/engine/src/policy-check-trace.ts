/** What the policy check tells a tracer, and a watcher of drops. Without them, nothing here does anything. */
import { Flow, type PacketBuffer } from '@xfrm/wire';
import { formatAddress, PolicyType, type Template } from '@xfrm/wire/xfrm';
import type { Namespace } from './namespace.ts';
import type { XfrmPolicy } from './policy.ts';
import { wordsAddress } from './selector-match.ts';
import { scanPolicies, selectorMismatch } from './spd-scan.ts';
import type { XfrmState } from './state.ts';
import { algorithmFits, sourceFits } from './template-check.ts';
import type { Loser } from './trace.ts';
import type { Verdict } from './verdict.ts';

/** Notes a verdict with its stable reason code. */
export function traceCheckVerdict(
	net: Namespace,
	verdict: Verdict,
	code: string,
	policy: XfrmPolicy | null,
	state: XfrmState | null,
): void {
	net.tellDrop(verdict, state, policy, code);
	net.tracer?.note({
		kind: 'verdict',
		verdict,
		state: state ?? undefined,
		policy: policy ?? undefined,
		code,
	});
}

/** Notes that no policy was found and what the default says. */
export function traceDefault(net: Namespace, direction: number, accepted: boolean): void {
	net.tracer?.note({ kind: 'default-policy', direction, accepted });
}

/** Notes the field by which the inner flow missed a state's selector. */
export function traceSelector(net: Namespace, state: XfrmState, flow: Flow): void {
	if (net.tracer === null) {
		return;
	}
	const mismatch = selectorMismatch(state.selector, flow);
	net.tracer.note({
		kind: 'state-check',
		state,
		field: 'sel',
		passed: false,
		want: `${mismatch?.field ?? 'family'} ${mismatch?.want ?? ''}`,
		have: mismatch?.have ?? '',
	});
}

/** Notes a lookup among a socket's own policies. */
export function traceSocketLookup(
	net: Namespace,
	flow: Flow,
	direction: number,
	ifId: number,
	winner: XfrmPolicy | null,
): void {
	net.tracer?.note({
		kind: 'policy',
		table: 'socket',
		direction,
		flow: copyOf(flow),
		ifId,
		winner: winner ?? undefined,
		losers: [],
		embedded: false,
	});
}

/** Notes a lookup in a table with everything that lost. The scan is its plain twin, so both must agree. */
export function traceTableLookup(
	net: Namespace,
	flow: Flow,
	direction: number,
	type: number,
	ifId: number,
	winner: XfrmPolicy | null,
	embedded: boolean,
): void {
	const scan = scanPolicies(net.spd, flow, direction, type, ifId);
	if ((scan.winner ?? null) !== winner) {
		throw new RangeError(
			`policy lookup chose ${winner?.index ?? 'none'}, the scan ${scan.winner?.index ?? 'none'}`,
		);
	}
	net.tracer?.note({
		kind: 'policy',
		table: type === PolicyType.Sub ? 'sub' : 'main',
		direction,
		flow: copyOf(flow),
		ifId,
		winner: winner ?? undefined,
		losers: scan.losers,
		embedded,
	});
}

/** Notes how a template fared, and by which field the states from `from` on missed it. */
export function traceTemplateCheck(
	net: Namespace,
	packet: PacketBuffer,
	flow: Flow,
	place: number,
	from: number,
	taken: XfrmState | null,
	passed: boolean,
): void {
	const template = net.checkRun.templates[place];
	const policy = net.checkRun.owners[place];
	if (net.tracer === null || template == null || policy == null) {
		return;
	}
	const losers: Loser<XfrmState>[] = [];
	for (let i = from; i < packet.pathCount; i++) {
		const state = packet.path[i] as XfrmState;
		if (state === taken) {
			break;
		}
		losers.push(loserOf(template, state, flow.family, packet.ifId));
	}
	net.tracer.note({
		kind: 'template-check',
		policy,
		position: policy.templates.indexOf(template),
		template,
		state: taken ?? undefined,
		losers,
		passed,
	});
}

/** The first field, in the kernel's order, by which a state misses a template (I-18). */
function loserOf(
	template: Template,
	state: XfrmState,
	family: number,
	ifId: number,
): Loser<XfrmState> {
	const facts: readonly (readonly [string, boolean, string | number, string | number])[] = [
		['level', !state.kernelOwned || template.optional !== 0, 'required', 'uncompressed'],
		['proto', state.proto === template.id.proto, template.id.proto, state.proto],
		[
			'spi',
			template.id.spi === 0 || state.spi === (template.id.spi | 0),
			template.id.spi >>> 0,
			state.spi >>> 0,
		],
		[
			'reqid',
			template.reqid === 0 || state.reqid === (template.reqid | 0),
			template.reqid >>> 0,
			state.reqid >>> 0,
		],
		['mode', state.mode === template.mode, template.mode, state.mode],
		['auth', algorithmFits(template, state), template.aalgos >>> 0, state.auth?.name ?? 'none'],
		[
			'src',
			sourceFits(template.saddr, state.saddr, family),
			formatAddress(template.saddr, family),
			formatAddress(wordsAddress(state.saddr), state.family),
		],
		['if_id', ifId === 0 || ifId === state.ifId, ifId >>> 0, state.ifId >>> 0],
	];
	const [field, , want, have] = facts.find(([, fits]) => !fits) ?? ['level', false, '', ''];
	return { object: state, field, want: String(want), have: String(have) };
}

function copyOf(flow: Flow): Flow {
	const copy = new Flow();
	copy.copyFrom(flow);
	return copy;
}
