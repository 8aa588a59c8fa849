/**
 * A case as a job for the guest's relay (oracle/relay.py), and the relay's answer as a golden case.
 */

import type { XfrmMessage } from '@xfrm/netlink';
import { attributeValue, decodeMessage, encodeMessage, splitMessages } from '@xfrm/netlink';
import { formatHex } from '@xfrm/wire';
import { formatAddress } from '@xfrm/wire/xfrm';
import { bytesOf, firstDeviceNumber } from '../golden/laboratory.ts';
import { socketPolicyOption } from '../golden/socket-policy.ts';
import type {
	DeliveredPacket,
	EmittedPacket,
	Expectation,
	VectorCase,
	VectorState,
	VectorStep,
} from '../golden/vector-case.ts';
import {
	CommandList,
	DeviceNumbers,
	type Dialogue,
	NETLINK_XFRM,
	type Request,
} from './commands.ts';
import { fieldsOf, ivOctetsBySpi } from './fields.ts';
import type { Case, Step } from './scenario.ts';

/** What the relay says of a step. */
interface StepAnswer {
	readonly emit: readonly EmittedPacket[];
	readonly deliver: readonly DeliveredPacket[];
	readonly stat: Readonly<Record<string, number>>;
	readonly events?: Expectation['events'];
	readonly links?: Expectation['links'];
	readonly error?: string;
	readonly answers?: readonly (readonly string[])[];
}

/** What the relay says of a job. */
export interface JobAnswer {
	readonly n: number;
	readonly answers: readonly (readonly string[])[];
	readonly sockets: readonly string[];
	readonly steps: readonly StepAnswer[];
	readonly after: readonly (readonly string[])[];
	/** Namespaces that could not be taken down so far. */
	readonly left: number;
	/** Seconds that the steps took beyond what they sleep. */
	readonly late: number;
}

type Message = Pick<XfrmMessage, 'name' | 'body'> & { readonly flags: number };

function request({ name, body, flags }: Message): string {
	return formatHex(
		encodeMessage({ name, body, flags, seq: 1, pid: 0, attributes: [] } as unknown as XfrmMessage),
	);
}

const DUMP = 0x301;
const DUMP_STATES = request({ name: 'dumpsa', body: {}, flags: DUMP });
/** What is asked at the end: both tables, the defaults, counts by direction. */
const AFTER: readonly string[] = [
	DUMP_STATES,
	request({ name: 'dumppolicy', body: {}, flags: DUMP }),
	request({ name: 'getdefault', body: { in: 0, fwd: 0, out: 0 }, flags: 1 } as Message),
	request({ name: 'getspdinfo', body: { flags: 0 }, flags: 1 } as Message),
];

export class Job {
	readonly question: Case;
	/** What goes to the relay, but for its number. */
	readonly body: object;
	readonly #setup: CommandList;
	/** By step. */
	readonly #commands: (CommandList | undefined)[];
	readonly #dialogues: (() => (dialogue: Dialogue) => Promise<void>)[] = [];

