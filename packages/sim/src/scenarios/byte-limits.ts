/** States end by octets and packets, soft limits bring new ones. */
import { UNLIMITED } from '@xfrm/wire/xfrm';
import type { History } from '../history.ts';
import { moods, type Scenario } from './scenario.ts';
import { forgedSites, sitePair, talk } from './site-pair.ts';

function build(history: History): void {
	const { random } = history;
	const softByteLimit = random.between(2_000, 8_000);
	const softPacketLimit = random.between(5, 20);
	const sites = sitePair(history, {
		lifetime: {
			...UNLIMITED,
			softByteLimit,
			hardByteLimit: softByteLimit + random.between(1_000, 6_000),
			softPacketLimit,
			hardPacketLimit: softPacketLimit + random.between(3, 20),
			hardAddExpiresSeconds: 40,
		},
	});
	talk(history, sites, 100);
	history.attacker(sites.wan, 30, forgedSites(sites));
	moods(history, [sites.gateA, sites.gateB]);
}

export const byteLimits: Scenario = {
	name: 'byte-limits',
	summary: 'limits of octets and packets',
	build,
};
