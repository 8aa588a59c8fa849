/** States at the end of a case, in the form of `after.states`. */
import type { EngineDoor } from '@xfrm/engine';
import type { World } from '@xfrm/explain';
import { formatAddress, IpProto, type IptfsConfig, type StateSnapshot } from '@xfrm/wire/xfrm';
import { type Difference, differs } from './difference.ts';
import type { VectorState } from './vector-case.ts';

/** What a file tells of states beside the common. */
export interface Told {
	readonly newer: boolean;
	readonly ifIds: boolean;
}

/**
 * Compares the states with those of the case.
 *
 * @param told `newer`: the file tells directions, processors and last use, as those made by newer kernels do;
 * `ifIds`: it tells if_ids
 * @param otherOctets states have taken what another compressor made, so the octets of ESP, of AH, and of compressors
 * where there are several, are not compared
 */
export function afterStates(
	world: World,
	want: readonly VectorState[],
	told: Told,
	otherOctets: boolean,
): Difference | undefined {
	const compressors = want.filter(({ proto }) => proto === IpProto.Comp).length;
	const protos: unknown[] = [IpProto.Esp, IpProto.Ah, ...(compressors > 1 ? [IpProto.Comp] : [])];
	const view = (state: Record<string, unknown>): Record<string, unknown> =>
		otherOctets && protos.includes(state['proto'])
			? withoutOctets(withoutClock(state))
			: withoutClock(state);
	const have = statesView(world.engine, told);
	return differs('after states', want.map(view), have.map(view).sort(byIdentity));
}

function withoutOctets({ bytes, ...rest }: Record<string, unknown>): Record<string, unknown> {
	return rest;
}

/** The files have them by protocol, SPI, destination and source. */
function byIdentity(a: Record<string, unknown>, b: Record<string, unknown>): number {
	for (const field of ['proto', 'spi', 'dst', 'src']) {
		const [x, y] = [a[field], b[field]] as [number | string, number | string];
		if (x !== y) {
			return x < y ? -1 : 1;
		}
	}
	return 0;
}

/** Time of last use is told to a second, more or less: only whether there was any. */
function withoutClock(state: Record<string, unknown>): Record<string, unknown> {
	const { lastused_s, ...rest } = state;
	return { ...rest, ...(lastused_s === undefined ? {} : { lastused: true }) };
}

function statesView(engine: EngineDoor, told: Told): Record<string, unknown>[] {
	return [...engine.states()].map((object) => {
		const state = engine.snapshotState(object);
		const { lifetimeCurrent, stats, replay, replayEsn, id, family } = state;
		return {
			dst: formatAddress(id.daddr, family),
			proto: id.proto,
			spi: id.spi,
			src: formatAddress(state.saddr, family),
			bytes: lifetimeCurrent.bytes,
			packets: lifetimeCurrent.packets,
			used: lifetimeCurrent.useTime !== 0,
			replay_window_errors: stats.replayWindow,
			replay_errors: stats.replay,
			integrity_failed: stats.integrityFailed,
			...(replayEsn === undefined
				? { oseq: replay?.oseq ?? 0, seq: replay?.seq ?? 0, bitmap: replay?.bitmap ?? 0 }
				: {
						esn: {
							oseq: replayEsn.oseq,
							seq: replayEsn.seq,
							oseq_hi: replayEsn.oseqHi,
							seq_hi: replayEsn.seqHi,
							window: replayEsn.replayWindow,
							bmp: [...replayEsn.bmp],
						},
					}),
			...(told.newer ? newerFields(state) : {}),
			...(told.ifIds && state.ifId ? { if_id: state.ifId >>> 0 } : {}),
		};
	});
}

/** What 6.1 had not. */
function newerFields(state: StateSnapshot): Record<string, unknown> {
	const { direction, pcpu, natKeepaliveSeconds, lastUsed, iptfs } = state;
	return {
		...(direction ? { dir: direction === 1 ? 'in' : 'out' } : {}),
		...(pcpu === undefined ? {} : { pcpu }),
		...(natKeepaliveSeconds === undefined ? {} : { nat_keepalive_interval: natKeepaliveSeconds }),
		...(lastUsed ? { lastused_s: 1 } : {}),
		...(iptfs === undefined ? {} : iptfsFields(iptfs)),
	};
}

function iptfsFields(iptfs: IptfsConfig): Record<string, unknown> {
	const names: readonly (readonly [string, unknown])[] = [
		['iptfs_drop_time', iptfs.dropTimeUs],
		['iptfs_reorder_window', iptfs.reorderWindow],
		['iptfs_dont_frag', iptfs.dontFragment],
		['iptfs_init_delay', iptfs.initDelayUs],
		['iptfs_max_qsize', iptfs.maxQueueOctets],
		['iptfs_pkt_size', iptfs.packetOctets],
	];
	return Object.fromEntries(names.filter(([, value]) => value !== undefined));
}
