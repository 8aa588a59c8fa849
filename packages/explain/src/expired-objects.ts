/**
 * States and policies that reached a hard limit of time before the packet came: nothing of them is left in the
 * engine, but a reader wants to know that what he looks for has been there.
 */
import { decodeMessage, splitMessages } from '@xfrm/netlink';
import { formatHex32 } from '@xfrm/wire';
import {
	type Address,
	addressEquals,
	Family,
	formatAddress,
	type LifetimeConfig,
	type Selector,
	type StateId,
} from '@xfrm/wire/xfrm';
import { directionName, modeName, selectorText, stateProtoName } from './names.ts';

/** What an EXPIRE says of a state. */
export interface ExpiredState {
	readonly id: StateId;
	readonly saddr: Address;
	readonly family: number;
	readonly reqid: number;
	readonly mode: number;
	readonly lifetime: LifetimeConfig;
}

/** What a POLEXPIRE says of a policy. */
export interface ExpiredPolicy {
	readonly selector: Selector;
	readonly direction: number;
	readonly index: number;
	readonly lifetime: LifetimeConfig;
}

/** More are not remembered: the oldest are forgotten. */
const REMEMBERED_MAX = 256;

export class ExpiredObjects {
	#states: readonly ExpiredState[] = [];
	#policies: readonly ExpiredPolicy[] = [];

	/** Takes note of a notification, if it is of a hard limit: of a policy, or of a state that had keys. */
	note(datagram: Uint8Array): void {
		const [raw] = splitMessages(datagram);
		const message = raw === undefined ? undefined : decodeMessage(raw);
		if (message?.name === 'polexpire' && message.body.hard !== 0) {
			const { selector, direction, index, lifetime } = message.body.policy;
			const policy = { selector, direction, index: index >>> 0, lifetime };
			this.#policies = [...this.#policies.slice(1 - REMEMBERED_MAX), policy];
		}
		if (message?.name !== 'expire' || message.body.hard === 0 || message.body.state.id.spi === 0) {
			return;
		}
		const { id, saddr, family, reqid, mode, lifetime } = message.body.state;
		const state = { id, saddr, family, reqid: reqid >>> 0, mode, lifetime };
		this.#states = [...this.#states.slice(1 - REMEMBERED_MAX), state];
	}

	/** Of the states that this takes the one that expired last. */
	findState(fits: (state: ExpiredState) => boolean): ExpiredState | undefined {
		return this.#states.findLast(fits);
	}

	/** Of the policies that this takes the one that expired last. */
	findPolicy(fits: (policy: ExpiredPolicy) => boolean): ExpiredPolicy | undefined {
		return this.#policies.findLast(fits);
	}
}

/** Did it have this identity, whatever its mark? */
export function hadIdentity(
	{ id, family }: ExpiredState,
	lookup: { readonly proto: number; readonly spi: number; readonly daddr: Address },
): boolean {
	return (
		id.proto === lookup.proto &&
		id.spi >>> 0 === lookup.spi >>> 0 &&
		addressEquals(id.daddr, lookup.daddr, family)
	);
}

/** `State 0x00000101 (esp tunnel A → B reqid 1) was there until it expired: limit time-hard 60.` */
export function expiredStateText(state: ExpiredState): string {
	const { id, saddr, reqid, mode } = state;
	const family = state.family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
	const ends = `${formatAddress(saddr, family)} → ${formatAddress(id.daddr, family)}`;
	const what = `${stateProtoName(id.proto)} ${modeName(mode)} ${ends} reqid ${reqid}`;
	return `State ${formatHex32(id.spi >>> 0)} (${what}) was there until it expired${limitText(state.lifetime)}.`;
}

/** `Policy out 1 (src … dst …) was there until it expired: limit time-hard 60.` */
export function expiredPolicyText(policy: ExpiredPolicy): string {
	const { selector, direction, index, lifetime } = policy;
	const name = `Policy ${directionName(direction)} ${index}`;
	return `${name} (${selectorText(selector)}) was there until it expired${limitText(lifetime)}.`;
}

function limitText({ hardAddExpiresSeconds, hardUseExpiresSeconds }: LifetimeConfig): string {
	const limits = [
		...(hardAddExpiresSeconds === 0 ? [] : [`limit time-hard ${hardAddExpiresSeconds}`]),
		...(hardUseExpiresSeconds === 0 ? [] : [`limit time-use-hard ${hardUseExpiresSeconds}`]),
	];
	return limits.length === 0 ? '' : `: ${limits.join(', ')}`;
}
