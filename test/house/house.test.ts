/** The house rules run as tests: `npm run tidy` and `npm run conformance -- --check` find nothing. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root: string = fileURLToPath(new URL('../../', import.meta.url));

function tool(...args: string[]): { status: number | null; stdout: string } {
	const loader = ['--conditions=@xfrm/source', '--import', 'tsx'];
	const run = spawnSync(process.execPath, [...loader, ...args], { cwd: root, encoding: 'utf8' });
	return { status: run.status, stdout: run.stdout + run.stderr };
}

test('tidy finds nothing', () => {
	const { status, stdout } = tool('tools/tidy.ts');
	assert.equal(status, 0, stdout);
});

test('the conformance page is true and has no new holes', () => {
	const { status, stdout } = tool('tools/conformance.ts', '--check');
	assert.equal(status, 0, stdout);
});
