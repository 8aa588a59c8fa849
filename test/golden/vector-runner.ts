/**
 * Runs a case of kernel-vectors*.jsonl: the host that the kernel had, the same commands and packets, and
 * all that came out compared with what the kernel did.
 */
import type { Available, KernelProfile, Tracer } from '@xfrm/engine';
import type { Observed, World } from '@xfrm/explain';
import { formatHex } from '@xfrm/wire';
import { errnoName } from '@xfrm/wire/xfrm';
import { fixChosenValues } from './chosen-values.ts';
import { type Difference, differs } from './difference.ts';
import { compareDumps } from './dump-compare.ts';
import {
	bytesOf,
	type Laboratory,
	makeLaboratory,
	STEP_US,
	sendByRawSocket,
} from './laboratory.ts';
import { setSocketPolicy } from './socket-policy.ts';
import { afterStates } from './state-view.ts';
import { openConnection } from './tcp-connection.ts';
import type { VectorCase, VectorStep } from './vector-case.ts';
import { compare } from './vector-compare.ts';

/** A case that is not judged, and why. */
export interface Skipped {
	readonly skipped: string;
}

export type CaseResult = Difference | Skipped | undefined;

export interface RunOptions {
	/** Is told what the engine does. */
	readonly tracer?: Tracer;
	/** The profile is that of the kernel which made the case, whatever `newer` says. */
	readonly sameKernel?: boolean;
}

/**
 * Runs a case; undefined when everything agrees.
 *
 * @param newer the case was captured from a kernel that tells more of states, see `afterStates`
 */
export function runVectorCase(
	vector: VectorCase,
	profile: KernelProfile,
	available: Available,
	newer: boolean,
	options: RunOptions = {},
): CaseResult {
	if (vector.tags.includes('kernel-bug')) {
		return { skipped: 'a kernel bug' };
	}
	const loaded = { ...available, modules: new Set(vector.modules) };
	const lab = makeLaboratory(profile, loaded, newer, vector.wan === 'ether');
	const { world } = lab;
	world.engine.net.tracer = options.tracer ?? null;
	lab.otherKernel &&= options.sameKernel !== true;
	const setup = setUp(lab, vector);
	const lacking = lackingCipher(world);
	if (lacking !== undefined) {
		return { skipped: `the provider lacks ${lacking}` };
	}
	if (setup !== undefined) {
		return setup;
	}
	if (vector.tcp !== undefined) {
		lab.connection = openConnection(world.host, vector.tcp);
	}
	world.advance(STEP_US); // whatever the setup caused is not the case's
	for (const [number, step] of vector.steps.entries()) {
		const difference = runStep(lab, step, `step ${number}`);
		if (difference !== undefined) {
			return difference;
		}
	}
	const told = { newer, ifIds: vector.modules !== undefined };
	const { states, answers = [] } = vector.after;
	return (
		afterStates(world, states, told, lab.otherOctets) ??
		compareDumps(world, answers, lab.otherOctets)
	);
}

function lackingCipher(world: World): string | undefined {
	for (const state of world.engine.states()) {
		const { aead, auth, crypt } = state.config;
		const names = [aead, crypt, auth].map((algorithm) => algorithm?.name ?? '');
		// A larval state has an SPI at most.
		if (state.key === undefined && (state.proto === 50 || state.proto === 51)) {
			const lacking = names.join(' ').trim();
			if (lacking !== '') {
				return lacking;
			}
		}
	}
	return undefined;
}

function setUp(lab: Laboratory, vector: VectorCase): Difference | undefined {
	const { world } = lab;
	for (const [name, value] of Object.entries(vector.sysctl ?? {})) {
		const { stderr } = world.setSysctl(name, Number(value));
		if (stderr !== '') {
			return { field: `sysctl ${name}`, want: 'taken', have: stderr };
		}
	}
	const { setup, xfrm, encap = [], nl = [], answers = [] } = vector;
	const errors = runCommands(world, [...setup, ...xfrm]);
	const difference = differs('errors', vector.errors ?? {}, errors);
	if (difference !== undefined) {
		return difference;
	}
	for (const [i, socket] of encap.entries()) {
		const errno = world.openEncapSocket(socket.family === 4 ? 2 : 10, socket.port, socket.type);
		const have = errno === 0 ? undefined : errnoName(errno);
		const refused = differs(`encap ${i} error`, socket.error, have);
		if (refused !== undefined) {
			return refused;
		}
	}
	for (const { family, socket, policy } of vector.policies ?? []) {
		setSocketPolicy(world, lab.receivers.get(`${family} ${socket}`) ?? 0, policy);
	}
	return compareAnswers(world, nl, answers, 'answers');
}

