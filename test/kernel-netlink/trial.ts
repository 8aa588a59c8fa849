/** Runs steps on both ends and finds the first place where they part. */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { type Available, type KernelProfile, linux61, linux72, linux619 } from '@xfrm/engine';
import { encodeMessage, type XfrmMessage } from '@xfrm/netlink';
import { parseHex } from '@xfrm/wire';
import type { Difference } from '../golden/difference.ts';
import { comparable } from './comparable.ts';
import { type Disagreement, EXCEPTIONS } from './exceptions.ts';
import { openKernelEnd } from './kernel-end.ts';
import { type NetlinkEnd, PLAIN_SENDER, type Step } from './netlink-end.ts';
import { probeAvailable, probeProfile } from './probe.ts';
import { ServerEnd } from './server-end.ts';

/** What both ends are told between sequences: empty tables, settings as they were. */
export const RESET: readonly Step[] = [
	plain({ name: 'flushsa', body: { proto: 0 } }),
	plain({ name: 'flushpolicy', body: {} }),
	plain({
		name: 'flushpolicy',
		body: {},
		attributes: [{ name: 'policyType', value: { type: 1 } }],
	}),
	plain({ name: 'setdefault', body: { in: 2, fwd: 2, out: 2 } }),
	plain({
		name: 'newspdinfo',
		body: { flags: 0 },
		attributes: [
			{ name: 'spdIpv4Hthresh', value: { lbits: 32, rbits: 32 } },
			{ name: 'spdIpv6Hthresh', value: { lbits: 128, rbits: 128 } },
		],
	}),
];
export const DUMP_STATES: Step = plain({ name: 'dumpsa', body: {}, flags: 0x301 });
export const DUMP_POLICIES: Step = plain({ name: 'dumppolicy', body: {}, flags: 0x301 });

type Message = Pick<XfrmMessage, 'name' | 'body'> & Partial<XfrmMessage>;

function plain(message: Message): Step {
	const whole = { flags: 1, seq: 0, pid: 0, attributes: [], ...message } as XfrmMessage;
	return { ...PLAIN_SENDER, datagram: encodeMessage(whole) };
}

/** The messages of `list` whose texts are not in the other list too. */
function unpaired(list: readonly string[], other: readonly string[]): Uint8Array[] {
	const rest = [...other];
	return list
		.filter((text) => {
			const at = rest.indexOf(text);
			if (at >= 0) {
				rest.splice(at, 1);
			}
			return at < 0;
		})
		.flatMap((text) => text.split(' '))
		.map((hex) => {
			const bytes = parseHex(hex);
			return bytes instanceof Uint8Array ? bytes : new Uint8Array(0);
		});
}

/** What a kernel said to steps: what a golden line has. */
export interface Transcript {
	readonly answers: (readonly Uint8Array[])[];
	readonly events: Uint8Array[];
	states: readonly Uint8Array[];
	policies: readonly Uint8Array[];
}

/** How often each exception was needed. */
export const exceptionHits: Map<string, number> = new Map();

/** Both ends, fresh. */
export class Trial {
	readonly kernel: NetlinkEnd;
	readonly server: ServerEnd;
	/** An exception set the ends apart: take fresh ones. */
	parted: boolean = false;
	/** Steps since the tables were empty. */
	#history: Step[] = [];

	private constructor(kernel: NetlinkEnd, server: ServerEnd) {
		this.kernel = kernel;
		this.server = server;
	}

	/**
	 * Opens both ends; before the first the kernel is probed, in another namespace. A sentence when they
	 * cannot be had.
	 */
	static open(): Trial | string {
		const base = profileOf(release());
		if (base === undefined) {
			return `no profile follows Linux ${release()}`;
		}
		if (available === undefined || profile === undefined) {
			const probed = openKernelEnd();
			if (typeof probed === 'string') {
				return probed;
			}
			profile = probeProfile(probed, base);
			available = probeAvailable(probed); // asks on, so it stays open
		}
		const kernel = openKernelEnd();
		if (typeof kernel === 'string') {
			return kernel;
		}
		const portIds = [0, 1, 2, 3].map((kind) =>
			kernel.portId({ extAck: (kind & 1) !== 0, capAck: (kind & 2) !== 0, unprivileged: false }),
		);
		return new Trial(kernel, new ServerEnd({ profile, available, processors, portIds }));
	}

