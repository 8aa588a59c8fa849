/**
 * A client of NETLINK_XFRM: what `ip xfrm` and key daemons ask, as typed calls, over any transport.
 *
 *     const client = new XfrmClient(linuxTransport());
 *     await client.states.add({ id, saddr, family, mode, aead, reqid: 7 });
 *     for (const state of await client.states.list({ filter: { proto: IpProto.Esp } })) { … }
 *     for await (const event of client.events('acquire', 'expire')) {
 *         if (event.kind === 'resync') { … }
 *     }
 *     client.close();
 *
 * Everything that fails does so with a `NetlinkError`. What only a kernel could answer wrongly is not
 * checked here: the kernel judges, its errno and sentence come back.
 */
import { onlyAnswer } from './client-answer.ts';
import { PolicyClient } from './client-policies.ts';
import { StateClient } from './client-states.ts';
import type { CallOptions } from './deadline.ts';
import type { EventGroup } from './event.ts';
import { EventStream } from './event-stream.ts';
import { Exchange, type Request } from './exchange.ts';
import type { RawMessage } from './message.ts';
import type { CancelSignal, NetlinkTransport } from './transport.ts';
import { attributeValue } from './xfrm/attributes.ts';
import type { SadHashInfo, SpdCounts, SpdHashInfo, SpdHashThreshold } from './xfrm/info.ts';
import type { MessageName } from './xfrm/messages.ts';
import type { UserPolicyDefault } from './xfrm/policy.ts';
import { AttributeCollector, optional } from './xfrm/state-config.ts';

/** Counts of states (NEWSADINFO). */
export interface StatesInfo {
	readonly stateCount: number;
	/** Buckets of the kernel's tables now, and at most. */
	readonly buckets: SadHashInfo;
}

/** Counts and thresholds of policies (NEWSPDINFO). */
export interface PoliciesInfo {
	/** Main and sub together; `ins`, `outs` and `fwds` are those of sockets. */
	readonly counts: SpdCounts;
	/** Mask of the index table now, and its buckets at most. */
	readonly buckets: SpdHashInfo;
	/** Prefix lengths from which on a policy is looked up exactly (P-11). */
	readonly threshold4: SpdHashThreshold;
	readonly threshold6: SpdHashThreshold;
}

const NO_BUCKETS = { sadhcnt: 0, sadhmcnt: 0 };
const NO_INDEX_BUCKETS = { spdhcnt: 0, spdhmcnt: 0 };
const NO_COUNTS = { incnt: 0, outcnt: 0, fwdcnt: 0, inscnt: 0, outscnt: 0, fwdscnt: 0 };
const NO_THRESHOLD = { lbits: 0, rbits: 0 };

/** What happens to packets that no policy matches (D-1); `DefaultAction`s. */
export class DefaultsClient {
	readonly #exchange: Exchange;

	/** Made by `XfrmClient`. */
	constructor(exchange: Exchange) {
		this.#exchange = exchange;
	}

	/** The three defaults. */
	async get(options: CallOptions = {}): Promise<UserPolicyDefault> {
		const operation = 'defaults.get';
		const body = { in: 0, fwd: 0, out: 0 };
		const request = { operation, name: 'getdefault', body } as const;
		const answers = await this.#exchange.request(request, options);
		return onlyAnswer(operation, answers, 'getdefault').body;
	}

	/** Sets those that are given. */
	async set(defaults: Partial<UserPolicyDefault>, options: CallOptions = {}): Promise<void> {
		const body = { in: 0, fwd: 0, out: 0, ...defaults };
		const request = { operation: 'defaults.set', name: 'setdefault', body } as const;
		await this.#exchange.request(request, options);
	}
}

/** The databases as wholes. */
export class InfoClient {
	readonly #exchange: Exchange;

	/** Made by `XfrmClient`. */
	constructor(exchange: Exchange) {
		this.#exchange = exchange;
	}

