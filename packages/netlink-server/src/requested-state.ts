/**
 * A request's configuration as if it were a state: what the kernel tells of an UPDSA that changed a state
 * in place (N-17). Names and lengths of algorithms are those that the kernel fills in.
 */
import { findAuth, findComp, findCrypt } from '@xfrm/crypto/algorithms';
import { optional } from '@xfrm/netlink';
import type { AuthAlgorithm, ReplayEsn, StateConfig, StateSnapshot } from '@xfrm/wire/xfrm';

function namedAuth(auth: AuthAlgorithm): AuthAlgorithm {
	const info = findAuth(auth.name);
	if (info === undefined) {
		return auth;
	}
	return { ...auth, name: info.name, truncBits: auth.truncBits || info.icvDefaultBits };
}

/** The bitmap is as long as it says, whatever the request brought. */
function fullBitmap(replay: ReplayEsn): ReplayEsn {
	const bmp = new Uint32Array(replay.bmpLen);
	bmp.set(replay.bmp.subarray(0, replay.bmpLen));
	return { ...replay, bmp };
}

/** The state that this configuration would be, new and unused. */
export function requestedState(config: StateConfig, nowUs: number): StateSnapshot {
	const { auth, crypt, comp, replayEsn } = config;
	return {
		...config,
		...optional('auth', auth && namedAuth(auth)),
		...optional('crypt', crypt && { ...crypt, name: findCrypt(crypt.name)?.name ?? crypt.name }),
		...optional('comp', comp && { ...comp, name: findComp(comp.name)?.name ?? comp.name }),
		...optional('replayEsn', replayEsn && fullBitmap(replayEsn)),
		lifetimeCurrent: config.lifetimeCurrent ?? {
			bytes: 0,
			packets: 0,
			addTime: Math.floor(nowUs / 1_000_000),
			useTime: 0,
		},
		stats: { replayWindow: 0, replay: 0, integrityFailed: 0 },
		condition: 0,
		kernelOwned: false,
	};
}
