/** What is installed: units, the container's recipe. With the rights that stand there, and no more, it has to work. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
	chmodSync,
	copyFileSync,
	cpSync,
	existsSync,
	mkdirSync,
	readFileSync,
	writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { Charon } from './charon.ts';
import { type Host, type Laboratory, until, XFRM } from './laboratory.ts';
import { unpackedLibreswan } from './pluto.ts';
import { type Sandbox, sandboxed } from './sandbox.ts';
import type { Case } from './scenario.ts';
import {
	assertPings,
	connectionOf,
	countStates,
	IPV4,
	outerAddresses,
	settle,
	withLaboratory,
} from './scenario.ts';
import { client, compiled } from './supervised-cases.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const UNITS = join(ROOT, 'packages/linux/units');
const TUN = '/dev/net/tun';
/** Numbers of the address families that units name. */
const FAMILIES: Readonly<Record<string, number>> = {
	AF_UNIX: 1,
	AF_INET: 2,
	AF_INET6: 10,
	AF_NETLINK: 16,
};

/** What the daemon needs, by number: NET_BIND_SERVICE, NET_ADMIN, NET_RAW, SYS_PTRACE. */
const NEEDED = [10, 12, 13, 19];

function boundingSet(status: string): number[] {
	const mask = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1]}`);
	return Array.from({ length: 64 }, (_, bit) => bit).filter((bit) => (mask >> BigInt(bit)) & 1n);
}

/** Two hosts with a wire; the second has its daemon. */
export function withPair(
	run: (a: Host, b: Host, laboratory: Laboratory) => Promise<unknown>,
): Promise<unknown> {
	return withLaboratory(async (laboratory) => {
		const [a, b] = [laboratory.host('a'), laboratory.host('b')];
		laboratory.wire(a, 'eth0', outerAddresses('a'), b, 'eth0', outerAddresses('b'));
		settle(a, 'a');
		settle(b, 'b');
		await b.daemon();
		return run(a, b, laboratory);
	});
}

/** Values of a unit's lines by their keys; the last one counts. */
function settings(unit: string): ReadonlyMap<string, string> {
	const lines = readFileSync(join(UNITS, unit), 'utf8').matchAll(/^(\w+)=(.*)$/gm);
	return new Map([...lines].map(([, key = '', value = '']) => [key, value]));
}

/** Folders of homes, without the one that this checkout is in: there it would not see itself. */
function homes(): string[] {
	return ['/home', '/root'].filter(
		(folder) => existsSync(folder) && !ROOT.startsWith(`${folder}/`),
	);
}

/** What systemd would make of the unit. */
function sandboxOf(unit: ReadonlyMap<string, string>, wrap: string, runtime: string): Sandbox {
	const isSet = (key: string, value: string): void => assert.equal(unit.get(key), value, key);
	isSet('ProtectSystem', 'strict');
	isSet('NoNewPrivileges', 'yes');
	isSet('PrivateTmp', 'yes');
	isSet('ProtectHome', 'yes');
	isSet('RestrictNamespaces', 'yes');
	isSet('DeviceAllow', `${TUN} rw`);
	const families = unit.get('RestrictAddressFamilies')?.split(' ') ?? [];
	return {
		capabilities: unit.get('CapabilityBoundingSet')?.split(' ') ?? [],
		kept: {
			[`/var/cache/${unit.get('CacheDirectory')}`]: `/var/cache/${unit.get('CacheDirectory')}`,
			// As many daemons may be running here.
			[`/run/${unit.get('RuntimeDirectory')}`]: runtime,
		},
		temporary: ['/tmp', '/var/tmp'],
		hidden: homes(),
		shown: {},
		devices: [TUN],
		wrap: [wrap, ...families.map((name) => String(FAMILIES[name])), '--'],
		ownProcesses: false,
	};
}

const unit: Case = {
	name: 'unit: with the rights of xfrm-daemon.service a tunnel comes up, and outlives the daemon’s death',
	run: () =>
		withPair(async (a, b) => {
			const service = settings('xfrm-daemon.service');
			const source = client('restricted.c');
			const wrap = compiled(a, 'restricted', ['gcc', '-O2', source]);
			const sandbox = sandboxOf(service, wrap, join(a.folder, 'run'));
			const [, ...words] = service.get('ExecStart')?.split(' ') ?? [];
			assert.deepEqual(words, ['daemon', '--state-dir', '/run/xfrm']);
			const command = [process.execPath, XFRM, ...words];
			const start = async (): Promise<ReturnType<Host['start']>> => {
				const running = a.start(sandboxed(sandbox, command));
				await until('ready', () => running.hasEnded || /^ready/.test(running.stdout), 30_000);
				assert.match(running.stdout, /^ready/, running.stderr);
				return running;
			};
			const first = await start();
			const status = readFileSync(`/proc/${first.pid}/status`, 'latin1');
			assert.match(status, /^NoNewPrivs:\t1\nSeccomp:\t2$/m);
			assert.deepEqual(boundingSet(status), NEEDED);
			const [left, right] = connectionOf(IPV4);
			const [charon] = await Promise.all([Charon.start(a, left), Charon.start(b, right)]);
			charon.must('--initiate', '--child', 'net');
			assertPings(a, IPV4.innerB, 5);
			first.kill('SIGKILL');
			await first.ended;
			assert.equal(a.ping(IPV4.innerB, 2), 0);
			await start();
			assert.equal(countStates(a), 2);
			assertPings(a, IPV4.innerB, 5);
		}),
};

/** What a file of units says of itself is right, and starts what is there. */
const verified: Case = {
	name: 'unit: systemd-analyze finds nothing wrong with the units and the drop-ins of the guides',
	run: () =>
		withLaboratory(async (laboratory) => {
			if (!existsSync('/usr/bin/systemd-analyze')) {
				return 'not tried: apt-get install systemd';
			}
			const { folder } = laboratory;
			const units = join(folder, 'etc/systemd/system');
			cpSync(UNITS, units, { recursive: true });
			const debians = join(unpackedLibreswan(), 'lib/systemd/system/ipsec.service');
			copyFileSync(debians, join(units, 'ipsec.service'));
			mkdirSync(join(units, 'ipsec.service.d'));
			const guide = readFileSync(join(ROOT, 'docs/libreswan.md'), 'utf8');
			const [, dropIn = ''] = /^```ini\n(.*?)^```$/ms.exec(guide) ?? [];
			writeFileSync(join(units, 'ipsec.service.d/xfrm.conf'), dropIn);
			const programs = [
				...['/usr/local/bin/xfrm', '/usr/libexec/ipsec/pluto', '/usr/libexec/ipsec/addconn'],
				...['/usr/libexec/ipsec/whack', '/usr/sbin/ipsec', '/usr/sbin/charon-systemd'],
				...['/usr/sbin/swanctl', '/bin/sh', '/bin/bash'],
			];
			for (const program of programs) {
				mkdirSync(join(folder, program, '..'), { recursive: true });
				writeFileSync(join(folder, program), '');
				chmodSync(join(folder, program), 0o755);
			}
			const strongswan = '/lib/systemd/system/strongswan.service';
			if (existsSync(strongswan)) {
				copyFileSync(strongswan, join(units, 'strongswan.service'));
			}
			const wanted = ['xfrm-daemon.service', 'ipsec.service', 'strongswan.service']
				.map((name) => join('/etc/systemd/system', name))
				.filter((path) => existsSync(join(folder, path)));
			const { status, stdout, stderr } = spawnSync(
				'systemd-analyze',
				['verify', `--root=${folder}`, '--man=no', '--recursive-errors=no', ...wanted],
				{ encoding: 'utf8' },
			);
			assert.deepEqual({ status, told: `${stdout}${stderr}` }, { status: 0, told: '' });
			return undefined;
		}),
};

interface Pod {
	readonly spec: {
		readonly securityContext: { readonly sysctls: readonly { name: string; value: string }[] };
		readonly containers: readonly [
			{
				readonly securityContext: {
					readonly allowPrivilegeEscalation: boolean;
					readonly readOnlyRootFilesystem: boolean;
					readonly capabilities: {
						readonly drop: readonly string[];
						readonly add: readonly string[];
					};
				};
				readonly args: readonly string[];
				readonly readinessProbe: { readonly exec: { readonly command: readonly string[] } };
				readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
			},
		];
		readonly volumes: readonly {
			readonly name: string;
			readonly hostPath?: { readonly path: string };
			readonly secret?: object;
			readonly emptyDir?: object;
		}[];
	};
}

const containerPage = (): string => readFileSync(join(ROOT, 'docs/container.md'), 'utf8');

function pod(): Pod {
	const [, text = ''] = /^```yaml\n(.*?)^```$/ms.exec(containerPage()) ?? [];
	return parse(text, { strict: true }) as Pod;
}

/** What a kubelet would make of the pod; its secret is a folder. */
function sandboxOfPod({ spec }: Pod, secret: string): Sandbox {
	const [{ securityContext, volumeMounts }] = spec.containers;
	assert.equal(securityContext.allowPrivilegeEscalation, false);
	assert.equal(securityContext.readOnlyRootFilesystem, true);
	assert.deepEqual(securityContext.capabilities.drop, ['ALL']);
	const mounted = (kind: 'hostPath' | 'secret' | 'emptyDir'): string[] =>
		spec.volumes
			.filter((volume) => volume[kind] !== undefined)
			.map(({ name }) => volumeMounts.find((mount) => mount.name === name)?.mountPath ?? '');
	return {
		capabilities: securityContext.capabilities.add,
		kept: {},
		temporary: mounted('emptyDir'),
		hidden: [],
		shown: Object.fromEntries(mounted('secret').map((path) => [path, secret])),
		devices: mounted('hostPath'),
		wrap: [],
		ownProcesses: true,
	};
}

/** What swanctl.conf says at the first host of a pair. */
export const SWANCTL: string = `connections { gw {
	local_addrs = ${IPV4.a}
	remote_addrs = ${IPV4.b}
	local { auth = psk
		id = ${IPV4.a} }
	remote { auth = psk
		id = ${IPV4.b} }
	children { net {
		local_ts = ${IPV4.netA}
		remote_ts = ${IPV4.netB}
		esp_proposals = aes128gcm16
	} }
} }
secrets { ike { secret = "a secret of the laboratory" } }
`;

const container: Case = {
	name: 'unit: the container’s start, as the pod of the guide runs it, brings a tunnel up and ends when told to',
	run: () =>
		withPair(async (a, b) => {
			if (!existsSync('/usr/sbin/charon-systemd')) {
				assert.notEqual(process.env['CI'], 'true', 'charon-systemd is there');
				return 'not tried: apt-get install charon-systemd';
			}
			const described = pod();
			const [{ args, readinessProbe, securityContext }] = described.spec.containers;
			// Docker is told the same.
			const flags = [...containerPage().matchAll(/--cap-add (\w+)/g)].map(([, name]) => name);
			assert.deepEqual(flags, securityContext.capabilities.add);
			for (const { name, value } of described.spec.securityContext.sysctls) {
				assert.ok(containerPage().includes(`--sysctl ${name}=${value}`));
				a.must(['sysctl', '-qw', `${name}=${value}`]);
			}
			const secret = join(a.folder, 'swanctl');
			mkdirSync(secret);
			writeFileSync(join(secret, 'swanctl.conf'), SWANCTL);
			// /tmp is another one there.
			const bin = join(ROOT, 'node_modules/.bin');
			const command = [join(UNITS, 'container-start'), ...args];
			const sandbox = sandboxOfPod(described, secret);
			const running = a.start(sandboxed(sandbox, command), {
				PATH: `${bin}:${process.env['PATH'] ?? ''}`,
			});
			const first = (): string => a.run(['pgrep', '-P', String(running.pid)]).stdout.trim();
			const inside = (...words: readonly string[]): ReturnType<Host['run']> =>
				a.run([
					'nsenter',
					'-t',
					first(),
					'-m',
					'-p',
					'env',
					`PATH=${bin}:/usr/sbin:/usr/bin:/bin`,
					...words,
				]);
			const isReady = (): boolean =>
				running.hasEnded || inside(...readinessProbe.exec.command).status === 0;
			await until('ready', isReady, 60_000);
			assert.equal(running.hasEnded, false, running.stderr);
			const [, right] = connectionOf(IPV4);
			await Charon.start(b, right);
			const up = (): boolean => inside('swanctl', '--initiate', '--child', 'net').status === 0;
			await until('the tunnel', up, 20_000);
			assertPings(a, IPV4.innerB, 5);
			assert.deepEqual(boundingSet(readFileSync(`/proc/${first()}/status`, 'latin1')), NEEDED);
			const begun = performance.now();
			process.kill(Number(first()), 'SIGTERM');
			assert.equal(await running.ended, 0);
			assert.ok(performance.now() - begun < 8000, 'before it is killed');
			return undefined;
		}),
};

export const unitCases: readonly Case[] = [verified, unit, container];
