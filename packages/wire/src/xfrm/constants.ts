/**
 * Numbers of XFRM's ABI (include/uapi/linux/xfrm.h, socket.h, in.h), each group as a const object and a
 * type of the same name. Values are the kernel's; a number outside the group may still come in by
 * netlink, hence the fields of configuration values that hold them are plain `number`.
 */

/** Address families: 0 in a selector means "any family" (S-14). */
export const Family = { Unspec: 0, Ipv4: 2, Ipv6: 10 } as const;
export type Family = (typeof Family)[keyof typeof Family];

/** IP protocol numbers that XFRM speaks of. */
export const IpProto = {
	HopByHop: 0,
	Icmp: 1,
	Igmp: 2,
	Ipip: 4,
	Tcp: 6,
	Udp: 17,
	Dccp: 33,
	Ipv6: 41,
	Routing: 43,
	Fragment: 44,
	Gre: 47,
	Esp: 50,
	Ah: 51,
	Icmpv6: 58,
	NoNext: 59,
	DestinationOptions: 60,
	Beet: 94,
	Pim: 103,
	Comp: 108,
	Sctp: 132,
	MobilityHeader: 135,
	UdpLite: 136,
	Mpls: 137,
	Aggfrag: 144,
	Raw: 255,
} as const;
export type IpProto = (typeof IpProto)[keyof typeof IpProto];

/** `XFRM_MODE_*`. In-trigger exists in templates only (M-22). */
export const Mode = {
	Transport: 0,
	Tunnel: 1,
	RouteOptimization: 2,
	InTrigger: 3,
	Beet: 4,
	Iptfs: 5,
} as const;
export type Mode = (typeof Mode)[keyof typeof Mode];

/** Policy directions; a socket's policy shows itself as 3 + direction in dumps (P-19). */
export const Direction = { In: 0, Out: 1, Fwd: 2 } as const;
export type Direction = (typeof Direction)[keyof typeof Direction];

/** `XFRM_POLICY_TYPE_*`. */
export const PolicyType = { Main: 0, Sub: 1 } as const;
export type PolicyType = (typeof PolicyType)[keyof typeof PolicyType];

/** `XFRM_POLICY_ALLOW`, `XFRM_POLICY_BLOCK`. */
export const PolicyAction = { Allow: 0, Block: 1 } as const;
export type PolicyAction = (typeof PolicyAction)[keyof typeof PolicyAction];

/** `XFRM_USERPOLICY_*`: values of a default policy. */
export const DefaultAction = { Unspec: 0, Block: 1, Accept: 2 } as const;
export type DefaultAction = (typeof DefaultAction)[keyof typeof DefaultAction];

/** `XFRM_STATE_*`, the `flags` octet of a state. */
export const StateFlag = {
	NoEcn: 1,
	DecapDscp: 2,
	NoPmtuDisc: 4,
	WildRecv: 8,
	Icmp: 16,
	AfUnspec: 32,
	Align4: 64,
	Esn: 128,
} as const;

/** `XFRM_SA_XFLAG_*`. */
export const ExtraFlag = { DontEncapDscp: 1, OseqMayWrap: 2 } as const;

/** `XFRM_POLICY_*` flags. */
export const PolicyFlag = { LocalOk: 1, Icmp: 2, CpuAcquire: 4 } as const;

/** `UDP_ENCAP_*` / `TCP_ENCAP_*`: the encapsulation of an ESP state. */
export const EncapType = { EspInUdpNonIke: 1, EspInUdp: 2, EspInTcp: 7 } as const;

/** `XFRM_SA_DIR_*`; 0 when a state says nothing of its direction (6.10+). */
export const SaDirection = { Unset: 0, In: 1, Out: 2 } as const;

/** `XFRM_MIGRATE_STATE_*`: no offload for the new state; its selector follows the hosts' addresses. */
export const MigrateStateFlag = { ClearOffload: 1, UpdateHostSelector: 2 } as const;

/** `XFRM_AE_*`: flags of NEWAE and GETAE. */
export const AeventFlag = {
	ReplayThreshold: 1,
	ReplayValue: 2,
	LifetimeValue: 4,
	ExpiryTimer: 8,
	CausedByReplay: 16,
	CausedByTimer: 32,
	CausedByUpdate: 64,
} as const;

/** Multicast groups of NETLINK_XFRM; a listener mask has bit `1 << (group - 1)`. */
export const Group = {
	Acquire: 1,
	Expire: 2,
	Sa: 3,
	Policy: 4,
	Aevents: 5,
	Report: 6,
	Migrate: 7,
	Mapping: 8,
} as const;

/** Most templates of a policy, and most states on one packet's path (XFRM_MAX_DEPTH). */
export const MAX_DEPTH = 6;
