/** What is missing when a kernel refuses, and how to get it: sentences for people. */
import { readFileSync } from 'node:fs';
import { Errno } from '@xfrm/wire/xfrm';

/** `CAP_NET_ADMIN`. */
const NET_ADMIN = 12n;

const RIGHT: string =
	'XFRM needs CAP_NET_ADMIN in this network namespace, for reading too: run it as root, ' +
	'or try it in a namespace of your own with "unshare -rn"';
const NO_TRANSFORM: string =
	'this kernel does not have the transform or mode: its module (esp4, esp6, ah4, ah6, ipcomp, ' +
	'ipcomp6 …) is not there';
const NO_NETLINK_XFRM: string =
	'this kernel has no NETLINK_XFRM: load its module with "modprobe xfrm_user", or use a kernel ' +
	'built with CONFIG_XFRM_USER';

/** Is CAP_NET_ADMIN among the effective rights in the text of /proc/PID/status? */
export function hasNetAdminIn(status: string): boolean {
	const [, hex = '0'] = /^CapEff:\s*([0-9a-f]+)$/m.exec(status) ?? [];
	return ((BigInt(`0x${hex}`) >> NET_ADMIN) & 1n) === 1n;
}

/** Is the right among those of this process? The network namespace may still be somebody else's. */
export function hasNetAdmin(): boolean {
	return hasNetAdminIn(readFileSync('/proc/self/status', 'latin1'));
}

/** Advice about a request that the kernel refused; undefined when its own words are enough. */
export function adviceFor(errno: number): string | undefined {
	switch (errno) {
		case Errno.EPERM:
			// With the right it is about the object, such as a helper state of IPComp.
			return hasNetAdmin() ? undefined : RIGHT;
		case Errno.ENOSYS:
			return 'this kernel does not have the algorithm; /proc/crypto lists those that are loaded';
		case Errno.EPROTONOSUPPORT:
			return NO_TRANSFORM;
		default:
			return undefined;
	}
}

/** Why no socket could be opened. */
export function socketRefusal(errno: number): string {
	switch (errno) {
		case Errno.EPROTONOSUPPORT:
		case Errno.EAFNOSUPPORT:
			return NO_NETLINK_XFRM;
		case Errno.EPERM:
		case Errno.EACCES:
			return RIGHT;
		default:
			return 'no netlink socket could be opened';
	}
}

/** Why a group could not be joined. */
export function groupRefusal(errno: number, group: number): string {
	return errno === Errno.EPERM ? RIGHT : `group ${group} of NETLINK_XFRM cannot be joined`;
}
