/** Faults in rules and hosts, of a gateway between 10.1.0.0/16 and a peer with 10.2.0.0/16 behind it. */
import { policy, state } from './explainer-fixture.test.ts';

/** Something that happens: seconds go by, a flow as text, octets that arrive by lan, or what the peer makes of a flow. */
export type Ask =
	| number
	| string
	| Uint8Array
	| { readonly peer: readonly string[]; readonly flow: string; readonly count?: number };

export interface Fault {
	readonly name: string;
	/** `ip` and `xfrm` commands. */
	readonly rules: readonly string[];
	readonly sysctls?: Readonly<Record<string, number>>;
	/** The last one is the packet that is lost, and sent again. */
	readonly asks: readonly Ask[];
	/** Words of the reason. */
	readonly says: RegExp;
	/** Words of the first fix: its text, then its commands. */
	readonly first: RegExp;
}

const HERE = '192.0.2.1';
const PEER = '198.51.100.7';
const OUT = 'src 10.1.0.0/16 dst 10.2.0.0/16 dir out';
const FWD = 'src 10.2.0.0/16 dst 10.1.0.0/16 dir fwd';
/** Sent by a host behind the gateway, and by one behind its peer. */
const ONWARD = 'src 10.1.0.5 dst 10.2.0.9 proto udp sport 5 dport 53 dir fwd dev lan';
const FROM_PEER = 'src 10.2.0.9 dst 10.1.0.5 proto udp sport 5 dport 53 dir fwd dev lan';
const outward = state(HERE, PEER, '0x101');
const inward = state(PEER, HERE, '0x202');

/** What comes from the peer, who has this state; its template's further words. */
function fromPeer(its: string = inward, tmpl: string = '', count: number = 1): Ask {
	return { peer: [its, policy('dir out', PEER, HERE, tmpl)], flow: FROM_PEER, count };
}

const link = (ifId: number): string[] => [
	`link add ipsec0 type xfrm dev wan if_id ${ifId}`,
	'link set ipsec0 up',
];

/** The first fragment of a long UDP packet. */
const FRAGMENT: Uint8Array = Uint8Array.from([
	...[0x45, 0, 0, 36, 0x12, 0x34, 0x20, 0, 64, 17, 0x34, 0x85],
	...[10, 1, 0, 5, 10, 2, 0, 9],
	...[0, 5, 0, 53, 4, 0, 0, 0],
	...new Array<number>(8).fill(0),
]);

const ESN = 'flag esn replay-window 64';
const espInside = inward.replace('mode tunnel', 'mode transport');
const ahOutside =
	`xfrm state add src ${PEER} dst ${HERE} proto ah spi 0x203 mode transport ` +
	"auth 'hmac(sha1)' 0x0123456789abcdef0123456789abcdef01234567";

const compression = `xfrm state add src ${PEER} dst ${HERE} proto comp spi 0x1234 mode tunnel comp deflate`;
const inside = espInside;
const thenEsp = 'tmpl proto esp mode transport';
const compressed = (level: string): string =>
	`${policy(FWD, PEER, HERE).replace('proto esp', 'proto comp')} ${level} ${thenEsp}`;
const COMPRESSED: Ask = {
	peer: [
		compression,
		inside,
		`${policy('dir out', PEER, HERE).replace('proto esp', 'proto comp')} ${thenEsp}`,
	],
	flow: `${FROM_PEER} length 800`,
};

const binding = (careOf: string): string =>
	`xfrm state add src 2001:db8:100::10 dst 2001:db8:300::9 proto hao reqid 0 mode ro coa ${careOf}`;
const correspondent = [
	'-6 addr add 2001:db8:300::9/64 dev wan',
	'-6 route add default dev wan',
	'xfrm policy add src 2001:db8:100::10 dst 2001:db8:300::9 dir in ptype sub tmpl proto hao mode ro level use',
];
const FROM_CARE_OF: Ask = {
	peer: [
		'-6 addr add 2001:db8:100::10/64 dev lan',
		'-6 addr add 2001:db8:201::77/64 dev wan',
		'-6 route add default dev wan',
		binding('2001:db8:201::77'),
		'xfrm policy add src 2001:db8:100::10 dst 2001:db8:300::9 dir out ptype sub tmpl proto hao mode ro',
	],
	flow: 'src 2001:db8:100::10 dst 2001:db8:300::9 proto udp sport 5 dport 53 dir out',
};

