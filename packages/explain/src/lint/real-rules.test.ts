/**
 * Rules as key managers really install them, step by step: after none of them may lint call anything an
 * error. The commands are what charon (strongSwan) and pluto (libreswan) send, written as `ip xfrm`.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { linux61, linux619 } from '@xfrm/engine';
import { gatewayAt } from '../explainer-fixture.test.ts';
import { lintRules } from './lint.ts';

const ME = '192.0.2.1';
const PEER = '198.51.100.2';
const key = (spi: string): string => `0x${spi.slice(2).padStart(8, '7').repeat(5)}`;

function sa(src: string, dst: string, spi: string, more: string): string {
	return `xfrm state add src ${src} dst ${dst} proto esp spi ${spi} ${more} aead 'rfc4106(gcm(aes))' ${key(spi)} 128`;
}

// charon: CHILD_SA in tunnel mode, in UDP; the out template carries the SPI.
const LIMITS = 'limit time-hard 3960 limit time-soft 3300';
const C_IN = sa(
	PEER,
	ME,
	'0xc1111111',
	`reqid 1 mode tunnel replay-window 32 flag af-unspec ${LIMITS} encap espinudp 4500 4500 0.0.0.0`,
);
const C_OUT = sa(
	ME,
	PEER,
	'0xc2222222',
	`reqid 1 mode tunnel flag af-unspec ${LIMITS} encap espinudp 4500 4500 0.0.0.0`,
);
const C_IN2 = C_IN.replaceAll('c1111111', 'c3333333').replaceAll('11111111', '33333333');
const C_OUT2 = C_OUT.replaceAll('c2222222', 'c4444444').replaceAll('22222222', '44444444');
const pol = (verb: string, selector: string, dir: string, tmpl: string, priority: number): string =>
	`xfrm policy ${verb} ${selector} dir ${dir} priority ${priority} ${tmpl}`;
const TO = `src 10.1.0.0/16 dst 10.2.0.0/16`;
const BACK = `src 10.2.0.0/16 dst 10.1.0.0/16`;
const from = `tmpl src ${PEER} dst ${ME} proto esp reqid 1 mode tunnel`;
const to = (spi: string): string =>
	`tmpl src ${ME} dst ${PEER} proto esp spi ${spi} reqid 1 mode tunnel`;
const C_POLICIES = (verb: string, spi: string): string[] => [
	pol(verb, BACK, 'in', from, 375423),
	pol(verb, BACK, 'fwd', from, 375423),
	pol(verb, TO, 'out', spi === '0' ? to('0x0').replace('spi 0x0 ', '') : to(spi), 375423),
];

// pluto: ESN window 128, templates without SPI, neighbour discovery in clear.
const P_IN = sa(PEER, ME, '0x3000a001', 'reqid 16389 mode tunnel replay-window 128 flag af-unspec');
const P_OUT = sa(
	ME,
	PEER,
	'0x3000b001',
	'reqid 16389 mode tunnel replay-window 128 flag af-unspec',
);
const P_TMPL = (src: string, dst: string): string =>
	`tmpl src ${src} dst ${dst} proto esp reqid 16389 mode tunnel`;
const P_ND = ['out', 'in', 'fwd'].flatMap((dir) =>
	[135, 136].map(
		(type) =>
			`xfrm policy update src ::/0 dst ::/0 proto ipv6-icmp type ${type} dir ${dir} priority 1`,
	),
);
const P_POLICIES = [
	`xfrm policy update ${TO} dir out priority 1757393 ${P_TMPL(ME, PEER)}`,
	`xfrm policy update ${BACK} dir in priority 1757393 ${P_TMPL(PEER, ME)}`,
	`xfrm policy update ${BACK} dir fwd priority 1757393 ${P_TMPL(PEER, ME)}`,
];
const ANY_TMPL = 'tmpl src 0.0.0.0 dst 0.0.0.0 proto esp reqid 0 mode transport';
const P_TRAP = `xfrm policy update ${TO} dir out priority 1757393 ${ANY_TMPL}`;

/** Whose first packet made pluto negotiate. */
const CLIENT = 'src 10.1.0.5/32 dst 10.2.0.9/32';

const beet = (src: string, dst: string): string =>
	`tmpl src ${src} dst ${dst} proto esp reqid 5 mode beet`;

