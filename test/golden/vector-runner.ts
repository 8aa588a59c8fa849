/**
 * Runs a case of kernel-vectors*.jsonl: the host that the kernel had, the same commands and packets, and
 * all that came out compared with what the kernel did.
 */
import { nodeProvider } from '@xfrm/crypto/node';
import type { Available, KernelProfile } from '@xfrm/engine';
import { type Observed, World } from '@xfrm/explain';
import { formatHex, parseHex } from '@xfrm/wire';
import { errnoName, formatAddress } from '@xfrm/wire/xfrm';
import { type Difference, differs } from './difference.ts';
import { maskNotification } from './netlink-mask.ts';
import { maskPacket } from './packet-mask.ts';
import { afterStates } from './state-view.ts';
import { unwrap } from './unwrap.ts';
import type { EmittedPacket, Expectation, VectorCase, VectorStep } from './vector-case.ts';

/** A case that is not judged, and why. */
export interface Skipped {
	readonly skipped: string;
}

export type CaseResult = Difference | Skipped | undefined;

/** When the world of a case begins: some time in 2023, so that times are of a real size. */
const START_US = 1_700_000_000_500_000;
/** Time between steps: enough for timestamps to differ, too little for lifetimes. */
const STEP_US = 2000;

const provider = nodeProvider();

/** Octets that look random and are the same in every run. */
export function seededRandom(seed: number): (bytes: Uint8Array) => void {
	let state = seed >>> 0 || 1;
	return (bytes) => {
		for (let i = 0; i < bytes.length; i++) {
			state ^= state << 13;
			state ^= state >>> 17;
			state ^= state << 5;
			bytes[i] = state & 255;
		}
	};
}

/**
 * The host of a case: two devices, forwarding, sockets that take what is delivered.
 *
 * @param newer the laboratory with 6.19: two processors, sockets that are told of ICMP errors
 */
export function labWorld(profile: KernelProfile, available: Available, newer: boolean): World {
	const world = new World({
		profile,
		available,
		provider,
		random: seededRandom(20261),
		startUs: START_US,
		processors: newer ? 2 : 1,
	});
	for (const name of ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding']) {
		world.setSysctl(name, 1);
	}
	for (const name of ['net.ipv4.icmp_echo_ignore_all', 'net.ipv6.icmp.echo_ignore_all']) {
		world.setSysctl(name, 1); // a host that answers no echo at all refuses the name
	}
	// Numbers that lan and wan had there: 6.19 came with a device of its own before them.
	const first = newer ? 3 : 2;
	world.host.addDevice('lan', first);
	world.host.addDevice('wan', first + 1);
	world.run('link set lan up mtu 1500');
	world.run('link set wan up mtu 1500');
	for (const family of [2, 10]) {
		for (const proto of [family === 2 ? 1 : 58, 253]) {
			world.host.openRaw({ family, proto });
		}
		for (const port of [4242, 4243]) {
			world.host.openUdp({ family, port, receiveErrors: newer });
		}
	}
	return world;
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
): CaseResult {
	if (vector.tags.includes('kernel-bug')) {
		return { skipped: 'a kernel bug' };
	}
	if (vector.tcp !== undefined) {
		return { field: 'form', want: 'a TCP connection', have: 'a host without TCP' };
	}
	const world = labWorld(profile, available, newer);
	const setup = setUp(world, vector);
	const lacking = lackingCipher(world);
	if (lacking !== undefined) {
		return { skipped: `the provider lacks ${lacking}` };
	}
	if (setup !== undefined) {
		return setup;
	}
	world.advance(STEP_US); // whatever the setup caused is not the case's
	for (const [number, step] of vector.steps.entries()) {
		const difference = runStep(world, step, `step ${number}`);
		if (difference !== undefined) {
			return difference;
		}
	}
	return afterStates(world, vector.after.states, newer);
}

function lackingCipher(world: World): string | undefined {
	for (const state of world.engine.states()) {
		const { aead, auth, crypt } = state.config;
		if (state.key === undefined && (state.proto === 50 || state.proto === 51) && state.spi !== 0) {
			return [aead, crypt, auth]
				.map((algorithm) => algorithm?.name ?? '')
				.join(' ')
				.trim();
		}
	}
	return undefined;
}

