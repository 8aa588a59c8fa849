/**
 * The engine's door: packets by batch, commands that answer errno plus a sentence, effects by polling
 * (sans-IO, as quinn-proto's Connection). After any call: `pollEvent` until undefined, `pollPacket`
 * until undefined, then `pollTimeout`. Time never goes backwards. Packets are rewritten in place and
 * stay the caller's.
 *
 * This file only delegates; read output.ts, input.ts and policy-check.ts for what happens to a packet.
 */
import type { Flow, PacketBuffer, Route } from '@xfrm/wire';
import type {
	Address,
	Encap,
	KmAddress,
	LifetimeCurrent,
	Mark,
	MigrateEntry,
	PolicyConfig,
	PolicySnapshot,
	Refusal,
	ReplayEsn,
	ReplayLegacy,
	Selector,
	StateConfig,
	StateId,
	StateSnapshot,
} from '@xfrm/wire/xfrm';
import { nextAcquireSeq } from './acquire.ts';
import { addressInput } from './address-input.ts';
import type { Answer } from './answer.ts';
import { availableFrom } from './available.ts';
import type { Batch } from './batch.ts';
import type { Bundle } from './bundle.ts';
import { lookupByDevice } from './device-lookup.ts';
import type { EngineEvent } from './events.ts';
import { input } from './input.ts';
import { allocSpi } from './larval.ts';
import { migrate } from './migrate.ts';
import { migrateState } from './migrate-state.ts';
import { type EngineOptions, Namespace } from './namespace.ts';
import { output, transform } from './output.ts';
import { lookup, lookupIcmpError } from './output-lookup.ts';
import type { PackedPolicy, XfrmPolicy } from './policy.ts';
import { policyCheck, reverseCheck } from './policy-check.ts';
import * as policyCommands from './policy-commands.ts';
import { addressWords } from './selector-match.ts';
import { snapshotPolicy, snapshotState } from './snapshot.ts';
import type { XfrmState } from './state.ts';
import * as stateCommands from './state-commands.ts';
import { tcpEncapInput } from './tcp-encap.ts';
import { handleTimeout } from './timeouts.ts';
import { udpEncapInput } from './udp-encap.ts';

/** How a request names a state: by SPI for ESP, AH and IPComp, by source for the others (S-5). */
export interface StateQuery {
	readonly id: StateId;
	readonly family: number;
	/** Needed when the protocol has no SPI. */
	readonly saddr?: Address;
	/** v AND m of the request. */
	readonly mark: number;
}

/** How a request names a policy: by index when it is not 0, else by selector (P-5). Mark compared raw. */
export interface PolicyQuery {
	readonly direction: number;
	readonly type: number;
	readonly ifId: number;
	readonly mark: Mark;
	readonly index: number;
	readonly selector: Selector;
}

/** What NEWAE sets; absent fields stay. */
export interface AeventUpdate {
	readonly replay?: ReplayLegacy;
	readonly replayEsn?: ReplayEsn;
	readonly lifetimeCurrent?: LifetimeCurrent;
	readonly replayThreshold?: number;
	readonly expiryTimer?: number;
	readonly mappingThresholdSeconds?: number;
}

export interface AllocSpiRequest {
	readonly id: StateId;
	readonly saddr: Address;
	readonly family: number;
	readonly mode: number;
	readonly reqid: number;
	readonly seq: number;
	readonly min: number;
	readonly max: number;
	readonly mark?: Mark;
	readonly ifId?: number;
	readonly direction?: number;
	readonly pcpu?: number;
}

export interface MigrateRequest {
	readonly selector: Selector;
	readonly direction: number;
	readonly type: number;
	readonly ifId: number;
	readonly entries: readonly MigrateEntry[];
	readonly kmAddress?: KmAddress;
	readonly encap?: Encap;
}

/** What MIGRATE_STATE makes of one state; absent fields are inherited (G-9). */
export interface MigrateStateRequest {
	readonly id: StateId;
	readonly family: number;
	/** Names the state together with `id`, by v AND m; the new state has it unless `mark` says otherwise. */
	readonly oldMark: Mark;
	readonly to: { readonly daddr: Address; readonly saddr: Address; readonly family: number };
	readonly reqid: number;
	/** Absent: the old one, of one host a side, follows the addresses. */
	readonly selector?: Selector;
	readonly mark?: Mark;
	readonly outputMark?: Mark;
	/** null: none from now on. */
	readonly encap?: Encap | null;
	readonly mappingThresholdSeconds?: number;
	readonly natKeepaliveSeconds?: number;
}

