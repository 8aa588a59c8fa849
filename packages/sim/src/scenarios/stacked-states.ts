/**
 * Two gateways whose policies ask for two states: IPComp inside of ESP, or AH around it. Each has a life of its own,
 * so that there are times when one of the two is missing. In some histories sub policies stand before the main ones.
 */
import { Mode } from '@xfrm/wire/xfrm';
import type { History } from '../history.ts';
import type { Connection } from '../keys/connection.ts';
import { cuts, moods, type Scenario, sealFaults, seconds, type TunnelEnds } from './scenario.ts';
import { forgedSites, type SiteTunnel, sitePair, talk } from './site-pair.ts';

/** What is put around a packet first, and what around that. */
interface Stack {
	readonly tunnel: 'esp' | 'comp';
	readonly transport: 'esp' | 'ah';
}

const STACKS: readonly Stack[] = [
	{ tunnel: 'comp', transport: 'esp' },
	{ tunnel: 'esp', transport: 'ah' },
];

/** Templates of one direction. A packet that compression makes no shorter comes without IPComp. */
function templates(
	{ tunnel, transport }: Stack,
	from: string,
	to: string,
	reqid: number,
): string[] {
	const level = tunnel === 'comp' ? ' level use' : '';
	return [
		`tmpl src ${from} dst ${to} proto ${tunnel} reqid ${reqid} mode tunnel${level}`,
		`tmpl src ${from} dst ${to} proto ${transport} reqid ${reqid} mode transport`,
	];
}

function policies(stack: Stack, ends: TunnelEnds, sub: boolean): string[] {
	const { local, remote, localNet, remoteNet, reqid } = ends;
	const out = `xfrm policy add src ${localNet} dst ${remoteNet} dir out`;
	const arrival = `xfrm policy add src ${remoteNet} dst ${localNet}`;
	const inTemplates = templates(stack, remote, local, reqid).join(' ');
	// Linux takes no optional tunnel for direction out.
	const outTemplates = templates(stack, local, remote, reqid).join(' ').replace(' level use', '');
	return [
		// Of IPv6, templates of two policies are sorted, transport first (P-22): not the order wanted here.
		...(sub && !localNet.includes(':') ? [`${out} ptype sub`, `${arrival} dir fwd ptype sub`] : []),
		`${out} ${outTemplates}`,
		`${arrival} dir fwd ${inTemplates}`,
		// Behind a sub policy Linux looks for the main one in direction in, whatever is checked (P-22).
		`${arrival} dir in ${inTemplates}`,
	];
}

function connectionsOf({ tunnel, transport }: Stack, connection: Connection): Connection[] {
	const [inner, outer] = [
		tunnel === 'comp' ? ('deflate' as const) : connection.algorithm,
		transport === 'ah' ? ('ah' as const) : connection.algorithm,
	];
	return [
		{ ...connection, name: 'inner', algorithm: inner },
		{ ...connection, name: 'outer', algorithm: outer, mode: Mode.Transport },
	];
}

function build(history: History): void {
	const { random } = history;
	const stack = random.pick(STACKS);
	const sub = random.chance(0.4);
	const algorithm = random.pick(['gcm', 'cbc-hmac'] as const);
	const lifetime = random.pick([seconds(25, 40), seconds(12, 20)]);
	const tunnel = (ends: TunnelEnds, connection: Connection): SiteTunnel => ({
		setup: [`route add ${ends.remoteNet} dev wan`, ...policies(stack, ends, sub)],
		connections: connectionsOf(stack, connection),
	});
	const sites = sitePair(history, { algorithm, lifetime }, { oneFamily: true, tunnel });
	talk(history, sites, 40);
	history.attacker(sites.wan, 40, forgedSites(sites));
	moods(history, [sites.gateA, sites.gateB]);
	cuts(history, sites.wan);
	sealFaults(history);
}

export const stackedStates: Scenario = {
	name: 'stacked-states',
	summary: 'IPComp in ESP, or ESP in AH, behind sub policies or without',
	build,
};
