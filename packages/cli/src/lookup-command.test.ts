/** `xfrm lookup` as people and scripts see it. Runs the built command. */
import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type JsonSchema, SchemaChecker } from '@xfrm/iproute';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const bin = fileURLToPath(new URL('../bin/xfrm.js', import.meta.url));
const FILE = 'lookup.schema.json';
const schema = JSON.parse(
	readFileSync(new URL(`../schema/${FILE}`, import.meta.url), 'utf8'),
) as JsonSchema;
const checker = new SchemaChecker(new Map([[FILE, schema]]));

const SITE = ['lookup', '--rules', 'examples/site-a.xfrm'];
const FLOW = 'src 10.1.0.5 dst 10.2.0.9 proto udp dport 53 dir out';
const LOST = 'src 10.1.0.5 dst 10.3.0.9 proto tcp dir out';

function xfrm(args: readonly string[], input = ''): SpawnSyncReturns<string> {
	return spawnSync(process.execPath, [bin, ...args], { cwd: root, encoding: 'utf8', input });
}

let folder = '';
before(() => {
	folder = mkdtempSync(join(tmpdir(), 'xfrm-lookup-'));
});
after(() => rmSync(folder, { recursive: true }));

describe('xfrm lookup', () => {
	it('takes a flow as words or as one word; the outcome is the status', () => {
		const words = xfrm([...SITE, '--json', ...FLOW.split(' ')]);
		assert.equal(words.stderr, '');
		assert.equal(words.status, 0);
		assert.equal(xfrm([...SITE, '--json', FLOW]).stdout, words.stdout);
		assert.equal(JSON.parse(words.stdout).outcome, 'transform');
		const lost = xfrm([...SITE, LOST]);
		assert.equal(lost.status, 1);
		assert.match(lost.stdout, /^ACQUIRE {2}XfrmOutNoStates\n {2}policy out /);
	});

	it('answers a line for a line, in order, as the schema says; a bad line is told, and the rest goes on', () => {
		const path = join(folder, 'flows');
		writeFileSync(path, `${FLOW}\n# a comment\n\n${LOST}\nsrc 10.1.0.5 dst nowhere\r\n${FLOW}`);
		const run = xfrm([...SITE, '--batch', path]);
		const lines = run.stdout
			.trimEnd()
			.split('\n')
			.map((line) => JSON.parse(line));
		assert.deepEqual(
			lines.map(({ outcome }) => outcome),
			['transform', 'acquire', 'transform'],
		);
		assert.deepEqual(
			lines.flatMap((line) => checker.check(line, FILE)),
			[],
		);
		assert.equal(run.stderr, `xfrm: ${path}:5:18: found "nowhere", expected an address\n`);
		assert.equal(run.status, 2);
		const good = xfrm([...SITE, '--batch', '-'], `${LOST}\n`.repeat(3));
		assert.equal(good.stdout.trimEnd().split('\n').length, 3);
		assert.equal(good.status, 0, 'with --batch a drop is an answer as any other');
	});

	it('says in one sentence what it wants', () => {
		const cases: readonly (readonly [readonly string[], RegExp])[] = [
			[['lookup', FLOW], /^xfrm: found no rules, expected --rules FILE, --kernel or --daemon/],
			[SITE, /^xfrm: expected either a flow, as in "src /],
			[[...SITE, '--batch', join(folder, 'absent')], /absent: no such file\n$/],
			[[...SITE, 'src 10.1.0.5'], /^xfrm: 13: found the end of the flow, expected dst ADDRESS\n$/],
			[[...SITE, `${FLOW} via 0x77`], /^xfrm: found via with dir out, expected dir in or dir fwd/],
			[
				[...SITE, `${FLOW.replace('out', 'in')} via 0x77`],
				/^xfrm: found via 0x00000077, expected the SPI of a state/,
			],
			[
				[...SITE, `${FLOW} dev none`],
				/^xfrm: found dev none, expected a device that the rules name/,
			],
		];
		for (const [args, message] of cases) {
			const run = xfrm(args);
			assert.match(run.stderr, message);
			assert.equal(run.stderr.trimEnd().split('\n').length, 1);
			assert.equal(run.status, 2, args.join(' '));
		}
	});
});
