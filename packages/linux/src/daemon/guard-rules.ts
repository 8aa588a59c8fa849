/**
 * The guard's rules of nf_tables that no policy changes: where packets come past, what is never touched, and what
 * a verdict of a policy does.
 *
 *     arrival      what comes out of a lane's device gets the lane's mark
 *     reverse      firewalld asks for the way back to a source: that of what comes out of a lane's device is the lane's
 *     output       packets made here, after the kernel has chosen their source: marked, and routed anew
 *     prerouting   packets that will be forwarded: marked before they are routed
 *     late         what leaves otherwise than it was looked up, with another source or mark, is looked up again
 *     postrouting  what should have been captured and leaves by another device is dropped
 *     input        plaintext that an IN policy forbids is dropped
 *     forward      plaintext that a FWD policy forbids is dropped
 *
 * Each goes on to the chains of a direction: SUB's policies, MAIN's (guard-table.ts fills both), the default.
 * A SUB policy that lets go leaves the word to MAIN, for packets to be forwarded to MAIN's of IN, as the kernel
 * does; no default comes behind it.
 *
 * Packets are marked behind all that may change them or their marks, destination NAT included, as they are looked up
 * behind it in Linux. Source NAT comes later, where nothing can be captured any more: what a policy protects only
 * then is dropped.
 *
 * Never touched: what a socket with the bypass mark sends or is sent (the IKE daemon's); the outer packets
 * themselves, which Linux takes before any policy; neighbour discovery; loopback; and, inward, what comes out of our
 * own devices, as it was checked before it was written there. Marks of ours that a packet already has count for
 * nothing: a firewall that keeps marks by connection (CONNMARK) gives them to packets that were never looked at.
 */
import { IPV6_NEXT_HEADER_AT } from '@xfrm/wire';
import { Direction, IpProto, PolicyType } from '@xfrm/wire/xfrm';
import { DataType, Hook, MetaKey, NfProto, PayloadBase, VerdictCode } from '../nftables/nft-abi.ts';
import type { NftBatch } from '../nftables/nft-batch.ts';
import {
	count,
	loadDestinationType,
	loadExtensionStart,
	loadMeta,
	loadPayload,
	loadSocketMark,
	loadValue,
	machineU32,
	maskRegister,
	nameOctets,
	setMeta,
	verdict,
	whenDifferent,
	whenEqual,
	whenInSet,
} from '../nftables/nft-expression.ts';
import { guardCounter } from './guard-counters.ts';
import { FORBID, LET_GO } from './guard-entry.ts';
import { BYPASS_MARK, CAPTURE_MARK, laneDevice } from './marks.ts';

/** Behind what changes destinations (nat, -100), and marks (mangle -150, filter 0). */
const CAPTURE_PRIORITY = 250;
/** In front of all that looks at marks. */
const ARRIVAL_PRIORITY = -310;
/** In front of firewalld's check of sources (`IPv6_rpfilter`, at filter + 10), and behind it. */
const REVERSE_PRIORITY = 9;
const REVERSE_END_PRIORITY = 11;
/** Behind all but what confirms connections. */
const LATE_PRIORITY = 290;
const LEAVE_PRIORITY = 291;
const CHECK_PRIORITY = -10;

/** Router and neighbour discovery, redirects (RFC 4861). */
const DISCOVERY_TYPES = [133, 134, 135, 136, 137];
/** `RTN_LOCAL`, `RTN_BROADCAST`, `RTN_MULTICAST`: such packets are not forwarded. */
const HERE_TYPES = [2, 3, 5];

/** All marks of capture, whatever the lane. */
const LANE_BITS = 0xff;

const DIRECTION_NAMES = ['in', 'out', 'fwd'] as const;

/** Chain of the policies of a direction and type. */
export function policyChain(direction: number, type: number): string {
	const name = DIRECTION_NAMES[direction] ?? '';
	return type === PolicyType.Sub ? `${name}-sub` : name;
}

/** Chain of a direction's default. */
export function defaultChain(direction: number): string {
	return `${DIRECTION_NAMES[direction] ?? ''}-default`;
}

/** Where packets go that a SUB policy lets go: to MAIN's policies, and no further. */
function mainChain(direction: number): string {
	return direction === Direction.Out ? 'out-main' : 'in-main';
}

