import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UNLIMITED } from '@xfrm/wire/xfrm';
import { addressInput } from './address-input.ts';
import {
	address,
	addState,
	arrived,
	codes,
	counted,
	ip,
	makeNamespace,
	type StateOptions,
	trace,
	udp,
} from './input-fixture.test.ts';
import { linux61, linux619 } from './kernel-profile.ts';
import { Current, StateCondition } from './state.ts';
import { PacketAction } from './verdict.ts';

const HOME = '2001:db8:a::1';
const CARE_OF = '2001:db8:c::1';
const PEER = '2001:db8::2';
const WILD = 8;

/** A binding: packets with a home address option from HOME at CARE_OF to PEER. */
function binding(options: StateOptions = {}): StateOptions {
	return {
		src: HOME,
		dst: PEER,
		proto: 60,
		spi: 0,
		mode: 2,
		replayWindow: 0,
		coaddr: address(CARE_OF),
		...options,
	};
}

const none: readonly [Record<string, number>, string[]] = [
	{ XfrmInNoStates: 1 },
	['in.binding.none'],
];

const rows: readonly (readonly [
	string,
	readonly StateOptions[],
	readonly [Record<string, number>, readonly string[]] | undefined,
])[] = [
	['exact addresses', [binding()], undefined],
	['no state', [], none],
	['another care-of address', [binding({ coaddr: address('2001:db8:c::2') })], none],
	['any care-of address', [binding({ coaddr: address('::') })], undefined],
	['any source without WILDRECV', [binding({ src: '::' })], none],
	['any source with it', [binding({ src: '::', flags: WILD })], undefined],
	['any addresses with it', [binding({ src: '::', dst: '::', flags: WILD })], undefined],
	['larval', [binding({ condition: StateCondition.Acq })], none],
	['expired', [binding({ lifetime: { ...UNLIMITED, hardPacketLimit: 0 } })], none],
	['mark that does not fit', [binding({ mark: { v: 1, m: 1 } })], none],
	[
		'exact one of another care-of address, wildcard behind it',
		[
			binding({ coaddr: address('2001:db8:c::2') }),
			binding({ src: '::', dst: '::', flags: WILD, coaddr: address('::') }),
		],
		undefined,
	],
	[
		'a state for output',
		[binding({ direction: 2 })],
		[{ XfrmInNoStates: 1, XfrmInStateDirError: 1 }, ['in.state.direction', 'in.binding.none']],
	],
];

for (const [name, states, refused] of rows) {
	// @spec T-54 T-55 S-35
	test(`home address option: ${name}`, () => {
		for (const traced of [false, true]) {
			const net = makeNamespace();
			const added = states.map((options) => addState(net, options));
			const events = traced ? trace(net) : [];
			const packet = arrived(ip(60, udp(), { src: CARE_OF, dst: PEER }));
			const found = addressInput(net, packet, address(PEER), address(HOME), 60);
			assert.equal(found, refused === undefined);
			assert.deepEqual(counted(net), refused?.[0] ?? {});
			assert.deepEqual(codes(events), traced ? (refused?.[1] ?? []) : []);
			if (found) {
				const state = added.at(-1);
				assert.deepEqual(packet.path.slice(0, 2), [state, null]);
				assert.equal(state?.lifetime[Current.Packets], 1);
				// From the extension header on, as skb->len is there.
				assert.equal(state?.lifetime[Current.Bytes], udp().length);
			} else {
				assert.equal(packet.action, PacketAction.Drop);
			}
		}
	});
}

// @spec T-54 T-55
test('type 2 routing header: the care-of address is compared with the destination', () => {
	for (const [dst, found] of [
		[CARE_OF, true],
		[PEER, false],
	] as const) {
		const net = makeNamespace();
		addState(net, binding({ src: PEER, dst: HOME, proto: 43 }));
		const packet = arrived(ip(43, udp(), { src: PEER, dst }));
		assert.equal(addressInput(net, packet, address(HOME), address(PEER), 43), found);
	}
});

// @spec T-55
test('a binding as the sixth, seventh and eighth state', () => {
	for (const [profile, depths] of [
		[linux61, [true, false, false]],
		[linux619, [false, true, false]],
	] as const) {
		for (const [i, found] of depths.entries()) {
			const net = makeNamespace(profile);
			addState(net, binding());
			const packet = arrived(ip(60, udp(), { src: CARE_OF, dst: PEER }));
			packet.pathCount = 5 + i;
			assert.equal(addressInput(net, packet, address(PEER), address(HOME), 60), found);
			assert.deepEqual(counted(net), found ? {} : { XfrmInBufferError: 1 });
		}
	}
});
