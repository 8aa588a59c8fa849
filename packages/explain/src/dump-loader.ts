/**
 * Loads objects of a dump into a world: by the netlink request that adds them, so that everything is checked
 * as Linux checks it, then what no request can say (statistics, times of use) behind the engine's back.
 */
import {
	type EngineDoor,
	restoreLarval,
	restorePolicyUse,
	restoreStateUse,
	type XfrmPolicy,
	type XfrmState,
} from '@xfrm/engine';
import { type DumpedObject, lastUsedOf, loadKind, loadRequest } from '@xfrm/iproute';
import {
	attributeValue,
	encodeMessage,
	parseAck,
	policyConfigOf,
	splitMessages,
	stateConfigOf,
} from '@xfrm/netlink';
import { errnoText, type PolicyConfig } from '@xfrm/wire/xfrm';
import { isBypass } from './host-sockets.ts';
import type { CommandOutcome, World } from './world.ts';

/** What became of an object. */
export interface Loaded {
	/** As `ip` would tell of the request; status 0 where there was none. */
	readonly outcome: CommandOutcome;
	/** Why it was left out, in words. */
	readonly note?: string;
	/** The state that was made. */
	readonly state?: XfrmState;
	/** The policy of a socket, which is not here. */
	readonly socketPolicy?: PolicyConfig;
}

/** By how much the direction of a socket's policy is greater in a dump (P-19). */
const SOCKET_DIRECTIONS = 3;

const DONE: CommandOutcome = { status: 0, stdout: '', stderr: '', errno: 0 };

/** Loads one object; `now` is the world's. */
export function loadObject(world: World, object: DumpedObject): Loaded {
	switch (loadKind(object)) {
		case 'helper':
			// Comes with the state of IPComp that it belongs to.
			return { outcome: DONE };
		case 'socket': {
			const policy = object.kind === 'policy' ? socketPolicyOf(object) : undefined;
			return {
				outcome: DONE,
				// One that lets everything pass is taken for an IKE daemon's.
				...(policy !== undefined && isBypass(policy)
					? {}
					: { note: 'a policy of a socket: that socket is not here' }),
				...(policy === undefined ? {} : { socketPolicy: policy }),
			};
		}
		case 'larval':
			return loadLarval(world, object);
		case 'add':
			return add(world, object);
	}
}

function socketPolicyOf({ message }: DumpedObject & { readonly kind: 'policy' }): PolicyConfig {
	const { body, attributes } = message;
	const config = policyConfigOf(body, { get: (name) => attributeValue(attributes, name) });
	return { ...config, direction: body.direction - SOCKET_DIRECTIONS };
}

function loadLarval(world: World, object: DumpedObject): Loaded {
	if (object.kind !== 'state') {
		return { outcome: DONE };
	}
	const { body, attributes } = object.message;
	const config = stateConfigOf(body, { get: (name) => attributeValue(attributes, name) });
	const { addTime } = body.lifetimeCurrent;
	const current = addTime === 0 ? {} : { lifetimeCurrent: body.lifetimeCurrent };
	restoreLarval(world.engine.net, { ...config, ...current }, world.nowUs);
	return { outcome: DONE };
}

function add(world: World, object: DumpedObject): Loaded {
	for (const datagram of world.request(encodeMessage(loadRequest(object)))) {
		for (const raw of splitMessages(datagram)) {
			const ack = parseAck(raw);
			if (ack !== undefined && ack.errno !== 0) {
				const { message } = ack.extended;
				const why = message ?? errnoText(ack.errno);
				const stderr = message === undefined ? `RTNETLINK answers: ${why}` : `Error: ${why}`;
				return { outcome: { status: 2, stdout: '', stderr, errno: ack.errno } };
			}
		}
	}
	if (object.kind === 'policy') {
		const { lifetimeCurrent } = object.message.body;
		const policy = newestPolicy(world.engine);
		if (policy !== undefined && lifetimeCurrent.addTime !== 0) {
			restorePolicyUse(policy, lifetimeCurrent);
		}
		return { outcome: DONE };
	}
	const { id, stats } = object.message.body;
	const state = newestState(world.engine, id.spi, id.proto);
	if (state === undefined) {
		return { outcome: DONE };
	}
	restoreStateUse(state, stats, lastUsedOf(object));
	return { outcome: DONE, state };
}

function newestPolicy(engine: EngineDoor): XfrmPolicy | undefined {
	for (const policy of engine.policies()) {
		return policy;
	}
	return undefined;
}

/** The state just made: its helper may be newer. */
function newestState(engine: EngineDoor, spi: number, proto: number): XfrmState | undefined {
	for (const state of engine.states()) {
		if (state.proto === proto && state.spi === (spi | 0)) {
			return state;
		}
	}
	return undefined;
}
