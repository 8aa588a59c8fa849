/**
 * How fast is the simulated world? Histories of every scenario, invariants checked after every step as in
 * `npm run sim`: steps (events of the world) and packets on its links, a second.
 *
 *     npm run bench -- sim [--json]
 */
import { nodeProvider } from '@xfrm/crypto/node';
import { runHistory, scenarios } from '@xfrm/sim';
import { Report } from './report.ts';

const report: Report = new Report('sim');
const MS_EACH = 2000;

let allSteps = 0;
let allPackets = 0;
let allMs = 0;
for (const { name } of scenarios) {
	let steps = 0;
	let packets = 0;
	const from = performance.now();
	let ms = 0;
	for (let number = 1; ms < MS_EACH; number++) {
		const outcome = runHistory({ scenario: name, number }, nodeProvider());
		if (outcome.failure !== undefined) {
			throw new RangeError(`${name} ${number}: ${outcome.failure.text}`);
		}
		steps += outcome.steps;
		packets += outcome.packets;
		ms = performance.now() - from;
	}
	report.add(`${name}: steps`, (1000 * steps) / ms, 'a second');
	allSteps += steps;
	allPackets += packets;
	allMs += ms;
}
report.add('all scenarios: steps', (1000 * allSteps) / allMs, 'a second');
report.add('all scenarios: packets on links', (1000 * allPackets) / allMs, 'a second');
report.finish();
