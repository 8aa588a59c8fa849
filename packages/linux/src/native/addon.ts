/**
 * The seam over a Node-API addon (native/addon.cc): a call costs some tens of nanoseconds, and a TUN device is
 * read many packets a call. It is compiled on first use with the headers that come with the running node.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RECEIVE_OCTETS } from '../limits.ts';
import { CompileError, compiledObject } from './compiled.ts';
import type { EvpCalls } from './evp-crypto.ts';
import type { OctetMoves } from './octet-moves.ts';
import type { PacketBatch } from './packet-batch.ts';
import type { Native, PortKind, ReceivedMessage } from './seam.ts';

/** The addon's functions, in the words of addon.cc. */
export interface Addon extends EvpCalls {
	open(path: string, flags: number): number;
	close(fd: number): number;
	read(fd: number, bytes: Uint8Array): number;
	write(fd: number, bytes: Uint8Array): number;
	ioctl(fd: number, request: number, argument: Uint8Array): number;
	ioctlValue(fd: number, request: number, value: number): number;
	socket(domain: number, type: number, protocol: number): number;
	bind(fd: number, address: Uint8Array): number;
	socketName(fd: number, address: Uint8Array): number;
	setOption(fd: number, level: number, name: number, value: Uint8Array): number;
	getOption(fd: number, level: number, name: number, value: Uint8Array): number;
	attachReusePortFilter(fd: number, instructions: Uint8Array): number;
	send(fd: number, bytes: Uint8Array, address: Uint8Array | null): number;
	receive(
		fd: number,
		bytes: Uint8Array,
		name: Uint8Array,
		control: Uint8Array,
		told: Int32Array,
	): number;
	eventfd(): number;
	pidfdOpen(pid: number): number;
	pidfdGetfd(pidfd: number, fd: number): number;
	prctl(option: number, value: number): number;
	yieldProcessor(): number;
	setCloseOnExec(fd: number, close: number): number;
	setSignals(ignored: Int32Array): number;
	setOpenFilesLimit(soft: number, hard: number): number;
	execve(path: string, args: readonly string[], environment: readonly string[]): number;
	epollCreate(): number;
	epollControl(epoll: number, fd: number, number: number): number;
	epollWait(epoll: number, events: Uint8Array, timeoutMs: number): number;
	mapFile(fd: number, octets: number): ArrayBuffer | number;
	registerBatch(...columnsAndBounds: readonly (Uint8Array | Int32Array | number)[]): number;
	receivePackets(fd: number, kind: number, batch: number): number;
	sendPackets(fd: number, kind: number, batch: number, count: number): number;
	registerMoves(...columns: readonly (Uint8Array | Int32Array)[]): number;
	moveOctets(moves: number, count: number): number;
	/** Whose arithmetic AES-GCM is, with its version. */
	cryptoLibrary(): string;
}

/** Kinds of descriptors, as addon.cc numbers them. */
const KINDS = { socket: 0, tun: 1, datagram: 2 } as const;

const HEADERS = ['arguments.h', 'esp-crypto.h'] as const;
const COMPILERS = ['c++', 'g++', 'clang++'] as const;
const FLAGS = ['-std=c++17', '-shared', '-fPIC', '-O2', '-DNODE_GYP_MODULE_NAME=xfrm'] as const;

/** Of Debian's libipsec-mb-dev and its like: with it AES-GCM is ipsec-mb's, where the library is installed. */
const IPSEC_MB_HEADER = '/usr/include/intel-ipsec-mb.h';

/**
 * Where a node of this prefix has its headers. Node's own packages and archives have OpenSSL's in there too; those
 * that use the system's OpenSSL, such as Debian's, leave them where compilers look anyway. @throws CompileError
 */