	/** How many states there are. */
	async states(options: CallOptions = {}): Promise<StatesInfo> {
		const operation = 'info.states';
		const request = { operation, name: 'getsadinfo', body: { flags: 0 } } as const;
		const answers = await this.#exchange.request(request, options);
		const { attributes } = onlyAnswer(operation, answers, 'newsadinfo');
		return {
			stateCount: attributeValue(attributes, 'sadCnt') ?? 0,
			buckets: attributeValue(attributes, 'sadHinfo') ?? NO_BUCKETS,
		};
	}

	/** How many policies there are, and how they are looked up. */
	async policies(options: CallOptions = {}): Promise<PoliciesInfo> {
		const operation = 'info.policies';
		const request = { operation, name: 'getspdinfo', body: { flags: 0 } } as const;
		const answers = await this.#exchange.request(request, options);
		const { attributes } = onlyAnswer(operation, answers, 'newspdinfo');
		return {
			counts: attributeValue(attributes, 'spdInfo') ?? NO_COUNTS,
			buckets: attributeValue(attributes, 'spdHinfo') ?? NO_INDEX_BUCKETS,
			threshold4: attributeValue(attributes, 'spdIpv4Hthresh') ?? NO_THRESHOLD,
			threshold6: attributeValue(attributes, 'spdIpv6Hthresh') ?? NO_THRESHOLD,
		};
	}

	/** Sets the thresholds that are given. @spec P-11 */
	async setThresholds(
		thresholds: Partial<Pick<PoliciesInfo, 'threshold4' | 'threshold6'>>,
		options: CallOptions = {},
	): Promise<void> {
		const request = {
			operation: 'info.setThresholds',
			name: 'newspdinfo',
			body: { flags: 0 },
			attributes: new AttributeCollector()
				.add('spdIpv4Hthresh', thresholds.threshold4)
				.add('spdIpv6Hthresh', thresholds.threshold6).list,
		} as const;
		await this.#exchange.request(request, options);
	}
}

export class XfrmClient {
	readonly states: StateClient;
	readonly policies: PolicyClient;
	readonly defaults: DefaultsClient;
	readonly info: InfoClient;
	readonly #transport: NetlinkTransport;
	readonly #exchange: Exchange;
	readonly #streams: Set<EventStream> = new Set();

	/** Opens nothing yet: the first request does. */
	constructor(transport: NetlinkTransport) {
		this.#transport = transport;
		this.#exchange = new Exchange(transport);
		this.states = new StateClient(this.#exchange);
		this.policies = new PolicyClient(this.#exchange);
		this.defaults = new DefaultsClient(this.#exchange);
		this.info = new InfoClient(this.#exchange);
	}

	/**
	 * Listens to these groups from now on, by a socket of its own. Iterate over it; `break`, `close` or the
	 * client's `close` end it.
	 *
	 * @throws NetlinkError EPERM without the right to listen
	 */
	events(...groups: readonly EventGroup[]): EventStream {
		return this.subscribe(groups);
	}

	/** As `events`, with a signal that ends the iteration with ECANCELED. */
	subscribe(
		groups: readonly EventGroup[],
		options: { readonly signal?: CancelSignal } = {},
	): EventStream {
		let stream: EventStream | undefined;
		const ended = (): void => {
			if (stream !== undefined) {
				this.#streams.delete(stream);
			}
		};
		const signal = optional('signal', options.signal);
		stream = new EventStream(this.#transport, this.#exchange, groups, { ...signal, ended });
		this.#streams.add(stream);
		return stream;
	}

	/** Sends any request, and answers with the messages that came before its acknowledgement. */
	request<N extends MessageName>(
		request: Request<N>,
		options: CallOptions = {},
	): Promise<readonly RawMessage[]> {
		return this.#exchange.request(request, options);
	}

	/** Gives all sockets back; what waits is refused with EBADF, streams end. */
	close(): void {
		for (const stream of [...this.#streams]) {
			stream.close();
		}
		this.#exchange.close();
	}
}
