/**
 * A real Linux 6.1 with ESP as a machine of the laboratory: Debian's user-mode-linux, an ordinary process in
 * a namespace of its own, whose only network device is a tap there. Wires to it are veths on a bridge:
 *
 *     host's namespace      guest's namespace here        guest
 *     eth0 ─────────── veth on br0 ─ tap0 ═══════════════ vec0, moved to a namespace there as eth0
 *
 * Commands go in as files (guest-run.py here, guest-agent.py there): its root is this machine's, read-only.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Machine, Running, runOn, until } from './laboratory.ts';
import { ownFolder, ownNamespace } from './leftovers.ts';

const BOOT: string = fileURLToPath(new URL('../kernel/oracle/boot', import.meta.url));
const AGENT: string = fileURLToPath(new URL('./guest-agent.py', import.meta.url));
const RUN: string = fileURLToPath(new URL('./guest-run.py', import.meta.url));
/** Debian's own: another that is found first may be a script that looks for it, for each command. */
const PYTHON = '/usr/bin/python3';
const BOOT_MS_MAX = 60_000;
const LIFE_SECONDS_MAX = 7200;

export class Guest implements Machine {
	readonly enter: readonly string[];
	readonly folder: string;
	readonly socketFolder: string = '/dev/shm';
	/** Its network device, while no host has it. */
	readonly device: string = 'vec0';
	readonly #namespace: string;
	readonly #running: Running;

	private constructor(namespace: string, folder: string, running: Running) {
		this.#namespace = namespace;
		this.folder = folder;
		this.#running = running;
		this.enter = [PYTHON, '-S', RUN, folder];
	}

	static async boot(): Promise<Guest> {
		const namespace = ownNamespace('guest');
		const folder = ownFolder();
		mkdirSync(join(folder, 'jobs'));
		here(`ip netns add ${namespace}`);
		for (const command of [
			'link set lo up',
			'link add br0 type bridge',
			'tuntap add tap0 mode tap',
			'link set tap0 master br0 up',
			'link set br0 up',
		]) {
			here(`ip -n ${namespace} ${command}`);
		}
		const network = 'vec0:transport=tap,ifname=tap0,depth=128,gro=0';
		const boot = [BOOT, '-t', String(LIFE_SECONDS_MAX), '-r', folder, '--'];
		const inside = ['env', `UML_NETWORK=${network}`, ...boot, PYTHON, '-S', AGENT];
		const running = new Running(['ip', 'netns', 'exec', namespace, ...inside]);
		const guest = new Guest(namespace, folder, running);
		const isUp = (): boolean => running.stdout.includes('ready') || running.hasEnded;
		await until('the guest', isUp, BOOT_MS_MAX);
		if (running.hasEnded) {
			guest.#forget();
			throw new Error(`the guest did not come up: ${running.stderr}`);
		}
		return guest;
	}

	/** Brings a device of this machine to the guest's wire. */
	plug(device: string): void {
		here(`ip link set ${device} netns ${this.#namespace}`);
		here(`ip -n ${this.#namespace} link set ${device} master br0 up`);
	}

	/** Takes its device out of a namespace there; the other end of the wire goes with its own. */
	unplug(namespace: string): void {
		runOn(this, ['ip', '-n', namespace, 'link', 'set', 'eth0', 'down']);
		const back = ['link', 'set', 'eth0', 'name', this.device, 'netns', '1'];
		runOn(this, ['ip', '-n', namespace, ...back]);
	}

	async close(): Promise<void> {
		runOn(this, ['guest-end']);
		await this.#running.ended;
		this.#forget();
	}

	#forget(): void {
		here(`ip netns del ${this.#namespace}`);
		rmSync(this.folder, { recursive: true, force: true });
	}
}

function here(command: string): void {
	const [file = '', ...args] = command.split(' ');
	const { status, stderr } = spawnSync(file, args, { encoding: 'utf8' });
	if (status !== 0) {
		throw new Error(`${command} ended with ${status}: ${stderr}`);
	}
}
