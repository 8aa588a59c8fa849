/**
 * How often a peer is told of errors (net/ipv4/inetpeer.c; net/ipv4/route.c, ip_error and
 * ip_rt_send_redirect; net/ipv4/icmp.c). One account for each IPv4 address serves three limits, which
 * spoil each other's balance as in Linux:
 *
 *     unreachable destinations   five at once, then one a second
 *     redirects                  nine, each after twice as long; anew after 20 seconds of silence
 *     ICMP errors of all kinds   six at once, then one every net.ipv4.icmp_ratelimit
 */
import { PEERS_MAX } from './limits.ts';

const SECOND_US = 1_000_000;
/** A peer that is new counts as silent for so long. */
const SILENT_US = 60_000_000;

const UNREACHABLE_BURST_US = 5_000_000;

/** Before the second redirect at least this long, doubled each time. */
const REDIRECT_LOAD_US = 20_000;
const REDIRECTS_MAX = 9;
const REDIRECT_SILENCE_US: number = REDIRECT_LOAD_US << (REDIRECTS_MAX + 1);

const ICMP_BURST = 6;

interface Account {
	/** Time saved up. */
	tokensUs: number;
	lastUs: number;
	redirects: number;
}

/** Addresses are int32 in network order of octets. */
export class PeerRates {
	private readonly accounts: Map<number, Account> = new Map();

	/** May a packet from this address be answered with "unreachable"? */
	admitUnreachable(address: number, nowUs: number): boolean {
		return this.spend(address, nowUs, SECOND_US, UNREACHABLE_BURST_US);
	}

	/** May an ICMP error go to this address? @param intervalUs 0 for no limit */
	admitError(address: number, nowUs: number, intervalUs: number): boolean {
		return this.spend(address, nowUs, intervalUs, intervalUs * ICMP_BURST);
	}

	private spend(address: number, nowUs: number, costUs: number, burstUs: number): boolean {
		const account = this.account(address, nowUs);
		const tokensUs = Math.min(burstUs, account.tokensUs + (nowUs - account.lastUs));
		const admitted = tokensUs >= costUs;
		account.tokensUs = admitted ? tokensUs - costUs : tokensUs;
		account.lastUs = nowUs;
		return admitted;
	}

	/** May this sender be told of a better way? */
	admitRedirect(address: number, nowUs: number): boolean {
		const account = this.account(address, nowUs);
		if (nowUs > account.lastUs + REDIRECT_SILENCE_US) {
			account.tokensUs = 0;
			account.redirects = 0;
		}
		if (account.redirects >= REDIRECTS_MAX) {
			account.lastUs = nowUs;
			return false;
		}
		const pauseUs = account.redirects === 0 ? 0 : REDIRECT_LOAD_US << account.redirects;
		if (account.redirects > 0 && nowUs <= account.lastUs + pauseUs) {
			return false;
		}
		account.lastUs = nowUs;
		account.redirects++;
		return true;
	}

	/** The oldest account goes when there is no room for a new one. */
	private account(address: number, nowUs: number): Account {
		const known = this.accounts.get(address);
		if (known !== undefined) {
			return known;
		}
		if (this.accounts.size >= PEERS_MAX) {
			for (const oldest of this.accounts.keys()) {
				this.accounts.delete(oldest);
				break;
			}
		}
		const account = { tokensUs: 0, lastUs: nowUs - SILENT_US, redirects: 0 };
		this.accounts.set(address, account);
		return account;
	}
}
