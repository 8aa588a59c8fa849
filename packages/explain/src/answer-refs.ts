/** Parts of an answer: policies and states as the contract tells of them, and the packets that came of one. */
import type { XfrmPolicy, XfrmState } from '@xfrm/engine';
import { formatHex, formatHex32 } from '@xfrm/wire';
import { Family, formatAddress } from '@xfrm/wire/xfrm';
import type { PolicyRef, StateRef } from './answer.ts';
import {
	actionName,
	directionName,
	hexNumber,
	markText,
	modeName,
	policyTypeName,
	selectorText,
	stateProtoName,
} from './names.ts';
import type { Fact } from './recorder.ts';

/** A state as the contract tells of it. */
export function stateRefOf(state: XfrmState, refused: boolean): StateRef {
	const family = state.family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
	return {
		proto: stateProtoName(state.proto),
		spi: formatHex32(state.spi),
		src: formatAddress(state.config.saddr, family),
		dst: formatAddress(state.config.id.daddr, family),
		mode: modeName(state.mode),
		reqid: state.reqid >>> 0,
		...(refused ? { refused: true as const } : {}),
	};
}

/** A policy as the contract tells of it. */
export function policyRefOf(
	policy: XfrmPolicy,
	deviceName: (ifindex: number) => string | undefined,
): PolicyRef {
	const mark = markText(policy.markValue, policy.markMask);
	return {
		index: policy.socketId === 0 ? policy.index : null,
		ptype: policyTypeName(policy),
		dir: directionName(policy.direction),
		priority: policy.priority,
		action: actionName(policy.action),
		mark: mark === '' ? null : mark,
		if_id: policy.ifId === 0 ? null : hexNumber(policy.ifId),
		selector: selectorText(policy.config.selector, deviceName),
	};
}

/** What left or was delivered, in hex: the packet as it had become when a socket got it. */
export function packetsOf(facts: readonly Fact[]): string[] {
	const packets: string[] = [];
	let current: Uint8Array | undefined;
	for (const fact of facts) {
		if (fact.kind === 'receive') {
			current = fact.packet;
		} else if (fact.kind === 'transform') {
			current = fact.after;
		} else if (fact.kind === 'effect' && fact.effect.kind === 'emit') {
			packets.push(formatHex(fact.effect.packet));
		} else if (fact.kind === 'effect' && fact.effect.kind === 'stream-write') {
			packets.push(formatHex(fact.effect.octets));
		} else if (fact.kind === 'effect' && fact.effect.kind === 'stream-message') {
			packets.push(formatHex(fact.effect.message));
		} else if (fact.kind === 'effect' && fact.effect.kind === 'deliver') {
			packets.push(formatHex(current ?? fact.effect.payload));
		}
	}
	return packets;
}
