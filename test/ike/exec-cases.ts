/** What a program under `xfrm exec` sees of itself: as if it had been started plainly. */
import assert from 'node:assert/strict';
import { Laboratory } from './laboratory.ts';
import type { Case } from './scenario.ts';

async function withDaemon(
	run: (host: ReturnType<Laboratory['host']>) => Promise<void>,
): Promise<void> {
	const laboratory = new Laboratory();
	try {
		const host = laboratory.host('a');
		await host.daemon();
		await run(host);
	} finally {
		await laboratory.close();
	}
}

/** Lines of /proc/self that a start by Node could change. */
const LOOK = [
	'grep -E "^(Sig(Blk|Ign|Cgt)|Cap|NoNewPrivs|Seccomp:|Umask)" /proc/self/status',
	'cat /proc/self/limits',
	'ls /proc/self/fd',
	'grep flags /proc/self/fdinfo/0 /proc/self/fdinfo/1 /proc/self/fdinfo/2',
	'readlink /proc/self/cwd',
].join('; ');

export const execCases: readonly Case[] = [
	{
		name: 'exec: signals, limits, descriptors and flags are those of a plain start',
		run: () =>
			withDaemon(async (host) => {
				for (const around of ['', 'ulimit -Sn 300; ', "trap '' HUP PIPE; ", 'ulimit -c 0; ']) {
					const plain = host.must(['sh', '-c', `${around}sh -c '${LOOK}'`]);
					const command = host.command('exec', '--', 'sh', '-c', `'${LOOK}'`);
					assert.equal(host.must(['sh', '-c', `${around}${command}`]), plain, around);
				}
				// Descriptors that are given go through.
				const inner = host.command('exec', '--', 'sh', '-c', "'cat <&7'");
				const through = host.must(['sh', '-c', `exec 7</etc/os-release; ${inner}`]);
				assert.equal(through, host.must('cat /etc/os-release'));
			}),
	},
	{
		name: 'exec: statuses, and silence',
		run: () =>
			withDaemon(async (host) => {
				const rows: readonly [readonly string[], number][] = [
					[['sh', '-c', 'exit 7'], 7],
					[['/nowhere/program'], 127],
					[['no-such-program'], 127],
					[['/etc/passwd'], 126],
				];
				for (const [words, status] of rows) {
					assert.equal(host.xfrm('exec', '--', ...words).status, status, words.join(' '));
				}
				assert.deepEqual(host.xfrm('exec', '--', 'true'), { status: 0, stdout: '', stderr: '' });
				const pid = host.must([
					'sh',
					'-c',
					`echo $$; exec ${host.command('exec', '--', 'sh', '-c', "'echo $$'")}`,
				]);
				const [before, after] = pid.trim().split('\n');
				assert.equal(after, before, 'the same process');
			}),
	},
	{
		name: 'exec: without a daemon it waits, says so and ends with 2',
		run: async () => {
			const laboratory = new Laboratory();
			try {
				const host = laboratory.host('a');
				const begun = performance.now();
				const { status, stderr } = host.xfrm('exec', '--wait', '1', '--', 'true');
				assert.equal(status, 2);
				assert.match(stderr, /no xfrm daemon answers/);
				assert.ok(performance.now() - begun > 1000);
			} finally {
				await laboratory.close();
			}
		},
	},
	{
		name: 'a policy is in force when its request is answered',
		run: () =>
			withDaemon(async (host) => {
				for (let i = 1; i <= 5; i++) {
					host.mustExec(
						`ip xfrm policy add src 10.1.0.0/16 dst 10.${i}.0.0/16 dir out action block`,
					);
					assert.match(
						host.must('nft list chain inet xfrm output'),
						new RegExp(`10\\.${i}\\.0\\.0/16`),
					);
				}
				host.mustExec('ip xfrm policy flush');
				assert.doesNotMatch(host.must('nft list chain inet xfrm output'), /10\.1\.0\.0/);
			}),
	},
];
