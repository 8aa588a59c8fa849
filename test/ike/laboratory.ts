/**
 * Hosts as network namespaces with wires between them, and what runs on them: the daemon, unmodified
 * programs by `xfrm exec`, charon with a configuration of its own. Everything is named after this process
 * and gone with `close`.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Guest } from './guest.ts';
import { ownFolder, ownNamespace } from './leftovers.ts';

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

	constructor(command: readonly string[]) {
		const [file = '', ...args] = command;
		this.process = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
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

	get hasEnded(): boolean {
		return this.process.exitCode !== null || this.process.signalCode !== null;
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

/** Who does IPsec on a host: the daemon, the kernel itself, or charon's own libipsec. */
export type Plane = 'ourselves' | 'kernel' | 'libipsec';

/** A kernel in which there are namespaces. */
export interface Machine {
	/** Words that bring a command there; none for the machine that the suite runs on. */
	readonly enter: readonly string[];
	/** A folder that both see under the same name. */
	readonly folder: string;
	/** Where Unix sockets can be made, for programs that have a /run of their own. */
	readonly socketFolder: string;
}

/** Runs on a machine to the end, outside of any host's namespace. */
export function runOn(machine: Machine, words: readonly string[], input?: string): Output {
	const [file = '', ...args] = [...machine.enter, ...words];
	const options = {
		encoding: 'utf8' as const,
		timeout: RUN_MS_MAX,
		...(input === undefined ? {} : { input }),
	};
	const { status, stdout, stderr } = spawnSync(file, args, options);
	return { status: status ?? -1, stdout, stderr };
}

function mustOn(machine: Machine, command: string): void {
	const { status, stderr } = runOn(machine, command.split(' '));
	if (status !== 0) {
		throw new Error(`${command} ended with ${status}: ${stderr}`);
	}
}

/** One namespace. */
export class Host {
	readonly name: string;
	/** Of the namespace. */
	readonly namespace: string;
	readonly folder: string;
	readonly machine: Machine;
	readonly plane: Plane;
	readonly #started: (running: Running) => void;

	constructor(
		name: string,
		namespace: string,
		machine: Machine,
		plane: Plane,
		started: (running: Running) => void,
	) {
		this.name = name;
		this.namespace = namespace;
		this.folder = join(machine.folder, namespace);
		this.machine = machine;
		this.plane = plane;
		this.#started = started;
	}

	/** Runs to the end; `command` is split at blanks unless it is a list. */
	run(command: string | readonly string[], input?: string): Output {
		const words = typeof command === 'string' ? command.split(/\s+/) : command;
		return runOn(this.machine, ['ip', 'netns', 'exec', this.namespace, ...words], input);
	}

	/** Words before a program that is to configure what does IPsec here. */
	get configuring(): readonly string[] {
		return this.plane === 'ourselves' ? [process.execPath, XFRM, 'exec', '--'] : [];
	}

