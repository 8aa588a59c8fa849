/** Bounds of every queue, table and loop of the host, each with its reason. */

/** Effects waiting for `pollEffect`; more are lost and counted: a caller that never polls must not cost memory. */
export const EFFECTS_MAX = 65536;

/** Times that one packet may be received anew (tunnels removed, loopback) before it is dropped: two full sec paths. */
export const PASSES_MAX = 16;

/** Virtual devices that a packet goes through outward, one by another (XMIT_RECURSION_LIMIT). */
export const VIRTUAL_HOPS_MAX = 8;

/** Headers of one packet that local delivery goes through: more than 1280 octets of options can hold in practice. */
export const HEADERS_MAX = 64;

/** Segments and datagrams up to this length have their checksum verified before the policy check (CHECKSUM_BREAK). */
export const CHECKED_FIRST_OCTETS = 76;

/** Datagrams being put together at once, and octets held for them (net.ipv4.ipfrag_high_thresh is 4 MiB). */
export const REASSEMBLY_DATAGRAMS_MAX = 1024;
export const REASSEMBLY_OCTETS_MAX: number = 4 * 1024 * 1024;
/** Fragments of one datagram: 65535 octets in the smallest useful pieces. */
export const REASSEMBLY_FRAGMENTS_MAX = 1024;
/** How long an incomplete datagram waits (net.ipv4.ipfrag_time, RFC 8200 §4.5). */
export const REASSEMBLY_IPV4_US = 30_000_000;
export const REASSEMBLY_IPV6_US = 60_000_000;

/** Learned path MTUs; the oldest goes when there is no room. */
export const PMTU_EXCEPTIONS_MAX = 2048;
/** How long a learned path MTU holds (net.ipv4.route.mtu_expires). */
export const PMTU_EXPIRES_US = 600_000_000;
/** Smallest path MTU that an ICMPv4 error can teach (net.ipv4.route.min_pmtu). */
export const PMTU_MIN = 552;

/** Peers whose rate of ICMP errors is remembered. */
export const PEERS_MAX = 1024;

/** Configuration of one host: names that a typing error could otherwise multiply without end. */
export const DEVICES_MAX = 4096;
export const ADDRESSES_MAX = 65536;
export const ROUTES_MAX = 1_000_000;
export const RULES_MAX = 65536;
export const SOCKETS_MAX = 65536;
export const STREAMS_MAX = 65536;
