/**
 * Guides, by the letter: the commands of their blocks are run one after the other by one shell, as somebody would
 * who copies them. What is run sees mounts and processes of its own, in which nothing that is here is changed.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Host, type Running, XFRM } from './laboratory.ts';
import { ownFolder } from './leftovers.ts';
import { unpackedLibreswan } from './pluto.ts';
import { type Case, withLaboratory } from './scenario.ts';

const LIMIT_MS = 180_000;

/** Blocks that are commands to be copied, in order; what is marked otherwise, such as those that install, is not. */
function blocks(guide: string, mark: '' | 'both' | 'one' = ''): string[] {
	const path = fileURLToPath(new URL(`../../docs/${guide}`, import.meta.url));
	const found = [...readFileSync(path, 'utf8').matchAll(/^```sh ?(.*?)\n(.*?)^```$/gms)];
	return found.filter(([, word]) => word === mark).map(([, , text = '']) => text);
}

/** Runs them; the output of all of it. @throws AssertionError with it when a command fails */
function follow(texts: readonly string[]): string {
	const folder = ownFolder();
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

/** Debian's libreswan as if it were installed, which it cannot be beside strongSwan; folders of its own to write to. */
function installed(root: string): string {
	const writable = (name: string): string =>
		`mount -t overlay none -o lowerdir=${root}/${name}:/${name},upperdir=/srv/${name},workdir=/srv/${name}-work /${name}`;
	return [
		'set -e',
		'mount -t tmpfs none /srv',
		'mkdir /srv/etc /srv/etc-work /srv/var /srv/var-work',
		`mount -t overlay none -o lowerdir=${root}/usr:/usr /usr`,
		writable('etc'),
		writable('var'),
		'mount -t tmpfs none /run',
	].join('\n');
}

const libreswan: Case = {
	name: 'guide: docs/libreswan.md, copied block by block at two gateways, ends with a ping through the tunnel',
	run: () =>
		withLaboratory(async (laboratory) => {
			const [a, b] = [laboratory.host('a'), laboratory.host('b')];
			laboratory.wire(a, 'eth0', ['192.0.2.1/24'], b, 'eth0', ['192.0.2.2/24']);
			for (const [host, inner, other] of [
				[a, '10.1.0.1', '192.0.2.2'] as const,
				[b, '10.2.0.1', '192.0.2.1'] as const,
			]) {
				host.must(`ip address add ${inner}/32 dev lo`);
				host.must(`ip route add default via ${other}`);
			}
			symlinkSync(XFRM, join(laboratory.folder, 'xfrm'));
			const PATH = `${laboratory.folder}:${process.env['PATH'] ?? ''}`;
			const ready = join(laboratory.folder, 'ready');
			const gateway = (host: Host, ...texts: readonly string[]): Running => {
				const script = join(host.folder, 'guide.sh');
				writeFileSync(script, [installed(unpackedLibreswan()), ...texts].join('\n'));
				const around = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
				return host.start(['unshare', ...around, 'bash', script], { PATH });
			};
			const both = blocks('libreswan.md', 'both');
			const other = gateway(b, ...both, `touch ${ready}`, 'sleep 100');
			const waits = `until [ -e ${ready} ]; do sleep 0.1; done`;
			const one = gateway(a, ...both, waits, ...blocks('libreswan.md', 'one'));
			const ended = await Promise.race([one.ended, other.ended]);
			assert.equal(ended, 0, `${one.stdout}${one.stderr}\n${other.stdout}${other.stderr}`);
			assert.match(one.stdout, /established Child SA/);
			assert.match(one.stdout, /3 packets transmitted, 3 received/);
			assert.match(one.stdout, /inBytes=252, outBytes=252/);
			assert.match(one.stdout, /^src 10\.1\.0\.0\/24 dst 10\.2\.0\.0\/24/m);
			assert.equal(one.stdout.match(/proto esp spi 0x/g)?.length, 2);
			assert.match(one.stdout, /ESP traffic information: in=252B out=252B/);
		}),
};

export const guideCases: readonly Case[] = [strongswan, libreswan];
