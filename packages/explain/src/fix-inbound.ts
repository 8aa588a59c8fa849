/** Edits for packets that come in protected: no state takes them, or the one that does refuses them. */
import type { XfrmState } from '@xfrm/engine';
import { formatHex32 } from '@xfrm/wire';
import {
	addressEquals,
	EncapType,
	Family,
	formatAddress,
	IpProto,
	isAnyAddress,
	Mode,
	type Selector,
	type StateConfig,
	StateFlag,
	type Template,
} from '@xfrm/wire/xfrm';
import { configName, stateForTemplate } from './fix-outbound.ts';
import { addState, type Generator, remakeState, type Situation, shellOnly } from './fix-parts.ts';
import { configOf, type Edit } from './fix-trial.ts';
import { hexNumber, modeName, stateName } from './names.ts';

const NEW_KEY = 'KEY';
/** Losers that are looked at. */
const CANDIDATES_MAX = 3;
/** Beyond this many packets (or windows) a lost number is no late packet: its sender counts anew. */
const LATE_MAX = 256;
const LATE_WINDOWS = 8;
const WINDOW_MAX = 4096;

/** No state takes the packet. */
export const findState: Generator = (at) => {
	const lookup = at.digest.stateLookup;
	const bySpi =
		lookup?.proto === IpProto.Esp || lookup?.proto === IpProto.Ah || lookup?.proto === IpProto.Comp;
	if (lookup === undefined || lookup.winner !== undefined || !bySpi) {
		return [];
	}
	const { spi, family, daddr, mark, proto } = lookup;
	const near = lookup.losers.filter(({ object }) => object.family === family).slice(0, 64);
	const differing = (state: XfrmState): string[] => [
		...(state.spi >>> 0 === spi >>> 0 ? [] : ['spi']),
		...(addressEquals(state.config.id.daddr, daddr, family) ? [] : ['dst']),
		...(state.proto === proto ? [] : ['proto']),
		...(state.markFits(mark) ? [] : ['mark']),
	];
	const one = near
		.map(({ object }) => ({ state: object, fields: differing(object) }))
		.filter(({ fields }) => fields.length === 1)
		.slice(0, CANDIDATES_MAX);
	const lost = stateOfPolicies(at, true);
	return [
		...one.flatMap(({ state, fields }) => lookupEdits(at, state, fields[0] ?? '')),
		...statesOfPeer(at),
		...goneStates(at),
		...one.flatMap(({ state, fields }) => (fields[0] === 'spi' ? spiEdits(at, state, lost) : [])),
		...(one.length > 0 ? [] : stateOfPolicies(at)),
	];
};

function lookupEdits(at: Situation, state: XfrmState, field: string): Edit[] {
	const lookup = at.digest.stateLookup;
	if (lookup === undefined) {
		return [];
	}
	if (field === 'mark') {
		const value = state.markValue >>> 0;
		const how = at.digest.first?.udp === undefined ? 'meta l4proto esp' : 'udp dport 4500';
		const ip = lookup.family === Family.Ipv4 ? 'ip' : 'ip6';
		const from = at.digest.first?.source ?? '';
		return [
			{
				text:
					`let the packet arrive with mark ${hexNumber(value)}/${hexNumber(state.markMask)}, ` +
					`as ${stateName(state)} wants`,
				commands: [
					shellOnly(
						`nft add rule inet mangle prerouting ${ip} saddr ${from} ${how} meta mark set ${hexNumber(value)}`,
					),
				],
				options: { mark: value },
				want: 'protected',
			},
			{
				text: `take the mark from ${stateName(state)}: it takes packets of any mark then`,
				commands: remakeState(at, state, { mark: { v: 0, m: 0 } }),
				want: 'protected',
			},
		];
	}
	if (field === 'dst') {
		const { config } = state;
		const to = formatAddress(lookup.daddr, lookup.family === 2 ? Family.Ipv4 : Family.Ipv6);
		return [
			{
				text:
					`install ${stateName(state)} for ${to}, the address that packets arrive at (behind a ` +
					'NAT: the private one)',
				commands: remakeState(at, state, { id: { ...config.id, daddr: lookup.daddr } }),
				want: 'protected',
			},
		];
	}
	return [];
}

