/** Reads what `xfrm explain` is asked about: rule and host files into the world, packets from arguments. */
import { existsSync, readFileSync } from 'node:fs';
import {
	type CommandOutcome,
	type Explainer,
	InputError,
	looksLikeFlow,
	makePacket,
	type PacketOptions,
	parseFlow,
	parseHostLine,
	refusalText,
	type Secrets,
	splitWords,
} from '@xfrm/explain';
import {
	newestTime,
	type Problem,
	parseRulesFile,
	type RulesFileContext,
	type RulesStep,
} from '@xfrm/iproute';
import { formatHex, isLinkPayload, linkPayload, openCapture, parseHex } from '@xfrm/wire';
import { errnoName } from '@xfrm/wire/xfrm';
import { timeZone, utcOffsetSeconds } from './time-zone.ts';
import { UsageError } from './usage.ts';

/** A rule that Linux would refuse; the others were carried out. */
export interface RefusedRule {
	readonly file: string;
	readonly line: number;
	readonly text: string;
}

/** The octets of a file; `-` is stdin. */
export function readBytes(path: string): Uint8Array {
	try {
		return readFileSync(path === '-' ? 0 : path);
	} catch (error) {
		const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
		const why = code === 'ENOENT' ? 'no such file' : code;
		throw new UsageError(`${path}: ${why}`);
	}
}

function nameOf(path: string): string {
	return path === '-' ? '(stdin)' : path;
}

/** Reads a file of host commands or their output. */
export function loadHost(explainer: Explainer, path: string): void {
	loadHostText(explainer, new TextDecoder().decode(readBytes(path)), nameOf(path));
}

/** Applies host lines; the first bad one ends it. */
export function loadHostText(explainer: Explainer, text: string, file: string): void {
	const context = { device: undefined };
	for (const [i, line] of text.split('\n').entries()) {
		const place = { file, line: i + 1 };
		try {
			for (const command of parseHostLine(splitWords(line), context)) {
				const refusal = explainer.configure(command);
				if (refusal !== undefined) {
					const what = `${errnoName(refusal.errno)}: ${refusalText(refusal)}`;
					throw new UsageError(`${file}:${i + 1}: ${what}`);
				}
			}
		} catch (error) {
			throw error instanceof InputError ? error.at(place) : error;
		}
	}
}

/** A file of rules: its name for messages, its text, and which host of a dump of several is meant. */
export interface RulesText {
	readonly file: string;
	readonly text: string;
	readonly host: string | undefined;
}

/** Reads a file of rules; `FILE#HOST` names a host of a dump that holds several. */
export function readRules(path: string): RulesText {
	const at = existsSync(path) ? -1 : path.lastIndexOf('#');
	const [file, host] = at < 0 ? [path, undefined] : [path.slice(0, at), path.slice(at + 1)];
	return { file: nameOf(file), text: new TextDecoder().decode(readBytes(file)), host };
}

/** A line with a key in it names the algorithm first. */
const KEYED = /\b(?:enc|auth|aead|comp)/;

