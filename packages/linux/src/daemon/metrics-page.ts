/**
 * The daemon's numbers as Prometheus reads them: counters of /proc/net/xfrm_stat, drops by counter, policy,
 * state and reason, traffic by state. What a label may be is bounded: causes of drops by the daemon's table,
 * states by a number of their own. Keys are in none of it.
 */
import { attributeValue, type NamedMessage } from '@xfrm/netlink';
import { Family, formatAddress, IpProto } from '@xfrm/wire/xfrm';
import { Counter, Gauge, Registry } from 'prom-client';
import { METRIC_STATES_MAX } from '../limits.ts';
import { type DropRow, markName, type PolicyCause, type StateCause } from './drop-table.ts';
import type { DaemonNumbers } from './observation.ts';

const STATE_LABELS = ['proto', 'spi', 'src', 'dst', 'reqid', 'mark'] as const;
const DIRECTIONS: readonly string[] = ['in', 'out', 'fwd'];
const PROTOCOLS: Readonly<Record<number, string>> = {
	[IpProto.Esp]: 'esp',
	[IpProto.Ah]: 'ah',
	[IpProto.Comp]: 'comp',
};

/** What a page is made of. */
export interface MetricsReading {
	readonly numbers: DaemonNumbers;
	/** Newest first. */
	readonly states: readonly NamedMessage<'newsa'>[];
	/** Octets of the process's memory. */
	readonly residentOctets: number;
}

/** The page, in Prometheus' text format. */
export async function metricsPage(reading: MetricsReading): Promise<string> {
	const registers = [new Registry()];
	const [registry] = registers;
	const { numbers, states } = reading;
	addCounters(numbers, registers);
	addDrops(numbers.drops, registers);
	addStates(states.slice(0, METRIC_STATES_MAX), registers);
	const gauge = (name: string, help: string, value: number): void =>
		new Gauge({ name, help, registers }).set(value);
	gauge('xfrm_states', 'States.', numbers.states);
	gauge('xfrm_policies', 'Policies.', numbers.policies);
	gauge(
		'xfrm_states_untold',
		'States that have no series of their own, as there are too many.',
		Math.max(0, states.length - METRIC_STATES_MAX),
	);
	gauge('xfrm_daemon_resident_bytes', 'Memory of the daemon.', reading.residentOctets);
	return registry?.metrics() ?? '';
}

function addCounters({ counters, own }: DaemonNumbers, registers: Registry[]): void {
	const stat = new Counter({
		name: 'xfrm_stat_total',
		help: 'Counters by the names of /proc/net/xfrm_stat.',
		labelNames: ['counter'],
		registers,
	});
	for (const [counter, value] of Object.entries(counters)) {
		stat.inc({ counter }, value);
	}
	const packets = new Counter({
		name: 'xfrm_daemon_packets_total',
		help: 'Packets: sent, delivered to the kernel, failed; without port, numbers (unleased), policy (carrier).',
		labelNames: ['what'],
		registers,
	});
	for (const [what, value] of Object.entries(own)) {
		packets.inc({ what }, value);
	}
}

function addDrops(drops: readonly DropRow[], registers: Registry[]): void {
	const metric = new Counter({
		name: 'xfrm_drops_total',
		help: 'Packets that were dropped, by counter, policy (direction and index), state and reason (docs/reasons.md).',
		labelNames: ['counter', 'policy', 'state', 'code'],
		registers,
	});
	for (const { counter, code, policy, state, packets } of drops) {
		metric.inc(
			{
				counter,
				code,
				policy: policy === null ? '' : policyLabel(policy),
				state: state === null ? '' : stateLabel(state),
			},
			packets,
		);
	}
}

function addStates(states: readonly NamedMessage<'newsa'>[], registers: Registry[]): void {
	const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
		new Counter<L>({ name, help, labelNames: [...labelNames], registers });
	const bytes = counter('xfrm_state_bytes_total', 'Octets of a state.', STATE_LABELS);
	const packets = counter('xfrm_state_packets_total', 'Packets of a state.', STATE_LABELS);
	const refused = counter('xfrm_state_refused_total', 'Packets that a state refused.', [
		...STATE_LABELS,
		'why',
	]);
	for (const { body, attributes } of states) {
		const mark = attributeValue(attributes, 'mark');
		const family = body.family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
		const labels = {
			proto: protocolOf(body.id.proto),
			spi: spiOf(body.id.spi),
			src: formatAddress(body.saddr, family),
			dst: formatAddress(body.id.daddr, family),
			reqid: String(body.reqid),
			mark: mark === undefined ? '' : markName(mark.v, mark.m),
		};
		bytes.inc(labels, body.lifetimeCurrent.bytes);
		packets.inc(labels, body.lifetimeCurrent.packets);
		const { replayWindow, replay, integrityFailed } = body.stats;
		refused.inc({ ...labels, why: 'late' }, replayWindow);
		refused.inc({ ...labels, why: 'replayed' }, replay);
		refused.inc({ ...labels, why: 'integrity' }, integrityFailed);
	}
}

function policyLabel({ direction, index, mark }: PolicyCause): string {
	return `${DIRECTIONS[direction % 3]} ${index}${withMark(mark)}`;
}

function stateLabel({ proto, spi, dst, mark }: StateCause): string {
	return `${protocolOf(proto)} ${spiOf(spi)} ${dst}${withMark(mark)}`;
}

function withMark(mark: string): string {
	return mark === '' ? '' : ` mark ${mark}`;
}

function protocolOf(proto: number): string {
	return PROTOCOLS[proto] ?? String(proto);
}

function spiOf(spi: number): string {
	return `0x${spi.toString(16).padStart(8, '0')}`;
}
