/**
 * The kernel that this machine runs, in namespaces of its own: random rules and packets without states,
 * since such a kernel may have no ESP: decisions, ties, defaults, policies of sockets, acquires, counters
 * and errors. Followed by the profile of its release, and by what it has built in: both are asked for.
 */
import { existsSync } from 'node:fs';
import { release } from 'node:os';
import { openKernelEnd } from '../kernel-netlink/kernel-end.ts';
import { probeAvailable, probeProfile } from '../kernel-netlink/probe.ts';
import { profileOf } from '../kernel-netlink/trial.ts';
import type { JudgedKernel } from './judge.ts';

/** Kinds that say something on a kernel without transforms: their states are refused on both sides. */
export const RUNNING_KINDS: readonly string[] = [
	'mixture',
	'sub-policies',
	'templates',
	'selection',
	'defaults',
	'exempt-devices',
	'acquire',
	'changes',
	'marks',
	'state-choice',
	'policy-times',
	'udp-senders',
	'no-route',
];

/** The running kernel, or the sentence why it cannot be judged by, and what to do about it. */
export function probeRunningKernel(): JudgedKernel | string {
	if (process.platform !== 'linux' || process.getuid?.() !== 0) {
		return 'a Linux machine and root are needed, to have network namespaces';
	}
	const base = profileOf(release());
	if (base === undefined) {
		return `no profile follows Linux ${release()}`;
	}
	if (!existsSync('/dev/net/tun')) {
		return '/dev/net/tun is missing: load the module tun (modprobe tun)';
	}
	if (!existsSync('/proc/self/net/xfrm_stat')) {
		return 'this kernel counts nothing (CONFIG_XFRM_STATISTICS)';
	}
	const end = openKernelEnd();
	if (typeof end === 'string') {
		return end;
	}
	// It asks on, so it stays open.
	return { profile: probeProfile(end, base), available: probeAvailable(end) };
}
