/**
 * The units under systemd itself, as process 1 of namespaces of its own: what it does with a daemon that dies is not
 * said by the units alone. It sees the machine's files; what it writes to them, but for caches, goes with it.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Charon } from './charon.ts';
import { type Host, type Output, type Running, until, XFRM } from './laboratory.ts';
import { assertPings, type Case, connectionOf, IPV4 } from './scenario.ts';
import { SWANCTL, withPair } from './unit-cases.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const SYSTEMD = '/lib/systemd/systemd';
const DEBIANS = '/lib/systemd/system';
/** Of Debian's, what units need that say nothing of it: nothing else of the machine is started. */
const TARGETS = ['sysinit', 'basic', 'shutdown', 'network-pre', 'network-online', 'umount'];
/** What the unit hides from the daemon. */
const HIDDEN = ['/tmp', '/var/tmp', '/home', '/root', '/run/user'];

/** Why it cannot be tried here. */
function lack(): string | undefined {
	if (!existsSync('/usr/sbin/charon-systemd')) {
		return 'apt-get install charon-systemd';
	}
	if (!existsSync(SYSTEMD)) {
		return 'apt-get install systemd';
	}
	if (HIDDEN.some((folder) => ROOT.startsWith(`${folder}/`))) {
		return 'the unit does not see where this checkout is';
	}
	const { status } = spawnSync('unshare', ['-m', 'mount', '-t', 'cgroup2', 'none', '/srv']);
	return status === 0 ? undefined : 'cgroups of version 2 cannot be mounted';
}

/** Words for a shell: cgroups of the host's own, then systemd in what only it sees. */
function bootScript(host: Host): string {
	const own = (folder: string): string =>
		`mkdir -p /srv/o${folder} /srv/w${folder}; mount -t overlay none -o lowerdir=${folder},upperdir=/srv/o${folder},workdir=/srv/w${folder} ${folder}`;
	const group = `/srv/groups/${host.namespace}`;
	const inside = [
		'set -e',
		'mount -t proc none /proc',
		// What a machine's systemd sets for all of it.
		'for f in fs kernel vm; do mount --bind /proc/sys/$f /proc/sys/$f; mount -o remount,bind,ro /proc/sys/$f; done',
		'mount -t cgroup2 none /sys/fs/cgroup',
		`cp -r ${host.folder}/units /srv/units`,
		own('/etc'),
		own('/usr/local/bin'),
		`cp -rT ${host.folder}/bin /usr/local/bin`,
		`cp ${host.folder}/swanctl.conf /etc/swanctl/swanctl.conf`,
		'mount -t tmpfs none /run',
		`exec env -i container=other SYSTEMD_UNIT_PATH=/srv/units PATH=$PATH ${SYSTEMD} --unit=all.target --log-target=null`,
	];
	writeFileSync(join(host.folder, 'inside.sh'), `${inside.join('\n')}\n`);
	return [
		'set -e',
		'mount --make-rprivate /',
		'mount -t tmpfs none /srv',
		'mkdir /srv/groups; mount -t cgroup2 none /srv/groups',
		`mkdir ${group}; echo $$ > ${group}/cgroup.procs`,
		`unshare --mount --pid --cgroup --uts --ipc --fork --kill-child bash ${host.folder}/inside.sh || true`,
		`echo $$ > /srv/groups/cgroup.procs; find ${group} -depth -type d -exec rmdir {} +`,
	].join('\n');
}

/** systemd on a host, with the daemon and charon. */
class Booted {
	readonly #host: Host;
	readonly #running: Running;

	constructor(host: Host) {
		const { folder } = host;
		cpSync(join(ROOT, 'packages/linux/units'), join(folder, 'units'), { recursive: true });
		for (const name of ['strongswan.service', ...TARGETS.map((target) => `${target}.target`)]) {
			copyFileSync(join(DEBIANS, name), join(folder, 'units', name));
		}
		const wants = '[Unit]\nDescription=All\nWants=xfrm-daemon.service strongswan.service\n';
		writeFileSync(join(folder, 'units/all.target'), wants);
		mkdirSync(join(folder, 'bin'));
		symlinkSync(XFRM, join(folder, 'bin/xfrm'));
		symlinkSync(process.execPath, join(folder, 'bin/node'));
		writeFileSync(join(folder, 'swanctl.conf'), SWANCTL);
		writeFileSync(join(folder, 'boot.sh'), bootScript(host));
		this.#host = host;
		this.#running = host.start(['bash', join(folder, 'boot.sh')]);
	}

	/** A command beside it. */
	run(...words: readonly string[]): Output {
		return this.#host.run(['nsenter', '-t', this.#first(), '-m', '-p', ...words]);
	}

	/** Processes of a unit, by its own numbers: 0 when none runs. */
	mainPid(unit: string): number {
		return Number(this.run('systemctl', 'show', '-p', 'MainPID', '--value', unit).stdout);
	}

	isActive(unit: string): boolean {
		return this.run('systemctl', 'is-active', unit).status === 0;
	}

	/** Waits until both are up. */
	async up(): Promise<void> {
		const units = ['xfrm-daemon.service', 'strongswan.service'];
		const isUp = (): boolean =>
			this.#running.hasEnded || units.every((unit) => this.isActive(unit));
		await until('the units', isUp, 60_000);
		assert.ok(!this.#running.hasEnded, `${this.#running.stdout}${this.#running.stderr}`);
	}

	async end(): Promise<void> {
		const first = Number(this.#first());
		// 0 would be this process and all that it has started.
		if (first > 1) {
			process.kill(first, 'SIGKILL');
		}
		await this.#running.ended;
	}

	/** Its number outside. */
	#first(): string {
		const children = (pid: string): string =>
			this.#host.run(['pgrep', '-P', pid]).stdout.trim().split('\n')[0] ?? '';
		return children(children(String(this.#running.pid)));
	}
}

const outlived: Case = {
	name: 'unit: under systemd charon and its tunnel outlive a daemon that is killed or started anew',
	run: () =>
		withPair(async (a, b) => {
			const why = lack();
			if (why !== undefined) {
				return `not tried: ${why}`;
			}
			const booted = new Booted(a);
			try {
				await booted.up();
				const [, right] = connectionOf(IPV4);
				await Charon.start(b, right);
				const { status, stdout } = booted.run('swanctl', '--initiate', '--child', 'net');
				assert.equal(status, 0, stdout);
				assertPings(a, IPV4.innerB, 5);
				const charon = booted.mainPid('strongswan');
				for (const end of ['kill -9 MAIN', 'systemctl restart xfrm-daemon']) {
					const before = booted.mainPid('xfrm-daemon');
					const command = end.replace('MAIN', String(before)).split(' ');
					assert.equal(booted.run(...command).status, 0, end);
					const isAnew = (): boolean =>
						booted.isActive('xfrm-daemon') && booted.mainPid('xfrm-daemon') !== before;
					await until(`another daemon after ${end}`, isAnew, 10_000);
					assertPings(a, IPV4.innerB, 5);
					assert.match(booted.run('xfrm', 'state', 'count').stdout, /SAD count 2$/m);
					assert.equal(booted.mainPid('strongswan'), charon, 'charon is the same');
				}
			} finally {
				await booted.end();
			}
			return undefined;
		}),
};

export const systemdCases: readonly Case[] = [outlived];
