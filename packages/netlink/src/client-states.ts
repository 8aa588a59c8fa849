/** States by the client: `client.states`. */
import {
	type Address,
	AeventFlag,
	type Encap,
	Errno,
	type LifetimeCurrent,
	type Mark,
	type ReplayEsn,
	type ReplayLegacy,
	type Selector,
	type StateId,
} from '@xfrm/wire/xfrm';
import { membersOf, onlyAnswer, unlessErrno } from './client-answer.ts';
import type { CallOptions } from './deadline.ts';
import type { Exchange } from './exchange.ts';
import { MessageFlag } from './message.ts';
import {
	completeState,
	type KernelState,
	kernelStateOf,
	type StateInput,
	stateRequestAttributes,
	stateRequestBody,
} from './state-request.ts';
import { attributeValue, type XfrmAttribute } from './xfrm/attributes.ts';
import type { NamedMessage } from './xfrm/messages.ts';
import type { AddressFilter } from './xfrm/selector.ts';
import type { AeventId, UserSaId } from './xfrm/state.ts';
import { AttributeCollector, optional } from './xfrm/state-config.ts';

/** By what a state is found: SPI for ESP, AH and IPComp, source for the others (S-5). */
export interface StateKey {
	readonly id: StateId;
	readonly family: number;
	/** Needed when the protocol has no SPI. */
	readonly saddr?: Address;
	readonly mark?: Mark;
}

/** Which states a list has; the kernel chooses (N-14). */
export interface StateFilter {
	/** Exact, or 255 for ESP, AH and IPComp. */
	readonly proto?: number;
	/** Prefixes of the addresses; a length of 0 matches all. */
	readonly addresses?: AddressFilter;
}

/** A larval state to be given an SPI from a range, both ends included. */
export interface SpiRequest {
	readonly daddr: Address;
	readonly saddr: Address;
	readonly family: number;
	readonly proto: number;
	readonly mode: number;
	readonly reqid?: number;
	/** Of the acquire that is answered. */
	readonly seq?: number;
	readonly min: number;
	readonly max: number;
	readonly mark?: Mark;
	readonly ifId?: number;
	readonly direction?: number;
	readonly pcpu?: number;
}

/** What `setReplay` sets; absent fields stay, one has to be there. */
export interface ReplayUpdate {
	readonly replay?: ReplayLegacy;
	readonly replayEsn?: ReplayEsn;
	readonly lifetimeCurrent?: LifetimeCurrent;
	/** Packets. */
	readonly replayThreshold?: number;
	/** Raw, as sent: the kernel's timer ticks. */
	readonly expiryTimer?: number;
}

/** What `replay` tells. */
export interface ReplayAnswer {
	readonly saddr: Address;
	readonly reqid: number;
	readonly replay?: ReplayLegacy;
	readonly replayEsn?: ReplayEsn;
	readonly lifetimeCurrent?: LifetimeCurrent;
	readonly replayThreshold?: number;
	/** Tenths of a second. */
	readonly expiryTimer?: number;
}

/** One state to be moved (MIGRATE_STATE, after 6.18). */
export interface StateMove {
	readonly key: StateKey;
	readonly daddr: Address;
	readonly saddr: Address;
	readonly family: number;
	readonly selector: Selector;
	readonly reqid: number;
	/** 1 clears the offload, 2 makes the selector that of the new hosts. */
	readonly flags?: number;
	readonly encap?: Encap;
}

/** The `xfrm_usersa_id` of a key. */
function saIdOf({ id, family }: StateKey): UserSaId {
	return { daddr: id.daddr, spi: id.spi, family, proto: id.proto };
}

function keyAttributes(key: StateKey): AttributeCollector {
	return new AttributeCollector().add('srcaddr', key.saddr).add('mark', key.mark);
}

