import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { completedCommands } from './completion.ts';

const bin = fileURLToPath(new URL('../bin/xfrm.js', import.meta.url));
const { stdout: script } = spawnSync(process.execPath, [bin, 'completion', 'bash'], {
	encoding: 'utf8',
});

/** What bash offers behind these words. */
function offered(...words: readonly string[]): readonly string[] {
	const list = words.map((word) => `'${word}'`).join(' ');
	const asked = `COMP_WORDS=(${list}); COMP_CWORD=${words.length - 1}; _xfrm; printf '%s\\n' "\${COMPREPLY[@]}"`;
	const { stdout } = spawnSync('bash', ['-c', `${script}\n${asked}`], { encoding: 'utf8' });
	return stdout.trim().split('\n');
}

describe('completion', () => {
	it('knows every command that help knows, and options by the layout of their text', () => {
		const commands = new Map(completedCommands().map(({ name, options }) => [name, options]));
		assert.deepEqual(commands.get('save'), ['--show-keys', '--kernel', '--daemon', '--help']);
		assert.deepEqual(commands.get('load'), [
			'--dry-run',
			'--json',
			'--kernel',
			'--daemon',
			'--help',
		]);
		assert.equal(commands.get('explain')?.includes('--rules'), true);
	});
	it('works in bash', () => {
		assert.deepEqual(offered('xfrm', 'do'), ['doctor']);
		assert.deepEqual(offered('xfrm', 'load', '--dr'), ['--dry-run']);
		assert.deepEqual(offered('xfrm', 'help', 'mon'), ['monitor']);
	});
	it('of a shell that is not known says which are', () => {
		const { status, stderr } = spawnSync(process.execPath, [bin, 'completion', 'csh'], {
			encoding: 'utf8',
		});
		assert.equal(status, 2);
		assert.equal(stderr, 'xfrm: found "csh", expected a shell: bash, zsh, fish\n');
	});
});
