/**
 * Machines for `xfrm doctor`: namespaces of a guest with a real kernel, each with one thing wrong, or nothing.
 * In namespace `a` there is a gateway 192.0.2.1 with 10.1.0.0/16 behind it, its peer is 192.0.2.2.
 */

/** A machine, and what has to be found first on it. */
export interface SetUp {
	readonly name: string;
	/** What is done in namespace `a` after `base`; `$DOCTOR` looks at it then. */
	readonly script: string;
	/** Id of the first finding; undefined: no finding but notes. */
	readonly first: string | undefined;
	/** What the kernel can do is tried: other machines leave that out, for it takes seconds here. */
	readonly tries?: true;
	/** Made on the running kernel, whose packet filter has NAT; in a namespace of its own, without states. */
	readonly here?: true;
	/** Looks without the right to. */
	readonly unprivileged?: true;
}

/** The SPI is the rest of it. */
const KEY = '0x000102030405060708090a0b0c0d0e0f';

/** Commands of every machine: devices, and a tunnel between 10.1.0.0/16 and 10.2.0.0/16. */
export const BASE: string = `
lower() { ip link set lo up; ip link add eth0 type veth peer name eth0 netns b; ip link set eth0 up
	ip -n b link set eth0 up; ip address add 192.0.2.1/24 dev eth0; ip -n b address add 192.0.2.2/24 dev eth0
	ip link add lan type dummy; ip link set lan up; ip address add 10.1.0.1/16 dev lan
	ip route add 10.2.0.0/16 via 192.0.2.2; echo 1 >/proc/sys/net/ipv4/ip_forward; }
state() { ip xfrm state add src $1 dst $2 proto esp spi $3 reqid 1 mode tunnel replay-window 64 flag esn \\
	aead 'rfc4106(gcm(aes))' ${KEY}\${3#0x} 128 "\${@:4}"; }
states() { state 192.0.2.1 192.0.2.2 0x10000001 "$@"; state 192.0.2.2 192.0.2.1 0x10000002 "$@"; }
policy() { ip xfrm policy add src $1 dst $2 dir $3 tmpl src $4 dst $5 proto esp reqid 1 mode tunnel; }
policies() { policy 10.1.0.0/16 10.2.0.0/16 out 192.0.2.1 192.0.2.2
	policy 10.2.0.0/16 10.1.0.0/16 in 192.0.2.2 192.0.2.1; policy 10.2.0.0/16 10.1.0.0/16 fwd 192.0.2.2 192.0.2.1; }
alone() { ip link set lo up; ip link add eth0 type veth peer name lan; ip link set eth0 up; ip link set lan up
	ip address add 192.0.2.1/24 dev eth0; ip address add 10.1.0.1/16 dev lan
	ip route add 10.2.0.0/16 via 192.0.2.2; echo 1 >/proc/sys/net/ipv4/ip_forward; policies; owner charon "$@"; }
tunnel() { lower; states; policies; }
encap() { lower; states encap espinudp 4500 4500 0.0.0.0; policies; }
owner() { cp /usr/bin/python3 $DIR/$1; $DIR/$1 -c '
import socket, sys, time
for port in sys.argv[1:]:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", int(port)))
    s.setsockopt(socket.IPPROTO_UDP, 100, 2); globals()["s" + port] = s
print("open", flush=True); time.sleep(60)' "\${@:2}" >$DIR/opened & echo $! >>$DIR/owners
	until grep -qs open $DIR/opened; do sleep 0.1; done; }
nat() { nft add table ip nat; nft add chain ip nat post '{ type nat hook postrouting priority 100; }'
	nft add rule ip nat post $1; }
filter() { nft add table inet f; nft add chain inet f in "{ type filter hook input priority 0; $1 }"; }
`;