/** The peer has a state with the packet's SPI: its twin is missing here. */
function statesOfPeer(at: Situation): Edit[] {
	const lookup = at.digest.stateLookup;
	return at.peerStates
		.filter(({ id, family }) => {
			const same = id.spi === (lookup?.spi ?? 0) >>> 0 && id.proto === lookup?.proto;
			return same && addressEquals(id.daddr, lookup?.daddr ?? id.daddr, family);
		})
		.slice(0, 1)
		.map((config) => ({
			text: `add ${configName(config)} here too: the peer has it, this host has not`,
			commands: [addState(at, withoutCounters(config))],
			want: 'protected' as const,
		}));
}

function withoutCounters(config: StateConfig): StateConfig {
	const { replay: _replay, replayEsn, direction: _direction, ...rest } = config;
	return { ...rest, replayWindow: Math.min(replayEsn?.replayWindow ?? config.replayWindow, 32) };
}

/** The peer's state with this identity, by its algorithms and keys. */
function keysOfPeer(at: Situation, state: XfrmState, config: StateConfig): Edit[] {
	return at.peerStates
		.filter(({ id }) => id.spi === config.id.spi && id.proto === config.id.proto)
		.slice(0, 1)
		.map((other) => ({
			text: `give ${stateName(state)} the algorithms and keys that the peer has for this SPI`,
			commands: remakeState(at, state, ...keysOf(other, other.flags)),
			want: 'protected' as const,
		}));
}

/** Changes of a state to the algorithms and keys of another, and what it has to lose. */
export function keysOf(
	{ aead, auth, crypt }: StateConfig,
	flags?: number,
): [changes: Partial<StateConfig>, without: readonly (keyof StateConfig)[]] {
	return [
		{
			...(flags === undefined ? {} : { flags }),
			...(aead === undefined ? {} : { aead }),
			...(auth === undefined ? {} : { auth }),
			...(crypt === undefined ? {} : { crypt }),
		},
		[
			...(aead === undefined ? (['aead'] as const) : []),
			...(auth === undefined ? (['auth'] as const) : []),
			...(crypt === undefined ? (['crypt'] as const) : []),
		],
	];
}

/** A state with the packet's SPI that was there once. */
function goneStates(at: Situation): Edit[] {
	const lookup = at.digest.stateLookup;
	return at.gone
		.filter(({ id, family }) => {
			const same = id.spi === (lookup?.spi ?? 0) >>> 0 && id.proto === lookup?.proto;
			return same && addressEquals(id.daddr, lookup?.daddr ?? id.daddr, family);
		})
		.slice(0, 1)
		.map((config) => ({
			text:
				`keep ${configName(config)} until the peer sends by the new one: it was deleted here, and the peer still` +
				' uses it',
			commands: [addState(at, config)],
			want: 'protected' as const,
		}));
}

/**
 * The same tunnel with the packet's SPI: by the same key, or by one that only the sender knows.
 *
 * @param lost the state of another tunnel between the same ends, which has none: its policies know how it looked
 */
function spiEdits(at: Situation, state: XfrmState, lost: readonly Edit[]): Edit[] {
	const lookup = at.digest.stateLookup;
	const { replay: _replay, replayEsn, ...config } = configOf(at.before, state);
	const window = Math.min(replayEsn?.replayWindow ?? config.replayWindow, 32);
	const spi = (lookup?.spi ?? 0) >>> 0;
	const next: StateConfig = {
		...config,
		id: { ...config.id, spi },
		replayWindow: window,
		flags: config.flags & ~StateFlag.Esn,
	};
	return [
		{
			text:
				`the packet is sealed with the key of ${stateName(state)}: give that state the SPI ` +
				`${formatHex32(spi)}`,
			commands: remakeState(at, state, { id: next.id }),
			want: 'protected',
		},
		...(lost.length > 0 ? lost : [nextStateEdit(at, next)]),
	];
}

