import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VectorCase } from '../golden/vector-case.ts';
import type { Case } from './scenario.ts';
import { type Parting, shrink } from './shrink.ts';

const BIG: Case = {
	id: 'x',
	tags: [],
	sysctl: { 'net.core.xfrm_acq_expires': 1 },
	setup: ['addr add 192.0.2.1/24 dev wan', 'route add 10.0.0.0/8 dev wan'],
	xfrm: [
		'ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 1 mode tunnel limit packet-hard 3 mark 1 mask 1',
		'ip xfrm policy flush',
		'ip xfrm policy setdefault out block',
	],
	steps: [
		{ sleep_ms: 1 },
		{ at: 'lan', packet: '45', note: 'cut' },
		{ at: 'wan', packet: '46', mark: 7 },
		{ ip: ['xfrm state flush', 'xfrm policy flush'] },
		{ at: 'wan', packet: '47' },
	],
};

function parting(question: Case, field: string): Parting {
	const answer = { ...question, after: { states: [] } } as unknown as VectorCase;
	return { question, answer, result: { field, want: '', have: '' } };
}

test('a case is made as small as it goes and still differs in the same field', async () => {
	let asked = 0;
	const start = parting(BIG, 'step 2 stat');
	const smallest = await shrink(start, async (question) => {
		asked++;
		const hasState = question.xfrm.some((command) => command.includes('state add'));
		const hasPacket = question.steps.some((step) => 'at' in step && step.packet === '46');
		if (hasState && hasPacket) {
			return parting(question, 'step 0 stat');
		}
		// Without them something else is wrong: not what was to be shown.
		return parting(question, 'errors');
	});
	const { setup, xfrm, steps, sysctl } = smallest.question;
	assert.deepEqual(
		{ setup, xfrm, steps, sysctl },
		{
			setup: [],
			xfrm: ['ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 1 mode tunnel'],
			steps: [{ at: 'wan', packet: '46' }],
			sysctl: {},
		},
	);
	assert.ok(asked < 100, `asked ${asked} times`);
});

test('a case that cannot be made smaller stays as it is', async () => {
	const start = parting(BIG, 'step 2 stat');
	assert.equal(await shrink(start, async () => undefined), start);
});