/** All chains and sets but those of policies, into an empty table. */
export function writeFrame(batch: NftBatch, drops: boolean): void {
	writeSpared(batch);
	const directions = drops ? [Direction.In, Direction.Out, Direction.Fwd] : [Direction.Out];
	for (const direction of directions) {
		batch.addChain(policyChain(direction, PolicyType.Main));
		batch.addChain(policyChain(direction, PolicyType.Sub));
		batch.addChain(defaultChain(direction));
		if (direction !== Direction.Fwd) {
			batch.addChain(mainChain(direction));
			jump(batch, mainChain(direction), policyChain(direction, PolicyType.Main));
			batch.addRule(mainChain(direction), accept);
		}
	}
	writeOutward(batch);
	if (drops) {
		writeInward(batch);
	}
}

function writeSpared(batch: NftBatch): void {
	const { Icmpv6Type, AddressType, Protocol } = DataType;
	batch.addSet('discovery', { keyType: Icmpv6Type, keyOctets: 1 });
	batch.addSet('here', { keyType: AddressType, keyOctets: 4 });
	batch.addSet('transforms', { keyType: Protocol, keyOctets: 1 });
	for (const type of DISCOVERY_TYPES) {
		batch.addElement('discovery', String.fromCharCode(type));
	}
	for (const type of HERE_TYPES) {
		batch.addElement('here', String.fromCharCode(type, 0, 0, 0));
	}
	for (const proto of [IpProto.Esp, IpProto.Ah, IpProto.Comp]) {
		batch.addElement('transforms', String.fromCharCode(proto));
	}
}

function writeOutward(batch: NftBatch): void {
	batch.addChain('arrival', { hook: Hook.Prerouting, priority: ARRIVAL_PRIORITY, type: 'filter' });
	for (const [name, priority] of [
		['reverse', REVERSE_PRIORITY],
		['reverse-end', REVERSE_END_PRIORITY],
	] as const) {
		batch.addChain(name, { hook: Hook.Prerouting, priority, type: 'filter' });
	}
	batch.addChain('output', { hook: Hook.Output, priority: CAPTURE_PRIORITY, type: 'route' });
	spareSender(batch);
	forgetMarks(batch, 'output');
	spareDiscovery(batch, 'output');
	batch.addRule('output', (rule) => {
		loadMeta(rule, MetaKey.OifName);
		whenEqual(rule, nameOctets('lo'));
		accept(rule);
	});
	jumpToPolicies(batch, 'output', Direction.Out);
	batch.addChain('prerouting', {
		hook: Hook.Prerouting,
		priority: CAPTURE_PRIORITY,
		type: 'filter',
	});
	forgetMarks(batch, 'prerouting');
	batch.addRule('prerouting', (rule) => {
		loadDestinationType(rule);
		whenInSet(rule, 'here');
		accept(rule);
	});
	jumpToPolicies(batch, 'prerouting', Direction.Out);
}

/** What drops plaintext. */
function writeInward(batch: NftBatch): void {
	batch.addChain('to-lanes');
	batch.addChain('from-lanes');
	spareDevice(batch, 'to-lanes', MetaKey.OifName, 'lo');
	spareDevice(batch, 'from-lanes', MetaKey.IifName, 'lo');
	writeLate(batch);
	batch.addChain('postrouting', {
		hook: Hook.Postrouting,
		priority: LEAVE_PRIORITY,
		type: 'filter',
	});
	batch.addRule('postrouting', (rule) => {
		loadMeta(rule, MetaKey.Mark);
		maskRegister(rule, machineU32(~LANE_BITS));
		whenDifferent(rule, machineU32(CAPTURE_MARK));
		accept(rule);
	});
	jump(batch, 'postrouting', 'to-lanes');
	batch.addRule('postrouting', (rule) => drop(rule, Direction.Out));
	batch.addChain('input', { hook: Hook.Input, priority: CHECK_PRIORITY, type: 'filter' });
	jump(batch, 'input', 'from-lanes');
	spareDiscovery(batch, 'input');
	spareSocket(batch, 'input');
	spareTransforms(batch);
	jumpToPolicies(batch, 'input', Direction.In);
	batch.addChain('forward', { hook: Hook.Forward, priority: CHECK_PRIORITY, type: 'filter' });
	jump(batch, 'forward', 'from-lanes');
	jumpToPolicies(batch, 'forward', Direction.Fwd);
}

