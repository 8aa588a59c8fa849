/**
 * How often a sender that takes the longer way is told of the shorter one (net/ipv4/route.c,
 * ip_rt_send_redirect): nine times at most, each time after twice as long, and anew when it has been
 * silent for 20 seconds.
 */
import { REDIRECTED_SENDERS_MAX } from './limits.ts';

/** Before the second redirect at least this long (net.ipv4.route.redirect_load, doubled each time). */
const LOAD_US = 20_000;
const REDIRECTS_MAX = 9;
const SILENCE_US: number = LOAD_US << (REDIRECTS_MAX + 1);

interface Sender {
	readonly lastUs: number;
	readonly count: number;
}

export class RedirectRates {
	private readonly senders: Map<number, Sender> = new Map();

	/** May this sender (an IPv4 address as int32) be told now? Takes it that it will be. */
	admit(address: number, nowUs: number): boolean {
		let { lastUs, count } = this.senders.get(address) ?? { lastUs: 0, count: 0 };
		if (nowUs > lastUs + SILENCE_US) {
			count = 0;
		}
		const ignored = count >= REDIRECTS_MAX;
		const admitted = !ignored && (count === 0 || nowUs > lastUs + LOAD_US * 2 ** count);
		if (ignored || admitted) {
			lastUs = nowUs;
			this.senders.delete(address);
			if (this.senders.size >= REDIRECTED_SENDERS_MAX) {
				for (const oldest of this.senders.keys()) {
					this.senders.delete(oldest);
					break;
				}
			}
			this.senders.set(address, { lastUs, count: admitted ? count + 1 : count });
		}
		return admitted;
	}
}