export function headerFolder(prefix: string, opensslFolder: string): string {
	const folder = join(prefix, 'include/node');
	if (!existsSync(join(folder, 'node_api.h'))) {
		throw new CompileError(
			`the headers of this node are not in ${folder} (Debian's are in libnode-dev)`,
		);
	}
	if (!existsSync(join(opensslFolder, 'openssl/evp.h'))) {
		throw new CompileError(
			`the headers of OpenSSL are not in ${opensslFolder} (Debian's are in libssl-dev)`,
		);
	}
	return folder;
}

/** For the running node. @throws CompileError */
function ownHeaders(): string {
	const prefix = dirname(dirname(process.execPath));
	const isShared = process.config.variables.node_shared_openssl;
	return headerFolder(prefix, isShared ? '/usr/include' : join(prefix, 'include/node'));
}

let loaded: Addon | undefined;

/** Loads the addon, compiled if need be. @throws CompileError without compiler, headers or place */
export function loadAddon(): Addon {
	loaded ??= createRequire(import.meta.url)(addonPath()) as Addon;
	return loaded;
}

const sourcePath = (name: string): string =>
	fileURLToPath(new URL(`../../native/${name}`, import.meta.url));

function addonPath(): string {
	const ipsecMb = process.arch === 'x64' && existsSync(IPSEC_MB_HEADER) ? ['-DWITH_IPSEC_MB'] : [];
	return compiledObject({
		name: 'addon',
		sources: [sourcePath('addon.cc')],
		headers: HEADERS.map(sourcePath),
		variant: `${process.version} ${process.versions.openssl}`,
		compilers: COMPILERS,
		flags: [...FLAGS, ...ipsecMb, `-I${ownHeaders()}`],
		libraries: [],
		suffix: '.node',
	});
}

/** Makes the provider. @throws CompileError */
export function addonNative(): Native {
	return new AddonNative(loadAddon());
}

/** OpenSSL's calls: an object made in one piece, for the same reason as the fields below. @throws CompileError */
export function addonEvp(): EvpCalls {
	const { aeadKey, cbcKey, wipeKey, registerJobs, addressOf, seal, openSealed } = loadAddon();
	return { aeadKey, cbcKey, wipeKey, registerJobs, addressOf, seal, openSealed };
}

class AddonNative implements Native {
	readonly name: string = 'addon';
	readonly #addon: Addon;
	/** What has a number: the addon knows its memory by address. */
	readonly #kept: (PacketBatch | OctetMoves)[] = [];
	readonly #told: Int32Array = new Int32Array(3);
	/** What is called for each packet, where it is found at once: V8 looks what a module exports up by its name. */
	readonly #epollWait: Addon['epollWait'];
	readonly #receivePackets: Addon['receivePackets'];
	readonly #sendPackets: Addon['sendPackets'];
	readonly #moveOctets: Addon['moveOctets'];

	constructor(addon: Addon) {
		this.#addon = addon;
		this.#epollWait = addon.epollWait;
		this.#receivePackets = addon.receivePackets;
		this.#sendPackets = addon.sendPackets;
		this.#moveOctets = addon.moveOctets;
	}

	open(path: string, flags: number): number {
		return this.#addon.open(path, flags);
	}
	close(fd: number): number {
		return this.#addon.close(fd);
	}
	read(fd: number, bytes: Uint8Array): number {
		return this.#addon.read(fd, bytes);
	}
	write(fd: number, bytes: Uint8Array): number {
		return this.#addon.write(fd, bytes);
	}
	ioctl(fd: number, request: number, argument: Uint8Array): number {
		return this.#addon.ioctl(fd, request, argument);
	}
	ioctlValue(fd: number, request: number, value: number): number {
		return this.#addon.ioctlValue(fd, request, value);
	}
	socket(domain: number, type: number, protocol: number): number {
		return this.#addon.socket(domain, type, protocol);
	}
	bind(fd: number, address: Uint8Array): number {
		return this.#addon.bind(fd, address);
	}
	socketName(fd: number, address: Uint8Array): number {
		return this.#addon.socketName(fd, address);
	}
	setOption(fd: number, level: number, name: number, value: Uint8Array): number {
		return this.#addon.setOption(fd, level, name, value);
	}
	getOption(fd: number, level: number, name: number, value: Uint8Array): number {
		return this.#addon.getOption(fd, level, name, value);
	}
	attachReusePortFilter(fd: number, instructions: Uint8Array): number {
		return this.#addon.attachReusePortFilter(fd, instructions);
	}
	send(fd: number, bytes: Uint8Array, address: Uint8Array | null): number {
		return this.#addon.send(fd, bytes, address);
	}

