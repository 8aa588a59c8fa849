/**
 * The pages of docs/reasons.md: to each code which object is guilty, how to see it, and what to do. The meaning is
 * that of reason-codes.ts. Many codes share a page's advice; none is without.
 */

/** What a page says beside the meaning. */
export interface ReasonPage {
	/** The object to blame. */
	readonly guilty: string;
	/** A command that shows it. */
	readonly see: string;
	readonly todo: string;
}

const STATES = '`ip -s xfrm state` (as root), or the STATE station of the story with its losers.';
const POLICIES = '`ip -s xfrm policy`, or the POLICY station of the story with its losers.';
const CAPTURE = '`tcpdump -nnvvs0 -i DEV esp or ah or udp port 4500`, and the RECEIVE station.';
const NOTHING = 'Nothing: that is how it should be.';

const page = (guilty: string, see: string, todo: string): ReasonPage => ({ guilty, see, todo });

const fragment = page(
	'nobody',
	'`nstat -az IpReasmReqds Ip6ReasmReqds`; the FRAGMENT station.',
	'Give the other fragments as well, in order: only the whole datagram meets policies and states.',
);
const forged = page(
	'the sender, or somebody between',
	CAPTURE,
	'Capture at both ends and compare. A packet that is damaged at one place only was changed there.',
);
const ipFault = page(
	'the sender of the packet',
	'`nstat -az IpInHdrErrors Ip6InHdrErrors IpInDiscards`; XFRM had no part in it.',
	'Look at the packet octet by octet (`--bytes`). Hex that was typed has often a wrong length or checksum.',
);
const tooBig = page(
	'the MTU of the path, less what the states put around the packet',
	'`ip route get DST`; `ip route show cache`; the ICMP error in `packets`.',
	'Lower the MTU of the inner hosts to what the ICMP error says, clamp the MSS of TCP, and let ICMP "too big" through.',
);
const limits = page(
	'the limits of the state (`limit byte-hard`, `packet-hard`, `time-hard`)',
	'`ip -s xfrm state`: "lifetime config" and "lifetime current".',
	'Rekey before the hard limit: soft limits tell the key manager in time. Check that it runs and that the peer answers.',
);
const templates = page(
	'the templates of the policies together',
	POLICIES,
	'At most six templates: take some out, or let a sub policy have fewer.',
);
const provider = page(
	'this program, not the rules',
	'The states of the answer, with their algorithms.',
	'Ask with another packet, or take Linux for it: its kernel has the algorithm.',
);
const iptfs = page(
	'the IPTFS payload, or packets of it that were lost',
	STATES,
	'Look whether both ends are of mode iptfs, and whether outer packets are lost or reordered (reorder-window).',
);
const block = page(
	'a policy with `action block`',
	POLICIES,
	'Blocks are put there to keep traffic from leaving in clear: look why the policy that should come before (lower priority value) is missing.',
);
const defaultBlock = page(
	'the default policy (`ip xfrm policy setdefault`)',
	'`ip xfrm policy getdefault`; the DEFAULT station.',
	'Add a policy for the traffic, or set the default to accept.',
);
const inner = page(
	'the state, whose mode is not that of the sender',
	STATES,
	'Compare the mode of the state at both ends: tunnel, transport, beet.',
);
const direction = page(
	"the state's `dir`",
	'`ip xfrm state`: "dir in" or "dir out".',
	'Delete the state and add it with the other direction, or without one.',
);
const silent = page(
	'not known: no counter tells of it',
	'`nstat -az`, `dropwatch`, and the last station of the story.',
	'Look at the last station, and what stands under `assumed`.',
);
const clear = page(
	'nobody, or a policy that is missing or does not match',
	POLICIES,
	'If it should be protected, look at the losers: one field keeps the policy from matching. `--why-not` tells all.',
);
const exempt = page(
	'the sysctl `disable_xfrm` of the device that it leaves by',
	'`sysctl net.ipv4.conf.DEV.disable_xfrm net.ipv4.conf.all.disable_xfrm`; VTI set-ups set it for the real device.',
	'Set both to 0, unless somebody wants it so. For lo it is right: what stays on the host needs no protection.',
);
const optional = page(
	"the template's `level use`",
	POLICIES,
	'If it has to be protected, make the template `level required`, and see that a key manager answers the ACQUIRE.',
);
const malformed = page(
	'the packet, or its sender',
	CAPTURE,
	'Look whether the capture is cut (snap length), and whether an offload or a NAT changes packets on the way.',
);
const virtual = page(
	'the XFRM interface or VTI device',
	'`ip -d link show DEV`; `ip -s link show DEV`: errors count what it refuses.',
	'Compare if_id (or key) of device, policy and state, and the route to the outer destination.',
);

