/**
 * Which way does a packet go, as seen from this host? It follows from the host's addresses; without
 * these, the ends of states and templates at this side count as local. Every guess is told.
 */
import type { EngineDoor } from '@xfrm/engine';
import type { Host } from '@xfrm/host';
import {
	type Address,
	addressEquals,
	Direction,
	Family,
	formatAddress,
	isAnyAddress,
} from '@xfrm/wire/xfrm';

export interface LocalAddress {
	readonly family: number;
	readonly address: Address;
}

/** Addresses that the host has been given; those that every host has, 127.0.0.0/8 and ::1, say nothing. */
export function hostAddresses(host: Host): readonly LocalAddress[] {
	const found: LocalAddress[] = [];
	for (const device of host.devices()) {
		for (const { family, address } of device.addresses) {
			if (!everyHostHas(family, address)) {
				found.push({ family, address });
			}
		}
	}
	return found;
}

function everyHostHas(family: number, address: Address): boolean {
	return family === Family.Ipv4
		? address[0] === 127
		: address[15] === 1 && address.subarray(0, 15).every((octet) => octet === 0);
}

/** Addresses that must be this host's if the rules are to make sense. */
export function impliedAddresses(engine: EngineDoor): readonly LocalAddress[] {
	const found: LocalAddress[] = [];
	const add = (family: number, address: Address): void => {
		const known = family === Family.Ipv4 || family === Family.Ipv6;
		if (known && !isAnyAddress(address, family) && !includes(found, family, address)) {
			found.push({ family, address: address.slice() });
		}
	};
	for (const policy of engine.policies()) {
		for (const template of policy.templates) {
			const out = policy.direction === Direction.Out;
			add(template.family || policy.family, out ? template.saddr : template.id.daddr);
		}
		// Transport mode: the selector's own ends, where they are hosts.
		const { selector } = policy.config;
		const bits = policy.family === Family.Ipv4 ? 32 : 128;
		const transport = policy.templates.some((template) => template.mode === 0);
		if (transport && policy.direction === Direction.Out && selector.prefixlenS === bits) {
			add(policy.family, selector.saddr);
		} else if (transport && policy.direction === Direction.In && selector.prefixlenD === bits) {
			add(policy.family, selector.daddr);
		}
	}
	for (const state of engine.states()) {
		if (state.direction === 1) {
			add(state.family, state.config.id.daddr);
		} else if (state.direction === 2) {
			add(state.family, state.config.saddr);
		}
	}
	return found;
}

/** Is the address among these? */
export function includes(
	addresses: readonly LocalAddress[],
	family: number,
	address: Address,
): boolean {
	return addresses.some(
		(one) => one.family === family && addressEquals(one.address, address, family),
	);
}

/** The direction of a packet between these addresses. */
export function guessDirection(
	local: readonly LocalAddress[],
	family: number,
	source: Address,
	destination: Address,
): 'in' | 'out' | 'fwd' {
	if (includes(local, family, source)) {
		return 'out';
	}
	return includes(local, family, destination) ? 'in' : 'fwd';
}

/** As text, for `assumed`. */
export function addressesText(addresses: readonly LocalAddress[]): string {
	return addresses
		.map(({ family, address }) => {
			return formatAddress(address, family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6);
		})
		.join(', ');
}