/** A road warrior behind an address of its own, with one of 10.3.0.0/24 inside. */
function poolClient(number: number): readonly string[] {
	const [client, inner] = [`203.0.113.${number + 1}`, `10.3.0.${number + 1}/32`];
	const spi = (base: number): string => `0x${(base + number).toString(16)}`;
	const reqid = 100 + number;
	const tmpl = (src: string, dst: string, more = ''): string =>
		`tmpl src ${src} dst ${dst} proto esp ${more} reqid ${reqid} mode tunnel`;
	const natted = 'encap espinudp 4500 4500 0.0.0.0';
	return [
		sa(
			client,
			ME,
			spi(0xca000000),
			`reqid ${reqid} mode tunnel replay-window 32 flag af-unspec ${LIMITS} ${natted}`,
		),
		sa(
			ME,
			client,
			spi(0xcb000000),
			`reqid ${reqid} mode tunnel flag af-unspec ${LIMITS} ${natted}`,
		),
		pol('add', `src ${inner} dst 10.1.0.0/16`, 'in', tmpl(client, ME), 371327),
		pol('add', `src ${inner} dst 10.1.0.0/16`, 'fwd', tmpl(client, ME), 371327),
		pol(
			'add',
			`src 10.1.0.0/16 dst ${inner}`,
			'out',
			tmpl(ME, client, `spi ${spi(0xcb000000)}`),
			371327,
		),
	];
}

