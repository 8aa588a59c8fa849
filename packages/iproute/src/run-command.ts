/**
 * Carries a command out over any exchange of datagrams, and words the answers as `ip` does: what is printed,
 * what is complained of, and the exit status (spec C-11; iproute2's lib/libnetlink.c).
 */
import {
	type Ack,
	AttributeReader,
	ControlType,
	decodeMessage,
	encodeMessage,
	joinMessages,
	messageSpec,
	parseAck,
	type RawMessage,
	splitMessages,
	type XfrmAttribute,
	type XfrmMessage,
} from '@xfrm/netlink';
import { errnoText, IpProto } from '@xfrm/wire/xfrm';
import type { AsyncExchange, Command, CommandContext, CommandResult, Exchange } from './command.ts';
import { type PolicyFilter, policyMatches, type StateFilter, stateMatches } from './dump-filter.ts';
import { messageText, sourceOf } from './format-message.ts';
import { answerJson, eventJson } from './json-message.ts';
import { Layout } from './layout.ts';
import { requestOf } from './state-grammar.ts';

const SUCCESS: CommandResult = { status: 0, stdout: '', stderr: '', errno: 0 };

/** The kernel's sentence as `ip` prints it. */
function sentence(ack: Ack): string {
	const { message } = ack.extended;
	if (message === undefined || message === '') {
		return ack.errno === 0 ? '' : `RTNETLINK answers: ${errnoText(ack.errno)}\n`;
	}
	const kind = ack.errno === 0 ? 'Warning' : 'Error';
	return `${kind}: ${message}${message.endsWith('.') ? '' : '.'}\n`;
}

function refusal(ack: Ack, status: number, behind: string = ''): CommandResult {
	const { message } = ack.extended;
	const result = { status, stdout: '', stderr: sentence(ack) + behind, errno: ack.errno };
	return message === undefined ? result : { ...result, message };
}

/** All messages of all datagrams. */
function* messagesOf(datagrams: readonly Uint8Array[]): Generator<RawMessage> {
	for (const datagram of datagrams) {
		yield* splitMessages(datagram);
	}
}

/** A message of an answer as text, or as a line of JSON. */
function shown(message: XfrmMessage, layout: Layout, context: CommandContext): string {
	if (context.json !== true) {
		return messageText(message, layout);
	}
	const json = answerJson(message, { keys: layout.jsonKeys, context });
	return json === undefined ? '' : `${JSON.stringify(json)}\n`;
}

/** A request that is acknowledged, or (`answered`) answered by one message. */
function talk(
	answers: readonly Uint8Array[],
	answered: boolean,
	layout: Layout,
	context: CommandContext,
): CommandResult {
	for (const raw of messagesOf(answers)) {
		const ack = parseAck(raw);
		if (ack !== undefined) {
			return ack.errno === 0 ? { ...SUCCESS, stderr: sentence(ack) } : refusal(ack, 2);
		}
		const message = answered ? decodeMessage(raw) : undefined;
		if (message !== undefined) {
			return { ...SUCCESS, stdout: shown(message, layout, context) };
		}
	}
	return SUCCESS;
}

/** Does a member of a dump pass? */
function passes(filter: StateFilter | PolicyFilter, message: XfrmMessage): boolean {
	if (filter.object === 'state') {
		return message.name === 'newsa' && stateMatches(filter, message.body);
	}
	const type = sourceOf(message.attributes).get('policyType')?.type ?? 0;
	return message.name === 'newpolicy' && policyMatches(filter, message.body, type);
}

/** Members of a dump, and how it ended: undefined when its end is missing. */
function readDump(answers: readonly Uint8Array[]): {
	readonly members: readonly { readonly raw: RawMessage; readonly message: XfrmMessage }[];
	readonly end: Ack | undefined;
} {
	const members: { raw: RawMessage; message: XfrmMessage }[] = [];
	for (const raw of messagesOf(answers)) {
		if (raw.type === ControlType.Done || raw.type === ControlType.Error) {
			return { members, end: parseAck(raw) };
		}
		const message = decodeMessage(raw);
		if (message !== undefined) {
			members.push({ raw, message });
		}
	}
	return { members, end: undefined };
}

function list(
	answers: readonly Uint8Array[],
	filter: StateFilter | PolicyFilter,
	layout: Layout,
	context: CommandContext,
): CommandResult {
	const { members, end } = readDump(answers);
	const stdout = members
		.filter(({ message }) => passes(filter, message))
		.map(({ message }) => shown(message, layout, context))
		.join('');
	if (end !== undefined && end.errno !== 0) {
		return { ...refusal(end, 1, 'Dump terminated\n'), stdout };
	}
	return { ...SUCCESS, stdout };
}

/**
 * The mark that a deletion repeats from a dump. iproute2 copies as many octets as the attribute is long with
 * its header, so four octets of what follows it come along; the kernel does not look at them.
 */
function copiedMark(raw: RawMessage): XfrmAttribute[] {
	const spec = messageSpec(raw.type);
	if (spec === undefined) {
		return [];
	}
	for (const reader = new AttributeReader(raw.payload, spec.body.octets); reader.next(); ) {
		if (reader.type === MARK) {
			const value = new Uint8Array(reader.length + 4);
			value.set(raw.payload.subarray(reader.at, reader.at + reader.length + 4));
			return [{ name: 'unknown', type: MARK, value }];
		}
	}
	return [];
}

const MARK = 21;

