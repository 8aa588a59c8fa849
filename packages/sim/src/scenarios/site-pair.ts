/**
 * Two sites as most scenarios have them:
 *
 *     alice 10.1.0.2 ─ lan-a ─ 10.1.0.1 gate-a 192.0.2.1 ─ wan ─ 192.0.2.2 gate-b 10.2.0.1 ─ lan-b ─ 10.2.0.2 bob
 */
import type { History } from '../history.ts';
import { forgedFlow } from '../history.ts';
import type { Connection } from '../keys/connection.ts';
import type { Link } from '../links/link.ts';
import type { Machine } from '../machine.ts';
import { device, forwarding, ordinary, tunnelPolicies, user } from './scenario.ts';

export interface SitePair {
	readonly alice: Machine;
	readonly bob: Machine;
	readonly gateA: Machine;
	readonly gateB: Machine;
	readonly wan: Link;
}

export const ALICE = '10.1.0.2';
export const BOB = '10.2.0.2';

/** Builds it; `settings` are those of the connection at both ends, `extra` commands of both gateways. */
export function sitePair(
	history: History,
	settings: Partial<Connection> = {},
	extra: readonly string[] = [],
): SitePair {
	const reqid = 1;
	const common = { ...ordinary, ...settings, name: 'sites', reqid };
	const a = {
		local: '192.0.2.1',
		remote: '192.0.2.2',
		localNet: '10.1.0.0/16',
		remoteNet: '10.2.0.0/16',
	};
	const b = { local: a.remote, remote: a.local, localNet: a.remoteNet, remoteNet: a.localNet };
	const gate = (name: string, lan: string, ends: typeof a, peer: string): Machine =>
		history.machine(name, {
			setup: [
				forwarding,
				...device('lan', `${lan}/16`),
				...device('wan', `${ends.local}/24`),
				`route add ${ends.remoteNet} via ${ends.remote}`,
				...tunnelPolicies({ ...ends, reqid }),
				...extra,
			],
			connections: [{ ...common, peer, local: ends.local, remote: ends.remote }],
		});
	const gateA = gate('gate-a', '10.1.0.1', a, 'gate-b');
	const gateB = gate('gate-b', '10.2.0.1', b, 'gate-a');
	const alice = user(history, 'alice', `${ALICE}/16`, '10.1.0.1');
	const bob = user(history, 'bob', `${BOB}/16`, '10.2.0.1');
	const lanA = history.lan('lan-a');
	const lanB = history.lan('lan-b');
	const wan = history.wan('wan');
	alice.plug('lan', lanA, 0);
	gateA.plug('lan', lanA, 1);
	gateA.plug('wan', wan, 0);
	gateB.plug('wan', wan, 1);
	gateB.plug('lan', lanB, 0);
	bob.plug('lan', lanB, 1);
	return { alice, bob, gateA, gateB, wan };
}

/** Datagrams that claim to come from the other site, put in on the way to each gateway. */
export const forgedSites: readonly ReturnType<typeof forgedFlow>[] = [
	forgedFlow(BOB, ALICE, 0),
	forgedFlow(ALICE, BOB, 1),
];

/** Traffic in both directions. */
export function talk(history: History, { alice, bob }: SitePair, count: number): void {
	history.flows({ from: alice, to: BOB }, { from: bob, to: ALICE }, count);
}
