/** `xfrm completion bash|zsh|fish`: a script for the shell, from the table that `xfrm help` prints. */
import { HELP } from './help-texts.ts';
import { UsageError } from './usage.ts';

/** A command with its options, in the order of its help. */
export interface Completed {
	readonly name: string;
	readonly options: readonly string[];
}

/** Long options that a text of help names. */
function optionsOf(text: string): readonly string[] {
	const [described = ''] = text.split(/\nExamples?\b/);
	return [...new Set(described.match(/(?<![\w-])--[a-z][a-z-]*/g) ?? [])];
}

/** Every command with the options that its help names. */
export function completedCommands(): readonly Completed[] {
	return Object.entries(HELP).map(([name, text]) => ({
		name,
		options: name === 'help' ? [] : [...optionsOf(text), '--help'],
	}));
}

const FILE_OPTIONS = '--rules|--host|--peer-rules|--peer-host|--batch|--nft|-o';

function bash(commands: readonly Completed[]): string {
	const cases = commands
		.filter(({ options }) => options.length > 0)
		.map(({ name, options }) => `\t${name}) words="${options.join(' ')}" ;;`);
	return `# bash completion of xfrm: source <(xfrm completion bash)
_xfrm() {
	local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" words=""
	if [ "$COMP_CWORD" = 1 ]; then
		COMPREPLY=($(compgen -W "${commands.map(({ name }) => name).join(' ')}" -- "$word"))
		return
	fi
	case "$before" in
	${FILE_OPTIONS}) COMPREPLY=($(compgen -f -- "$word")); return ;;
	help) COMPREPLY=($(compgen -W "${commands.map(({ name }) => name).join(' ')}" -- "$word")); return ;;
	esac
	case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
	esac
	case "$word" in
	-*) COMPREPLY=($(compgen -W "$words" -- "$word")) ;;
	*) COMPREPLY=($(compgen -f -- "$word")) ;;
	esac
}
complete -o filenames -F _xfrm xfrm
`;
}

function zsh(commands: readonly Completed[]): string {
	const cases = commands
		.filter(({ options }) => options.length > 0)
		.map(({ name, options }) => `\t${name}) compadd -- ${options.join(' ')} ;;`);
	return `#compdef xfrm
# zsh completion of xfrm: xfrm completion zsh > "\${fpath[1]}/_xfrm"
if (( CURRENT == 2 )); then
	compadd -- ${commands.map(({ name }) => name).join(' ')}
elif [[ "\${words[CURRENT]}" == -* ]]; then
	case "\${words[2]}" in
${cases.join('\n')}
	esac
else
	_files
fi
`;
}

function fish(commands: readonly Completed[]): string {
	const names = commands.map(({ name }) => name).join(' ');
	const lines = commands.flatMap(({ name, options }) =>
		options.map(
			(option) => `complete -c xfrm -n '__fish_seen_subcommand_from ${name}' -l ${option.slice(2)}`,
		),
	);
	return `# fish completion of xfrm: xfrm completion fish | source
complete -c xfrm -n __fish_use_subcommand -f -a '${names}'
${lines.join('\n')}
`;
}

const SHELLS: Readonly<Record<string, (commands: readonly Completed[]) => string>> = {
	bash,
	zsh,
	fish,
};

/** Prints the script for a shell; the exit status. */
export function completionCommand(args: readonly string[]): number {
	const [shell = ''] = args;
	const script = Object.hasOwn(SHELLS, shell) ? SHELLS[shell] : undefined;
	if (script === undefined) {
		throw new UsageError(`found "${shell}", expected a shell: ${Object.keys(SHELLS).join(', ')}`);
	}
	process.stdout.write(script(completedCommands()));
	return 0;
}
