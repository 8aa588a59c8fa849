/**
 * Runs lines of the netlink files on our server: raw requests, and `ip` commands by our own reader of that
 * language. Each is a fresh namespace.
 */
import { nodeProvider } from '@xfrm/crypto/node';
import { type Available, Engine, type KernelProfile } from '@xfrm/engine';
import { formatMessage, parseCommand, type Release, runCommand } from '@xfrm/iproute';
import { splitMessages } from '@xfrm/netlink';
import { type NetlinkClient, NetlinkServer } from '@xfrm/netlink-server';
import { formatHex } from '@xfrm/wire';
import { type Difference, differs } from '../golden/difference.ts';
import {
	comparable,
	comparablePayload,
	comparables,
	type NetlinkCase,
	type NetlinkCommand,
	octets,
	type RawCase,
} from './netlink-case.ts';

const ALL_GROUPS = 0xff;
const NOW_US = 1_700_000_000_000_000;

interface Host {
	readonly server: NetlinkServer;
	readonly listener: NetlinkClient;
}

/** A namespace with a listener to groups 1 to 8; it has no routes, as nothing is ever sent. */
function newHost(profile: KernelProfile, available: Available): Host {
	let draws = 0;
	const engine = new Engine({
		profile,
		available,
		provider: nodeProvider(),
		// Any numbers will do; the same ones in every run are easier to read.
		random: (bytes) => {
			for (let i = 0; i < bytes.length; i++) {
				draws = (Math.imul(draws, 1_664_525) + 1_013_904_223) >>> 0;
				bytes[i] = draws >>> 24;
			}
		},
		processors: 2,
		route: () => undefined,
	});
	const server = new NetlinkServer(engine);
	const listener = server.connect({ portId: 1 });
	return { server, listener };
}

/** Payloads of a dump, header taken off. */
function dumpPayloads(server: NetlinkServer, name: 'newsa' | 'newpolicy'): string[] {
	const client = server.connect({ portId: 9 });
	const type = name === 'newsa' ? 0x12 : 0x15;
	const request = new Uint8Array([16, 0, 0, 0, type, 0, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0]);
	const members = server
		.request(client, request, NOW_US)
		.flatMap(splitMessages)
		.filter((raw) => raw.type >= 0x10)
		.map((raw) => comparablePayload(name, raw.payload));
	server.disconnect(client);
	return members;
}

function compareDumps(
	server: NetlinkServer,
	want: { readonly states: readonly string[]; readonly policies: readonly string[] },
): Difference | undefined {
	const states = want.states.map((hex) => comparablePayload('newsa', octets(hex)));
	const policies = want.policies.map((hex) => comparablePayload('newpolicy', octets(hex)));
	return (
		differs('states', states, dumpPayloads(server, 'newsa')) ??
		differs('policies', policies, dumpPayloads(server, 'newpolicy'))
	);
}

const isErrno = (answer: string): boolean => answer.startsWith('errno ');

/**
 * Runs a line of netlink-raw-619.jsonl; undefined when everything agrees.
 *
 * @spec N-5 N-6 N-7 N-8 N-11 N-12 N-13 N-14 N-16 N-16b N-17 P-12 S-10 S-11 S-13 S-14 S-19 S-30 S-31 S-32
 * @spec S-33 S-36 A-3 L-9
 */
export function runRawCase(
	rawCase: RawCase,
	profile: KernelProfile,
	available: Available,
): Difference | undefined {
	const { server, listener } = newHost(profile, available);
	server.subscribe(listener, ALL_GROUPS);
	const client = server.connect({
		portId: 1001,
		extAck: rawCase.ext_ack ?? false,
		capAck: rawCase.cap_ack ?? false,
	});
	for (const [i, request] of rawCase.requests.entries()) {
		client.privileged = !(rawCase.unprivileged ?? []).includes(i);
		const want = rawCase.answers[i] ?? [];
		// The send of an empty datagram fails before it reaches any server.
		const have = want.some(isErrno) ? [] : server.request(client, octets(request), NOW_US);
		const difference = differs(
			`request ${i}`,
			comparables(want.filter((answer) => !isErrno(answer)).map(octets)),
			comparables(have),
		);
		if (difference !== undefined) {
			return difference;
		}
	}
	// MIGRATE is told to the first namespace only, so the files do not have it.
	const events = listener.receiveAll().flatMap(splitMessages);
	return (
		differs(
			'events',
			comparables(rawCase.events.map(octets)),
			events.filter((raw) => raw.type !== 0x21).map(comparable),
		) ?? compareDumps(server, rawCase)
	);
}

/** A request with sequence number and port id zero: neither is the same in two runs. */
function anonymous(datagram: Uint8Array): string {
	const copy = datagram.slice();
	copy.fill(0, 8, 16);
	return formatHex(copy);
}

/** Messages of a command: requests, then what came back; notifications apart. */
function split(command: NetlinkCommand): { to: string[]; from: string[] } {
	const to = command.messages.filter(([way]) => way === 'to').map(([, hex]) => hex);
	const from = command.messages.filter(([way]) => way === 'from').map(([, hex]) => hex);
	return { to, from };
}

