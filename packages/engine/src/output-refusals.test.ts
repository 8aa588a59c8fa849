/** Each way in which a packet is refused on its way out: verdict, the sender's errno, reason. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nullProvider } from '@xfrm/crypto/null';
import { type CryptoProvider, CryptoStatus } from '@xfrm/crypto/provider';
import type { PacketBuffer } from '@xfrm/wire';
import { anyAddress, anySelector, Errno } from '@xfrm/wire/xfrm';
import { Batch } from './batch.ts';
import type { Engine } from './engine.ts';
import {
	bytes,
	codes,
	ip,
	join,
	NOW_US,
	type StateOptions,
	trace,
	udp,
} from './input-fixture.test.ts';
import { linux619 } from './kernel-profile.ts';
import {
	addOut,
	addOutPolicy,
	inner,
	makeEngine,
	makeRoute,
	sent,
	template,
} from './output-fixture.test.ts';
import { StateCondition, type XfrmState } from './state.ts';
import { PacketAction, Verdict } from './verdict.ts';

const V6_ENDS = { src: '2001:db8::a', dst: '2001:db8::b' };
const V4_ENDS = { src: '10.0.0.1', dst: '10.1.0.1' };
const TO_V6 = ip(17, udp(new Uint8Array(1600)), V6_ENDS);
const IN_TCP = { type: 7, sport: 4500, dport: 1234, oa: anyAddress() };

/** An IPv4 packet with an option of no length. */
const DAMAGED_OPTION = join(
	bytes('46'),
	inner().subarray(1, 20),
	bytes('07000000'),
	inner().subarray(20),
);

/** The null provider, but every job ends with this status. */
function sealing(status: number): CryptoProvider {
	const provider = nullProvider();
	provider.seal = (jobs) => {
		jobs.status.fill(status, 0, jobs.count);
	};
	return provider;
}

