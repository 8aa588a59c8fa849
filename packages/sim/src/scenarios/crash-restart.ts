/** One end loses everything, starts anew, and the other end has states that nobody shares any more. */
import type { History } from '../history.ts';
import type { Scenario } from './scenario.ts';
import { forgedSites, sitePair, talk } from './site-pair.ts';

function build(history: History): void {
	const sites = sitePair(history);
	talk(history, sites, 60);
	history.attacker(sites.wan, 40, forgedSites(sites));
	for (let i = history.random.between(1, 3); i > 0; i--) {
		const victim = history.random.pick([sites.gateA, sites.gateB]);
		history.sometime(() => victim.crash());
	}
}

export const crashRestart: Scenario = {
	name: 'crash-restart',
	summary: 'one end crashes and starts anew',
	build,
};
