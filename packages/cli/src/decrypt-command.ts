/** `xfrm decrypt IN -o OUT --rules R`: a capture in, the capture with what was inside out, and a summary. */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import {
	Decryptor,
	InputError,
	type Opened,
	reasonTitle,
	Secrets,
	type StateRef,
} from '@xfrm/explain';
import {
	type CaptureTime,
	isLinkPayload,
	LinkType,
	linkPayload,
	openCapture,
	pcapFileHeader,
	pcapngInterface,
	pcapngPacket,
	pcapngSection,
	pcapRecord,
} from '@xfrm/wire';
import { readBytes, readRules } from './explain-input.ts';
import { hostWithRules, profileOf } from './offline-rules.ts';
import { seededRandom } from './seeded-random.ts';
import { UsageError, usageErrorOf } from './usage.ts';
import { PROFILE_DEFAULT } from './version.ts';

const OPTIONS = {
	rules: { type: 'string', multiple: true },
	output: { type: 'string', short: 'o' },
	profile: { type: 'string' },
	json: { type: 'boolean' },
} as const;

interface DecryptArguments {
	readonly input: string;
	readonly output: string;
	readonly rules: readonly string[];
	readonly profile: string;
	readonly json: boolean;
}

/** Runs the command; 0: all that was protected was opened, 1: not all of it, 2: input that cannot be read. */
export function decryptCommand(args: readonly string[]): number {
	const asked = parseDecryptArguments(args);
	const secrets = new Secrets(false);
	const warn = (text: string): void => {
		process.stderr.write(`xfrm: ${secrets.hide(text)}\n`);
	};
	try {
		const rules = asked.rules.map(readRules);
		const { explainer, refused } = hostWithRules(rules, secrets, {
			profile: profileOf(asked.profile),
		});
		for (const { file, line, text } of refused) {
			warn(`${file}:${line}: refused: ${text}`);
		}
		const run = new Run(new Decryptor(explainer, seededRandom()));
		const reader = openCapture(readBytes(asked.input));
		for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
			run.take(frame.linkType, frame.data, frame.time ?? NO_TIME);
		}
		// Everything in front of a damage is written.
		write(asked.output, run.file());
		process.stdout.write(asked.json ? `${JSON.stringify(run.summary())}\n` : run.text());
		if (reader.error !== undefined || reader.skippedBlocks > 0) {
			const what = reader.error?.message ?? `${reader.skippedBlocks} damaged blocks were skipped`;
			warn(`${asked.input}: ${what}`);
			return 2;
		}
		return run.closed === 0 ? 0 : 1;
	} catch (error) {
		if (error instanceof InputError || error instanceof UsageError) {
			warn(error.message);
			return 2;
		}
		throw error;
	}
}

const NO_TIME: CaptureTime = { seconds: 0, nanoseconds: 0 };

function parseDecryptArguments(args: readonly string[]): DecryptArguments {
	try {
		const { values, positionals } = parseArgs({
			args: [...args],
			options: OPTIONS,
			allowPositionals: true,
		});
		const [input, ...more] = positionals;
		const { output, rules, profile = PROFILE_DEFAULT, json = false } = values;
		if (input === undefined || more.length > 0 || output === undefined || rules === undefined) {
			throw new Error('expected xfrm decrypt IN -o OUT --rules FILE');
		}
		return { input, output, rules, profile, json };
	} catch (error) {
		throw usageErrorOf(error, 'decrypt');
	}
}

function write(path: string, bytes: Uint8Array): void {
	try {
		// What was secret is in it: for its owner's eyes.
		writeFileSync(path === '-' ? 1 : path, bytes, path === '-' ? {} : { mode: 0o600 });
	} catch (error) {
		throw new UsageError(
			`${path} cannot be written: ${error instanceof Error ? error.message : error}`,
		);
	}
}

interface Written {
	readonly linkType: number;
	readonly data: Uint8Array;
	readonly time: CaptureTime;
}

