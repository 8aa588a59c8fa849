/**
 * Target `netlink`: hostile datagrams into our server, in this process. Whatever comes in, nothing throws,
 * answers are messages that the kernel could have sent, tables can be emptied again, and memory stays flat.
 */
import { nullProvider } from '@xfrm/crypto/null';
import { Engine, type KernelProfile, linux61, linux72, linux619 } from '@xfrm/engine';
import {
	ControlType,
	decodeMessage,
	encodeMessage,
	MessageFlag,
	MessageType,
	parseAck,
	type RawMessage,
	splitMessages,
} from '@xfrm/netlink';
import { type NetlinkClient, NetlinkServer } from '@xfrm/netlink-server';
import { formatHex } from '@xfrm/wire';
import { availableOf, readProfiles } from '../golden/golden-files.ts';
import { seededRandom } from '../golden/laboratory.ts';
import { Random } from '../kernel/random.ts';
import { RequestRandom } from '../kernel-netlink/request-random.ts';
import { goldenRequests, hostileDatagram } from './netlink-mutation.ts';
import { type Course, check, Fault, heapOctets, type Outcome, type Target } from './target.ts';

/** Datagrams to one server before it is emptied and looked at. */
const DATAGRAMS_A_WORLD = 1500;
/** Worlds before the heap is measured for the first time: code is compiled, caches are full. */
const WORLDS_BEFORE = 12;
/** What the heap may differ by from one measurement to the other. */
const HEAP_OCTETS_MAX = 8 << 20;

const ALL_GROUPS = 0xff;
const START_US = 1_700_000_000_000_000;
/** Error numbers that NETLINK_XFRM answers with. */
const ERRNOS: ReadonlySet<number> = new Set([
	0, 1, 2, 3, 11, 12, 16, 17, 19, 22, 34, 38, 61, 71, 92, 93, 95, 97,
]);

/** Types of what the kernel sends on its own or as an answer. */
const KERNEL_TYPES: ReadonlySet<number> = new Set([
	MessageType.NewSa,
	MessageType.UpdSa,
	MessageType.DelSa,
	MessageType.NewPolicy,
	MessageType.UpdPolicy,
	MessageType.DelPolicy,
	MessageType.Acquire,
	MessageType.Expire,
	MessageType.PolExpire,
	MessageType.FlushSa,
	MessageType.FlushPolicy,
	MessageType.NewAe,
	MessageType.Report,
	MessageType.Migrate,
	MessageType.NewSadInfo,
	MessageType.NewSpdInfo,
	MessageType.Mapping,
	MessageType.GetDefault,
	MessageType.MigrateState,
]);

/** Is it a message of XFRM that the kernel could have written? */
function checkKernelMessage(raw: RawMessage): void {
	check(KERNEL_TYPES.has(raw.type), `a message of type ${raw.type}`);
	const message = decodeMessage(raw);
	check(message !== undefined && message.rest === undefined, 'a message that cannot be read');
	check(
		message !== undefined && formatHex(encodeMessage(message)) === formatHex(raw.bytes),
		'a message that is not what it says',
	);
	const unknown = message?.attributes.find(({ name }) => name === 'unknown');
	check(unknown === undefined, 'an attribute that there is not');
}

/** The messages of a datagram, which has to consist of them. */
function whole(datagram: Uint8Array): RawMessage[] {
	const messages = splitMessages(datagram);
	const octets = messages.reduce((sum, { bytes }) => sum + bytes.length, 0);
	check(octets === datagram.length && octets > 0, 'a datagram that is not whole messages');
	return messages;
}

/** One namespace and those who speak with it. */
class World {
	readonly profile: KernelProfile;
	readonly #server: NetlinkServer;
	readonly #client: NetlinkClient;
	readonly #listener: NetlinkClient;
	readonly #random: Random;
	#nowUs: number = START_US;

	constructor(profile: KernelProfile, random: Random) {
		const { available } = readProfiles();
		const built = available[profile === linux61 ? 'uml61' : 'uml619'];
		if (built === undefined) {
			throw new RangeError('golden/profiles.json does not say what the kernel had');
		}
		this.profile = profile;
		this.#random = random;
		const engine = new Engine({
			profile,
			available: availableOf(built),
			provider: nullProvider(),
			random: seededRandom(random.u32()),
			processors: 2,
			route: () => undefined,
		});
		this.#server = new NetlinkServer(engine);
		this.#client = this.#server.connect({ portId: 77 });
		this.#listener = this.#server.connect({ portId: 78, queueMax: 100 });
		this.#server.subscribe(this.#listener, ALL_GROUPS);
	}

