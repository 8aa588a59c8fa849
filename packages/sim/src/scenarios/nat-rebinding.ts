/**
 * One gateway is behind a NAT box, ESP goes in UDP, and the box forgets its mappings now and then.
 *
 *     alice ─ lan-a ─ gate-a 172.16.0.2 ─ inside ─ [ NAT 192.0.2.1 ] ─ wan ─ 192.0.2.2 gate-b ─ lan-b ─ bob
 */
import type { History } from '../history.ts';
import { forgedFlow } from '../history.ts';
import { addressOf } from '../keys/connection.ts';
import { delay } from '../links/link-node.ts';
import { NatBox } from '../links/nat-box.ts';
import { device, forwarding, ordinary, type Scenario, tunnelPolicies, user } from './scenario.ts';

const PORT = 4500;
const INSIDE = '172.16.0.2';
const NAT = '192.0.2.1';
const GATE_B = '192.0.2.2';
const ALICE = '10.1.0.2';
const BOB = '10.2.0.2';

function build(history: History): void {
	const { random } = history;
	const reqid = 1;
	const common = { ...ordinary, name: 'nat', reqid, udpPort: PORT };
	const gateA = history.machine('gate-a', {
		setup: [
			forwarding,
			...device('lan', '10.1.0.1/16'),
			...device('wan', `${INSIDE}/24`),
			'route add default via 172.16.0.1',
			...tunnelPolicies({
				local: INSIDE,
				remote: GATE_B,
				localNet: '10.1.0.0/16',
				remoteNet: '10.2.0.0/16',
				reqid,
			}),
		],
		connections: [{ ...common, peer: 'gate-b', local: INSIDE, remote: GATE_B }],
		encapPort: PORT,
	});
	const gateB = history.machine('gate-b', {
		setup: [
			forwarding,
			...device('lan', '10.2.0.1/16'),
			...device('wan', `${GATE_B}/24`),
			`route add 10.1.0.0/16 via ${NAT}`,
			...tunnelPolicies({
				local: GATE_B,
				remote: NAT,
				localNet: '10.2.0.0/16',
				remoteNet: '10.1.0.0/16',
				reqid,
			}),
		],
		connections: [{ ...common, peer: 'gate-a', local: GATE_B, remote: NAT }],
		encapPort: PORT,
	});
	const alice = user(history, 'alice', `${ALICE}/16`, '10.1.0.1');
	const bob = user(history, 'bob', `${BOB}/16`, '10.2.0.1');
	const lanA = history.lan('lan-a');
	const lanB = history.lan('lan-b');
	const inside = history.link('inside', {
		clear: false,
		nodes: [delay(random.fork('inside'), 200)],
	});
	const wan = history.wan('wan');
	alice.plug('lan', lanA, 0);
	gateA.plug('lan', lanA, 1);
	gateA.plug('wan', inside, 0);
	gateB.plug('wan', wan, 1);
	gateB.plug('lan', lanB, 0);
	bob.plug('lan', lanB, 1);
	const box = new NatBox(addressOf(NAT).address, { link: inside, end: 1 }, { link: wan, end: 0 });
	const insideAddress = addressOf(INSIDE).address;
	history.portSeenOf = (name) => (name === 'gate-a' ? box.portOf(insideAddress, PORT) : PORT);
	for (let i = 0; i < 3; i++) {
		history.sometime(() => box.rebind());
	}
	history.flows({ from: alice, to: BOB }, { from: bob, to: ALICE }, 60);
	history.attacker(wan, 40, [forgedFlow(ALICE, BOB, 1)]);
}

export const natRebinding: Scenario = {
	name: 'nat-rebinding',
	summary: 'ESP in UDP through a NAT box that changes its ports',
	build,
};
