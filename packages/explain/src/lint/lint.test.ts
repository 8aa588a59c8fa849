/**
 * Every finding on rules that have it and on rules that have not, and its consequence on the engine: a flow
 * that fares badly under the first and well under the second.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { linux619 } from '@xfrm/engine';
import { parseHex } from '@xfrm/wire';
import { gateway, gatewayAt, policy, state } from '../explainer-fixture.test.ts';
import { FlowLookup } from '../lookup.ts';
import { lintRules } from './lint.ts';
import { CASES, type LintCase } from './lint-cases-fixture.test.ts';
import { PAGES } from './pages.ts';

function idsOf(rules: readonly string[], test: LintCase): string[] {
	const explainer = gatewayAt('10.1.0.1/16', '192.0.2.1/24', rules, linux619);
	explainer.prepare();
	for (const packet of rules === test.bad ? (test.arriving ?? []) : []) {
		explainer.ask(parseHex(packet) as Uint8Array, { direction: 'in', device: 'wan' });
	}
	if (test.waitSeconds !== undefined) {
		explainer.wait(test.waitSeconds);
	}
	const findings = lintRules(explainer.world, {
		hostKnown: true,
		nat: rules === test.bad ? test.nat : test.natGood,
	});
	for (const { objects, reason, consequence, advice, id } of findings) {
		assert.ok(objects.length > 0, `${id} names no object`);
		assert.ok(reason.length > 10 && consequence.length > 10 && advice.length > 5);
	}
	return findings.map(({ id }) => id);
}

function outcomeOf(rules: readonly string[], flow: string): string {
	const explainer = gatewayAt('10.1.0.1/16', '192.0.2.1/24', rules, linux619);
	explainer.prepare();
	const { outcome, counter } = new FlowLookup(explainer.world).answer(flow);
	return counter === null ? outcome : `${outcome} ${counter}`;
}

describe('lint', () => {
	for (const [id, test] of Object.entries(CASES)) {
		it(`finds ${id}, and only where it is`, () => {
			assert.ok(
				idsOf(test.bad, test).includes(id),
				`not found: ${idsOf(test.bad, test).join(' ')}`,
			);
			assert.ok(!idsOf(test.good, test).includes(id), 'found where it is not');
			for (const { flow, bad, good } of test.flows ?? []) {
				assert.deepEqual(
					[outcomeOf(test.bad, flow), outcomeOf(test.good, flow)],
					[bad, good],
					flow,
				);
			}
		});
	}

	it('sees the ends of a tunnel in a template of mode transport', () => {
		for (const dir of ['out', 'fwd']) {
			const [src, dst] =
				dir === 'out' ? ['192.0.2.1', '198.51.100.2'] : ['198.51.100.2', '192.0.2.1'];
			const explainer = gateway(
				state(src, dst, '0x100', 'reqid 1'),
				policy(`dst 10.9.0.0/16 dir ${dir}`, src, dst, 'reqid 1').replace('mode tunnel', ''),
			);
			const ids = lintRules(explainer.world, { hostKnown: true }).map(({ id }) => id);
			assert.ok(ids.includes('template-mode'), `${dir}: ${ids.join(' ')}`);
		}
	});

	it('sees that a tunnel takes packets of its own family only, outward and without af-unspec', () => {
		const ends = ['192.0.2.1', '198.51.100.2'] as const;
		const idsFor = (more: string): string[] => {
			const explainer = gateway(state(...ends, '0x100', more), policy('dst ::/0 dir out', ...ends));
			return lintRules(explainer.world, { hostKnown: true }).map(({ id }) => id);
		};
		assert.ok(idsFor('').includes('template-selector'));
		assert.ok(!idsFor('flag af-unspec').includes('template-selector'));
	});

	it('has a case for every page, and at least 40 of them', () => {
		assert.deepEqual(Object.keys(CASES).sort(), Object.keys(PAGES).sort());
		assert.ok(Object.keys(PAGES).length >= 40);
	});
});
