/**
 * JSON as rules: a snapshot, one state or policy, or lines of `xfrm --json state list` and `policy list`;
 * what is wrong is named by line, column, path in the document and the schema's rule.
 */
import type { Command, CommandContext } from './command.ts';
import type { DumpedObject } from './dump-object.ts';
import { readPolicyJson, readStateJson, WrongValue } from './json-read.ts';
import { SchemaChecker } from './json-schema.ts';
import { SCHEMAS } from './json-schemas.ts';
import { type JsonDocument, type JsonValue, readJsonValues } from './json-text.ts';
import { parseCommand } from './parse-command.ts';
import { type Problem, Unreadable } from './problem.ts';

/** What a document holds: objects newest first as written, and the default policies as a command. */
export interface JsonRules {
	readonly objects: readonly DumpedObject[];
	readonly commands: readonly {
		readonly line: number;
		readonly text: string;
		readonly command: Command;
	}[];
}

/** Does this text begin as JSON? */
export function looksLikeJson(text: string): boolean {
	return /^[\s\ufeff]*(?:\{\s*["}]|\[\s*[{\]])/.test(text);
}

const checker = new SchemaChecker(SCHEMAS);
const OBJECTS = ['snapshot', 'state', 'policy', 'default-policies'];

function member(value: JsonValue, name: string): JsonValue | undefined {
	const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
	const members = value as Readonly<Record<string, JsonValue>>;
	return isObject && Object.hasOwn(members, name) ? members[name] : undefined;
}

function refuse(
	document: JsonDocument,
	path: string,
	found: string,
	expected: string,
	why: string,
): never {
	const word = { text: found, ...document.placeOf(path) };
	throw new Unreadable(word, expected, `${path === '' ? 'the document' : path}: ${why}`, 1);
}

class JsonRulesReader {
	readonly objects: DumpedObject[] = [];
	readonly commands: { line: number; text: string; command: Command }[] = [];
	readonly #context: CommandContext;

	constructor(context: CommandContext) {
		this.#context = context;
	}

	/** Takes a whole document. @throws Unreadable */
	take(document: JsonDocument): void {
		const kind = member(document.value, 'object');
		const file = OBJECTS.find((one) => one === kind);
		if (file === undefined) {
			const found = kind === undefined ? 'nothing' : JSON.stringify(kind);
			refuse(document, 'object', found, OBJECTS.join(', '), 'not an object of rules');
		}
		const [fault] = checker.check(document.value, `${file}.schema.json`);
		if (fault !== undefined) {
			refuse(document, fault.path, fault.found, fault.expected, `breaks ${fault.rule}`);
		}
		try {
			this.#takeObject(document, document.value, '');
		} catch (error) {
			if (error instanceof WrongValue) {
				refuse(document, error.path, error.found, error.expected, 'a value that cannot be');
			}
			throw error;
		}
	}

	#takeObject(document: JsonDocument, value: JsonValue, path: string): void {
		const { line } = document.placeOf(path);
		const place = { line, lastLine: line };
		// A document without them has not been told them, as a dump without -s.
		const statistics = member(value, 'current') !== undefined;
		switch (member(value, 'object')) {
			case 'snapshot':
				this.#takeSnapshot(document, value);
				break;
			case 'state': {
				const { message, hiddenKeys } = readStateJson(value, path, this.#context);
				const untold = { hiddenKeys, statistics };
				this.objects.push({ kind: 'state', ...place, message, untold });
				break;
			}
			case 'policy': {
				const message = readPolicyJson(value, path, this.#context);
				const untold = { hiddenKeys: [], statistics };
				this.objects.push({ kind: 'policy', ...place, message, untold });
				break;
			}
			default:
				this.#takeDefaults(value, line);
		}
	}

	#takeSnapshot(document: JsonDocument, value: JsonValue): void {
		for (const name of ['states', 'policies']) {
			const list = member(value, name);
			for (const [i, one] of (Array.isArray(list) ? list : []).entries()) {
				this.#takeObject(document, one, `${name}[${i}]`);
			}
		}
		const defaults = member(value, 'default_policies');
		if (defaults !== undefined) {
			this.#takeDefaults(defaults, document.placeOf('default_policies').line);
		}
	}

	#takeDefaults(value: JsonValue, line: number): void {
		const words = ['in', 'fwd', 'out'].flatMap((direction) => {
			const action = member(value, direction);
			return action === 'block' || action === 'accept' ? [direction, action] : [];
		});
		const text = `policy setdefault ${words.join(' ')}`;
		const { command } = parseCommand(text, { ...this.#context, line });
		if (command !== undefined && words.length > 0) {
			this.commands.push({ line, text, command });
		}
	}
}

/** Reads all documents of a text. */
export function parseJsonRules(
	text: string,
	context: CommandContext,
): JsonRules | { readonly problem: Problem } {
	const reader = new JsonRulesReader(context);
	try {
		for (const document of readJsonValues(text)) {
			reader.take(document);
		}
		const { objects, commands } = reader;
		return { objects, commands };
	} catch (error) {
		if (error instanceof Unreadable) {
			return { problem: error.problem };
		}
		throw error;
	}
}
