/**
 * What each counter of /proc/net/xfrm_stat tells a person: what happened to the packets that it counted,
 * what usually lies behind it, and what to look at next. `xfrm stat`, `xfrm doctor` and docs/counters.md
 * speak from this table; the reason for one packet is the story's (reasons.ts). Meanings after Linux's
 * Documentation/networking/xfrm_proc.rst.
 */

/** A counter in words. */
export interface CounterMeaning {
	/** What happened to the packets that it counts, as a clause without a full stop. */
	readonly means: string;
	/** What is usually the cause. */
	readonly cause: string;
	/** What to do next, a sentence. */
	readonly next: string;
}

const COMPARE_KEYS = 'Compare algorithms, keys and truncation at both ends.';
const EXPLAIN_IN =
	'Capture one packet and ask: xfrm explain --kernel --dir in @capture.pcap names the field that differs.';
const EXPLAIN_OUT = "Ask for the flow: xfrm explain --kernel 'src … dst … proto … dir out'.";
const EXPLAIN_DROP = 'Ask: xfrm explain --daemon --last-drop.';
const MEMORY = 'Look at the memory of the machine and the receive queues.';

/** By name, in the order of /proc/net/xfrm_stat of the newest kernel known. */
export const COUNTERS: Readonly<Record<string, CounterMeaning>> = {
	XfrmInError: {
		means: 'received packets were lost to an error that no other counter names',
		cause: 'no memory, or more than six transforms in one packet',
		next: MEMORY,
	},
	XfrmInBufferError: {
		means: 'received packets went through too many transforms',
		cause: 'more than six transforms in one packet, or no memory for their list',
		next: 'Look for a packet that is tunnelled into itself.',
	},
	XfrmInHdrError: {
		means: 'headers of received packets could not be read, or their mode not removed',
		cause: 'cut or malformed packets, or an inner header that cannot be',
		next: EXPLAIN_IN,
	},
	XfrmInNoStates: {
		means: 'no state takes packets that arrive protected',
		cause:
			'wrong SPI, destination or mark of the state; a peer that still uses a deleted state after a rekey or restart',
		next: EXPLAIN_IN,
	},
	XfrmInStateProtoError: {
		means: 'ESP, AH or IPComp could not be opened: usually the integrity check failed',
		cause:
			'keys, algorithm or ICV length differ from the peer, or packets are changed on their way',
		next: COMPARE_KEYS,
	},
	XfrmInStateModeError: {
		means: 'what was inside does not fit the mode of the state',
		cause: 'tunnel at one end, transport or BEET at the other',
		next: 'Compare the mode of the state at both ends.',
	},
	XfrmInStateSeqError: {
		means: 'sequence numbers were repeated or older than the replay window',
		cause:
			'reordering by several queues or QoS with a small window; a replay; ESN at one end only; a peer that restarted its numbers',
		next: 'Look at replay-window and at stats in ip -s xfrm state; widen the window or mend the reordering.',
	},
	XfrmInStateExpired: {
		means: 'the state had reached its hard limit',
		cause: 'a key manager that does not rekey in time, or a clock that jumped',
		next: 'Look at lifetime config and lifetime current in ip -s xfrm state.',
	},
	XfrmInStateMismatch: {
		means: 'packets are encapsulated in UDP in another way than their state says',
		cause: 'a NAT was detected by one end only, or encap is missing on the state',
		next: 'Compare encap of the state with the capture: ESP (protocol 50), or UDP port 4500.',
	},
	XfrmInStateInvalid: {
		means: 'the state is larval, dead or of another direction',
		cause: 'packets arrive before the key manager has put its keys in, or just after a deletion',
		next: 'See whether it goes on; if so, look for state acq in ip xfrm state.',
	},
	XfrmInTmplMismatch: {
		means: 'a policy demands protection that the packets did not have',
		cause:
			'cleartext where ESP is demanded; a reqid, mode, source or protocol of the template that differs from the state; IPComp that the peer left out',
		next: EXPLAIN_IN,
	},
	XfrmInNoPols: {
		means: 'no policy allows what came out of a state, or the default is block',
		cause: 'the fwd or in policy is missing, or its selector, mark or if_id is another',
		next: EXPLAIN_IN,
	},
	XfrmInPolBlock: {
		means: 'a policy with action block matches',
		cause: 'that is what the policy is for, if it is meant',
		next: EXPLAIN_IN,
	},
	XfrmInPolError: {
		means: 'the policy could not be looked up or checked',
		cause: 'main and sub policy have more than six templates together',
		next: 'Count the templates of the policies.',
	},
	XfrmOutError: {
		means: 'packets could not be sent for a reason that no other counter names',
		cause: 'no memory, no IV generator, or a header that has no room',
		next: MEMORY,
	},
	XfrmOutBundleGenError: {
		means: 'no chain of states could be made for a policy',
		cause: 'no route to the other end of the tunnel, or a state that cannot be used',
		next: 'Ask for the route to the outer destination: ip route get …',
	},
	XfrmOutBundleCheckError: {
		means: 'a chain of states turned stale while a packet was on its way',
		cause: 'states or routes change under traffic',
		next: 'See whether it goes on without changes of rules.',
	},
	XfrmOutNoStates: {
		means: 'a policy demands a state that is not there, or not yet',
		cause:
			'no key manager answers, the negotiation failed, or the reqid, SPI, mark or endpoints of state and template differ',
		next: EXPLAIN_OUT,
	},
	XfrmOutStateProtoError: {
		means: 'ESP, AH or IPComp could not be made',
		cause: 'the crypto provider or device failed',
		next: 'Look at the kernel log.',
	},
	XfrmOutStateModeError: {
		means: 'the header of the mode could not be made: usually the packet is too big, with DF set',
		cause: 'path MTU less the overhead of the tunnel is smaller than what is sent',
		next: 'Lower the MTU inside or clamp the MSS; see that ICMP too-big messages arrive.',
	},
	XfrmOutStateSeqError: {
		means: 'a state has used its last sequence number',
		cause: '2^32 packets without ESN and without a rekey',
		next: 'Use ESN, or a packet limit in the life of the state.',
	},
	XfrmOutStateExpired: {
		means: 'the state had reached its hard limit',
		cause: 'a key manager that does not rekey in time, or a clock that jumped',
		next: 'Look at lifetime config and lifetime current in ip -s xfrm state.',
	},
	XfrmOutPolBlock: {
		means: 'a policy with action block matches',
		cause:
			'that is what the policy is for, if it is meant: strongSwan drops by it while a tunnel is down',
		next: EXPLAIN_OUT,
	},
	XfrmOutPolDead: {
		means: 'the policy was deleted while a packet was on its way',
		cause: 'rules change under traffic',
		next: 'See whether it goes on without changes of rules.',
	},
	XfrmOutPolError: {
		means: 'the policy could not be used',
		cause: 'main and sub policy have more than six templates together',
		next: 'Count the templates of the policies.',
	},
	XfrmFwdHdrError: {
		means: 'headers of packets to forward could not be read',
		cause: 'malformed packets, or no route for what came out of a tunnel',
		next: 'Capture one packet and look at its headers.',
	},
	XfrmOutStateInvalid: {
		means: 'the state is not valid any more',
		cause: 'it expired or was deleted while packets were on their way',
		next: 'See whether it goes on; if so, look at the states of the policy.',
	},
	XfrmAcquireError: {
		means: 'a state was found whose acquire had failed',
		cause: 'the key manager is not there, or did not answer in time',
		next: "Look at the key manager's log, and for state acq in ip xfrm state.",
	},
	XfrmOutStateDirError: {
		means: 'the state that fits is for direction in',
		cause: 'dir in on a state that is used outbound',
		next: 'Compare dir of the state.',
	},
	XfrmInStateDirError: {
		means: 'the state that fits is for direction out',
		cause: 'dir out on a state that packets arrive by',
		next: 'Compare dir of the state.',
	},
	XfrmInIptfsError: {
		means: 'IPTFS payloads could not be taken apart',
		cause: 'a peer that packs them in another way, or packets lost between the parts of one',
		next: 'Look for loss and reordering on the path; widen the reorder window.',
	},
	XfrmOutNoQueueSpace: {
		means: "an IPTFS state's queue had no room",
		cause: 'more is sent than the state passes on',
		next: 'Raise iptfs-max-queue-size, or send less.',
	},
};

