/**
 * Does the preload shim reach a program? It does where a loader of the C library's loads it: not in programs
 * without a loader, not in Go's, which make their system calls themselves, and not in programs that run
 * with other rights than who starts them, where the loader heeds no LD_PRELOAD. Those are supervised instead.
 *
 *     ELF64: e_machine u16 at 18 | e_phoff u64 at 32 | e_phentsize u16 at 54 | e_phnum u16 at 56
 *     program header: p_type u32 | … | p_offset u64 at 8 | … | p_filesz u64 at 32
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { ExecError } from './exec-error.ts';

const PT_INTERP = 3;
const PT_NOTE = 4;
const HEADER_OCTETS = 64;
const PROGRAM_HEADER_OCTETS = 56;
/** Program headers that are looked at: there are a dozen. */
const PROGRAM_HEADERS_MAX = 64;
/** Of a note or of a loader's path. */
const SEGMENT_OCTETS_MAX = 4096;
/** The kernel follows as many `#!` lines. */
const SCRIPTS_MAX = 5;
const SETUID = 0o4000;
const SETGID = 0o2000;

/** What an ELF file says about how it is loaded. */
export interface Loading {
	/** Path of the loader; undefined in a static program. */
	readonly loader: string | undefined;
	readonly isGo: boolean;
	readonly bits: 32 | 64;
}

/** Reads octets of a file; shorter at its end. */
type Read = (at: number, octets: number) => Uint8Array;

/** undefined when it is no ELF file. */
export function loadingOf(read: Read): Loading | undefined {
	const header = read(0, HEADER_OCTETS);
	const isElf =
		header.length >= 52 && header[0] === 0x7f && latin1(header.subarray(1, 4)) === 'ELF';
	if (!isElf) {
		return undefined;
	}
	if (header[4] !== 2 || header.length < HEADER_OCTETS) {
		return { loader: undefined, isGo: false, bits: 32 };
	}
	const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
	const tableAt = Number(view.getBigUint64(32, true));
	const count = Math.min(view.getUint16(56, true), PROGRAM_HEADERS_MAX);
	let loader: string | undefined;
	let isGo = false;
	for (let index = 0; index < count; index++) {
		const bytes = read(tableAt + index * PROGRAM_HEADER_OCTETS, PROGRAM_HEADER_OCTETS);
		if (bytes.length < PROGRAM_HEADER_OCTETS) {
			break;
		}
		const entry = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
		const type = entry.getUint32(0, true);
		if (type !== PT_INTERP && type !== PT_NOTE) {
			continue;
		}
		const octets = Math.min(Number(entry.getBigUint64(32, true)), SEGMENT_OCTETS_MAX);
		const text = latin1(read(Number(entry.getBigUint64(8, true)), octets));
		if (type === PT_INTERP) {
			loader = text.replace(/\0.*$/s, '');
		}
		isGo ||= type === PT_NOTE && text.slice(12, 16) === 'Go\0\0';
	}
	return { loader, isGo, bits: 64 };
}

function latin1(bytes: Uint8Array): string {
	return String.fromCharCode(...bytes);
}

/**
 * Why the shim does not reach it, as the end of a sentence; undefined when it does.
 *
 * @throws ExecError 126 for a program of 32 bits: neither way reaches it, and it would configure the kernel
 */
export function shimHindrance(file: string): string | undefined {
	let path = file;
	for (let depth = 0; depth < SCRIPTS_MAX; depth++) {
		const found = examine(path);
		if (found === undefined || 'hindrance' in found) {
			return found?.hindrance;
		}
		path = found.interpreter;
	}
	return undefined;
}

/** undefined: what cannot be read or run is left to execve(2). */
function examine(
	path: string,
): { readonly hindrance: string | undefined } | { readonly interpreter: string } | undefined {
	let fd: number;
	try {
		fd = openSync(path, 'r');
	} catch {
		return undefined;
	}
	try {
		const read: Read = (at, octets) => {
			const bytes = new Uint8Array(octets);
			return bytes.subarray(0, readSync(fd, bytes, 0, octets, at));
		};
		const script = /^#![ \t]*([^ \t\n]+)/.exec(latin1(read(0, 256)))?.[1];
		if (script !== undefined) {
			return { interpreter: script };
		}
		const loading = loadingOf(read);
		if (loading?.bits === 32) {
			throw new ExecError(`${path} is a 32-bit program, which the daemon cannot serve`, 126);
		}
		return loading === undefined ? undefined : { hindrance: hindranceOf(loading, fstatSync(fd)) };
	} catch (error) {
		if (error instanceof ExecError) {
			throw error;
		}
		return undefined;
	} finally {
		closeSync(fd);
	}
}

function hindranceOf(
	{ loader, isGo }: Loading,
	file: { readonly mode: number; readonly uid: number; readonly gid: number },
): string | undefined {
	if (isGo) {
		return 'is made by Go, and makes its system calls itself';
	}
	if (loader === undefined) {
		return 'is linked statically';
	}
	if (loader.includes('ld-musl')) {
		return 'uses another C library (musl)';
	}
	const changesUser = (file.mode & SETUID) !== 0 && file.uid !== process.geteuid?.();
	const changesGroup = (file.mode & SETGID) !== 0 && file.gid !== process.getegid?.();
	return changesUser || changesGroup ? 'runs with the rights of another user' : undefined;
}
