/** Keys are replaced again and again, by time and on demand, while traffic flows. */
import type { History } from '../history.ts';
import { moods, type Scenario, sealFaults, seconds } from './scenario.ts';
import { forgedSites, sitePair, talk } from './site-pair.ts';

function build(history: History): void {
	const sites = sitePair(history, { lifetime: seconds(history.random.between(2, 6), 12) });
	talk(history, sites, 100);
	history.attacker(sites.wan, 40, forgedSites(sites));
	for (let i = 0; i < 4; i++) {
		history.sometime(() => sites.gateA.keyManager?.rekeyAll());
	}
	moods(history, [sites.gateA, sites.gateB]);
	sealFaults(history);
}

export const rekeyUnderTraffic: Scenario = {
	name: 'rekey-under-traffic',
	summary: 'short lifetimes and rekeying on demand',
	build,
};