/** GRE with key 2, from behind the gateway to behind its peer. */
const GRE: Uint8Array = Uint8Array.from([
	...[0x45, 0, 0, 36, 0x12, 0x34, 0x40, 0, 64, 47, 0x14, 0x67],
	...[10, 1, 0, 5, 10, 2, 0, 9],
	...[0x20, 0, 8, 0, 0, 0, 0, 2],
	...new Array<number>(8).fill(0),
]);

export const FAULTS: readonly Fault[] = [
	{
		name: 'a state without the reqid of the template',
		rules: [outward, policy(OUT, HERE, PEER, 'reqid 1')],
		asks: [ONWARD],
		says: /by reqid: want 1, have 0/,
		first: /policy update .*mode tunnel/,
	},
	{
		name: 'the state is missing, and another tunnel between the same ends has one',
		rules: [
			state(HERE, PEER, '0x101', 'reqid 8'),
			policy('src 10.1.0.0/16 dst 10.9.0.0/16 dir out', HERE, PEER, 'reqid 8'),
			policy(OUT, HERE, PEER, 'reqid 9'),
		],
		asks: [ONWARD],
		says: /by reqid: want 9, have 8/,
		first: /add the state .*state add .* reqid 9 /,
	},
	{
		name: 'the inbound state is missing, and another tunnel between the same ends has one',
		rules: [
			state(PEER, HERE, '0x201', 'reqid 8').replace(/0x[0-9a-f]{40}/, `0x${'5a'.repeat(20)}`),
			policy('src 10.9.0.0/16 dst 10.1.0.0/16 dir fwd', PEER, HERE, 'reqid 8'),
			policy(FWD, PEER, HERE, 'reqid 9'),
		],
		asks: [fromPeer()],
		says: /by spi: want 0x00000201, have 0x00000202/,
		first: /the policies ask for .*spi 0x00000202 reqid 9 /,
	},
	{
		name: 'an SPI that is written in decimal here, in hexadecimal there',
		rules: [state(PEER, HERE, '1000'), policy(FWD, PEER, HERE)],
		asks: [fromPeer(state(PEER, HERE, '0x1000'))],
		says: /by spi: want 0x000003e8, have 0x00001000/,
		first: /give that state the SPI 0x00001000/,
	},
	{
		name: 'a state that expired while nothing was sent',
		rules: [state(HERE, PEER, '0x101', 'limit time-hard 60'), policy(OUT, HERE, PEER)],
		asks: [ONWARD, 61, ONWARD],
		says: /State 0x00000101 .* was there until it expired: limit time-hard 60\./,
		first: /state add .* KEY 128/,
	},
	{
		name: 'a state that expired, and the peer still sends by it',
		rules: [state(PEER, HERE, '0x202', 'limit time-use-hard 60'), policy(FWD, PEER, HERE)],
		asks: [fromPeer(), 61, fromPeer(inward, '', 2)],
		says: /State 0x00000202 .* was there until it expired: limit time-use-hard 60\./,
		first: /rekey state 0x00000202 in time.*state add (?!.*limit)/,
	},
	{
		name: 'a packet more than the limit of a state',
		rules: [state(HERE, PEER, '0x101', 'limit packet-hard 1'), policy(OUT, HERE, PEER)],
		asks: [ONWARD, ONWARD],
		says: /1 packets of packet-hard limit 1/,
		first: /rekey state 0x00000101 in time.*state add .*spi 0xc0de0001 .*KEY 128/,
	},
	{
		name: 'a packet more than the limit of a state, inbound',
		rules: [state(PEER, HERE, '0x202', 'limit packet-hard 1'), policy(FWD, PEER, HERE)],
		asks: [fromPeer(), fromPeer(inward, '', 2)],
		says: /1 packets of packet-hard limit 1/,
		first: /rekey state 0x00000202 in time.*state add (?!.*limit)/,
	},
	{
		name: 'a policy for a port, and fragments, which have none',
		rules: [
			outward,
			policy('src 10.1.0.0/16 dst 10.2.0.0/16 proto udp dport 53 dir out', HERE, PEER),
		],
		asks: [FRAGMENT],
		says: /by dport: want 53, have 0\. The packet is a fragment/,
		first: /for any port: fragments have none.*proto udp dir out/,
	},
	{
		name: 'only the state for the way out has encap, and the peer encapsulates too',
		rules: [
			state(HERE, PEER, '0x101', 'encap espinudp 4500 4500 0.0.0.0'),
			inward,
			policy(FWD, PEER, HERE),
		],
		asks: [fromPeer(state(PEER, HERE, '0x202', 'encap espinudp 4500 4500 0.0.0.0'))],
		says: /ESP in UDP \(ports 4500 → 4500\), but state 0x00000202 .* has no encap/,
		first: /give state 0x00000202 encap espinudp 4500 4500/,
	},
	{
		name: 'an XFRM interface that nothing is routed into',
		rules: [
			...link(2),
			state(HERE, PEER, '0x101', 'if_id 2'),
			policy(`${OUT} if_id 2`, HERE, PEER),
		],
		asks: [ONWARD],
		says: /by if_id: want 0x2, have 0x0/,
		first: /route 10\.2\.0\.0\/16 into ipsec0, .*route replace 10\.2\.0\.0\/16 dev ipsec0/,
	},
	{
		name: 'no XFRM interface of the if_id that the rules have',
		rules: [state(HERE, PEER, '0x101', 'if_id 2'), policy(`${OUT} if_id 2`, HERE, PEER)],
		asks: [ONWARD],
		says: /by if_id: want 0x2, have 0x0/,
		first: /link add ipsec0 type xfrm if_id 0x2 .*route replace 10\.2\.0\.0\/16 dev ipsec0/,
	},
	{
		name: 'an XFRM interface whose policy covers its own peer: only the host is routed into it',
		rules: [
			...link(2),
			state(HERE, PEER, '0x101', 'if_id 2'),
			policy('dst 0.0.0.0/0 dir out if_id 2', HERE, PEER),
		],
		asks: [ONWARD],
		says: /by if_id: want 0x2, have 0x0/,
		first: /route replace 10\.2\.0\.9 dev ipsec0/,
	},
	{
		name: 'a state with another if_id than interface and policy',
		rules: [
			...link(2),
			state(PEER, HERE, '0x202', 'if_id 1'),
			policy(`${FWD} if_id 2`, PEER, HERE),
		],
		asks: [fromPeer()],
		says: /by if_id: want 0x2, have 0x0/,
		first: /give state 0x00000202 the if_id of ipsec0 .*state add .* if_id 0x2/,
	},
	{
		name: 'a VTI with another key than the mark of the policies',
		rules: [
			`link add v0 type vti local ${HERE} remote ${PEER} key 5`,
			'link set v0 up',
			'route add 10.2.0.0/16 dev v0',
			state(HERE, PEER, '0x101', 'mark 6'),
			policy('dir out mark 6', HERE, PEER),
		],
		asks: [ONWARD],
		says: /by mark: want 0x6\/0xffffffff, have 0x5/,
		first: /give v0 okey 6: .* key 6$/,
	},
	{
		name: 'a route to the peer that leads into its own interface',
		rules: [
			...link(2),
			'route add 10.2.0.0/16 dev ipsec0',
			`route add ${PEER}/32 dev ipsec0`,
			state(HERE, PEER, '0x101', 'if_id 2'),
			policy(`${OUT} if_id 2`, HERE, PEER),
		],
		asks: [ONWARD],
		says: /The route to 198\.51\.100\.7, for the protected packet, leads back/,
		first: /route replace 198\.51\.100\.7 dev wan/,
	},
	{
		name: 'a state between the inner addresses of two gateways',
		rules: [state('10.1.0.1', '10.2.0.1', '0x101'), policy(OUT, HERE, PEER)],
		asks: [ONWARD],
		says: /by dst: want 198\.51\.100\.7, have 10\.2\.0\.1/,
		first: /between inner addresses.*state add src 192\.0\.2\.1 dst 198\.51\.100\.7 /,
	},
	{
		name: 'a template between the inner addresses of two gateways',
		rules: [outward, policy(OUT, '10.1.0.1', '10.2.0.1')],
		asks: [ONWARD],
		says: /by dst: want 10\.2\.0\.1, have 198\.51\.100\.7/,
		first: /has inner addresses.*policy update .*tmpl src 192\.0\.2\.1 dst 198\.51\.100\.7 /,
	},
	{
		name: 'a tunnel without a word of its mode, in state and policy',
		rules: [outward, policy(OUT, HERE, PEER)].map((rule) => rule.replace('mode tunnel', '')),
		asks: [ONWARD],
		says: /no state for its template \(esp transport 10\.1\.0\.5 → 10\.2\.0\.9/,
		first: /mode tunnel for policy out 1 and state 0x00000101/,
	},
	{
		name: 'templates in another order than the peer seals in',
		rules: [
			espInside,
			ahOutside,
			`xfrm policy add src ${PEER} dst ${HERE} dir in tmpl proto ah mode transport tmpl proto esp mode transport`,
		],
		asks: [
			{
				peer: [
					espInside,
					ahOutside,
					`xfrm policy add dst ${HERE} dir out tmpl proto esp mode transport tmpl proto ah mode transport`,
				],
				flow: `src ${PEER} dst ${HERE} proto udp sport 5 dport 53 dir out`,
			},
		],
		says: /These are the states of its templates, in another order/,
		first: /tmpl proto esp mode transport tmpl proto ah mode transport/,
	},
	{
		name: 'no state for what the peer has compressed',
		rules: [inside, compressed('level use')],
		asks: [COMPRESSED],
		says: /No state takes this comp packet .* There is no comp state at all/,
		first: /compression needs no key.*proto comp spi 0x00001234 .* comp deflate/,
	},
	{
		name: 'a replay window for IPComp, which has no numbers',
		rules: [inside, compression.replace('mode', 'replay-window 32 mode'), compressed('')],
		asks: [COMPRESSED],
		says: /IPComp has no sequence numbers, so a state with a replay window, 32, takes nothing/,
		first: /state add (?!.*replay-window).* comp deflate/,
	},
	{
		name: 'extended numbers whose upper half was lost by a restart',
		rules: [state(PEER, HERE, '0x202', `${ESN}`), policy(FWD, PEER, HERE)],
		asks: [fromPeer(state(PEER, HERE, '0x202', `${ESN} replay-oseq-hi 2`))],
		says: /The upper half of extended numbers, which no packet bears, is part of what is checked/,
		first: /upper half 0x2: .* replay-seq-hi 0x2 /,
	},
	{
		name: 'extended numbers at the other end only',
		rules: [state(PEER, HERE, '0x202', 'replay-window 32'), policy(FWD, PEER, HERE)],
		asks: [fromPeer(state(PEER, HERE, '0x202', ESN))],
		says: /with extended sequence numbers \(esn\), which no packet names/,
		first: /flag esn for state 0x00000202/,
	},
	{
		name: 'a mobile node that has moved on',
		rules: [...correspondent, binding('2001:db8:200::42')],
		asks: [FROM_CARE_OF],
		says: /want coa 2001:db8:200::42, have 2001:db8:201::77/,
		first: /state update .*proto hao .*coa 2001:db8:201::77/,
	},
	{
		name: 'a mobile node that nobody knows of',
		rules: correspondent,
		asks: [FROM_CARE_OF],
		says: /There is no hao state at all/,
		first: /state add .*proto hao .*coa 2001:db8:201::77/,
	},
	{
		name: 'a policy that has expired, out',
		rules: [
			outward,
			policy(`${OUT} priority 7`, HERE, PEER).replace('tmpl', 'limit time-hard 60 tmpl'),
		],
		asks: [ONWARD, 61, ONWARD],
		says: /Policy out 1 .* was there until it expired: limit time-hard 60\./,
		first: /policy out 1 reached its hard limit.*policy add .* priority 7 tmpl/,
	},
	{
		name: 'a policy that has expired, for what comes in',
		rules: [inward, policy(FWD, PEER, HERE).replace('tmpl', 'limit time-hard 60 tmpl')],
		asks: [61, fromPeer()],
		says: /Policy fwd 2 .* was there until it expired: limit time-hard 60\./,
		first: /policy fwd 2 reached its hard limit.*policy add .* dir fwd tmpl/,
	},
	{
		name: 'the port of a server as source port',
		rules: [
			outward,
			policy('src 10.1.0.0/16 dst 10.2.0.0/16 proto udp sport 53 dir out', HERE, PEER),
		],
		asks: [ONWARD],
		says: /by sport: want 53, have 5/,
		first: /for packets from it: for those to it .*proto udp dport 53 dir out/,
	},
	{
		name: 'the port of a server as destination port, for its answers',
		rules: [
			outward,
			policy('src 10.1.0.0/16 dst 10.2.0.0/16 proto udp dport 5 dir out', HERE, PEER),
		],
		asks: [ONWARD],
		says: /by dport: want 5, have 53/,
		first: /for packets to it: for those from it .*proto udp sport 5 dir out/,
	},
	{
		name: 'IPv6 in a tunnel by a link with a small MTU',
		rules: [
			'-6 addr add 2001:db8:1::1/64 dev lan',
			'-6 addr add 2001:db8:9::1/64 dev wan',
			'-6 route add default dev wan',
			'link set wan mtu 1300',
			state(HERE, PEER, '0x101', 'flag af-unspec'),
			policy('dst ::/0 dir out', HERE, PEER),
		],
		asks: ['src 2001:db8:1::5 dst 2001:db8:2::9 proto udp dport 53 length 1280 dir fwd dev lan'],
		says: /Too big: the packet of 1280 bytes/,
		first: /link set dev wan mtu 1344/,
	},
	{
		name: 'a policy for everything, and IPv6 beside it',
		rules: [
			'-6 addr add 2001:db8:9::1/64 dev wan',
			'-6 route add default dev wan',
			outward,
			policy('dst 0.0.0.0/0 dir out', HERE, PEER),
		],
		asks: ['src 2001:db8:1::5 dst 2001:db8:2::9 proto udp dport 53 dir fwd dev lan'],
		says: /by family: want ipv4, have ipv6/,
		first: /add the same for ::\/0.*policy add src ::\/0 .*flag af-unspec/,
	},
	{
		name: 'a policy for another GRE key',
		rules: [
			outward,
			policy('src 10.1.0.0/16 dst 10.2.0.0/16 proto gre key 65537 dir out', HERE, PEER),
		],
		asks: [GRE],
		says: /proto gre key 65537 .*, which does not match by key/,
		first: /proto gre key 2 dir out/,
	},
	{
		name: 'a fwd policy for everything, which takes what is to go into the tunnel too',
		rules: [outward, policy('dir out', HERE, PEER), policy('dir fwd', PEER, HERE)],
		asks: [ONWARD],
		says: /It takes both ways, what comes from the peer and this, which policy out 1 would protect/,
		first:
			/policy fwd 10 takes both ways.*policy add src 10\.1\.0\.5\/32 dst 10\.2\.0\.9\/32 .*dir fwd/,
	},
	{
		name: 'no route to where it was for, behind the tunnel',
		rules: [
			'route del default',
			'route del 10.1.0.0/16 dev lan',
			'route add 198.51.100.0/24 dev wan',
			inward,
			policy(FWD, PEER, HERE),
		],
		asks: [fromPeer()],
		says: /There is no route to the destination\. It had been opened by state 0x00000202/,
		first: /route add 10\.1\.0\.5 dev lan/,
	},
	{
		name: 'an XFRM interface whose policy is for another network than comes by it',
		rules: [
			...link(2),
			'route add 10.2.0.0/16 dev ipsec0',
			state(HERE, PEER, '0x101', 'if_id 2'),
			policy('src 10.9.0.0/16 dst 10.2.0.0/16 dir out if_id 2', HERE, PEER),
		],
		asks: [ONWARD],
		says: /by src: want 10\.9\.0\.0\/16, have 10\.1\.0\.5/,
		first: /policy add src 10\.1\.0\.0\/16 dst 10\.2\.0\.0\/16 dir out if_id 0x2 /,
	},
	{
		name: 'a VTI for another peer than the one with its mark',
		rules: [
			`link add v0 type vti local ${HERE} remote 203.0.113.9 key 5`,
			'link set v0 up',
			state(PEER, HERE, '0x202', 'mark 5'),
			policy('dir in mark 5', PEER, HERE),
		],
		asks: [fromPeer()],
		says: /by mark: want 0x5\/0xffffffff, have 0x0/,
		first: /link set v0 type vti local 192\.0\.2\.1 remote 198\.51\.100\.7 key 5$/,
	},
	{
		name: 'a VTI whose in policy has the mark of another',
		rules: [
			`link add v0 type vti local ${HERE} remote ${PEER} key 5`,
			'link set v0 up',
			state(PEER, HERE, '0x202', 'mark 5'),
			policy('src 10.2.0.0/16 dst 10.1.0.0/16 dir in mark 6', PEER, HERE),
		],
		asks: [fromPeer()],
		says: /by mark: want 0x6\/0xffffffff, have 0x5/,
		first: /policy add src 10\.2\.0\.0\/16 dst 10\.1\.0\.0\/16 dir in mark 0x5 /,
	},
];
