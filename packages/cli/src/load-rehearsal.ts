/**
 * Where rules are tried before they are loaded: for the running kernel in a network namespace of its own, which
 * that kernel answers for; for the daemon in an engine like the daemon's.
 */
import { nodeProvider } from '@xfrm/crypto/node';
import { Engine, linux619 } from '@xfrm/engine';
import { TransportError } from '@xfrm/netlink';
import { NetlinkServer } from '@xfrm/netlink-server';
import type { Exchange } from './rule-loading.ts';
import { exchangeOver } from './socket-exchange.ts';
import type { Target } from './target.ts';

/** A place without rules that is gone when it is closed. */
export interface Rehearsal {
	readonly exchange: Exchange;
	close(): void;
}

/**
 * Opens one. Without the right to make a namespace there is none, and rules are loaded untried.
 *
 * @throws TransportError when one is needed
 */
export function openRehearsal(
	target: Target,
	library: typeof import('@xfrm/linux'),
	needed: boolean,
): Rehearsal | undefined {
	return target === 'daemon' ? engineRehearsal() : kernelRehearsal(library, needed);
}

function kernelRehearsal(
	library: typeof import('@xfrm/linux'),
	needed: boolean,
): Rehearsal | undefined {
	try {
		const socket = library.openScratchSocket();
		return {
			exchange: (datagram) => exchangeOver(socket, datagram),
			close: () => socket.close(),
		};
	} catch (error) {
		if (error instanceof TransportError && !needed) {
			return undefined;
		}
		throw error;
	}
}

function engineRehearsal(): Rehearsal {
	const engine = new Engine({
		profile: linux619,
		provider: nodeProvider(),
		random: (octets) => crypto.getRandomValues(octets),
		route: () => undefined,
	});
	const server = new NetlinkServer(engine);
	const client = server.connect({ portId: 1, privileged: true });
	return {
		exchange: async (datagram) => server.request(client, datagram, Date.now() * 1000),
		close: () => server.disconnect(client),
	};
}
