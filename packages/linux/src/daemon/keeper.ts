/**
 * The keeper of the port id: a process that does nothing but hold the daemon's netlink socket, so that
 * nobody can bind the id while no daemon runs and be sent other programs' keys. It never reads from the
 * socket; what comes meanwhile waits there for the next daemon, which takes the socket over.
 *
 * It is sleep(1) under another name: no code of ours, two megabytes, and nothing that could fail.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { NETLINK_USERSOCK } from '../socket-abi.ts';
import { DAEMON_PORT } from './marks.ts';
import {
	commandLine,
	effectiveUser,
	type Holder,
	socketHolders,
	visibleProcesses,
} from './process-descriptors.ts';
import { netlinkSockets } from './socket-list.ts';

const KEEPER_NAME = 'xfrm-keeper';

/** Starts a keeper of this socket; its process. */
export function startKeeper(controlFd: number): number | undefined {
	const keeper = spawn('sleep', ['infinity'], {
		argv0: KEEPER_NAME,
		detached: true,
		cwd: '/',
		env: {},
		stdio: ['ignore', 'ignore', 'ignore', controlFd],
	});
	keeper.on('error', () => {});
	keeper.unref();
	return keeper.pid;
}

/** Who holds the port id of this network namespace. */
export interface PortHolders {
	readonly keepers: readonly Holder[];
	/** Daemons, and whoever else. */
	readonly others: readonly Holder[];
}

/** undefined when nobody does. */
export function portHolders(): PortHolders | undefined {
	const rows = netlinkSockets(readFileSync('/proc/net/netlink', 'latin1'), NETLINK_USERSOCK);
	const row = rows.find(({ portId }) => portId === DAEMON_PORT);
	if (row === undefined) {
		return undefined;
	}
	const holders = socketHolders(row.inode, visibleProcesses());
	// Anybody may call a process so: a keeper is one of our own user's.
	const isKeeper = ({ pid }: Holder): boolean =>
		commandLine(pid)[0] === KEEPER_NAME && effectiveUser(pid) === process.geteuid?.();
	return {
		keepers: holders.filter(isKeeper),
		others: holders.filter((holder) => !isKeeper(holder)),
	};
}

/** Ends the keepers of this network namespace: the port id is free. */
export function endKeepers(): void {
	for (const { pid } of portHolders()?.keepers ?? []) {
		process.kill(pid, 'SIGKILL');
	}
}