/** Marks what policies protect as it leaves, and was not captured as what it was before. */
function writeLate(batch: NftBatch): void {
	batch.addChain('late', { hook: Hook.Postrouting, priority: LATE_PRIORITY, type: 'filter' });
	batch.addRule('late', (rule) => {
		loadMeta(rule, MetaKey.Mark);
		maskRegister(rule, machineU32(~LANE_BITS));
		whenEqual(rule, machineU32(CAPTURE_MARK));
		accept(rule);
	});
	for (const key of [MetaKey.Mark, MetaKey.Priority]) {
		batch.addRule('late', (rule) => {
			loadMeta(rule, key);
			whenEqual(rule, machineU32(BYPASS_MARK));
			accept(rule);
		});
	}
	jump(batch, 'late', 'to-lanes');
	spareDiscovery(batch, 'late');
	jumpToPolicies(batch, 'late', Direction.Out);
}

/** Headers of IPv6 that an AH may stand behind; each says in its first octet what does. */
const BEFORE_AH: readonly number[] = [
	IpProto.HopByHop,
	IpProto.Routing,
	IpProto.DestinationOptions,
	IpProto.Fragment,
];

/**
 * nf_tables looks through an AH of IPv6 for the protocol. It could be asked for the AH itself, but nft(8) knows no
 * word for that: as JSON, which firewalld and many a script ask for, nft 1.0 ends on such a rule by an assertion.
 */
function spareTransforms(batch: NftBatch): void {
	batch.addRule('input', (rule) => {
		loadMeta(rule, MetaKey.L4Proto);
		whenInSet(rule, 'transforms');
		accept(rule);
	});
	batch.addRule('input', (rule) => {
		loadMeta(rule, MetaKey.NfProto);
		whenEqual(rule, Uint8Array.of(NfProto.Ipv6));
		loadPayload(rule, PayloadBase.Network, IPV6_NEXT_HEADER_AT, 1);
		whenEqual(rule, Uint8Array.of(IpProto.Ah));
		accept(rule);
	});
	for (const header of BEFORE_AH) {
		batch.addRule('input', (rule) => {
			loadMeta(rule, MetaKey.NfProto);
			whenEqual(rule, Uint8Array.of(NfProto.Ipv6));
			loadExtensionStart(rule, header);
			whenEqual(rule, Uint8Array.of(IpProto.Ah));
			accept(rule);
		});
	}
}

/** What the IKE daemon's sockets, or ours, are sent. */
function spareSocket(batch: NftBatch, chain: string): void {
	batch.addRule(chain, (rule) => {
		loadSocketMark(rule);
		whenEqual(rule, machineU32(BYPASS_MARK));
		accept(rule);
	});
}

/**
 * What they send. A packet may bear another mark than its socket, to be routed by; then its priority says it to
 * `late`, which cannot ask for the socket.
 */
function spareSender(batch: NftBatch): void {
	batch.addRule('output', (rule) => {
		loadSocketMark(rule);
		whenEqual(rule, machineU32(BYPASS_MARK));
		loadMeta(rule, MetaKey.Mark);
		whenDifferent(rule, machineU32(BYPASS_MARK));
		loadValue(rule, machineU32(BYPASS_MARK));
		setMeta(rule, MetaKey.Priority);
		accept(rule);
	});
	spareSocket(batch, 'output');
}

/** Marks of ours that a packet has from somebody else are taken off. */
function forgetMarks(batch: NftBatch, chain: string): void {
	for (const [mask, mark] of [
		[~LANE_BITS, CAPTURE_MARK],
		[~0, BYPASS_MARK],
	] as const) {
		batch.addRule(chain, (rule) => {
			loadMeta(rule, MetaKey.Mark);
			maskRegister(rule, machineU32(mask));
			whenEqual(rule, machineU32(mark));
			loadValue(rule, machineU32(0));
			setMeta(rule, MetaKey.Mark);
		});
	}
}

