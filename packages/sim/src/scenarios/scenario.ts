/** What a scenario is, and the pieces that several of them are built of. */
import type { LifetimeConfig } from '@xfrm/wire/xfrm';
import { Mode, UNLIMITED } from '@xfrm/wire/xfrm';
import type { History } from '../history.ts';
import type { Connection } from '../keys/connection.ts';
import type { Mood } from '../keys/key-manager.ts';
import type { Link } from '../links/link.ts';
import type { Machine } from '../machine.ts';

export interface Scenario {
	readonly name: string;
	/** What it is about, in a few words. */
	readonly summary: string;
	/** Builds hosts, links and traffic, and plans what happens in the trouble. */
	build(history: History): void;
}

/** Expires by time, soft and hard. */
export function seconds(soft: number, hard: number): LifetimeConfig {
	return { ...UNLIMITED, softAddExpiresSeconds: soft, hardAddExpiresSeconds: hard };
}

/** What connections have unless told otherwise. */
export const ordinary: Pick<Connection, 'mode' | 'algorithm' | 'lifetime' | 'window'> = {
	mode: Mode.Tunnel,
	algorithm: 'gcm',
	lifetime: seconds(25, 40),
	window: 32,
};

/** One direction of a tunnel. */
export interface TunnelEnds {
	readonly local: string;
	readonly remote: string;
	readonly localNet: string;
	readonly remoteNet: string;
	readonly reqid: number;
}

/**
 * Policies of a gateway: what leaves for the other net, and what comes from it and goes on. There is
 * none for direction in: nothing from there is for the gateway itself.
 */
export function tunnelPolicies(ends: TunnelEnds): string[] {
	return [outPolicy(ends), `${arrivalPolicy('fwd', ends)}`];
}

export function outPolicy({ local, remote, localNet, remoteNet, reqid }: TunnelEnds): string {
	return (
		`xfrm policy add src ${localNet} dst ${remoteNet} dir out ` +
		`tmpl src ${local} dst ${remote} proto esp reqid ${reqid} mode tunnel`
	);
}

export function arrivalPolicy(direction: 'in' | 'fwd', ends: TunnelEnds): string {
	const { local, remote, localNet, remoteNet, reqid } = ends;
	return (
		`xfrm policy add src ${remoteNet} dst ${localNet} dir ${direction} ` +
		`tmpl src ${remote} dst ${local} proto esp reqid ${reqid} mode tunnel`
	);
}

export const forwarding = 'sysctl net.ipv4.ip_forward 1';

/** A host with one device and a gateway: what a user sits at. */
export function user(history: History, name: string, address: string, gateway: string): Machine {
	return history.machine(name, {
		setup: [
			'link add lan',
			'link set lan up',
			`address add ${address} dev lan`,
			`route add default via ${gateway}`,
		],
	});
}

/** A device with an address. */
export function device(name: string, address: string, mtu: number = 1500): string[] {
	return [
		`link add ${name}`,
		`link set ${name} mtu ${mtu} up`,
		`address add ${address} dev ${name}`,
	];
}

/** Some key managers are not well for a while. */
export function moods(history: History, machines: readonly Machine[]): void {
	const { random } = history;
	const mood = random.pick<Mood>(['well', 'well', 'late', 'dead', 'confused']);
	if (mood !== 'well') {
		const machine = random.pick(machines);
		const us = random.between(1_000_000, 15_000_000);
		history.sometime(() => history.moodFor(machine, mood, us));
	}
}

/** A link is cut for a while, in some histories. */
export function cuts(history: History, link: Link): void {
	if (history.random.chance(0.3)) {
		const us = history.random.between(500_000, 8_000_000);
		history.sometime(() => {
			link.partition.cut = true;
			history.agenda.after(us, () => {
				link.partition.cut = false;
			});
		});
	}
}

/** Seals fail now and then, in some histories. */
export function sealFaults(history: History): void {
	history.sealFaults = history.random.pick([0, 0, 0.05]);
}
