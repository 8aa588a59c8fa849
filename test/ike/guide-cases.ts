/**
 * Guides, by the letter: the commands of their blocks are run one after the other by one shell, as somebody would
 * who copies them. What is run sees mounts and processes of its own, in which nothing that is here is changed.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { XFRM } from './laboratory.ts';
import type { Case } from './scenario.ts';

const LIMIT_MS = 180_000;

/** Blocks that are commands to be copied; those that install are marked so. */
function blocks(guide: string): string[] {
	const path = fileURLToPath(new URL(`../../docs/${guide}`, import.meta.url));
	const found = [...readFileSync(path, 'utf8').matchAll(/^```sh\n(.*?)^```$/gms)];
	return found.map(([, text = '']) => text);
}

/** Runs them; the output of all of it. @throws AssertionError with it when a command fails */
function follow(texts: readonly string[]): string {
	const folder = mkdtempSync(join(tmpdir(), 'xfrm-guide-'));
	try {
		symlinkSync(XFRM, join(folder, 'xfrm'));
		const parts = texts.map((text, index) => `echo "=== block ${index}"\n${text}`);
		// A folder of its own for each that guides write to.
		const own = '/run /etc/netns /var/log';
		const head = `set -e\nmkdir -p /etc/netns\nfor f in ${own}; do mount -t tmpfs none $f; done\nmkdir -p /run/lock\n`;
		const script = join(folder, 'guide.sh');
		writeFileSync(script, `${head}\n${parts.join('\n')}\necho done\n`);
		const words = [
			'--mount',
			'--net',
			'--pid',
			'--fork',
			'--kill-child',
			'--mount-proc',
			'bash',
			script,
		];
		const { status, stdout, stderr } = spawnSync('unshare', words, {
			encoding: 'utf8',
			cwd: folder,
			timeout: LIMIT_MS,
			killSignal: 'SIGKILL',
			env: { ...process.env, PATH: `${folder}:${process.env['PATH'] ?? ''}` },
		});
		assert.equal(status, 0, `${stdout}\n${stderr}`);
		return stdout;
	} finally {
		rmSync(folder, { recursive: true });
	}
}

const strongswan: Case = {
	name: 'guide: docs/strongswan.md, copied block by block, ends with a ping through the tunnel',
	run: async () => {
		if (!existsSync('/usr/sbin/charon-systemd')) {
			assert.notEqual(process.env['CI'], 'true', 'charon-systemd is there');
			return 'not tried: apt-get install charon-systemd';
		}
		const output = follow(blocks('strongswan.md'));
		assert.equal(output.match(/3 packets transmitted, 3 received/g)?.length, 2, output);
		assert.match(output, /initiate completed successfully/);
		assert.match(output, /2 packets transmitted, 0 received/);
		assert.match(output, /nothing goes, and nothing leaks/);
		assert.match(output, /SAD count 2/);
		assert.match(output, /^TRANSFORM/m);
		assert.match(output, /done\n$/);
		return undefined;
	},
};

export const guideCases: readonly Case[] = [strongswan];
