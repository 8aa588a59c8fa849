/**
 * What became of a packet, as numbers: 0 goes on, 1 … 32 are the counters of /proc/net/xfrm_stat in their
 * order (net/xfrm/xfrm_proc.c), from 64 on are drops that Linux does not count and only we name.
 */

export const Verdict = {
	Pass: 0,
	InError: 1,
	InBufferError: 2,
	InHdrError: 3,
	InNoStates: 4,
	InStateProtoError: 5,
	InStateModeError: 6,
	InStateSeqError: 7,
	InStateExpired: 8,
	InStateMismatch: 9,
	InStateInvalid: 10,
	InTmplMismatch: 11,
	InNoPols: 12,
	InPolBlock: 13,
	InPolError: 14,
	OutError: 15,
	OutBundleGenError: 16,
	OutBundleCheckError: 17,
	OutNoStates: 18,
	OutStateProtoError: 19,
	OutStateModeError: 20,
	OutStateSeqError: 21,
	OutStateExpired: 22,
	OutPolBlock: 23,
	OutPolDead: 24,
	OutPolError: 25,
	FwdHdrError: 26,
	OutStateInvalid: 27,
	AcquireError: 28,
	OutStateDirError: 29,
	InStateDirError: 30,
	InIptfsError: 31,
	OutNoQueueSpace: 32,
	/** Default policy OUT is block and no policy matched: EPERM, no counter (O-2). */
	OutDefaultBlock: 64,
	/** The policy's hold queue has its 100 packets (O-8). */
	HoldQueueFull: 65,
	/** A socket's own policy lacks its state: EAGAIN to the sender, no counter (P-19b). */
	SocketNoState: 66,
	/** Home address option or type 2 routing header broke a rule of its own (T-57, T-58). */
	MobilityHeaderRule: 67,
	/** Larger than the tunnel's MTU before any state was asked (IPv6, U-6): EMSGSIZE or packet too big. */
	OutTooBig: 68,
	/** ESP in UDP shorter than the headers to be taken off: not even looked at (NT-2). */
	InEncapShort: 69,
} as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

/** Counters that Linux has: verdicts 1 … 32. */
export const COUNTER_COUNT = 32;

const names: ReadonlyMap<number, string> = new Map(
	Object.entries(Verdict).map(([name, value]) => [value, value < 64 ? `Xfrm${name}` : name]),
);

/** The name in /proc/net/xfrm_stat (`XfrmInNoStates`), or our own name from 64 on; undefined for Pass. */
export function verdictName(verdict: number): string | undefined {
	return verdict === Verdict.Pass ? undefined : names.get(verdict);
}

/** What the caller has to do with a packet after a call (`PacketBuffer.action`). */
export const PacketAction = {
	/** Nothing to do to it: it goes on as it was (output: in clear; check: accepted). */
	Pass: 0,
	/** Output: transformed, leaves by `packet.route`. */
	Transformed: 1,
	/** Input: a tunnel was removed; receive what is inside as new on the same device. */
	Reinject: 2,
	/** Input: a transport header was removed; go on with the protocol that follows. */
	Continue: 3,
	/** Drop; `verdict` says why, `error` what a local sender gets. */
	Drop: 4,
	/** Swallowed: the engine keeps a copy (hold queue), or it was a keepalive. */
	Consume: 5,
	/** Input of UDP encapsulation: not ESP, it belongs to the socket. */
	ToSocket: 6,
	/** Output: split to `packet.mtu` first, then hand every fragment (with the same bundle) to `transform` (U-6). */
	Fragment: 7,
	/**
	 * Output: ESP in TCP. The octets, length field and all, are to be written to the connection `packet.socketId`
	 * (T-12); they are no IP packet.
	 */
	ToStream: 8,
} as const;
export type PacketAction = (typeof PacketAction)[keyof typeof PacketAction];
