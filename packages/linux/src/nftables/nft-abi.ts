/**
 * Numbers of nf_tables over NETLINK_NETFILTER, as far as the guard needs them
 * (include/uapi/linux/netfilter/nfnetlink.h, nf_tables.h, nf_tables_compat.h). All attribute values are big-endian.
 */

export const NETLINK_NETFILTER = 12;
/** Subsystem of nf_tables: the upper octet of its message types. */
export const SUBSYSTEM_NFTABLES = 10;

/** `NFNL_MSG_BATCH_*`. */
export const BatchType = { Begin: 0x10, End: 0x11 } as const;

/** `NFT_MSG_*`. */
export const NftType = {
	NewTable: 0,
	GetTable: 1,
	DeleteTable: 2,
	NewChain: 3,
	NewRule: 6,
	DeleteRule: 8,
	NewSet: 9,
	NewElement: 12,
	DeleteElement: 14,
	NewObject: 18,
	GetObject: 19,
} as const;

/** `NFPROTO_*`: `Inet` is a table of both families. */
export const NfProto = { Inet: 1, Ipv4: 2, Ipv6: 10 } as const;

/** `NF_INET_*`. */
export const Hook = { Prerouting: 0, Input: 1, Forward: 2, Output: 3, Postrouting: 4 } as const;

/** `NFTA_LIST_ELEM`, of every list. */
export const LIST_ELEMENT = 1;

export const TableAttribute = { Name: 1, Flags: 2 } as const;
/**
 * `NFT_TABLE_F_OWNER`, `NFT_TABLE_F_PERSIST` (Linux 6.9): nobody else changes the table, `nft flush ruleset` included,
 * and it stays when its owner dies.
 */
export const TABLE_OWNED = 6;
export const ChainAttribute = { Table: 1, Name: 3, Hook: 4, Policy: 5, Type: 7 } as const;
export const HookAttribute = { Number: 1, Priority: 2 } as const;
export const RuleAttribute = { Table: 1, Chain: 2, Expressions: 4 } as const;
export const SetAttribute = {
	Table: 1,
	Name: 2,
	Flags: 3,
	KeyType: 4,
	KeyOctets: 5,
	Id: 10,
} as const;
export const ObjectAttribute = { Table: 1, Name: 2, Type: 3, Data: 4 } as const;
/** `NFT_OBJECT_COUNTER`. */
export const OBJECT_COUNTER = 1;
export const CounterAttribute = { Octets: 1, Packets: 2 } as const;
export const ElementListAttribute = { Table: 1, Set: 2, Elements: 3 } as const;
export const ElementAttribute = { Key: 1 } as const;

export const ExpressionAttribute = { Name: 1, Data: 2 } as const;
export const DataAttribute = { Value: 1, Verdict: 2 } as const;
export const VerdictAttribute = { Code: 1, Chain: 2 } as const;
export const ImmediateAttribute = { Dreg: 1, Data: 2 } as const;
export const MetaAttribute = { Dreg: 1, Key: 2, Sreg: 3 } as const;
export const PayloadAttribute = { Dreg: 1, Base: 2, Offset: 3, Octets: 4 } as const;
export const BitwiseAttribute = { Sreg: 1, Dreg: 2, Octets: 3, Mask: 4, Xor: 5 } as const;
export const CompareAttribute = { Sreg: 1, Operation: 2, Data: 3 } as const;
export const LookupAttribute = { Set: 1, Sreg: 2 } as const;
export const FibAttribute = { Dreg: 1, Result: 2, Flags: 3 } as const;
export const ExtensionAttribute = { Dreg: 1, Type: 2, Offset: 3, Octets: 4, Flags: 5 } as const;
export const ObjectReferenceAttribute = { Type: 1, Name: 2 } as const;
export const SocketAttribute = { Key: 1, Dreg: 2 } as const;

/** `NFT_META_*`. */
export const MetaKey = {
	Priority: 2,
	Mark: 3,
	Oif: 5,
	IifName: 6,
	OifName: 7,
	NfProto: 15,
	L4Proto: 16,
} as const;

/** `NFT_PAYLOAD_*`. */
export const PayloadBase = { Network: 1, Transport: 2 } as const;

/** `NFT_CMP_*`. */
export const Comparison = { Equal: 0, NotEqual: 1 } as const;

/** `NF_*` and `NFT_*` verdicts. */
export const VerdictCode = { Drop: 0, Accept: 1, Jump: -3, Goto: -4 } as const;

/** `NFT_REG_VERDICT`. */
export const REGISTER_VERDICT = 0;
/** `NFT_REG32_00`: sixteen registers of four octets follow each other. */
export const REGISTER_FIRST = 8;

/** `NFT_FIB_RESULT_ADDRTYPE`, of the destination. */
export const FibQuestion = { AddressType: 3, OfDestination: 2 } as const;
/** `NFT_EXTHDR_F_PRESENT`. */
export const EXTENSION_PRESENT = 1;
/** `NFT_SOCKET_MARK`. */
export const SOCKET_MARK = 1;

/** Type numbers that nft(8) knows what is in a set by (its datatype.h); the kernel does not look at them. */
export const DataType = {
	NfProto: 2,
	Ipv4Address: 7,
	Ipv6Address: 8,
	Protocol: 12,
	Service: 13,
	IcmpType: 14,
	Mark: 19,
	InterfaceIndex: 20,
	Icmpv6Type: 29,
	IcmpCode: 32,
	Icmpv6Code: 33,
	AddressType: 38,
} as const;
