/**
 * Three gateways in a row, a tunnel from each to the next: the one in the middle opens, checks, and protects
 * anew what goes on.
 *
 *     alice ─ lan-a ─ gate-1 ═ wan-1 ═ gate-2 ═ wan-2 ═ gate-3 ─ lan-b ─ bob
 */
import type { History } from '../history.ts';
import { forgedFlow } from '../history.ts';
import type { Machine } from '../machine.ts';
import {
	arrivalPolicy,
	device,
	forwarding,
	moods,
	ordinary,
	outPolicy,
	type Scenario,
	type TunnelEnds,
	tunnelPolicies,
	user,
} from './scenario.ts';

const ALICE = '10.1.0.2';
const BOB = '10.2.0.2';
const NET_A = '10.1.0.0/16';
const NET_B = '10.2.0.0/16';
/** Ends of the tunnels: the first is `192.0.1.1` – `192.0.1.2`, the second `192.0.2.1` – `192.0.2.2`. */
const hop = (tunnel: number, end: number): string => `192.0.${tunnel}.${end}`;

function edge(history: History, name: string, lan: string, ends: TunnelEnds): Machine {
	return history.machine(name, {
		setup: [
			forwarding,
			...device('lan', `${lan}/16`),
			...device('wan', `${ends.local}/24`),
			`route add ${ends.remoteNet} via ${ends.remote}`,
			...tunnelPolicies(ends),
		],
		connections: [
			{
				...ordinary,
				name: `hop-${ends.reqid}`,
				reqid: ends.reqid,
				peer: 'gate-2',
				local: ends.local,
				remote: ends.remote,
			},
		],
	});
}

function middle(history: History): Machine {
	const toA = { local: hop(1, 2), remote: hop(1, 1), localNet: NET_B, remoteNet: NET_A, reqid: 1 };
	const toB = { local: hop(2, 1), remote: hop(2, 2), localNet: NET_A, remoteNet: NET_B, reqid: 2 };
	return history.machine('gate-2', {
		setup: [
			forwarding,
			...device('wan1', `${toA.local}/24`),
			...device('wan2', `${toB.local}/24`),
			`route add ${NET_A} via ${toA.remote}`,
			`route add ${NET_B} via ${toB.remote}`,
			...[toA, toB].flatMap((ends) => [outPolicy(ends), arrivalPolicy('fwd', ends)]),
		],
		connections: [
			{
				...ordinary,
				name: 'hop-1',
				reqid: 1,
				peer: 'gate-1',
				local: toA.local,
				remote: toA.remote,
			},
			{
				...ordinary,
				name: 'hop-2',
				reqid: 2,
				peer: 'gate-3',
				local: toB.local,
				remote: toB.remote,
			},
		],
	});
}

function build(history: History): void {
	const gate1 = edge(history, 'gate-1', '10.1.0.1', {
		local: hop(1, 1),
		remote: hop(1, 2),
		localNet: NET_A,
		remoteNet: NET_B,
		reqid: 1,
	});
	const gate2 = middle(history);
	const gate3 = edge(history, 'gate-3', '10.2.0.1', {
		local: hop(2, 2),
		remote: hop(2, 1),
		localNet: NET_B,
		remoteNet: NET_A,
		reqid: 2,
	});
	const alice = user(history, 'alice', `${ALICE}/16`, '10.1.0.1');
	const bob = user(history, 'bob', `${BOB}/16`, '10.2.0.1');
	const lanA = history.lan('lan-a');
	const lanB = history.lan('lan-b');
	const wan1 = history.wan('wan-1');
	const wan2 = history.wan('wan-2');
	alice.plug('lan', lanA, 0);
	gate1.plug('lan', lanA, 1);
	gate1.plug('wan', wan1, 0);
	gate2.plug('wan1', wan1, 1);
	gate2.plug('wan2', wan2, 0);
	gate3.plug('wan', wan2, 1);
	gate3.plug('lan', lanB, 0);
	bob.plug('lan', lanB, 1);
	history.flows({ from: alice, to: BOB }, { from: bob, to: ALICE }, 50);
	history.attacker(wan1, 30, [forgedFlow(BOB, ALICE, 0), forgedFlow(ALICE, BOB, 1)]);
	history.attacker(wan2, 30, [forgedFlow(BOB, ALICE, 0), forgedFlow(ALICE, BOB, 1)]);
	moods(history, [gate1, gate2, gate3]);
}

export const forwardingChain: Scenario = {
	name: 'forwarding-chain',
	summary: 'three gateways in a row, the middle one protects anew',
	build,
};
