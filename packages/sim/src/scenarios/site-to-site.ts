/** Two gateways and a tunnel, everything that can go wrong with it, an attacker on the way. */
import type { History } from '../history.ts';
import { cuts, moods, type Scenario, sealFaults } from './scenario.ts';
import { forgedSites, sitePair, talk } from './site-pair.ts';

function build(history: History): void {
	const algorithm = history.random.pick(['gcm', 'cbc-hmac'] as const);
	const window = history.random.pick([1, 16, 32]);
	const sites = sitePair(history, { algorithm, window });
	talk(history, sites, 60);
	history.attacker(sites.wan, 60, forgedSites(sites));
	moods(history, [sites.gateA, sites.gateB]);
	cuts(history, sites.wan);
	sealFaults(history);
}

export const siteToSite: Scenario = {
	name: 'site-to-site',
	summary: 'a tunnel between two gateways under faults and attacks',
	build,
};
