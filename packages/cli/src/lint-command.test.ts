/** `xfrm lint`, `prove` and `diff` as people and CI systems see them. Runs the built command. */
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
const FILES = ['lint.schema.json', 'prove.schema.json', 'diff.schema.json'];
const checker = new SchemaChecker(
	new Map(
		FILES.map((file) => [
			file,
			JSON.parse(readFileSync(new URL(`../schema/${file}`, import.meta.url), 'utf8')) as JsonSchema,
		]),
	),
);

const KEY = '0x3f1a5be2c8d04976aa10e5cd27b3648f9e02c571';
const RULES = `
xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x100 reqid 7 mode tunnel aead 'rfc4106(gcm(aes))' ${KEY} 128
xfrm policy add src 10.1.0.0/16 dst 10.2.0.0/16 dir out tmpl src 192.0.2.1 dst 192.0.2.2 proto esp reqid 5 mode tunnel
`;

let rules = '';
let mended = '';
let folder = '';
before(() => {
	folder = mkdtempSync(join(tmpdir(), 'xfrm-lint-'));
	rules = join(folder, 'rules');
	mended = join(folder, 'mended');
	writeFileSync(rules, RULES);
	writeFileSync(mended, RULES.replace('reqid 7', 'reqid 5'));
});
after(() => rmSync(folder, { recursive: true }));

function xfrm(...args: readonly string[]): SpawnSyncReturns<string> {
	return spawnSync(process.execPath, [bin, ...args], { cwd: root, encoding: 'utf8' });
}