	receive(fd: number, bytes: Uint8Array, message: ReceivedMessage): number {
		const told = this.#told;
		const octets = this.#addon.receive(fd, bytes, message.name, message.control, told);
		message.nameOctets = told[0] ?? 0;
		message.controlOctets = told[1] ?? 0;
		message.flags = told[2] ?? 0;
		return octets;
	}

	eventfd(): number {
		return this.#addon.eventfd();
	}
	pidfdOpen(pid: number): number {
		return this.#addon.pidfdOpen(pid);
	}
	pidfdGetfd(pidfd: number, fd: number): number {
		return this.#addon.pidfdGetfd(pidfd, fd);
	}
	prctl(option: number, value: number): number {
		return this.#addon.prctl(option, value);
	}
	setCloseOnExec(fd: number, close: boolean): number {
		return this.#addon.setCloseOnExec(fd, close ? 1 : 0);
	}
	setSignals(ignored: readonly number[]): number {
		return this.#addon.setSignals(Int32Array.from(ignored));
	}
	setOpenFilesLimit(soft: number, hard: number): number {
		return this.#addon.setOpenFilesLimit(soft, hard);
	}
	execve(path: string, args: readonly string[], environment: readonly string[]): number {
		return this.#addon.execve(path, args, environment);
	}

	yieldProcessor(): number {
		return this.#addon.yieldProcessor();
	}

	epollCreate(): number {
		return this.#addon.epollCreate();
	}

	epollControl(epoll: number, fd: number, number: number): number {
		return this.#addon.epollControl(epoll, fd, number);
	}

	epollWait(epoll: number, events: Uint8Array, timeoutMs: number): number {
		return this.#epollWait(epoll, events, timeoutMs);
	}

	mapFile(fd: number, octets: number): ArrayBuffer | number {
		return this.#addon.mapFile(fd, octets);
	}

	receivePackets(fd: number, kind: PortKind, batch: PacketBatch): number {
		const count = this.#receivePackets(fd, KINDS[kind], this.#numberOf(batch));
		batch.count = Math.max(0, count);
		return count;
	}

	sendPackets(fd: number, kind: PortKind, batch: PacketBatch): void {
		this.#sendPackets(fd, KINDS[kind], this.#numberOf(batch), batch.count);
	}

	packetMemory(octets: number): ArrayBuffer {
		return new ArrayBuffer(octets);
	}

	moveOctets(moves: OctetMoves): void {
		if (moves.number < 0) {
			const { slab, from, to, octets, sum } = moves;
			moves.number = this.#addon.registerMoves(slab, from, to, octets, sum);
			this.#kept.push(moves);
		}
		this.#moveOctets(moves.number, moves.count);
	}

	#numberOf(batch: PacketBatch): number {
		if (batch.number < 0) {
			const { slab, at, room, octets, segmentOctets, joined, peer, local } = batch;
			const { ifindex, trafficClass, hopLimit, mark, status, capacity } = batch;
			const columns = [slab, at, room, octets, segmentOctets, joined, peer, local];
			const more = [ifindex, trafficClass, hopLimit, mark, status];
			batch.number = this.#addon.registerBatch(...columns, ...more, capacity, RECEIVE_OCTETS);
			this.#kept.push(batch);
		}
		return batch.number;
	}
}
