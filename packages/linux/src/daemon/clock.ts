/** Wall-clock time that never goes back: the engine counts on it (Unix epoch, microseconds). */
// The global of this name is looked up, and made sure of, each time.
import { performance } from 'node:perf_hooks';

const originUs: number = performance.timeOrigin * 1000;
let latestUs = 0;

/** Microseconds since the Unix epoch, from the monotonic clock since this thread's start. */
export function nowUs(): number {
	latestUs = Math.max(latestUs, Math.floor(originUs + performance.now() * 1000));
	return latestUs;
}