function setUp(world: World, vector: VectorCase): Difference | undefined {
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

function runStep(world: World, step: VectorStep, name: string): Difference | undefined {
	fixFields(world, step.expect.emit ?? []);
	if (step.ip !== undefined) {
		const errors = runCommands(world, step.ip);
		const observed = world.advance(STEP_US);
		return (
			differs(`${name} errors`, step.expect.errors ?? {}, errors) ??
			compare(world, step.expect, observed, name)
		);
	}
	if (step.nl !== undefined) {
		return compareAnswers(world, step.nl, step.expect.answers ?? [], `${name} answers`);
	}
	if (step.sleep_ms !== undefined) {
		return compare(world, step.expect, world.advance(step.sleep_ms * 1000), name);
	}
	if (step.cpu !== undefined) {
		world.host.processor = step.cpu;
	}
	const packets = step.burst ?? (step.packet === undefined ? [] : [step.packet]);
	const seen: Observed[] = packets.map((packet) => inject(world, step, bytesOf(packet)));
	seen.push(world.advance(Math.max(STEP_US, (step.settle_ms ?? 0) * 1000)));
	return compare(world, step.expect, merge(seen), name);
}

function inject(world: World, step: VectorStep, packet: Uint8Array): Observed {
	const mark = step.mark === undefined ? {} : { mark: step.mark };
	if (step.at === 'local') {
		return world.send(packet, { ...mark, sender: step.sender === 'udp' ? 'udp' : 'hdrincl' });
	}
	return world.receive(step.at ?? 'wan', packet, mark);
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

/** Gives the engine the values that the kernel chose. */
function fixFields(world: World, emitted: readonly EmittedPacket[]): void {
	const ivs: Uint8Array[] = [];
	const ipIds: number[] = [];
	for (const { packet, fields } of emitted) {
		if (fields === undefined) {
			continue;
		}
		const found = unwrap(bytesOf(packet), world.engine);
		const visible = fields.iv === undefined ? [] : [bytesOf(fields.iv)];
		ivs.push(...(found.ivs.length > 0 ? found.ivs.reverse() : visible));
		// The innermost header is the packet's own, unless it could not be reached.
		const made = found.complete ? found.ids.slice(0, -1) : found.ids;
		ipIds.push(...made.reverse().filter((id) => id !== undefined));
	}
	world.engine.net.fixed = { ivs, ipIds, paddings: [] };
}

function compare(
	world: World,
	expect: Expectation,
	observed: Observed,
	name: string,
): Difference | undefined {
	const { emit, deliver, stat } = expect;
	return (
		(stat && differs(`${name} stat`, stat, Object.fromEntries(observed.counters))) ??
		(emit && compareEmitted(world, emit, observed, name)) ??
		(deliver &&
			differs(`${name} deliver`, sorted(deliver), sorted(deliveredView(observed, expect)))) ??
		differs(
			`${name} error`,
			expect.error,
			observed.error === 0 ? undefined : errnoName(observed.error),
		) ??
		differs(
			`${name} events`,
			(expect.events ?? []).map((event) => maskNotification(event.hex)),
			observed.events.map((event) => maskNotification(formatHex(event))),
		)
	);
}

function compareEmitted(
	world: World,
	want: readonly EmittedPacket[],
	observed: Observed,
	name: string,
): Difference | undefined {
	// The files tell first what left by lan, then what left by wan, and no multicast chatter.
	const have = observed.emitted
		.filter((one) => !isMulticast(one.packet))
		.sort((a, b) => (a.device < b.device ? -1 : a.device > b.device ? 1 : 0));
	if (want.length !== have.length) {
		return {
			field: `${name} emit`,
			want: want.map(({ dev, packet }) => `${dev} ${packet}`).join(' | ') || 'nothing',
			have: have.map((one) => `${one.device} ${formatHex(one.packet)}`).join(' | ') || 'nothing',
		};
	}
	for (const [i, wanted] of want.entries()) {
		const got = have[i];
		if (got === undefined) {
			continue;
		}
		const field = `${name} emit ${i}`;
		const packet = bytesOf(wanted.packet);
		const difference =
			differs(`${field} dev`, wanted.dev, got.device) ??
			differs(`${field} packet`, maskPacket(packet), maskPacket(got.packet));
		if (difference !== undefined && !agreesInside(world, packet, got.packet)) {
			return difference;
		}
	}
	return undefined;
}

/** Equal but for what a compressor chose, or for random fields of an inner packet made here. */
function agreesInside(world: World, want: Uint8Array, have: Uint8Array): boolean {
	const [a, b] = [unwrap(want, world.engine), unwrap(have, world.engine)];
	return (a.compressed || a.complete) && a.layers.join('\n') === b.layers.join('\n');
}

function isMulticast(packet: Uint8Array): boolean {
	return (packet[0] ?? 0) >> 4 === 4
		? (packet[16] ?? 0) >= 224
		: packet[24] === 0xff && packet[25] === 2;
}

/** Sockets are read one after the other: the order among them says nothing. */
function sorted(values: readonly unknown[]): readonly unknown[] {
	return [...values].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

function deliveredView(observed: Observed, expect: Expectation): unknown[] {
	const delivered = observed.delivered.filter((one) => {
		// Sockets with UDP_ENCAP are there, but nobody reads them.
		return !(one.proto === 17 && one.dport !== 4242 && one.dport !== 4243);
	});
	const views = delivered.map((one) => {
		const { family, proto, hopLimit, trafficClass, sport, dport, payload } = one;
		if (family === 2 && proto !== 17) {
			return { family: 4, proto, packet: formatHex(payload) };
		}
		return {
			family: family === 2 ? 4 : 6,
			proto,
			src: formatAddress(one.source, family),
			dst: formatAddress(one.destination, family),
			...(family === 2
				? { ttl: hopLimit, tos: trafficClass }
				: { hlim: hopLimit, tclass: trafficClass }),
			...(proto === 17 ? { sport, dport } : {}),
			payload: formatHex(payload),
		};
	});
	const wantsErrors = expect.deliver?.some((one) => one.socket_error !== undefined) ?? false;
	const errors = observed.socketErrors.map((one) => ({
		family: one.family === 2 ? 4 : 6,
		socket_error: errnoName(one.error),
		port: one.port,
		icmp: [one.icmpType, one.icmpCode],
	}));
	return wantsErrors ? [...views, ...errors] : views;
}

/** Octets of hex text from a golden file, which is sound. */
export function bytesOf(hex: string): Uint8Array {
	const bytes = parseHex(hex);
	if (!(bytes instanceof Uint8Array)) {
		throw new RangeError(`not hex: ${hex}`);
	}
	return bytes;
}
