/**
 * The kernel's check of sources (net.ipv4.conf.*.rp_filter) and what comes out of our devices: it has been in a
 * state, and the kernel's XFRM checks no such packet, but the kernel knows that only of its own. The larger
 * number of a device's and of `all` counts, and so `all` is made 0, and every other device is given what it was: all
 * are checked as before, but for ours. Ours are made 0 as often as somebody gives them another number, as udev does
 * to a device that has come (systemd's `net.ipv4.conf.*.rp_filter`).
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const CONF = '/proc/sys/net/ipv4/conf';
const ALL = 'all';

/** What has been done: there was nothing to do, it is done, or the sysctls may not be written. */
export type SourceCheck = 'none' | 'moved' | 'refused';

/**
 * Has the check of `all` become that of each device but ours, of devices to come too.
 *
 * @param ours names of devices
 * @param folder where the sysctls are, by default the kernel's
 * @spec X-16
 */
export function moveSourceCheck(ours: ReadonlySet<string>, folder: string = CONF): SourceCheck {
	const file = (device: string): string => join(folder, device, 'rp_filter');
	const write = (device: string, value: number): void => writeFileSync(file(device), String(value));
	try {
		for (const device of ours) {
			if (checkOf(file(device)) > 0) {
				write(device, 0);
			}
		}
		const value = checkOf(file(ALL));
		if (value === 0) {
			return 'none';
		}
		for (const device of readdirSync(folder)) {
			if (device !== ALL && !ours.has(device) && checkOf(file(device)) < value) {
				write(device, value);
			}
		}
		write(ALL, 0);
		return 'moved';
	} catch (error) {
		if (!(error instanceof Error && 'code' in error)) {
			throw error;
		}
		return 'refused';
	}
}

/** 0 where there is none: a device may be gone, and so may IPv4. */
function checkOf(file: string): number {
	try {
		return Number.parseInt(readFileSync(file, 'latin1'), 10) || 0;
	} catch {
		return 0;
	}
}
