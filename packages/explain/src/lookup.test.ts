/** A lookup says what explain says of a packet of the flow, and leaves no trace. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { linux61, linux619 } from '@xfrm/engine';
import { formatAddress } from '@xfrm/wire/xfrm';
import type { Answer } from './answer.ts';
import { hostAddresses } from './direction.ts';
import type { Explainer } from './explainer.ts';
import { ask, gateway, policy, state } from './explainer-fixture.test.ts';
import { InputError, splitWords } from './input.ts';
import { FlowLookup, type LookupAnswer } from './lookup.ts';
import { FlowLine, readFlowLine } from './lookup-line.ts';
import { numbers, picker, randomFlow, randomHost } from './random-rules-fixture.test.ts';

const OUT = 'src 10.1.0.0/16 dst 10.2.0.0/16 dir out';
const BACK = 'src 10.2.0.0/16 dst 10.1.0.0/16';

function lookupOn(explainer: Explainer): FlowLookup {
	explainer.prepare();
	return new FlowLookup(explainer.world);
}

/** A gateway with one tunnel, its way back, and a policy that no state serves. */
function site(): Explainer {
	return gateway(
		state('192.0.2.1', '192.0.2.2', '0x100', 'reqid 1'),
		state('192.0.2.2', '192.0.2.1', '0x200', 'reqid 1'),
		policy(`${OUT} priority 5`, '192.0.2.1', '192.0.2.2', 'reqid 1'),
		policy(`${BACK} dir fwd`, '192.0.2.2', '192.0.2.1', 'reqid 1'),
		policy('src 10.1.0.0/16 dst 10.3.0.0/16 dir out', '192.0.2.1', '192.0.2.3', 'reqid 2'),
	);
}