/** The same tunnel's next state. */
function nextStateEdit(at: Situation, next: StateConfig): Edit {
	return {
		text:
			`install the inbound state for SPI ${formatHex32(next.id.spi)} before its sender uses it; its key is the` +
			" sender's (the packet does not tell it)",
		commands: [addState(at, next, { word: NEW_KEY })],
		want: 'protected',
	};
}
/**
 * A state as the policies ask for it.
 *
 * @param unserved only for a template that names its tunnel, and no state serves it
 */
function stateOfPolicies(at: Situation, unserved: boolean = false): Edit[] {
	const lookup = at.digest.stateLookup;
	if (lookup === undefined) {
		return [];
	}
	const { family, daddr, saddr, proto, spi } = lookup;
	for (const policy of at.before.world.engine.policies()) {
		const template = policy.templates[0];
		if (template === undefined || policy.direction === 1 || template.id.proto !== proto) {
			continue;
		}
		const any = isAnyAddress(template.id.daddr, family);
		const fits = any || addressEquals(template.id.daddr, daddr, family);
		const from = isAnyAddress(template.saddr, family) ? saddr : template.saddr;
		if (unserved && (template.reqid === 0 || any || isServed(at, template))) {
			continue;
		}
		if (fits && (template.family || policy.family) === family) {
			const source = isAnyAddress(from, family) ? sourceOf(at) : from;
			const wanted = { template, family, saddr: source, daddr };
			const config = stateForTemplate(at, wanted, policy, spi >>> 0);
			const keyless = proto === IpProto.Comp;
			return [
				{
					text:
						`install the inbound state for SPI ${formatHex32(spi)} that the policies ask for (start the key manager` +
						` again); ${keyless ? 'compression needs no key' : "its key is the sender's"}`,
					commands: [keyless ? addState(at, config) : addState(at, config, { word: NEW_KEY })],
					want: 'protected',
				},
			];
		}
	}
	return [];
}

/** Is there a state by its reqid, of its protocol and between its ends? */
function isServed(at: Situation, { id, saddr, reqid }: Template): boolean {
	return [...at.before.world.engine.states()].some(
		(state) =>
			state.reqid === (reqid | 0) &&
			state.proto === id.proto &&
			addressEquals(state.config.id.daddr, id.daddr, state.family) &&
			addressEquals(state.config.saddr, saddr, state.family),
	);
}

function sourceOf(at: Situation): Uint8Array {
	const v4 = (at.packet[0] ?? 0) >> 4 === 4;
	const bytes = new Uint8Array(16);
	bytes.set(v4 ? at.packet.subarray(12, 16) : at.packet.subarray(8, 24));
	return bytes;
}

function refusedState(at: Situation): XfrmState | undefined {
	const { digest, answer } = at;
	return digest.refused ?? digest.verdictOf(answer.counter ?? undefined)?.state;
}

/** The packet is in UDP and the state is not, or the other way round; or what came out is not the state's. */
export const mendMismatch: Generator = (at) => {
	const { digest, answer } = at;
	if (answer.counter !== 'XfrmInStateMismatch') {
		return [];
	}
	const check = digest.failedChecks.at(-1);
	const state = check?.state ?? refusedState(at);
	if (state === undefined) {
		return [];
	}
	if (check?.field !== 'encap') {
		return widerSelectors(at, state);
	}
	const udp = digest.first?.udp;
	if (udp === undefined) {
		return [
			{
				text:
					`the peer sends plain ESP: make ${stateName(state)} without encap (no NAT), or let ` +
					'the peer encapsulate',
				commands: remakeState(at, state, {}, ['encap']),
				want: 'protected',
			},
		];
	}
	const oa = new Uint8Array(16);
	const encap = { type: EncapType.EspInUdp, sport: udp.sport, dport: udp.dport, oa };
	return [
		{
			text:
				`the peer encapsulates ESP in UDP: give ${stateName(state)} encap espinudp ` +
				`${udp.sport} ${udp.dport} (IKE detects the NAT when it runs over port 4500)`,
			commands: remakeState(at, state, { encap }),
			want: 'protected',
		},
	];
};

