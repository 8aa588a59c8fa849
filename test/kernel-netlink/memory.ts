/**
 * What requests of a sequence have made, as far as they were carried out: later ones name it again, so
 * that lookups find something.
 */
import {
	type AttributeName,
	attributeValue,
	type MessageName,
	type XfrmAttribute,
} from '@xfrm/netlink';
import type { MigrateEntry, Selector, StateId, Template } from '@xfrm/wire/xfrm';
import type { Random } from '../kernel/random.ts';

/** A payload with its fields by name; those that matter here are looked at one by one. */
type Body = Record<string, unknown>;

interface KnownState {
	readonly id: StateId;
	readonly family: number;
	readonly saddr: Uint8Array;
	readonly mode: number;
	readonly reqid: number;
	readonly identity: readonly XfrmAttribute[];
}

interface KnownPolicy {
	readonly selector: Selector;
	readonly direction: number;
	readonly templates: readonly Template[];
	readonly identity: readonly XfrmAttribute[];
}

/** Attributes that belong to an identity. */
const STATE_IDENTITY: readonly AttributeName[] = ['mark'];
const POLICY_IDENTITY: readonly AttributeName[] = ['policyType', 'mark', 'ifId'];

function only(
	attributes: readonly XfrmAttribute[],
	names: readonly AttributeName[],
): XfrmAttribute[] {
	return attributes.filter(({ name }) => names.some((one) => one === name));
}

export class Memory {
	readonly #random: Random;
	#states: KnownState[] = [];
	#policies: KnownPolicy[] = [];

	constructor(random: Random) {
		this.#random = random;
	}

	/** A new sequence: tables are empty. */
	forget(): void {
		this.#states = [];
		this.#policies = [];
	}

	/** Keeps what this request makes, if it makes anything. */
	note(name: MessageName, body: Body, attributes: readonly XfrmAttribute[]): void {
		if (name === 'newpolicy' || name === 'updpolicy') {
			this.#policies.push({
				selector: body['selector'] as Selector,
				direction: body['direction'] as number,
				templates: attributeValue(attributes, 'tmpl') ?? [],
				identity: only(attributes, POLICY_IDENTITY),
			});
		} else if (name === 'allocspi') {
			const info = body['info'] as KnownState;
			const { daddr, proto } = info.id;
			const { family, saddr, mode, reqid } = info;
			const id = { daddr, proto, spi: body['min'] as number };
			const identity = only(attributes, STATE_IDENTITY);
			this.#states.push({ id, family, saddr, mode, reqid, identity });
		}
	}

	/**
	 * Makes a payload name something known, in place.
	 *
	 * @returns the attributes that belong to it; undefined when nothing is known or it is not that kind of
	 *   message
	 */
	recall(name: MessageName, body: Body): readonly XfrmAttribute[] | undefined {
		const state = this.#states.length > 0 ? this.#random.pick(this.#states) : undefined;
		const policy = this.#policies.length > 0 ? this.#random.pick(this.#policies) : undefined;
		switch (name) {
			case 'delsa':
			case 'getsa':
				return state && named(state, body, { ...state.id, family: state.family });
			case 'newae':
			case 'getae':
				return state && named(state, body, { saId: { ...state.id, family: state.family } });
			case 'expire': {
				const inner = body['state'] as Body;
				return state && named(state, inner, { id: state.id, family: state.family });
			}
			case 'newsa':
			case 'updsa': {
				const { id, family, saddr, mode, reqid } = state ?? {};
				return state && named(state, body, { id, family, saddr, mode, reqid });
			}
			case 'allocspi': {
				const { id, family, saddr, mode, reqid } = state ?? {};
				return state && named(state, body['info'] as Body, { id, family, saddr, mode, reqid });
			}
			case 'newpolicy':
			case 'updpolicy':
			case 'delpolicy':
			case 'getpolicy':
				return policy && named(policy, body, pointer(policy));
			case 'polexpire':
				return policy && named(policy, body['policy'] as Body, pointer(policy));
			case 'migrate':
				return policy && [...named(policy, body, pointer(policy)), this.#moves(policy)];
			default:
				return undefined;
		}
	}

	/** MIGRATE of a policy's templates to one another's addresses. */
	#moves({ templates }: KnownPolicy): XfrmAttribute {
		const entries = templates.map((template): MigrateEntry => {
			const family = template.family === 0 ? 2 : template.family;
			const { daddr, proto } = template.id;
			const moved = this.#random.pick(templates);
			return {
				oldDaddr: daddr,
				oldSaddr: template.saddr,
				newDaddr: moved.saddr,
				newSaddr: this.#random.pick(templates).id.daddr,
				proto,
				mode: template.mode,
				reqid: template.reqid,
				oldFamily: family,
				newFamily: family,
			};
		});
		return { name: 'migrate', value: entries };
	}
}

function pointer({ selector, direction }: KnownPolicy): Body {
	return { selector, direction, index: 0 };
}

function named(
	known: { readonly identity: readonly XfrmAttribute[] },
	body: Body,
	fields: Body,
): readonly XfrmAttribute[] {
	Object.assign(body, fields);
	return known.identity;
}
