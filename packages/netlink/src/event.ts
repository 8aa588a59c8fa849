/** What the kernel tells of its own accord, as values: `XfrmEvent`s (spec 2.2). */
import type {
	Address,
	Encap,
	KmAddress,
	MigrateEntry,
	PolicySnapshot,
	Selector,
	StateId,
	Template,
} from '@xfrm/wire/xfrm';
import { Group } from '@xfrm/wire/xfrm';
import { type ReplayAnswer, replayAnswerOf } from './client-states.ts';
import { kernelPolicyOf } from './policy-request.ts';
import { type KernelState, kernelStateOf } from './state-request.ts';
import { attributeValue, type XfrmAttribute } from './xfrm/attributes.ts';
import type { XfrmMessage } from './xfrm/messages.ts';
import type { UserPolicyDefault, UserPolicyId } from './xfrm/policy.ts';
import type { UserMapping, UserMigrateState, UserSaId } from './xfrm/state.ts';
import { optional } from './xfrm/state-config.ts';

/** Where events come from: the names of the groups. */
export type EventGroup =
	| 'acquire'
	| 'expire'
	| 'sa'
	| 'policy'
	| 'aevents'
	| 'report'
	| 'migrate'
	| 'mapping';

/** Numbers of the groups. */
export const EVENT_GROUPS: Readonly<Record<EventGroup, number>> = {
	acquire: Group.Acquire,
	expire: Group.Expire,
	sa: Group.Sa,
	policy: Group.Policy,
	aevents: Group.Aevents,
	report: Group.Report,
	migrate: Group.Migrate,
	mapping: Group.Mapping,
};

/** Who caused it: numbers of the request as its sender wrote them, 0 when nobody did (N-16). */
interface Caused {
	readonly seq: number;
	readonly pid: number;
}

/** A packet waits for states that a policy demands: somebody has to make them. */
export interface AcquireEvent {
	readonly kind: 'acquire';
	/** Of the state wanted; its SPI is 0. */
	readonly id: StateId;
	readonly saddr: Address;
	/** Of the packet. */
	readonly selector: Selector;
	readonly policy: PolicySnapshot;
	readonly templates: readonly Template[];
	/** To be repeated by `states.allocSpi` and `states.add`. */
	readonly seq: number;
	readonly pcpu?: number;
}

/** The kernel moved endpoints, or somebody asks others to know of it. */
export interface MigrateEvent {
	readonly kind: 'migrate';
	readonly id: UserPolicyId;
	readonly type: number;
	readonly entries: readonly MigrateEntry[];
	readonly kmAddress?: KmAddress;
	readonly encap?: Encap;
}

export type XfrmEvent =
	| AcquireEvent
	| MigrateEvent
	| ({ readonly kind: 'newsa' | 'updsa'; readonly state: KernelState } & Caused)
	| ({ readonly kind: 'delsa'; readonly id: UserSaId; readonly state?: KernelState } & Caused)
	| ({ readonly kind: 'flushsa'; readonly proto: number } & Caused)
	| { readonly kind: 'expire'; readonly state: KernelState; readonly hard: boolean }
	| ({ readonly kind: 'newpolicy' | 'updpolicy'; readonly policy: PolicySnapshot } & Caused)
	| ({
			readonly kind: 'delpolicy';
			readonly id: UserPolicyId;
			readonly policy?: PolicySnapshot;
	  } & Caused)
	| ({ readonly kind: 'flushpolicy'; readonly type: number } & Caused)
	| { readonly kind: 'polexpire'; readonly policy: PolicySnapshot; readonly hard: boolean }
	| { readonly kind: 'defaults'; readonly defaults: UserPolicyDefault }
	| ({
			readonly kind: 'aevent';
			readonly id: UserSaId;
			/** `AeventFlag`s: what caused it. */
			readonly flags: number;
			readonly replay: ReplayAnswer;
	  } & Caused)
	| {
			readonly kind: 'report';
			readonly proto: number;
			readonly selector: Selector;
			readonly address?: Address;
	  }
	| { readonly kind: 'mapping'; readonly mapping: UserMapping }
	| { readonly kind: 'migrate-state'; readonly move: UserMigrateState }
	/** Events were lost: whoever keeps a picture of the tables has to list them anew. */
	| { readonly kind: 'resync' }
	/** A message that this version does not know. */
	| { readonly kind: 'unknown'; readonly bytes: Uint8Array };

