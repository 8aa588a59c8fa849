/** Everything that `xfrm explain --json` prints is as the published schema says. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type JsonSchema, SchemaChecker } from '@xfrm/iproute';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const bin = fileURLToPath(new URL('../bin/xfrm.js', import.meta.url));

const FILE = 'explain.schema.json';
const schema = JSON.parse(
	readFileSync(new URL(`../schema/${FILE}`, import.meta.url), 'utf8'),
) as JsonSchema;
const checker = new SchemaChecker(new Map([[FILE, schema]]));

describe('xfrm explain --json', () => {
	it('prints exactly one line a packet, each as the schema says', () => {
		const args = [
			['explain', '--json', '--rules', 'examples/site-a.xfrm', '--host', 'examples/site-a.host'],
			['--dir', 'fwd', '--dev', 'lan'],
			['src 10.1.0.5 dst 10.2.0.9 proto udp dport 53'],
			['src 10.1.0.5 dst 10.3.0.9 proto tcp dport 443'],
			['src 10.1.0.5 dst 10.3.0.9 proto tcp dport 443'],
			['wait:31', 'do:xfrm policy add src 10.1.0.0/16 dst 10.9.0.0/16 dir out action block'],
			['src 10.1.0.5 dst 10.9.0.9 proto icmp', 'src 10.1.0.5 dst 10.4.0.9 proto icmp'],
		].flat();
		const run = spawnSync(process.execPath, [bin, ...args], { cwd: root, encoding: 'utf8' });
		const lines = run.stdout.trimEnd().split('\n');
		const answers = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
		assert.deepEqual(
			answers.map((answer) => checker.check(answer, FILE)),
			answers.map(() => []),
		);
		assert.deepEqual(
			answers.map(({ outcome, counter, code }) => [outcome, counter, code]),
			[
				['transform', null, 'fwd.transformed'],
				['acquire', 'XfrmOutNoStates', 'out.acquire'],
				['drop', 'XfrmOutNoStates', 'out.state.missing'],
				['drop', 'XfrmOutPolBlock', 'out.policy.block'],
				['pass', null, 'fwd.policy.none'],
			],
		);
		const events = answers.map(({ events: list }) =>
			(list as { event: string }[]).map(({ event }) => event),
		);
		assert.deepEqual(events, [[], ['acquire'], [], ['expire'], []], 'the wait belongs to the next');
		assert.equal(run.status, 1);
	});

	it('with fixes, header fields, the other end and why-not, too', () => {
		const args = [
			['explain', '--json', '--both', '--bytes', '--why-not', 'fwd 18', '--why-not', '0xc0000202'],
			['--rules', 'examples/site-a.xfrm', '--host', 'examples/site-a.host'],
			['--dir', 'fwd', '--dev', 'lan'],
			['src 10.1.0.5 dst 10.2.0.9 proto udp dport 53'],
			['src 10.1.0.5 dst 10.3.0.9 proto tcp dport 443'],
		].flat();
		const run = spawnSync(process.execPath, [bin, ...args], { cwd: root, encoding: 'utf8' });
		const answers = run.stdout
			.trimEnd()
			.split('\n')
			.map((line) => JSON.parse(line) as Record<string, unknown>);
		assert.deepEqual(
			answers.map((answer) => checker.check(answer, FILE)),
			[[], []],
		);
		const [sent, missing] = answers;
		assert.deepEqual(
			[sent?.['both'] !== undefined, sent?.['fix'], missing?.['fix'] !== undefined],
			[true, undefined, true],
		);
		assert.equal((sent as { why_not: unknown[] }).why_not.length, 2);
	});
});
