/** What a run makes outside of itself, by names from which it is known whose it is; and an end of all of it. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

/** Where `ip netns` keeps its names. */
const NAMESPACES = '/run/netns';

function namespacePrefix(pid: number): string {
	return `xfrm-${pid}-`;
}

function folderPrefix(pid: number): string {
	return `xfrm-ike-${pid}-`;
}

/** A network namespace's name that no other run has. */
export function ownNamespace(name: string): string {
	return `${namespacePrefix(process.pid)}${name}`;
}

/** Makes a folder that no other run has. */
export function ownFolder(): string {
	return mkdtempSync(join(tmpdir(), folderPrefix(process.pid)));
}

function listed(folder: string, prefix: string): string[] {
	const names = existsSync(folder) ? readdirSync(folder) : [];
	return names.filter((name) => name.startsWith(prefix));
}

/** Ends what a run has started that was killed, and takes away what it has made. */
export async function clearAfter(pid: number): Promise<void> {
	try {
		process.kill(-pid, 'SIGKILL');
	} catch {
		// Nobody is left of its process group.
	}
	for (const name of listed(NAMESPACES, namespacePrefix(pid))) {
		await endAllIn(name);
		spawnSync('ip', ['netns', 'del', name]);
	}
	for (const name of listed(tmpdir(), folderPrefix(pid))) {
		rmSync(join(tmpdir(), name), { recursive: true, force: true, maxRetries: 5 });
	}
}

/** Programs in a namespace, those included that are started meanwhile. */
async function endAllIn(namespace: string): Promise<void> {
	const pids = (): string[] => {
		const { stdout } = spawnSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' });
		return stdout.match(/\d+/g) ?? [];
	};
	for (let left = pids(); left.length > 0; left = pids()) {
		spawnSync('kill', ['-9', ...left]);
		await setTimeout(20);
	}
}
