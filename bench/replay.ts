/**
 * What does the replay window cost a packet, from 32 packets of it to 4096? Check and advance as input calls them,
 * packets in order, and in blocks that come backwards. Compared with a plain twin: a set of the numbers seen.
 *
 *     npm run bench -- replay [--json] [--check]
 */
import { nullProvider } from '@xfrm/crypto/null';
import { Engine, linux619, type XfrmState } from '@xfrm/engine';
import { StateFlag } from '@xfrm/wire/xfrm';
import { replayAdvance, replayCheck } from '../packages/engine/src/replay.ts';
import { stateConfigs } from './netlink-requests.ts';
import { bestOfBoth, Report } from './report.ts';

const PACKETS = 8192;
const ROUNDS = 100;
const WINDOWS = [32, 128, 1024, 4096];
const report: Report = new Report('replay');
const engine: Engine = new Engine({
	profile: linux619,
	provider: nullProvider(),
	random: (bytes) => bytes.fill(7),
	route: () => undefined,
});

function stateOf(windowPackets: number): XfrmState {
	const [config] = stateConfigs(1);
	if (config === undefined) {
		throw new RangeError('no state');
	}
	const bmpLen = windowPackets / 32;
	const replayEsn = { bmpLen, oseq: 0, seq: 0, oseqHi: 0, seqHi: 0, replayWindow: windowPackets };
	engine.flushStates(0, 0);
	const answer = engine.addState(
		{
			...config,
			flags: StateFlag.Esn,
			replayWindow: 0,
			replayEsn: { ...replayEsn, bmp: new Uint32Array(bmpLen) },
		},
		0,
	);
	if (answer.refusal !== undefined) {
		throw new RangeError(answer.refusal.message);
	}
	return answer.value;
}

/** The numbers of a round, from 1 on: in order, or each block of half a window backwards. */
function numbers(windowPackets: number, backwards: boolean): Int32Array {
	const block = windowPackets / 2;
	return Int32Array.from({ length: PACKETS }, (_, i) => {
		const within = i % block;
		return 1 + i - within + (backwards ? block - 1 - within : within);
	});
}

let seen = 0;

function windowed(state: XfrmState, order: Int32Array): number {
	state.replay.setCounters(0, 0, 0, 0);
	state.replay.bitmap.fill(0);
	const from = performance.now();
	for (let i = 0; i < order.length; i++) {
		const seq = order[i] ?? 0;
		if (replayCheck(state, seq) === 0) {
			replayAdvance(engine.net, state, seq);
			seen++;
		}
	}
	return ((performance.now() - from) * 1e6) / order.length;
}

/** Forgets by the window as it goes: as little as a set can do. */
function plain(windowPackets: number, order: Int32Array): number {
	const numbersSeen = new Set<number>();
	let top = 0;
	const from = performance.now();
	for (let i = 0; i < order.length; i++) {
		const seq = order[i] ?? 0;
		if (seq > top - windowPackets && !numbersSeen.has(seq)) {
			numbersSeen.add(seq);
			for (; top < seq; top++) {
				numbersSeen.delete(top - windowPackets);
			}
			seen++;
		}
	}
	return ((performance.now() - from) * 1e6) / order.length;
}

for (const windowPackets of WINDOWS) {
	for (const backwards of [false, true]) {
		const state = stateOf(windowPackets);
		const order = numbers(windowPackets, backwards);
		seen = 0;
		const [value, twin] = bestOfBoth(
			ROUNDS,
			() => windowed(state, order),
			() => plain(windowPackets, order),
		);
		if (seen !== 2 * ROUNDS * PACKETS) {
			throw new RangeError('window and set differ: every number is new');
		}
		const name = `window of ${windowPackets}, ${backwards ? 'blocks backwards' : 'in order'}`;
		const against = `a set of numbers, ${twin.toFixed(0)}`;
		report.add(name, value, 'ns', { against, ratio: value / twin, most: 1 });
	}
}
report.finish();