const rows: readonly {
	readonly name: string;
	readonly state?: StateOptions;
	readonly packet?: Uint8Array;
	readonly provider?: CryptoProvider;
	readonly stream?: number;
	readonly options?: Parameters<typeof sent>[2];
	/** What happens between lookup and transform. */
	readonly between?: (packet: PacketBuffer, state: XfrmState) => void;
	readonly verdict: Verdict;
	readonly error: number;
	readonly code: string;
}[] = [
	{
		name: 'an IPv4 header that is none any more',
		between: (packet) => {
			packet.bytes[packet.start] = 0x4f;
		},
		verdict: Verdict.OutError,
		error: Errno.EINVAL,
		code: 'out.header',
	},
	{
		name: 'an IPv6 header that is none any more',
		state: V6_ENDS,
		packet: ip(17, udp(), V6_ENDS),
		between: (packet) => {
			packet.end = packet.start + 39;
		},
		verdict: Verdict.OutError,
		error: Errno.EINVAL,
		code: 'out.header',
	},
	{
		name: 'IPv6, too long for the tunnel, forwarded',
		state: V6_ENDS,
		packet: TO_V6,
		options: { forwarded: true },
		verdict: Verdict.OutTooBig,
		error: Errno.EMSGSIZE,
		code: 'out.mtu.ipv6-tunnel',
	},
	{
		name: 'IPv6, too long for BEET',
		state: { ...V6_ENDS, mode: 4 },
		packet: TO_V6,
		options: { forwarded: true },
		verdict: Verdict.OutStateModeError,
		error: Errno.EMSGSIZE,
		code: 'out.mtu.ipv6',
	},
	{
		name: 'IPv4, too long for BEET',
		state: { mode: 4 },
		packet: inner(new Uint8Array(1600), { fragment: 0x4000 }),
		options: { forwarded: true },
		verdict: Verdict.OutStateModeError,
		error: Errno.EMSGSIZE,
		code: 'out.mtu.ipv4',
	},
	{
		name: 'a fragment in BEET',
		state: { mode: 4 },
		packet: inner(undefined, { fragment: 0x2000 }),
		verdict: Verdict.OutStateModeError,
		error: Errno.EAFNOSUPPORT,
		code: 'out.mode.beet-fragment',
	},
	{
		name: 'extension headers that run out of the packet',
		state: { ...V6_ENDS, mode: 0 },
		packet: ip(0, bytes('11ff010400000000'), V6_ENDS),
		verdict: Verdict.OutStateModeError,
		error: Errno.EINVAL,
		code: 'out.mode.headers',
	},
	{
		name: 'no buffer has room for the padding',
		state: { tfcpad: 0xffff },
		packet: inner(new Uint8Array(1000)),
		verdict: Verdict.OutError,
		error: Errno.ENOMEM,
		code: 'out.room',
	},
	{
		name: 'a state that has died since',
		between: (_packet, state) => {
			state.condition = StateCondition.Dead;
		},
		verdict: Verdict.OutStateInvalid,
		error: Errno.EINVAL,
		code: 'out.state.invalid',
	},
	{
		name: 'a damaged option in front of an AH',
		state: { ...V4_ENDS, proto: 51, mode: 0 },
		packet: DAMAGED_OPTION,
		verdict: Verdict.OutStateProtoError,
		error: Errno.EINVAL,
		code: 'out.transform.header',
	},
	{
		name: 'longer than IP can tell',
		packet: inner(new Uint8Array(65507)),
		verdict: Verdict.OutStateProtoError,
		error: Errno.EMSGSIZE,
		code: 'out.transform.length',
	},
	{
		name: 'longer than a message of a stream',
		state: { encap: IN_TCP },
		packet: inner(new Uint8Array(65465)),
		stream: 1,
		verdict: Verdict.OutStateProtoError,
		error: Errno.EMSGSIZE,
		code: 'out.transform.length',
	},
	{
		name: 'no connection to send by',
		state: { encap: IN_TCP },
		stream: 0,
		verdict: Verdict.OutStateProtoError,
		error: Errno.ENOENT,
		code: 'out.transform.socket',
	},
	{
		name: 'a connection that is not for ESP',
		state: { encap: IN_TCP },
		stream: -1,
		verdict: Verdict.OutStateProtoError,
		error: Errno.EINVAL,
		code: 'out.transform.socket',
	},
	...[
		{ proto: 50, transform: 'ESP' },
		{ proto: 51, transform: 'AH' },
	].flatMap(({ proto, transform }) => [
		{
			name: `${transform} that the provider can't seal`,
			state: { proto },
			provider: sealing(CryptoStatus.Invalid),
			verdict: Verdict.OutStateProtoError,
			error: CryptoStatus.Invalid,
			code: 'out.transform.crypto',
		},
		{
			name: `${transform} of an algorithm that the provider lacks`,
			state: { proto },
			provider: sealing(CryptoStatus.NotSupported),
			verdict: Verdict.OutStateProtoError,
			error: CryptoStatus.NotSupported,
			code: 'out.transform.algorithm',
		},
	]),
];

function makeSender(
	options: StateOptions,
	family: number,
	provider: CryptoProvider | undefined,
	stream: number,
): { engine: Engine; state: XfrmState } {
	const { engine } = makeEngine(linux619, provider, { espStream: () => stream });
	const state = addOut(engine, options);
	addOutPolicy(engine, {
		selector: anySelector(family),
		templates: [
			template({
				family: state.family,
				mode: state.mode,
				reqid: 1,
				saddr: state.config.saddr,
				id: { daddr: state.config.id.daddr, spi: 0, proto: state.proto },
			}),
		],
	});
	return { engine, state };
}

for (const row of rows) {
	// @spec O-11 O-16 U-4 U-5 U-6 M-8
	test(`${row.code}: ${row.name}`, () => {
		for (const traced of [false, true]) {
			const whole = row.packet ?? inner();
			const family = (whole[0] ?? 0) >> 4 === 4 ? 2 : 10;
			const { state: options = {}, provider, stream = 0 } = row;
			const { engine, state } = makeSender(options, family, provider, stream);
			const events = traced ? trace(engine.net) : [];
			const packet = sent(whole, makeRoute({ family }), row.options);
			const batch = Batch.of(NOW_US, packet);
			engine.lookup(batch);
			row.between?.(packet, state);
			engine.transform(batch);
			assert.deepEqual(
				[packet.action, packet.verdict, packet.error],
				[PacketAction.Drop, row.verdict, row.error],
			);
			assert.deepEqual(codes(events), traced ? [row.code] : []);
			assert.equal(packet.bundle, null);
			assert.equal(engine.net.jobs.count, 0);
		}
	});
}