	close(): void {
		this.kernel.close();
		this.server.close();
	}

	/** Runs a sequence and the dumps after it; undefined when both ends agree. */
	run(steps: readonly Step[], transcript?: Transcript): Difference | undefined {
		for (const [i, step] of steps.entries()) {
			this.#history.push(step);
			const answers = this.kernel.request(step);
			transcript?.answers.push(answers);
			this.server.followDraws(step, answers);
			const ours = this.server.request(step);
			const difference =
				this.#differs(`step ${i} answers`, 'answers', step, answers, ours) ??
				this.#compareEvents(`step ${i} events`, step, transcript);
			if (difference !== undefined) {
				return difference;
			}
			if (this.parted) {
				return undefined;
			}
		}
		return this.#compareDumps(transcript);
	}

	/** Makes both ends empty again. */
	reset(): Difference | undefined {
		const difference = this.run(RESET);
		this.#history = [];
		return difference;
	}

	#compareEvents(field: string, step: Step, transcript?: Transcript): Difference | undefined {
		const events = this.kernel.events();
		transcript?.events.push(...events);
		return this.#differs(field, 'events', step, events, this.server.events());
	}

	#compareDumps(transcript?: Transcript): Difference | undefined {
		const [states, policies] = [
			this.kernel.request(DUMP_STATES),
			this.kernel.request(DUMP_POLICIES),
		];
		if (transcript !== undefined) {
			transcript.states = states;
			transcript.policies = policies;
		}
		return (
			this.#differs('states', 'states', undefined, states, this.server.request(DUMP_STATES)) ??
			this.#differs('policies', 'policies', undefined, policies, this.server.request(DUMP_POLICIES))
		);
	}

	#differs(
		field: string,
		what: Disagreement['what'],
		step: Step | undefined,
		kernel: readonly Uint8Array[],
		server: readonly Uint8Array[],
	): Difference | undefined {
		const want = comparable(kernel);
		const have = comparable(server);
		if (want.length === have.length && want.every((text, i) => text === have[i])) {
			return undefined;
		}
		const [more, less] = [unpaired(want, have), unpaired(have, want)];
		const pairs =
			more.length === less.length
				? more.map((message, i) => [[message], less.slice(i, i + 1)] as const)
				: [[more, less] as const];
		const covered = pairs.map(([ofKernel, ofServer]) =>
			EXCEPTIONS.find((one) =>
				one.covers({ step, history: this.#history, what, kernel: ofKernel, server: ofServer }),
			),
		);
		if (covered.length > 0 && covered.every((exception) => exception !== undefined)) {
			for (const { name, parts = false } of covered) {
				exceptionHits.set(name, (exceptionHits.get(name) ?? 0) + 1);
				this.parted ||= parts;
			}
			return undefined;
		}
		return { field, want: want.join('\n'), have: have.join('\n') };
	}
}

/** The profile that follows a kernel of this release; undefined when none does. */
export function profileOf(kernel: string): KernelProfile | undefined {
	const [, major = '0', minor = '0'] = /^(\d+)\.(\d+)/.exec(kernel) ?? [];
	const version = Number(major) * 100 + Number(minor);
	if (version === 601) {
		return linux61;
	}
	if (version >= 702) {
		return linux72;
	}
	return version >= 614 ? linux619 : undefined;
}

let available: Available | undefined;
let profile: KernelProfile | undefined;
/** Processors of this machine, as SA_PCPU counts them; set by the caller that knows. */
let processors = 1;

/** Processors that SA_PCPU may name: those that this kernel could have. */
export function possibleProcessors(): number {
	const text = readFileSync('/sys/devices/system/cpu/possible', 'latin1').trim();
	return Number(/(\d+)$/.exec(text)?.[1] ?? 0) + 1;
}

/** Tells how many processors the kernel could have (SA_PCPU). */
export function setProcessors(count: number): void {
	processors = count;
}

/** Runs steps on fresh ends. */
export function runFresh(steps: readonly Step[], transcript?: Transcript): Difference | undefined {
	const trial = Trial.open();
	if (typeof trial === 'string') {
		throw new RangeError(trial);
	}
	try {
		return trial.run(steps, transcript);
	} finally {
		trial.close();
	}
}
