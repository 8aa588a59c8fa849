/**
 * Whose tables a command speaks of: the running kernel's, or those of the daemon that stands in for it in
 * this network namespace. Unless told, it is the daemon if one runs.
 */
import type { NetlinkTransport } from '@xfrm/netlink';
import { UsageError } from './usage.ts';

export type Target = 'kernel' | 'daemon';

/** The target that --kernel and --daemon name; undefined when neither stands there. @throws UsageError */
export function namedTarget(values: {
	readonly kernel?: boolean;
	readonly daemon?: boolean;
}): Target | undefined {
	if (values.kernel === true && values.daemon === true) {
		throw new UsageError('found --kernel and --daemon, expected one of them');
	}
	if (values.daemon === true) {
		return 'daemon';
	}
	return values.kernel === true ? 'kernel' : undefined;
}

/** The way to the target. Opens nothing. */
export function transportTo(
	target: Target | undefined,
	library: typeof import('@xfrm/linux'),
): NetlinkTransport {
	switch (target) {
		case 'kernel':
			return library.linuxTransport();
		case 'daemon':
			return library.daemonTransport();
		default:
			return library.defaultTransport();
	}
}
