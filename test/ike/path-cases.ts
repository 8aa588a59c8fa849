/** Paths that are narrower than their first link, with a router between the gateways. */
import assert from 'node:assert/strict';
import { Charon } from './charon.ts';
import { type Host, Laboratory } from './laboratory.ts';
import { type Case, IPV4 } from './scenario.ts';

const A = '192.168.80.1';
const B = '192.168.81.2';
const NARROW = 1280;

/** The largest packet that goes to the other side whole, by asking for ever smaller ones. */
function largestWhole(host: Host): number {
	for (let octets = NARROW; octets > 1100; octets -= 2) {
		const { stdout } = host.run(
			`ping -n -c 2 -i 0.1 -W 0.3 -M do -s ${octets - 28} -I ${IPV4.innerA} ${IPV4.innerB}`,
		);
		if (/ [12] received/.test(stdout)) {
			return octets;
		}
	}
	return 0;
}

function narrowCase(encap: boolean, want: number): Case {
	return {
		name: `a path of ${NARROW} octets is told inward: ${want} ${encap ? 'in UDP' : 'in plain ESP'}`,
		run: async () => {
			const laboratory = new Laboratory();
			try {
				const [a, r, b] = ['a', 'r', 'b'].map((name) => laboratory.host(name)) as [
					Host,
					Host,
					Host,
				];
				laboratory.wire(a, 'eth0', [`${A}/24`], r, 'eth0', ['192.168.80.254/24']);
				laboratory.wire(r, 'eth1', ['192.168.81.254/24'], b, 'eth0', [`${B}/24`]);
				r.must('sysctl -qw net.ipv4.ip_forward=1');
				r.must(`ip link set eth1 mtu ${NARROW}`);
				b.must(`ip link set eth0 mtu ${NARROW}`);
				a.must(`ip address add ${IPV4.innerA} dev lo`);
				b.must(`ip address add ${IPV4.innerB} dev lo`);
				a.must('ip route add default via 192.168.80.254');
				b.must('ip route add default via 192.168.81.254');
				await Promise.all([a.daemon(), b.daemon()]);
				const { netA, netB } = IPV4;
				const [one] = await Promise.all([
					Charon.start(a, { local: A, remote: B, localTs: netA, remoteTs: netB, encap }),
					Charon.start(b, { local: B, remote: A, localTs: netB, remoteTs: netA, encap }),
				]);
				one.must('--initiate', '--child', 'net');
				// The first packet that is too long teaches the path, the next one is told of it.
				a.ping(IPV4.innerB, 3, `-M do -s 1300 -I ${IPV4.innerA}`);
				const { stdout, stderr } = a.run(
					`ping -n -c 1 -W 1 -M do -s 1300 -I ${IPV4.innerA} ${IPV4.innerB}`,
				);
				assert.match(stdout + stderr, new RegExp(`mtu ?= ?${want}`));
				assert.equal(largestWhole(a), want);
			} finally {
				await laboratory.close();
			}
		},
	};
}

export const pathCases: readonly Case[] = [narrowCase(false, 1226), narrowCase(true, 1218)];