/** Dumps and JSON tell times, commands none: reading a large file twice takes its time. */
const TELLS_TIME = /lifetime|lastused|^\s*[[{]/;

/** The newest time (Unix seconds) that the rules tell of, undefined when they tell none. */
export function newestTimeOf(rules: readonly RulesText[]): number | undefined {
	const times = rules.map(({ text, host }) => {
		if (!TELLS_TIME.test(text)) {
			return 0;
		}
		// Only times are looked for: any interface will do.
		const context = { interfaceIndex: () => 1, utcOffsetSeconds };
		const { steps } = parseRulesFile(text, host === undefined ? context : { ...context, host });
		return steps === undefined ? 0 : (newestTime(steps) ?? 0);
	});
	const newest = Math.max(0, ...times);
	return newest === 0 ? undefined : newest;
}

/**
 * Carries a file of rules out, after all of it was read.
 *
 * @param note is told each step before it is carried out
 * @returns the rules that Linux would refuse
 * @throws InputError for a line that cannot be read; nothing of the file was applied then
 */
export function loadRules(
	explainer: Explainer,
	rules: RulesText,
	secrets: Secrets,
	note: (file: string, step: RulesStep) => void = () => undefined,
): readonly RefusedRule[] {
	const { file, text, host } = rules;
	learnKeys(text, secrets);
	const context: RulesFileContext = {
		...explainer.world.context,
		utcOffsetSeconds,
		// Finding its name takes long, and only texts with times ask for it.
		...(TELLS_TIME.test(text) ? { timeZone: timeZone() } : {}),
		...(host === undefined ? {} : { host }),
	};
	const parsed = parseRulesFile(text, context);
	if (parsed.steps === undefined) {
		throw unreadable(parsed.problem, file, secrets);
	}
	for (const assumed of parsed.assumed) {
		explainer.assume(assumed);
	}
	return parsed.steps.flatMap((step) => {
		note(file, step);
		return carryOut(explainer, step, file, secrets);
	});
}

/** Takes note of the keys of a file of rules before it is read: what is said of a bad line may quote one. */
export function learnKeys(text: string, secrets: Secrets): void {
	for (const line of text.split('\n').filter((one) => KEYED.test(one))) {
		secrets.learn(
			line
				.trim()
				.split(/\s+/)
				.map((word) => word.replace(/^['"]|['"]$/g, '')),
		);
	}
}

/** Why a file of rules cannot be read; what stands in the wrong place may be a key, and is hidden. */
export function unreadable(problem: Problem, file: string, secrets: Secrets): InputError {
	const { line, column, message, expected } = problem;
	for (const [digits] of problem.found.matchAll(/(0x)?[0-9a-f]{16,}/gi)) {
		// What stands in the wrong place may be a key.
		secrets.learn(['enc', '', digits]);
	}
	const word = problem.found === '' ? 'the end of the line' : `"${problem.found}"`;
	// What ip itself would say, unless it only repeats the word.
	const said = problem.found !== '' && message.includes(problem.found) ? '' : ` (${message})`;
	return new InputError({ file, line, column, found: `${word}${said}`, expected });
}

function carryOut(
	explainer: Explainer,
	step: RulesStep,
	file: string,
	secrets: Secrets,
): RefusedRule[] {
	const { line } = step;
	if (step.kind === 'command') {
		return refusedBy(explainer.carryOut(step.command), file, line);
	}
	for (const { value } of step.message.attributes) {
		const key = typeof value === 'object' && 'keyBits' in value ? value.key : new Uint8Array(0);
		// A hidden key is zeros, which occur everywhere.
		if (key.some((octet) => octet !== 0)) {
			secrets.learn(['enc', '', `0x${formatHex(key)}`]);
		}
	}
	const { outcome, note } = explainer.load(step);
	if (note !== undefined) {
		explainer.assume(`${file}:${line} is left out: ${note}`);
	}
	return refusedBy(outcome, file, line);
}

function refusedBy(outcome: CommandOutcome, file: string, line: number): RefusedRule[] {
	const { status, errno, stderr } = outcome;
	if (status === 0) {
		return [];
	}
	const why = [errno === 0 ? '' : errnoName(errno), stderr].filter((part) => part !== '');
	return [{ file, line, text: why.join(': ') }];
}

/** A packet to ask about, or the sentence why there is none. */
export type Asked =
	| { readonly packet: Uint8Array; readonly options: PacketOptions; readonly note?: undefined }
	| {
			readonly note: string;
			readonly packet?: undefined;
			/** It stands for a packet of the capture, which is passed over. */
			readonly isPacket?: true;
	  };

/**
 * The packets that an argument stands for, in order.
 *
 * @throws InputError or UsageError behind the last one that could be read
 */
export function* packetsOf(text: string, options: PacketOptions): Generator<Asked> {
	if (text.startsWith('@')) {
		yield* capturePackets(text.slice(1), options);
		return;
	}
	const words = splitWords(text);
	if (looksLikeFlow(words)) {
		const { direction, mark, ifId, device, ...flow } = parseFlow(words);
		yield {
			packet: makePacket(flow),
			options: {
				...options,
				...(direction === undefined ? {} : { direction }),
				...(mark === undefined ? {} : { mark }),
				...(ifId === undefined ? {} : { ifId }),
				...(device === undefined ? {} : { device }),
			},
		};
		return;
	}
	yield { packet: hexPacket(text), options };
}

/** How many packets an argument stands for, undefined where only reading on tells: a capture on stdin. */
export function packetCount(text: string): number | undefined {
	if (!text.startsWith('@')) {
		return 1;
	}
	if (text === '@-') {
		return undefined;
	}
	const reader = openCapture(readBytes(text.slice(1)));
	let count = 0;
	while (reader.next() !== undefined) {
		count++;
	}
	return count;
}

function* capturePackets(path: string, options: PacketOptions): Generator<Asked> {
	const file = nameOf(path);
	const reader = openCapture(readBytes(path));
	for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
		const found = linkPayload(frame.linkType, frame.data);
		if (!isLinkPayload(found)) {
			const note = `${file}: packet ${frame.number} is passed over: ${found.reason}`;
			yield { note, isPacket: true };
			continue;
		}
		const packet = frame.data.slice(found.at, found.end);
		const fault = headerFault(packet);
		if (fault === undefined) {
			yield { packet, options };
		} else {
			const note = `${file}: packet ${frame.number} is passed over: ${fault}`;
			yield { note, isPacket: true };
		}
	}
	if (reader.skippedBlocks > 0) {
		yield { note: `${file}: ${reader.skippedBlocks} damaged blocks were skipped` };
	}
	if (reader.error !== undefined) {
		throw new UsageError(`${file}: ${reader.error.message}`);
	}
	if (reader.skippedBlocks > 0) {
		throw new UsageError(`${file}: the capture is damaged`);
	}
}

/** An IP packet from hex text. */
/** Of what is no packet so many letters are told. */
const FOUND_MAX = 40;

function hexPacket(text: string): Uint8Array {
	const bytes = parseHex(text);
	if (!(bytes instanceof Uint8Array) && /[.:> ]/.test(text.trim())) {
		throw new InputError({
			column: 1,
			found: `"${text.slice(0, FOUND_MAX)}"`,
			expected:
				"a packet in hex, @FILE of a capture, or a flow as in 'src 10.1.0.5 dst 10.2.0.9 proto icmp'",
		});
	}
	if (!(bytes instanceof Uint8Array)) {
		throw new InputError({
			column: bytes.at + 1,
			found: `"${bytes.found}" in a packet`,
			expected: bytes.expected,
		});
	}
	const fault = headerFault(bytes) ?? lengthFault(bytes);
	if (fault !== undefined) {
		throw new UsageError(`a packet: ${fault}`);
	}
	return bytes;
}

/** Why these octets do not begin with a whole IP header. */
function headerFault(packet: Uint8Array): string | undefined {
	const version = (packet[0] ?? 0) >> 4;
	if (packet.length === 0) {
		return 'byte 0: found nothing, expected an IP header';
	}
	if (version !== 4 && version !== 6) {
		return `byte 0: found IP version ${version}, expected 4 or 6`;
	}
	const words = (packet[0] ?? 0) & 15;
	if (version === 4 && words < 5) {
		return `byte 0: found a header length of ${words * 4} bytes, expected at least 20`;
	}
	const header = version === 4 ? words * 4 : 40;
	if (packet.length < header) {
		return `byte ${packet.length}: found the end, expected an IPv${version} header of ${header} bytes`;
	}
	return undefined;
}

/** Why the packet is not as long as its header says; octets behind its end are cut off by any host. */
function lengthFault(packet: Uint8Array): string | undefined {
	const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
	const v4 = (packet[0] ?? 0) >> 4 === 4;
	const said = v4 ? view.getUint16(2) : 40 + view.getUint16(4);
	if (said > packet.length) {
		const at = v4 ? 2 : 4;
		return `byte ${at}: found a length of ${said} bytes in the IP header, expected at most the ${packet.length} given`;
	}
	return undefined;
}
