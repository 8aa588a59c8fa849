/** Two gateways with a wire between them, each with a daemon, an inner address on lo, and a charon. */
import assert from 'node:assert/strict';
import { Charon, type Connection } from './charon.ts';
import { type Host, Laboratory, type Running } from './laboratory.ts';

/** A thing to be shown, with what it is called. */
export interface Case {
	readonly name: string;
	/** Part of `npm test` as well. */
	readonly quick?: boolean;
	run(): Promise<void>;
}

export interface Ends {
	readonly laboratory: Laboratory;
	readonly a: Host;
	readonly b: Host;
	readonly daemonA: Running;
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

/** Makes the two ends, daemons included, and takes all away afterwards. */
export async function withEnds(run: (ends: Ends) => Promise<void>): Promise<void> {
	const laboratory = new Laboratory();
	try {
		const [a, b] = [laboratory.host('a'), laboratory.host('b')];
		const outer = (address: string): string => `${address}/${address.includes(':') ? 64 : 24}`;
		laboratory.wire(a, 'eth0', [outer(IPV4.a), outer(IPV6.a)], b, 'eth0', [
			outer(IPV4.b),
			outer(IPV6.b),
		]);
		for (const [host, own, peer] of [
			[a, 'innerA', 'b'],
			[b, 'innerB', 'a'],
		] as const) {
			for (const family of [IPV4, IPV6]) {
				host.must(`ip address add ${family[own]} dev lo`);
				host.must(`ip route add default via ${family[peer]}`);
			}
		}
		const [daemonA, daemonB] = await Promise.all([a.daemon(), b.daemon()]);
		await run({ laboratory, a, b, daemonA, daemonB });
	} finally {
		await laboratory.close();
	}
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
	{ a, b }: Ends,
	[left, right]: readonly [Connection, Connection],
): Promise<readonly [Charon, Charon]> {
	return Promise.all([Charon.start(a, left), Charon.start(b, right)]);
}

/** States that `ip xfrm state` lists, by direction seen from an address of the host. */
export function countStates(host: Host): number {
	return host.mustExec('ip xfrm state').match(/^src /gm)?.length ?? 0;
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
