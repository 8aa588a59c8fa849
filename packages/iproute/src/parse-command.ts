/**
 * Reads one command of `ip xfrm`: `ip`'s options, the object, the action (both may be abbreviated), then
 * what that action's grammar says (spec 5.1; iproute2's ip/ip.c, ip/ipxfrm.c).
 */
import { encodeMessage } from '@xfrm/netlink';
import { Family } from '@xfrm/wire/xfrm';
import type { Command, CommandContext, ParsedCommand, PrintOptions } from './command.ts';
import { helpText } from './help.ts';
import { splitWords } from './lexer.ts';
import { readPolicyMigrate, readStateMigrate } from './migrate-grammar.ts';
import { readMonitor } from './monitor-grammar.ts';
import {
	readCountPolicies,
	readFlushPolicies,
	readGetDefault,
	readGetOrDeletePolicy,
	readListOrDeleteAllPolicies,
	readSetDefault,
	readSetThresholds,
} from './policy-grammar.ts';
import { readPolicyModify } from './policy-modify.ts';
import { refuseCommand, Unreadable, type Word, wrongArgument } from './problem.ts';
import { abbreviates, Reading } from './reading.ts';
import {
	type Intent,
	readAllocSpi,
	readCountStates,
	readFlushStates,
	readGetOrDelete,
	readListOrDeleteAll,
} from './state-grammar.ts';
import { readStateModify } from './state-modify.ts';
import { WordCursor } from './word-cursor.ts';

/** An action: its keyword, other keywords for it, and its grammar, in the order in which abbreviations are tried. */
interface Action {
	readonly name: string;
	readonly aliases?: readonly string[];
	readonly read: (reading: Reading) => Intent;
	/** Not ip's: only whole, so that no abbreviation of ip's changes its meaning; not with 6.1's grammar. */
	readonly ours?: true;
}

const STATE_ACTIONS: readonly Action[] = [
	{ name: 'add', read: (reading) => readStateModify(reading, 'newsa') },
	{ name: 'update', read: (reading) => readStateModify(reading, 'updsa') },
	{ name: 'allocspi', read: readAllocSpi },
	{ name: 'delete', read: (reading) => readGetOrDelete(reading, 'delete') },
	{
		name: 'deleteall',
		aliases: ['delall'],
		read: (reading) => readListOrDeleteAll(reading, 'deleteall'),
	},
	{
		name: 'list',
		aliases: ['show', 'lst'],
		read: (reading) => readListOrDeleteAll(reading, 'list'),
	},
	{ name: 'get', read: (reading) => readGetOrDelete(reading, 'get') },
	{ name: 'flush', read: readFlushStates },
	{ name: 'count', read: readCountStates },
	{ name: 'migrate-state', ours: true, read: readStateMigrate },
	{ name: 'help', read: () => help('state') },
];

const POLICY_ACTIONS: readonly Action[] = [
	{ name: 'add', read: (reading) => readPolicyModify(reading, 'newpolicy') },
	{ name: 'update', read: (reading) => readPolicyModify(reading, 'updpolicy') },
	{ name: 'delete', read: (reading) => readGetOrDeletePolicy(reading, 'delete') },
	{
		name: 'deleteall',
		aliases: ['delall'],
		read: (reading) => readListOrDeleteAllPolicies(reading, 'deleteall'),
	},
	{
		name: 'list',
		aliases: ['show', 'lst'],
		read: (reading) => readListOrDeleteAllPolicies(reading, 'list'),
	},
	{ name: 'get', read: (reading) => readGetOrDeletePolicy(reading, 'get') },
	{ name: 'flush', read: readFlushPolicies },
	{ name: 'count', read: readCountPolicies },
	{ name: 'set', read: readSetThresholds },
	{ name: 'setdefault', read: readSetDefault },
	{ name: 'getdefault', read: readGetDefault },
	{ name: 'migrate', ours: true, read: readPolicyMigrate },
	{ name: 'help', read: () => help('policy') },
];

function help(topic: 'xfrm' | 'state' | 'policy' | 'monitor'): Intent {
	return { messages: [], plan: { kind: 'help', text: helpText(topic) } };
}

/** `ip`'s options as far as `ip xfrm` has any use for them; the others change nothing. */
interface Options {
	stats: number;
	oneline: boolean;
	timestamp: boolean;
	shortTimestamp: boolean;
	family: number;
}

const FAMILIES: Readonly<Record<string, number>> = { inet: Family.Ipv4, inet6: Family.Ipv6 };

/** Options without a value that change nothing for XFRM. */
const SILENT_OPTIONS = [
	'-human-readable',
	'-iec',
	'-details',
	'-resolve',
	'-force',
	'-brief',
	'-json',
	'-pretty',
	'-color',
	'-Numeric',
	'-all',
	'-echo',
];

