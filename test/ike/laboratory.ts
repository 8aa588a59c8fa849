/**
 * Hosts as network namespaces with wires between them, and what runs on them: the daemon, unmodified
 * programs by `xfrm exec`, charon with a configuration of its own. Everything is named after this process
 * and gone with `close`.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const XFRM: string = fileURLToPath(
	new URL('../../packages/cli/bin/xfrm.js', import.meta.url),
);

/** Programs that the suite runs, by the packages that bring them. */
const PROGRAMS: readonly (readonly [file: string, names: string])[] = [
	['/usr/sbin/ip', 'iproute2'],
	['/usr/sbin/nft', 'nftables'],
	['/usr/bin/ping', 'iputils-ping'],
	['/usr/bin/tcpdump', 'tcpdump'],
	['/usr/lib/ipsec/charon', 'strongswan-charon libstrongswan-standard-plugins'],
	['/usr/sbin/swanctl', 'strongswan-swanctl'],
	['/usr/bin/gcc', 'gcc'],
];

/** Why the suite cannot run here; undefined when it can. */
export function reasonToSkip(): string | undefined {
	if (process.platform !== 'linux' || process.geteuid?.() !== 0) {
		return 'needs root on Linux';
	}
	const missing = PROGRAMS.filter(([file]) => !existsSync(file)).map(([, names]) => names);
	if (missing.length > 0) {
		return `apt-get install ${missing.join(' ')}`;
	}
	if (!existsSync('/dev/net/tun')) {
		return 'needs /dev/net/tun';
	}
	return existsSync(XFRM.replace('bin/xfrm.js', 'dist/main.js'))
		? undefined
		: 'needs npm run build';
}

/** Whatever is run to its end ends by then. */
const RUN_MS_MAX = 30_000;

export interface Output {
	readonly status: number;
	readonly stdout: string;
	readonly stderr: string;
}

/** A program that runs in the background, with what it has printed so far. */
export class Running {
	readonly process: ChildProcess;
	stdout: string = '';
	stderr: string = '';
	/** Resolves with the exit status, or the signal's name. */
	readonly ended: Promise<number | string>;

	constructor(command: readonly string[], environment: Readonly<Record<string, string>> = {}) {
		const [file = '', ...args] = command;
		const env = { ...process.env, ...environment };
		this.process = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
		this.process.stdout?.on('data', (data) => {
			this.stdout += data;
		});
		this.process.stderr?.on('data', (data) => {
			this.stderr += data;
		});
		this.ended = new Promise((resolve) => {
			this.process.on('close', (code, signal) => resolve(code ?? signal ?? 'unknown'));
		});
	}

	get pid(): number {
		return this.process.pid ?? 0;
	}

	kill(signal: NodeJS.Signals): void {
		this.process.kill(signal);
	}
}

/** Waits until it is so. Rejects, saying what was waited for, after so many milliseconds. */
export async function until(
	what: string,
	isSo: () => boolean,
	milliseconds: number = 5000,
): Promise<void> {
	const end = performance.now() + milliseconds;
	while (!isSo()) {
		if (performance.now() > end) {
			throw new Error(`${what}: not within ${milliseconds} ms`);
		}
		await pause(10);
	}
}

