/**
 * The namespace's end of NETLINK_XFRM: takes datagrams of requests, answers each message in order, and
 * tells subscribers what happened (net/xfrm/xfrm_user.c: xfrm_user_rcv_msg, net/netlink/af_netlink.c:
 * netlink_rcv_skb, netlink_ack; spec 2.1).
 *
 * For each message, in this order: not a request or netlink's own → acknowledged if asked; number too
 * high → EINVAL; no right → EPERM; dump; payload length; attributes; forbidden attributes; handler.
 * Sans-IO: nothing here knows a socket or a clock.
 */
import type { EngineDoor } from '@xfrm/engine';
import {
	type AttributeSpace,
	ControlType,
	type ExtendedAck,
	encodeError,
	MESSAGE_HEADER_OCTETS,
	type MessageBodies,
	MessageFlag,
	type MessageName,
	MessageType,
	messageSpec,
	messagesOf,
	type RawMessage,
	viewOf,
	XFRM_ATTRIBUTES,
} from '@xfrm/netlink';
import { Errno } from '@xfrm/wire/xfrm';
import { type ClientOptions, NetlinkClient } from './client.ts';
import type { Notification, RequestContext } from './context.ts';
import { dumpPolicies, dumpStates } from './dump.ts';
import { HANDLERS, type Handler, READING_HANDLERS } from './handlers.ts';
import { checkMigrateStateAttributes } from './migrate-state-request.ts';
import { eventNotification } from './notify.ts';
import { checkPayload, RequestAttributes } from './request.ts';
import { invalid, XfrmError } from './xfrm-error.ts';

const LEFTOVER = 'bytes leftover after parsing attributes';

/** How a request ended, before it is decided whether to tell. */
interface Outcome {
	readonly errno: number;
	readonly extended: ExtendedAck | undefined;
	/** A dump began: its end is its acknowledgement. */
	readonly dumping: boolean;
}
const SUCCESS: Outcome = { errno: 0, extended: undefined, dumping: false };

/** Messages that may carry SA_DIR, and SA_PCPU too; ACQUIRE only the latter (spec 2.5). */
const DIRECTED: ReadonlySet<number> = new Set([
	MessageType.NewSa,
	MessageType.UpdSa,
	MessageType.AllocSpi,
]);

export class NetlinkServer {
	readonly engine: EngineDoor;
	readonly #clients: Set<NetlinkClient> = new Set();
	/** The latest: V8 forgets what it has compiled for a class when none of its objects is left. */
	readonly #kept: RequestContext[] = [];
	#scratch: Uint8Array = new Uint8Array(4096);
	#scratchView: DataView = viewOf(this.#scratch);

	constructor(engine: EngineDoor) {
		this.engine = engine;
	}

	/** Opens a socket. */
	connect(options: ClientOptions): NetlinkClient {
		const client = new NetlinkClient(options);
		this.#clients.add(client);
		return client;
	}

	/** Closes a socket: its dump ends, it hears nothing any more, and its groups no longer count as listened to. */
	disconnect(client: NetlinkClient): void {
		this.#clients.delete(client);
		client.dump = undefined;
		this.#updateListeners();
	}

	/**
	 * Subscribes a client to exactly these groups (bit `1 << (group - 1)`) and tells the engine.
	 *
	 * @spec A-6 R-11
	 */
	subscribe(client: NetlinkClient, groups: number): void {
		client.groups = groups;
		this.#updateListeners();
	}

	/**
	 * Carries out one datagram (it may hold several messages, or none) and answers with all datagrams that
	 * come back, dumps to their end. Notifications are queued at the subscribed clients.
	 *
	 * @param nowUs microseconds since the Unix epoch
	 */
	request(client: NetlinkClient, datagram: Uint8Array, nowUs: number): Uint8Array[] {
		const answers = this.begin(client, datagram, nowUs);
		for (let part = this.continueDump(client); part !== undefined; ) {
			answers.push(part);
			part = this.continueDump(client);
		}
		return answers;
	}