/** A state's selector, wider step by step. */
function widerSelectors(at: Situation, state: XfrmState): Edit[] {
	const { selector } = configOf(at.before, state);
	const noPorts: Selector = { ...selector, sport: 0, sportMask: 0, dport: 0, dportMask: 0 };
	const noProto: Selector = { ...noPorts, proto: 0 };
	const any: Selector = { ...noProto, prefixlenS: 0, prefixlenD: 0 };
	const steps: readonly (readonly [string, Selector])[] = [
		['any port', noPorts],
		['any protocol', noProto],
		['any address', any],
	];
	return steps.map(([what, wider]) => ({
		text: `widen the selector (sel) of ${stateName(state)} to ${what}`,
		commands: remakeState(at, state, { selector: wider }),
		want: 'protected' as const,
	}));
}

/** A late packet behind a window that is too small. Repeated packets stay refused. */
export const widenWindow: Generator = (at) => {
	const { answer, digest } = at;
	const state = refusedState(at);
	if (state?.proto === IpProto.Comp && answer.counter === 'XfrmInStateSeqError') {
		return [
			{
				text: `take the replay window from ${stateName(state)}: IPComp has no sequence numbers`,
				commands: remakeState(at, state, { replayWindow: 0 }, ['replay', 'replayEsn']),
				want: 'protected',
			},
		];
	}
	const seq = digest.current?.seq;
	if (answer.code !== 'in.replay.old' || state === undefined || seq === undefined) {
		return [];
	}
	const { windowPackets, counters } = state.replay;
	const late = ((counters[2] ?? 0) >>> 0) - seq;
	if (late < 0 || late > Math.max(LATE_MAX, LATE_WINDOWS * windowPackets)) {
		return [];
	}
	let window = 64;
	while (window <= late && window < WINDOW_MAX) {
		window *= 2;
	}
	const config = configOf(at.before, state);
	const { oseq = 0, seq: top = 0 } = config.replayEsn ?? config.replay ?? {};
	const replayEsn = {
		bmpLen: window / 32,
		oseq,
		seq: top,
		oseqHi: config.replayEsn?.oseqHi ?? 0,
		seqHi: config.replayEsn?.seqHi ?? 0,
		replayWindow: window,
		bmp: new Uint32Array(0),
	};
	return [
		{
			text:
				`a window of ${window} packets for ${stateName(state)}: the packet is ${late} late, ` +
				`the window is ${windowPackets}`,
			commands: remakeState(at, state, { replayWindow: 0, replayEsn }),
			want: 'protected',
		},
	];
};

const TRUNCATIONS = [96, 128, 160, 192, 256] as const;
const ICV_BITS = [64, 96, 128] as const;