export function pause(milliseconds: number): Promise<void> {
	return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** One namespace. */
export class Host {
	readonly name: string;
	/** Of the namespace. */
	readonly namespace: string;
	readonly folder: string;
	readonly #started: (running: Running) => void;

	constructor(
		name: string,
		namespace: string,
		folder: string,
		started: (running: Running) => void,
	) {
		this.name = name;
		this.namespace = namespace;
		this.folder = folder;
		this.#started = started;
	}

	/** Runs to the end; `command` is split at blanks unless it is a list. */
	run(command: string | readonly string[], input?: string): Output {
		const words = typeof command === 'string' ? command.split(/\s+/) : command;
		const args = ['netns', 'exec', this.namespace, ...words];
		const options = {
			encoding: 'utf8' as const,
			timeout: RUN_MS_MAX,
			...(input === undefined ? {} : { input }),
		};
		const { status, stdout, stderr } = spawnSync('ip', args, options);
		return { status: status ?? -1, stdout, stderr };
	}

	/** As `run`, and throws when it fails. */
	must(command: string | readonly string[], input?: string): string {
		const { status, stdout, stderr } = this.run(command, input);
		if (status !== 0) {
			throw new Error(`${this.name}: ${command} ended with ${status}: ${stderr}${stdout}`);
		}
		return stdout;
	}

	/** The words of a shell command for `xfrm`. */
	command(...words: readonly string[]): string {
		return [process.execPath, XFRM, ...words].join(' ');
	}

	/** `xfrm` to the end. */
	xfrm(...words: readonly string[]): Output {
		return this.run([process.execPath, XFRM, ...words]);
	}

	xfrmMust(...words: readonly string[]): string {
		return this.must([process.execPath, XFRM, ...words]);
	}

	/** `xfrm` behind the words of another program. */
	wrapped(wrap: readonly string[], ...words: readonly string[]): Output {
		return this.run([...wrap, process.execPath, XFRM, ...words]);
	}

	/** A program by `xfrm exec`. */
	exec(command: string, input?: string): Output {
		return this.run([process.execPath, XFRM, 'exec', '--', ...command.split(/\s+/)], input);
	}

	mustExec(command: string): string {
		const { status, stdout, stderr } = this.exec(command);
		if (status !== 0) {
			throw new Error(`${this.name}: xfrm exec ${command} ended with ${status}: ${stderr}`);
		}
		return stdout;
	}

	/** Runs in the background. */
	start(command: readonly string[], environment: Readonly<Record<string, string>> = {}): Running {
		const running = new Running(['ip', 'netns', 'exec', this.namespace, ...command], environment);
		this.#started(running);
		return running;
	}

	/** Starts the daemon and waits until it is ready. */
	async daemon(...options: readonly string[]): Promise<Running> {
		const running = this.start([process.execPath, XFRM, 'daemon', ...options]);
		const isUp = (): boolean =>
			running.stdout.startsWith('ready ') || running.process.exitCode !== null;
		await until(`${this.name}: daemon`, isUp, 10_000);
		if (!running.stdout.startsWith('ready ')) {
			throw new Error(`${this.name}: daemon ended: ${running.stderr}`);
		}
		return running;
	}

	/** Waits until somebody listens to these groups of the daemon's. */
	async untilListening(groups: number): Promise<void> {
		const mask = groups.toString(16).padStart(8, '0');
		await until('a listener', () => this.must('cat /proc/net/netlink').includes(` ${mask} `));
		// The daemon looks around at least twice a second.
		await pause(600);
	}

	async untilText(read: () => string, wanted: RegExp): Promise<void> {
		await until(String(wanted), () => wanted.test(read()));
	}

	/** Pings; answers how many of them came back. */
	ping(destination: string, count: number, options: string = ''): number {
		const words = `ping -n -i 0.05 -W 1 -c ${count} ${options} ${destination}`;
		const { stdout } = this.run(words.split(/\s+/).filter((word) => word !== ''));
		return Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
	}
}

export class Laboratory {
	readonly folder: string = mkdtempSync(join(tmpdir(), 'xfrm-ike-'));
	readonly #hosts: Host[] = [];
	readonly #running: Running[] = [];
	#wires: number = 0;

	host(name: string): Host {
		const namespace = `xfrm-${process.pid}-${name}`;
		const folder = join(this.folder, name);
		mkdirSync(folder);
		const host = new Host(name, namespace, folder, (running) => this.#running.push(running));
		const { status, stderr } = spawnSync('ip', ['netns', 'add', namespace], { encoding: 'utf8' });
		if (status !== 0) {
			throw new Error(`no namespace: ${stderr}`);
		}
		this.#hosts.push(host);
		host.must('ip link set lo up');
		return host;
	}

	/** A wire between two hosts, with addresses and their prefix lengths; names of the ends: eth0, eth1 … */
	wire(
		a: Host,
		nameA: string,
		addressesA: readonly string[],
		b: Host,
		nameB: string,
		addressesB: readonly string[],
	): void {
		const [one, other] = [`x${process.pid % 10_000}-${this.#wires++}`, `y${process.pid % 10_000}`];
		spawnSync('ip', ['link', 'add', one, 'type', 'veth', 'peer', 'name', other]);
		for (const [link, host, name, addresses] of [
			[one, a, nameA, addressesA],
			[other, b, nameB, addressesB],
		] as const) {
			spawnSync('ip', ['link', 'set', link, 'netns', host.namespace, 'name', name]);
			for (const address of addresses) {
				const options = address.includes(':') ? ' nodad' : '';
				host.must(`ip address add ${address} dev ${name}${options}`);
			}
			// A frame is a packet, for those that count them: what is to be cut is cut before the wire.
			host.must(`ip link set ${name} gso_max_segs 1 up`);
		}
	}

	/** Ends everything that was started, in reverse order, and takes the namespaces away. */
	async close(): Promise<void> {
		for (const running of this.#running.reverse()) {
			running.kill('SIGKILL');
			await running.ended;
		}
		for (const { namespace } of this.#hosts) {
			const { stdout } = spawnSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' });
			// Keepers of daemons that were killed; the namespace is ours alone.
			for (const pid of stdout.split('\n').filter((line) => line !== '')) {
				process.kill(Number(pid), 'SIGKILL');
			}
			spawnSync('ip', ['netns', 'del', namespace]);
		}
		rmSync(this.folder, { recursive: true, force: true });
	}
}
