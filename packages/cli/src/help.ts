/** `xfrm help`: prints help for a command or a reason's code, or the overview. */
import { HELP } from './help-texts.ts';
import { UsageError } from './usage.ts';

/** Names of `ip` that stand for a command. */
const ALIASES: Readonly<Record<string, string>> = { sa: 'state' };

/** The commands, as a sentence lists them. */
export function commandList(): string {
	return Object.keys(HELP).join(', ');
}

/** Prints help for a command or a reason's code, or the overview. */
export async function printHelp(command: string | undefined): Promise<number> {
	const asked = command === undefined || command.startsWith('-') ? 'help' : command;
	const name = ALIASES[asked] ?? asked;
	const text = Object.hasOwn(HELP, name) ? HELP[name] : undefined;
	if (text === undefined && asked.includes('.')) {
		const { reasonHelp } = await import('./reason-help.ts');
		process.stdout.write(`${reasonHelp(asked)}\n`);
		return 0;
	}
	if (text === undefined) {
		throw new UsageError(`found "${command}", expected a command: ${commandList()}`);
	}
	process.stdout.write(`${text}\n`);
	return 0;
}
