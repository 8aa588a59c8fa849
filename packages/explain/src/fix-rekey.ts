/**
 * The sender counts anew with an old key: restored from a snapshot, or failed over with old numbers. No window mends
 * that; both ends need a new key. It is tried with what was inside: sealed by the new state as the sender would
 * have it, and received here.
 */
import { parseHex } from '@xfrm/wire';
import { Family, formatAddress, Mode, type StateConfig } from '@xfrm/wire/xfrm';
import { Decryptor } from './decrypt.ts';
import { keyOctets, stateCommand } from './fix-command.ts';
import { freshSpi, withNewKeys } from './fix-outbound.ts';
import { addState, type Generator, type Situation } from './fix-parts.ts';
import { configOf } from './fix-trial.ts';
import { modeName, stateName, stateProtoName } from './names.ts';

/** So far behind the newest number no packet is late. */
const LATE_MAX = 256;
/** What stands where somebody has to fill in a key. */
const NEW_KEY = 'KEY';

const noRandom = (octets: Uint8Array): void => {
	octets.fill(0x5a);
};

export const rekeyBothEnds: Generator = (at) => {
	const { answer, digest, packet } = at;
	const state = digest.refused;
	const seq = digest.current?.seq;
	if (answer.code !== 'in.replay.old' || state === undefined || seq === undefined) {
		return [];
	}
	const late = ((state.replay.counters[2] ?? 0) >>> 0) - seq;
	const inner = new Decryptor(at.before, noRandom).open(packet);
	if (late <= LATE_MAX || inner.kind !== 'opened') {
		return [];
	}
	const { replay: _replay, replayEsn, ...config } = configOf(at.before, state);
	const window = replayEsn?.replayWindow ?? config.replayWindow;
	const next = withNewKeys({
		...config,
		id: { ...config.id, spi: freshSpi(at) },
		replayWindow: window,
	});
	const sealed = sealAsPeer(at, next, inner.packet);
	if (sealed === undefined) {
		return [];
	}
	const { shown, real } = addState(at, next, { word: NEW_KEY });
	return [
		{
			text:
				`the sender of ${stateName(state)} counts anew (${late} behind) with a key that was used before:` +
				' rekey both ends, with an SPI and a key of their own, here first',
			commands: [real === undefined ? { shown } : { shown, real }],
			packet: sealed,
			want: 'protected',
		},
	];
};

/** What was inside, sealed by a host that has the state outbound. */
export function sealAsPeer(
	at: Situation,
	config: StateConfig,
	inner: Uint8Array,
): Uint8Array | undefined {
	const peer = at.explainer.fresh(noRandom);
	const family = config.family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
	const [from, to] = [config.saddr, config.id.daddr].map((one) => formatAddress(one, family));
	const { direction: _direction, mark: _mark, ifId: _ifId, ...rest } = config;
	const any = (inner[0] ?? 0) >> 4 === 4 ? '0.0.0.0/0' : '::/0';
	const setUp = [
		'link set lan up',
		`addr add ${from}/${family === Family.Ipv4 ? 32 : 128} dev wan`,
		'route add default dev wan',
		'-6 route add default dev wan',
		stateCommand('add', rest, keyOctets, () => undefined),
		`xfrm policy add src ${any} dst ${any} dir out tmpl src ${from} dst ${to}` +
			` proto ${stateProtoName(config.id.proto)} reqid ${config.reqid} mode ${modeName(config.mode)}`,
	];
	if (setUp.some((command) => peer.run(command).status !== 0)) {
		return undefined;
	}
	const own = config.mode === Mode.Transport;
	const { packets, outcome } = peer.ask(
		inner,
		own ? { direction: 'out', sender: 'socket' } : { direction: 'fwd', device: 'lan' },
	);
	const sealed = outcome === 'transform' ? parseHex(packets[0] ?? '') : undefined;
	return sealed instanceof Uint8Array && sealed.length > 0 ? sealed : undefined;
}
