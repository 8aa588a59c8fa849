/**
 * What a confused key manager sends besides: requests that name the wrong thing, come twice, or are cut
 * short. The engine may refuse or carry them out; nothing may break.
 */
import type { XfrmEvent } from '@xfrm/netlink';
import type { SimRandom } from '../random.ts';
import { type Connection, KEY_OCTETS, stateOf } from './connection.ts';
import { allocSpi, deleteState, putState, type SendRequest, sendDamaged } from './requests.ts';

/** Reacts to an event in a way that makes no sense. */
export function confuse(
	random: SimRandom,
	send: SendRequest,
	event: XfrmEvent,
	connections: readonly Connection[],
): void {
	const connection = random.pick(connections);
	const direction = random.pick(['in', 'out'] as const);
	const spi = 0xc000_0000 + random.below(0x1000_0000);
	const state = stateOf(connection, direction, spi, random.octets(KEY_OCTETS), 4500);
	switch (random.below(6)) {
		case 0:
			// A state that no peer knows of, in answer to an acquire that may be another's.
			putState(send, 'newsa', { ...state, seq: event.kind === 'acquire' ? event.seq : 7 });
			return;
		case 1:
			putState(send, 'updsa', state);
			return;
		case 2:
			putState(send, 'newsa', state);
			putState(send, 'newsa', state);
			return;
		case 3:
			deleteState(send, state.id, state.family);
			return;
		case 4:
			sendDamaged(send, state, random.between(1, 120));
			return;
		default:
			allocSpi(send, { ...state, reqid: state.reqid ?? 0 });
			return;
	}
}