const ASK_PLAINTEXT =
	'Capture one packet and ask: xfrm explain --daemon --dev DEVICE @capture.pcap names the policy that forbids it.';

/** What the daemon does not let through beside those, and tells among its drops: names of its own. */
export const DAEMON_COUNTERS: Readonly<Record<string, CounterMeaning>> = {
	'plaintext-in': {
		means: 'packets for this host came in clear, and a policy of direction in forbids that',
		cause:
			'a peer that sends past its tunnel, a selector that is too wide, or a forgery; Linux counts XfrmInTmplMismatch or XfrmInPolBlock',
		next: ASK_PLAINTEXT,
	},
	'plaintext-fwd': {
		means: 'packets to be forwarded came in clear, and a policy of direction fwd forbids that',
		cause:
			'a peer that sends past its tunnel, a selector that is too wide, or a forgery; Linux counts XfrmInTmplMismatch or XfrmInPolBlock',
		next: ASK_PLAINTEXT,
	},
	'plaintext-out': {
		means: 'packets that a policy protects were about to leave in clear',
		cause: 'NAT, or a mark, that made them fall under the policy behind the lookup',
		next: 'See docs/beside-the-daemon.md for rules of NAT and marks.',
	},
	portless: {
		means: 'ESP in UDP had no port to leave by',
		cause: 'the key manager does not run, or has another port',
		next: 'Start the key manager by xfrm exec.',
	},
	unleased: {
		means: 'packets could have no sequence number',
		cause: "the disk under the daemon's state directory is full or read-only",
		next: "Look at the daemon's log.",
	},
	carrier: {
		means: 'a device by if_id had no protected way for what was sent by it',
		cause: 'no policy, state or route for the if_id',
		next: EXPLAIN_DROP,
	},
	collisions: {
		means: 'protected packets would have left by the device by if_id that they were in',
		cause: "a route to the tunnel's end that leads into the tunnel",
		next: EXPLAIN_DROP,
	},
};

/** A counter in words; undefined for a name that neither a known kernel nor the daemon has. */
export function counterMeaning(name: string): CounterMeaning | undefined {
	if (Object.hasOwn(COUNTERS, name)) {
		return COUNTERS[name];
	}
	return Object.hasOwn(DAEMON_COUNTERS, name) ? DAEMON_COUNTERS[name] : undefined;
}
