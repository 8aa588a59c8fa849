import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Flow } from '@xfrm/wire';
import { Group, type PolicyConfig, type Template, UNLIMITED } from '@xfrm/wire/xfrm';
import {
	addPolicy,
	address,
	addState,
	makeNamespace,
	NOW_US,
	SPI,
	type StateOptions,
	selector,
	template,
	trace,
} from './input-fixture.test.ts';
import { type KernelProfile, linux61, linux619 } from './kernel-profile.ts';
import type { Namespace } from './namespace.ts';
import type { XfrmPolicy } from './policy.ts';
import { addressWords } from './selector-match.ts';
import { Current, StateCondition, type XfrmState } from './state.ts';
import { selectState } from './state-select.ts';
import { handleTimeout } from './timeouts.ts';

const EAGAIN = 11;
const ESRCH = 3;
const EEXIST = 17;

interface Asked {
	readonly net: Namespace;
	readonly policy: XfrmPolicy;
	ask(options?: { processor?: number; src?: string; dst?: string }): XfrmState | null;
}

const flow = new Flow();
flow.family = 2;
flow.saddr.set(addressWords(address('10.0.0.1'), 2));
flow.daddr.set(addressWords(address('10.0.0.2'), 2));
flow.proto = 17;
flow.sport = 1000;
flow.dport = 2000;
flow.oif = 3;

/** A policy with one template of reqid 1, and a question for its state from 192.0.2.1 to 192.0.2.2. */
function asking(
	wanted: Partial<Template> & { readonly proto?: number } = {},
	options: Partial<PolicyConfig> = {},
	profile: KernelProfile = linux619,
): Asked {
	const net = makeNamespace(profile);
	const templates = [template({ reqid: 1, ...wanted })];
	const policy = addPolicy(net, { direction: 1, ...options, templates });
	return {
		net,
		policy,
		ask: ({ processor = 0, src = '192.0.2.1', dst = '192.0.2.2' } = {}) => {
			net.processor = processor;
			const [first] = policy.templates;
			assert.ok(first !== undefined);
			const daddr = addressWords(address(dst), 2);
			return selectState(net, policy, 0, first, flow, 2, daddr, addressWords(address(src), 2));
		},
	};
}

/** Lets the key manager listen. */
function listen(net: Namespace): void {
	net.listeners = 1 << (Group.Acquire - 1);
}

// @spec S-21 S-23 S-27 T-56
test('a candidate has to fit in every field, and a loser is told by the first that does not', () => {
	const rows: readonly [string | undefined, StateOptions, Parameters<typeof asking>?][] = [
		[undefined, {}],
		[undefined, { src: '0.0.0.0' }],
		[undefined, {}, [{ id: { daddr: address('0.0.0.0'), spi: SPI, proto: 50 } }]],
		[undefined, { mark: { v: 5, m: 0xff } }, [{}, { mark: { v: 5, m: 0xf } }]],
		[undefined, { selector: selector({ src: '10.0.0.0/8' }) }],
		[undefined, { selector: { ...selector({ dst: '0.0.0.0/0' }), family: 0 }, flags: 32 }],
		['reqid', { reqid: 0 }],
		['reqid', { reqid: 2 }],
		['mark', { mark: { v: 5, m: 0xff } }],
		['if_id', { ifId: 7 }],
		['if_id', {}, [{}, { ifId: 7 }]],
		['flag', { flags: 8 }],
		['dst', { dst: '192.0.2.3' }],
		['src', { src: '192.0.2.3' }],
		['mode', { mode: 4 }],
		['proto', { proto: 51 }],
		['spi', {}, [{ id: { daddr: address('0.0.0.0'), spi: 5, proto: 50 } }]],
		['sel', { selector: selector({ src: '10.9.0.0/16' }) }],
		['sel', { selector: { ...selector({ dst: '0.0.0.0/0' }), proto: 6 } }],
		['family', { src: '2001:db8::1', dst: '2001:db8::2' }],
		['state', { condition: StateCondition.Error }],
	];
	for (const [field, options, [wanted, policy] = []] of rows) {
		const { net, ask } = asking(wanted, policy);
		const state = addState(net, options);
		const events = trace(net);
		const label = `${field} ${JSON.stringify(options)}`;
		assert.equal(ask(), field === undefined ? state : null, label);
		assert.equal(net.selectErrno, field === undefined ? 0 : ESRCH, label);
		const [event] = events;
		assert.ok(event?.kind === 'state-select');
		assert.deepEqual(
			event.losers.map((loser) => loser.field),
			field === undefined ? [] : [field],
		);
		const missing = options.condition === undefined ? 'no-listener' : 'error';
		assert.equal(event.outcome, field === undefined ? 'found' : missing, label);
		assert.deepEqual(net.events, []);
	}
});

// @spec S-22 S-23
test('concrete source first, then not dying, then added last, then inserted last', () => {
	const { net, ask } = asking();
	const anySource = addState(net, { src: '0.0.0.0', spi: 1 });
	assert.equal(ask(), anySource);
	const first = addState(net, { spi: 2 });
	const second = addState(net, { spi: 3 });
	assert.equal(ask(), second);
	addState(net, { src: '0.0.0.0', spi: 4 });
	assert.equal(ask(), second);
	second.dying = true;
	assert.equal(ask(), first);
	first.dying = true;
	assert.equal(ask(), second, 'all dying: the newest again');
	first.lifetime[Current.AddTime] = (second.lifetime[Current.AddTime] ?? 0) + 1;
	assert.equal(ask(), first, 'add_time outweighs the order of insertion');
});