/** Of this host with its neighbours: nothing of the kind is forwarded, and what claims to be has to obey policies. */
function spareDiscovery(batch: NftBatch, chain: string): void {
	batch.addRule(chain, (rule) => {
		loadMeta(rule, MetaKey.NfProto);
		whenEqual(rule, Uint8Array.of(NfProto.Ipv6));
		loadMeta(rule, MetaKey.L4Proto);
		whenEqual(rule, Uint8Array.of(IpProto.Icmpv6));
		loadPayload(rule, PayloadBase.Transport, 0, 1);
		whenInSet(rule, 'discovery');
		accept(rule);
	});
}

function spareDevice(
	batch: NftBatch,
	chain: string,
	key: typeof MetaKey.IifName | typeof MetaKey.OifName,
	device: string,
): void {
	batch.addRule(chain, (rule) => {
		loadMeta(rule, key);
		whenEqual(rule, nameOctets(device));
		accept(rule);
	});
}

/** A lane's device has come: what goes to it and comes from it is as it should be. */
export function writeLane(batch: NftBatch, lane: number): void {
	spareDevice(batch, 'to-lanes', MetaKey.OifName, laneDevice(lane));
	spareDevice(batch, 'from-lanes', MetaKey.IifName, laneDevice(lane));
}

/** What comes from a lane's device gets the mark back that the lane is for: the device cannot carry it. */
export function writeLaneMark(batch: NftBatch, lane: number, mark: number): void {
	batch.addRule('arrival', (rule) => {
		loadMeta(rule, MetaKey.IifName);
		whenEqual(rule, nameOctets(laneDevice(lane)));
		loadValue(rule, machineU32(mark));
		setMeta(rule, MetaKey.Mark);
		accept(rule);
	});
}

/**
 * Linux takes a packet that it has opened for one of the device that ESP came by, and by that its source is reached.
 * Ours come by a lane's device, by which only what bears the lane's capture mark is reached: so they bear it while
 * firewalld looks (`fib saddr . mark . iif oif missing drop`), but for those that a firewall has marked otherwise.
 */
export function writeReverse(batch: NftBatch, lane: number, mark: number): void {
	const capture = CAPTURE_MARK | lane;
	for (const [chain, before, after] of [
		['reverse', mark, capture],
		['reverse-end', capture, mark],
	] as const) {
		batch.addRule(chain, (rule) => {
			loadMeta(rule, MetaKey.IifName);
			whenEqual(rule, nameOctets(laneDevice(lane)));
			loadMeta(rule, MetaKey.Mark);
			whenEqual(rule, machineU32(before));
			loadValue(rule, machineU32(after));
			setMeta(rule, MetaKey.Mark);
			accept(rule);
		});
	}
}

/** A device of an if_id has come: what comes from it has met the policies of the if_id. */
export function writeInterface(batch: NftBatch, name: string): void {
	spareDevice(batch, 'from-lanes', MetaKey.IifName, name);
}

function jumpToPolicies(batch: NftBatch, chain: string, direction: number): void {
	jump(batch, chain, policyChain(direction, PolicyType.Sub));
	jump(batch, chain, policyChain(direction, PolicyType.Main));
	jump(batch, chain, defaultChain(direction));
}

export function jump(batch: NftBatch, chain: string, to: string): void {
	batch.addRule(chain, (rule) => verdict(rule, VerdictCode.Jump, to));
}

/** What becomes of a packet that a policy has matched first: the end of the policy's rule. */
export function decide(rule: NftBatch, wanted: number, direction: number, type: number): void {
	if (wanted === FORBID) {
		drop(rule, direction);
	} else if (wanted !== LET_GO) {
		loadValue(rule, machineU32(wanted));
		setMeta(rule, MetaKey.Mark);
		accept(rule);
	} else if (type === PolicyType.Sub) {
		verdict(rule, VerdictCode.Goto, mainChain(direction));
	} else {
		accept(rule);
	}
}

function accept(rule: NftBatch): void {
	verdict(rule, VerdictCode.Accept);
}

function drop(rule: NftBatch, direction: number): void {
	count(rule, guardCounter(direction));
	verdict(rule, VerdictCode.Drop);
}
