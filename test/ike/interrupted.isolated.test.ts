// `npm run test:ike` ends when it is told to, whatever it waits for, and leaves nothing behind.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { reasonToSkip, until } from './laboratory.ts';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
const START_MS_MAX = 60_000;
const END_MS_MAX = 2000;

function output(...words: readonly string[]): string {
	return spawnSync('ip', words, { encoding: 'utf8' }).stdout;
}

/** Namespaces and folders of all runs. */
function traces(): string[] {
	const folders = readdirSync(tmpdir()).filter((name) => name.startsWith('xfrm-ike-'));
	return [...folders, ...(output('netns', 'list').match(/^xfrm-\d+-a\b/gm) ?? [])];
}

/** Is it the program of the case that takes a second? */
function waits(pid: number): boolean {
	try {
		return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('--wait');
	} catch {
		return false;
	}
}

test('told to end while a program that it waits for stands still, it does, and leaves nothing', async (t) => {
	const lack = reasonToSkip();
	if (lack !== undefined) {
		t.skip(lack);
		return;
	}
	const before = traces();
	const words = [...process.execArgv, MAIN, 'exec: without a daemon'];
	const main = spawn(process.execPath, words, { stdio: 'ignore' });
	const ended = new Promise((resolve) => main.on('exit', resolve));
	let namespace: string | undefined;
	let program = 0;
	const isThere = (): boolean => {
		namespace ??= traces().find((name) => !before.includes(name) && name.endsWith('-a'));
		const pids = namespace === undefined ? '' : output('netns', 'pids', namespace);
		program = pids.split('\n').map(Number).find(waits) ?? 0;
		return program > 0;
	};
	await until('a program', isThere, START_MS_MAX);
	process.kill(program, 'SIGSTOP');
	const begun = performance.now();
	main.kill('SIGTERM');
	assert.equal(await ended, 143);
	assert.ok(performance.now() - begun < END_MS_MAX, `${performance.now() - begun} ms`);
	const [, pid] = namespace?.split('-') ?? [];
	const left = traces().filter((name) => name.includes(`-${pid}-`));
	assert.deepEqual(left, []);
	assert.equal(waits(program), false);
});