/** Counts of GETSADINFO and GETSPDINFO. Policies: in, out, fwd, socket in, socket out, socket fwd. */
export interface SadInfo {
	readonly stateCount: number;
	readonly bucketCount: number;
	readonly bucketCountMax: number;
}
export interface SpdInfo {
	readonly counts: readonly [number, number, number, number, number, number];
	readonly bucketMask: number;
	readonly bucketCountMax: number;
	readonly threshold4: readonly [local: number, remote: number];
	readonly threshold6: readonly [local: number, remote: number];
}

/** What the rooms above see of the engine; one of them may put another behind it. */
export interface EngineDoor {
	readonly net: Namespace;

	// Packets. Each reads and writes the fields of PacketBuffer that its doc names.

	/**
	 * OUT lookup (xfrm_lookup): reads flow, ifId, socketId, route, mark, forwarded (then the flow is decoded
	 * here: FwdHdrError on failure); writes bundle, mtu (of the bundle, or of the route), action Pass,
	 * Transformed (a bundle is there, nothing done yet) or Drop; verdict; error.
	 */
	lookup(batch: Batch): void;
	/**
	 * Applies each packet's bundle (xfrm_output): action Transformed with `route` the bundle's last route, Drop,
	 * Fragment, ToStream, or Consume (the hold queue or IPTFS has a copy). Reads forwarded and dontFragment where
	 * a packet is too big.
	 * Packets without a bundle stay as they are.
	 */
	transform(batch: Batch): void;
	/**
	 * OUT lookup of an ICMP error made by this host (O-15), in place of `lookup`: by the error's own flow and
	 * route, then by `quoted`, the reversed flow of the packet in error, and its route (null: none). Writes
	 * what `lookup` does, and `route` when the second lookup decided.
	 */
	lookupIcmpError(
		packet: PacketBuffer,
		quoted: Flow,
		quotedRoute: Route | null,
		nowUs: number,
	): void;
	/**
	 * OUT lookup of a packet in an XFRM interface or VTI, by the flow of its bytes: reads ifId and route;
	 * writes what `lookup` does. A packet without a bundle must not leave by the device.
	 *
	 * @param oif the flow's output interface: the device's link, or the device
	 */
	lookupByDevice(packet: PacketBuffer, oif: number, mark: number, nowUs: number): void;
	/** lookup, then transform. */
	output(batch: Batch): void;
	/**
	 * ESP, AH or IPComp addressed to us, whole (after reassembly). Reads proto, transportAt, nextHeaderAt, mark,
	 * encapType; appends to the sec path; answers Reinject, Continue (proto and transportAt now those of what
	 * follows), or Drop.
	 */
	input(batch: Batch): void;
	/**
	 * A UDP datagram at transportAt for a socket with UDP_ENCAP of this type: ESP is stripped of UDP and given to
	 * `input`; ToSocket when it is IKE's, Consume when a keepalive. `admit` is asked of each ESP packet before
	 * false drops it.
	 */
	udpEncapInput(batch: Batch, encapType: number, admit?: (packet: PacketBuffer) => boolean): void;
	/**
	 * A message of a TCP stream with ESP in it, at transportAt behind an IP header like its segment's; reads
	 * encapSport, the peer's port. ToSocket when it is IKE's, Consume for a keepalive, else as `input`.
	 */
	tcpEncapInput(batch: Batch): void;
	/**
	 * A home address option or a type 2 routing header was met (xfrm6_input_addr): `proto` 60 or 43. Appends to
	 * the sec path, or drops with InNoStates; the header itself is rewritten by the caller (T-57, T-58).
	 */
	addressInput(
		packet: PacketBuffer,
		daddr: Address,
		saddr: Address,
		proto: number,
		nowUs: number,
	): boolean;
	/**
	 * IN or FWD check (__xfrm_policy_check) of what came out of everything above: decodes the flow (oif from
	 * flow.oif as the caller set it, P-29), reads ifId, socketId, sec path; action Pass or Drop.
	 */
	policyCheck(batch: Batch, direction: number): void;
	/** IN check of an ICMP error by the packet that it quotes, whose IP header starts at `at` (P-31). */
	reverseCheck(packet: PacketBuffer, at: number, nowUs: number): boolean;
	/** Is there a state for the outer packet that an ICMP error quotes (U-7)? */
	knowsQuoted(family: number, daddr: Address, spi: number, proto: number, mark: number): boolean;

	// Commands.

