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
			const { execModule } = await import('./bundled.ts');
			return await (await execModule()).execCommand(rest);
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
			process.stderr.write(`xfrm: ${complaintOf(error)}\n`);
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

/** Where nobody answers it does not matter what was asked. */
function complaintOf(error: Error & { readonly code?: string; readonly detail?: string }): string {
	return error.code === 'ECONNREFUSED' ? (error.detail ?? error.message) : error.message;
}

type Command = (args: readonly string[]) => Promise<number>;

/** The commands of our own: each loads what it needs, and nothing else. `exec` is begun before these. */
const COMMANDS: Readonly<Record<string, Command>> = {
	explain: async (args) =>
		(await (await import('./bundled.ts')).explainModule()).explainCommand(args),
	decrypt: async (args) => (await import('./decrypt-command.ts')).decryptCommand(args),
	lookup: async (args) => (await import('./lookup-command.ts')).lookupCommand(args),
	prove: async (args) => (await import('./prove-command.ts')).proveCommand(args),
	diff: async (args) => (await import('./diff-command.ts')).diffCommand(args),
	lint: async (args) => (await import('./lint-command.ts')).lintCommand(args),
	daemon: async (args) => (await import('./daemon-command.ts')).daemonCommand(args),
	save: async (args) => (await import('./save-command.ts')).saveCommand(args),
	load: async (args) => (await import('./load-command.ts')).loadCommand(args),
	stat: async (args) => (await import('./stat-command.ts')).statCommand(args),
	top: async (args) => (await import('./top-command.ts')).topCommand(args),
	doctor: async (args) => (await import('./doctor-command.ts')).doctorCommand(args),
	demo: async (args) => (await import('./demo.ts')).demoCommand(args),
	completion: async (args) => (await import('./completion.ts')).completionCommand(args),
	help: async ([command]) => (await import('./help.ts')).printHelp(command),
	version: async () => (await import('./version.ts')).printVersion(),
};

/** What programs call commands as well. */
const ALIASES: Readonly<Record<string, string>> = {
	'--help': 'help',
	'-h': 'help',
	'--version': 'version',
	'-V': 'version',
};

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
	const isObject =
		!Object.hasOwn(COMMANDS, object) && names.some((name) => name.startsWith(object));
	return object !== '' && isObject && !args.includes('--help');
}

async function dispatch(args: readonly string[]): Promise<number> {
	const [command = 'help', ...rest] = args;
	if (speaksIp(args)) {
		const { ipModule } = await import('./bundled.ts');
		return (await ipModule()).ipCommand(args);
	}
	if (rest.includes('--help') || rest.includes('-h')) {
		const { printHelp } = await import('./help.ts');
		return printHelp(command);
	}
	const name = ALIASES[command] ?? command;
	const run = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
	if (run === undefined) {
		const { commandList } = await import('./help.ts');
		throw new UsageError(`found "${command}", expected a command: ${commandList()}`);
	}
	return run(rest);
}
