/** Sockets and connections that were named, and those that states imply. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { linux619 } from '@xfrm/engine';
import { parseRulesFile } from '@xfrm/iproute';
import { formatHex, frameMessage, parseHex } from '@xfrm/wire';
import { ask, gateway, gatewayAt, policy, state } from './explainer-fixture.test.ts';

const OURS = '192.0.2.1';
const PEER = '198.51.100.7';
const TCP = 'encap espintcp 33000 4500 0.0.0.0';
const out = [
	state(OURS, PEER, '0x101', TCP),
	policy('src 10.1.0.0/16 dst 10.2.0.0/16 dir out', OURS, PEER),
];

const newer = (): ReturnType<typeof gateway> =>
	gatewayAt('10.1.0.1/16', '192.0.2.1/24', out, linux619);

/** A TCP segment of the peer's with these octets. */
function segment(payload: Uint8Array): Uint8Array {
	const head = parseHex(
		`4500${(40 + payload.length).toString(16).padStart(4, '0')}000000004006000` +
			`0c6336407c00002011194${(33000).toString(16)}00000000000000005018ffff00000000`,
	);
	assert.ok(head instanceof Uint8Array);
	const packet = new Uint8Array(40 + payload.length);
	packet.set(head);
	packet.set(payload, 40);
	return packet;
}

describe('ESP in TCP', () => {
	it('goes by the connection that the state implies', () => {
		const answer = ask(newer(), 'src 10.1.0.5 dst 10.2.0.9 proto udp dir fwd dev lan');
		assert.equal(answer.outcome, 'transform');
		assert.equal(answer.steps.at(-1)?.which, 'tcp');
		assert.equal(answer.packets.length, 1);
		assert.match(
			answer.assumed.join('; '),
			/TCP connection 192\.0\.2\.1:33000 → 198\.51\.100\.7:4500/,
		);
	});

	it('is dropped where there is none', () => {
		const explainer = newer();
		explainer.implyNoSockets();
		const answer = ask(explainer, 'src 10.1.0.5 dst 10.2.0.9 proto udp dir fwd dev lan');
		assert.deepEqual([answer.outcome, answer.counter], ['drop', 'XfrmOutStateProtoError']);
	});

	it('comes by segments, which may end a message or not', () => {
		const explainer = newer();
		const ike = frameMessage(Uint8Array.of(0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8));
		assert.ok(ike !== undefined);
		const codes = [ike.subarray(0, 5), ike.subarray(5), Uint8Array.of(0, 1, 0)].map((octets) => {
			const { outcome, code } = explainer.ask(segment(octets), { device: 'wan' });
			return `${outcome} ${code}`;
		});
		assert.deepEqual(codes, [
			'consume in.stream.partial',
			'pass in.stream.message',
			'drop in.stream.broken',
		]);
	});
});

describe('ESP in UDP', () => {
	const encap = 'encap espinudp 4500 4500 0.0.0.0';
	const fwd = policy('src 10.2.0.0/16 dst 10.1.0.0/16 dir fwd', PEER, OURS);
	const inward = state(PEER, OURS, '0x202', encap);
	const packet = (): Uint8Array => {
		const peer = gatewayAt('10.2.0.1/16', `${PEER}/24`, [inward, policy('dir out', PEER, OURS)]);
		const flow = 'src 10.2.0.9 dst 10.1.0.5 proto udp dir fwd dev lan';
		const bytes = parseHex(ask(peer, flow).packets[0] ?? '');
		assert.ok(bytes instanceof Uint8Array);
		return bytes;
	};

	it('has a socket on the ports of its states, whatever way they are for', () => {
		const rows: readonly (readonly [rule: string, counter: string | null])[] = [
			[inward, null],
			[state(OURS, PEER, '0x101', encap), 'XfrmInNoStates'],
			[state(OURS, PEER, '0x101', encap.replace('4500', '4501')), null],
		];
		for (const [rule, counter] of rows) {
			const { counters } = gateway(rule, fwd).ask(packet(), { device: 'wan' });
			assert.equal(Object.keys(counters)[0] ?? null, counter, rule);
		}
	});

	it('is any UDP packet where no socket takes it, which is told', () => {
		const hint =
			/looks like ESP for state 0x00000202, but no socket with UDP_ENCAP is on port 4500/;
		const explainer = gateway(inward, fwd);
		explainer.implyNoSockets();
		const { code, reason } = explainer.ask(packet(), { device: 'wan' });
		assert.equal(code, 'in.policy.none');
		assert.match(reason, hint);
		explainer.listenNowhere();
		const refused = explainer.ask(packet(), { device: 'wan' });
		assert.equal(refused.code, 'host.no-socket');
		assert.match(refused.reason, hint);
		explainer.run('xfrm state flush');
		assert.doesNotMatch(explainer.ask(packet(), { device: 'wan' }).reason, /looks like/);
	});
});

