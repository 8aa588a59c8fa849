/** The form of kernel-vectors*.jsonl (golden/README.md): what is read of a case. */

export interface EmittedPacket {
	readonly dev: string;
	readonly packet: string;
	readonly fields?: {
		readonly chain?: readonly number[];
		readonly spi?: number;
		readonly seq?: number;
		readonly iv?: string;
		readonly esp_at?: number;
		readonly ip_id?: number;
		readonly fragment?: number;
	};
}

export interface DeliveredPacket {
	readonly family: 4 | 6;
	readonly proto?: number;
	readonly packet?: string;
	readonly src?: string;
	readonly dst?: string;
	readonly ttl?: number;
	readonly tos?: number;
	readonly hlim?: number;
	readonly tclass?: number;
	readonly sport?: number;
	readonly dport?: number;
	readonly payload?: string;
	readonly socket_error?: string;
	readonly port?: number;
	readonly icmp?: readonly number[];
}

export interface Expectation {
	readonly emit?: readonly EmittedPacket[];
	readonly deliver?: readonly DeliveredPacket[];
	readonly stat?: Readonly<Record<string, number>>;
	readonly error?: string;
	/** Octets that the peer of the connection has read, and messages that our socket has. */
	readonly tcp?: string;
	readonly ike?: readonly string[];
	readonly events?: readonly { readonly msg: string | number; readonly hex: string }[];
	readonly errors?: Readonly<Record<string, string>>;
	readonly answers?: readonly (readonly string[])[];
	readonly links?: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

export interface VectorStep {
	readonly at?: 'lan' | 'wan' | 'local';
	readonly packet?: string;
	readonly burst?: readonly string[];
	readonly mark?: number;
	readonly sender?: string;
	/** Policy of the sending socket (IP_XFRM_POLICY), as a command of `ip xfrm policy add`. */
	readonly policy?: string;
	readonly bind_dev?: string;
	readonly cpu?: number;
	readonly note?: string;
	readonly ip?: readonly string[];
	readonly nl?: readonly string[];
	readonly sleep_ms?: number;
	readonly settle_ms?: number;
	readonly tcp_send?: readonly string[];
	readonly ike_send?: string;
	readonly expect: Expectation;
}

export interface VectorState {
	readonly dst: string;
	readonly src: string;
	readonly proto: number;
	readonly spi: number;
	readonly [field: string]: unknown;
}

export interface EncapSocketText {
	readonly family: 4 | 6;
	readonly port: number;
	readonly type: 'espinudp' | 'espinudp-nonike';
	readonly error?: string;
}

/** Set up before the steps; `ulp` false: without espintcp. */
export interface TcpConnection {
	readonly addr: readonly [ours: string, peers: string];
	readonly port: readonly [ours: number, peers: number];
	readonly ulp?: boolean;
}

/** A policy of one of the sockets that take what is delivered: a UDP socket's port, else a protocol. */
export interface ReceiverPolicy {
	readonly family: 4 | 6;
	readonly socket: number;
	readonly policy: string;
}

/** A request, and every datagram that came back. */
export interface Conversation {
	readonly request: string;
	readonly answers: readonly string[];
}

export interface VectorCase {
	readonly id: string;
	readonly tags: readonly string[];
	readonly sysctl?: Readonly<Record<string, string | number>>;
	readonly setup: readonly string[];
	readonly xfrm: readonly string[];
	readonly encap?: readonly EncapSocketText[];
	readonly policies?: readonly ReceiverPolicy[];
	readonly steps: readonly VectorStep[];
	readonly errors?: Readonly<Record<string, string>>;
	/** `answers`: dumps of NETLINK_XFRM, as test:kernel takes them. */
	readonly after: {
		readonly states: readonly VectorState[];
		readonly answers?: readonly Conversation[];
	};
	readonly nl?: readonly string[];
	readonly answers?: readonly (readonly string[])[];
	readonly wan?: string;
	readonly tcp?: TcpConnection;
	/** Modules that were loaded; files that tell them tell `links` and if_ids too. */
	readonly modules?: readonly string[];
}
