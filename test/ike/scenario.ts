/** Two gateways with a wire between them, each with a data plane, an inner address on lo, and a charon. */
import assert from 'node:assert/strict';
import { Charon, type Connection, type Lines } from './charon.ts';
import { Guest } from './guest.ts';
import { type Host, Laboratory, type Plane, pause, type Running } from './laboratory.ts';

/** A thing to be shown, with what it is called. */
export interface Case {
	readonly name: string;
	/** Part of `npm test` as well. */
	readonly quick?: boolean;
	/** Answers a text when it has figures that belong in the table. */
	run(): Promise<unknown>;
}

/** A thing to be shown with each peer that it can be shown with: a row of the table of docs/interoperability.md. */
export interface Situation {
	readonly group: string;
	readonly name: string;
	readonly peers: readonly Plane[];
	/** Why it cannot pass yet, whoever the peer is: it is tried, and fails if it does pass. */
	readonly lacks?: string;
	/** Its first peer is part of `npm test`. */
	readonly quick?: boolean;
	run(peer: Plane): Promise<unknown>;
}

export const ALL_PEERS: readonly Plane[] = ['ourselves', 'kernel', 'libipsec'];
/** What libipsec cannot: other modes and transforms than ESP tunnels in UDP. */
export const WITH_TABLES: readonly Plane[] = ['ourselves', 'kernel'];

/** Ends that are always there: A is the daemon, B any peer. */
export interface PeerEnds {
	readonly laboratory: Laboratory;
	readonly a: Host;
	readonly b: Host;
	readonly daemonA: Running;
}

/** Two daemons. */
export interface Ends extends PeerEnds {
	readonly daemonB: Running;
}

/** Addresses of one family: the wire's, and the inner ones. */
export interface Addresses {
	readonly a: string;
	readonly b: string;
	readonly innerA: string;
	readonly innerB: string;
	readonly netA: string;
	readonly netB: string;
}

export const IPV4: Addresses = {
	a: '192.168.80.1',
	b: '192.168.80.2',
	innerA: '10.1.0.1',
	innerB: '10.2.0.1',
	netA: '10.1.0.0/24',
	netB: '10.2.0.0/24',
};

export const IPV6: Addresses = {
	a: '2001:db8:80::1',
	b: '2001:db8:80::2',
	innerA: '2001:db8:1::1',
	innerB: '2001:db8:2::1',
	netA: '2001:db8:1::/64',
	netB: '2001:db8:2::/64',
};

/** Is it an inner address of either family? */
export function isInner(address: string): boolean {
	return /^10\.[12]\./.test(address) || /^2001:db8:[12]:/.test(address);
}

let guest: Promise<Guest> | undefined;

/** The guest, booted when it is first asked for. */
export function theGuest(): Promise<Guest> {
	guest ??= Guest.boot();
	return guest;
}

/** Ends the guest, if there was one. */
export async function closeGuest(): Promise<void> {
	await (await guest?.catch(() => undefined))?.close();
	guest = undefined;
}

/** A host with a peer's data plane, which runs if it has to be started. */
export async function peerHost(laboratory: Laboratory, name: string, peer: Plane): Promise<Host> {
	return laboratory.host(name, peer, peer === 'kernel' ? await theGuest() : undefined);
}

/** Makes a laboratory and takes it away afterwards. */
export async function withLaboratory<T>(run: (laboratory: Laboratory) => Promise<T>): Promise<T> {
	const laboratory = new Laboratory();
	try {
		return await run(laboratory);
	} catch (error) {
		const { account } = laboratory;
		if (error instanceof Error && account !== '') {
			error.stack = `${error.stack}\n${account}`;
		}
		throw error;
	} finally {
		await laboratory.close();
	}
}

/** The addresses of one end: on its wire, on lo, and routes to all else. */
export function settle(host: Host, side: 'a' | 'b'): void {
	const [inner, other] = side === 'a' ? (['innerA', 'b'] as const) : (['innerB', 'a'] as const);
	for (const family of [IPV4, IPV6]) {
		host.must(`ip address add ${family[inner]} dev lo`);
		host.must(`ip route add default via ${family[other]}`);
	}
}

export function outerAddresses(side: 'a' | 'b'): readonly string[] {
	return [`${IPV4[side]}/24`, `${IPV6[side]}/64`];
}

/** Makes the two ends, data planes included, and takes all away afterwards. */
export function withPeer<T>(peer: Plane, run: (ends: PeerEnds) => Promise<T>): Promise<T> {
	return withLaboratory(async (laboratory) => {
		const a = laboratory.host('a');
		const b = await peerHost(laboratory, 'b', peer);
		laboratory.wire(a, 'eth0', outerAddresses('a'), b, 'eth0', outerAddresses('b'));
		settle(a, 'a');
		settle(b, 'b');
		const [daemonA] = await Promise.all([a.daemon(), peer === 'ourselves' ? b.daemon() : null]);
		return run({ laboratory, a, b, daemonA });
	});
}

/** The same with a daemon at both ends. */
export function withEnds<T>(run: (ends: Ends) => Promise<T>): Promise<T> {
	return withLaboratory(async (laboratory) => {
		const [a, b] = [laboratory.host('a'), laboratory.host('b')];
		laboratory.wire(a, 'eth0', outerAddresses('a'), b, 'eth0', outerAddresses('b'));
		settle(a, 'a');
		settle(b, 'b');
		const [daemonA, daemonB] = await Promise.all([a.daemon(), b.daemon()]);
		return run({ laboratory, a, b, daemonA, daemonB });
	});
}

/** The two halves of a connection. */
export function connectionOf(
	{ a, b, netA, netB }: Addresses,
	changes: Partial<Connection> = {},
): readonly [Connection, Connection] {
	return [
		{ local: a, remote: b, localTs: netA, remoteTs: netB, ...changes },
		{ local: b, remote: a, localTs: netB, remoteTs: netA, ...changes },
	];
}

/** Starts charon at both ends. */
export async function withCharons(
	{ a, b }: PeerEnds,
	[left, right]: readonly [Connection | readonly Connection[], Connection | readonly Connection[]],
	more: Lines = '',
): Promise<readonly [Charon, Charon]> {
	return Promise.all([Charon.start(a, left, more), Charon.start(b, right, more)]);
}

/** States that `ip xfrm state` lists. */
export function countStates(host: Host): number {
	return host.tables('state').match(/^src /gm)?.length ?? 0;
}

/** All pings came back. */
export function assertPings(
	host: Host,
	destination: string,
	count: number,
	options?: string,
): void {
	assert.equal(host.ping(destination, count, options), count, `pings to ${destination}`);
}

/** Pings ten milliseconds apart, for so many seconds, while something happens; how many went missing. */
export async function lossOver(
	host: Host,
	seconds: number,
	run: () => Promise<void>,
	destination: string = IPV4.innerB,
): Promise<number> {
	const count = 100 * seconds;
	const words = `ping -n -q -i 0.01 -W 1 -c ${count} ${destination}`;
	const traffic = host.start(words.split(' '));
	await pause(300);
	await run();
	assert.equal(traffic.hasEnded, false, 'pings went on all the time');
	await traffic.ended;
	const [, sent = '0', received = '0'] =
		/(\d+) packets transmitted, (\d+) received/.exec(traffic.stdout) ?? [];
	assert.equal(Number(sent), count);
	return count - Number(received);
}