/** The payload of NEWAE and GETAE. */
function aeventIdOf(key: StateKey, flags: number): AeventId {
	const saddr = key.saddr ?? new Uint8Array(16);
	return { saId: saIdOf(key), saddr, flags, reqid: 0 };
}

export class StateClient {
	readonly #exchange: Exchange;

	/** Made by `XfrmClient`. */
	constructor(exchange: Exchange) {
		this.#exchange = exchange;
	}

	/** Adds a state; EEXIST when there is one with this identity. */
	async add(state: StateInput, options: CallOptions = {}): Promise<void> {
		await this.#put('newsa', 'states.add', state, options);
	}

	/** Sets what may change of a state, or completes a larval one; ESRCH when there is none (S-11). */
	async update(state: StateInput, options: CallOptions = {}): Promise<void> {
		await this.#put('updsa', 'states.update', state, options);
	}

	/** Deletes a state; ESRCH when there is none. */
	async delete(key: StateKey, options: CallOptions = {}): Promise<void> {
		const operation = 'states.delete';
		const attributes = keyAttributes(key).list;
		const request = { operation, name: 'delsa', body: saIdOf(key), attributes } as const;
		await this.#exchange.request(request, options);
	}

	/** A state, or undefined when there is none. */
	async get(key: StateKey, options: CallOptions = {}): Promise<KernelState | undefined> {
		const operation = 'states.get';
		const attributes = keyAttributes(key).list;
		const request = { operation, name: 'getsa', body: saIdOf(key), attributes } as const;
		const answers = await unlessErrno(Errno.ESRCH, this.#exchange.request(request, options));
		if (answers === undefined) {
			return undefined;
		}
		const message = onlyAnswer(operation, answers, 'newsa');
		return kernelStateOf(message.body, message.attributes);
	}

	/** All states that the filter lets through, newest first. */
	async list(
		options: CallOptions & { readonly filter?: StateFilter } = {},
	): Promise<KernelState[]> {
		const messages = await this.dump(options);
		return messages.map(({ body, attributes }) => kernelStateOf(body, attributes));
	}

	/** As `list`, but the messages as they came: to print, to save, to send elsewhere. */
	async dump(
		options: CallOptions & { readonly filter?: StateFilter } = {},
	): Promise<NamedMessage<'newsa'>[]> {
		const { filter = {} } = options;
		const attributes = new AttributeCollector()
			.add('proto', filter.proto)
			.add('addressFilter', filter.addresses).list;
		const operation = 'states.list';
		const request = { operation, name: 'dumpsa', body: {}, attributes } as const;
		const members = await this.#exchange.dump(request, options);
		return membersOf(operation, members, 'newsa');
	}

	/** Finds or makes a larval state and gives it an SPI; ENOENT when none of the range is free. */
	async allocSpi(wish: SpiRequest, options: CallOptions = {}): Promise<KernelState> {
		const { daddr, saddr, family, proto, mode, reqid, seq, min, max } = wish;
		const operation = 'states.allocSpi';
		const state = completeState({
			id: { daddr, spi: 0, proto },
			saddr,
			family,
			mode,
			...(reqid === undefined ? {} : { reqid }),
			...(seq === undefined ? {} : { seq }),
		});
		const attributes = new AttributeCollector()
			.add('mark', wish.mark)
			.add('ifId', wish.ifId)
			.add('saDir', wish.direction)
			.add('saPcpu', wish.pcpu).list;
		const body = { info: stateRequestBody(state), min, max };
		const request = { operation, name: 'allocspi', body, attributes } as const;
		const message = onlyAnswer(operation, await this.#exchange.request(request, options), 'newsa');
		return kernelStateOf(message.body, message.attributes);
	}

	/** Deletes all states of a protocol; 0 is all, 255 is ESP, AH and IPComp. */
	async flush(proto: number = 0, options: CallOptions = {}): Promise<void> {
		const request = { operation: 'states.flush', name: 'flushsa', body: { proto } } as const;
		await this.#exchange.request(request, options);
	}

	/** Makes a state expire: tells everybody who listens, and if `hard` deletes it. */
	async expire(
		key: StateKey,
		expiry: { readonly hard: boolean },
		options: CallOptions = {},
	): Promise<void> {
		const { id, family, saddr = new Uint8Array(16) } = key;
		const state = stateRequestBody(completeState({ id, family, saddr }));
		const request = {
			operation: 'states.expire',
			name: 'expire',
			body: { state, hard: expiry.hard ? 1 : 0 },
			attributes: new AttributeCollector().add('mark', key.mark).list,
		} as const;
		await this.#exchange.request(request, options);
	}

	/** Replay and lifetime values, with both thresholds (GETAE); undefined when there is no such state. */
	async replay(key: StateKey, options: CallOptions = {}): Promise<ReplayAnswer | undefined> {
		const operation = 'states.replay';
		const flags = AeventFlag.ReplayThreshold | AeventFlag.ExpiryTimer;
		const attributes = new AttributeCollector().add('mark', key.mark).list;
		const body = aeventIdOf(key, flags);
		const request = { operation, name: 'getae', body, attributes } as const;
		const answers = await unlessErrno(Errno.ESRCH, this.#exchange.request(request, options));
		if (answers === undefined) {
			return undefined;
		}
		const message = onlyAnswer(operation, answers, 'newae');
		return replayAnswerOf(message.body, message.attributes);
	}

	/** Sets replay and lifetime values (NEWAE), as a standby does that takes over. */
	async setReplay(key: StateKey, update: ReplayUpdate, options: CallOptions = {}): Promise<void> {
		const attributes = new AttributeCollector()
			.add('ltimeVal', update.lifetimeCurrent)
			.add('replayVal', update.replay)
			.add('replayThresh', update.replayThreshold)
			.add('etimerThresh', update.expiryTimer)
			.add('mark', key.mark)
			.add('replayEsnVal', update.replayEsn).list;
		const request = {
			operation: 'states.setReplay',
			name: 'newae',
			body: aeventIdOf(key, 0),
			attributes,
			flags: MessageFlag.Replace,
		} as const;
		await this.#exchange.request(request, options);
	}

	/** Moves one state to other addresses in one step; kernels up to 6.19 say EINVAL. */
	async move(move: StateMove, options: CallOptions = {}): Promise<void> {
		const { key } = move;
		const body = {
			id: saIdOf(key),
			newDaddr: move.daddr,
			newSaddr: move.saddr,
			oldMark: key.mark ?? { v: 0, m: 0 },
			newSelector: move.selector,
			newReqid: move.reqid,
			flags: move.flags ?? 0,
			newFamily: move.family,
			reserved: 0,
		};
		const attributes = new AttributeCollector().add('encap', move.encap).list;
		const operation = 'states.move';
		await this.#exchange.request({ operation, name: 'migratestate', body, attributes }, options);
	}

	async #put(
		name: 'newsa' | 'updsa',
		operation: string,
		input: StateInput,
		options: CallOptions,
	): Promise<void> {
		const config = completeState(input);
		const body = stateRequestBody(config);
		const attributes = stateRequestAttributes(config);
		await this.#exchange.request({ operation, name, body, attributes }, options);
	}
}

/** Reads a NEWAE. */
export function replayAnswerOf(body: AeventId, attributes: readonly XfrmAttribute[]): ReplayAnswer {
	return {
		saddr: body.saddr,
		reqid: body.reqid,
		...optional('replay', attributeValue(attributes, 'replayVal')),
		...optional('replayEsn', attributeValue(attributes, 'replayEsnVal')),
		...optional('lifetimeCurrent', attributeValue(attributes, 'ltimeVal')),
		...optional('replayThreshold', attributeValue(attributes, 'replayThresh')),
		...optional('expiryTimer', attributeValue(attributes, 'etimerThresh')),
	};
}
