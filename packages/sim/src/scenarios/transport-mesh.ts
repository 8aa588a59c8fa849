/**
 * Three hosts, each protects what it sends to each other one, in transport mode, over IPv4 or IPv6. Two
 * connections a pair: reqid 0 for one port, a reqid of its own for the other.
 */
import { Mode } from '@xfrm/wire/xfrm';
import type { History } from '../history.ts';
import type { Connection } from '../keys/connection.ts';
import type { Machine } from '../machine.ts';
import { OTHER_PORT, USER_PORT } from '../traffic.ts';
import { device, moods, ordinary, type Scenario, sealFaults } from './scenario.ts';

const PAIRS = [
	[0, 1],
	[1, 2],
	[0, 2],
] as const;

interface Wire {
	readonly pair: number;
	readonly local: string;
	readonly remote: string;
	readonly peer: string;
}

/** Required first, then an optional one: that one takes nothing from the packet's path (I-15). */
function policies({ local, remote }: Wire, port: number, reqid: number): string[] {
	const upper = `proto udp dport ${port}`;
	const template = `tmpl proto esp reqid ${reqid} mode transport`;
	const optional = 'tmpl proto esp mode transport level use';
	return [
		`xfrm policy add src ${local} dst ${remote} ${upper} dir out ${template}`,
		`xfrm policy add src ${remote} dst ${local} ${upper} dir in ${template} ${optional}`,
	];
}

function connectionsOf({ pair, local, remote, peer }: Wire): Connection[] {
	const common = { ...ordinary, mode: Mode.Transport, peer, local, remote };
	return [
		{ ...common, name: `plain-${pair}`, reqid: 0 },
		{ ...common, name: `other-${pair}`, reqid: 10 + pair },
	];
}

function build(history: History): void {
	const ipv6 = history.random.chance(0.5);
	const names = ['ann', 'ben', 'cat'];
	const addressAt = (pair: number, end: number): string =>
		ipv6 ? `2001:db8:${pair}::${end + 1}` : `192.0.${pair}.${end + 1}`;
	const wires = names.map((_, i) =>
		PAIRS.flatMap(([one, other], pair): Wire[] => {
			const end = one === i ? 0 : other === i ? 1 : -1;
			const peer = names[end === 0 ? other : one] ?? '';
			return end < 0
				? []
				: [{ pair, local: addressAt(pair, end), remote: addressAt(pair, 1 - end), peer }];
		}),
	);
	const machines = names.map((name, i): Machine => {
		const own = wires[i] ?? [];
		return history.machine(name, {
			setup: own.flatMap((wire) => [
				...device(`d${wire.pair}`, `${wire.local}/${ipv6 ? 64 : 24}`),
				...policies(wire, USER_PORT, 0),
				...policies(wire, OTHER_PORT, 10 + wire.pair),
			]),
			connections: own.flatMap(connectionsOf),
		});
	});
	for (const [pair, ends] of PAIRS.entries()) {
		const link = history.wan(`wire-${pair}`);
		history.attacker(link, 25);
		for (const [end, i] of ends.entries()) {
			const machine = machines[i];
			machine?.plug(`d${pair}`, link, end);
			if (machine !== undefined) {
				const to = addressAt(pair, 1 - end);
				history.flow({ from: machine, to, port: USER_PORT }, 15);
				history.flow({ from: machine, to, port: OTHER_PORT }, 15);
			}
		}
	}
	moods(history, machines);
	sealFaults(history);
}

export const transportMesh: Scenario = {
	name: 'transport-mesh',
	summary: 'three hosts in transport mode, two connections a pair',
	build,
};
