/** Fixes that people came to in public threads (docs/cases): ways around, neighbours, blocks, families, lengths. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseHex } from '@xfrm/wire';
import { ask, gateway, gatewayAt, KEY, policy, state } from './explainer-fixture.test.ts';
import { findFixes } from './fixes.ts';

const [HERE, THERE] = ['192.0.2.1', '198.51.100.7'];
const OUT = policy('src 10.1.0.0/16 dst 10.2.0.0/16 dir out priority 100', HERE, THERE, 'reqid 5');
const SEALED = state(HERE, THERE, '0x101', 'reqid 5');
const FLOW = 'src 10.1.0.5 dst 10.2.0.9 proto udp dport 53 dir fwd dev lan';

/** The first fix: what became of the packet, and its commands. */
function firstFix(explainer: ReturnType<typeof gateway>, flow: string): string {
	ask(explainer, flow);
	const [fix] = findFixes(explainer, { keyName: () => 'key#1' });
	return fix === undefined ? 'none' : `${fix.outcome}: ${fix.commands.join('; ')}`;
}

describe('the first fix', () => {
	it('lets a forwarded packet come before a block that an out policy is meant for', () => {
		const explainer = gateway(SEALED, OUT, 'xfrm policy add dir fwd priority 999 action block');
		const add = 'ip xfrm policy add src 10.1.0.0/16 dst 10.2.0.0/16 dir fwd priority 100';
		assert.equal(firstFix(explainer, FLOW), `transform: ${add}`);
	});

	it('gives a tunnel template without addresses those of the state', () => {
		const blank = 'src 10.1.0.0/16 dst 10.2.0.0/16 dir out';
		const explainer = gateway(SEALED, policy(blank, '0.0.0.0', '0.0.0.0', 'reqid 5'));
		const update = `ip xfrm policy update ${blank} tmpl src ${HERE} dst ${THERE} proto esp reqid 5 mode tunnel`;
		assert.equal(firstFix(explainer, FLOW), `transform: ${update}`);
	});

	it('opens a state for packets of another family than its own', () => {
		const [here, there] = ['2001:db8::1', '2001:db8::2'];
		const explainer = gatewayAt('10.1.0.1/16', '2001:db8::1/64', [
			state(here, there, '0x101', 'reqid 5'),
			policy('src 10.1.0.0/16 dst 10.2.0.0/16 dir out', here, there, 'reqid 5'),
		]);
		const gone = `ip xfrm state delete src ${here} dst ${there} proto esp spi 0x00000101`;
		const made =
			`ip xfrm state add src ${here} dst ${there} proto esp spi 0x00000101 reqid 5 mode tunnel` +
			" flag af-unspec aead 'rfc4106(gcm(aes))' key#1 128";
		assert.equal(firstFix(explainer, FLOW), `transform: ${gone}; ${made}`);
	});

	it('routes the network of a policy like its peer', () => {
		const explainer = gatewayAt('10.1.0.1/16', '192.0.2.1/24', [
			'route del default',
			`route add ${THERE}/32 via 192.0.2.254 dev wan`,
			SEALED,
			OUT,
		]);
		const add = 'ip route add 10.2.0.0/16 via 192.0.2.254 dev wan';
		assert.equal(firstFix(explainer, FLOW), `transform: ${add}`);
	});

	it('leads the protected packet past the XFRM interface that it came out of', () => {
		const explainer = gateway(
			'link add x0 type xfrm if_id 7',
			'link set x0 up',
			'route del default',
			'route add default dev x0',
			`${SEALED} if_id 7`,
			policy('dst 10.2.0.0/16 dir out if_id 7', HERE, THERE, 'reqid 5'),
		);
		assert.equal(firstFix(explainer, FLOW), `transform: ip route add ${THERE} dev wan`);
	});

	const toNeighbour = 'src 10.1.0.1 dst 10.1.0.9 proto udp dport 53 dir out';

	it('lets a neighbour pass whom the selector of a tunnel covers', () => {
		const wide = 'src 10.1.0.0/16 dst 10.0.0.0/8 dir out priority 100';
		const add = 'ip xfrm policy add src 10.1.0.0/16 dst 10.1.0.0/16 dir out priority 99';
		const explainer = gateway(policy(wide, HERE, THERE, 'reqid 5'));
		assert.equal(firstFix(explainer, toNeighbour), `pass: ${add}`);
	});

	it('lets no neighbour pass for whom the policy is', () => {
		const own = 'src 10.1.0.0/16 dst 10.1.0.0/16 dir out priority 100';
		const explainer = gateway(policy(own, HERE, THERE, 'reqid 5'));
		assert.match(firstFix(explainer, toNeighbour), /: ip xfrm state add /);
	});

	it('takes the length of an AH header for that of its ICV', () => {
		const ah = (bits: number): string =>
			`xfrm state add src ${THERE} dst ${HERE} proto ah spi 0x202 reqid 5 mode transport auth-trunc hmac(sha256) ${KEY} ${bits}`;
		const transport = (dir: string): string =>
			`xfrm policy add src ${THERE} dst ${HERE} dir ${dir} tmpl proto ah reqid 5 mode transport`;
		const there = gatewayAt('10.2.0.1/16', `${THERE}/24`, [ah(128), transport('out')]);
		const [hex = ''] = ask(there, `src ${THERE} dst ${HERE} proto udp dport 9 dir out`).packets;
		const packet = parseHex(hex);
		assert.ok(packet instanceof Uint8Array);
		const here = gateway(ah(96), transport('in'));
		here.ask(packet, { direction: 'in', device: 'wan' });
		const [fix] = findFixes(here, { keyName: () => 'key#1' });
		assert.equal(fix?.outcome, 'transform');
		assert.match(fix?.commands[1] ?? '', /auth-trunc 'hmac\(sha256\)' key#1 128$/);
	});
});
