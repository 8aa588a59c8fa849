/** koffi, loaded when it is first wanted. */
import { TransportError } from '@xfrm/netlink';
import { Errno } from '@xfrm/wire/xfrm';
import { requireKoffi } from '../koffi-package.ts';

/** What we use of it. */
export interface Koffi {
	/** The program itself and what it has loaded. */
	load(path: null): { func(prototype: string): (...values: readonly unknown[]) => number };
	errno(): number;
	address(bytes: Uint8Array): bigint;
	/** Memory at an address, never freed. */
	view(address: unknown, octets: number): ArrayBuffer;
	as(value: unknown, type: string): unknown;
}

/** Loads it. @throws TransportError ENOSYS where it or Linux is not there */
export function loadKoffi(): Koffi {
	const { platform, arch } = process;
	if (platform !== 'linux' || (arch !== 'x64' && arch !== 'arm64')) {
		const text = `the daemon needs Linux on x86-64 or arm64; this is ${platform} on ${arch}`;
		throw new TransportError(Errno.ENOSYS, text);
	}
	return requireKoffi() as Koffi;
}