describe('the sockets of an IKE daemon', () => {
	const policies = [
		`src 0.0.0.0/0 dst 0.0.0.0/0\n\tdir out priority 9\n\ttmpl src ${OURS} dst ${PEER}\n\t\tproto esp reqid 1 mode tunnel`,
		`src 0.0.0.0/0 dst 0.0.0.0/0\n\tdir in priority 9\n\ttmpl src ${PEER} dst ${OURS}\n\t\tproto esp reqid 1 mode tunnel`,
	];
	const own = ['in', 'out'].map((dir) => `src 0.0.0.0/0 dst 0.0.0.0/0\n\tsocket ${dir} priority 0`);
	const arriving = `src ${PEER} dst ${OURS} proto udp sport 500 dport 500 dir in dev wan`;
	const leaving = `src ${OURS} dst ${PEER} proto udp sport 500 dport 500 dir out`;
	const dumped = (...blocks: readonly string[]): ReturnType<typeof gateway> => {
		const explainer = gateway();
		const { steps = [] } = parseRulesFile(`${blocks.join('\n')}\n`, explainer.world.context);
		for (const step of steps) {
			assert.ok(step.kind !== 'command');
			assert.equal(explainer.load(step).note, undefined);
		}
		return explainer;
	};

	it('let IKE pass where the dump shows their policies', () => {
		const explainer = dumped(...policies, ...own);
		for (const flow of [arriving, leaving]) {
			const { outcome, code, assumed } = ask(explainer, flow);
			assert.equal(outcome, 'pass', flow);
			assert.match(code, /policy\.allow/);
			assert.match(assumed.join(), /sockets of an IKE daemon on UDP 500 and 4500/);
		}
		const other = ask(explainer, leaving.replaceAll('500', '501'));
		assert.equal(other.outcome, 'acquire', 'other sockets have no policies');
	});

	it('are missed where it shows none', () => {
		const { counter, reason } = ask(dumped(...policies), arriving);
		assert.equal(counter, 'XfrmInTmplMismatch');
		assert.match(reason, /port of IKE, 500: daemons put a policy on their own socket/);
	});
});

describe('listeners', () => {
	it('are everywhere until one is named', () => {
		const explainer = gateway();
		const udp = 'src 198.51.100.7 dst 192.0.2.1 proto udp dport 53 dir in dev wan';
		assert.equal(ask(explainer, udp).outcome, 'pass');
		explainer.openListener(17, 500);
		const refused = ask(explainer, udp);
		assert.deepEqual([refused.outcome, refused.code], ['drop', 'host.no-socket']);
		assert.equal(ask(explainer, udp.replace('dport 53', 'dport 500')).outcome, 'pass');
	});
});

it('what a queue held back is told with the next packet', () => {
	const explainer = gateway(
		'xfrm state add src 192.0.2.1 dst 198.51.100.7 proto esp spi 0x101 mode tunnel ' +
			`aead 'rfc4106(gcm(aes))' 0x3f1a5be2c8d04976aa10e5cd27b3648f9e02c571 128`,
		policy('src 10.1.0.0/16 dst 10.2.0.0/16 dir out', OURS, PEER, 'reqid 9'),
	);
	explainer.setSysctl('net.core.xfrm_larval_drop', 0);
	const flow = 'src 10.1.0.5 dst 10.2.0.9 proto udp dir fwd dev lan';
	assert.equal(ask(explainer, flow).outcome, 'acquire');
	explainer.run(state(OURS, PEER, '0x102', 'reqid 9'));
	explainer.wait(1);
	const { meanwhile = [], outcome } = ask(explainer, flow);
	assert.equal(outcome, 'transform');
	assert.deepEqual(
		meanwhile.map(({ device, packet }) => [device, packet.slice(40, 48)]),
		[['wan', formatHex(Uint8Array.of(0, 0, 1, 2))]],
	);
});

/** What `ip xfrm` prints of an association in UDP, its policy, and the policies of the IKE daemon's socket. */
function dumpOf(daemon: boolean): string {
	const socket = ['in', 'out'].map(
		(dir) => `src 0.0.0.0/0 dst 0.0.0.0/0 \n\tsocket ${dir} priority 0 \n`,
	);
	return `src ${PEER} dst ${OURS}
	proto esp spi 0x00000303 reqid 1 mode transport
	replay-window 32 
	aead rfc4106(gcm(aes)) 0x3f1a5be2c8d04976aa10e5cd27b3648f9e02c571 128
	encap type espinudp sport 4500 dport 4500 addr 0.0.0.0
	sel src 0.0.0.0/0 dst 0.0.0.0/0 
src ${PEER}/32 dst ${OURS}/32 
	dir in priority 0 
	tmpl src 0.0.0.0 dst 0.0.0.0
		proto esp reqid 1 mode transport
${daemon ? socket.join('') : ''}`;
}

it('a policy of an IKE daemon’s socket lets ESP in UDP pass where others would refuse it', () => {
	const transport = state(PEER, OURS, '0x303', 'encap espinudp 4500 4500 0.0.0.0 reqid 1').replace(
		'mode tunnel',
		'mode transport',
	);
	const peer = gatewayAt('10.2.0.1/16', `${PEER}/24`, [
		transport,
		'xfrm policy add dir out tmpl proto esp reqid 1 mode transport',
	]);
	const sealed = parseHex(ask(peer, `src ${PEER} dst ${OURS} proto udp dir out`).packets[0] ?? '');
	assert.ok(sealed instanceof Uint8Array);
	const answers = [true, false].map((daemon) => {
		const explainer = gateway();
		const { steps = [] } = parseRulesFile(dumpOf(daemon), explainer.world.context);
		for (const step of steps) {
			if (step.kind !== 'command') {
				explainer.load(step);
			}
		}
		return explainer.ask(sealed, { device: 'wan' });
	});
	assert.deepEqual(
		answers.map(({ outcome, counter }) => [outcome, counter]),
		[
			['transform', null],
			['drop', 'XfrmInTmplMismatch'],
		],
	);
	assert.match(answers[1]?.reason ?? '', /policies are asked about the UDP packet before/);
});