function delsaState(attributes: readonly XfrmAttribute[]): KernelState | undefined {
	const body = attributeValue(attributes, 'sa');
	return body && kernelStateOf(body, attributes);
}

function delpolicyPolicy(attributes: readonly XfrmAttribute[]): PolicySnapshot | undefined {
	const body = attributeValue(attributes, 'policy');
	return body && kernelPolicyOf(body, attributes);
}

function typeOf(attributes: readonly XfrmAttribute[]): number {
	return attributeValue(attributes, 'policyType')?.type ?? 0;
}

/** Several entries may come as several attributes. */
function entriesOf(attributes: readonly XfrmAttribute[]): readonly MigrateEntry[] {
	return attributes.flatMap((item) => (item.name === 'migrate' ? item.value : []));
}

/** The event that a notification is; undefined when it is none (a request, or an answer to one). */
export function eventOf(message: XfrmMessage): XfrmEvent | undefined {
	const { seq, pid, attributes } = message;
	switch (message.name) {
		case 'newsa':
		case 'updsa':
			return { kind: message.name, state: kernelStateOf(message.body, attributes), seq, pid };
		case 'delsa':
			return {
				kind: 'delsa',
				id: message.body,
				...optional('state', delsaState(attributes)),
				seq,
				pid,
			};
		case 'flushsa':
			return { kind: 'flushsa', proto: message.body.proto, seq, pid };
		case 'newpolicy':
		case 'updpolicy':
			return { kind: message.name, policy: kernelPolicyOf(message.body, attributes), seq, pid };
		case 'delpolicy':
			return {
				kind: 'delpolicy',
				id: message.body,
				...optional('policy', delpolicyPolicy(attributes)),
				seq,
				pid,
			};
		case 'flushpolicy':
			return { kind: 'flushpolicy', type: typeOf(attributes), seq, pid };
		default:
			return kernelEventOf(message);
	}
}

/** Those that nobody asked for. */
function kernelEventOf(message: XfrmMessage): XfrmEvent | undefined {
	const { attributes } = message;
	switch (message.name) {
		case 'acquire': {
			const { id, saddr, selector, policy, seq } = message.body;
			return {
				kind: 'acquire',
				id,
				saddr,
				selector,
				policy: kernelPolicyOf(policy, attributes),
				templates: attributeValue(attributes, 'tmpl') ?? [],
				seq,
				...optional('pcpu', attributeValue(attributes, 'saPcpu')),
			};
		}
		case 'expire': {
			const { state, hard } = message.body;
			return { kind: 'expire', state: kernelStateOf(state, attributes), hard: hard !== 0 };
		}
		case 'polexpire': {
			const { policy, hard } = message.body;
			return { kind: 'polexpire', policy: kernelPolicyOf(policy, attributes), hard: hard !== 0 };
		}
		case 'newae': {
			const { body, seq, pid } = message;
			const replay = replayAnswerOf(body, attributes);
			return { kind: 'aevent', id: body.saId, flags: body.flags, replay, seq, pid };
		}
		case 'report': {
			const { proto, selector } = message.body;
			const address = optional('address', attributeValue(attributes, 'coaddr'));
			return { kind: 'report', proto, selector, ...address };
		}
		case 'migrate':
			return {
				kind: 'migrate',
				id: message.body,
				type: typeOf(attributes),
				entries: entriesOf(attributes),
				...optional('kmAddress', attributeValue(attributes, 'kmaddress')),
				...optional('encap', attributeValue(attributes, 'encap')),
			};
		case 'mapping':
			return { kind: 'mapping', mapping: message.body };
		case 'migratestate':
			return { kind: 'migrate-state', move: message.body };
		case 'getdefault':
			return { kind: 'defaults', defaults: message.body };
		default:
			return undefined;
	}
}
