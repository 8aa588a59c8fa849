/**
 * What `xfrm explain` says about one packet: the contract of its JSON (schema 1), also what the text is
 * made of. Names of fields are the contract's.
 */

/** What a step or a loser is about. */
export interface ObjectRef {
	readonly kind: 'policy' | 'state' | 'template' | 'route' | 'device' | 'socket';
	readonly index?: number;
	readonly dir?: string;
	readonly ptype?: string;
	readonly proto?: string;
	readonly spi?: string;
	readonly src?: string;
	readonly dst?: string;
	readonly name?: string;
}

/** An object that was not taken, and the one field that decided. */
export interface NearMiss {
	readonly object: ObjectRef;
	/** The `ip xfrm` keyword that decided first; `order` for ties. */
	readonly field: string;
	readonly want: string;
	readonly have: string;
	/** The object in words. */
	readonly text: string;
}

/** A field of a header. */
export interface ByteField {
	/** Offset in the packet. */
	readonly at: number;
	/** `ip.ttl`, `esp.spi` … */
	readonly name: string;
	readonly hex: string;
	/** In words or as a number; empty where the octets say it all. */
	readonly value: string;
}

/** Why an object that somebody asked about was not taken. */
export interface WhyNot {
	/** As it was asked about. */
	readonly asked: string;
	readonly text: string;
	/** All that kept it away, not only what decided first. */
	readonly fields: readonly {
		readonly field: string;
		readonly want: string;
		readonly have: string;
	}[];
}

export interface Step {
	/** Verb in front: RECEIVE, ROUTE, POLICY, TEMPLATE, STATE, ESP … */
	readonly step: string;
	/** In parentheses behind the verb in the text: which one. */
	readonly which?: string;
	readonly text: string;
	readonly object?: ObjectRef;
	readonly bytes?: { readonly before: string; readonly after: string };
	/** The same octets by header fields, when asked for. */
	readonly fields?: { readonly before: readonly ByteField[]; readonly after: readonly ByteField[] };
	/** Where the kernel does it: file:function. */
	readonly kernel?: string;
	readonly near?: readonly NearMiss[];
}

export interface PolicyRef {
	readonly index: number | null;
	readonly ptype: 'main' | 'sub' | 'socket';
	readonly dir: 'in' | 'out' | 'fwd';
	readonly priority: number;
	readonly action: 'allow' | 'block';
	readonly mark: string | null;
	readonly if_id: string | null;
	readonly selector: string;
}

export interface StateRef {
	readonly proto: string;
	readonly spi: string;
	readonly src: string;
	readonly dst: string;
	readonly mode: string;
	readonly reqid: number;
	readonly refused?: true;
}

export interface EventRef {
	/** acquire, expire, report, mapping … */
	readonly event: string;
	readonly text: string;
	/** The notification, in hex. */
	readonly netlink: string;
}

/** An edit of the rules (or of what surrounds them) that was tried, and what became of the packet then. */
export interface Fix {
	/** Ready to paste; keys stand by their names, what has to be filled in in capitals. */
	readonly commands: readonly string[];
	readonly text: string;
	/** Of the packet, when tried: `unknown` where a key that no rule tells decides, `drop` where it leaked. */
	readonly outcome: Outcome;
}

/** What came of a packet at the peer, and of the peer's answer on its way back. */
export interface BothWays {
	/** The packet, arriving at the peer. */
	readonly peer: Answer;
	/** The answer, leaving there; absent when the packet did not get through. */
	readonly reply?: Answer;
	/** The answer, arriving here; absent when it did not leave. */
	readonly back?: Answer;
}

export type Outcome = 'pass' | 'transform' | 'drop' | 'acquire' | 'consume' | 'unknown';

/** A packet that left, though none was asked about then. */
export interface LeftPacket {
	readonly device: string;
	/** In hex. */
	readonly packet: string;
	readonly text: string;
}

export interface Answer {
	readonly schema: 1;
	readonly direction: 'out' | 'in' | 'fwd';
	readonly outcome: Outcome;
	readonly counter: string | null;
	readonly counters: Readonly<Record<string, number>>;
	readonly code: string;
	readonly reason: string;
	readonly policies: readonly PolicyRef[];
	readonly states: readonly StateRef[];
	/** Hex of what left or was delivered, ICMP errors too. */
	readonly packets: readonly string[];
	readonly events: readonly EventRef[];
	readonly steps: readonly Step[];
	readonly assumed: readonly string[];
	/** What left between the packet before and this one: held or queued packets, keepalives. */
	readonly meanwhile?: readonly LeftPacket[];
	/** The other end, when asked for; absent where nothing left here. */
	readonly both?: BothWays;
	/** Of objects that were asked about. */
	readonly why_not?: readonly WhyNot[];
	/** At most three, best first; absent where nobody looked for any. */
	readonly fix?: readonly Fix[];
}
