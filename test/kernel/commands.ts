/**
 * `ip` commands as datagrams for a guest, and what `ip` would have said of the answers: the host reads the
 * commands and words the answers by our own packages, so that the guest runs no program.
 *
 * Commands of one family that ask once stand in one datagram, told apart by their sequence numbers; an
 * acknowledgement is not asked for, so that only refusals come back. `deleteall` asks on as answers come:
 * a dialogue.
 */
import { parseHostLine, splitWords } from '@xfrm/explain';
import {
	type Command,
	type CommandContext,
	parseCommand,
	runCommand,
	runCommandAsync,
} from '@xfrm/iproute/commands';
import { joinMessages, MessageFlag, parseAck, type RawMessage, splitMessages } from '@xfrm/netlink';
import { formatHex } from '@xfrm/wire';
import { errnoText } from '@xfrm/wire/xfrm';
import { bytesOf } from '../golden/laboratory.ts';
import { encodeHostCommand } from './rtnetlink.ts';

export const NETLINK_ROUTE = 0;
export const NETLINK_XFRM = 6;

/** A datagram for a family of netlink, or (null) a dialogue. */
export type Request = readonly [family: number, datagram: string | null];

/** Sends a datagram in a dialogue and gives all that came back. */
export type Dialogue = (datagram: Uint8Array) => Promise<readonly Uint8Array[]>;

/** Numbers of devices by name: `lan`, `wan`, and others as they are made. */
export class DeviceNumbers {
	readonly #numbers: Map<string, number> = new Map([['lo', 1]]);
	#next: number;

	/** @param first number of `lan`: some modules come with devices of their own in front */
	constructor(first: number = 2) {
		this.#numbers.set('lan', first).set('wan', first + 1);
		this.#next = first + 2;
	}

	/** 0 for a name that was not made. */
	of(name: string): number {
		return this.#numbers.get(name) ?? 0;
	}

	make(name: string): void {
		this.#numbers.set(name, this.#next++);
	}
}

/** One command: what is sent for it, what was wrong with it before anything was sent. */
interface Planned {
	readonly family: number;
	readonly requests: readonly Uint8Array[];
	readonly command?: Command;
	readonly refusal?: string;
}

/** A list of commands that are carried out one after the other. */
export class CommandList {
	readonly requests: readonly Request[];
	/** Commands that have a dialogue, in order. */
	readonly dialogues: readonly Command[];
	/** Does it add IPv6 addresses, which take a while? */
	readonly hasAddresses: boolean;
	readonly #planned: readonly Planned[];
	readonly #context: CommandContext;
	readonly #said: Map<Command, string> = new Map();

	constructor(commands: readonly string[], devices: DeviceNumbers) {
		this.#context = { interfaceIndex: (name) => devices.of(name), release: '6.1' };
		this.#planned = commands.map((command) => this.#plan(command, devices));
		this.hasAddresses = commands.some((command) => /\baddr\w* add \S*:/.test(command));
		const requests: [number, Uint8Array[] | null][] = [];
		const dialogues: Command[] = [];
		for (const [i, { family, requests: own, command }] of this.#planned.entries()) {
			if (command?.plan.kind === 'deleteall') {
				dialogues.push(command);
				requests.push([family, null]);
				continue;
			}
			const numbered = own.map((request) => withSequence(request, i + 1));
			const last = requests.at(-1);
			// Each of XFRM by itself, as `ip` sends them: tables grow between two system calls (spec S-20).
			if (family === NETLINK_ROUTE && last?.[0] === family && last[1] !== null) {
				last[1].push(...numbered);
			} else if (numbered.length > 0) {
				requests.push([family, numbered]);
			}
		}
		this.dialogues = dialogues;
		this.requests = requests.map(([family, list]) => [
			family,
			list === null ? null : formatHex(joinMessages(list)),
		]);
	}

	#plan(text: string, devices: DeviceNumbers): Planned {
		const words = splitWords(text);
		const [first] = words.filter((word) => word.text !== 'ip' && !word.text.startsWith('-'));
		if (first?.text === 'xfrm') {
			const { command, problem } = parseCommand(text, this.#context);
			return command === undefined
				? { family: NETLINK_XFRM, requests: [], refusal: problem.message }
				: { family: NETLINK_XFRM, requests: command.requests, command };
		}
		const requests: Uint8Array[] = [];
		for (const part of parseHostLine(words, { device: undefined })) {
			const request = encodeHostCommand(part, (name) => devices.of(name));
			if (request !== undefined) {
				requests.push(request);
			}
			if (part.object === 'link' && part.verb === 'add') {
				devices.make(part.device);
			}
			if (part.object === 'link' && part.refusal !== undefined) {
				return { family: NETLINK_ROUTE, requests: [], refusal: part.refusal };
			}
		}
		return { family: NETLINK_ROUTE, requests };
	}

	/** Carries a dialogue out. */
	async talk(command: Command, dialogue: Dialogue): Promise<void> {
		const result = await runCommandAsync(command, dialogue, this.#context);
		if (result.status !== 0) {
			this.#said.set(command, result.stderr.trimEnd());
		}
	}

	/** What `ip` says of refused commands, by their place in the list. */
	errors(answers: readonly (readonly string[])[]): Record<string, string> {
		const bySequence = new Map<number, RawMessage[]>();
		for (const raw of answers.flat().flatMap((hex) => splitMessages(bytesOf(hex)))) {
			bySequence.set(raw.seq, [...(bySequence.get(raw.seq) ?? []), raw]);
		}
		const errors: Record<string, string> = {};
		for (const [i, planned] of this.#planned.entries()) {
			const text = this.#sentence(planned, bySequence.get(i + 1) ?? []);
			if (text !== undefined) {
				errors[i] = text.split('\n').join(' ');
			}
		}
		return errors;
	}

	#sentence(planned: Planned, answers: readonly RawMessage[]): string | undefined {
		const { refusal, command, family } = planned;
		if (refusal !== undefined) {
			return refusal.trimEnd();
		}
		if (command?.plan.kind === 'deleteall') {
			return this.#said.get(command);
		}
		if (family === NETLINK_ROUTE) {
			const ack = answers.map(parseAck).find((one) => one !== undefined && one.errno !== 0);
			const message = ack?.extended.message;
			return ack === undefined
				? undefined
				: message === undefined
					? `RTNETLINK answers: ${errnoText(ack.errno)}`
					: `Error: ${message}${message.endsWith('.') ? '' : '.'}`;
		}
		if (command === undefined) {
			return undefined;
		}
		const result = runCommand(command, () => answers.map((raw) => raw.bytes), this.#context);
		return result.status === 0 ? undefined : result.stderr.trimEnd();
	}
}

/** The request under another number, without the wish to be acknowledged. */
function withSequence(request: Uint8Array, sequence: number): Uint8Array {
	const copy = request.slice();
	const view = new DataView(copy.buffer);
	view.setUint16(6, view.getUint16(6, true) & ~MessageFlag.Ack, true);
	view.setUint32(8, sequence, true);
	return copy;
}
