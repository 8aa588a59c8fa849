/**
 * The `xfrm` command: finds the subcommand, loads its module and nothing else, and turns what goes wrong
 * into a message and an exit status.
 *
 * Exit status: 0 done · 1 the answer is no · 2 bad usage, or input that cannot be read.
 */
import { UsageError } from './usage.ts';

/** Runs the command line; the exit status. Output goes to stdout and stderr of the process. */
export async function main(args: readonly string[]): Promise<number> {
	try {
		const [command, ...rest] = args;
		if (command === 'exec') {
			// Before anything has touched the streams, which will be another program's.
			const { execCommand } = await import('./exec-command.ts');
			return await execCommand(rest);
		}
		// `xfrm … | head` closes our stdout: that is no error.
		process.stdout.on('error', (error: NodeJS.ErrnoException) => {
			if (error.code === 'EPIPE') {
				process.exit(0);
			}
			throw error;
		});
		return await dispatch(args);
	} catch (error) {
		if (error instanceof UsageError || isKernelRefusal(error)) {
			process.stderr.write(`xfrm: ${error.message}\n`);
			return 2;
		}
		throw error;
	}
}

/** Errors of netlink say what is missing; they are known by name, so that not every start loads them. */
function isKernelRefusal(error: unknown): error is Error {
	return (
		error instanceof Error && (error.name === 'NetlinkError' || error.name === 'TransportError')
	);
}

/** Commands of our own; what abbreviates one of ip's objects beside them is ip's. */
const OWN = new Set([
	'explain',
	'decrypt',
	'lookup',
	'prove',
	'diff',
	'demo',
	'help',
	'version',
	'stat',
	'save',
	'load',
]);

/** Options with a value that may stand in front of an object. */
const VALUED = /^(?:--profile|--?f(?:a(?:m(?:i(?:ly?)?)?)?)?)$/;
const BATCH = /^--?b(?:a(?:t(?:ch?)?)?)?$/;

/** Is it the language of `ip xfrm`: an object (abbreviated as ip allows) behind options, or a batch? */
function speaksIp(args: readonly string[]): boolean {
	let at = 0;
	for (; args[at]?.startsWith('-'); at++) {
		const option = args[at] ?? '';
		if (option === '--help' || option === '-h') {
			return false;
		}
		if (BATCH.test(option)) {
			return true;
		}
		at += VALUED.test(option) ? 1 : 0;
	}
	const object = args[at] ?? '';
	const names = ['state', 'sa', 'policy', 'monitor'];
	const isObject = !OWN.has(object) && names.some((name) => name.startsWith(object));
	return object !== '' && isObject && !args.includes('--help');
}

async function dispatch(args: readonly string[]): Promise<number> {
	const [command = 'help', ...rest] = args;
	if (speaksIp(args)) {
		const { ipCommand } = await import('./ip-command.ts');
		return ipCommand(args);
	}
	if (rest.includes('--help') || rest.includes('-h')) {
		const { printHelp } = await import('./help.ts');
		return printHelp(command);
	}
	switch (command) {
		case 'explain': {
			const { explainCommand } = await import('./explain-command.ts');
			return explainCommand(rest);
		}
		case 'decrypt': {
			const { decryptCommand } = await import('./decrypt-command.ts');
			return decryptCommand(rest);
		}
		case 'lookup': {
			const { lookupCommand } = await import('./lookup-command.ts');
			return lookupCommand(rest);
		}
		case 'daemon': {
			const { daemonCommand } = await import('./daemon-command.ts');
			return daemonCommand(rest);
		}
		case 'prove': {
			const { proveCommand } = await import('./prove-command.ts');
			return proveCommand(rest);
		}
		case 'diff': {
			const { diffCommand } = await import('./diff-command.ts');
			return diffCommand(rest);
		}
		case 'demo': {
			const { demoCommand } = await import('./demo.ts');
			return demoCommand(rest);
		}
		case 'save': {
			const { saveCommand } = await import('./save-command.ts');
			return saveCommand(rest);
		}
		case 'load': {
			const { loadCommand } = await import('./load-command.ts');
			return loadCommand(rest);
		}
		case 'stat': {
			const { statCommand } = await import('./stat-command.ts');
			return statCommand(rest);
		}
		case '--version':
		case '-V':
		case 'version': {
			const { versionText } = await import('./version.ts');
			process.stdout.write(`${versionText()}\n`);
			return 0;
		}
		case 'help':
		case '--help':
		case '-h': {
			const { printHelp } = await import('./help.ts');
			return printHelp(rest[0]);
		}
		default:
			throw new UsageError(
				`found "${command}", expected a command: explain, decrypt, lookup, prove, diff, state, policy, monitor, daemon, exec, save, load, stat, demo, help or --version`,
			);
	}
}
