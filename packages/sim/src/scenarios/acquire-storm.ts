/**
 * Many policies without states, and everybody sends at once: larval states, hold queues, a key manager with
 * more to do than it likes.
 */
import type { History } from '../history.ts';
import type { Connection } from '../keys/connection.ts';
import { OTHER_PORT, USER_PORT } from '../traffic.ts';
import { arrivalPolicy, device, moods, ordinary, outPolicy, type Scenario } from './scenario.ts';

const NETS = 24;
const A = '192.0.2.1';
const B = '192.0.2.2';

function host(history: History, name: string, peer: string, isA: boolean): void {
	const [local, remote] = isA ? [A, B] : [B, A];
	const [own, other] = isA ? [1, 2] : [2, 1];
	const setup = [
		...device('wan', `${local}/24`),
		`sysctl net.core.xfrm_larval_drop ${history.random.below(2)}`,
	];
	const connections: Connection[] = [];
	for (let net = 0; net < NETS; net++) {
		const reqid = net + 1;
		const ends = {
			local,
			remote,
			localNet: `10.${own}.${net}.1/32`,
			remoteNet: `10.${other}.${net}.1/32`,
			reqid,
		};
		setup.push(
			`address add 10.${own}.${net}.1/32 dev wan`,
			`route add ${ends.remoteNet} via ${remote} src 10.${own}.${net}.1`,
			outPolicy(ends),
			arrivalPolicy('in', ends),
		);
		connections.push({ ...ordinary, name: `net-${net}`, reqid, peer, local, remote });
	}
	history.machine(name, { setup, connections });
}

function build(history: History): void {
	host(history, 'many-a', 'many-b', true);
	host(history, 'many-b', 'many-a', false);
	const wan = history.wan('wan');
	const ends = [...history.machines.values()];
	for (const [end, machine] of ends.entries()) {
		machine.plug('wan', wan, end);
		for (let net = 0; net < NETS; net++) {
			const flow = { from: machine, to: `10.${end === 0 ? 2 : 1}.${net}.1` };
			history.flow(flow, 1);
			const us = history.random.below(50_000);
			for (let i = 0; i < 3; i++) {
				history.agenda.after(us, () =>
					history.send(machine, flow.to, 100, i < 2 ? USER_PORT : OTHER_PORT),
				);
			}
		}
	}
	moods(history, ends);
}

export const acquireStorm: Scenario = {
	name: 'acquire-storm',
	summary: 'many flows ask for states at once',
	build,
};
