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

export const FAULTS: readonly Fault[] = [
	{
		name: 'a state without the reqid of the template',
		rules: [outward, policy(OUT, HERE, PEER, 'reqid 1')],
		asks: [ONWARD],
		says: /by reqid: want 1, have 0/,
		first: /policy update .*mode tunnel/,
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
];
