/** Every way in which the daemon can end: the machine as it was, at once or behind `--cleanup`. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Charon } from './charon.ts';
import { type Host, type Running, runOn, until, XFRM } from './laboratory.ts';
import { difference, machineRecord } from './machine-record.ts';
import {
	assertPings,
	type Case,
	connectionOf,
	IPV4,
	outerAddresses,
	settle,
	withLaboratory,
} from './scenario.ts';

const ALL = 'net.ipv4.conf.all.rp_filter';

/** A host whose sources are checked, by one device less than the other, and by one that follows the default. */
async function withGateway(run: (gateway: Gateway) => Promise<void>): Promise<void> {
	await withLaboratory(async (laboratory) => {
		const [a, b] = [laboratory.host('a'), laboratory.host('b')];
		laboratory.wire(a, 'eth0', outerAddresses('a'), b, 'eth0', outerAddresses('b'));
		settle(a, 'a');
		settle(b, 'b');
		// Would still be looked for on the wire when the record is made.
		a.must('ip -6 address flush dev eth0 scope link');
		a.must('ip link add idle type veth peer name strict');
		a.must(
			`sysctl -qw ${ALL}=1 net.ipv4.conf.strict.rp_filter=2 net.ipv4.conf.default.rp_filter=0`,
		);
		a.must('sysctl -qw net.ipv4.conf.eth0.rp_filter=0');
		await run(new Gateway(a, b));
	});
}

class Gateway {
	readonly a: Host;
	readonly b: Host;
	readonly folder: string;

	constructor(a: Host, b: Host) {
		this.a = a;
		this.b = b;
		this.folder = join(a.folder, 'state');
		mkdirSync(this.folder, { mode: 0o700 });
	}

	daemon(...options: readonly string[]): Promise<Running> {
		return this.a.daemon('--state-dir', this.folder, ...options);
	}

	cleanUp(): void {
		this.a.xfrmMust('daemon', '--cleanup', '--state-dir', this.folder);
	}

	/** Policies in a lane, in a lane of their own, and of an if_id, whose device gets an address and a route. */
	addPolicies(): void {
		const words = 'policy add src 10.1.0.0/16 dst 10.7.0.0/16 dir out';
		const template = 'tmpl src 192.0.2.1 dst 192.0.2.2 proto esp mode tunnel';
		const lines = [words, `${words} mark 5`, `${words} if_id 42`].map(
			(one) => `${one} ${template}`,
		);
		const batch = [process.execPath, XFRM, 'exec', '--', 'ip', '-batch', '-'];
		this.a.must(batch, lines.map((line) => `xfrm ${line}\n`).join(''));
		this.a.must('ip address add 10.42.0.1/24 dev xfrm-42');
		this.a.must('ip route add 10.43.0.0/16 dev xfrm-42');
	}

	/** Nothing is otherwise once it is over. */
	async way(what: string, run: () => Promise<void>): Promise<void> {
		const before = machineRecord(this.a);
		await run();
		let left: readonly string[] = [];
		const isGone = (): boolean => {
			left = difference(before, machineRecord(this.a));
			return left.length === 0;
		};
		// A keeper that was ended is there for a moment.
		await until(what, isGone, 500).catch(() => {});
		assert.deepEqual(left, [], what);
		assert.deepEqual(readdirSync(this.folder), [], what);
	}
}

async function ended(daemon: Running, signal: NodeJS.Signals): Promise<void> {
	daemon.kill(signal);
	assert.equal(await daemon.ended, signal === 'SIGKILL' ? signal : 0);
}

