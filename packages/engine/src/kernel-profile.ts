/**
 * Differences between kernels, by name: code asks the profile, never a version. One instance a kernel
 * that we follow; the default is the newest that could be observed.
 */

export interface KernelProfile {
	readonly name: 'linux61' | 'linux619' | 'linux72';
	/** Ties of equal priority: by age over all lists (6.12+), or exact policies first (P-4, P-4b). */
	readonly tiesByAge: boolean;
	/** ESP in UDP with the non-IKE marker still exists (removed in 6.10; NT-1). */
	readonly nonIkeEncap: boolean;
	/** ESP in TCP is built in: such states can be made; without a connection their packets are refused. */
	readonly espInTcp: boolean;
	/** States have a direction, and attributes from SA_DIR on are parsed strictly (6.10; S-30 … S-36, N-8). */
	readonly stateDirection: boolean;
	/** Acquired larval states and acquires per processor (6.13; S-24). */
	readonly perProcessor: boolean;
	/** States send NAT keepalives (6.11; NT-9). */
	readonly natKeepalive: boolean;
	/** Mode 5 exists (6.14; M-30). */
	readonly iptfs: boolean;
	/** Last use is noted for every packet, not by route optimization alone (6.2; S-18). */
	readonly lastUsedEveryPacket: boolean;
	/** ICMP errors are looked up by the packet they quote too (6.9; I-12, I-13, F-6). */
	readonly icmpByEmbeddedFlow: boolean;
	/** Wire packets are decoded by the generic dissector (6.7; P-28). */
	readonly genericDissector: boolean;
	/** MIGRATE finds its policy by an ordinary lookup (6.12; G-2). */
	readonly migrateByFlow: boolean;
	/** MIGRATE without ENCAP leaves a state's encapsulation as it is; without (7.2) it takes it away (G-4). */
	readonly migrateKeepsEncap: boolean;
	/** MIGRATE_STATE exists (after 6.18; G-9). */
	readonly migrateState: boolean;
	/** ALLOCSPI, NEWAE, MIGRATE and thresholds say why they refuse (6.2); NEWSA and NEWPOLICY always do. */
	readonly refusalTexts: boolean;
	/** Policies and states may ask for packet offload (6.2). */
	readonly packetOffload: boolean;
	/**
	 * A state that was refused, or that only changed another, leaves its claim on IPComp's helper state
	 * behind: the helper then stays (a leak since helpers go when their users are deleted, 6.16; S-19).
	 */
	readonly refusedKeepsHelper: boolean;
	/** A binding (HAO, RH2) is refused as the sixth state of a packet and taken as the seventh (T-55). */
	readonly bindingDepthOffByOne: boolean;
	/** Optional IPTFS templates outward are taken (6.14 until 6.19.0; refused by 6.18.44; P-12). */
	readonly iptfsOptionalOutward: boolean;
	/** ALLOCSPI and ACQUIRE say that the processor is wrong (6.18.44, not yet 6.19.0). */
	readonly processorText: boolean;
	/** MAPPING has its payload in requests too (6.1, 6.18.44; not 6.19.0), though none of them takes it (N-6). */
	readonly mappingPayload: boolean;
	/** How many counters /proc/net/xfrm_stat has. */
	readonly counterCount: number;
	/** Highest attribute and message numbers of NETLINK_XFRM. */
	readonly attributeMax: number;
	readonly messageMax: number;
}

export const linux61: KernelProfile = {
	name: 'linux61',
	tiesByAge: false,
	nonIkeEncap: true,
	espInTcp: false,
	stateDirection: false,
	perProcessor: false,
	natKeepalive: false,
	iptfs: false,
	lastUsedEveryPacket: false,
	icmpByEmbeddedFlow: false,
	genericDissector: false,
	migrateByFlow: false,
	migrateKeepsEncap: true,
	migrateState: false,
	refusalTexts: false,
	packetOffload: false,
	refusedKeepsHelper: false,
	bindingDepthOffByOne: false,
	iptfsOptionalOutward: false,
	processorText: false,
	mappingPayload: true,
	counterCount: 28,
	attributeMax: 32,
	messageMax: 0x28,
};

export const linux619: KernelProfile = {
	name: 'linux619',
	tiesByAge: true,
	nonIkeEncap: false,
	espInTcp: true,
	stateDirection: true,
	perProcessor: true,
	natKeepalive: true,
	iptfs: true,
	lastUsedEveryPacket: true,
	icmpByEmbeddedFlow: true,
	genericDissector: true,
	migrateByFlow: true,
	migrateKeepsEncap: true,
	migrateState: false,
	refusalTexts: true,
	packetOffload: true,
	refusedKeepsHelper: true,
	bindingDepthOffByOne: true,
	iptfsOptionalOutward: true,
	processorText: false,
	mappingPayload: false,
	counterCount: 32,
	attributeMax: 41,
	messageMax: 0x28,
};

export const linux72: KernelProfile = {
	...linux619,
	name: 'linux72',
	migrateKeepsEncap: false,
	migrateState: true,
	iptfsOptionalOutward: false,
	processorText: true,
	mappingPayload: true,
	messageMax: 0x29,
};

export const PROFILES: Readonly<Record<KernelProfile['name'], KernelProfile>> = {
	linux61,
	linux619,
	linux72,
};

/** What a kernel has built in; ours is what our provider can do unless a kernel was probed. */
export interface Available {
	/** Transform types by protocol number: 50, 51, 108, 60, 43. */
	readonly types: ReadonlySet<number>;
	/** Modes by number. */
	readonly modes: ReadonlySet<number>;
	/**
	 * Modules loaded from the start; absent: none. Only those count that change something by being there:
	 * `xfrm_interface`. A module is also loaded by the first device of its type.
	 */
	readonly modules?: ReadonlySet<string>;
	/** Is the algorithm of this canonical name built in? */
	algorithm(kind: 'aead' | 'auth' | 'crypt' | 'comp', name: string, icvBits?: number): boolean;
}
