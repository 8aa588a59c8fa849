/**
 * Edits for what a state opens wrongly: by a key that another state has, in a mode that is not the sender's, or AH
 * behind a NAT.
 */
import type { XfrmState } from '@xfrm/engine';
import {
	addressEquals,
	EncapType,
	IpProto,
	type StateConfig,
	type Template,
} from '@xfrm/wire/xfrm';
import { stateDelete } from './fix-command.ts';
import { keysOf, modeEdits } from './fix-inbound.ts';
import {
	addState,
	endsOf,
	type Generator,
	remakeState,
	type Situation,
	updatePolicy,
} from './fix-parts.ts';
import { sealAsPeer } from './fix-rekey.ts';
import { configOf, type Edit, type EditCommand } from './fix-trial.ts';
import { stateName } from './names.ts';

/** States whose keys are tried. */
const CANDIDATES_MAX = 4;
const NEW_KEY = 'KEY';
/** IKE's port behind a NAT, and ESP's in UDP. */
const NAT_PORT = 4500;

export const mendKeys: Generator = (at) => {
	const { answer, digest } = at;
	const state = digest.refused ?? digest.verdictOf(answer.counter ?? undefined)?.state;
	if (answer.code === 'in.icv' && state !== undefined) {
		return [...keysOfOthers(at, state), ...behindNat(at, state)];
	}
	const opened = digest.applied.at(-1);
	const { proto } = digest.stateLookup ?? {};
	const whole = proto === IpProto.Ipip || proto === IpProto.Ipv6;
	return answer.counter === 'XfrmInNoStates' && opened !== undefined && whole
		? modeEdits(at, opened).slice(0, 1)
		: [];
};

/** The keys of the two directions are exchanged, or those of two tunnels. */
function keysOfOthers(at: Situation, state: XfrmState): Edit[] {
	const { engine } = at.before.world;
	return [...engine.states()]
		.filter((other) => other !== state && other.proto === state.proto && !other.kernelOwned)
		.map((other) => ({ other, config: engine.snapshotState(other) }))
		.filter(({ other }) => other.spi !== state.spi && !at.explainer.hidesKey(other))
		.sort((a, b) => nearness(b.other, state) - nearness(a.other, state))
		.slice(0, CANDIDATES_MAX)
		.map(({ other, config }) => ({
			text:
				`the packet is sealed with the key of ${stateName(other)}: are the keys of the two mixed up? Give ` +
				`${stateName(state)} that key`,
			commands: remakeState(at, state, ...keysOf(config)),
			want: 'protected' as const,
		}));
}

/** The other direction of the same tunnel first. */
function nearness(other: XfrmState, state: XfrmState): number {
	const [a, b] = [other.config, state.config];
	const back =
		addressEquals(a.saddr, b.id.daddr, state.family) &&
		addressEquals(a.id.daddr, b.saddr, state.family);
	return (back ? 2 : 0) + (other.reqid === state.reqid ? 1 : 0);
}

/** A packet of AH from a public address to a private one: a NAT has changed what AH protects. */
function behindNat(at: Situation, state: XfrmState): Edit[] {
	const { family, source, destination } = endsOf(at.packet);
	const nat = family === 2 && isPrivate(source) !== isPrivate(destination);
	const inner = state.proto === IpProto.Ah && nat ? withoutAh(at.packet) : undefined;
	if (inner === undefined) {
		return [];
	}
	const { auth: _auth, replay: _replay, replayEsn: _esn, ...config } = configOf(at.before, state);
	const next: StateConfig = {
		...config,
		id: { ...config.id, proto: IpProto.Esp },
		aead: {
			name: 'rfc4106(gcm(aes))',
			key: new Uint8Array(20).fill(0x5a),
			keyBits: 160,
			icvBits: 128,
		},
		encap: {
			type: EncapType.EspInUdp,
			sport: NAT_PORT,
			dport: NAT_PORT,
			oa: new Uint8Array(16),
		},
	};
	const packet = sealAsPeer(at, next, inner);
	const gone = stateDelete(configOf(at.before, state));
	const { shown, real } = addState(at, next, { word: NEW_KEY });
	return packet === undefined || real === undefined
		? []
		: [
				{
					text:
						'a NAT is on the way (a private and a public address), and AH protects the addresses that it changes: use' +
						' ESP in UDP at both ends instead, encap espinudp',
					commands: [{ shown: gone, real: gone }, { shown, real }, ...templatesForEsp(at, state)],
					packet,
					want: 'protected',
				},
			];
}

/** Policies that ask for AH of this tunnel ask for ESP then. */
function templatesForEsp(at: Situation, state: XfrmState): EditCommand[] {
	const isIts = ({ id, reqid }: Template): boolean =>
		id.proto === IpProto.Ah && (reqid === 0 || reqid >>> 0 === state.reqid >>> 0);
	return [...at.before.world.engine.policies()]
		.filter((policy) => policy.socketId === 0 && policy.templates.some(isIts))
		.map((policy) =>
			updatePolicy(at, policy, {
				templates: policy.templates.map((one) =>
					isIts(one) ? { ...one, id: { ...one.id, proto: IpProto.Esp, spi: 0 } } : one,
				),
			}),
		);
}

/** RFC 1918 and RFC 6598. */
function isPrivate(address: Uint8Array): boolean {
	const [a = 0, b = 0] = address;
	return (
		a === 10 ||
		(a === 172 && (b & 0xf0) === 16) ||
		(a === 192 && b === 168) ||
		(a === 100 && (b & 0xc0) === 64)
	);
}

/** What AH was put around, IPv4: its header is taken out. */
function withoutAh(packet: Uint8Array): Uint8Array | undefined {
	const at = ((packet[0] ?? 0) & 15) * 4;
	const octets = ((packet[at + 1] ?? 0) + 2) * 4;
	if (packet.length < at + octets) {
		return undefined;
	}
	const inner = packet.subarray(at + octets);
	if (packet[at] === IpProto.Ipip) {
		return inner.slice();
	}
	const whole = new Uint8Array(at + inner.length);
	whole.set(packet.subarray(0, at));
	whole.set(inner, at);
	const view = new DataView(whole.buffer);
	view.setUint16(2, whole.length);
	whole[9] = packet[at] ?? 0;
	return whole;
}
