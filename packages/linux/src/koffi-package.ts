/** The package koffi, by which C is called: loaded when something is called first. */
import { createRequire } from 'node:module';
import { TransportError } from '@xfrm/netlink';
import { Errno } from '@xfrm/wire/xfrm';

/** Loads it; what it has is said by who asks. @throws TransportError ENOSYS where it or its binary is not there */
export function requireKoffi(): unknown {
	try {
		return createRequire(import.meta.url)('koffi');
	} catch (error) {
		// Behind the first line stands who wanted it.
		const [why = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
		const advice = 'its binary is an optional dependency: npm ci --include=optional';
		throw new TransportError(
			Errno.ENOSYS,
			`the package koffi cannot be loaded (${advice}): ${why}`,
		);
	}
}