const GROUP_OF: Readonly<Record<number, number>> = {
	16: 3,
	17: 3,
	26: 3,
	28: 3,
	19: 4,
	20: 4,
	25: 4,
	29: 4,
	40: 4,
	23: 1,
	24: 2,
	27: 2,
	30: 5,
	32: 6,
	38: 8,
};

/** As `comparable`, but without numbers that are a process's own. */
function comparableAnswer(raw: ReturnType<typeof splitMessages>[number]): string {
	const bytes = raw.bytes.slice();
	bytes.fill(0, 8, 16);
	if (raw.type === 2) {
		bytes.fill(0, 28, 36);
	}
	return splitMessages(bytes).map(comparable).join();
}

/**
 * Runs a line of kernel-netlink.jsonl or kernel-netlink-619.jsonl: requests, answers, events, what is
 * printed and complained of, exit statuses, and the dumps at the end.
 *
 * @spec C-1 C-2 C-3 C-4 C-5 C-6 C-7 C-8 C-9 C-10 C-11 N-10 N-13 N-15 N-16 N-17
 */
export function runNetlinkCase(
	netlinkCase: NetlinkCase,
	profile: KernelProfile,
	available: Available,
	release: Release,
	devices: Readonly<Record<string, number>>,
): Difference | undefined {
	const { server, listener } = newHost(profile, available);
	const context = {
		release,
		interfaceIndex: (name: string) => devices[name],
		interfaceName: (index: number) => Object.keys(devices).find((name) => devices[name] === index),
	};
	const monitor = netlinkCase.monitor && parseCommand(netlinkCase.monitor.cmd, context);
	const plan = monitor?.command?.plan;
	const groups = plan?.kind === 'monitor' ? plan.groups & ALL_GROUPS : 0;
	server.subscribe(listener, groups);
	let printed = '';
	for (const [i, command] of netlinkCase.commands.entries()) {
		const difference = runNetlinkCommand(server, command, context);
		if (difference !== undefined) {
			return { ...difference, field: `command ${i} ${difference.field}` };
		}
		const { from } = split(command);
		const told = listener.receiveAll();
		if (monitor?.command !== undefined) {
			const want = from
				.flatMap((hex) => splitMessages(octets(hex)))
				.filter((raw) => isNotification(raw.type, raw.flags, command, groups));
			// MIGRATE is told to the first namespace only.
			const have = told.flatMap(splitMessages).filter((raw) => raw.type !== 0x21);
			const apart = differs(
				`command ${i} events`,
				want.map(comparableAnswer),
				have.map(comparableAnswer),
			);
			if (apart !== undefined) {
				return apart;
			}
			printed += want.map((raw) => formatMessage(raw, monitor.command, context)).join('');
		}
	}
	const monitored = netlinkCase.monitor;
	return (
		(monitored && differs('monitor', monitored.stdout.trimEnd(), printed.trimEnd())) ??
		compareDumps(server, netlinkCase)
	);
}

/** Is it told to listeners, rather than the answer to a command? */
function isNotification(
	type: number,
	flags: number,
	command: NetlinkCommand,
	groups: number,
): boolean {
	const group = GROUP_OF[type] ?? 0;
	const answered = / (get|list|show|allocspi|count|getdefault)\b/.test(command.cmd ?? '');
	return !answered && (flags & 2) === 0 && (groups & (1 << (group - 1))) !== 0 && group > 0;
}

function runNetlinkCommand(
	server: NetlinkServer,
	command: NetlinkCommand,
	context: Parameters<typeof runCommand>[2],
): Difference | undefined {
	const client = server.connect({ portId: 77 });
	const { to, from } = split(command);
	const sent: Uint8Array[] = [];
	const got: Uint8Array[] = [];
	const exchange = (datagram: Uint8Array): Uint8Array[] => {
		const answers = server.request(client, datagram, NOW_US);
		sent.push(datagram);
		got.push(...answers);
		return answers;
	};
	if (command.nl !== undefined) {
		exchange(octets(command.nl));
		server.disconnect(client);
		return compareAnswers(command, from, got);
	}
	const parsed = parseCommand(command.cmd ?? '', context);
	const result =
		parsed.problem === undefined
			? runCommand(parsed.command, exchange, context)
			: {
					status: parsed.problem.status,
					stdout: '',
					stderr: parsed.problem.message,
				};
	server.disconnect(client);
	return (
		differs(
			'requests',
			to.map((hex) => anonymous(octets(hex))),
			sent.flatMap(splitMessages).map((raw) => anonymous(raw.bytes)),
		) ??
		compareAnswers(command, from, got) ??
		differs('status', command.rc, result.status) ??
		differs('stderr', (command.stderr ?? '').trim(), result.stderr.trim()) ??
		differs('stdout', withoutTimes(command.stdout ?? ''), withoutTimes(result.stdout))
	);
}

/** Printed times are the clock's. */
function withoutTimes(text: string): string {
	return text.replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, 'TIME').trimEnd();
}

function compareAnswers(
	command: NetlinkCommand,
	from: readonly string[],
	got: readonly Uint8Array[],
): Difference | undefined {
	const want = from
		.flatMap((hex) => splitMessages(octets(hex)))
		.filter((raw) => !isNotification(raw.type, raw.flags, command, ALL_GROUPS));
	return differs(
		'answers',
		want.map(comparableAnswer),
		got.flatMap(splitMessages).map(comparableAnswer),
	);
}
