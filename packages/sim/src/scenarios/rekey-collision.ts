/** Both ends replace the same pair at nearly the same time, so that there are two new ones for a while. */
import type { History } from '../history.ts';
import type { Scenario } from './scenario.ts';
import { forgedSites, sitePair, talk } from './site-pair.ts';

function build(history: History): void {
	const sites = sitePair(history);
	talk(history, sites, 60);
	history.attacker(sites.wan, 40, forgedSites(sites));
	for (let i = 0; i < 6; i++) {
		history.sometime(() => {
			sites.gateA.keyManager?.rekeyAll();
			history.agenda.after(history.random.below(30_000), () => sites.gateB.keyManager?.rekeyAll());
		});
	}
}

export const rekeyCollision: Scenario = {
	name: 'rekey-collision',
	summary: 'both ends rekey at once',
	build,
};
