/**
 * Two gateways whose tunnel is an XFRM interface: what is routed into it is protected by policies and states of its
 * if_id. Policies without one block the same packets beside it: without them, what comes in clear by another
 * device would be forwarded, as Linux does it.
 */
import type { History } from '../history.ts';
import type { Connection } from '../keys/connection.ts';
import {
	arrivalPolicy,
	cuts,
	moods,
	outPolicy,
	type Scenario,
	sealFaults,
	type TunnelEnds,
} from './scenario.ts';
import { forgedSites, type SiteTunnel, sitePair, talk } from './site-pair.ts';

function build(history: History): void {
	const { random } = history;
	const algorithm = random.pick(['gcm', 'cbc-hmac'] as const);
	const tunnel = (ends: TunnelEnds, connection: Connection): SiteTunnel => {
		// The two ends number theirs as they like.
		const ifId = random.between(1, 9);
		const { localNet, remoteNet } = ends;
		return {
			setup: [
				`link add x0 type xfrm dev wan if_id ${ifId}`,
				'link set x0 mtu 1400 up',
				`route add ${remoteNet} dev x0`,
				`${outPolicy(ends)} if_id ${ifId}`,
				`${arrivalPolicy('fwd', ends)} if_id ${ifId}`,
				`xfrm policy add src ${remoteNet} dst ${localNet} dir fwd action block`,
			],
			connections: [{ ...connection, ifId }],
		};
	};
	const sites = sitePair(history, { algorithm }, { tunnel });
	talk(history, sites, 50);
	history.attacker(sites.wan, 40, forgedSites(sites));
	moods(history, [sites.gateA, sites.gateB]);
	cuts(history, sites.wan);
	sealFaults(history);
}

export const interfacePair: Scenario = {
	name: 'interface-pair',
	summary: 'a tunnel between two gateways by XFRM interfaces',
	build,
};
