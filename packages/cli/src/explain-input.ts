/** Reads what `xfrm explain` is asked about: rule and host files into the world, packets from arguments. */
import { readFileSync } from 'node:fs';
import {
	applyHostCommand,
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
import { parseRules } from '@xfrm/iproute';
import { isLinkPayload, linkPayload, openCapture, parseHex } from '@xfrm/wire';
import { errnoName } from '@xfrm/wire/xfrm';
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
				const refusal = applyHostCommand(explainer.world.host, command);
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

/** How the output of `ip xfrm state` or `policy` begins: no command begins so. */
const DUMP = /^(src\s+\S+\s+dst\s+\S+|(Deleted|Updated|Expired)\s+src\s)/;

/**
 * Carries a file of rules out, after all of it was read.
 *
 * @returns the rules that Linux would refuse
 * @throws InputError for a line that cannot be read; nothing of the file was applied then
 */
export function loadRules(
	explainer: Explainer,
	path: string,
	secrets: Secrets,
): readonly RefusedRule[] {
	const file = nameOf(path);
	const text = new TextDecoder().decode(readBytes(path));
	refuseDump(text, file);
	for (const line of text.split('\n')) {
		secrets.learn(
			line
				.trim()
				.split(/\s+/)
				.map((word) => word.replace(/^['"]|['"]$/g, '')),
		);
	}
	const { items, problem } = parseRules(text, explainer.world.context);
	if (items === undefined) {
		const { line, column, message, expected } = problem;
		const word = problem.found === '' ? 'the end of the line' : `"${problem.found}"`;
		// What ip itself would say, unless it only repeats the word.
		const said = problem.found !== '' && message.includes(problem.found) ? '' : ` (${message})`;
		throw new InputError({ file, line, column, found: `${word}${said}`, expected });
	}
	const refused: RefusedRule[] = [];
	for (const item of items) {
		const { status, errno, stderr } = explainer.carryOut(item.command);
		if (status !== 0) {
			const why = [errno === 0 ? '' : errnoName(errno), stderr].filter((part) => part !== '');
			refused.push({ file, line: item.line, text: why.join(': ') });
		}
	}
	return refused;
}

/** Dumps and snapshots as rules have their own issue: say so instead of complaining of a word. */
function refuseDump(text: string, file: string): void {
	const lines = text.split('\n');
	const at = lines.findIndex((line) => line.trim() !== '' && !line.trim().startsWith('#'));
	const first = lines[at]?.trim() ?? '';
	const isSnapshot = first.startsWith('{') || first.startsWith('[');
	if (DUMP.test(first) || isSnapshot) {
		throw new InputError({
			file,
			line: at + 1,
			column: 1,
			found: isSnapshot
				? 'what looks like a JSON snapshot'
				: 'what looks like dump output of `ip xfrm state` or `ip xfrm policy`',
			expected: '`ip xfrm` commands, one a line: --rules reads no dumps and snapshots yet',
		});
	}
}

/** A packet to ask about, or the sentence why there is none. */
export type Asked =
	| { readonly packet: Uint8Array; readonly options: PacketOptions; readonly note?: undefined }
	| { readonly note: string; readonly packet?: undefined };

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

function* capturePackets(path: string, options: PacketOptions): Generator<Asked> {
	const file = nameOf(path);
	const reader = openCapture(readBytes(path));
	for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
		const found = linkPayload(frame.linkType, frame.data);
		if (!isLinkPayload(found)) {
			yield { note: `${file}: packet ${frame.number} is passed over: ${found.reason}` };
			continue;
		}
		const packet = frame.data.slice(found.at, found.end);
		const fault = headerFault(packet);
		if (fault === undefined) {
			yield { packet, options };
		} else {
			yield { note: `${file}: packet ${frame.number} is passed over: ${fault}` };
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
function hexPacket(text: string): Uint8Array {
	const bytes = parseHex(text);
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