describe('lookup', () => {
	it('has the form of the contract, field by field', () => {
		const lookup = lookupOn(site());
		assert.equal(
			lookup.line('src 10.1.0.5 dst 10.2.0.9 proto udp sport 5 dport 6 dir out'),
			'{"schema":1,"outcome":"transform","counter":null,"policies":[{"index":1,"ptype":"main","dir":"out","priority":5,"action":"allow"}],"states":[{"proto":"esp","spi":"0x00000100","src":"192.0.2.1","dst":"192.0.2.2","mode":"tunnel","reqid":1}]}',
		);
	});

	it('says who would be asked, again and again: no larval state is left', () => {
		const explainer = site();
		const lookup = lookupOn(explainer);
		const flow = 'src 10.1.0.5 dst 10.3.0.9 dir out';
		for (let i = 0; i < 3; i++) {
			const { outcome, counter } = lookup.answer(flow);
			assert.deepEqual([outcome, counter], ['acquire', 'XfrmOutNoStates']);
		}
		assert.equal([...explainer.world.engine.states()].length, 2);
		assert.equal(explainer.world.observe(0).counters.size, 0);
		assert.deepEqual(explainer.takeEvents(), []);
		assert.equal(ask(explainer, flow).outcome, 'acquire');
		assert.equal(lookup.answer(flow).outcome, 'drop', 'somebody is asked already');
	});

	it('takes a flow that arrives as unprotected unless via names its states', () => {
		const lookup = lookupOn(site());
		const flow = 'src 10.2.0.5 dst 10.1.0.9 dir fwd';
		assert.deepEqual(
			[lookup.answer(flow), lookup.answer(`${flow} via 0x200`)].map(
				({ outcome, counter, policies, states }) => [
					outcome,
					counter,
					policies.map(({ dir, index }) => `${dir} ${index}`),
					states.map(({ spi }) => spi),
				],
			),
			[
				['drop', 'XfrmInTmplMismatch', ['fwd 10'], []],
				['transform', null, ['fwd 10'], ['0x00000200']],
			],
		);
		assert.throws(() => lookup.answer(`${flow} via 0x999`), InputError);
	});

	it('reads fast what parseFlow reads', () => {
		const pick = picker(numbers(5));
		const words = [
			'src 10.0.0.1',
			'dst 10.1.0.9',
			'src 2001:db8::1',
			'dst ::',
			'proto udp',
			'proto 253',
			'proto icmp',
			'proto ospf',
			'proto 256',
			'sport 5',
			'type 3',
			'dport 0x35',
			'code 70000',
			'dir in',
			'dir fwd',
			'dir up',
			'mark 0xffffffff',
			'if_id 7',
			'dev wan',
			'via 0x100 257',
			'via',
			'src 10.0.0.256',
			'src 010.0.0.1',
			"dev 'wan'",
			'mark',
		];
		let good = 0;
		for (let i = 0; i < 3000; i++) {
			const text = ['src 10.0.0.1', 'dst 10.1.0.9', pick(words), pick(words), pick(words)]
				.slice(i % 3 === 0 ? 2 : 0)
				.join(pick([' ', '  ', '\t']));
			const fast = read(text);
			// A quoted word is not of the usual form.
			const slow = read(`${text} "if_id" '9'`);
			if (fast === undefined || slow === undefined || text.includes('if_id')) {
				assert.equal(
					fast === undefined || text.endsWith('via'),
					slow === undefined || text.endsWith('via'),
					text,
				);
				continue;
			}
			assert.deepEqual({ ...fast, ifId: 9 }, { ...slow }, text);
			good++;
		}
		assert.ok(good > 100, `${good} flows`);
	});

	for (const profile of [linux61, linux619]) {
		it(`agrees with explain on random rules, ${profile.name}`, () => {
			let compared = 0;
			const outcomes = new Map<string, number>();
			for (let seed = 1; seed <= 60; seed++) {
				const { explainer } = randomHost(seed, 70, profile);
				const lookup = new FlowLookup(explainer.world);
				const random = numbers(seed + 1000);
				for (let i = 0; i < 10; i++) {
					const flow = randomFlow(random);
					// Larval states of questions before would be met.
					explainer.wait(40);
					const told = lookup.answer(flow);
					const asked = askAbout(explainer, flow);
					if (asked === undefined) {
						continue;
					}
					outcomes.set(told.outcome, (outcomes.get(told.outcome) ?? 0) + 1);
					assert.deepEqual(summary(told), summary(asked), `seed ${seed}: ${flow}`);
					compared++;
				}
			}
			assert.ok(compared > 150, `${compared} compared`);
			assert.ok(outcomes.size >= 4, [...outcomes].join(' '));
		});
	}
});

function read(text: string): FlowLine | undefined {
	const line = new FlowLine();
	try {
		readFlowLine(text, line, splitWords);
		return line;
	} catch (error) {
		assert.ok(error instanceof InputError, String(error));
		return undefined;
	}
}

/** Explain's answer, unless the host around XFRM (routes, limits of a state) had a say in it. */
function askAbout(explainer: Explainer, flow: string): Answer | undefined {
	const [, , , destination = '', ...rest] = flow.split(' ');
	const local = hostAddresses(explainer.world.host).some(
		(one) => formatAddress(one.address, one.family) === destination,
	);
	const echo = flow.includes('dir in') && /type (8|128)/.test(flow);
	if (echo || local !== rest.join(' ').includes('dir in') || flow.includes(`src ${destination} `)) {
		return undefined;
	}
	const answer = ask(explainer, flow);
	const ofHost = /^host\.|^out\.(bundle|too-big|mtu|error|silent)|^(in|fwd)\.silent|^fwd\.too-big/;
	return ofHost.test(answer.code) ? undefined : answer;
}

function summary(answer: Answer | LookupAnswer): unknown {
	const { outcome, counter, policies, states } = answer;
	return {
		outcome,
		counter,
		policies: policies.map(({ dir, index, ptype }) => `${dir} ${index} ${ptype}`),
		states: states.filter((one) => !('refused' in one)).map(({ spi }) => spi),
	};
}
