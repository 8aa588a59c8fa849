/**
 * What the kernel lists of sockets: who has a netlink socket and to which groups it listens
 * (/proc/net/netlink), and who has a UDP port (/proc/net/udp, udp6). Parsing is pure.
 *
 *     sk               Eth Pid        Groups   Rmem Wmem Dump Locks Drops Inode
 *     0000000000000000 2   1481003588 00000000 0    0    0    2     0     20406
 *
 *       sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode …
 *      100: 00000000:1194 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 20437 …
 */

export interface NetlinkSocketRow {
	readonly portId: number;
	/** Bit `1 << (group - 1)`. */
	readonly groups: number;
	readonly inode: number;
}

/** The sockets of a protocol in the text of /proc/net/netlink. */
export function netlinkSockets(text: string, protocol: number): NetlinkSocketRow[] {
	const rows: NetlinkSocketRow[] = [];
	for (const line of text.split('\n').slice(1)) {
		const [, eth, pid, groups, , , , , , inode] = line.trim().split(/\s+/);
		if (eth === String(protocol) && pid !== undefined && groups !== undefined) {
			rows.push({
				portId: Number(pid),
				groups: Number.parseInt(groups, 16) | 0,
				inode: Number(inode),
			});
		}
	}
	return rows;
}

export interface UdpSocketRow {
	/** Local address, 4 or 16 octets. */
	readonly address: Uint8Array;
	readonly port: number;
	readonly uid: number;
	readonly inode: number;
}

/** The sockets in the text of /proc/net/udp or udp6. */
export function udpSockets(text: string): UdpSocketRow[] {
	const rows: UdpSocketRow[] = [];
	for (const line of text.split('\n').slice(1)) {
		const fields = line.trim().split(/\s+/);
		const [address = '', port = ''] = (fields[1] ?? '').split(':');
		if (address.length === 8 || address.length === 32) {
			rows.push({
				address: wordsToOctets(address),
				port: Number.parseInt(port, 16),
				uid: Number(fields[7]),
				inode: Number(fields[9]),
			});
		}
	}
	return rows;
}

/** The kernel prints addresses as words of the machine, which is a little-endian one. */
function wordsToOctets(hex: string): Uint8Array {
	const octets = new Uint8Array(hex.length / 2);
	for (let i = 0; i < octets.length; i++) {
		const from = (i & ~3) + (3 - (i & 3));
		octets[i] = Number.parseInt(hex.slice(2 * from, 2 * from + 2), 16);
	}
	return octets;
}
