/**
 * Alice and Bob have a tunnel of their own, which goes through the tunnel of their gateways: on the wire ESP
 * in ESP, and nothing in clear anywhere.
 */
import type { History } from '../history.ts';
import { forgedFlow } from '../history.ts';
import { delay } from '../links/link-node.ts';
import {
	arrivalPolicy,
	device,
	forwarding,
	moods,
	ordinary,
	outPolicy,
	type Scenario,
	seconds,
	tunnelPolicies,
} from './scenario.ts';

const ALICE = '10.1.0.2';
const BOB = '10.2.0.2';

function user(
	history: History,
	name: string,
	local: string,
	remote: string,
	gateway: string,
	peer: string,
): void {
	const ends = { local, remote, localNet: `${local}/32`, remoteNet: `${remote}/32`, reqid: 2 };
	history.machine(name, {
		setup: [
			...device('lan', `${local}/16`),
			`route add default via ${gateway}`,
			// The inner tunnel's own packets are for the gateway to protect.
			`${outPolicy(ends).replace(' dir out', ' proto udp dir out')}`,
			`${arrivalPolicy('in', ends).replace(' dir in', ' proto udp dir in')}`,
		],
		connections: [
			{ ...ordinary, name: 'inner', reqid: 2, peer, local, remote, lifetime: seconds(8, 15) },
		],
	});
}

function gate(
	history: History,
	name: string,
	lan: string,
	local: string,
	remote: string,
	nets: readonly [string, string],
): void {
	const [localNet, remoteNet] = nets;
	history.machine(name, {
		setup: [
			forwarding,
			...device('lan', `${lan}/16`),
			...device('wan', `${local}/24`),
			`route add ${remoteNet} via ${remote}`,
			...tunnelPolicies({ local, remote, localNet, remoteNet, reqid: 1 }),
		],
		connections: [
			{
				...ordinary,
				name: 'outer',
				reqid: 1,
				peer: name === 'gate-a' ? 'gate-b' : 'gate-a',
				local,
				remote,
			},
		],
	});
}

function build(history: History): void {
	user(history, 'alice', ALICE, BOB, '10.1.0.1', 'bob');
	gate(history, 'gate-a', '10.1.0.1', '192.0.2.1', '192.0.2.2', ['10.1.0.0/16', '10.2.0.0/16']);
	gate(history, 'gate-b', '10.2.0.1', '192.0.2.2', '192.0.2.1', ['10.2.0.0/16', '10.1.0.0/16']);
	user(history, 'bob', BOB, ALICE, '10.2.0.1', 'alice');
	const [alice, gateA, gateB, bob] = [...history.machines.values()];
	if (alice === undefined || gateA === undefined || gateB === undefined || bob === undefined) {
		throw new RangeError('four machines were made');
	}
	const inside = (name: string): ReturnType<History['link']> =>
		history.link(name, { clear: false, nodes: [delay(history.random.fork(name), 100)] });
	const lanA = inside('lan-a');
	const lanB = inside('lan-b');
	const wan = history.wan('wan');
	alice.plug('lan', lanA, 0);
	gateA.plug('lan', lanA, 1);
	gateA.plug('wan', wan, 0);
	gateB.plug('wan', wan, 1);
	gateB.plug('lan', lanB, 0);
	bob.plug('lan', lanB, 1);
	history.flows({ from: alice, to: BOB }, { from: bob, to: ALICE }, 60);
	history.attacker(wan, 30, [forgedFlow(BOB, ALICE, 0)]);
	history.attacker(lanA, 30, [forgedFlow(BOB, ALICE, 0)]);
	moods(history, [alice, bob, gateA, gateB]);
}

export const nestedTunnels: Scenario = {
	name: 'nested-tunnels',
	summary: 'a tunnel inside a tunnel',
	build,
};