/** The request that deletes a member of a dump; undefined for what cannot be deleted. */
function deletion(raw: RawMessage, message: XfrmMessage): XfrmMessage | undefined {
	if (message.name === 'newsa') {
		const { id, saddr, family } = message.body;
		if (id.proto === IpProto.Ipip || id.proto === IpProto.Ipv6) {
			return undefined;
		}
		const body = { daddr: id.daddr, spi: id.spi, proto: id.proto, family };
		const attributes: XfrmAttribute[] = [{ name: 'srcaddr', value: saddr }, ...copiedMark(raw)];
		return requestOf('delsa', 0, body, attributes);
	}
	if (message.name === 'newpolicy' && message.body.direction <= 2) {
		const { selector, index, direction } = message.body;
		const ifId = sourceOf(message.attributes).get('ifId');
		const attributes: XfrmAttribute[] = [
			...copiedMark(raw),
			...(ifId === undefined ? [] : [{ name: 'ifId', value: ifId } as const]),
		];
		return requestOf('delpolicy', 0, { selector, index, direction }, attributes);
	}
	return undefined;
}

/** Octets of requests that `ip` sends at once. */
const BATCH_OCTETS = 8192;

/** Requests as they are due, each answered by what came back; ends with what the command did. */
type Dialogue = Generator<Uint8Array, CommandResult, readonly Uint8Array[]>;

/** Dumps and deletes in turn until nothing is left that passes. @spec C-7 */
function* deleteAll(command: Command, filter: StateFilter | PolicyFilter): Dialogue {
	let seq = 1;
	for (;;) {
		const dump = filter.object === 'state' ? 'dumpsa' : 'dumppolicy';
		const flags = 0x300;
		const first = command.requests[0];
		const request =
			seq === 1 && first !== undefined
				? first
				: encodeMessage({ ...requestOf(dump, flags, {}, []), seq });
		seq++;
		const { members, end } = readDump(yield request);
		if (end !== undefined && end.errno !== 0) {
			return refusal(end, 1, 'Delete-all terminated\n');
		}
		const batch: Uint8Array[] = [];
		let octets = 0;
		for (const { raw, message } of members) {
			const wanted = passes(filter, message) ? deletion(raw, message) : undefined;
			if (wanted !== undefined && octets < BATCH_OCTETS) {
				const encoded = encodeMessage({ ...wanted, seq });
				seq++;
				octets += encoded.length;
				batch.push(encoded);
			}
		}
		if (batch.length === 0) {
			return SUCCESS;
		}
		for (const raw of messagesOf(yield joinMessages(batch))) {
			const ack = parseAck(raw);
			if (ack !== undefined && ack.errno !== 0) {
				const newline = filter.object === 'state' ? '\n' : '';
				const stderr = `Failed to send delete-all request${newline}: ${errnoText(ack.errno)}\n`;
				return { status: 1, stdout: '', stderr, errno: ack.errno };
			}
		}
	}
}

/** Sends all requests of a command, one after the other. */
function* answersTo(
	requests: readonly Uint8Array[],
): Generator<Uint8Array, readonly Uint8Array[], readonly Uint8Array[]> {
	const answers: Uint8Array[] = [];
	for (const request of requests) {
		answers.push(...(yield request));
	}
	return answers;
}

function* carryOut(command: Command, context: CommandContext): Dialogue {
	const { plan } = command;
	const layout = new Layout(command.print, command.release, context);
	switch (plan.kind) {
		case 'help':
			return { ...SUCCESS, status: 255, stderr: `${plan.text}\n` };
		case 'monitor':
			return SUCCESS;
		case 'deleteall':
			return yield* deleteAll(command, plan.filter);
		case 'list':
			return list(yield* answersTo(command.requests), plan.filter, layout, context);
		case 'acknowledged':
		case 'answered': {
			const answers = yield* answersTo(command.requests);
			return talk(answers, plan.kind === 'answered', layout, context);
		}
	}
}

/**
 * Carries a command out. `monitor` sends nothing: whoever has the events prints them by `formatMessage`.
 *
 * @spec C-7 C-11
 */
export function runCommand(
	command: Command,
	exchange: Exchange,
	context: CommandContext = {},
): CommandResult {
	const dialogue = carryOut(command, context);
	let step = dialogue.next();
	while (step.done !== true) {
		step = dialogue.next(exchange(step.value));
	}
	return step.value;
}

/** As `runCommand`, over an exchange that takes its time. Rejects with what the exchange rejects with. */
export async function runCommandAsync(
	command: Command,
	exchange: AsyncExchange,
	context: CommandContext = {},
): Promise<CommandResult> {
	const dialogue = carryOut(command, context);
	let step = dialogue.next();
	while (step.done !== true) {
		step = dialogue.next(await exchange(step.value));
	}
	return step.value;
}

/** A message as a command of these print options shows it; what `ip` does not know is told by its numbers. */
export function formatMessage(
	raw: RawMessage,
	command: Pick<Command, 'print' | 'release'>,
	context: CommandContext = {},
): string {
	const layout = new Layout(command.print, command.release, context);
	if (context.json === true) {
		const json = eventJson(raw, { keys: layout.jsonKeys, context });
		return raw.type < ControlType.Min ? '' : `${JSON.stringify(json)}\n`;
	}
	const message = decodeMessage(raw);
	const text = message === undefined ? '' : messageText(message, layout);
	if (text !== '') {
		return text;
	}
	if (raw.type < ControlType.Min) {
		return '';
	}
	const length = String(raw.bytes.length).padStart(8, '0');
	const hex = (value: number): string => value.toString(16).padStart(8, '0');
	return `Unknown message: ${length} 0x${hex(raw.type)} 0x${hex(raw.flags)}\n`;
}
