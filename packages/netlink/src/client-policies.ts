/** Policies by the client: `client.policies`. */
import {
	anySelector,
	type Encap,
	Errno,
	Family,
	type KmAddress,
	type Mark,
	type MigrateEntry,
	type PolicySnapshot,
	type Selector,
} from '@xfrm/wire/xfrm';
import { membersOf, onlyAnswer, unlessErrno } from './client-answer.ts';
import type { CallOptions } from './deadline.ts';
import type { Exchange } from './exchange.ts';
import {
	completePolicy,
	kernelPolicyOf,
	type PolicyInput,
	policyRequestAttributes,
	policyRequestBody,
} from './policy-request.ts';
import { attribute } from './xfrm/attributes.ts';
import type { NamedMessage } from './xfrm/messages.ts';
import type { UserPolicyId } from './xfrm/policy.ts';
import { AttributeCollector } from './xfrm/state-config.ts';

/** By what a policy is found: index or selector, and all of the rest, whose absence means 0 (P-5). */
export type PolicyKey = {
	readonly direction: number;
	readonly type?: number;
	readonly mark?: Mark;
	readonly ifId?: number;
} & ({ readonly index: number } | { readonly selector: Selector });

/** Which policies a list has; what is left out matches all. */
export interface PolicyFilter {
	/** 3 and 4 are those of sockets. */
	readonly direction?: number;
	readonly type?: number;
	readonly ifId?: number;
}

/** Endpoints that move: those of the states and templates of one policy. */
export interface MigrateRequest {
	readonly selector: Selector;
	readonly direction: number;
	readonly type?: number;
	readonly ifId?: number;
	readonly entries: readonly MigrateEntry[];
	readonly kmAddress?: KmAddress;
	readonly encap?: Encap;
}

function policyIdOf(key: PolicyKey): UserPolicyId {
	const { direction } = key;
	return 'index' in key
		? { selector: anySelector(Family.Ipv4), index: key.index, direction }
		: { selector: key.selector, index: 0, direction };
}

function keyAttributes(key: Pick<PolicyKey, 'type' | 'mark' | 'ifId'>): AttributeCollector {
	return new AttributeCollector()
		.add('policyType', key.type === undefined ? undefined : { type: key.type })
		.add('mark', key.mark)
		.add('ifId', key.ifId);
}

export class PolicyClient {
	readonly #exchange: Exchange;

	/** Made by `XfrmClient`. */
	constructor(exchange: Exchange) {
		this.#exchange = exchange;
	}

	/** Adds a policy; EEXIST when there is one with this identity (P-5). */
	async add(policy: PolicyInput, options: CallOptions = {}): Promise<void> {
		await this.#put('newpolicy', 'policies.add', policy, options);
	}

	/** Adds a policy, or replaces the one with this identity. */
	async update(policy: PolicyInput, options: CallOptions = {}): Promise<void> {
		await this.#put('updpolicy', 'policies.update', policy, options);
	}

	/** Deletes a policy; ENOENT when there is none. */
	async delete(key: PolicyKey, options: CallOptions = {}): Promise<void> {
		const operation = 'policies.delete';
		const attributes = keyAttributes(key).list;
		const request = { operation, name: 'delpolicy', body: policyIdOf(key), attributes } as const;
		await this.#exchange.request(request, options);
	}

	/** A policy, or undefined when there is none. */
	async get(key: PolicyKey, options: CallOptions = {}): Promise<PolicySnapshot | undefined> {
		const operation = 'policies.get';
		const attributes = keyAttributes(key).list;
		const request = { operation, name: 'getpolicy', body: policyIdOf(key), attributes } as const;
		const answers = await unlessErrno(Errno.ENOENT, this.#exchange.request(request, options));
		if (answers === undefined) {
			return undefined;
		}
		const message = onlyAnswer(operation, answers, 'newpolicy');
		return kernelPolicyOf(message.body, message.attributes);
	}

	/**
	 * All policies that the filter lets through, newest first, those of sockets included. The kernel knows
	 * no such filter (N-15): all of them come over.
	 */
	async list(
		options: CallOptions & { readonly filter?: PolicyFilter } = {},
	): Promise<PolicySnapshot[]> {
		const { filter = {} } = options;
		const messages = await this.dump(options);
		return messages
			.map(({ body, attributes }) => kernelPolicyOf(body, attributes))
			.filter((policy) => filterMatches(filter, policy));
	}

	/** All policies, newest first, as the messages that came: to print, to save, to send elsewhere. */
	async dump(options: CallOptions = {}): Promise<NamedMessage<'newpolicy'>[]> {
		const operation = 'policies.list';
		const members = await this.#exchange.dump({ operation, name: 'dumppolicy', body: {} }, options);
		return membersOf(operation, members, 'newpolicy');
	}

	/** Deletes all policies of a type but those of sockets. */
	async flush(type: number = 0, options: CallOptions = {}): Promise<void> {
		const request = {
			operation: 'policies.flush',
			name: 'flushpolicy',
			body: {},
			attributes: [attribute('policyType', { type })],
		} as const;
		await this.#exchange.request(request, options);
	}

	/** Makes a policy expire: tells everybody who listens, and if `hard` deletes it. */
	async expire(
		key: PolicyKey,
		expiry: { readonly hard: boolean },
		options: CallOptions = {},
	): Promise<void> {
		const { selector, index, direction } = policyIdOf(key);
		const policy = policyRequestBody(completePolicy({ selector, index, direction }));
		const request = {
			operation: 'policies.expire',
			name: 'polexpire',
			body: { policy, hard: expiry.hard ? 1 : 0 },
			attributes: keyAttributes(key).list,
		} as const;
		await this.#exchange.request(request, options);
	}

	/** Moves the endpoints of a policy's templates and of their states (MIGRATE). */
	async migrate(move: MigrateRequest, options: CallOptions = {}): Promise<void> {
		const { selector, direction, entries } = move;
		const attributes = keyAttributes(move)
			.add('kmaddress', move.kmAddress)
			.add('migrate', entries)
			.add('encap', move.encap).list;
		const body = { selector, index: 0, direction };
		const request = { operation: 'policies.migrate', name: 'migrate', body, attributes } as const;
		await this.#exchange.request(request, options);
	}

	async #put(
		name: 'newpolicy' | 'updpolicy',
		operation: string,
		input: PolicyInput,
		options: CallOptions,
	): Promise<void> {
		const config = completePolicy(input);
		const body = policyRequestBody(config);
		const attributes = policyRequestAttributes(config);
		await this.#exchange.request({ operation, name, body, attributes }, options);
	}
}

function filterMatches(filter: PolicyFilter, policy: PolicySnapshot): boolean {
	return (
		(filter.direction === undefined || filter.direction === policy.direction) &&
		(filter.type === undefined || filter.type === policy.type) &&
		(filter.ifId === undefined || filter.ifId === (policy.ifId ?? 0))
	);
}
