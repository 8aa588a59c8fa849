/**
 * A router between the gateways has a link of a smaller MTU: it drops the tunnel's packets and says so, the
 * gateway learns and tells the users, who cut what they send.
 */
import type { History } from '../history.ts';
import { delay, mtu } from '../links/link-node.ts';
import { device, forwarding, ordinary, type Scenario, tunnelPolicies, user } from './scenario.ts';

const ALICE = '10.1.0.2';
const BOB = '10.2.0.2';

function build(history: History): void {
	const narrow = history.random.pick([1000, 1280, 1400, 1480]);
	const reqid = 1;
	const common = { ...ordinary, name: 'narrow', reqid };
	const ends = {
		local: '192.0.2.1',
		remote: '198.51.100.1',
		localNet: '10.1.0.0/16',
		remoteNet: '10.2.0.0/16',
	};
	const gateA = history.machine('gate-a', {
		setup: [
			forwarding,
			...device('lan', '10.1.0.1/16'),
			...device('wan', '192.0.2.1/24'),
			'route add default via 192.0.2.254',
			...tunnelPolicies({ ...ends, reqid }),
		],
		connections: [{ ...common, peer: 'gate-b', local: ends.local, remote: ends.remote }],
	});
	const gateB = history.machine('gate-b', {
		setup: [
			forwarding,
			...device('lan', '10.2.0.1/16'),
			...device('wan', '198.51.100.1/24'),
			'route add default via 198.51.100.254',
			...tunnelPolicies({
				local: ends.remote,
				remote: ends.local,
				localNet: ends.remoteNet,
				remoteNet: ends.localNet,
				reqid,
			}),
		],
		connections: [{ ...common, peer: 'gate-a', local: ends.remote, remote: ends.local }],
	});
	const router = history.machine('router', {
		setup: [
			forwarding,
			...device('a', '192.0.2.254/24'),
			...device('b', '198.51.100.254/24', narrow),
		],
	});
	const alice = user(history, 'alice', `${ALICE}/16`, '10.1.0.1');
	const bob = user(history, 'bob', `${BOB}/16`, '10.2.0.1');
	const lanA = history.lan('lan-a');
	const lanB = history.lan('lan-b');
	const wide = history.wan('wide');
	const thin = history.link('thin', {
		clear: false,
		nodes: [mtu(1500), delay(history.random.fork('thin'), 3_000)],
	});
	alice.plug('lan', lanA, 0);
	gateA.plug('lan', lanA, 1);
	gateA.plug('wan', wide, 0);
	router.plug('a', wide, 1);
	router.plug('b', thin, 0);
	gateB.plug('wan', thin, 1);
	gateB.plug('lan', lanB, 0);
	bob.plug('lan', lanB, 1);
	const octets = [100, 900, 1300, 1400];
	history.flows({ from: alice, to: BOB, octets }, { from: bob, to: ALICE, octets }, 50);
	history.attacker(wide, 20);
}

export const pathMtu: Scenario = {
	name: 'path-mtu',
	summary: 'a narrow link behind the tunnel, learned by ICMP errors',
	build,
};
