/**
 * What `xfrm doctor` knows of a machine, gathered once (gather.ts); what is wrong is found by looking at
 * these values alone (findings.ts), so that every finding can be shown by a table.
 */
import type { NamedMessage } from '@xfrm/netlink';

/** An interface with its addresses, as `ip -j -d address` tells. */
export interface LinkFacts {
	readonly name: string;
	readonly index: number;
	readonly up: boolean;
	readonly mtu: number;
	/** `xfrm`, `vti`, `veth` …; empty for hardware. */
	readonly kind: string;
	/** Of an XFRM interface. */
	readonly ifId: number | undefined;
	readonly addresses: readonly { readonly address: string; readonly prefix: number }[];
}

/** How a packet to an address would leave, as `ip -j route get` tells. */
export interface RouteFacts {
	readonly dev: string;
	/** Lower than the device's when the path is known to be narrower. */
	readonly mtu: number | undefined;
}

/** A UDP socket that waits on a port. */
export interface SocketFacts {
	readonly port: number;
	/** Name of the process, where it could be found out. */
	readonly process: string | undefined;
}

/** What was tried in a network namespace of its own. */
export interface AbilityFacts {
	/** `esp4`, `esp6`, `ah4` …: does the kernel make such states? */
	readonly transforms: ReadonlyMap<string, boolean>;
	/** Names of XFRM's algorithms, by whether the kernel has them. */
	readonly algorithms: ReadonlyMap<string, boolean>;
	readonly subPolicies: boolean;
	readonly migrate: boolean;
}

/** A rule of the packet filter that touches IPsec. */
export interface FilterRule {
	/** As one would write it, for people. */
	readonly text: string;
	/** `inet filter input`, as nft names it; `iptables filter INPUT`. */
	readonly chain: string;
	readonly hook: 'input' | 'forward' | 'output' | 'postrouting' | 'prerouting';
	/** `policy` is what a base chain does with the rest. */
	readonly action: 'accept' | 'drop' | 'masquerade' | 'snat' | 'policy-drop';
	/** What it matches; undefined where it does not say. */
	readonly protocols: readonly number[] | undefined;
	/** Destination ports. */
	readonly ports: readonly number[] | undefined;
	/** Prefixes. */
	readonly source: string | undefined;
	readonly destination: string | undefined;
	/** A prefix of destinations that it does not match. */
	readonly exceptDestination: string | undefined;
	readonly device: string | undefined;
	/** It matches packets that policies protect only, or those that they do not only. */
	readonly ipsec: boolean | undefined;
	/** It asks for more than this table knows: whether it matches cannot be told. */
	readonly more: boolean;
}

export interface MachineFacts {
	readonly release: string;
	/** Why NETLINK_XFRM, or the daemon in its place, cannot be asked; undefined when it can. */
	readonly refused: string | undefined;
	/** Why nothing could be tried; undefined when it was. */
	readonly untried: string | undefined;
	readonly abilities: AbilityFacts | undefined;
	/** An xfrm daemon does here what the kernel may lack. */
	readonly daemon: boolean;
	readonly states: readonly NamedMessage<'newsa'>[];
	readonly policies: readonly NamedMessage<'newpolicy'>[];
	/** The daemon's where there is one, else of /proc/net/xfrm_stat; undefined where the kernel counts nothing. */
	readonly counters: ReadonlyMap<string, number> | undefined;
	/** By how much they went up while they were watched. */
	readonly risen: ReadonlyMap<string, number>;
	/** `net.ipv4.ip_forward` and so on, those that matter. */
	readonly sysctls: ReadonlyMap<string, string>;
	readonly links: readonly LinkFacts[];
	/** By address of a peer. */
	readonly routes: ReadonlyMap<string, RouteFacts | undefined>;
	readonly sockets: readonly SocketFacts[];
	/** In the order in which packets meet them. */
	readonly filter: readonly FilterRule[];
	/** Profiles of AppArmor in force for programs of IPsec. */
	readonly confined: readonly string[];
	/** Is the module of XFRM interfaces loaded? */
	readonly xfrmInterfaces: boolean;
	/** Names of key managers that run. */
	readonly keyManagers: readonly string[];
	readonly clock: {
		/** Unix seconds. */
		readonly now: number;
		/** When the kernel was built, where it says so. */
		readonly kernelBuilt: number | undefined;
	};
	/** What could not be looked at, and why. */
	readonly unseen: readonly string[];
}
