/**
 * What does a lookup cost in tables of 100 to a million policies, of every shape? All policies have one
 * priority, so that nothing can be left out; half of the flows fall under a policy. Up to 10,000 policies a row
 * is compared with the plain scan, a list of which the first match is taken, which also has to give the same
 * answer; 100,000 with the cost of a table of 100, a million with the bound. Then states by SPI, and lookups while
 * the table changes.
 *
 *     npm run bench -- lookup [--json] [--check] [--quick]
 */
import { pathToFileURL } from 'node:url';
import { nullProvider } from '@xfrm/crypto/null';
import { Engine, linux619, Spd, XfrmPolicy } from '@xfrm/engine';
import type { Flow } from '@xfrm/wire';
import { Direction, Family, type PolicyConfig, UNLIMITED } from '@xfrm/wire/xfrm';
import { flowsFor, type Shape, shapes } from './lookup-shapes.ts';
import { stateConfigs } from './netlink-requests.ts';
import { bestOfBoth, Report, sliced } from './report.ts';

const FLOW_COUNT = 4096;
/** A tenth of a millisecond or less, which the scheduler mostly lets pass whole. */
const LOOKUPS_A_SLICE = 256;
const SCANNED_A_SLICE = 20_000;
/** Policies that all scans of a round look at together. */
const SCANNED_A_ROUND = 400_000;
/** Only what the plain scan can be compared with, in half a minute. */
const quick: boolean = process.argv.includes('--quick');
const ROUNDS = quick ? 20 : 40;
const SCAN_MAX = 10_000;
const NOW_SECONDS = 1_764_000_000;
/** What a lookup may take in a table of any size. */
const BOUND_NS = 500;

/** The lookup by the scan, at 100 and at 10,000 policies: wanted on any machine, twice what a busy one has. */
const WANTED: Readonly<Record<string, readonly [at100: number, at10000: number]>> = {
	exact: [0.4, 0.006],
	'exact IPv6': [0.4, 0.006],
	'/30': [0.4, 0.006],
	ports: [0.8, 0.01],
	marked: [0.9, 0.02],
	'20 prefix pairs': [0.8, 0.008],
	'20 prefix pairs IPv6': [0.8, 0.008],
};

function configOf(shape: Shape, place: number): PolicyConfig {
	return {
		lifetime: UNLIMITED,
		priority: 1000,
		index: 0,
		direction: Direction.Out,
		action: 0,
		flags: 0,
		share: 0,
		type: 0,
		templates: [],
		...shape.policy(place),
	};
}

interface Table {
	readonly spd: Spd;
	/** Oldest first, which is the order of a scan where all priorities are equal. */
	readonly list: XfrmPolicy[];
}

function put({ spd, list }: Table, config: PolicyConfig): void {
	const policy = new XfrmPolicy(config, spd.freeIndex(Direction.Out, 0));
	const twin = spd.twin(policy);
	if (twin === null) {
		spd.insert(policy, null);
		list.push(policy);
	}
}

function tableOf(shape: Shape, size: number): Table {
	const table: Table = { spd: new Spd(linux619), list: [] };
	for (let place = 0; place < size; place++) {
		put(table, configOf(shape, place));
	}
	return table;
}

/** Nanoseconds a lookup, when the table is in the processor's caches as far as it fits. */
function lookUp(spd: Spd, flows: readonly Flow[]): () => number {
	return sliced(flows, LOOKUPS_A_SLICE, (flow) => {
		spd.lookup(flow, Direction.Out, 0, 0, NOW_SECONDS);
	});
}

/** The plain twin of the lookup: the first of a list that fits. */
function scan(list: readonly XfrmPolicy[], flow: Flow): XfrmPolicy | null {
	for (const policy of list) {
		if (policy.ifId === 0 && policy.markFits(flow.mark) && policy.selector.matches(flow)) {
			return policy;
		}
	}
	return null;
}

function scanAll(list: readonly XfrmPolicy[], flows: readonly Flow[]): () => number {
	const slice = Math.max(1, Math.floor(SCANNED_A_SLICE / list.length));
	return sliced(flows, slice, (flow) => {
		scan(list, flow);
	});
}

function expectSame({ spd, list }: Table, flows: readonly Flow[]): void {
	for (const flow of flows) {
		if (spd.best(flow, Direction.Out, 0, 0) !== scan(list, flow)) {
			throw new RangeError('lookup and scan differ');
		}
	}
}

function compareWithScan(report: Report, shape: Shape, size: number): number {
	const table = tableOf(shape, size);
	const flows = flowsFor(shape, size, FLOW_COUNT);
	const scanned = flows.slice(0, SCANNED_A_ROUND / size);
	expectSame(table, scanned);
	const look = lookUp(table.spd, flows);
	// A scan leaves nothing of the table in the caches: a first pass brings it back.
	const lookTwice = (): number => Math.min(look(), look());
	const [value, plain] = bestOfBoth(ROUNDS, lookTwice, scanAll(table.list, scanned));
	const [at100 = 1, at10000 = 1] = shape.hostile === true ? [] : (WANTED[shape.name] ?? []);
	const most = size <= 100 ? at100 : at10000;
	const against = `the plain scan's ${Math.round(plain).toLocaleString('en')}`;
	report.add(`${shape.name}, ${size}`, value, 'ns', { against, ratio: value / plain, most });
	return value;
}