	addState(config: StateConfig, nowUs: number): Answer<XfrmState>;
	/** Answers the state made of the request, of which the notification tells (N-17). */
	updateState(config: StateConfig, nowUs: number): Answer<XfrmState>;
	deleteState(query: StateQuery, nowUs: number): Answer<StateSnapshot>;
	findState(query: StateQuery): XfrmState | undefined;
	/** How many went: proto 0 all, 255 ESP, AH and IPComp. */
	flushStates(proto: number, nowUs: number): number;
	allocSpi(request: AllocSpiRequest, nowUs: number): Answer<XfrmState>;
	updateAevent(query: StateQuery, update: AeventUpdate, nowUs: number): Answer<XfrmState>;
	/** EXPIRE sent by a user: the event is the answer's snapshot, the caller multicasts it. */
	expireState(query: StateQuery, hard: boolean, nowUs: number): Answer<StateSnapshot>;
	/** Newest first; each call of the iterator survives changes in between. */
	states(): Iterable<XfrmState>;
	snapshotState(state: XfrmState): StateSnapshot;

	addPolicy(config: PolicyConfig | PackedPolicy, nowUs: number): Answer<XfrmPolicy>;
	updatePolicy(config: PolicyConfig | PackedPolicy, nowUs: number): Answer<XfrmPolicy>;
	deletePolicy(query: PolicyQuery, nowUs: number): Answer<PolicySnapshot>;
	findPolicy(query: PolicyQuery): XfrmPolicy | undefined;
	flushPolicies(type: number, nowUs: number): number;
	expirePolicy(query: PolicyQuery, hard: boolean, nowUs: number): Answer<PolicySnapshot>;
	/** Main, sub and sockets' policies, newest first. */
	policies(): Iterable<XfrmPolicy>;
	snapshotPolicy(policy: XfrmPolicy): PolicySnapshot;
	setSocketPolicy(
		socketId: number,
		direction: number,
		config: PolicyConfig | undefined,
		nowUs: number,
	): Refusal | undefined;
	setDefault(direction: number, action: number): void;
	/** Prefix lengths from which policies are exact (P-11): family, local, remote bits. */
	setThreshold(family: number, local: number, remote: number): Refusal | undefined;
	/** Moves a policy's endpoints and its states'; emits a migrate event (G-7). */
	migrate(request: MigrateRequest, nowUs: number): Refusal | undefined;
	/** Moves one state, sequence numbers and all; answers the new one. The caller tells of it (G-9). */
	migrateState(request: MigrateStateRequest, nowUs: number): Answer<XfrmState>;
	/** For an ACQUIRE that a user sent: the events are the caller's, only the number is the engine's. */
	nextAcquireSeq(): number;
	sadInfo(): SadInfo;
	spdInfo(): SpdInfo;

	// Effects.

	pollEvent(): EngineEvent | undefined;
	/**
	 * A packet that the engine had kept or made. Action Transformed, Pass or Fragment: it leaves by `route`;
	 * ToStream: by its connection.
	 * Reinject: it came out of an IPTFS payload, whose own packet was answered with Consume; receive it as new
	 * by the device `iif`. Poll after every call: a single input may bring many.
	 */
	pollPacket(): PacketBuffer | undefined;
	/** Earliest deadline in microseconds, Infinity for none. */
	pollTimeout(): number;
	handleTimeout(nowUs: number): void;
}

export type { EngineOptions };

/** One network namespace's XFRM behind its door. */
export class Engine implements EngineDoor {
	readonly net: Namespace;

	constructor(options: EngineOptions) {
		this.net = new Namespace(options, options.available ?? availableFrom(options.provider));
	}

	lookup(batch: Batch): void {
		lookup(this.net, batch);
	}

	transform(batch: Batch): void {
		transform(this.net, batch);
	}

	lookupIcmpError(
		packet: PacketBuffer,
		quoted: Flow,
		quotedRoute: Route | null,
		nowUs: number,
	): void {
		lookupIcmpError(this.at(nowUs), packet, quoted, quotedRoute);
	}

	lookupByDevice(packet: PacketBuffer, oif: number, mark: number, nowUs: number): void {
		lookupByDevice(this.at(nowUs), packet, oif, mark);
	}

	output(batch: Batch): void {
		output(this.net, batch);
	}

	input(batch: Batch): void {
		input(this.net, batch);
	}

	udpEncapInput(batch: Batch, encapType: number, admit?: (packet: PacketBuffer) => boolean): void {
		udpEncapInput(this.net, batch, encapType, admit);
	}

	tcpEncapInput(batch: Batch): void {
		tcpEncapInput(this.net, batch);
	}

	addressInput(
		packet: PacketBuffer,
		daddr: Address,
		saddr: Address,
		proto: number,
		nowUs: number,
	): boolean {
		return addressInput(this.at(nowUs), packet, daddr, saddr, proto);
	}

	policyCheck(batch: Batch, direction: number): void {
		policyCheck(this.net, batch, direction);
	}

	reverseCheck(packet: PacketBuffer, at: number, nowUs: number): boolean {
		return reverseCheck(this.at(nowUs), packet, at);
	}