// @spec S-28 A-1 A-2 A-4 A-6 S-25
test('without a state a key manager is asked once, and a larval state stands in its place', () => {
	for (const profile of [linux61, linux619]) {
		const mark = { v: 5, m: 0xff };
		const { net, policy, ask } = asking({ aalgos: 1 }, { mark, ifId: 9 }, profile);
		listen(net);
		assert.equal(ask(), null);
		assert.equal(net.selectErrno, EAGAIN);
		const [larval] = net.sad.states();
		assert.ok(larval !== undefined);
		const exact = {
			...selector({ src: '10.0.0.1/32', dst: '10.0.0.2/32' }),
			sport: 1000,
			sportMask: 0xffff,
			dport: 2000,
			dportMask: 0xffff,
			proto: 17,
			ifindex: 3,
		};
		assert.deepEqual(larval.config, {
			id: { daddr: address('192.0.2.2'), spi: 0, proto: 50 },
			saddr: address('192.0.2.1'),
			family: 2,
			selector: exact,
			lifetime: { ...UNLIMITED, hardAddExpiresSeconds: 30 },
			reqid: 1,
			mode: 1,
			replayWindow: 0,
			flags: 0,
			seq: 1,
			mark,
			ifId: 9,
			...(profile.stateDirection ? { direction: 2 } : {}),
		});
		assert.equal(larval.condition, StateCondition.Acq);
		const event = net.takeEvent();
		assert.ok(event?.kind === 'acquire');
		assert.deepEqual(
			[event.id, event.saddr, event.selector, event.seq, event.template, event.policy.index],
			[larval.config.id, larval.config.saddr, exact, 1, policy.templates[0], policy.index],
		);
		assert.equal(event.policy.direction, 1);
		assert.equal(ask(), null);
		assert.deepEqual([net.selectErrno, net.events.length, net.sad.count], [EAGAIN, 0, 1]);
		handleTimeout(net, NOW_US + 29_999_999);
		assert.equal(net.sad.count, 1);
		handleTimeout(net, NOW_US + 30_000_000);
		assert.equal(net.sad.count, 0);
		const expired = net.takeEvent();
		assert.ok(expired?.kind === 'expire' && expired.hard);
		assert.equal(expired.state.id.spi, 0);
	}
});

// @spec S-25
test('the selector of a larval state is not looked at', () => {
	const { net, ask } = asking();
	listen(net);
	ask();
	const before = flow.dport;
	flow.dport = 1;
	assert.equal(ask(), null);
	flow.dport = before;
	assert.deepEqual([net.selectErrno, net.sad.count], [EAGAIN, 1]);
});

// @spec S-26
test('a template with an SPI that another kind of state has is not asked for', () => {
	const { net, ask } = asking({ id: { daddr: address('0.0.0.0'), spi: SPI, proto: 50 } });
	listen(net);
	addState(net, { reqid: 2 });
	assert.equal(ask(), null);
	assert.deepEqual([net.selectErrno, net.events], [EEXIST, []]);
});

// @spec S-29
test('a transport template with addresses of its own is asked for again and again', () => {
	const own = { daddr: address('192.0.2.77'), spi: 0, proto: 50 };
	const { net, ask } = asking({ mode: 0, id: own, saddr: address('192.0.2.78') });
	listen(net);
	ask();
	ask();
	assert.deepEqual([net.sad.count, net.events.length], [2, 2]);
	const [larval] = net.sad.states();
	assert.deepEqual(larval?.config.id.daddr, own.daddr);
});

// @spec S-24
test('a state of this processor beats an unbound one, one of another is not seen', () => {
	const { net, ask } = asking();
	const bound = addState(net, { spi: 1, pcpu: 1, direction: 2, replayWindow: 0 });
	const free = addState(net, { spi: 2 });
	assert.equal(ask({ processor: 0 }), free);
	assert.equal(ask({ processor: 1 }), bound);
	const newer = addState(net, { spi: 3, pcpu: 1, direction: 2, replayWindow: 0 });
	assert.equal(ask({ processor: 1 }), newer);
});

// @spec S-24
test('CPU_ACQUIRE: one packet goes by the stand-in, then all wait for the processor’s own', () => {
	const { net, ask } = asking({}, { flags: 4 });
	listen(net);
	const free = addState(net, { spi: 1 });
	const own = addState(net, { spi: 2, pcpu: 1, direction: 2, replayWindow: 0 });
	assert.equal(ask({ processor: 1 }), own);
	assert.equal(net.selectErrno, 0);
	assert.equal(ask({ processor: 0 }), free);
	assert.equal(net.selectErrno, EAGAIN, 'good for this packet only');
	const event = net.takeEvent();
	assert.ok(event?.kind === 'acquire');
	assert.equal(event.pcpu, 0);
	assert.equal(ask({ processor: 0 }), null);
	assert.equal(ask({ processor: 2 }), null);
	assert.equal(ask({ processor: 1 }), own);
	assert.deepEqual(net.events, []);
});
