/** `xfrm --version`: version, commit and default kernel profile. */
import { readFileSync } from 'node:fs';

/** The profile that is used when none is asked for. */
export const PROFILE_DEFAULT = 'linux619';

const manifest = new URL('../package.json', import.meta.url);

/** `xfrm 0.1.0 (commit 1a2b3c4d5e6f, profile linux619)`. */
export function versionText(): string {
	return `xfrm ${versionNumber()} (commit ${commit() ?? 'unknown'}, profile ${PROFILE_DEFAULT})`;
}

/** The version alone. */
export function versionNumber(): string {
	const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string };
	return version;
}

/** Prints it; the exit status. */
export function printVersion(): number {
	process.stdout.write(`${versionText()}\n`);
	return 0;
}

/** The commit of the checkout that this runs in; read from the repository's files, no git needed. */
function commit(): string | undefined {
	const git = new URL('../../../.git/', import.meta.url);
	const head = read(new URL('HEAD', git))?.trim();
	const ref = head === undefined ? undefined : /^ref: (.+)$/.exec(head)?.[1];
	if (ref === undefined) {
		return head?.slice(0, 12);
	}
	const loose = read(new URL(ref, git))?.trim();
	const packed = read(new URL('packed-refs', git))
		?.split('\n')
		.find((line) => line.endsWith(` ${ref}`));
	return (loose ?? packed)?.slice(0, 12);
}

function read(url: URL): string | undefined {
	try {
		return readFileSync(url, 'utf8');
	} catch {
		return undefined; // an installed package has no repository
	}
}
