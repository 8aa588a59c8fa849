/** Extended sequence numbers pass 2^32 while an attacker plays old packets again. */
import type { History } from '../history.ts';
import { type Scenario, seconds } from './scenario.ts';
import { forgedSites, sitePair, talk } from './site-pair.ts';

function build(history: History): void {
	const { random } = history;
	const firstNumber = [random.below(2), 0xffff_ffff - random.between(10, 60)] as const;
	const sites = sitePair(history, {
		esn: { firstNumber },
		// Powers of two: around 2^32 Linux takes a number twice in windows that do not divide it (replay.ts).
		window: random.pick([32, 64, 128, 256]),
		algorithm: random.pick(['gcm', 'cbc-hmac'] as const),
		lifetime: seconds(200, 300),
	});
	talk(history, sites, 120);
	history.attacker(sites.wan, 200, forgedSites(sites));
}

export const esnWrap: Scenario = {
	name: 'esn-wrap',
	summary: 'extended sequence numbers pass 2^32',
	build,
};