const asItWas: Case = {
	name: 'end: killed, a successor, SIGTERM; SIGTERM with policies, --cleanup: the machine as it was',
	quick: true,
	run: () =>
		withGateway(async (gateway) => {
			const { a } = gateway;
			await gateway.way('killed, a successor', async () => {
				const first = await gateway.daemon('--interface', 'ipsec0=if_id:7');
				gateway.addPolicies();
				assert.equal(a.must(`sysctl -n ${ALL}`), '0\n');
				await ended(first, 'SIGKILL');
				const next = await gateway.daemon();
				a.tables('policy', 'deleteall');
				await ended(next, 'SIGTERM');
				assert.match(next.stderr, /the guard is gone/);
			});
			await gateway.way('policies, --cleanup', async () => {
				const daemon = await gateway.daemon();
				gateway.addPolicies();
				await ended(daemon, 'SIGTERM');
				assert.match(daemon.stderr, /the guard stays/);
				gateway.cleanUp();
			});
		}),
};

const otherWays: Case = {
	name: 'end: signals at any time, killed and cleaned up, no guard, who reads the log gone: the machine as it was',
	run: () =>
		withGateway(async (gateway) => {
			const { a } = gateway;
			for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
				await gateway.way(signal, async () => ended(await gateway.daemon(), signal));
			}
			await gateway.way('SIGTERM at the start', async () => {
				const daemon = a.start([process.execPath, XFRM, 'daemon', '--state-dir', gateway.folder]);
				await until('begun', () => daemon.stderr.includes('provider'), 20_000);
				await ended(daemon, 'SIGTERM');
			});
			await gateway.way('killed, --cleanup', async () => {
				const daemon = await gateway.daemon('--interface', 'ipsec0=if_id:7');
				gateway.addPolicies();
				await ended(daemon, 'SIGKILL');
				gateway.cleanUp();
			});
			await gateway.way('no guard', async () => {
				const daemon = await gateway.daemon('--no-guard');
				a.tables(
					'policy',
					'add',
					...'src 10.1.0.0/16 dst 10.7.0.0/16 dir out action block'.split(' '),
				);
				await ended(daemon, 'SIGTERM');
			});
			await gateway.way('nobody reads', async () => {
				const daemon = await gateway.daemon();
				daemon.process.stderr?.destroy();
				gateway.addPolicies();
				assert.equal(daemon.hasEnded, false);
				a.tables('policy', 'deleteall');
				await ended(daemon, 'SIGTERM');
			});
		}),
};

const movedSince: Case = {
	name: 'end: sources are checked as somebody has said since, by devices that have come and gone as well',
	run: () =>
		withGateway(async (gateway) => {
			const { a } = gateway;
			const of = (device: string): string =>
				a.must(`sysctl -n net.ipv4.conf.${device}.rp_filter`).trim();
			const daemon = await gateway.daemon();
			a.must('ip link del idle');
			a.must('ip link add young type veth peer name younger');
			assert.deepEqual([of('young'), of('younger')], ['1', '1']);
			a.must('sysctl -qw net.ipv4.conf.younger.rp_filter=2 net.ipv4.conf.eth0.rp_filter=2');
			a.must(`sysctl -qw ${ALL}=2`);
			await until('moved again', () => of('all') === '0');
			assert.deepEqual(['young', 'eth0', 'default'].map(of), ['2', '2', '2']);
			await ended(daemon, 'SIGTERM');
			assert.deepEqual(['all', 'default', 'lo', 'young'].map(of), ['2', '0', '0', '0']);
			assert.deepEqual(['younger', 'eth0'].map(of), ['2', '2'], 'as somebody has said');
		}),
};

/** Tells once a tenth of a second whether others may share the port of a socket. */
const OWNER = `import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", 4500))
while True: print(s.getsockopt(1, 15), flush=True); time.sleep(0.1)`;

