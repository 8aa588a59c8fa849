/** Marks of charon's own packets (`fwmark`), by which they are routed past what leads all else into a tunnel. */
import assert from 'node:assert/strict';
import type { Host } from './laboratory.ts';
import {
	assertPings,
	connectionOf,
	IPV4,
	isInner,
	type Situation,
	WITH_TABLES,
	withCharons,
	withPeer,
} from './scenario.ts';
import { WireWatch } from './wire-watch.ts';

const MARK = '0x42';
const PINGS = 3;

/** As strongSwan's guide to route-based VPNs has it. */
const SETTINGS = `plugins {
	socket-default { fwmark = ${MARK} }
	kernel-netlink { fwmark = !${MARK} }
}`;

/** Everything that has not the mark goes into the device of if_id 42, or into one that takes it nowhere. */
function leadAllInto(host: Host, inner: string): void {
	if (host.plane === 'kernel') {
		// The guest has no XFRM interfaces: policies without an if_id, which hold on any device.
		host.must('ip link add xfrm-42 type veth peer name nowhere');
		host.must('ip link set xfrm-42 up');
	}
	for (const device of ['all', 'eth0', 'xfrm-42']) {
		host.must(`sysctl -qw net.ipv4.conf.${device}.rp_filter=0`);
	}
	host.must(`ip route add default dev xfrm-42 src ${inner} table 100`);
	host.must(`ip rule add not fwmark ${MARK} table 100 pref 150`);
}

function notMarked(encap: boolean): Situation {
	const how = encap ? 'in UDP' : 'in plain ESP';
	return {
		group: 'Policies',
		name: `a default route into a device for all but charon’s marked packets (fwmark), ${how}`,
		peers: WITH_TABLES,
		run: (peer) =>
			withPeer(peer, async (pair) => {
				const { a, b } = pair;
				const child = `set_mark_out = ${MARK}`;
				const byIfId = `${child}\nif_id_in = 42\nif_id_out = 42`;
				const [left, right] = connectionOf(IPV4, { encap, child: byIfId });
				const [one, other] = await withCharons(
					pair,
					[left, peer === 'kernel' ? { ...right, child } : right],
					SETTINGS,
				);
				one.initiate();
				leadAllInto(a, IPV4.innerA);
				leadAllInto(b, IPV4.innerB);
				const watch = await WireWatch.start(a, 'eth0');
				assertPings(a, IPV4.innerB, PINGS, `-I ${IPV4.innerA}`);
				for (const charon of [one, other]) {
					charon.must('--rekey', '--child', 'net');
					charon.must('--rekey', '--ike', 'gw');
					assertPings(a, IPV4.innerB, PINGS, `-I ${IPV4.innerA}`);
				}
				const { esp, plain } = await watch.stop(isInner);
				assert.deepEqual([esp.length, plain], [6 * PINGS, 0]);
				// Without the mark nothing reaches the peer's own address.
				assert.equal(a.ping(IPV4.b, 1, '-W 0.3'), 0);
				one.must('--terminate', '--ike', 'gw');
				assert.equal(other.countChildren(), 0);
			}),
	};
}

export const markSituations: readonly Situation[] = [notMarked(false), notMarked(true)];
