/** The transcripts of README.md are what the command prints. Runs the built command. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { splitWords } from '@xfrm/explain';

const root = fileURLToPath(new URL('../../', import.meta.url));
const page: string = readFileSync(`${root}README.md`, 'utf8');
const blocks = [...page.matchAll(/^```console\n\$ (npx xfrm [^\n]*)\n(.*?)^```$/gms)];

test('there are transcripts', () => {
	assert.ok(blocks.length >= 2);
});

for (const [, command = '', printed = ''] of blocks) {
	test(command, () => {
		const [, , ...words] = splitWords(command).map(({ text }) => text);
		const run = spawnSync(process.execPath, ['packages/cli/bin/xfrm.js', ...words], {
			cwd: root,
			encoding: 'utf8',
			env: { ...process.env, TZ: 'UTC', COLUMNS: '' },
		});
		assert.equal(run.stderr, '');
		assert.equal(run.stdout.trimEnd(), printed.trimEnd());
	});
}
