/**
 * What the tests of the output path share: an engine with routes that a test can change, policies out,
 * and packets as a host hands them to `output`. Holds no tests itself.
 */
import assert from 'node:assert/strict';
import { nullProvider } from '@xfrm/crypto/null';
import type { CryptoProvider } from '@xfrm/crypto/provider';
import { decodeFlow, PacketBuffer, type Route } from '@xfrm/wire';
import {
	type Address,
	anyAddress,
	anySelector,
	type PolicyConfig,
	type Template,
	UNLIMITED,
} from '@xfrm/wire/xfrm';
import { Batch } from './batch.ts';
import { Engine, type EngineOptions } from './engine.ts';
import {
	address,
	bytes,
	ip,
	NOW_US,
	type StateOptions,
	stateConfig,
	template,
	udp,
} from './input-fixture.test.ts';
import { type KernelProfile, linux619 } from './kernel-profile.ts';
import type { XfrmPolicy } from './policy.ts';
import type { XfrmState } from './state.ts';

/** What a test knows of the routes: one for everything, and how often they changed. */
export interface Routes {
	/** undefined: there is no route. */
	route: Route | undefined;
	generation: number;
	/** Questions asked, newest last. */
	asked: { family: number; daddr: Address; saddr: Address; mark: number; oif: number }[];
}

export function makeRoute(options: Partial<Route> = {}): Route {
	return {
		family: 2,
		ifindex: 3,
		loopback: false,
		kind: 'unicast',
		source: anyAddress(),
		mtu: 1500,
		hopLimit: 64,
		noXfrm: false,
		...options,
	};
}

/** An engine to which everything is available, and its routes. */
export function makeEngine(
	profile: KernelProfile = linux619,
	provider: CryptoProvider = nullProvider(),
	options: Partial<EngineOptions> = {},
): { engine: Engine; routes: Routes } {
	const routes: Routes = { route: makeRoute(), generation: 1, asked: [] };
	let seed = 7;
	const engine = new Engine({
		profile,
		provider,
		random: (octets) => {
			for (let i = 0; i < octets.length; i++) {
				seed = (Math.imul(seed, 1103515245) + 12345) | 0;
				octets[i] = seed >>> 16;
			}
		},
		route: (family, daddr, saddr, mark, oif) => {
			routes.asked.push({ family, daddr: daddr.slice(), saddr: saddr.slice(), mark, oif });
			return routes.route;
		},
		routeGeneration: () => routes.generation,
		available: {
			types: new Set([50, 51, 108, 60, 43]),
			modes: new Set([0, 1, 2, 4, 5]),
			algorithm: () => true,
		},
		...options,
	});
	engine.net.now[0] = NOW_US;
	return { engine, routes };
}

/** Adds a state; by default ESP in tunnel mode, AES-GCM, 192.0.2.1 to 192.0.2.2, reqid 1. */
export function addOut(engine: Engine, options: StateOptions = {}): XfrmState {
	const added = engine.addState(stateConfig(options), NOW_US);
	assert.equal(added.refusal, undefined, added.refusal?.message);
	assert.ok(added.value !== undefined);
	return added.value;
}

/** Adds an OUT policy for everything of a family. */
export function addOutPolicy(engine: Engine, options: Partial<PolicyConfig> = {}): XfrmPolicy {
	const added = engine.addPolicy(outPolicy(options), NOW_US);
	assert.equal(added.refusal, undefined, added.refusal?.message);
	assert.ok(added.value !== undefined);
	return added.value;
}

export function outPolicy(options: Partial<PolicyConfig> = {}): PolicyConfig {
	return {
		selector: anySelector(2),
		lifetime: UNLIMITED,
		priority: 0,
		index: 0,
		direction: 1,
		action: 0,
		flags: 0,
		share: 0,
		type: 0,
		templates: [],
		...options,
	};
}

/** A UDP packet from 10.0.0.1 to 10.1.0.1 with these data. */
export function inner(
	data: Uint8Array = bytes('01020304'),
	fields: Parameters<typeof ip>[2] = {},
): Uint8Array {
	return ip(17, udp(data), { src: '10.0.0.1', dst: '10.1.0.1', ...fields });
}

/** A packet as its sender hands it over: family, flow and route set. */
export function sent(
	packet: Uint8Array,
	route: Route,
	options: Partial<
		Pick<PacketBuffer, 'forwarded' | 'dontFragment' | 'mark' | 'ifId' | 'socketId'>
	> = {},
): PacketBuffer {
	const buffer = PacketBuffer.from(packet);
	Object.assign(buffer, options);
	buffer.family = (packet[0] ?? 0) >> 4 === 4 ? 2 : 10;
	buffer.route = route;
	decodeFlow(buffer.flow, buffer, false);
	return buffer;
}

/** Sends one packet through lookup and transform. */
export function send(
	engine: Engine,
	packet: Uint8Array,
	options: Parameters<typeof sent>[2] & { readonly route?: Route } = {},
): PacketBuffer {
	const { route = makeRoute(), ...rest } = options;
	const buffer = sent(packet, route, rest);
	engine.output(Batch.of(NOW_US, buffer));
	return buffer;
}

/** A template for what `addOut` makes by default. */
export function tunnelTemplate(options: Parameters<typeof template>[0] = {}): Template {
	return template({
		reqid: 1,
		id: { daddr: address('192.0.2.2'), spi: 0, proto: 50 },
		saddr: address('192.0.2.1'),
		...options,
	});
}

export { template };
