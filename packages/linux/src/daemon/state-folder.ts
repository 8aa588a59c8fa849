/**
 * Where the daemon keeps its journal: a folder of its own, mode 0700, named after this boot and this
 * network namespace, so that neither another boot nor a namespace that is made anew inherits anything.
 * The folder around it is this machine's alone.
 */
import {
	existsSync,
	lstatSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmdirSync,
	rmSync,
	writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { AF_INET, Level, SocketKind, SocketOption } from '../native/abi.ts';
import type { Native } from '../native/seam.ts';
import { StartError } from './start-error.ts';

export const STATE_FOLDER = '/run/xfrm';

/** Number of the process's network namespace, never given to another. */
function namespaceCookie(native: Native): string {
	const fd = native.socket(AF_INET, SocketKind.Datagram, 0);
	const value = new Uint8Array(8);
	const octets = native.getOption(fd, Level.Socket, SocketOption.NetnsCookie, value);
	native.close(fd);
	if (octets !== 8) {
		throw new StartError('this kernel has no SO_NETNS_COOKIE: Linux 5.14 has it');
	}
	return new DataView(value.buffer).getBigUint64(0, true).toString();
}

/** One after the other: Node's own way to make several never ends where none can be made, as in /proc. */
function makeFolder(path: string): void {
	if (!existsSync(path)) {
		makeFolder(dirname(path));
		try {
			mkdirSync(path, { mode: 0o700 });
		} catch (error) {
			// Another daemon, of another network namespace, may have been faster.
			if (!existsSync(path)) {
				throw error;
			}
		}
	}
}

function ownFolder(path: string): void {
	makeFolder(path);
	const { uid, mode } = lstatSync(path);
	if (uid !== process.geteuid?.()) {
		throw new StartError(
			`${path} belongs to somebody else: remove it, or name another by --state-dir`,
		);
	}
	if ((mode & 0o022) !== 0) {
		throw new StartError(`${path} may be written to by others: make it 0700`);
	}
}

/** This boot's, a UUID. */
function bootId(): string {
	return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
}

/** Where the folder is, or would be. @throws StartError */
export function stateFolderPath(native: Native, parent: string): string {
	return join(parent, `${bootId()}-${namespaceCookie(native)}`);
}

/** A folder that is not on a tmpfs would keep the keys of earlier boots, which are of no use to anybody. */
function forgetEarlierBoots(parent: string): void {
	const boot = bootId();
	for (const name of readdirSync(parent)) {
		if (/^[0-9a-f-]{36}-\d+$/.test(name) && !name.startsWith(boot)) {
			rmSync(join(parent, name), { recursive: true, force: true });
		}
	}
}

/** The folder, made if need be. @throws StartError */
export function stateFolder(native: Native, parent: string): string {
	const path = stateFolderPath(native, parent);
	try {
		ownFolder(parent);
		forgetEarlierBoots(parent);
		ownFolder(path);
	} catch (error) {
		if (error instanceof StartError) {
			throw error;
		}
		const why = error instanceof Error ? error.message : String(error);
		throw new StartError(`the journal can be kept nowhere (${why}): name a folder by --state-dir`);
	}
	return path;
}

/** Takes the folder away if nothing is in it: nothing has come of the daemon. */
export function discardStateFolder(path: string): void {
	try {
		rmdirSync(path);
	} catch {
		// It has a predecessor's journal.
	}
}

/** Writes a file of the folder, whole or not at all: what was there stays. @throws Error of the file system */
export function replaceFile(path: string, text: string): void {
	const draft = `${path}.new`;
	try {
		writeFileSync(draft, text, { mode: 0o600 });
		renameSync(draft, path);
	} catch (error) {
		rmSync(draft, { force: true });
		throw error;
	}
}
