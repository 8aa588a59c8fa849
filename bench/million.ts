/**
 * A million policies: what processor time they take to enter the engine as values and as netlink bytes, and what
 * they take of memory, against the bounds that the product has.
 *
 *     npm run bench -- million [--json] [--check]
 */
import { nullProvider } from '@xfrm/crypto/null';
import { Engine, linux619 } from '@xfrm/engine';
import { Direction, type PolicyConfig, UNLIMITED } from '@xfrm/wire/xfrm';
import { putAll, ServerEnd } from './netlink-end.ts';
import { requests, selectorOf } from './netlink-requests.ts';
import { octetsInUse, Report } from './report.ts';

const COUNT = 1_000_000;
/** Requests made ahead of the clock: all at once would take more memory than the table. */
const CHUNK = 10_000;

function configOf(i: number): PolicyConfig {
	return {
		selector: selectorOf('prefixes', i),
		lifetime: UNLIMITED,
		priority: 1000,
		index: 0,
		direction: Direction.Out,
		action: 0,
		flags: 0,
		share: 0,
		type: 0,
		templates: [],
	};
}

/** Seconds of processor time (V8's helpers included) that `putIn` takes for all of what `make` made before. */
function seconds<T>(make: (from: number) => T, putIn: (made: T) => void): number {
	let us = 0;
	for (let from = 0; from < COUNT; from += CHUNK) {
		const made = make(from);
		const start = process.cpuUsage();
		putIn(made);
		const { user, system } = process.cpuUsage(start);
		us += user + system;
	}
	return us / 1e6;
}

const report: Report = new Report('million');
const engine: Engine = new Engine({
	profile: linux619,
	provider: nullProvider(),
	random: (bytes) => bytes.fill(7),
	route: () => undefined,
});
const asValues: number = seconds(
	(from) => Array.from({ length: CHUNK }, (_, i) => configOf(from + i)),
	(configs) => {
		for (const config of configs) {
			engine.addPolicy(config, 1);
		}
	},
);
report.add('1,000,000 policies as values', asValues, 's', {
	against: 'the bound of 5 s',
	ratio: asValues / 5,
	most: 1,
});
engine.flushPolicies(0, 1);
const before: number = octetsInUse();
const end: ServerEnd = new ServerEnd(nullProvider());
const asBytes: number = seconds(
	(from) => requests.addPolicies('prefixes', CHUNK, from),
	(datagrams) => putAll(end, datagrams),
);
report.add('1,000,000 policies as netlink bytes', asBytes, 's', {
	against: 'the bound of 15 s',
	ratio: asBytes / 15,
	most: 1,
});
const megabytes: number = (octetsInUse() - before) / 1e6;
report.add('memory of 1,000,000 policies', megabytes, 'MB', {
	against: 'the bound of 1000 MB',
	ratio: megabytes / 1000,
	most: 1,
});
if (end.engine.net.spd.counts[Direction.Out] !== COUNT) {
	throw new RangeError('policies are missing');
}
report.finish();
