/** What `xfrm explain` does with its items: packets are asked about, time passes, commands are carried out. */
import {
	type Answer,
	answerLine,
	answerText,
	askBothWays,
	type BothWays,
	bothWaysText,
	type Explainer,
	type Fix,
	findFixes,
	packetText,
	type Secrets,
	whyNot,
} from '@xfrm/explain';
import type { ExplainArguments, Item } from './explain-arguments.ts';
import { packetCount, packetsOf } from './explain-input.ts';
import { colours, columns } from './terminal.ts';
import { UsageError } from './usage.ts';

/** Packets with the same cause for which fixes are looked for: a capture has thousands of them. */
const FIXES_PER_CAUSE = 2;
/** Different causes in one call. */
const CAUSES_MAX = 16;

/** What a session works with besides the host that it asks. */
export interface Surroundings {
	readonly secrets: Secrets;
	readonly warn: (text: string) => void;
	/** Where the daemon itself has dropped what the rules let go. */
	readonly overrule: ((answer: Answer) => Answer) | undefined;
	/** The other end, where it is asked about. */
	readonly peer: (() => Explainer) | undefined;
}

/** Carries the items out and prints what comes of them. */
export class Session {
	readonly #explainer: Explainer;
	readonly #asked: ExplainArguments;
	readonly #around: Surroundings;
	readonly #warn: (text: string) => void;
	/** Causes for which fixes were looked for: the same cause is not asked again. */
	readonly #causes: Map<string, number> = new Map();
	/** Unix seconds when the rules had been loaded. */
	readonly #loaded: number;
	/** Packets so far, those passed over too, and of how many; undefined where that is not known yet. */
	#number: number = 0;
	readonly #total: number | undefined;
	#answers: number = 0;
	#status: number = 0;

	constructor(explainer: Explainer, asked: ExplainArguments, around: Surroundings) {
		this.#explainer = explainer;
		this.#asked = asked;
		this.#around = around;
		this.#warn = around.warn;
		this.#loaded = explainer.world.nowUs / 1_000_000;
		this.#total = asked.json ? undefined : totalOf(asked.items);
	}

	/** The exit status: 1 when a packet was dropped or lacks a state. */
	run(): number {
		for (const item of this.#asked.items) {
			this.#carryOut(item);
		}
		for (const event of this.#explainer.takeEvents()) {
			this.#warn(`event after the last packet: ${event.text}`);
		}
		for (const { device, text, packet } of this.#explainer.takeLeft()) {
			this.#warn(`left by ${device} after the last packet: ${text}: ${packet}`);
		}
		return this.#status;
	}