function readOption(cursor: WordCursor, options: Options): void {
	const { word } = cursor;
	const option = word.text.startsWith('--') ? word.text.slice(1) : word.text;
	if (abbreviates(option, '-family')) {
		const { word: value } = cursor.next('inet or inet6');
		options.family =
			FAMILIES[value.text] ?? wrongArgument(value, 'invalid protocol family', 'inet or inet6');
	} else if (option === '-4' || option === '-6') {
		options.family = option === '-4' ? Family.Ipv4 : Family.Ipv6;
	} else if (abbreviates(option, '-stats') || abbreviates(option, '-statistics')) {
		options.stats++;
	} else if (abbreviates(option, '-oneline')) {
		options.oneline = true;
	} else if (abbreviates(option, '-timestamp')) {
		options.timestamp = true;
	} else if (abbreviates(option, '-tshort')) {
		options.timestamp = true;
		options.shortTimestamp = true;
	} else if (!SILENT_OPTIONS.some((silent) => abbreviates(option.split('=')[0] ?? '', silent))) {
		const message = `Option "${option}" is unknown, try "ip -help".`;
		refuseCommand(word, message, 'an option of ip', 255);
	}
}

/** Skips `ip`, reads its options, skips `xfrm`; the cursor then stands on the object. */
function readPreamble(cursor: WordCursor): Options {
	const options: Options = {
		stats: 0,
		oneline: false,
		timestamp: false,
		shortTimestamp: false,
		family: 0,
	};
	const hasIp = cursor.text === 'ip';
	if (hasIp) {
		cursor.pass();
	}
	for (; cursor.more && cursor.text.startsWith('-'); cursor.pass()) {
		readOption(cursor, options);
	}
	if (cursor.more && abbreviates(cursor.text, 'xfrm')) {
		cursor.pass();
	} else if (hasIp && cursor.more) {
		const message = `Object "${cursor.text}" is unknown, try "ip help".`;
		refuseCommand(cursor.word, message, 'xfrm');
	}
	return options;
}

/** Reads object, action and the rest. */
function readObject(
	reading: Reading,
): { readonly object: Command['object']; readonly action: string } & Intent {
	const { words } = reading;
	const { word, text } = words;
	words.pass();
	if (abbreviates(text, 'state') || abbreviates(text, 'sa')) {
		return { object: 'state', ...readAction(reading, 'state', STATE_ACTIONS) };
	}
	if (abbreviates(text, 'policy')) {
		return { object: 'policy', ...readAction(reading, 'policy', POLICY_ACTIONS) };
	}
	if (abbreviates(text, 'monitor')) {
		if (words.more && abbreviates(words.text, 'help')) {
			return { object: 'monitor', action: 'help', ...help('monitor') };
		}
		return { object: 'monitor', action: 'monitor', ...readMonitor(reading) };
	}
	if (abbreviates(text, 'help')) {
		return { object: 'state', action: 'help', ...help('xfrm') };
	}
	return refuseCommand(word, helpText('xfrm'), 'state, policy or monitor', 255);
}

function readAction(
	reading: Reading,
	object: 'state' | 'policy',
	actions: readonly Action[],
): { readonly action: string } & Intent {
	const { words } = reading;
	const { word, text, more } = words;
	const wanted = more ? text : 'list';
	const action = actions.find((candidate) =>
		candidate.ours === true
			? wanted === candidate.name && reading.release !== '6.1'
			: [candidate.name, ...(candidate.aliases ?? [])].some((name) => abbreviates(wanted, name)),
	);
	if (action === undefined) {
		return refuseCommand(
			word,
			`Command "${text}" is unknown, try "ip xfrm ${object} help".`,
			actions.map(({ name }) => name).join(', '),
			255,
		);
	}
	words.pass();
	return { action: action.name, ...action.read(reading) };
}

/** Gives the messages their sequence numbers. */
function encodeRequests(intent: Intent, seq: number): readonly Uint8Array[] {
	return intent.messages.map((message, i) => encodeMessage({ ...message, seq: seq + i }));
}

function wordsOf(input: string | readonly string[], line: number): Word[] {
	if (typeof input === 'string') {
		return splitWords(input, line);
	}
	let column = 1;
	return input.map((text) => {
		const word = { text, line, column };
		column += text.length + 1;
		return word;
	});
}

/**
 * Reads one command, as text with shell quotes or as words, with or without the leading words `ip` and
 * `xfrm` and options between them. What `ip` itself would refuse is a problem, with its text and status.
 *
 * @spec C-1 C-2 C-3 C-4 C-5 C-6 C-7 C-8 C-9 C-10 C-11
 */
export function parseCommand(
	input: string | readonly string[],
	context: CommandContext = {},
): ParsedCommand {
	const { release = '7.1', seq = 1, line = 1 } = context;
	try {
		const words = wordsOf(input, line);
		const cursor = new WordCursor(words);
		const options = readPreamble(cursor);
		const reading = new Reading(cursor, options.family, release, context.interfaceIndex);
		const { object, action, ...intent } = readObject(reading);
		const print: PrintOptions = {
			stats: options.stats,
			oneline: options.oneline,
			timestamp: options.timestamp,
			...(options.shortTimestamp ? { shortTimestamp: true } : {}),
			nokeys: intent.nokeys ?? false,
			family: reading.family,
		};
		return {
			command: {
				object,
				action,
				requests: encodeRequests(intent, seq),
				plan: intent.plan,
				print,
				release,
				words: words.map(({ text }) => text),
			},
		};
	} catch (error) {
		if (error instanceof Unreadable) {
			return { problem: error.problem };
		}
		throw error;
	}
}