/** What has become of a capture. */
class Run {
	readonly #decryptor: Decryptor;
	readonly #written: Written[] = [];
	readonly #states: Map<string, { readonly state: StateRef; packets: number; bytes: number }> =
		new Map();
	readonly #reasons: Map<string, number> = new Map();
	#opened: number = 0;
	#plain: number = 0;

	constructor(decryptor: Decryptor) {
		this.#decryptor = decryptor;
	}

	/** How many protected packets could not be opened. */
	get closed(): number {
		return [...this.#reasons.values()].reduce((sum, count) => sum + count, 0);
	}

	take(linkType: number, frame: Uint8Array, time: CaptureTime): void {
		const found = linkPayload(linkType, frame);
		if (!isLinkPayload(found)) {
			this.#plain++;
			this.#written.push({ linkType, data: frame, time });
			return;
		}
		const packet = frame.slice(found.at, found.end);
		const opened = this.#decryptor.open(packet);
		this.#count(opened, packet.length);
		const data =
			opened.kind === 'opened' ? reframed(linkType, frame, found.at, opened.packet) : frame;
		this.#written.push({ linkType, data, time });
	}

	#count(opened: Opened, octets: number): void {
		switch (opened.kind) {
			case 'plain':
				this.#plain++;
				break;
			case 'closed':
				this.#reasons.set(opened.code, (this.#reasons.get(opened.code) ?? 0) + 1);
				break;
			case 'opened':
				this.#opened++;
				for (const state of opened.states) {
					const key = `${state.proto} ${state.spi} ${state.dst}`;
					const entry = this.#states.get(key) ?? { state, packets: 0, bytes: 0 };
					entry.packets++;
					entry.bytes += octets;
					this.#states.set(key, entry);
				}
				break;
		}
	}

	/** pcap for frames of one kind, else pcapng. */
	file(): Uint8Array {
		const types = [...new Set(this.#written.map(({ linkType }) => linkType))];
		const [first = LinkType.Raw] = types;
		const parts =
			types.length <= 1
				? [pcapFileHeader(first), ...this.#written.map(({ data, time }) => pcapRecord(data, time))]
				: [
						pcapngSection(),
						...types.map(pcapngInterface),
						...this.#written.map(({ linkType, data, time }) =>
							pcapngPacket(types.indexOf(linkType), data, time),
						),
					];
		return Buffer.concat(parts);
	}

	summary(): object {
		return {
			schema: 1,
			packets: this.#written.length,
			opened: this.#opened,
			plain: this.#plain,
			closed: Object.fromEntries(this.#reasons),
			states: [...this.#states.values()].map(({ state, packets, bytes }) => ({
				...state,
				packets,
				bytes,
			})),
		};
	}

	text(): string {
		const lines = [
			`${this.#written.length} packets: ${this.#opened} opened, ${this.closed} protected that stay closed, ${this.#plain} in clear`,
			...[...this.#states.values()].map(
				({ state, packets, bytes }) =>
					`  ${state.proto} ${state.spi} ${state.src} → ${state.dst} ${state.mode}  ${packets} packets, ${bytes} bytes`,
			),
			...[...this.#reasons].map(
				([code, count]) => `  closed  ${count} × ${code}: ${reasonTitle(code)}`,
			),
		];
		return `${lines.join('\n')}\n`;
	}
}

/** The frame with another packet in it; the kind of packet stands in front of it. */
function reframed(linkType: number, frame: Uint8Array, at: number, packet: Uint8Array): Uint8Array {
	const data = new Uint8Array(at + packet.length);
	data.set(frame.subarray(0, at));
	data.set(packet, at);
	const v6 = (packet[0] ?? 0) >> 4 === 6;
	if (linkType === LinkType.Ethernet || linkType === LinkType.LinuxSll) {
		data.set(v6 ? [0x86, 0xdd] : [0x08, 0x00], at - 2);
	} else if (linkType === LinkType.LinuxSll2) {
		data.set(v6 ? [0x86, 0xdd] : [0x08, 0x00], 0);
	}
	return data;
}
