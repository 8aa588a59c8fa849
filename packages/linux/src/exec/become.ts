/**
 * Becomes another program as if Node had never been: same process, descriptors and terminal; signals and
 * limits as whoever started us has them, since Node changes both for itself.
 *
 * Node ignores SIGPIPE and SIGXFSZ, sets all other signals to their default, raises the number of open
 * files to its maximum, and has every descriptor that it was given closed on exec. What they were is read
 * from the process that started Node, or started npx, which started Node.
 */
import { accessSync, constants, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { Errno } from '@xfrm/wire/xfrm';
import type { Native } from '../native/seam.ts';
import { ExecError } from './exec-error.ts';

/** The file that a name stands for, by PATH as execvp(3) does. @throws ExecError 127 or 126 */
export function findProgram(name: string, path: string): string {
	if (name.includes('/')) {
		return name;
	}
	let forbidden: string | undefined;
	for (const folder of path.split(delimiter)) {
		const file = join(folder === '' ? '.' : folder, name);
		const kind = kindOf(file);
		if (kind === 'executable') {
			return file;
		}
		forbidden ??= kind === 'file' ? file : undefined;
	}
	if (forbidden !== undefined) {
		throw new ExecError(`${forbidden} is not executable`, 126);
	}
	throw new ExecError(`${name}: no such program in PATH`, 127);
}

function kindOf(file: string): 'executable' | 'file' | 'nothing' {
	try {
		if (!statSync(file).isFile()) {
			return 'nothing';
		}
	} catch {
		return 'nothing';
	}
	try {
		accessSync(file, constants.X_OK);
		return 'executable';
	} catch {
		return 'file';
	}
}

/** What a plain start would have given to the program. */
export interface Inheritance {
	/** Numbers of signals that are ignored. */
	readonly ignored: readonly number[];
	/** Soft and hard limit of open files; Infinity for none. */
	readonly openFiles: readonly [soft: number, hard: number];
}

/** Reads it from the texts of /proc/PID/status and /proc/PID/limits. */
export function inheritance(status: string, limits: string): Inheritance {
	const [, hex = '0'] = /^SigIgn:\s*([0-9a-f]+)$/m.exec(status) ?? [];
	const mask = BigInt(`0x${hex}`);
	const ignored: number[] = [];
	for (let signal = 1; signal <= 64; signal++) {
		if (((mask >> BigInt(signal - 1)) & 1n) === 1n) {
			ignored.push(signal);
		}
	}
	const [, soft = '1024', hard = '4096'] =
		/^Max open files\s+(\d+|unlimited)\s+(\d+|unlimited)/m.exec(limits) ?? [];
	const number = (text: string): number =>
		text === 'unlimited' ? Number.POSITIVE_INFINITY : Number(text);
	return { ignored, openFiles: [number(soft), number(hard)] };
}

/** Does a command line say so? npm gives its process a title of its own. */
export function isNpm(commandLine: string): boolean {
	return /^(?:npm |npx |[^\0]*node[^\0]*\0[^\0]*(?:npx|npm)(?:-cli\.js)?\0)/.test(commandLine);
}

function parentOf(pid: number): number {
	const status = readFileSync(`/proc/${pid}/status`, 'latin1');
	return Number(/^PPid:\s*(\d+)$/m.exec(status)?.[1] ?? 0);
}

/** The process whose child a plain start would have been; undefined when it cannot be seen. */
function starter(): Inheritance | undefined {
	try {
		let found = process.ppid;
		// npx is a Node that runs a shell that runs us.
		for (const pid of [process.ppid, parentOf(process.ppid)]) {
			if (isNpm(readFileSync(`/proc/${pid}/cmdline`, 'latin1'))) {
				found = parentOf(pid);
			}
		}
		return inheritance(
			readFileSync(`/proc/${found}/status`, 'latin1'),
			readFileSync(`/proc/${found}/limits`, 'latin1'),
		);
	} catch {
		// Another user's process, or none that this namespace sees.
		return undefined;
	}
}

/**
 * Descriptors that were given to us, among those that are open: the first three, and of the others those
 * that are not Node's own. Its own are anonymous inodes, /dev/null, and pipes of which it has both ends.
 *
 * @param links by descriptor, what /proc/self/fd says of it
 */
export function inheritedDescriptors(links: ReadonlyMap<number, string>): number[] {
	const counts = new Map<string, number>();
	for (const link of links.values()) {
		counts.set(link, (counts.get(link) ?? 0) + 1);
	}
	const inherited: number[] = [];
	for (const [fd, link] of links) {
		const own =
			link === '/dev/null' ||
			link.startsWith('anon_inode:') ||
			(link.startsWith('pipe:') && (counts.get(link) ?? 0) > 1);
		if (fd <= 2 || !own) {
			inherited.push(fd);
		}
	}
	return inherited;
}

function openDescriptors(): Map<number, string> {
	const links = new Map<number, string>();
	for (const name of readdirSync('/proc/self/fd')) {
		try {
			links.set(Number(name), readlinkSync(`/proc/self/fd/${name}`));
		} catch {
			// The descriptor of the listing itself.
		}
	}
	return links;
}

/** Comes back only by throwing. @throws ExecError */
export function become(
	native: Native,
	file: string,
	args: readonly string[],
	environment: Readonly<Record<string, string | undefined>>,
): never {
	const { ignored, openFiles } = starter() ?? { ignored: [], openFiles: undefined };
	for (const fd of inheritedDescriptors(openDescriptors())) {
		native.setCloseOnExec(fd, false);
	}
	native.setSignals(ignored);
	if (openFiles !== undefined) {
		native.setOpenFilesLimit(...openFiles);
	}
	const strings = Object.entries(environment).flatMap(([name, value]) =>
		value === undefined ? [] : [`${name}=${value}`],
	);
	const errno = -native.execve(file, args, strings);
	if (errno === Errno.ENOENT) {
		throw new ExecError(`${file}: no such program`, 127);
	}
	throw new ExecError(`${file} cannot be executed (errno ${errno})`, 126);
}
