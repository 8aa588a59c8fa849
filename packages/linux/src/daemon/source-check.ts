/**
 * The kernel's check of sources (net.ipv4.conf.*.rp_filter) and what comes out of our devices: it has been in a
 * state, and the kernel's XFRM checks no such packet, but the kernel knows that only of its own. The larger
 * number of a device's and of `all` counts, and so `all` is made 0, and every other device is given what it was: all
 * are checked as before, but for ours. Ours are made 0 as often as somebody gives them another number, as udev does
 * to a device that has come (systemd's `net.ipv4.conf.*.rp_filter`).
 *
 * When the daemon is no longer needed each gets back what it had, unless somebody has given it another number since.
 * That is kept in the state folder, a line for each: a successor, or `--cleanup`, does it for who was killed.
 *
 *     NAME BEFORE WRITTEN
 *
 * A device that has come since has what `default` was made, and gets what `default` had. Devices follow `default` until
 * they have an address or a number of their own: so it is written first, and what follows it is not written.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFile } from './state-folder.ts';

const CONF = '/proc/sys/net/ipv4/conf';
const ALL = 'all';
const DEFAULT = 'default';

const FILE = 'source-check';

/** What has been done: there was nothing to do, it is done, or the sysctls may not be written. */
export type SourceCheckMove = 'none' | 'moved' | 'refused';

interface Change {
	readonly before: number;
	readonly written: number;
}

export class SourceCheck {
	readonly #conf: string;
	readonly #file: string;
	/** By device; those that had as much already are there too. */
	#changes: ReadonlyMap<string, Change>;
	/** As the file says it. */
	#kept: string;

	/**
	 * @param folder the daemon's state folder, with what a predecessor has changed
	 * @param conf where the sysctls are, by default the kernel's
	 */
	constructor(folder: string, conf: string = CONF) {
		this.#conf = conf;
		this.#file = join(folder, FILE);
		this.#kept = textOf(this.#file);
		this.#changes = readChanges(this.#kept);
	}

	/**
	 * Has the check of `all` become that of each device but ours, of devices to come too.
	 *
	 * @param ours names of devices
	 * @spec X-16
	 */
	move(ours: ReadonlySet<string>): SourceCheckMove {
		try {
			for (const device of ours) {
				if (this.#read(device) > 0) {
					this.#write(device, 0);
				}
			}
			const value = this.#read(ALL);
			if (value > 0) {
				// Refused before anything is noted.
				this.#write(ALL, value);
				const devices = this.#devices().filter((device) => !ours.has(device));
				this.#note(devices, value);
				for (const device of devices.filter((one) => one !== ALL)) {
					if (this.#read(device) < value) {
						this.#write(device, value);
					}
				}
				this.#write(ALL, 0);
			}
			this.#keep();
			return value > 0 ? 'moved' : 'none';
		} catch (error) {
			mustBeOfSystem(error);
			return 'refused';
		}
	}

	/** Gives back what each had. What cannot be written is left. */
	putBack(): void {
		for (const device of this.#devices()) {
			const change = this.#changeOf(device);
			if (change !== undefined && this.#read(device) === change.written) {
				try {
					this.#write(device, change.before);
				} catch (error) {
					mustBeOfSystem(error);
				}
			}
		}
	}

	/** Before anything is written. */
	#note(devices: readonly string[], value: number): void {
		const changes = new Map<string, Change>();
		for (const device of devices) {
			const current = this.#read(device);
			const change = this.#changeOf(device);
			const before = change?.written === current ? change.before : current;
			changes.set(device, { before, written: device === ALL ? 0 : Math.max(current, value) });
		}
		this.#changes = changes;
		this.#keep();
	}

	/** Where there is no room it is tried again. */
	#keep(): void {
		let text = '';
		for (const [device, { before, written }] of this.#changes) {
			text += `${device} ${before} ${written}\n`;
		}
		if (text === this.#kept) {
			return;
		}
		try {
			replaceFile(this.#file, text);
			this.#kept = text;
		} catch (error) {
			mustBeOfSystem(error);
		}
	}

	#changeOf(device: string): Change | undefined {
		return this.#changes.get(device) ?? this.#changes.get(DEFAULT);
	}

	/** Those that stand for others come first. */
	#devices(): readonly string[] {
		try {
			const devices = readdirSync(this.#conf);
			const first = [ALL, DEFAULT].filter((name) => devices.includes(name));
			return [...new Set([...first, ...devices])];
		} catch {
			// IPv4 may be gone.
			return [];
		}
	}

	#path(device: string): string {
		return join(this.#conf, device, 'rp_filter');
	}

	/** 0 where there is none: a device may be gone, and so may IPv4. */
	#read(device: string): number {
		try {
			return Number.parseInt(readFileSync(this.#path(device), 'latin1'), 10) || 0;
		} catch {
			return 0;
		}
	}

	/** Of a device that is there still. @throws Error of the file system */
	#write(device: string, value: number): void {
		try {
			writeFileSync(this.#path(device), String(value));
		} catch (error) {
			if (existsSync(this.#path(device))) {
				throw error;
			}
		}
	}
}

/** Empty where nothing was changed. */
function textOf(file: string): string {
	try {
		return readFileSync(file, 'utf8');
	} catch {
		return '';
	}
}

function readChanges(text: string): ReadonlyMap<string, Change> {
	const changes = new Map<string, Change>();
	for (const [, device = '', before, written] of text.matchAll(/^(\S+) (\d) (\d)$/gm)) {
		changes.set(device, { before: Number(before), written: Number(written) });
	}
	return changes;
}

function mustBeOfSystem(error: unknown): void {
	if (!(error instanceof Error && 'code' in error)) {
		throw error;
	}
}
