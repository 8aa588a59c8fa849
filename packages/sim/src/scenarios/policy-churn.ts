/**
 * An operator adds, updates and deletes policies that overlap and tie, while the tunnel works: which of
 * several equal ones decides has to be what the plain list says, at every moment.
 */
import type { History } from '../history.ts';
import type { Machine } from '../machine.ts';
import type { Scenario } from './scenario.ts';
import { forgedSites, sitePair, talk } from './site-pair.ts';

const SOURCES = ['10.1.0.0/16', '10.1.0.2/32', '10.1.0.0/24', '10.1.0.0/17'];
const DESTINATIONS = ['10.2.0.0/16', '10.2.0.2/32', '10.2.0.0/24', '10.2.0.0/17'];
/** On one side only: what comes from the other site must not be sent back there. */
const WIDE = ['10.0.0.0/8', '0.0.0.0/0'];
const TUNNEL = 'src 10.1.0.0/16 dst 10.2.0.0/16 dir out';
const TEMPLATE = 'tmpl src 192.0.2.1 dst 192.0.2.2 proto esp reqid 1 mode tunnel';

function change(history: History, gate: Machine): void {
	const { random } = history;
	const wide = random.below(4);
	const source = random.pick(wide === 0 ? WIDE : SOURCES);
	const destination = random.pick(wide === 1 ? WIDE : DESTINATIONS);
	const selector = `src ${source} dst ${destination}`;
	const upper = random.pick(['', ' proto udp', ' proto udp dport 7']);
	const key = `${selector}${upper} dir out`;
	// Without the tunnel's own policy its traffic would go in clear, as it should then.
	if (random.chance(0.25) && key !== TUNNEL) {
		gate.run(`xfrm policy delete ${key}`);
	} else {
		const verb = random.pick(['add', 'update']);
		gate.run(`xfrm policy ${verb} ${key} priority ${random.pick([0, 0, 0, 1])} ${TEMPLATE}`);
	}
}

function build(history: History): void {
	const sites = sitePair(history, {}, { ipv4Only: true });
	talk(history, sites, 50);
	history.attacker(sites.wan, 20, forgedSites(sites));
	for (let i = 0; i < 80; i++) {
		history.sometime(() => change(history, sites.gateA));
	}
}

export const policyChurn: Scenario = {
	name: 'policy-churn',
	summary: 'policies that tie are added, updated and deleted',
	build,
};