/** The integrity check fails: lengths of the ICV and ESN first, which need no other key. */
export const mendIcv: Generator = (at) => {
	const { answer } = at;
	const state = refusedState(at);
	if (state === undefined || !/^in\.(icv|ah\.length|esp\.|mode)/.test(answer.code)) {
		return [];
	}
	const edits: Edit[] = [];
	const config = configOf(at.before, state);
	const { auth, aead } = config;
	const keyBits = auth?.keyBits ?? 0;
	edits.push(...keysOfPeer(at, state, config));
	// An AH header has the length of its ICV to the octet; ESP tells none.
	const mayBeCut = answer.code === 'in.icv' || answer.code === 'in.ah.length';
	for (const bits of mayBeCut && auth !== undefined ? TRUNCATIONS : []) {
		if (auth !== undefined && bits !== auth.truncBits && bits <= keyBits) {
			edits.push({
				text:
					`the peer cuts the ICV of ${auth.name} to ${bits} bits: give ${stateName(state)} ` +
					`auth-trunc … ${bits}`,
				commands: remakeState(at, state, { auth: { ...auth, truncBits: bits } }),
				want: 'protected',
			});
		}
	}
	for (const bits of answer.code === 'in.icv' && aead !== undefined ? ICV_BITS : []) {
		if (aead !== undefined && bits !== aead.icvBits) {
			edits.push({
				text: `the peer's ICV has ${bits} bits: give ${stateName(state)} ${aead.name} … ${bits}`,
				commands: remakeState(at, state, { aead: { ...aead, icvBits: bits } }),
				want: 'protected',
			});
		}
	}
	if (answer.code === 'in.icv') {
		edits.push(esnEdit(at, state, config), ...upperHalfEdits(at, state, config));
		edits.push(newKeyEdit(at, state, config));
	}
	if (answer.code === 'in.mode') {
		edits.push(...modeEdits(at, state));
	}
	if (/^in\.(mode|esp\.)/.test(answer.code)) {
		edits.push(newKeyEdit(at, state, config));
	}
	return edits;
};

/** Extended sequence numbers are in the ICV: one end has them, the other not. */
function esnEdit(at: Situation, state: XfrmState, config: StateConfig): Edit {
	const on = (config.flags & StateFlag.Esn) !== 0;
	const window = config.replayEsn?.replayWindow ?? config.replayWindow;
	const flags = config.flags ^ StateFlag.Esn;
	const replayWindow = on ? Math.min(window, 32) : Math.max(window, 32);
	return {
		text:
			`the peer counts ${on ? 'without' : 'with'} extended sequence numbers: ` +
			`${on ? 'no flag esn' : 'flag esn'} for ${stateName(state)}`,
		commands: remakeState(at, state, { flags, replayWindow }, ['replayEsn', 'replay']),
		want: 'protected',
	};
}

/** Upper halves beyond the state's own that are tried. */
const UPPER_HALVES = 3;

/** The upper half of an extended sequence number is in the ICV alone: after a restart it may not be the peer's. */
function upperHalfEdits(at: Situation, state: XfrmState, config: StateConfig): Edit[] {
	const { replayEsn } = config;
	if ((config.flags & StateFlag.Esn) === 0 || replayEsn === undefined) {
		return [];
	}
	return Array.from({ length: UPPER_HALVES }, (_, i) => {
		const seqHi = (replayEsn.seqHi + i + 1) >>> 0;
		return {
			text:
				`the peer's extended numbers have the upper half ${hexNumber(seqHi)}: tell ${stateName(state)} so ` +
				'(a rekey sets both ends right for good)',
			commands: remakeState(at, state, { replayEsn: { ...replayEsn, seqHi } }),
			want: 'protected' as const,
		};
	});
}

/** What is left: another key, which the packet does not tell. */
function newKeyEdit(at: Situation, state: XfrmState, config: StateConfig): Edit {
	const [gone] = remakeState(at, state, {});
	return {
		text:
			`rekey, or give ${stateName(state)} the sender's algorithm and key: both ends have to have the same (the packet` +
			' tells neither)',
		commands: [...(gone === undefined ? [] : [gone]), addState(at, config, { word: NEW_KEY })],
		want: 'protected',
	};
}

export function modeEdits(at: Situation, state: XfrmState): Edit[] {
	return [Mode.Tunnel, Mode.Transport, Mode.Beet]
		.filter((mode) => mode !== state.mode)
		.map((mode) => ({
			text: `the peer seals in mode ${modeName(mode)}: let ${stateName(state)} be of that mode`,
			commands: remakeState(at, state, { mode }),
			want: 'protected' as const,
		}));
}
