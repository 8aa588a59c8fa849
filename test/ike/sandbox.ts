/**
 * What a service or a container sees of the machine, made by hand: few capabilities, a file system that cannot be
 * written to, few devices. For commands of a host's network namespace.
 */

/** What is let in. */
export interface Sandbox {
	/** `CAP_NET_ADMIN` and the like. */
	readonly capabilities: readonly string[];
	/** Folders that can be written to, and stay: which ones they are outside. */
	readonly kept: Readonly<Record<string, string>>;
	/** Folders that are empty, gone afterwards, and can be written to; root's, 0700. */
	readonly temporary: readonly string[];
	/** Folders that are empty and cannot be written to. */
	readonly hidden: readonly string[];
	/** Folders that show what is in others. */
	readonly shown: Readonly<Record<string, string>>;
	/** Files under /dev, beside null, random and their like. */
	readonly devices: readonly string[];
	/** Words before the program, once the rights are gone: the first is a file, which is brought along. */
	readonly wrap: readonly string[];
	/** Only what it has started is a process to it, and it is number 1. */
	readonly ownProcesses: boolean;
}

const DEVICES = ['/dev/null', '/dev/zero', '/dev/full', '/dev/random', '/dev/urandom', '/dev/tty'];

/** Where what the sandbox itself needs is kept. */
const TOOLS = '/srv';

function script(sandbox: Sandbox): string {
	const { kept, temporary, hidden, shown, devices, wrap } = sandbox;
	const lines = ['set -e', 'mount --make-rprivate /', `mount -t tmpfs none ${TOOLS}`];
	lines.push(`mkdir ${TOOLS}/dev`);
	for (const device of [...DEVICES, ...devices]) {
		lines.push(`mkdir -p $(dirname ${TOOLS}${device}); : > ${TOOLS}${device}`);
		lines.push(`mount --bind ${device} ${TOOLS}${device}`);
	}
	if (wrap[0] !== undefined) {
		lines.push(`cp ${wrap[0]} ${TOOLS}/wrap`);
	}
	for (const [at, folder] of Object.entries(shown)) {
		lines.push(
			`mkdir ${TOOLS}/shown; cp -r ${folder}/. ${TOOLS}/shown; mount --bind ${TOOLS}/shown ${at}`,
		);
	}
	lines.push(`mount --rbind ${TOOLS}/dev /dev`);
	for (const [at, folder] of Object.entries(kept)) {
		lines.push(`mkdir -p -m 0700 ${at} ${folder}; mount --bind ${folder} ${at}`);
	}
	for (const folder of temporary) {
		lines.push(`mount -t tmpfs -o mode=0700 none ${folder}`);
	}
	for (const folder of hidden) {
		lines.push(`mount -t tmpfs -o size=1k none ${folder}`);
	}
	const spared = [...temporary, ...Object.keys(kept)];
	const pattern = ['/dev*', '/proc*', '/sys*', ...spared].join('|');
	lines.push(
		'findmnt -rno TARGET | while read -r at; do',
		`	case "$at" in ${pattern}) ;; *) mount -o remount,bind,ro "$at" 2> /dev/null || true ;; esac`,
		'done',
		// What is hidden below another mount cannot be mounted anew, and need not.
		'if touch /usr/sandbox /etc/sandbox 2> /dev/null; then exit 3; fi',
		'ulimit -c 0',
		'exec "$@"',
	);
	return lines.join('\n');
}

/** The words that run a command in a sandbox. */
export function sandboxed(sandbox: Sandbox, command: readonly string[]): string[] {
	const { capabilities, wrap, ownProcesses } = sandbox;
	const names = capabilities.map((name) => `+${name.replace(/^CAP_/, '').toLowerCase()}`);
	return [
		...[
			'unshare',
			'--mount',
			...(ownProcesses ? ['--pid', '--fork', '--kill-child', '--mount-proc'] : []),
		],
		...['bash', '-c', script(sandbox), 'sandbox'],
		...['setpriv', `--bounding-set=-all,${names.join(',')}`, '--inh-caps=-all', '--no-new-privs'],
		...(wrap.length === 0 ? [] : [`${TOOLS}/wrap`, ...wrap.slice(1)]),
		...command,
	];
}