export const SET_UPS: readonly SetUp[] = [
	// Healthy.
	{ name: 'a gateway with a tunnel', script: 'tunnel', first: undefined },
	{ name: 'no rules at all', script: 'lower', first: undefined, tries: true },
	{
		name: 'ESP in UDP with a key manager',
		script: 'encap; owner charon 500 4500',
		first: undefined,
	},
	{
		name: 'masquerade behind an exception for IPsec',
		script: "alone; nat 'rt ipsec exists accept'; nft add rule ip nat post oifname eth0 masquerade",
		here: true,
		first: undefined,
	},
	{
		name: 'a filter that lets IPsec in, and strict sources',
		script: `alone 500 4500; filter 'policy drop;'; nft add rule inet f in meta l4proto esp accept
			nft add rule inet f in udp dport '{ 500, 4500 }' accept
			sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1`,
		first: undefined,
		here: true,
	}, // Broken.
	{
		name: 'an own address that is not here',
		script: 'tunnel; ip address del 192.0.2.1/24 dev eth0; ip address add 192.0.2.9/24 dev eth0',
		first: 'endpoint',
	},
	{ name: 'a device that is down', script: 'tunnel; ip link set eth0 down', first: 'link-down' },
	{
		name: 'no route to the peer',
		script: 'tunnel; ip route add unreachable 192.0.2.2',
		first: 'route',
	},
	{
		name: 'disable_xfrm',
		script: 'tunnel; sysctl -qw net.ipv4.conf.eth0.disable_xfrm=1',
		first: 'switched-off',
	},
	{
		name: 'disable_policy on all devices',
		script: 'tunnel; sysctl -qw net.ipv4.conf.all.disable_policy=1',
		first: 'switched-off',
	},
	{
		name: 'no forwarding',
		script: 'tunnel; sysctl -qw net.ipv4.ip_forward=0',
		first: 'forwarding',
	},
	{
		name: 'strict sources and another way back',
		script: `tunnel; ip link add wan2 type dummy; ip link set wan2 up; ip route add 192.0.2.2 dev wan2
			sysctl -qw net.ipv4.conf.eth0.rp_filter=1`,
		first: 'rp-filter',
	},
	{ name: 'ESP in UDP and no socket', script: 'encap', first: 'encap-port' },
	{
		name: 'an if_id without its interface',
		script: 'lower; states if_id 42; policies',
		first: 'if-id',
	},
	{
		name: 'IPv6 through a narrow path',
		script: `tunnel; ip link set eth0 mtu 1280
			ip xfrm policy add src 2001:db8:1::/48 dst 2001:db8:2::/48 dir out \\
				tmpl src 192.0.2.1 dst 192.0.2.2 proto esp reqid 1 mode tunnel`,
		first: 'mtu',
	},
	{ name: 'no state, and nobody to make one', script: 'lower; policies', first: 'key-manager' },
	{
		name: 'masquerade before the lookup',
		script: "alone; nat 'oifname eth0 masquerade'",
		first: 'masquerade',
		here: true,
	},
	{
		name: 'source NAT of the protected net',
		script: "alone; nat 'ip saddr 10.1.0.0/16 snat to 192.0.2.1'",
		first: 'masquerade',
		here: true,
	},
	{
		name: 'masquerade that spares another net only',
		script: "alone; nat 'ip daddr != 10.3.0.0/16 oifname eth0 masquerade'",
		first: 'masquerade',
		here: true,
	},
	{
		name: 'UDP 4500 is dropped',
		script: `alone 500 4500; filter 'policy accept;'; nft add rule inet f in udp dport 4500 drop`,
		first: 'filter-input',
		here: true,
	},
	{
		name: 'all but SSH is dropped',
		script: "alone 500 4500; filter 'policy drop;'; nft add rule inet f in tcp dport 22 accept",
		first: 'filter-input',
		here: true,
	},
	{
		name: 'no policy for forwarding',
		script: 'tunnel; ip xfrm policy delete src 10.2.0.0/16 dst 10.1.0.0/16 dir fwd',
		first: 'fwd-missing',
	},
	{
		name: 'another reqid in the template',
		script: `lower; states; policies
			ip xfrm policy update src 10.1.0.0/16 dst 10.2.0.0/16 dir out \\
				tmpl src 192.0.2.1 dst 192.0.2.2 proto esp reqid 7 mode tunnel; owner charon`,
		first: 'template-reqid',
	},
	{
		name: 'no replay window',
		script: `lower; policies; state 192.0.2.1 192.0.2.2 0x10000001
			ip xfrm state add src 192.0.2.2 dst 192.0.2.1 proto esp spi 0x10000002 reqid 1 mode tunnel \\
				aead 'rfc4106(gcm(aes))' ${KEY}10000002 128`,
		first: 'window-zero',
	},
	{
		name: 'two key managers',
		script: 'tunnel; owner charon 500; owner pluto 4500',
		first: 'key-managers',
	},
	{
		name: 'port 500 belongs to another',
		script: 'tunnel; owner dnsmasq 500; owner charon 4500',
		first: 'ike-port',
	},
	{
		name: 'a clock of 1999',
		script: 'tunnel; date -s 1999-01-01 >/run/date',
		first: 'clock',
	},
	{
		name: 'cleartext that a policy forbids',
		script: `tunnel; ip -n b address add 10.2.0.9/32 dev eth0; ip -n b route add 10.1.0.0/16 via 192.0.2.1
			ip netns exec b ping -c 2 -i 0.2 -W 1 -I 10.2.0.9 10.1.0.1 >/run/ping; true`,
		first: 'counter',
	},
	{ name: 'without the right', script: 'tunnel', first: 'xfrm', unprivileged: true },
	{
		name: 'no ESP',
		script: 'lower; rmmod esp4 esp6',
		first: 'transform',
		tries: true,
	},
];