	/**
	 * As `request`, but of a dump only the first part is answered: the rest comes by `continueDump`, part
	 * by part as the client reads. Until then the client's further dumps are EBUSY.
	 *
	 * @spec N-10 N-11 N-12 N-16b
	 */
	begin(client: NetlinkClient, datagram: Uint8Array, nowUs: number): Uint8Array[] {
		const answers: Uint8Array[] = [];
		const view = this.#copyOf(datagram);
		for (const message of messagesOf(view, datagram.length)) {
			const outcome = this.#receive(client, message, nowUs, answers);
			this.dispatchEvents();
			if (!outcome.dumping && (outcome.errno !== 0 || (message.flags & MessageFlag.Ack) !== 0)) {
				answers.push(this.#acknowledge(client, message, outcome));
			}
		}
		return answers;
	}

	/** Handlers may write into requests. Whatever they keep they copy, so that one memory serves all. */
	#copyOf(datagram: Uint8Array): DataView {
		if (this.#scratch.length < datagram.length) {
			this.#scratch = new Uint8Array(2 * datagram.length);
			this.#scratchView = viewOf(this.#scratch);
		}
		this.#scratch.set(datagram);
		return this.#scratchView;
	}

	/** The next part of a client's dump; undefined when none is in progress. */
	continueDump(client: NetlinkClient): Uint8Array | undefined {
		if (client.dump === undefined) {
			return undefined;
		}
		const { datagram, last } = client.dump.next();
		if (last) {
			client.dump = undefined;
		}
		return datagram;
	}

	/** Takes the engine's events and queues them, as notifications, at the clients that subscribed. */
	dispatchEvents(): void {
		for (
			let event = this.engine.pollEvent();
			event !== undefined;
			event = this.engine.pollEvent()
		) {
			this.notify(eventNotification(event));
		}
	}

