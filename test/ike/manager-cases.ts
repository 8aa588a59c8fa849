/**
 * Debian's network managers beside the daemon, unmodified: each is told of an address and a way out that are there
 * already, and takes the devices over while there is traffic.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Host, type Running, until } from './laboratory.ts';
import {
	type Case,
	connectionOf,
	IPV4,
	isInner,
	lossOver,
	withCharons,
	withEnds,
} from './scenario.ts';
import { WireWatch } from './wire-watch.ts';

const SECONDS = 8;
/** Pings of ten milliseconds that may go missing: each time it takes the address away, and gives it back. */
const LOSS_MAX = 25;

interface Manager {
	readonly program: string;
	/** Of its configuration, where it would be installed. */
	readonly folder: string;
	/** By their paths in the folder. */
	readonly files: Readonly<Record<string, string>>;
	/** Shell commands in front of it. */
	readonly prepare: string;
	/** Starts it; it stays in the foreground. */
	readonly start: string;
	/** Has it configure the device anew. */
	readonly tell: string;
}

const networkd: Manager = {
	program: '/lib/systemd/systemd-networkd',
	folder: '/etc/systemd/network',
	files: {
		'10-wire.network': `[Match]\nName=eth0\n[Network]\nAddress=${IPV4.a}/24\nGateway=${IPV4.b}\n`,
		// The daemon's own device, with all others.
		'20-all.network': '[Match]\nName=*\n[Network]\nDHCP=yes\n',
	},
	prepare: 'mkdir -p /run/systemd/netif; chown -R systemd-network: /run/systemd/netif',
	start: '/lib/systemd/systemd-networkd',
	tell: 'networkctl reload && networkctl reconfigure eth0',
};

const networkManager: Manager = {
	program: '/usr/sbin/NetworkManager',
	folder: '/etc/NetworkManager',
	files: {
		'NetworkManager.conf': '[main]\nplugins=keyfile\ndns=none\n',
		'system-connections/wire.nmconnection':
			'[connection]\nid=wire\ntype=ethernet\ninterface-name=eth0\n' +
			`[ipv4]\nmethod=manual\naddress1=${IPV4.a}/24,${IPV4.b}\n[ipv6]\nmethod=disabled\n`,
	},
	prepare: 'mount -t tmpfs none /var/lib/NetworkManager',
	start: '/usr/sbin/NetworkManager --debug',
	tell: 'nmcli connection reload && nmcli connection up wire',
};

/** It is started, told, ended, started and told again; with a D-Bus of its own, and a /sys that tells of no udev. */
function started(host: Host, manager: Manager): Running {
	const folder = join(host.folder, 'manager');
	for (const [name, text] of Object.entries(manager.files)) {
		const path = join(folder, name);
		mkdirSync(dirname(path), { recursive: true });
		writeFileSync(path, text, { mode: name.endsWith('nmconnection') ? 0o600 : 0o644 });
	}
	const { prepare, start, tell } = manager;
	const script = [
		'mount -t proc none /proc; mount -t tmpfs none /run; mkdir /run/dbus; mount -o remount,bind,ro /sys',
		`mount --bind ${folder} ${manager.folder}; ${prepare}`,
		'dbus-daemon --system --nofork --nopidfile &',
		`${start} & until ${tell}; do sleep 0.1; done; sleep 1`,
		`kill $!; wait $!; ${start} & until ${tell}; do sleep 0.1; done; sleep 1; echo over; wait`,
	];
	return host.start([
		'unshare',
		'-m',
		'--pid',
		'--fork',
		'--kill-child',
		'bash',
		'-c',
		script.join('\n'),
	]);
}

function beside(name: string, manager: Manager): Case {
	return {
		name: `managers: ${name} starts, is told anew, and starts again: nothing of the guard’s is taken away`,
		run: async () => {
			if (!existsSync(manager.program) || !existsSync('/usr/bin/dbus-daemon')) {
				return `not tried: no ${manager.program}`;
			}
			return withEnds(async (pair) => {
				const { a, daemonA } = pair;
				a.must('ip address flush dev eth0');
				a.must(`ip address add ${IPV4.a}/24 brd + dev eth0`);
				a.must(`ip route add default via ${IPV4.b}`);
				const [one] = await withCharons(pair, connectionOf(IPV4));
				one.initiate();
				const watch = await WireWatch.start(a, 'eth0');
				// Charon's rule for the source is taken away, as with the kernel.
				const way = `-I ${IPV4.innerA} ${IPV4.innerB}`;
				const lost = await lossOver(
					a,
					SECONDS,
					async () => {
						const running = started(a, manager);
						await until(name, () => running.stdout.includes('over'), 20_000);
					},
					way,
				);
				const { plain } = await watch.stop(isInner);
				assert.equal(plain, 0, 'nothing in clear');
				assert.match(a.must('ip route show default'), /proto static/, 'it has taken over');
				assert.doesNotMatch(daemonA.stderr, /had taken/);
				assert.ok(lost <= LOSS_MAX, `${lost} lost`);
				return `${lost} of ${100 * SECONDS} pings lost`;
			});
		},
	};
}

export const managerCases: readonly Case[] = [
	beside('systemd-networkd', networkd),
	beside('NetworkManager', networkManager),
];