function compareWithSmall(report: Report, shape: Shape, size: number, small: number): void {
	const { spd } = tableOf(shape, size);
	const flows = flowsFor(shape, size, FLOW_COUNT);
	const [value] = bestOfBoth(2 * ROUNDS, lookUp(spd, flows), () => 0);
	// In a million, most of it is the machine's memory: its bound is told, and fails nothing.
	const comparison =
		size > 100_000
			? { against: `the bound of ${BOUND_NS} ns`, ratio: value / BOUND_NS }
			: { against: 'its cost at 100', ratio: value / small, most: 3 };
	report.add(`${shape.name}, ${size}`, value, 'ns', comparison);
}

/** Lookups of 100,000 policies of which one is taken out and another put in behind every sixteenth. */
function underTraffic(report: Report): void {
	const shape = shapes.find(({ name }) => name === '20 prefix pairs');
	if (shape === undefined) {
		throw new RangeError('a shape is missing');
	}
	const size = 100_000;
	const table = tableOf(shape, size);
	const flows = flowsFor(shape, size, FLOW_COUNT);
	let place = size;
	let gone = 0;
	const changing = (): number => {
		const from = performance.now();
		for (let i = 0; i < flows.length; i++) {
			const flow = flows[i];
			if (flow !== undefined) {
				table.spd.lookup(flow, Direction.Out, 0, 0, NOW_SECONDS);
			}
			if (i % 16 === 15) {
				const old = table.list[gone++];
				if (old !== undefined) {
					table.spd.remove(old);
				}
				put(table, configOf(shape, place++));
			}
		}
		return ((performance.now() - from) * 1e6) / flows.length;
	};
	const [value, still] = bestOfBoth(ROUNDS, changing, lookUp(table.spd, flows));
	const against = 'the same of a table that stays as it is';
	const comparison = { against, ratio: value / still };
	report.add('20 prefix pairs, 100000, a change every 16', value, 'ns', comparison);
}

/** States by what an incoming packet has of them; the plain twin is a Map by SPI. */
function statesBySpi(report: Report): void {
	for (const size of [100, 10_000, 100_000]) {
		const engine = new Engine({
			profile: linux619,
			provider: nullProvider(),
			random: (bytes) => bytes.fill(7),
			route: () => undefined,
		});
		for (const config of stateConfigs(size)) {
			engine.addState(config, NOW_SECONDS * 1_000_000);
		}
		const { sad } = engine.net;
		const states = [...sad.states()];
		const plain = new Map(states.map((state) => [state.spi | 0, state]));
		const asked = Array.from({ length: FLOW_COUNT }, (_, i) => {
			const { daddr, spi, proto } = states[(i * 7919) % size] ?? invalid();
			return { daddr: daddr.slice(), spi, proto };
		});
		const [value, twin] = bestOfBoth(
			2 * ROUNDS,
			sliced(asked, LOOKUPS_A_SLICE, ({ daddr, spi, proto }) => {
				if (sad.bySpi(2, daddr, spi, proto, 0) === null) {
					invalid();
				}
			}),
			sliced(asked, LOOKUPS_A_SLICE, ({ daddr, spi, proto }) => {
				const state = plain.get(spi | 0);
				if (state?.daddr[3] !== daddr[3] || state?.proto !== proto) {
					invalid();
				}
			}),
		);
		const against = `a Map's ${twin.toFixed(0)}`;
		report.add(`state by SPI, ${size}`, value, 'ns', { against, ratio: value / twin, most: 2 });
	}
}

function invalid(): never {
	throw new RangeError('a state is missing');
}

/** A row of bench/engine.ts. */
export interface BenchRow {
	readonly bench: string;
	readonly case: string;
	readonly value: number;
	readonly unit: string;
}

/** A few of the rows, for who measures the engine as a whole. */
export function lookupBench(): BenchRow[] {
	return shapes
		.filter(({ name }) => name === 'exact' || name === 'ports' || name === '20 prefix pairs')
		.flatMap((shape) =>
			[100, 10_000].map((size) => {
				const { spd } = tableOf(shape, size);
				const flows = flowsFor(shape, size, FLOW_COUNT);
				const [value] = bestOfBoth(ROUNDS, lookUp(spd, flows), () => 0);
				return { bench: 'lookup', case: `${shape.name}, ${size} policies`, value, unit: 'ns' };
			}),
		);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
	const report = new Report('lookup');
	for (const shape of shapes) {
		if (quick && shape.hostile === true) {
			continue;
		}
		const small = compareWithScan(report, shape, shape.hostile === true ? 1000 : 100);
		compareWithScan(report, shape, SCAN_MAX);
		if (!quick && shape.hostile !== true) {
			compareWithSmall(report, shape, 100_000, small);
			// To build a table of a million takes seconds: IPv4 has to stand for both families.
			if (shape.family === Family.Ipv4) {
				compareWithSmall(report, shape, 1_000_000, small);
			}
		}
	}
	if (!quick) {
		underTraffic(report);
		statesBySpi(report);
	}
	report.finish();
}