	#carryOut(item: Item): void {
		const { text, time } = item;
		if (time !== undefined) {
			const now = this.#explainer.world.nowUs / 1_000_000;
			const then = time.relative ? this.#loaded + time.seconds : time.seconds;
			this.#explainer.wait(Math.max(0, then - now));
		}
		if (text.startsWith('wait:')) {
			this.#wait(text.slice(5));
		} else if (text.startsWith('do:')) {
			this.#run(text.slice(3));
		} else {
			this.#askAll(item);
		}
	}

	#wait(seconds: string): void {
		if (!/^[0-9]+(\.[0-9]+)?$/.test(seconds)) {
			throw new UsageError(`found "wait:${seconds}", expected wait:SECONDS`);
		}
		this.#explainer.wait(Number(seconds));
	}

	#run(command: string): void {
		const { status, stderr } = this.#explainer.run(command);
		if (status === 1 || status === 255) {
			throw new UsageError(`do: ${stderr}`);
		}
		if (status !== 0) {
			this.#warn(`do: refused: ${stderr}`);
		}
	}

	#askAll(item: Item): void {
		for (const one of packetsOf(item.text, item.options)) {
			if (one.packet === undefined) {
				this.#number += one.isPacket === true ? 1 : 0;
				this.#warn(one.note);
				continue;
			}
			this.#number++;
			const peer = this.#around.peer?.();
			const answer = this.#overruled(this.#explainer.ask(one.packet, one.options));
			this.#print(this.#more(answer, peer), packetText(one.packet));
		}
	}

	#overruled(answer: Answer): Answer {
		const { overrule } = this.#around;
		return overrule === undefined || !isYes(answer) ? answer : overrule(answer);
	}

	/** The answer with what was asked for beside it. */
	#more(answer: Answer, peer: Explainer | undefined): Answer {
		const { fix, whyNot: questions } = this.#asked;
		const extra = {
			...(questions.length === 0
				? {}
				: { why_not: questions.map((one) => whyNot(this.#explainer, one)) }),
			...(fix ? this.#fixes(answer, peer) : {}),
		};
		// Last: the answer on its way back is a packet of its own.
		const both = peer === undefined ? undefined : askBothWays(this.#explainer, peer);
		return { ...answer, ...(both === undefined ? {} : { both }), ...extra };
	}

	#fixes(answer: Answer, peer: Explainer | undefined): Pick<Answer, 'fix'> {
		const { code, policies, states } = answer;
		const cause = JSON.stringify([code, policies, states]);
		const times = (this.#causes.get(cause) ?? 0) + 1;
		this.#causes.set(cause, times);
		if (times > FIXES_PER_CAUSE || this.#causes.size > CAUSES_MAX) {
			return {};
		}
		const { secrets } = this.#around;
		const engine = peer?.world.engine;
		const peerStates =
			engine === undefined || this.#asked.peerRules.length === 0
				? []
				: [...engine.states()].map((state) => engine.snapshotState(state));
		const found = findFixes(this.#explainer, { keyName: (key) => secrets.nameOf(key), peerStates });
		return found.length === 0 ? {} : { fix: found.map((one) => this.#forTarget(one)) };
	}

	/** What is to be pasted has to reach who is asked about: `ip xfrm` is the kernel's. */
	#forTarget(fix: Fix): Fix {
		return this.#asked.target === 'daemon'
			? { ...fix, commands: fix.commands.map((command) => command.replace(/^ip xfrm /, 'xfrm ')) }
			: fix;
	}

	/** Which of several packets this is. */
	#title(packet: string): readonly string[] {
		if (this.#total === 1) {
			return [];
		}
		const of = this.#total === undefined ? '' : ` of ${this.#total}`;
		return [`--- packet ${this.#number}${of}${packet} ---`];
	}

	/** @param packet in words, for where the way is not told */
	#print(answer: Answer, packet: string): void {
		if (!isYes(answer) || (answer.both !== undefined && !isYesBothWays(answer.both))) {
			this.#status = 1;
		}
		if (this.#asked.json) {
			process.stdout.write(`${answerLine(answer)}\n`);
			return;
		}
		const lines = [
			...this.#title(this.#asked.brief ? `: ${packet}` : ''),
			...answerLines(answer, this.#asked),
		];
		const gap = this.#answers++ === 0 ? '' : '\n';
		process.stdout.write(`${gap}${lines.join('\n')}\n`);
	}
}

/** An answer as it is asked for: a line of JSON, or text for where it goes. */
export function answerLines(
	answer: Answer,
	{ json, brief, steps }: Pick<ExplainArguments, 'json' | 'brief' | 'steps'>,
): readonly string[] {
	if (json) {
		return [answerLine(answer)];
	}
	const options = {
		colours: colours(process.stdout),
		columns: columns(process.stdout),
		brief,
		steps,
	};
	return [
		...answerText(answer, options),
		...(answer.both === undefined ? [] : bothWaysText(answer.both, options)),
	];
}

/** How many packets there will be in all. */
function totalOf(items: readonly Item[]): number | undefined {
	let total = 0;
	for (const { text } of items) {
		const count = /^(wait|do):/.test(text) ? 0 : countOf(text);
		if (count === undefined) {
			return undefined;
		}
		total += count;
	}
	return total;
}

/** What cannot be read is told when its turn comes, behind the answers that there are. */
function countOf(text: string): number | undefined {
	try {
		return packetCount(text);
	} catch (error) {
		if (error instanceof UsageError) {
			return undefined;
		}
		throw error;
	}
}

function isYes({ outcome }: Answer): boolean {
	return outcome !== 'drop' && outcome !== 'acquire' && outcome !== 'unknown';
}

/** The way there and back has to be whole. */
function isYesBothWays({ peer, reply, back }: BothWays): boolean {
	return isYes(peer) && reply !== undefined && isYes(reply) && back !== undefined && isYes(back);
}
