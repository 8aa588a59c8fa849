/** Debian's packages in folders of their own: what cannot, or need not, be installed. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const CACHE = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');

/** The folder that the packages are unpacked in, fetched the first time. @throws Error when they cannot be had */
export function unpackedPackages(name: string, packages: readonly string[]): string {
	const root = join(CACHE, name);
	if (existsSync(root)) {
		return root;
	}
	mkdirSync(CACHE, { recursive: true });
	const folder = mkdtempSync(join(CACHE, `${name}-`));
	try {
		const options = { cwd: folder, encoding: 'utf8' as const };
		const { status, stderr } = spawnSync('apt-get', ['download', '-qq', ...packages], options);
		if (status !== 0) {
			throw new Error(`apt-get download ${packages.join(' ')}: ${stderr}`);
		}
		for (const file of readdirSync(folder)) {
			spawnSync('dpkg', ['-x', file, 'root'], options);
		}
		renameSync(join(folder, 'root'), root);
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
	return root;
}