function compareAnswers(
	world: World,
	requests: readonly string[],
	answers: readonly (readonly string[])[],
	field: string,
): Difference | undefined {
	const have = requests.map((request) => world.request(bytesOf(request)).map(formatHex));
	// An answer's port id was some process's.
	const masked = (lists: readonly (readonly string[])[]): string[][] =>
		lists.map((list) => list.map((hex) => `${hex.slice(0, 24)}00000000${hex.slice(32)}`));
	return requests.length === 0 ? undefined : differs(field, masked(answers), masked(have));
}

/** Runs `ip` commands; the texts of those that were refused, by number. */
function runCommands(world: World, commands: readonly string[]): Record<string, string> {
	const errors: Record<string, string> = {};
	for (const [i, command] of commands.entries()) {
		const { status, stderr } = world.run(command);
		if (status !== 0) {
			errors[i] = stderr.split('\n').join(' ');
		}
	}
	return errors;
}

function runStep(lab: Laboratory, step: VectorStep, name: string): Difference | undefined {
	const { world } = lab;
	// A UDP socket's packets have a header made by the host; other packets bring their own.
	lab.ownHeader = step.sender === 'udp';
	fixChosenValues(world.engine, step.expect, lab.ownHeader);
	if (step.ip !== undefined) {
		const errors = runCommands(world, step.ip);
		const observed = world.advance(Math.max(STEP_US, (step.sleep_ms ?? 0) * 1000));
		return (
			differs(`${name} errors`, step.expect.errors ?? {}, errors) ??
			compare(lab, step.expect, observed, name)
		);
	}
	if (step.nl !== undefined) {
		return (
			compareAnswers(world, step.nl, step.expect.answers ?? [], `${name} answers`) ??
			compare(lab, step.expect, world.advance(STEP_US), name)
		);
	}
	if (step.sleep_ms !== undefined) {
		return compare(lab, step.expect, world.advance(step.sleep_ms * 1000), name);
	}
	if (step.cpu !== undefined) {
		world.host.processor = step.cpu;
	}
	const packets = step.burst ?? (step.packet === undefined ? [] : [step.packet]);
	// What is due at once happens between the packets of a burst.
	const seen: Observed[] = packets.flatMap((packet) => [
		inject(lab, step, bytesOf(packet)),
		world.advance(0),
	]);
	for (const octets of step.tcp_send ?? []) {
		world.host.receiveStream(lab.connection, bytesOf(octets), world.nowUs);
	}
	if (step.ike_send !== undefined) {
		world.host.sendStream(lab.connection, bytesOf(step.ike_send), world.nowUs);
	}
	seen.push(world.advance(Math.max(STEP_US, (step.settle_ms ?? 0) * 1000)));
	return compare(lab, step.expect, merge(seen), name);
}

function inject(lab: Laboratory, step: VectorStep, packet: Uint8Array): Observed {
	const mark = step.mark === undefined ? {} : { mark: step.mark };
	const device = step.bind_dev === undefined ? {} : { device: step.bind_dev };
	if (step.at !== 'local') {
		return lab.world.receive(step.at ?? 'wan', packet, mark);
	}
	return step.sender === 'udp'
		? lab.world.send(packet, { ...mark, ...device, sender: 'udp' })
		: sendByRawSocket(lab, packet, step);
}

function merge(seen: readonly Observed[]): Observed {
	const counters = new Map<string, number>();
	for (const { counters: some } of seen) {
		for (const [name, more] of some) {
			counters.set(name, (counters.get(name) ?? 0) + more);
		}
	}
	return {
		effects: seen.flatMap((one) => one.effects),
		emitted: seen.flatMap((one) => one.emitted),
		delivered: seen.flatMap((one) => one.delivered),
		socketErrors: seen.flatMap((one) => one.socketErrors),
		events: seen.flatMap((one) => one.events),
		counters,
		error: seen.find((one) => one.error !== 0)?.error ?? 0,
	};
}