const HISTORIES: Readonly<Record<string, readonly (readonly string[])[]>> = {
	'charon: trap, up, rekey, down': [
		C_POLICIES('add', '0'),
		[C_IN, C_OUT],
		C_POLICIES('update', '0xc2222222'),
		[C_IN2],
		[C_OUT2],
		C_POLICIES('update', '0xc4444444'),
		[`xfrm state delete src ${ME} dst ${PEER} proto esp spi 0xc2222222`],
		[`xfrm state delete src ${PEER} dst ${ME} proto esp spi 0xc1111111`],
		['out', 'in', 'fwd'].map((dir) => `xfrm policy delete ${dir === 'out' ? TO : BACK} dir ${dir}`),
	],
	'charon: two tunnels to one peer, one of them only a trap, and a bypass': [
		[C_IN, C_OUT],
		C_POLICIES('add', '0xc2222222'),
		[
			pol(
				'add',
				'src 10.1.0.0/16 dst 10.3.0.0/16',
				'out',
				to('0x0').replace('spi 0x0 ', '').replace('reqid 1', 'reqid 2'),
				375424,
			),
			pol(
				'add',
				'src 10.3.0.0/16 dst 10.1.0.0/16',
				'in',
				from.replace('reqid 1', 'reqid 2'),
				375424,
			),
			pol(
				'add',
				'src 10.3.0.0/16 dst 10.1.0.0/16',
				'fwd',
				from.replace('reqid 1', 'reqid 2'),
				375424,
			),
		],
		['in', 'fwd', 'out'].map((dir) =>
			pol('add', 'src 10.1.0.0/16 dst 10.1.0.0/16', dir, '', 175423),
		),
	],
	'charon: transport mode': [
		[
			`${sa(PEER, ME, '0xc5555555', `reqid 3 mode transport replay-window 32 ${LIMITS}`)} sel src ${PEER}/32 dst ${ME}/32`,
			`${sa(ME, PEER, '0xc6666666', `reqid 3 mode transport ${LIMITS}`)} sel src ${ME}/32 dst ${PEER}/32`,
		],
		[
			pol(
				'add',
				`src ${PEER}/32 dst ${ME}/32`,
				'in',
				'tmpl src 0.0.0.0 dst 0.0.0.0 proto esp reqid 3 mode transport',
				367231,
			),
			pol(
				'add',
				`src ${ME}/32 dst ${PEER}/32`,
				'out',
				'tmpl src 0.0.0.0 dst 0.0.0.0 proto esp spi 0xc6666666 reqid 3 mode transport',
				367231,
			),
		],
	],
	'charon: with compression': [
		[
			sa(PEER, ME, '0xc7777777', `reqid 4 mode transport replay-window 32 ${LIMITS}`),
			`xfrm state add src ${PEER} dst ${ME} proto comp spi 0x0000a111 reqid 4 mode tunnel flag af-unspec comp deflate`,
			sa(ME, PEER, '0xc8888888', `reqid 4 mode transport ${LIMITS}`),
			`xfrm state add src ${ME} dst ${PEER} proto comp spi 0x0000b111 reqid 4 mode tunnel flag af-unspec comp deflate`,
		],
		[
			pol(
				'add',
				BACK,
				'in',
				`tmpl src ${PEER} dst ${ME} proto comp reqid 4 mode tunnel level use tmpl src 0.0.0.0 dst 0.0.0.0 proto esp reqid 4 mode transport`,
				375423,
			),
			pol(
				'add',
				BACK,
				'fwd',
				`tmpl src ${PEER} dst ${ME} proto comp reqid 4 mode tunnel level use tmpl src 0.0.0.0 dst 0.0.0.0 proto esp reqid 4 mode transport`,
				375423,
			),
			pol(
				'add',
				TO,
				'out',
				`tmpl src ${ME} dst ${PEER} proto comp spi 0x0000b111 reqid 4 mode tunnel tmpl src 0.0.0.0 dst 0.0.0.0 proto esp spi 0xc8888888 reqid 4 mode transport`,
				375423,
			),
		],
	],
	'charon: behind NAT, the peer’s port is another one': [
		[
			C_IN.replace('espinudp 4500 4500', 'espinudp 61234 4500'),
			C_OUT.replace('espinudp 4500 4500', 'espinudp 4500 61234'),
		],
		C_POLICIES('add', '0xc2222222'),
	],
	'charon: BEET, the state has the inner addresses': [
		[
			`${sa(PEER, ME, '0xc9999991', `reqid 5 mode beet replay-window 32 ${LIMITS}`)} sel src 10.2.0.9/32 dst 10.1.0.1/32`,
			`${sa(ME, PEER, '0xc9999992', `reqid 5 mode beet ${LIMITS}`)} sel src 10.1.0.1/32 dst 10.2.0.9/32`,
		],
		['in', 'fwd'].map((dir) =>
			pol('add', 'src 10.2.0.9/32 dst 10.1.0.1/32', dir, beet(PEER, ME), 367231),
		),
		[pol('add', 'src 10.1.0.1/32 dst 10.2.0.9/32', 'out', beet(ME, PEER), 367231)],
	],
	'charon: shunts, one that blocks and one that lets pass, around a tunnel': [
		['in', 'fwd', 'out'].map((dir) =>
			pol('add', 'src 0.0.0.0/0 dst 0.0.0.0/0', dir, 'action block', 399999),
		),
		['in', 'fwd', 'out'].map((dir) =>
			pol('add', 'src 10.1.0.0/16 dst 10.1.0.0/16', dir, '', 175423),
		),
		[C_IN, C_OUT],
		C_POLICIES('add', '0xc2222222'),
		['in', 'fwd', 'out'].map((dir) => `xfrm policy delete src 0.0.0.0/0 dst 0.0.0.0/0 dir ${dir}`),
	],
	'charon: fifty clients with addresses of a pool': Array.from({ length: 50 }, (_, i) =>
		poolClient(i),
	),
	'pluto: blocked while it negotiates, then up, then a failure shunt': [
		P_ND,
		[P_TRAP],
		[`xfrm policy update ${CLIENT} dir out priority 1753000 action block`],
		[P_OUT, P_IN],
		P_POLICIES,
		[`xfrm policy delete ${CLIENT} dir out`],
		[`xfrm state delete src ${ME} dst ${PEER} proto esp spi 0x3000b001`],
		[`xfrm state delete src ${PEER} dst ${ME} proto esp spi 0x3000a001`],
		[`xfrm policy update ${TO} dir out priority 1757393 action block`],
	],
	'pluto: start, up, rekey, down to a trap': [
		P_ND,
		[P_OUT, P_IN],
		P_POLICIES,
		[P_OUT.replaceAll('3000b001', '3000b002')],
		[P_IN.replaceAll('3000a001', '3000a002')],
		[`xfrm state delete src ${ME} dst ${PEER} proto esp spi 0x3000b001`],
		[P_TRAP],
		[`xfrm policy delete ${BACK} dir in`],
		[`xfrm policy delete ${BACK} dir fwd`],
	],
	'charon: the tunnel ends at an address of lo': [
		['addr add 203.0.113.77/32 dev lo'],
		[C_IN.replaceAll(ME, '203.0.113.77'), C_OUT.replaceAll(ME, '203.0.113.77')],
		C_POLICIES('add', '0xc2222222').map((policy) => policy.replaceAll(ME, '203.0.113.77')),
	],
	'pluto: route-based, if_id': [
		[
			'link add ipsec1 type xfrm dev wan if_id 1',
			'link set ipsec1 up',
			'route add 10.2.0.0/16 dev ipsec1',
		],
		[`${P_OUT} if_id 1`, `${P_IN} if_id 1`],
		P_POLICIES.map((policy) => policy.replace('priority', 'if_id 1 priority')),
	],
};

describe('lint on what key managers install', () => {
	for (const profile of [linux61, linux619]) {
		for (const [name, steps] of Object.entries(HISTORIES)) {
			it(`${name}: no error, ${profile.name}`, () => {
				const explainer = gatewayAt('10.1.0.1/16', '192.0.2.1/24', [], profile);
				for (const [at, commands] of steps.entries()) {
					for (const command of commands) {
						const { status, stderr } = explainer.run(command);
						assert.equal(status, 0, `${command}: ${stderr}`);
					}
					const errors = lintRules(explainer.world, { hostKnown: true }).filter(
						({ severity }) => severity === 'error',
					);
					assert.deepEqual(
						errors.map(({ id, reason }) => `step ${at}: ${id}: ${reason}`),
						[],
					);
				}
			});
		}
	}
});