	/**
	 * One message, checks in the kernel's order.
	 *
	 * @spec N-5 N-6 N-7
	 */
	#receive(
		client: NetlinkClient,
		message: RawMessage,
		nowUs: number,
		answers: Uint8Array[],
	): Outcome {
		const isRequest = (message.flags & MessageFlag.Request) !== 0;
		if (!isRequest || message.type < ControlType.Min) {
			return SUCCESS;
		}
		let leftover = false;
		try {
			if (message.type > this.engine.net.profile.messageMax) {
				invalid();
			}
			if (!client.privileged) {
				throw new XfrmError(Errno.EPERM);
			}
			if (this.#beginDump(client, message, answers)) {
				return { ...SUCCESS, dumping: true };
			}
			const attributes = this.#parse(message);
			leftover = attributes.leftover > 0;
			this.#handle(client, message, attributes, nowUs, answers);
			return leftover ? { ...SUCCESS, extended: { message: LEFTOVER } } : SUCCESS;
		} catch (error) {
			if (!(error instanceof XfrmError)) {
				throw error;
			}
			const extended = leftover ? { message: LEFTOVER, ...error.extended } : error.extended;
			return { errno: error.errno, extended, dumping: false };
		}
	}

	/** Starts a dump if the message asks for one, and answers its first part. */
	#beginDump(client: NetlinkClient, message: RawMessage, answers: Uint8Array[]): boolean {
		const isState = message.type === MessageType.GetSa;
		const dumpable = isState || message.type === MessageType.GetPolicy;
		if (!dumpable || (message.flags & MessageFlag.Dump) === 0) {
			return false;
		}
		if (client.dump !== undefined) {
			throw new XfrmError(Errno.EBUSY);
		}
		client.dump = isState
			? dumpStates(this.engine, message, client.portId, client.ackOptions.extAck)
			: dumpPolicies(this.engine, message, client.portId);
		const part = this.continueDump(client);
		if (part !== undefined) {
			answers.push(part);
		}
		return true;
	}

	/** Some messages are the kernel's only: as requests they have neither payload nor attributes of their own. */
	#hasPayload(type: number): boolean {
		return type === MessageType.Mapping
			? this.engine.net.profile.mappingPayload
			: type !== MessageType.NewSadInfo;
	}

	#parse(message: RawMessage): RequestAttributes {
		const spec = messageSpec(message.type);
		const known = spec !== undefined && this.#hasPayload(spec.type);
		const octets = known ? spec.body.octets : 0;
		const space: AttributeSpace = known ? spec.attributes : XFRM_ATTRIBUTES;
		checkPayload(message, octets);
		const { attributeMax } = this.engine.net.profile;
		const attributes = new RequestAttributes(message, octets, space, attributeMax);
		if (space === XFRM_ATTRIBUTES && !DIRECTED.has(message.type)) {
			if (attributes.has('saDir')) {
				invalid('Invalid attribute SA_DIR');
			}
			if (attributes.has('saPcpu') && message.type !== MessageType.Acquire) {
				invalid('Invalid attribute SA_PCPU');
			}
		}
		if (message.type === MessageType.MigrateState) {
			checkMigrateStateAttributes(attributes);
		}
		return attributes;
	}

	#handle(
		client: NetlinkClient,
		request: RawMessage,
		attributes: RequestAttributes,
		nowUs: number,
		answers: Uint8Array[],
	): void {
		const spec = messageSpec(request.type);
		if (spec === undefined) {
			invalid();
		}
		const context = new Service(this, client, request, attributes, nowUs, answers);
		this.#kept[0] = context;
		const reading = READING_HANDLERS[spec.name];
		if (reading !== undefined) {
			reading(context);
			return;
		}
		const handler = HANDLERS[spec.name];
		if (handler === undefined) {
			invalid();
		}
		const body = spec.body.read(request.view, request.at + MESSAGE_HEADER_OCTETS);
		// The table gives each name the handler of its payload.
		(handler as Handler<MessageName>)(context, body as MessageBodies[MessageName]);
	}

	#acknowledge(client: NetlinkClient, message: RawMessage, outcome: Outcome): Uint8Array {
		const { errno, extended } = outcome;
		const pid = client.portId;
		const tells = extended !== undefined && Object.keys(extended).length > 0;
		if (errno === 0 && !tells) {
			return encodeError(message, 0, { pid, capAck: false });
		}
		const { extAck, capAck } = client.ackOptions;
		return encodeError(message, errno, { pid, capAck, ...(tells && extAck ? { extended } : {}) });
	}

	/** Queues a message at those who listen to its group. */
	notify({ group, message }: Notification): void {
		const bit = 1 << (group - 1);
		if ((this.engine.net.listeners & bit) === 0) {
			return;
		}
		let made: Uint8Array | undefined;
		for (const client of this.#clients) {
			if ((client.groups & bit) !== 0) {
				made ??= message();
				client.deliver(made);
			}
		}
	}

	#updateListeners(): void {
		let groups = 0;
		for (const client of this.#clients) {
			groups |= client.groups;
		}
		this.engine.net.listeners = groups;
	}
}

/** What a handler works with, of one request. */
class Service implements RequestContext {
	readonly engine: EngineDoor;
	readonly client: NetlinkClient;
	readonly request: RawMessage;
	readonly attributes: RequestAttributes;
	readonly nowUs: number;
	readonly #server: NetlinkServer;
	readonly #answers: Uint8Array[];

	constructor(
		server: NetlinkServer,
		client: NetlinkClient,
		request: RawMessage,
		attributes: RequestAttributes,
		nowUs: number,
		answers: Uint8Array[],
	) {
		this.engine = server.engine;
		this.client = client;
		this.request = request;
		this.attributes = attributes;
		this.nowUs = nowUs;
		this.#server = server;
		this.#answers = answers;
	}

	reply(message: Uint8Array): void {
		this.#answers.push(message);
	}

	notify(notification: Notification): void {
		this.#server.notify(notification);
	}
}