const sharedPort: Case = {
	name: 'end: the owner of port 4500 has it for itself again, and charon can go on without the daemon',
	run: () =>
		withGateway(async (gateway) => {
			const { a, b } = gateway;
			const owner = a.start(['python3', '-c', OWNER]);
			const tells = (value: string): Promise<void> =>
				until(`shared: ${value}`, () => owner.stdout.endsWith(`${value}\n`));
			await tells('0');
			await gateway.way('a port of somebody else’s', async () => {
				const daemon = await gateway.daemon();
				const state = [
					`add src ${IPV4.b} dst ${IPV4.a} proto esp spi 0x100 mode tunnel`,
					`aead rfc4106(gcm(aes)) 0x${'01'.repeat(20)} 128`,
					'encap espinudp 4500 4500 0.0.0.0',
				];
				const words = state.join(' ').split(' ');
				a.tables('state', ...words);
				await tells('1');
				a.tables('state', 'flush');
				await tells('0');
				a.tables('state', ...words);
				await tells('1');
				await ended(daemon, 'SIGTERM');
				await tells('0');
			});
			owner.kill('SIGKILL');
			await owner.ended;
			await b.daemon();
			const daemon = await gateway.daemon();
			const connections = connectionOf(IPV4, { encap: true });
			const [one] = await Promise.all([
				Charon.start(a, connections[0]),
				Charon.start(b, connections[1]),
			]);
			one.initiate();
			assertPings(a, IPV4.innerB, 3);
			await ended(daemon, 'SIGTERM');
			await gateway.daemon();
			assertPings(a, IPV4.innerB, 3);
		}),
};

const noRoom: Case = {
	name: 'end: no device is made whose name cannot be kept, as nobody could take it away',
	run: () =>
		withGateway(async (gateway) => {
			const { a, folder } = gateway;
			const mount = ['mount', '-t', 'tmpfs', '-o', 'size=1m,mode=0700', 'none', folder];
			assert.equal(runOn(a.machine, mount).status, 0);
			try {
				await gateway.way('no room', async () => {
					const daemon = await gateway.daemon();
					const filler = join(folder, 'filler');
					a.run(['sh', '-c', `head -c 2M /dev/zero > ${filler}`]);
					a.tables('policy', 'add', ...'dir out if_id 42 action block'.split(' '));
					assert.doesNotMatch(a.must('ip link'), /xfrm-42/);
					await a.untilText(() => daemon.stderr, /no device for if_id 42: its name cannot be kept/);
					assert.match(a.tables('policy'), /if_id 0x2a/);
					await ended(daemon, 'SIGKILL');
					gateway.cleanUp();
					a.must(['rm', filler]);
				});
			} finally {
				runOn(a.machine, ['umount', '-l', folder]);
			}
		}),
};

const notDead: Case = {
	name: 'end: --cleanup takes nothing from a daemon that runs, seen or not, nor from another program',
	run: () =>
		withGateway(async (gateway) => {
			const { a, folder } = gateway;
			const refused = (wrap: readonly string[], sentence: RegExp): void => {
				// Sockets of programs that have ended go a little later.
				const record = (): readonly string[] =>
					machineRecord(a).filter((line) => !line.startsWith('socket'));
				const before = record();
				const output = a.wrapped(wrap, 'daemon', '--cleanup', '--state-dir', folder);
				assert.equal(output.status, 2);
				assert.match(output.stderr, sentence);
				assert.deepEqual(difference(before, record()), []);
			};
			const unseen = ['unshare', '--pid', '--fork', '--mount-proc'];
			await gateway.way('daemon', async () => {
				const daemon = await gateway.daemon();
				gateway.addPolicies();
				refused([], /a daemon runs \(process \d+\)/);
				refused(unseen, /cannot be seen from here/);
				await ended(daemon, 'SIGKILL');
				refused(unseen, /cannot be seen from here/);
				gateway.cleanUp();
			});
			const nft = 'add table inet xfrm { flags owner; }\nlist tables\n';
			const foreign = a.start(['sh', '-c', `(printf '${nft}'; sleep 4) | nft -i`]);
			await until('a table', () => foreign.stdout.includes('table inet xfrm'));
			refused([], /belongs to another program/);
		}),
};

export const endCases: readonly Case[] = [
	asItWas,
	otherWays,
	movedSince,
	sharedPort,
	noRoom,
	notDead,
];