/** Codes by name; those of reason-codes.ts, all of them. */
export const REASON_PAGES: Readonly<Record<string, ReasonPage>> = {
	'out.policy.none': clear,
	'out.policy.allow': clear,
	'out.exempt': exempt,
	'fwd.exempt': exempt,
	'out.optional': optional,
	'out.transformed': page('nobody', STATES, NOTHING),
	'out.acquire': page(
		'the state that is missing, or the template that no state fits',
		'`ip xfrm monitor acquire`; the losers under STATE: usually reqid, mode, an address, mark or if_id.',
		'Where a state is near, give template and state the same values. Where none is, see why the key manager does not answer: is it running, can it reach the peer?',
	),
	'out.held': page(
		'the state that is missing; `net.core.xfrm_larval_drop` is 0',
		'`sysctl net.core.xfrm_larval_drop`; `ip xfrm state`: a larval state.',
		'As for out.acquire: the packet goes on when the state comes, and is dropped when nobody answers in time.',
	),
	'out.iptfs.queued': page('nobody', '`wait:` shows when it leaves.', NOTHING),
	'out.fragment': fragment,
	'in.policy.none': clear,
	'in.policy.allow': clear,
	'in.exempt': page(
		'the sysctl `disable_policy` of the device that it came by',
		'`sysctl net.ipv4.conf.DEV.disable_policy net.ipv4.conf.all.disable_policy`; VTI set-ups set it.',
		'Set both to 0, unless somebody wants it so: by such a device plain packets come in that policies would refuse.',
	),
	'in.optional': optional,
	'in.delivered': page('nobody', STATES, NOTHING),
	'in.iptfs.taken': page('nobody', STATES, 'Give the packets that follow: the rest is in them.'),
	'in.forwarded': page('nobody', STATES, NOTHING),
	'in.fragment': fragment,
	'in.keepalive': page('nobody', CAPTURE, NOTHING),
	'in.stream.message': page('nobody', CAPTURE, NOTHING),
	'in.stream.partial': page('nobody', CAPTURE, NOTHING),
	'fwd.policy.none': clear,
	'fwd.policy.allow': clear,
	'fwd.optional': optional,
	'fwd.transformed': page('nobody', STATES, NOTHING),
	'fwd.fragment': fragment,
	'key.hidden': page(
		'the dump, which hides keys',
		'`ip xfrm state` as root shows them; `xfrm save --show-keys` too.',
		'Ask again with the keys. Everything up to here is certain without them.',
	),
	'provider.algorithm': provider,

	'in.header.short': malformed,
	'in.stream.broken': malformed,
	'in.stream.short': malformed,
	'in.encap.short': malformed,
	'in.depth': page(
		'a packet in more than six layers',
		CAPTURE,
		'Look for a route that leads a tunnel into itself.',
	),
	'in.state.none': page(
		'the state that is missing, or the peer that uses one which is gone',
		STATES,
		'Compare SPI, destination and protocol with the states. After a restart of one end the other still has the old ones: rekey, or let dead peer detection do it.',
	),
	'in.state.spi': page(
		'the peer, which uses another SPI; or the state that was deleted or not yet made',
		STATES,
		'After a rekey: keep the old inbound state until the peer has changed over, and install the new one before it does.',
	),
	'in.state.dst': page(
		'the destination of the state',
		'`ip address`; `ip xfrm state`: "dst" has to be the address that the packet arrives at.',
		'Behind a NAT states have the private address (left=%defaultroute). Install the state anew with the address of this host.',
	),
	'in.state.src': page(
		'the source of the state',
		STATES,
		'Give the state the address of the peer.',
	),
	'in.state.proto': page(
		'the protocol of the state: esp, ah, comp',
		STATES,
		'Compare both ends: one uses AH where the other expects ESP.',
	),
	'in.state.family': page(
		'the family of the state',
		STATES,
		'Install the state for the outer addresses of the packet.',
	),
	'in.state.mark': page(
		'the mark of the state, or the firewall rule that should set it on arrival',
		'`nft list ruleset | grep mark`; `iptables -t mangle -S`; the HOOK station.',
		'Set the mark in mangle or raw prerouting, before the state is looked up; or take the mark from the state.',
	),
	'in.state.larval': page(
		'the key manager, which has not given the keys yet',
		'`ip xfrm state`: a state without algorithms; `ip xfrm monitor`.',
		'Look why the exchange of keys does not end.',
	),
	'in.state.invalid': page(
		'the state, which is expired or dead',
		STATES,
		'Rekey; look at its limits.',
	),
	'in.state.direction': direction,
	'in.state.encap': page(
		'`encap` of the state',
		'`ip xfrm state`: a line "encap type espinudp"; the packet: UDP port 4500, or plain ESP.',
		'Both ends have to see the NAT: IKE over port 4500, no middlebox that passes plain ESP one way only. By hand: the state with (or without) encap.',
	),
	'in.state.expired': limits,
	'in.replay.zero': forged,
	'in.replay.old': page(
		'the replay window, if packets are late; the sender, if it counts anew with the old key',
		'`ip -s xfrm state`: "replay-window", "stats: replay"; the CHECK station says how far behind.',
		'A little behind: a larger window (with many queues or QoS 128 and more). Far behind: the sender was restored or failed over with old numbers; it needs new keys.',
	),
	'in.replay.repeated': page(
		'whoever sent the packet twice',
		CAPTURE,
		'Duplicates come from bonding, mirrored ports, or an attacker: the window does its work. A capture on two interfaces shows a packet twice, too.',
	),
	'in.icv': page(
		'the key or algorithm of the state at one of the ends; or something that changes packets',
		'`ip -s xfrm state`: "stats: failed"; compare the states of this SPI at both ends (`--peer-rules`).',
		'Compare algorithm, key, length of the ICV (SHA-256: 96 or 128 bits) and ESN. AH does not go through a NAT.',
	),
	'in.algorithm.missing': provider,
	'in.iptfs.block': iptfs,
	'in.iptfs.gap': iptfs,
	'in.iptfs.header': iptfs,
	'in.iptfs.offset': iptfs,
	'in.iptfs.short': iptfs,
	'in.mode': inner,
	'in.esp.short': malformed,
	'in.esp.blocks': page(
		"the cipher of the state, which is not the sender's",
		STATES,
		'Compare the algorithms at both ends.',
	),
	'in.esp.padding': page(
		'the cipher or its key: the integrity check passed, the text is none',
		STATES,
		'Compare the encryption algorithm and its key at both ends.',
	),
	'in.esp.dummy': page(
		'nobody',
		STATES,
		'Nothing: traffic flow confidentiality sends dummies, and they end here.',
	),
	'in.ah.length': page(
		'the algorithm of the state',
		STATES,
		'Compare the algorithm and its truncation at both ends.',
	),
	'in.ah.options': malformed,
	'in.comp.inflate': page(
		'the compression of the sender',
		STATES,
		'Compare the algorithm of both ends: deflate.',
	),
	'in.binding.none': page(
		'the binding that is missing or old, or a forged packet',
		'`ip xfrm state show proto hao`, `proto route2`: addresses and "coa".',
		'After a handover the binding has to be updated first. A home address that no binding knows is refused on purpose.',
	),

	'check.flow': malformed,
	'check.selector': page(
		'the selector (`sel`) of the state',
		'`ip xfrm state`: "sel src … dst …".',
		'Widen the selector to the traffic, or let the sender keep to it: ports in it hold for transport mode.',
	),
	'check.policy.none': page(
		'the in or fwd policy that is missing: what a tunnel brings needs one',
		POLICIES,
		'For this host dir in, for what goes on dir fwd: add the one that is missing, with the template of the other.',
	),
	'check.default': defaultBlock,
	'check.block': block,
	'check.template': page(
		"the policy's template, or the sender that did not protect the packet as agreed",
		'The TEMPLATE station: want and have; `ip -s xfrm state` for the reqid.',
		"In clear: the sender's out policy did not match (its source address?), or the traffic needs a bypass policy. Through a state: give template and state the same reqid, mode and addresses.",
	),
	'check.extra': page(
		'the policy, which has fewer templates than the packet had tunnels',
		POLICIES,
		'Let the policy ask for all of them, in the order of sealing.',
	),
	'check.depth': templates,

	'out.policy.block': block,
	'out.policy.depth': templates,
	'out.default.block': defaultBlock,
	'out.template.source': page(
		"the route to the tunnel's end, which gives no source address",
		'`ip route get DST`.',
		'Give the device an address, or name the source in the template.',
	),
	'out.state.missing': page(
		'the state that is missing; a key manager was asked before, or none listens',
		'`ip xfrm state`; `ip xfrm monitor acquire`; the losers under STATE.',
		'As for out.acquire. Without a key manager add the state by hand; the peer needs the same.',
	),
	'out.state.missing-socket': page(
		"the state that the socket's own policy asks for",
		STATES,
		'Add the state, or take the policy from the socket.',
	),
	'out.state.unusable': page(
		"the state that would fit, but is expired, in error, or bears the template's SPI only",
		STATES,
		'Delete it and let the key manager make a new one.',
	),
	'out.state.direction': direction,
	'out.state.invalid': page(
		'the state, which is expired or dead',
		STATES,
		'Rekey; look at its limits.',
	),
	'out.state.expired': limits,
	'out.sequence.overflow': page(
		'the state, which has used its last number',
		'`ip -s xfrm state`: "oseq" near 0xffffffff.',
		'Rekey before it is reached; use extended sequence numbers (`flag esn`).',
	),
	'out.bundle.route': page(
		'the route to the outer destination',
		'`ip route get OUTER-DST`.',
		'Add the route. Where the tunnel covers everything (0.0.0.0/0), the way to its end has to be an exception.',
	),
	'out.route': page('the routes', '`ip route get DST`.', 'Add the route.'),
	'out.hold.full': page(
		'the key manager, which does not answer',
		'`ip xfrm monitor acquire`.',
		'As for out.acquire: meanwhile more packets wait than are kept.',
	),
	'out.room': malformed,
	'out.header': malformed,
	'out.forward.header': malformed,
	'out.iptfs.queue': page(
		'the queue of the state, or the rate of the sender',
		STATES,
		'Raise max-queue-size, or send more slowly.',
	),
	'out.mode.beet-fragment': page(
		'fragments in mode BEET',
		STATES,
		'Send smaller packets, or use a tunnel.',
	),
	'out.mode.headers': malformed,
	'out.mtu.iptfs': tooBig,
	'out.mtu.ipv4': tooBig,
	'out.mtu.ipv6': tooBig,
	'out.mtu.ipv6-tunnel': tooBig,
	'out.transform.algorithm': provider,
	'out.transform.crypto': provider,
	'out.transform.header': malformed,
	'out.transform.length': tooBig,
	'out.transform.socket': page(
		'the TCP connection of ESP in TCP, which is not there',
		'`ss -tn`.',
		'The key manager has to connect first.',
	),
	'out.too-big': tooBig,
	'fwd.too-big': tooBig,
	'out.error': silent,
	'out.silent': silent,
	'in.silent': silent,
	'fwd.silent': silent,

	'host.device-down': page('the device', '`ip link show DEV`.', '`ip link set DEV up`.'),
	'host.ipv4-header': ipFault,
	'host.ipv4-checksum': ipFault,
	'host.ipv4-options': ipFault,
	'host.ipv6-header': ipFault,
	'host.extension-header': ipFault,
	'host.routing-header': ipFault,
	'host.home-address-option': ipFault,
	'host.martian': page(
		"the source address: one of this host's own, or none that comes from outside",
		'`dmesg | grep martian` with `net.ipv4.conf.all.log_martians=1`.',
		'Look at the direction: a packet of this host is sent (`--dir out`), it does not arrive.',
	),
	'host.reverse-path': page(
		'the route back to the source, and `rp_filter`: strict (1) wants it by the device that it came by, ' +
			'loose (2) by any; the higher of the device’s and of `all` counts. What comes out of a state is not asked',
		'`ip route get SRC`, `sysctl net.ipv4.conf.all.rp_filter net.ipv4.conf.DEV.rp_filter`, `nstat -az TcpExtIPReversePathFilter`.',
		'`sysctl -w net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.DEV.rp_filter=2`, or a route to the source by the ' +
			'device; with routes by mark `net.ipv4.conf.all.src_valid_mark=1`.',
	),
	'host.no-route': page('the routes', '`ip route get DST`.', 'Add the route.'),
	'host.not-forwarding': page(
		'`net.ipv4.ip_forward` or `net.ipv6.conf.all.forwarding`',
		'`sysctl net.ipv4.ip_forward`.',
		'`sysctl -w net.ipv4.ip_forward=1`; or the packet was meant for this host, and the address is missing.',
	),
	'host.time-exceeded': page(
		'the TTL of the packet',
		'`traceroute`.',
		'Look for a loop of routes.',
	),
	'host.too-big': tooBig,
	'host.no-socket': page('the program that should listen', '`ss -lun`, `ss -ltn`.', 'Start it.'),
	'host.no-protocol': page(
		'the protocol of the packet',
		CAPTURE,
		'No program of this host takes it.',
	),
	'host.transport-header': ipFault,
	'host.transport-checksum': ipFault,
	'host.fragment': ipFault,
	'host.reassembly-timeout': page(
		'the fragments that were lost',
		'`nstat -az IpReasmFails Ip6ReasmFails`.',
		'Send packets that need no fragments: lower the MTU. Firewalls like to drop fragments.',
	),
	'host.loop': page(
		'routes and policies that lead in a circle',
		POLICIES,
		"Follow the stations: the tunnel's end is reached by the tunnel.",
	),
	'host.link-failure': virtual,
	'host.device-loop': virtual,
	'host.no-metadata': virtual,
	'host.icmp': ipFault,
	'daemon.port': page(
		'the key manager, which does not run, or whose port is not the `encap` port of the state',
		'`ss -ulpn` in the network namespace; `portless` of `xfrm top`.',
		'Start the key manager by `xfrm exec`. For a state made by hand, open the port of its `encap` with UDP_ENCAP.',
	),
	'daemon.plaintext': page(
		'who sent it in clear; or a selector that is wider than the tunnel',
		'`plaintext-in` and `plaintext-fwd` of `xfrm top`; `nft list counters table inet xfrm`; what it was, `tcpdump` tells.',
		'Ask for one such packet: `xfrm explain --daemon --dev DEVICE @capture.pcap` names the policy. It wants a bypass policy before it, or a peer that keeps to its tunnel.',
	),
	'daemon.leak': page(
		'source NAT, or a firewall rule that changes marks, behind the lookup of the policy',
		'`plaintext-out` of `xfrm top`; `nft list ruleset` for snat, masquerade and marks.',
		'Except the traffic of the tunnel from NAT, or mark it before it is routed.',
	),
	'daemon.ledger': page(
		"the disk under the daemon's state directory: full, or read-only",
		"The daemon's log; `df` of the directory; `unleased` of `xfrm top`.",
		'Make room, or name another directory by `--state-dir`: a number that is not on record is not used.',
	),
};