	/** @spec U-7 */
	knowsQuoted(family: number, daddr: Address, spi: number, proto: number, mark: number): boolean {
		const words = addressWords(daddr, family);
		return this.net.sad.bySpi(family, words, spi | 0, proto, mark) !== null;
	}

	addState(config: StateConfig, nowUs: number): Answer<XfrmState> {
		return stateCommands.addState(this.at(nowUs), config);
	}

	updateState(config: StateConfig, nowUs: number): Answer<XfrmState> {
		return stateCommands.updateState(this.at(nowUs), config);
	}

	deleteState(query: StateQuery, nowUs: number): Answer<StateSnapshot> {
		return stateCommands.deleteStateByQuery(this.at(nowUs), query);
	}

	findState(query: StateQuery): XfrmState | undefined {
		return stateCommands.findState(this.net, query);
	}

	flushStates(proto: number, nowUs: number): number {
		return stateCommands.flushStates(this.at(nowUs), proto);
	}

	allocSpi(request: AllocSpiRequest, nowUs: number): Answer<XfrmState> {
		return allocSpi(this.at(nowUs), request);
	}

	updateAevent(query: StateQuery, update: AeventUpdate, nowUs: number): Answer<XfrmState> {
		return stateCommands.updateAevent(this.at(nowUs), query, update);
	}

	expireState(query: StateQuery, hard: boolean, nowUs: number): Answer<StateSnapshot> {
		return stateCommands.expireState(this.at(nowUs), query, hard);
	}

	states(): Iterable<XfrmState> {
		return this.net.sad.states();
	}

	snapshotState(state: XfrmState): StateSnapshot {
		return snapshotState(state);
	}

	addPolicy(config: PolicyConfig | PackedPolicy, nowUs: number): Answer<XfrmPolicy> {
		return policyCommands.addPolicy(this.at(nowUs), config);
	}

	updatePolicy(config: PolicyConfig | PackedPolicy, nowUs: number): Answer<XfrmPolicy> {
		return policyCommands.updatePolicy(this.at(nowUs), config);
	}

	deletePolicy(query: PolicyQuery, nowUs: number): Answer<PolicySnapshot> {
		return policyCommands.deletePolicy(this.at(nowUs), query);
	}

	findPolicy(query: PolicyQuery): XfrmPolicy | undefined {
		return policyCommands.findPolicy(this.net, query);
	}

	flushPolicies(type: number, nowUs: number): number {
		return policyCommands.flushPolicies(this.at(nowUs), type);
	}

	expirePolicy(query: PolicyQuery, hard: boolean, nowUs: number): Answer<PolicySnapshot> {
		return policyCommands.expirePolicy(this.at(nowUs), query, hard);
	}

	policies(): Iterable<XfrmPolicy> {
		return this.net.spd.policies();
	}

	snapshotPolicy(policy: XfrmPolicy): PolicySnapshot {
		return snapshotPolicy(policy);
	}

	setSocketPolicy(
		socketId: number,
		direction: number,
		config: PolicyConfig | undefined,
		nowUs: number,
	): Refusal | undefined {
		return policyCommands.setSocketPolicy(this.at(nowUs), socketId, direction, config);
	}

	setDefault(direction: number, action: number): void {
		policyCommands.setDefault(this.net, direction, action);
	}

	setThreshold(family: number, local: number, remote: number): Refusal | undefined {
		return policyCommands.setThreshold(this.net, family, local, remote);
	}

	migrate(request: MigrateRequest, nowUs: number): Refusal | undefined {
		return migrate(this.at(nowUs), request);
	}

	migrateState(request: MigrateStateRequest, nowUs: number): Answer<XfrmState> {
		return migrateState(this.at(nowUs), request);
	}

	nextAcquireSeq(): number {
		return nextAcquireSeq(this.net);
	}

	sadInfo(): SadInfo {
		return stateCommands.sadInfo(this.net);
	}

	spdInfo(): SpdInfo {
		return policyCommands.spdInfo(this.net);
	}

	pollEvent(): EngineEvent | undefined {
		return this.net.takeEvent();
	}

	pollPacket(): PacketBuffer | undefined {
		return this.net.outputRun.takeReleased();
	}

	/**
	 * The bundle through whose states the packet that `pollPacket` has answered last has gone; null for none. Who
	 * leases sequence numbers before they are used asks, as nobody could for what timers send.
	 */
	get polledBundle(): Bundle | null {
		return this.net.outputRun.takenBundle;
	}

	pollTimeout(): number {
		return this.net.timers.next();
	}

	handleTimeout(nowUs: number): void {
		handleTimeout(this.net, nowUs);
	}

	/** The namespace, at this time. */
	private at(nowUs: number): Namespace {
		this.net.now[0] = nowUs;
		return this.net;
	}
}