	/** Gives a datagram in and looks at everything that comes out. */
	put(datagram: Uint8Array): void {
		const random = this.#random;
		const before = formatHex(datagram);
		this.#client.extAck = random.chance(0.8);
		this.#client.capAck = random.chance(0.3);
		this.#client.privileged = random.chance(0.99);
		const requests = splitMessages(datagram);
		const answers = this.#server.request(this.#client, datagram, this.#nowUs);
		check(formatHex(datagram) === before, 'the request was written to');
		this.#checkAnswers(requests, answers.flatMap(whole));
		if (random.chance(0.05)) {
			this.#pass(random.pick([1, 1000, 1_000_000, 40_000_000, 4_000_000_000]));
		}
		if (random.chance(0.1)) {
			for (const notification of this.#listener.receiveAll()) {
				whole(notification).forEach(checkKernelMessage);
			}
			this.#listener.takeOverrun();
		}
	}

	/** Lets time go by. */
	#pass(us: number): void {
		const { engine } = this.#server;
		this.#nowUs += us;
		for (let i = 0; engine.pollTimeout() <= this.#nowUs; i++) {
			check(i < 100_000, 'timers that never end');
			engine.handleTimeout(Math.max(engine.pollTimeout(), START_US));
			this.#server.dispatchEvents();
		}
	}

	#checkAnswers(requests: readonly RawMessage[], answers: readonly RawMessage[]): void {
		const seqs = new Set(requests.map(({ seq }) => seq));
		let replies = 0;
		for (const raw of answers) {
			check(seqs.has(raw.seq), 'an answer to nothing');
			if (raw.type !== MessageType.NewAe) {
				// GETAE's alone has the port id that the requester wrote.
				check(raw.pid === this.#client.portId, 'an answer to somebody else');
			}
			if (raw.type === ControlType.Error || raw.type === ControlType.Done) {
				const ack = parseAck(raw);
				check(ack !== undefined && ERRNOS.has(ack.errno), `errno ${ack?.errno}`);
			} else {
				checkKernelMessage(raw);
				replies += (raw.flags & MessageFlag.Multi) === 0 ? 1 : 0;
			}
		}
		check(replies <= requests.length, 'more answers than requests');
		const acks = answers.filter(({ type }) => type === ControlType.Error);
		check(acks.length <= requests.length, 'more acknowledgements than requests');
	}

	/** Dumps agree with the counts; after flushes there is nothing left. */
	empty(): void {
		const { engine } = this.#server;
		this.#client.privileged = true;
		const counts = engine.spdInfo().counts.reduce((sum, count) => sum + count, 0);
		check(this.#dump(MessageType.GetSa) === engine.sadInfo().stateCount, 'states that dumps miss');
		check(this.#dump(MessageType.GetPolicy) === counts, 'policies that dumps miss');
		engine.flushStates(0, this.#nowUs);
		engine.flushPolicies(0, this.#nowUs);
		engine.flushPolicies(1, this.#nowUs);
		const left = [...engine.states()];
		check(
			left.every((state) => state.kernelOwned && this.profile.refusedKeepsHelper),
			'states that a flush leaves',
		);
		check([...engine.policies()].length === 0, 'policies that a flush leaves');
		// Two of each state, and the namespace's own of NAT keepalives.
		check(engine.net.timers.count <= 2 * left.length + 1, 'timers of things that are gone');
		this.#listener.receiveAll();
	}

	/** Members of a dump. */
	#dump(type: number): number {
		const request = new Uint8Array([16, 0, 0, 0, type, 0, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0]);
		const answers = this.#server.request(this.#client, request, this.#nowUs).flatMap(whole);
		const members = answers.filter((raw) => raw.type >= ControlType.Min);
		members.forEach(checkKernelMessage);
		return members.length;
	}
}

/** Runs one world after the other; the one of 6.1 lives on, as nothing may be left in it. */
function run({ seed, goesOn, watch }: Course): Outcome {
	const random = new Random(seed);
	const requests = new RequestRandom(random.u32());
	const seeds = goldenRequests();
	const lasting = new World(linux61, random);
	let inputs = 0;
	let heapBefore = Number.POSITIVE_INFINITY;
	let last: Uint8Array = new Uint8Array(0);
	try {
		for (let count = 0; goesOn(); count++) {
			const profile = [linux61, linux619, linux72][count % 3] ?? linux61;
			const world = profile === linux61 ? lasting : new World(profile, random);
			const isOrderly = random.chance(0.3);
			for (let i = 0; i < DATAGRAMS_A_WORLD && goesOn(); i++) {
				last = isOrderly
					? (requests.sequence()[0]?.datagram ?? last)
					: hostileDatagram(random, seeds);
				watch(last);
				world.put(last);
				inputs++;
			}
			last = new Uint8Array(0);
			world.empty();
			if (count === WORLDS_BEFORE) {
				heapBefore = heapOctets();
			} else if (count > WORLDS_BEFORE && count % WORLDS_BEFORE === 0) {
				const grown = heapOctets() - heapBefore;
				check(grown < HEAP_OCTETS_MAX, `the heap grew by ${grown} octets in ${count} worlds`);
			}
		}
	} catch (error) {
		const text = error instanceof Fault ? error.message : String((error as Error).stack);
		return { inputs, fault: `${text}\ninput ${inputs}: ${formatHex(last)}` };
	}
	return { inputs, fault: undefined };
}

export const netlinkTarget: Target = { run };