	/** `ip xfrm` on what does IPsec here. @throws Error on libipsec, which has no such tables */
	tables(...words: readonly string[]): string {
		if (this.plane === 'libipsec') {
			throw new Error(`${this.name}: libipsec shows no tables`);
		}
		return this.must([...this.configuring, 'ip', 'xfrm', ...words]);
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
			throw new Error(
				`${this.name}: xfrm exec ${command} ended with ${status}: ${stderr}${stdout}`,
			);
		}
		return stdout;
	}

	/** Runs in the background. */
	start(command: readonly string[], environment: Readonly<Record<string, string>> = {}): Running {
		const { enter } = this.machine;
		// `ip netns exec` becomes its program, and so does `env`.
		const words = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
		const env = words.length > 0 ? ['env', ...words] : [];
		const inside = ['ip', 'netns', 'exec', this.namespace, ...env, ...command];
		const running = new Running([...enter, ...inside]);
		this.#started(running);
		return running;
	}

	/** Starts the daemon and waits until it is ready. */
	async daemon(...options: readonly string[]): Promise<Running> {
		const running = this.start([process.execPath, XFRM, 'daemon', ...options]);
		const isUp = (): boolean =>
			running.stdout.startsWith('ready ') || running.process.exitCode !== null;
		await until(`${this.name}: daemon`, isUp, 30_000);
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

const COMPLAINTS_MAX = 8;

/** Frames of this length and less only: what is to be cut is cut before the wire. */
const WIRE = 'gso_max_segs 1 up';

export class Laboratory {
	readonly folder: string = ownFolder();
	readonly #here: Machine = { enter: [], folder: this.folder, socketFolder: this.folder };
	readonly #hosts: Host[] = [];
	readonly #running: Running[] = [];
	#wires: number = 0;

	/** @param guest the machine that it is on, this one by default */
	host(name: string, plane: Plane = 'ourselves', guest?: Guest): Host {
		const namespace = ownNamespace(name);
		const machine = guest ?? this.#here;
		const host = new Host(name, namespace, machine, plane, (running) =>
			this.#running.push(running),
		);
		mkdirSync(host.folder, { recursive: true });
		mustOn(machine, `ip netns add ${namespace}`);
		this.#hosts.push(host);
		host.must('ip link set lo up');
		return host;
	}

	/** A host on the same machine as another, which it is to be wired to. */
	behind(gateway: Host, name: string): Host {
		const guest = gateway.machine === this.#here ? undefined : (gateway.machine as Guest);
		return this.host(name, gateway.plane, guest);
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
		if (a.machine !== b.machine) {
			if (a.machine === this.#here) {
				this.#wireToGuest(a, nameA, addressesA, b, nameB, addressesB);
			} else {
				this.#wireToGuest(b, nameB, addressesB, a, nameA, addressesA);
			}
			return;
		}
		const { machine } = a;
		const [one, other] = [`x${process.pid % 10_000}-${this.#wires++}`, `y${process.pid % 10_000}`];
		mustOn(machine, `ip link add ${one} type veth peer name ${other}`);
		mustOn(machine, `ip link set ${one} netns ${a.namespace} name ${nameA}`);
		mustOn(machine, `ip link set ${other} netns ${b.namespace} name ${nameB}`);
		setUp(a, nameA, addressesA);
		setUp(b, nameB, addressesB);
	}

	/** From a host here to the only device of a guest. */
	#wireToGuest(
		here: Host,
		name: string,
		addresses: readonly string[],
		there: Host,
		nameThere: string,
		addressesThere: readonly string[],
	): void {
		const guest = there.machine as Guest;
		const [one, other] = [`x${process.pid % 10_000}-${this.#wires++}`, `y${process.pid % 10_000}`];
		mustOn(this.#here, `ip link add ${one} type veth peer name ${other}`);
		mustOn(this.#here, `ip link set ${one} netns ${here.namespace} name ${name}`);
		guest.plug(other);
		mustOn(guest, `ip link set ${guest.device} netns ${there.namespace} name ${nameThere}`);
		setUp(here, name, addresses);
		setUp(there, nameThere, addressesThere);
	}

	/** What helps to understand a failure: charon's complaints, what each daemon has dropped, and one story. */
	get account(): string {
		const parts: string[] = [];
		for (const { name, folder } of this.#hosts) {
			const log = join(folder, 'log');
			const lines = existsSync(log) ? readFileSync(log, 'utf8').split('\n') : [];
			const complaints = lines.filter((line) => /unable|error|fail|not supported/i.test(line));
			parts.push(...complaints.slice(-COMPLAINTS_MAX).map((line) => `${name}: ${line}`));
		}
		for (const host of this.#hosts.filter(({ machine }) => machine === this.#here)) {
			const counters = host.xfrm('stat', '--daemon');
			const lines = counters.stdout.split('\n').filter((line) => /^Xfrm\w+\s+[1-9]/.test(line));
			if (lines.length > 0) {
				const { stdout } = host.xfrm('explain', '--daemon', '--last-drop', '--no-fix');
				parts.push(`${host.name}: ${lines.join('\n')}\n${stdout}`);
			}
		}
		return parts.join('\n');
	}

	/** Ends everything that was started, in reverse order, and takes the namespaces away. */
	async close(): Promise<void> {
		for (const running of this.#running.reverse()) {
			running.kill('SIGKILL');
			await running.ended;
		}
		for (const { namespace, machine } of this.#hosts) {
			// Keepers of daemons that were killed, programs in a guest; the namespace is ours alone.
			const pids = runOn(machine, ['ip', 'netns', 'pids', namespace]).stdout.trim().split(/\s+/);
			if (pids[0] !== '') {
				runOn(machine, ['kill', '-9', ...pids]);
			}
			if (machine !== this.#here) {
				(machine as Guest).unplug(namespace);
			}
			runOn(machine, ['ip', 'netns', 'del', namespace]);
		}
		rmSync(this.folder, { recursive: true, force: true });
	}
}

function setUp(host: Host, name: string, addresses: readonly string[]): void {
	for (const address of addresses) {
		const options = address.includes(':') ? ' nodad' : '';
		host.must(`ip address add ${address} dev ${name}${options}`);
	}
	host.must(`ip link set ${name} ${WIRE}`);
}