	constructor(question: Case) {
		this.question = question;
		const { modules, setup, xfrm, steps, sysctl = {}, encap = [], policies = [] } = question;
		const devices = new DeviceNumbers(firstDeviceNumber(modules ?? [], false));
		const start = ['link set lo up', 'link set lan up mtu 1500', 'link set wan up mtu 1500'];
		const first = new CommandList(start, devices);
		this.#setup = new CommandList([...setup, ...xfrm], devices);
		this.#note(this.#setup);
		this.#commands = steps.map((step) => {
			const list = 'ip' in step ? new CommandList(step.ip, devices) : undefined;
			this.#note(list);
			return list;
		});
		this.body = {
			sysctl: Object.fromEntries(
				Object.entries(sysctl).map(([name, value]) => [name.replaceAll('.', '/'), value]),
			),
			requests: [...first.requests, ...this.#setup.requests],
			addresses: this.#setup.hasAddresses,
			links: modules !== undefined,
			encap,
			policies: policies.map((one) => ({ ...one, policy: socketPolicyOption(one.policy) })),
			steps: steps.map((step, i) => stepBody(step, this.#commands[i])),
			after: AFTER.map((datagram): Request => [NETLINK_XFRM, datagram]),
		};
	}

	#note(list: CommandList | undefined): void {
		for (const command of list?.dialogues ?? []) {
			this.#dialogues.push(() => (dialogue) => list?.talk(command, dialogue) ?? Promise.resolve());
		}
	}

	/** The next dialogue that the relay asks for. */
	talk(dialogue: Dialogue): Promise<void> {
		const next = this.#dialogues.shift();
		if (next === undefined) {
			throw new RangeError('the relay asks for a dialogue that nobody wanted');
		}
		return next()(dialogue);
	}

	/** The relay's answer in the form of golden/README.md. */
	golden(answer: JobAnswer): VectorCase {
		const { question } = this;
		const commands = [
			...question.xfrm,
			...question.steps.flatMap((step) => ('ip' in step ? step.ip : [])),
		];
		const ivOctets = ivOctetsBySpi(commands);
		// The first answer is that of the devices.
		const errors = this.#setup.errors(answer.answers.slice(1));
		const steps = question.steps.map((step, i): VectorStep => {
			const said = answer.steps[i];
			if (said === undefined) {
				throw new RangeError(`the relay says nothing of step ${i}`);
			}
			const refused = this.#commands[i]?.errors(said.answers ?? []) ?? {};
			const { emit, deliver, stat, events, links, error } = said;
			if (error?.startsWith('policy ')) {
				return { sleep_ms: 1, note: `${error} refused`, expect: { emit, deliver, stat } };
			}
			return {
				...step,
				expect: {
					emit: emit.map((one) =>
						one.dev === 'wan' ? { ...one, fields: fieldsOf(one.packet, ivOctets) } : one,
					),
					deliver,
					stat,
					...(links === undefined ? {} : { links }),
					...(error === undefined ? {} : { error }),
					...(events === undefined ? {} : { events }),
					...(Object.keys(refused).length === 0 ? {} : { errors: refused }),
				},
			};
		});
		// Nor is a socket's policy there that the kernel has refused.
		const policies = (question.policies ?? []).filter((_, i) => answer.sockets[i] === '');
		return {
			...question,
			...(question.policies === undefined ? {} : { policies }),
			...(Object.keys(errors).length === 0 ? {} : { errors }),
			steps,
			after: {
				states: statesOf(answer.after[0] ?? []),
				answers: AFTER.map((datagram, i) => ({
					request: datagram,
					answers: answer.after[i] ?? [],
				})),
			},
		};
	}
}

function stepBody(step: Step, commands: CommandList | undefined): object {
	if ('at' in step) {
		const { policy, note: _note, ...rest } = step;
		return policy === undefined ? rest : { ...rest, policy: socketPolicyOption(policy) };
	}
	const sleep = step.sleep_ms === undefined ? {} : { sleep_ms: step.sleep_ms };
	return commands === undefined
		? sleep
		: { requests: commands.requests, addresses: commands.hasAddresses, ...sleep };
}

/** States of a dump in the form of `after.states`. */
function statesOf(datagrams: readonly string[]): VectorState[] {
	const states = datagrams
		.flatMap((hex) => splitMessages(bytesOf(hex)))
		.map(decodeMessage)
		.flatMap((message) => (message?.name === 'newsa' ? [stateView(message)] : []));
	return states.sort(byIdentity);
}

function stateView(message: XfrmMessage & { name: 'newsa' }): VectorState {
	const { body, attributes } = message;
	const { id, family, saddr, lifetimeCurrent, stats } = body;
	const replay = attributeValue(attributes, 'replayVal');
	const esn = attributeValue(attributes, 'replayEsnVal');
	const ifId = attributeValue(attributes, 'ifId');
	return {
		dst: formatAddress(id.daddr, family),
		proto: id.proto,
		spi: id.spi,
		src: formatAddress(saddr, family),
		bytes: lifetimeCurrent.bytes,
		packets: lifetimeCurrent.packets,
		used: lifetimeCurrent.useTime !== 0,
		replay_window_errors: stats.replayWindow,
		replay_errors: stats.replay,
		integrity_failed: stats.integrityFailed,
		...(ifId === undefined ? {} : { if_id: ifId }),
		...(replay === undefined ? {} : { oseq: replay.oseq, seq: replay.seq, bitmap: replay.bitmap }),
		...(esn === undefined
			? {}
			: {
					esn: {
						oseq: esn.oseq,
						seq: esn.seq,
						oseq_hi: esn.oseqHi,
						seq_hi: esn.seqHi,
						window: esn.replayWindow,
						bmp: [...esn.bmp],
					},
				}),
	};
}

function byIdentity(a: VectorState, b: VectorState): number {
	for (const field of ['proto', 'spi', 'dst', 'src'] as const) {
		if (a[field] !== b[field]) {
			return a[field] < b[field] ? -1 : 1;
		}
	}
	return 0;
}