function lines(text: string): Record<string, unknown>[] {
	return text
		.trimEnd()
		.split('\n')
		.map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe('xfrm lint', () => {
	it('says the worst first, by text, JSON as the schema says, and SARIF; never a key', () => {
		const text = xfrm('lint', rules);
		assert.match(
			text.stdout,
			/^error {4}template-reqid\n {9}state 0x00000100 would serve policy out 1/,
		);
		assert.match(text.stdout, /\n\d+ findings: 1 error, .* in 1 state, 1 policy\n$/);
		assert.ok(Math.max(...text.stdout.split('\n').map((line) => line.length)) <= 100);
		const json = lines(xfrm('lint', '--json', rules).stdout);
		assert.deepEqual(
			json.flatMap((line) => checker.check(line, 'lint.schema.json')),
			[],
		);
		assert.equal(json[0]?.['id'], 'template-reqid');
		const sarif = JSON.parse(xfrm('lint', '--sarif', rules).stdout);
		const [run] = sarif.runs;
		assert.deepEqual(
			[sarif.version, run.results[0].ruleId, run.results[0].level],
			['2.1.0', 'template-reqid', 'error'],
		);
		assert.equal(run.tool.driver.rules[run.results[0].ruleIndex].id, 'template-reqid');
		assert.equal(run.results.length, json.length);
		for (const output of [text.stdout, JSON.stringify(json), JSON.stringify(sarif)]) {
			assert.ok(!output.includes(KEY.slice(2)));
		}
	});

	it('names the lines of what it is about, of commands and of dumps', () => {
		const placesOf = (file: string): (string | number)[][] => {
			const { runs } = JSON.parse(xfrm('lint', '--sarif', file).stdout);
			const [{ locations, relatedLocations }] = runs[0].results;
			return [...locations, ...relatedLocations].map(({ physicalLocation: place }) => [
				decodeURI(place.artifactLocation.uri),
				place.region.startLine,
				place.region.endLine,
			]);
		};
		assert.deepEqual(placesOf(rules), [
			[rules, 2, 2],
			[rules, 3, 3],
		]);
		const dump = join(folder, 'a dump');
		writeFileSync(
			dump,
			`src 192.0.2.1 dst 192.0.2.2
	proto esp spi 0x00000100 reqid 7 mode tunnel
	replay-window 0
	aead rfc4106(gcm(aes)) ${KEY} 128
src 10.1.0.0/16 dst 10.2.0.0/16
	dir out priority 0
	tmpl src 192.0.2.1 dst 192.0.2.2
		proto esp reqid 5 mode tunnel
`,
		);
		assert.deepEqual(placesOf(dump), [
			[dump, 1, 4],
			[dump, 5, 8],
		]);
		assert.match(xfrm('lint', rules).stdout, /\n {11}\S+rules:2: state 0x00000100: /);
		const [{ objects }] = lines(xfrm('lint', '--json', rules).stdout) as [{ objects: object[] }];
		assert.deepEqual(
			objects.map((one) => 'file' in one && 'line' in one && [one.file, one.line]),
			[
				[rules, 2],
				[rules, 3],
			],
		);
	});

	it('fails as it is told to', () => {
		const status = (...args: readonly string[]): number | null => xfrm('lint', ...args).status;
		assert.deepEqual(
			[
				status(rules),
				status(rules, '--fail-on', 'never'),
				status(mended),
				status(mended, '--fail-on', 'warning'),
				status(mended, '--fail-on', 'some'),
				status(),
				status(join(folder, 'absent')),
			],
			[1, 0, 0, 1, 2, 2, 2],
		);
	});

	it('reads NAT rules and the host', () => {
		const nat = join(folder, 'nat');
		writeFileSync(nat, '-A POSTROUTING -s 10.1.0.0/16 -o wan -j MASQUERADE\n');
		const ids = lines(
			xfrm('lint', '--json', mended, '--nft', nat, '--local', '192.0.2.9').stdout,
		).map(({ id }) => id);
		assert.ok(ids.includes('nat-before-lookup'));
		assert.ok(ids.includes('template-local-address'));
	});
});

describe('xfrm prove', () => {
	const question = 'src 10.1.0.0/16 dst 10.2.0.0/16 dir out always transform';

	it('is 0 where the claim holds, 1 where it does not, with an example', () => {
		const yes = xfrm('prove', '--rules', mended, question);
		assert.deepEqual(
			[yes.status, yes.stdout],
			[0, 'YES: it holds for all flows in question (1 box).\n'],
		);
		const no = xfrm('prove', '--rules', rules, ...question.split(' '));
		assert.equal(no.status, 1);
		assert.match(no.stdout, /^NO: src 10\.1\.0\.0\/16 dst 10\.2\.0\.0\/16 waits for a state/);
		const json = lines(xfrm('prove', '--json', '--rules', rules, question, 'dir in').stdout);
		assert.deepEqual(
			json.flatMap((line) => checker.check(line, 'prove.schema.json')),
			[],
		);
		assert.deepEqual(
			json.map(({ holds }) => holds),
			[false, null],
		);
	});

	it('says in one sentence what it wants', () => {
		for (const [args, message] of [
			[['prove', question], /^xfrm: found no rules, expected --rules FILE, --kernel or --daemon/],
			[['prove', '--rules', rules], /^xfrm: found no question/],
			[
				['prove', '--rules', rules, 'dir out never fly'],
				/^xfrm: 15: found "fly", expected pass, transform/,
			],
			[['prove', '--rules', rules, '--boxes', '0', 'dir out'], /expected --boxes NUMBER/],
			[['diff', rules], /^xfrm: expected two files of rules/],
		] as const) {
			const run = xfrm(...args);
			assert.match(run.stderr, message);
			assert.equal(run.status, 2);
		}
	});
});

describe('xfrm diff', () => {
	it('is 1 where flows are treated in another way, which it tells', () => {
		const run = xfrm('diff', rules, mended);
		assert.equal(run.status, 1);
		assert.match(
			run.stdout,
			/^out {2}src 10\.1\.0\.0\/16 dst 10\.2\.0\.0\/16\n {2}- acquire .*\n(?: {6}.*\n)* {2}\+ transform /,
		);
		assert.ok(
			run.stdout.split('\n').every((line) => line.length <= 100),
			run.stdout,
		);
		assert.equal(xfrm('diff', rules, rules).status, 0);
		const json = lines(xfrm('diff', '--json', rules, mended).stdout);
		assert.deepEqual(
			json.flatMap((line) => checker.check(line, 'diff.schema.json')),
			[],
		);
	});
});
