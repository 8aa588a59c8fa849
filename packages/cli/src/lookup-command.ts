/** `xfrm lookup`: which policies and states a flow meets, one flow or millions. */
import { parseArgs } from 'node:util';
import { FlowLookup, InputError, type LookupAnswer, lookupText } from '@xfrm/explain';
import { readLines } from './line-reader.ts';
import { askRules } from './offline-rules.ts';
import { namedTarget } from './target.ts';
import { colours } from './terminal.ts';
import { UsageError, usageErrorOf } from './usage.ts';

const OPTIONS = {
	rules: { type: 'string', multiple: true },
	kernel: { type: 'boolean' },
	daemon: { type: 'boolean' },
	batch: { type: 'string' },
	profile: { type: 'string' },
	json: { type: 'boolean' },
	strict: { type: 'boolean' },
	'no-listener': { type: 'boolean' },
	'show-keys': { type: 'boolean' },
} as const;

/** Output is written in pieces of about this many characters. */
const PIECE = 1 << 16;

/** Runs the command with the arguments behind `lookup`; the exit status. */
export async function lookupCommand(args: readonly string[]): Promise<number> {
	const { values, positionals } = argumentsOf(args);
	const flow = positionals.join(' ');
	const target = namedTarget(values);
	if (values.rules === undefined && target === undefined) {
		throw new UsageError(
			'found no rules, expected --rules FILE, --kernel or --daemon (see xfrm help lookup)',
		);
	}
	if ((flow === '') === (values.batch === undefined)) {
		throw new UsageError(
			'expected either a flow, as in "src 10.1.0.5 dst 10.2.0.9 proto udp dir out", or --batch FILE',
		);
	}
	return askRules(values, target, ({ world }, warn) => {
		const lookup = new FlowLookup(world);
		return values.batch === undefined
			? lookOne(lookup, flow, values.json === true, (ifindex) => world.deviceName(ifindex))
			: lookAll(lookup, values.batch, warn);
	});
}

function argumentsOf(args: readonly string[]) {
	try {
		return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
	} catch (error) {
		throw usageErrorOf(error, 'lookup');
	}
}

function lookOne(
	lookup: FlowLookup,
	flow: string,
	json: boolean,
	deviceName: (ifindex: number) => string | undefined,
): number {
	const answer: LookupAnswer = lookup.answer(flow);
	const text = json
		? JSON.stringify(answer)
		: lookupText(lookup.found, { colours: colours(process.stdout), deviceName }).join('\n');
	process.stdout.write(`${text}\n`);
	return answer.outcome === 'drop' || answer.outcome === 'acquire' ? 1 : 0;
}

/** A flow a line in, an object a line out, in order; what cannot be read is told on stderr. */
function lookAll(lookup: FlowLookup, path: string, warn: (text: string) => void): number {
	const file = path === '-' ? '(stdin)' : path;
	let status = 0;
	let piece = '';
	readLines(path, (text, line) => {
		if (/^\s*(?:#|$)/.test(text)) {
			return;
		}
		try {
			piece += lookup.line(text);
			piece += '\n';
		} catch (error) {
			if (!(error instanceof InputError)) {
				throw error;
			}
			warn(error.at({ file, line }).message);
			status = 2;
			return;
		}
		if (piece.length > PIECE) {
			process.stdout.write(piece);
			piece = '';
		}
	});
	process.stdout.write(piece);
	return status;
}
