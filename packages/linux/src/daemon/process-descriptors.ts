/** Which processes have a socket open: /proc/PID/fd names it by its inode. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface Holder {
	readonly pid: number;
	readonly fd: number;
}

/** All processes that this one can see, by name. */
export function visibleProcesses(): string[] {
	return readdirSync('/proc').filter((name) => /^\d+$/.test(name));
}

/** Those of these processes that have the socket open, each with one descriptor. */
export function socketHolders(inode: number, pids: readonly string[]): Holder[] {
	const link = `socket:[${inode}]`;
	const holders: Holder[] = [];
	for (const pid of pids) {
		const folder = `/proc/${pid}/fd`;
		const fd = descriptors(folder).find((name) => linkOf(`${folder}/${name}`) === link);
		if (fd !== undefined) {
			holders.push({ pid: Number(pid), fd: Number(fd) });
		}
	}
	return holders;
}

/** The command line of a process, word by word; empty for one that has ended. */
export function commandLine(pid: number): string[] {
	try {
		return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
	} catch {
		return [];
	}
}

/** Effective user of a process; undefined for one that has ended. */
export function effectiveUser(pid: number): number | undefined {
	return userOf(pid, /^Uid:\s+\d+\s+(\d+)/m);
}

/** Real user of a process; undefined for one that has ended. */
export function realUser(pid: number): number | undefined {
	return userOf(pid, /^Uid:\s+(\d+)/m);
}

function userOf(pid: number, field: RegExp): number | undefined {
	try {
		const uid = field.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
		return uid === undefined ? undefined : Number(uid);
	} catch {
		return undefined;
	}
}

/** Processes end while one looks. */
function descriptors(folder: string): string[] {
	try {
		return readdirSync(folder);
	} catch {
		return [];
	}
}

function linkOf(path: string): string {
	try {
		return readlinkSync(path);
	} catch {
		return '';
	}
}
